"""COCO instance files as candidates: which images there are, and which annotations each of them has."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import polars as pl

from curate import dataset
from curate.errors import CurateError, FormatError
from curate.files import readable_faults, sha256_bytes, sha256_file
from curate.foreground import Foreground
from curate.images import MAX_PIXELS
from curate.sources import CANDIDATES, Note, Read
from curate.sources.coco_json import Annotation, CocoFile, Id, ImageRecord, Number, decode_coco
from curate.sources.coco_labels import Categories, CocoImage, CocoLabels, Part
from curate.sources.lookup import ImageFinder, usual_folders
from curate.sources.names import person_classes, sample_keys


def read_coco(named: Mapping[str, Sequence[Path]], image_roots: Sequence[Path], foreground: Foreground) -> list[Read]:
    """COCO sources as candidates.

    An image that stands in several files, of whichever source, or twice in one, is one image of the first source; its
    annotations are joined, each once, so that a keypoints file adds what it knows to an instances file. The same image
    means: the same id, file name and size, and where both files' folders hold a photograph of that name, the same
    photograph.

    Args:
        named: Source name -> its instance files.
        image_roots: Folders with the photographs; without any, the usual ones beside each file.
        foreground: Which categories are a person, and what else is painted.

    Raises:
        MissingError: A file is not there.
        FormatError: A file is no COCO instance JSON, or has none of the person categories.
    """
    gathered = _Gathered()
    notes: dict[str, list[Note]] = {}
    hashes: dict[Path, Future[str]] = {}
    with ThreadPoolExecutor(1) as hashing:  # goes on beside the decoding, which needs the interpreter
        for name, paths in named.items():
            before = len(gathered.notes)
            for path in paths:
                with readable_faults(path):
                    data = path.read_bytes()
                hashes[path] = hashing.submit(sha256_bytes, data)
                file = decode_coco(path, data, gathered.notes)
                roots = usual_folders(path) if not image_roots else []
                finder = ImageFinder(roots, image_roots, path.stem.rpartition("_")[2])
                gathered.add(name, path, file, finder, foreground)
            notes[name] = gathered.notes[before:]
    digests = {path: future.result() for path, future in hashes.items()}
    by_source: dict[str, list[CocoImage]] = {name: [] for name in named}
    for image in gathered.images:
        by_source[image.source].append(image)
    return [
        source_of(name, {path: digests[path] for path in paths}, by_source[name], notes[name], foreground)
        for name, paths in named.items()
    ]


def source_of(
    name: str, digests: Mapping[Path, str], images: Sequence[CocoImage], notes: list[Note], foreground: Foreground
) -> Read:
    """One source with the images that are its own."""
    often = Counter(path.name for path in digests)
    hashes = {
        path.name if often[path.name] == 1 else f"{path.parent.name}/{path.name}": digest
        for path, digest in digests.items()
    }
    licences = {image.licence for image in images}
    source = dataset.Source("coco", name, licences.pop() if len(licences) == 1 else None, hashes)
    return Read(source, candidates_of(name, images), CocoLabels(images, foreground), notes)


class _Gathered:
    """The images of several files, each once, with the notes made on the way."""

    def __init__(self) -> None:
        self.images: list[CocoImage] = []
        self.notes: list[Note] = []
        self._known: dict[tuple[Id, str, Number, Number], CocoImage] = {}

    def add(self, source: str, path: Path, file: CocoFile, finder: ImageFinder, foreground: Foreground) -> None:
        """Add one file's images and annotations."""
        names = {category.id: category.name for category in file.categories}
        people = check_person(path, foreground.person, names)
        self.notes += [
            Note(f"categories were taken as a person by value: {value} is {names[value]!r}", str(path))
            for value in people
            if str(value) in foreground.person and people[value].casefold() != "person"
        ]
        categories = Categories(names, frozenset(people))
        here = self._add_images(source, path, file, finder)
        for image_id, found in self._by_image(path, file.annotations, here, categories).items():
            image = here[image_id]
            image.parts.append(Part(categories, not_yet_known(found, image.parts)))

    def _by_image(
        self, path: Path, annotations: Sequence[Annotation], here: Mapping[Id, CocoImage], categories: Categories
    ) -> dict[Id, list[Annotation]]:
        """A file's annotations by their image; those of an unknown image or category are left out and noted."""
        by_image: dict[Id, list[Annotation]] = defaultdict(list)
        for annotation in annotations:
            by_image[annotation.image_id].append(annotation)
        unknown = {annotation.category_id for annotation in annotations} - categories.names.keys()
        if by_image.keys() <= here.keys() and not unknown:
            return by_image
        for index, annotation in enumerate(annotations):
            lost = annotation.image_id not in here
            if lost or annotation.category_id in unknown:
                what = f"annotations name {'an image' if lost else 'a category'} that is not there; left out"
                self.notes.append(Note(what, f"{path} at annotations[{index}]"))
        return {
            image_id: [one for one in found if one.category_id not in unknown]
            for image_id, found in by_image.items()
            if image_id in here
        }

    def _add_images(self, source: str, path: Path, file: CocoFile, finder: ImageFinder) -> dict[Id, CocoImage]:
        licences = {licence.id: licence.name or licence.url for licence in file.licenses}
        here: dict[Id, CocoImage] = {}
        for record in file.images:
            key = (record.id, record.file_name, record.height, record.width)
            image = self._known.get(key)
            if image is None or not same_photo(record.file_name, image.finder, finder):
                licence = licences.get(record.license) if record.license is not None else None
                image = self._known[key] = CocoImage(source, record, licence, finder, [])
                self.images.append(image)
            else:
                self.notes.append(Note("image records stand twice and count once", f"{path}: {record.file_name}"))
            if here.setdefault(record.id, image) is not image:
                what = "image ids stand for two files; the annotations went to the first"
                self.notes.append(Note(what, f"{path}: id {record.id}"))
        return here


