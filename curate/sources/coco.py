"""COCO instance files as candidates, with masks exactly as pycocotools draws them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from curate import dataset, masks
from curate.errors import CurateError, FormatError
from curate.files import readable_faults, sha256_file
from curate.images import MAX_PIXELS
from curate.masks import Rle, SizeHW
from curate.sources import CANDIDATES, Label, Measure, Note, Read
from curate.sources.coco_json import Annotation, CocoFile, Id, ImageRecord, Number, decode_coco
from curate.sources.lookup import ImageFinder, usual_folders
from curate.sources.names import person_classes, sample_keys


class RunLengths(msgspec.Struct, gc=False):
    """A segmentation that is an RLE: counts as a list (uncompressed) or a string (compressed)."""

    counts: list[int] | str
    size: tuple[int, int]


class Instance(msgspec.Struct, gc=False, frozen=True):
    """One annotation of an image with its category's name."""

    id: Id
    name: str
    person: bool
    crowd: bool
    segmentation: msgspec.Raw


class CocoImage(msgspec.Struct, frozen=True):
    """One image, with the annotations of all files that hold its record."""

    source: str
    record: ImageRecord
    licence: str | None
    finder: ImageFinder
    instances: list[Instance]


def read_coco(named: Mapping[str, Sequence[Path]], image_roots: Sequence[Path], person: Sequence[str]) -> list[Read]:
    """COCO sources as candidates.

    An image that stands in several files, of whichever source, or twice in one, is one image of the first source; its
    annotations are joined, each once. The same image means: the same id, file name and size, and where both files'
    folders hold a photograph of that name, the same photograph.

    Args:
        named: Source name -> its instance files.
        image_roots: Folders with the photographs; without any, the usual ones beside each file.
        person: Category names and ids that are a person.

    Raises:
        MissingError: A file is not there.
        FormatError: A file is no COCO instance JSON, or has none of the person categories.
    """
    gathered = _Gathered()
    notes: dict[str, list[Note]] = {}
    for name, paths in named.items():
        before = len(gathered.notes)
        for path in paths:
            with readable_faults(path):
                file = decode_coco(path, gathered.notes)
            roots = usual_folders(path) if not image_roots else []
            gathered.add(name, path, file, ImageFinder(roots, image_roots, path.stem.rpartition("_")[2]), person)
        notes[name] = gathered.notes[before:]
    return [source_of(name, paths, gathered.images, notes[name]) for name, paths in named.items()]


def source_of(name: str, paths: Sequence[Path], images: Sequence[CocoImage], notes: list[Note]) -> Read:
    """One source with those of the images that are its own."""
    own = [image for image in images if image.source == name]
    often = Counter(path.name for path in paths)
    hashes = {
        path.name if often[path.name] == 1 else f"{path.parent.name}/{path.name}": sha256_file(path) for path in paths
    }
    licences = {image.licence for image in own}
    source = dataset.Source("coco", name, licences.pop() if len(licences) == 1 else None, hashes)
    return Read(source, candidates_of(name, own), CocoLabels(own), notes)


class _Gathered:
    """The images of several files, each once, with the notes made on the way."""

    def __init__(self) -> None:
        self.images: list[CocoImage] = []
        self.notes: list[Note] = []
        self._known: dict[tuple[Id, str, SizeHW], CocoImage] = {}

    def add(self, source: str, path: Path, file: CocoFile, finder: ImageFinder, person: Sequence[str]) -> None:
        """Add one file's images and annotations."""
        names = {category.id: category.name for category in file.categories}
        people = check_person(path, person, names)
        self.notes += [
            Note(f"categories were taken as a person by value: {value} is {names[value]!r}", str(path))
            for value in people
            if str(value) in person and people[value].casefold() != "person"
        ]
        here = self._add_images(source, path, file, finder)
        for index, annotation in enumerate(file.annotations):
            image = here.get(annotation.image_id)
            if image is None or annotation.category_id not in names:
                what = "an image" if image is None else "a category"
                place = f"{path} at annotations[{index}]"
                self.notes.append(Note(f"annotations name {what} that is not there; left out", place))
            elif not is_known(annotation, image.instances):
                name, is_person = names[annotation.category_id], annotation.category_id in people
                crowd = bool(annotation.iscrowd)
                image.instances.append(Instance(annotation.id, name, is_person, crowd, annotation.segmentation))

    def _add_images(self, source: str, path: Path, file: CocoFile, finder: ImageFinder) -> dict[Id, CocoImage]:
        licences = {licence.id: licence.name or licence.url for licence in file.licenses}
        here: dict[Id, CocoImage] = {}
        for record in file.images:
            key = (record.id, record.file_name, record.size_hw)
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


def is_known(annotation: Annotation, instances: Sequence[Instance]) -> bool:
    """Whether an image has the annotation already: the same id with the same segmentation."""
    return annotation.id is not None and any(
        known.id == annotation.id and bytes(known.segmentation) == bytes(annotation.segmentation) for known in instances
    )


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
    keys = sample_keys([image.record.file_name for image in images])
    sizes = [image.record.size_hw for image in images]
    problems = [size_problem(size_hw) for size_hw in sizes]
    return pl.DataFrame(
        {
            "sample_id": [f"{name}-{key}" for key in keys],
            "source": [name] * len(images),
            "row": range(len(images)),
            "width": [None if problem else width for (_, width), problem in zip(sizes, problems, strict=True)],
            "height": [None if problem else height for (height, _), problem in zip(sizes, problems, strict=True)],
            "people": [stated_people(image.instances) for image in images],
            "licence": [image.licence for image in images],
            "unreadable": problems,
        },
        schema=CANDIDATES,
    )


