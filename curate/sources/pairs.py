"""Image and mask pairs matched by name: binary, alpha, instance and class masks, and MATLAB matrices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate import dataset, masks
from curate.errors import CurateError, FormatError, MissingError, UsageError
from curate.files import readable_faults, sha256_files
from curate.foreground import Foreground
from curate.images import fit_mask, read_indices, read_size_hw
from curate.masks import SizeHW, Target
from curate.sources import CANDIDATES, Label, Limits, Measure, Note, Read, measure_target, unknown
from curate.sources.lookup import IMAGE_SUFFIXES
from curate.sources.matlab import read_matrix
from curate.sources.names import person_values, sample_keys

MASK_SUFFIXES = frozenset({".png", ".mat", ".bmp", ".tif", ".tiff", ".gif"})
VOID = 255
MOST_INSTANCES = 100
"""Consecutive ids up to here are read as instances; more are hardly people."""


@dataclass(frozen=True)
class Pair:
    """An image with its mask, or with what is wrong."""

    image: Path
    mask: Path | None
    size_hw: SizeHW | None
    problem: str | None


@dataclass(frozen=True)
class PairMask:
    """A mask file understood: the target at the mask's own size and how many people it shows."""

    target: Target
    people: int
    reading: str
    """How it was read, where that is a guess the user should know of; else empty."""


def read_pairs(name: str, images: Path, masks_folder: Path, foreground: Foreground) -> Read:
    """Two folders as candidates, matched by relative path without its ending.

    Args:
        name: The source's name.
        images: Folder of photographs, searched through.
        masks_folder: Folder of masks, searched through.
        foreground: With values among its `person`, these mask values are a person; names say nothing here.

    Raises:
        MissingError: One of the folders is not there.
        UsageError: Both are the same folder.
    """
    for folder in (images, masks_folder):
        if not folder.is_dir():
            raise MissingError(f"{folder}: is not a folder. --pairs takes a folder of images and a folder of masks")
    if images.resolve() == masks_folder.resolve():
        raise UsageError(f"--pairs: {images} is given as both. Put the masks into a folder of their own")
    with readable_faults(masks_folder):
        masks_by_stem = by_stem(masks_folder, MASK_SUFFIXES)
        pairs = list(match(images, masks_folder, masks_by_stem))
        used = [pair.mask for pair in pairs if pair.mask]
        source = dataset.Source("pairs", name, None, sha256_files(masks_folder, used))
    stems = by_stem(images, IMAGE_SUFFIXES)
    lonely = [paths[0] for stem, paths in masks_by_stem.items() if stem not in stems]
    notes = [Note("masks have no image of their name and were left out", str(path)) for path in lonely]
    candidates = candidates_of(name, images, pairs)
    return Read(source, candidates, PairLabels(pairs, person_values(foreground.person)), notes)


def by_stem(folder: Path, suffixes: frozenset[str]) -> dict[str, list[Path]]:
    """The files below a folder by their relative path without the ending; hidden ones are passed over."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in suffixes and not path.name.startswith("."):
            found.setdefault(path.relative_to(folder).with_suffix("").as_posix(), []).append(path)
    return found


def match(images: Path, masks_folder: Path, masks_by_stem: dict[str, list[Path]]) -> Iterator[Pair]:
    """A Pair for every image, sorted by name."""
    for stem, paths in by_stem(images, IMAGE_SUFFIXES).items():
        found = masks_by_stem.get(stem, [])
        for path in paths:
            problem = mismatch(path, paths, found, masks_folder)
            size_hw = None
            try:
                size_hw = read_size_hw(path)
            except CurateError as error:
                problem = problem or str(error)
            yield Pair(path, None if problem else found[0], size_hw, problem)


def mismatch(image: Path, images: list[Path], found: list[Path], folder: Path) -> str | None:
    """Why an image has no mask of its own, or None."""
    if not found:
        return f"no mask: {folder} holds none called {image.stem}"
    if len(found) > 1:
        return f"{found[0].name} and {found[1].name} could both be its mask"
    if len(images) > 1 and image != images[0]:
        return f"{images[0].name} has the same name and takes the mask"
    return None


def candidates_of(name: str, folder: Path, pairs: Sequence[Pair]) -> pl.DataFrame:
    """The candidate table of a pairs source; people are known only when the masks are read."""
    files = [pair.image.relative_to(folder).as_posix() for pair in pairs]
    return pl.DataFrame(
        {
            "sample_id": [f"{name}-{key}" for key in sample_keys(files)],
            "source": [name] * len(pairs),
            "row": range(len(pairs)),
            "folder": [file.rpartition("/")[0] for file in files],
            "width": [pair.size_hw and pair.size_hw[1] for pair in pairs],
            "height": [pair.size_hw and pair.size_hw[0] for pair in pairs],
            "people": [None] * len(pairs),
            "licence": [None] * len(pairs),
            "unreadable": [pair.problem for pair in pairs],
        },
        schema=CANDIDATES,
    )


class PairLabels:
    """The labels of a pairs source, read from its mask files when asked for."""

    def __init__(self, pairs: Sequence[Pair], values: frozenset[int]) -> None:
        self._pairs, self._values = pairs, values

    def image(self, row: int) -> Path:
        """The photograph's file."""
        return self._pairs[row].image

    def settled(self, rows: Sequence[int], limits: Limits) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Nothing is known without reading the mask."""
        return unknown(rows), unknown(rows)

    def measure(self, row: int, limits: Limits) -> Measure:
        """People and area from the mask file, at the image's size."""
        try:
            mask, fitted = self._read(self._pairs[row])
        except CurateError as error:
            return Measure(unreadable=str(error))
        where = str(self._pairs[row].mask)
        notes = (Note(mask.reading, where),) * bool(mask.reading)
        notes += (Note("masks were resized to their image (nearest)", where),) * (fitted is not mask.target)
        doubtful = bool((fitted == masks.IGNORE).any())
        return replace(measure_target(fitted, mask.people, notes, where), doubtful=doubtful)

    def draw(self, row: int) -> Label:
        """The target at the image's size."""
        return Label(self._read(self._pairs[row])[1], "hand")

    def _read(self, pair: Pair) -> tuple[PairMask, Target]:
        if pair.mask is None or pair.size_hw is None:
            raise MissingError(f"{pair.image}: no mask")
        mask = read_mask(pair.mask, self._values)
        return mask, fit_mask(mask.target, pair.size_hw, pair.mask)


