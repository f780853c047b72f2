"""Image and mask pairs: two folders matched by name, the masks of any of the kinds that `mask_files` reads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import polars as pl

from curate import dataset
from curate.errors import CurateError, MissingError, UsageError
from curate.files import check_regular, readable_faults, sha256_files
from curate.foreground import Foreground
from curate.images import IMAGE_SUFFIXES, read_size_hw
from curate.masks import IGNORE, SizeHW, Target
from curate.sources import CANDIDATES, Label, Limits, Measure, Note, Read, measure_target
from curate.sources.fitting import fit_target
from curate.sources.folders import files_below, name_problem, printable
from curate.sources.lookup import Inside
from curate.sources.mask_files import MASK_SUFFIXES, PairMask, read_mask
from curate.sources.names import person_values, sample_keys, without_suffix
from curate.threads import Watch, map_threads, unwatched

ENDINGS = ("mask", "masks", "matte", "seg", "segmentation", "label", "labels", "gt", "alpha", "instance", "instances")
"""Words that tools put behind the image's name, after `_`, `-` or `.`: `1_mask.png` is the mask of `1.jpg`."""
_ENDING = re.compile(rf"(?<=[^/])[_\-. ](?:{'|'.join(ENDINGS)})$", re.IGNORECASE)
LONELY = "masks have no image of their name and were left out"
UNNAMED = "sources of masks know no categories: --held and --animals change nothing in them"


@dataclass(frozen=True)
class Pair:
    """An image with its mask, or with what is wrong.

    Attributes:
        file: The image's path relative to its folder.
        image: The image.
        mask: Its mask; None where there is none, or no single one.
        size_hw: Of the image; None where it cannot be told.
        problem: Why the pair cannot be used, or None.
    """

    file: str
    image: Path
    mask: Path | None
    size_hw: SizeHW | None
    problem: str | None


def read_pairs(name: str, images: Path, masks: Path, foreground: Foreground, watch: Watch = unwatched) -> Read:
    """Two folders as candidates, matched by relative path without its ending.

    Args:
        name: The source's name.
        images: Folder of photographs, searched through. Links are followed inside it only.
        masks: Folder of masks, the same.
        foreground: With values among its `person`, these mask values are a person; names say nothing here.
        watch: Told of progress.

    Raises:
        MissingError: One of the folders is not there.
        UsageError: Both are the same folder.
    """
    for folder in (images, masks):
        if not folder.is_dir():
            raise MissingError(f"{folder}: is not a folder. --pairs takes a folder of images and a folder of masks")
    if images.resolve() == masks.resolve():
        raise UsageError(f"--pairs: {images} is given as both. Put the masks into a folder of their own")
    with readable_faults(masks):
        photos = files_below(images, IMAGE_SUFFIXES, without=masks)
        found = files_below(masks, MASK_SUFFIXES, without=images)
        partners = match(photos.files, found.files)
        insides = Inside([images]), Inside([masks])
        tick = watch(f"reading {name}", len(photos.files))
        pairs = map_threads(partial(look_up, images, masks, insides, partners), photos.files, tick)
        source = dataset.Source("pairs", name, None, sha256_files(masks, [one.mask for one in pairs if one.mask]))
    lonely = sorted(set(found.files).difference(*(one.masks for one in partners.values())))
    notes = [Note(LONELY, printable(str(masks / file))) for file in lonely]
    notes += [Note(UNNAMED, name)] * foreground.paints
    labels = PairLabels(pairs, person_values(foreground.person), foreground.min_person_area, insides[0])
    return Read(source, candidates_of(name, pairs), labels, [*photos.notes, *found.notes, *notes])


@dataclass(frozen=True)
class Partners:
    """The masks that by their names belong to an image, and another image they could belong to as well."""

    masks: list[str]
    rival: str | None


def match(photos: Sequence[str], masks: Sequence[str]) -> dict[str, Partners]:
    """Which masks belong to which photo, by their relative paths.

    A mask's name without its ending is that of its photo (`1.png` for `1.jpg`), the photo's whole name (`1.jpg.png`),
    or that of its photo and one of ENDINGS (`1_mask.png`), tried in this order.

    >>> match(["a/1.jpg", "2.jpg"], ["a/1-matte.png", "2.png", "3.png"])
    {'a/1.jpg': Partners(masks=['a/1-matte.png'], rival=None), '2.jpg': Partners(masks=['2.png'], rival=None)}
    """
    whole, by_stem = set(photos), group(photos)
    found: dict[str, list[str]] = {photo: [] for photo in photos}
    rivals: dict[str, str] = {}
    for mask in masks:
        stem = without_suffix(mask)
        if stem not in by_stem and stem in whole:
            found[stem].append(mask)
            continue
        owners = by_stem.get(stem) or by_stem.get(without_ending(stem), [])
        for owner in owners:
            found[owner].append(mask)
            if len(owners) > 1:
                rivals[owner] = owners[owner == owners[0]]
    return {photo: Partners(found[photo], rivals.get(photo)) for photo in photos}


