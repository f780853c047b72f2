"""COCO instance files as candidates: which images there are, and which annotations each of them has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import polars as pl

from curate import dataset
from curate.errors import CurateError, FormatError
from curate.files import map_file, readable_faults, sha256_bytes, sha256_file
from curate.foreground import Foreground
from curate.images import MAX_PIXELS
from curate.sources import CANDIDATES, Note, Read
from curate.sources.coco_json import (
    CocoFile,
    Id,
    ImageRecord,
    Number,
    PanopticFile,
    check_text,
    collection_paused,
    decode_coco,
)
from curate.sources.coco_keypoints import damaged_keypoints
from curate.sources.coco_labels import CocoLabels
from curate.sources.coco_table import Categories, CocoImage, size_problem, table_of
from curate.sources.lookup import ImageFinder, usual_folders
from curate.sources.names import person_classes, sample_keys
from curate.sources.panoptic import PanopticLabel, PanopticLabels, label_images, png_finder
from curate.storage import mirrors
from curate.storage.urls import mirrored_url
from curate.threads import Watch


def read_coco(
    named: Mapping[str, Sequence[Path]],
    image_roots: Sequence[Path],
    foreground: Foreground,
    photos: Mapping[Path, Path] | None = None,
    *,
    mapped: bool = False,
) -> list[Read]:
    """COCO sources as candidates.

    An image that stands in several files, of whichever source, or twice in one, is one image of the first source; its
    annotations are joined, each once, so that a keypoints file adds what it knows to an instances file, and a panoptic
    file the objects that the others have no categories for (see `curate.sources.panoptic`). The same image means: the
    same id, file name and size, and where both files' folders hold a photograph of that name, the same photograph.

    Args:
        named: Source name -> its instances, keypoints and panoptic files, in any order.
        image_roots: Folders with the photographs; without any, the usual ones beside each file.
        foreground: Which categories are a person, and what else is painted.
        photos: The folder of a file's photographs, where it is known.
        mapped: Whether files are mapped instead of read, which saves copying them; for a look that ends before anyone
            can change them.

    Raises:
        MissingError: A file is not there.
        FormatError: A file is no COCO instance JSON, or has none of the person categories.
    """
    gathered = _Gathered()
    notes: dict[str, list[Note]] = {}
    hashes: dict[Path, Future[str]] = {}
    texts: list[Future[None]] = []
    # Hashing goes on beside the decoding, which needs the interpreter.
    with collection_paused(), ThreadPoolExecutor(1) as hashing:
        for name, paths in named.items():
            before = len(gathered.notes)
            for path in paths:
                with readable_faults(path):
                    data = map_file(path) if mapped else path.read_bytes()
                hashes[path] = hashing.submit(sha256_bytes, data)
                texts.append(hashing.submit(check_text, path, data))
                file = decode_coco(path, data, gathered.notes)
                finder = photo_finder(path, image_roots, (photos or {}).get(path))
                gathered.add(name, path, file, finder, foreground)
            notes[name] = gathered.notes[before:]
    for text in texts:
        text.result()
    digests = {path: future.result() for path, future in hashes.items()}
    by_source: dict[str, list[CocoImage]] = {name: [] for name in named}
    for image in gathered.images:
        by_source[image.source].append(image)
    reads = [
        source_of(
            name, {path: digests[path] for path in paths}, by_source[name], notes[name], foreground, gathered.panoptic
        )
        for name, paths in named.items()
    ]
    return [replace(read, categories=frozenset(gathered.categories)) for read in reads]


def photo_finder(path: Path, image_roots: Sequence[Path], folder: Path | None) -> ImageFinder:
    """Finds a file's photographs: in their folder where it is known, else where the user says, else as usual."""
    if folder is not None:
        return ImageFinder([folder])
    roots = usual_folders(path) if not image_roots else []
    return ImageFinder(roots, image_roots, path.stem.rpartition("_")[2])