def not_yet_known(annotations: list[Annotation], parts: Sequence[Part]) -> list[Annotation]:
    """The annotations an image does not have yet; the keypoints of one it has go to the one it has.

    The same means: the same id with the same segmentation, as the instances and the keypoints file of COCO have it.
    """
    if not parts and len({annotation.id for annotation in annotations}) == len(annotations):
        return annotations  # as in nearly every image of every file
    known: dict[Id, Annotation] = {one.id: one for part in parts for one in part.annotations}
    new = []
    for annotation in annotations:
        old = known.get(annotation.id) if annotation.id is not None else None
        if old is None or bytes(old.segmentation) != bytes(annotation.segmentation):
            new.append(annotation)
            known.setdefault(annotation.id, annotation)
        elif bytes(annotation.keypoints):
            old.keypoints = annotation.keypoints
    return new


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
        asked = ", ".join(person)
        raise FormatError(
            path, f"has no category {asked!r}; it has: {has}. Name the person's with --person", "categories"
        )
    return people


def candidates_of(name: str, images: Sequence[CocoImage]) -> pl.DataFrame:
    """The candidate table of a COCO source."""
    files = [image.record.file_name.replace("\\", "/") for image in images]
    problems = [size_problem(image.record) for image in images]
    return pl.DataFrame(
        {
            "sample_id": [f"{name}-{key}" for key in sample_keys(files)],
            "source": [name] * len(images),
            "row": range(len(images)),
            "folder": [file.rpartition("/")[0] for file in files],
            "width": [None if bad else int(image.record.width) for image, bad in zip(images, problems, strict=True)],
            "height": [None if bad else int(image.record.height) for image, bad in zip(images, problems, strict=True)],
            "people": [image.stated_people() for image in images],
            "licence": [image.licence for image in images],
            "unreadable": problems,
        },
        schema=CANDIDATES,
    )


def size_problem(record: ImageRecord) -> str | None:
    """What is wrong with an image record's size, or None."""
    height, width = record.size_hw
    if height > 0 and width > 0 and height * width <= MAX_PIXELS:
        return None
    return f"the image record states the size {height}x{width} (HxW); between 1 and {MAX_PIXELS} px are read"