def group(photos: Sequence[str]) -> dict[str, list[str]]:
    """The photos by their relative path without the ending."""
    by_stem: dict[str, list[str]] = {}
    for photo in photos:
        by_stem.setdefault(without_suffix(photo), []).append(photo)
    return by_stem


def without_ending(stem: str) -> str:
    """A mask's name without the word that says it is one; the name itself where there is none.

    >>> without_ending("a/1_mask"), without_ending("mask")
    ('a/1', 'mask')
    """
    return _ENDING.sub("", stem)


def look_up(
    images: Path, masks: Path, insides: tuple[Inside, Inside], partners: dict[str, Partners], file: str
) -> Pair:
    """An image's size and its mask."""
    image, partner, size_hw = images / file, partners[file], None
    try:
        size_hw = read_size_hw(insides[0].check(image))
        problem = name_problem(file) or mismatch(image, partner, masks)
        if problem:
            return Pair(file, image, None, size_hw, problem)
        mask = insides[1].check(masks / partner.masks[0])
        check_regular(mask)
    except CurateError as error:
        return Pair(file, image, None, size_hw, printable(str(error)))
    return Pair(file, image, mask, size_hw, None)


def mismatch(image: Path, partner: Partners, masks: Path) -> str | None:
    """Why an image has no mask of its own, or None."""
    if not partner.masks:
        return f"no mask: {masks} holds none called {image.stem}"
    if len(partner.masks) > 1:
        return f"{partner.masks[0]} and {partner.masks[1]} could both be its mask"
    if partner.rival is not None:
        return f"the mask {partner.masks[0]} could also belong to {partner.rival}"
    return None


def candidates_of(name: str, pairs: Sequence[Pair]) -> pl.DataFrame:
    """The candidate table of a pairs source; people are known only when the masks are read."""
    return pl.DataFrame(
        {
            "sample_id": [f"{name}-{key}" for key in sample_keys([pair.file for pair in pairs])],
            "source": [name] * len(pairs),
            "row": range(len(pairs)),
            "folder": [printable(pair.file.rpartition("/")[0]) for pair in pairs],
            "width": [pair.size_hw and pair.size_hw[1] for pair in pairs],
            "height": [pair.size_hw and pair.size_hw[0] for pair in pairs],
            "people": [None] * len(pairs),
            "licence": [None] * len(pairs),
            "unreadable": [pair.problem for pair in pairs],
        },
        schema=CANDIDATES,
    )


class PairLabels:
    """The labels of a pairs source, read from its mask files when asked for.

    Args:
        pairs: By row.
        values: The mask values that are a person; none to tell from each mask.
        min_person_area: From which share of the mask on a figure counts as one of the people.
        inside: Holds photographs to their folder.
    """

    def __init__(self, pairs: Sequence[Pair], values: frozenset[int], min_person_area: float, inside: Inside) -> None:
        self._pairs, self._values, self._min_person_area, self._inside = pairs, values, min_person_area, inside

    def image(self, row: int) -> Path:
        """The photograph's file."""
        return self._inside.check(self._pairs[row].image)

    def measure_many(self, rows: Sequence[int], limits: Limits) -> list[Measure | None]:
        """What many labels show, each measured by itself."""
        return [self.measure(row, limits) for row in rows]

    def measure(self, row: int, limits: Limits) -> Measure:
        """People and area from the mask file, at the image's size."""
        try:
            mask, target, notes = self._read(self._pairs[row])
        except CurateError as error:
            return Measure(unreadable=str(error))
        where = str(self._pairs[row].mask)
        notes = (Note(mask.reading, where),) * bool(mask.reading) + notes
        least_px = self._min_person_area * mask.target.size
        people = sum(pixels >= least_px for pixels in mask.figures_px)
        return measure_target(target, people, notes, where)._replace(doubtful=bool((target == IGNORE).any()))

    def draw(self, row: int) -> Label:
        """The target at the image's size."""
        _, target, resized = self._read(self._pairs[row])
        return Label(target, "hand", tags=("resized",) * bool(resized))

    def _read(self, pair: Pair) -> tuple[PairMask, Target, tuple[Note, ...]]:
        if pair.mask is None or pair.size_hw is None:
            raise MissingError(f"{pair.image}: {pair.problem}")
        mask = read_mask(pair.mask, self._values)
        return (mask, *fit_target(mask.target, pair.size_hw, pair.mask, pair.image))