def source_of(
    name: str,
    digests: Mapping[Path, str],
    images: Sequence[CocoImage],
    notes: list[Note],
    foreground: Foreground,
    panoptic: Mapping[int, PanopticLabel] | None,
) -> Read:
    """One source with the images that are its own; `panoptic` are labels by `id()` of their image."""
    often = Counter(path.name for path in digests)
    hashes = {
        path.name if often[path.name] == 1 else f"{path.parent.name}/{path.name}": digest
        for path, digest in digests.items()
    }
    licences = {image.licence for image in images}
    source = dataset.Source("coco", name, licences.pop() if len(licences) == 1 else None, hashes)
    candidates = candidates_of(name, images)
    fetch = partial(fetch_photos, images) if any(lies_elsewhere(image.finder) for image in images) else None
    if panoptic is None:
        return Read(source, candidates, CocoLabels(images, foreground), notes, fetch=fetch)
    labels = PanopticLabels(images, panoptic, foreground)
    return Read(source, labels.restate(candidates), labels, notes, fetch=fetch)


def lies_elsewhere(finder: ImageFinder) -> bool:
    """Whether photographs are looked for in mirrors of buckets, which hold those alone that were wanted before."""
    return any(mirrored_url(root) is not None for root in finder.roots)


def fetch_photos(images: Sequence[CocoImage], rows: Sequence[int], watch: Watch) -> None:
    """Fetch the photographs of some rows into the mirrors that their finders look into.

    Raises:
        CurateError: As `mirrors.mirror`; a photograph that is not in the bucket is passed over.
    """
    names: dict[ImageFinder, list[str]] = {}
    for image in (images[row] for row in rows):
        names.setdefault(image.finder, []).append(image.record.file_name.replace("\\", "/"))
    for finder, wanted in names.items():
        walked, usual = (
            [url for root in roots if (url := mirrored_url(root)) is not None]
            for roots in (finder.walked, finder.roots[len(finder.walked) :])
        )
        for url in walked:
            mirrors.mirror_named(url, {name.rpartition("/")[2] for name in wanted}, watch)
        places = [place for name in wanted for place in (name, f"{finder.prefer}/{name}")]
        mirrors.mirror_these({url.below(place) for url in usual for place in places}, watch)


class _Gathered:
    """The images of several files, each once, with the notes made on the way."""

    def __init__(self) -> None:
        self.images: list[CocoImage] = []
        self.notes: list[Note] = []
        self.panoptic: dict[int, PanopticLabel] | None = None
        self.categories: set[str] = set()
        self._known: dict[tuple[Id, str, Number, Number], CocoImage] = {}

    def add(
        self, source: str, path: Path, file: CocoFile | PanopticFile, finder: ImageFinder, foreground: Foreground
    ) -> None:
        """Add one file's images and annotations."""
        names = {category.id: category.name for category in file.categories}
        self.categories.update(names.values())
        people = check_person(path, foreground.person, names)
        self.notes += [
            Note(f"categories were taken as a person by value: {value} is {names[value]!r}", str(path))
            for value in people
            if str(value) in foreground.person and people[value].casefold() != "person"
        ]
        categories = Categories(names, frozenset(people), isinstance(file, PanopticFile))
        listing = file if isinstance(file, CocoFile) else CocoFile(file.images, file.categories)
        table = table_of(path, listing, categories, self.notes)
        self.notes += damaged_keypoints(path, listing.annotations, people)
        licences: dict[Id, str | None] = {one.id: one.name or one.url for one in file.licenses if one.id is not None}
        damaged: dict[Id, str] = dict.fromkeys(listing.damaged, "an annotation of it is damaged")
        damaged |= dict.fromkeys(shared_ids(file.images), "another file has its id in the JSON")
        images = [
            CocoImage(source, record, licences.get(record.license), finder, table, index, None, damaged.get(record.id))
            for index, record in enumerate(file.images)
        ]
        if self._known or len({record.id for record in file.images}) < len(images):
            joined = sum(self._add_image(image, path) for image in images)
            if joined:
                what = "files repeat images of an earlier one; each counts once"
                self.notes.append(Note(what, f"{path}: {joined} images"))
        else:
            self.images = images
            self._known = {key_of(image.record): image for image in images}
        if isinstance(file, PanopticFile):
            by_id = {record.id: self._known[key_of(record)] for record in reversed(file.images)}
            self.panoptic = {} if self.panoptic is None else self.panoptic
            pngs = png_finder(path, finder.walked)
            label_images(path, file, categories, by_id, pngs, self.panoptic, self.notes)

    def _add_image(self, image: CocoImage, path: Path) -> bool:
        """Add an image, or what a further record of it brings to one of another file; whether it did the latter."""
        record = image.record
        key = key_of(record)
        known = self._known.setdefault(key, image)
        if known is not image and same_photo(record.file_name, known.finder, image.finder):
            if known.table is image.table:
                self.notes.append(Note("image records stand twice and count once", f"{path}: {record.file_name}"))
            known.add(image.parts())
            known.damaged = known.damaged or image.damaged
            return known.table is not image.table
        self._known[key] = image
        self.images.append(image)
        return False