def read_mask(path: Path, values: frozenset[int]) -> PairMask:
    """A mask file of any of the known kinds.

    Args:
        path: `.mat`, or an image Pillow reads.
        values: The values that are a person; empty to tell from the mask itself.

    Raises:
        FormatError: The file is damaged, or its values are of none of the known kinds.
    """
    if path.suffix.lower() == ".mat":
        matrix = read_matrix(path)
        person = np.isin(matrix, list(values)) if values else matrix > 0
        return PairMask(masks.target_of(person), int(person.any()), "")
    stored = read_indices(path)
    indices = stored if stored.ndim == 2 else single_channel(path, stored)
    return understand(path, indices, values)


def single_channel(path: Path, stored: NDArray[np.integer]) -> NDArray[np.integer]:
    """The channel of a colour image that is the mask: alpha where it is used, else grey.

    Raises:
        FormatError: The image has colours.
    """
    channels = stored.shape[2]
    alpha = stored[..., -1] if channels in (2, 4) else None
    if alpha is not None and alpha.min() < 255:
        return np.where(alpha >= 128, np.uint8(255), np.uint8(0))
    colours = stored[..., :3] if channels >= 3 else stored[..., :1]
    if (colours != colours[..., :1]).any():
        raise FormatError(path, "is a colour image; expected grey levels, palette indices or alpha")
    return np.ascontiguousarray(colours[..., 0])


def understand(path: Path, indices: NDArray[np.integer], values: frozenset[int]) -> PairMask:
    """A label image's meaning from the values in it (H, W).

    With `values` these are a person and 255 is void. Without: {0, 255} and {0, 1} are one person, {0, 128, 255} is a
    target of ours, and consecutive ids from 1 are instances (255 beside them is void).

    Raises:
        FormatError: None of these; the message names the values found.
    """
    found = [int(value) for value in np.unique(indices)]
    ids = [value for value in found if value]
    if values:
        void = (indices == VOID) if VOID not in values else None
        person = np.isin(indices, list(values))
        return PairMask(masks.target_of(person, void), int(person.any()), "")
    if ids in ([], [255], [128, 255], [128]):
        return PairMask(masks.target_of(indices == 255, indices == 128), int(255 in ids), "")
    instances = [value for value in ids if value != VOID]
    if instances == list(range(1, len(instances) + 1)) and len(instances) <= MOST_INSTANCES:
        reading = "masks hold ids from 1 on, each read as one person" if len(instances) > 1 else ""
        person = (indices > 0) & (indices != VOID)
        return PairMask(masks.target_of(person, indices == VOID), len(instances), reading)
    listed = ", ".join(map(str, found[:6])) + (", ..." if len(found) > 6 else "")
    advice = "Expected {0, 255}, {0, 1}, alpha or ids 1, 2, 3, ...; name the person's values with --person"
    raise FormatError(path, f"holds the values {listed}. {advice}")