def size_problem(size_hw: SizeHW) -> str | None:
    """What is wrong with an image record's size, or None."""
    height, width = size_hw
    if height > 0 and width > 0 and height * width <= MAX_PIXELS:
        return None
    return f"the image record states the size {height}x{width} (HxW); between 1 and {MAX_PIXELS} px are read"


def stated_people(instances: Sequence[Instance]) -> int:
    """Number of person annotations, crowds aside."""
    return sum(instance.person and not instance.crowd for instance in instances)


def rle_of(segmentation: msgspec.Raw, size_hw: SizeHW) -> Rle:
    """A segmentation as it stands in the file, as an rle of the image's size.

    Raises:
        ValueError: It is neither polygons nor an RLE, or an RLE that does not fit the image.
    """
    shape: Any = msgspec.json.decode(segmentation, type=list[list[float]] | RunLengths | None)
    if shape is None:
        return masks.empty_rle(size_hw)
    if isinstance(shape, list):
        return masks.rle_of_polygons(shape, size_hw)
    if tuple(shape.size) != size_hw:
        raise ValueError(f"the RLE is {shape.size[0]}x{shape.size[1]} (HxW), the image {size_hw[0]}x{size_hw[1]}")
    if isinstance(shape.counts, str):
        return masks.rle_of_string(shape.counts, size_hw)
    return masks.rle_of_counts(shape.counts, size_hw)


class CocoLabels:
    """The labels of a COCO source, drawn when asked for."""

    def __init__(self, images: Sequence[CocoImage]) -> None:
        self._images = images

    def image(self, row: int) -> Path:
        """The photograph's file."""
        image = self._images[row]
        return image.finder.find(image.record.file_name)

    def measure(self, row: int, most: int | None) -> Measure:
        """The union's area without decoding a mask; stops as soon as `most` is known to be exceeded."""
        image = self._images[row]
        size_hw = image.record.size_hw
        stated = stated_people(image.instances)
        try:
            crowd = self._union(image, size_hw, crowd=True)
            has_crowd = crowd is not None and masks.area_px(crowd) > 0
            if most is not None and has_crowd:
                return Measure(stated, True)
            people = []
            for rle in self._rles(image, size_hw, crowd=False):
                people += [rle] if masks.area_px(rle) else []
                if most is not None and len(people) > most:
                    return Measure(stated, False)
        except (ValueError, msgspec.DecodeError) as error:
            return Measure(unreadable=f"segmentation: {error}")
        notes = (Note("person annotations have an empty raster and count as nobody", image.record.file_name),)
        return self._measured(people, crowd if has_crowd else None, size_hw, notes * (stated - len(people)))

    def _measured(self, people: list[Rle], crowd: Rle | None, size_hw: SizeHW, notes: tuple[Note, ...]) -> Measure:
        union = masks.union_rle(people, size_hw)
        person_px = masks.area_px(union)
        ignored_px = masks.minus_rle(crowd, union) if crowd else 0
        counted_px = size_hw[0] * size_hw[1] - ignored_px
        area = person_px / counted_px if counted_px else 0.0
        return Measure(len(people), crowd is not None, area, notes=notes)

    def draw(self, row: int) -> Label:
        """The target: people 255, crowds 128 where no person is."""
        image = self._images[row]
        size_hw = image.record.size_hw
        problem = size_problem(size_hw)
        if problem:
            raise FormatError(image.record.file_name, problem)
        try:
            people = self._union(image, size_hw, crowd=False) or masks.empty_rle(size_hw)
            crowd = self._union(image, size_hw, crowd=True)
        except (ValueError, msgspec.DecodeError) as error:
            raise FormatError(image.record.file_name, f"segmentation: {error}") from error
        person = masks.decode(people)
        target = masks.target_of(person, masks.decode(crowd) if crowd else None)
        return Label(target, self._origin(image), self._touching(image, masks.encode(masks.grow(person)), size_hw))

    def _origin(self, image: CocoImage) -> str:
        kinds = [bytes(one.segmentation).lstrip()[:1] for one in image.instances if one.person and not one.crowd]
        return "rle" if b"{" in kinds else "polygon"

    def _touching(self, image: CocoImage, reach: Rle, size_hw: SizeHW) -> tuple[str, ...]:
        names = set()
        for instance in image.instances:
            if instance.person or instance.name in names:
                continue
            try:
                if masks.overlap_px(rle_of(instance.segmentation, size_hw), reach):
                    names.add(instance.name)
            except (ValueError, msgspec.DecodeError):
                continue  # a damaged outline of another object costs its name, not the person's image
        return tuple(sorted(names))

    def _rles(self, image: CocoImage, size_hw: SizeHW, *, crowd: bool) -> Iterator[Rle]:
        for instance in image.instances:
            if instance.person and instance.crowd == crowd:
                yield rle_of(instance.segmentation, size_hw)

    def _union(self, image: CocoImage, size_hw: SizeHW, *, crowd: bool) -> Rle | None:
        rles = list(self._rles(image, size_hw, crowd=crowd))
        return masks.union_rle(rles, size_hw) if rles else None