def shared_ids(records: Sequence[ImageRecord]) -> set[Id]:
    """The ids that stand for several files, so that nobody knows whose the annotations are."""
    if len({record.id for record in records}) == len(records):
        return set()
    files: dict[Id, set[object]] = {}
    for record in records:
        files.setdefault(record.id, set()).add(key_of(record))
    return {one for one, keys in files.items() if len(keys) > 1}


def key_of(record: ImageRecord) -> tuple[Id, str, Number, Number]:
    """What two records of one image have in common."""
    return record.id, record.file_name, record.height, record.width


def same_photo(file_name: str, one: ImageFinder, other: ImageFinder) -> bool:
    """Whether two files mean the same photograph; without both photographs at hand, the name decides."""
    if one.roots == other.roots:
        return True
    try:
        paths = one.find(file_name), other.find(file_name)
        return paths[0].samefile(paths[1]) or sha256_file(paths[0]) == sha256_file(paths[1])
    except (CurateError, OSError):
        return True


def check_person(path: Path, person: Sequence[str], names: dict[Number, str]) -> dict[Number, str]:
    """The person categories of a file; FormatError where it has none of them."""
    people = person_classes(person, names)
    if not people:
        has = ", ".join(sorted(names.values())[:8]) or "none"
        has += f", ... ({len(names)} in all)" * (len(names) > 8)
        asked = ", ".join(person)
        raise FormatError(
            path, f"has no category {asked!r}; it has: {has}. Name the person's with --person", "categories"
        )
    return people


def candidates_of(name: str, images: Sequence[CocoImage]) -> pl.DataFrame:
    """The candidate table of a COCO source."""
    files = [image.record.file_name.replace("\\", "/") for image in images]
    sizes = [image.record.size_hw for image in images]
    problems = [
        f"{image.damaged}, so it is not known what it shows"
        if image.damaged
        else None
        if height > 0 and width > 0 and height * width <= MAX_PIXELS
        else size_problem((height, width))
        for image, (height, width) in zip(images, sizes, strict=True)
    ]
    return pl.DataFrame(
        {
            "sample_id": [f"{name}-{key}" for key in sample_keys(files)],
            "source": [name] * len(images),
            "row": range(len(images)),
            "folder": [file.rpartition("/")[0] for file in files],
            "width": [None if bad else width for (_, width), bad in zip(sizes, problems, strict=True)],
            "height": [None if bad else height for (height, _), bad in zip(sizes, problems, strict=True)],
            "people": [image.stated_people() for image in images],
            "licence": [image.licence for image in images],
            "unreadable": problems,
        },
        schema=CANDIDATES,
    )
