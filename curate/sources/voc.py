"""PASCAL VOC: class masks by palette index, people counted from object masks or, without them, from the XML boxes."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate import dataset, masks
from curate.errors import CurateError, FormatError, MismatchError, MissingError
from curate.files import readable_faults, sha256_files
from curate.foreground import Foreground
from curate.images import fit_mask, read_indices, read_size_hw
from curate.masks import SizeHW, Target
from curate.sources import CANDIDATES, Label, Limits, Measure, Note, Read, measure_target
from curate.sources.lookup import IMAGE_SUFFIXES
from curate.sources.names import person_classes, sample_keys

VOID = 255
REACH = 7
"""px: objects that touch are parted by a void border of 5 px; over it, the usual 2 px."""
MOST_PEOPLE = 32767
"""As many as the column `people` holds."""
CLASSES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
"""The 20 classes of VOC 2007-2012 and the background, by palette index."""


@dataclass(frozen=True)
class VocImage:
    """The files of one photograph; those that are not there are None."""

    key: str
    image: Path
    class_mask: Path | None
    object_mask: Path | None
    xml: Path | None
    size_hw: SizeHW | None
    people: int | None
    """From the XML; None where an object mask will tell, or nothing does."""
    problem: str | None


def read_voc(name: str, root: Path, foreground: Foreground) -> Read:
    """A VOC folder as candidates: the union of `ImageSets/Segmentation`, else every photo of `JPEGImages`.

    Args:
        name: The source's name.
        root: The folder with `JPEGImages`, or one above it (`VOCdevkit`).
        foreground: Class names and palette indices that are a person.

    Raises:
        MissingError: There is no `JPEGImages` folder.
        FormatError: None of the classes is a person.
    """
    with readable_faults(root):
        folder = find_voc_folder(root)
        names = class_names(folder)
        people = person_classes(foreground.person, names)
        if not people:
            raise FormatError(
                folder, f"has no class {', '.join(foreground.person)!r}; it has: {', '.join(names.values())}"
            )
        images = [look_up(folder, key, frozenset(people.values())) for key in image_keys(folder)]
        annotations = [path for image in images for path in (image.class_mask, image.object_mask, image.xml) if path]
        source = dataset.Source("voc", name, None, sha256_files(folder, annotations))
    return Read(source, candidates_of(name, images), VocLabels(images, names, frozenset(people)))


def find_voc_folder(root: Path) -> Path:
    """The folder with `JPEGImages` at or below `root`; MissingError where there is none, or more than one."""
    folders = [root, *sorted(root.glob("VOC*")), *sorted(root.glob("VOCdevkit/VOC*"))]
    found = [folder for folder in folders if (folder / "JPEGImages").is_dir()]
    if not found:
        raise MissingError(f"{root}: has no JPEGImages folder. Name the folder of a VOC data set, such as VOC2012")
    if len(found) > 1 and found[0] != root:
        raise MissingError(f"{root}: holds {len(found)} VOC data sets. Name one: {', '.join(map(str, found))}")
    return found[0]


def class_names(folder: Path) -> dict[int, str]:
    """Palette index -> class: from `class_names.txt`, one a line, where there is one, else VOC's own."""
    path = folder / "class_names.txt"
    lines = path.read_text("utf-8", "replace").splitlines() if path.is_file() else CLASSES
    names = [line.strip() for line in lines if line.strip() and line.strip() != "__ignore__"]
    return {index: name for index, name in enumerate(names) if index}


def image_keys(folder: Path) -> list[str]:
    """The stems of the images looked at, sorted."""
    sets = sorted((folder / "ImageSets" / "Segmentation").glob("*.txt"))
    lines = [line.split() for path in sets for line in path.read_text("utf-8", "replace").splitlines()]
    listed = {words[0] for words in lines if words}
    photos = (path for path in (folder / "JPEGImages").iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    return sorted(listed or {path.stem for path in photos if not path.name.startswith(".")})


def look_up(folder: Path, key: str, people: frozenset[str]) -> VocImage:
    """The files of one image, its size, and the people its XML names."""
    if "/" in key or "\\" in key:
        return VocImage(
            key, folder / "JPEGImages", None, None, None, None, None, "the image set names a path, not a stem"
        )
    images = [folder / "JPEGImages" / f"{key}{suffix}" for suffix in (".jpg", ".JPG", *sorted(IMAGE_SUFFIXES))]
    image = next((path for path in images if path.exists()), images[0])
    parts = [folder / part / f"{key}{suffix}" for part, suffix in PARTS]
    class_mask, object_mask, xml = (path if path.is_file() else None for path in parts)
    size_hw, count, problem = None, None, None if class_mask else "no mask"
    try:
        size_hw = read_size_hw(image)
        if xml and not object_mask:
            count = people_in_xml(xml, people)
    except CurateError as error:
        problem = problem or str(error)
    return VocImage(key, image, class_mask, object_mask, xml, size_hw, count, problem)


PARTS = (("SegmentationClass", ".png"), ("SegmentationObject", ".png"), ("Annotations", ".xml"))


def people_in_xml(path: Path, people: frozenset[str]) -> int:
    """Number of people a VOC annotation names, difficult ones included.

    Raises:
        FormatError: It is no XML, or declares entities, which VOC never does.
    """
    data = path.read_bytes()
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise FormatError(path, "declares a document type or entities; expected a plain VOC annotation")
    try:
        root = ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise FormatError(path, f"is not readable XML ({error})") from error
    wanted = {name.casefold() for name in people}
    named = (found for found in root.iter("object") if (found.findtext("name") or "").strip().casefold() in wanted)
    count = sum(people_of(path, found) for found in named)
    if count > MOST_PEOPLE:
        raise FormatError(path, f"names {count} people; expected at most {MOST_PEOPLE}")
    return count


def people_of(path: Path, found: ElementTree.Element) -> int:
    """How many people an `<object>` is: one, or as many as its `<people>` says; our exports know only their union."""
    stated = found.findtext("people")
    if stated is None:
        return 1
    if not re.fullmatch(r"\s*[0-9]{1,5}\s*", stated):
        raise FormatError(path, f"has an object of {stated!r} people; expected a number")
    return int(stated)


def candidates_of(name: str, images: Sequence[VocImage]) -> pl.DataFrame:
    """The candidate table of a VOC source."""
    return pl.DataFrame(
        {
            "sample_id": [f"{name}-{key}" for key in sample_keys([f"{image.key}.jpg" for image in images])],
            "source": [name] * len(images),
            "row": range(len(images)),
            "folder": [""] * len(images),
            "width": [image.size_hw and image.size_hw[1] for image in images],
            "height": [image.size_hw and image.size_hw[0] for image in images],
            "people": [image.people for image in images],
            "licence": [None] * len(images),
            "unreadable": [image.problem for image in images],
        },
        schema=CANDIDATES,
    )


class VocLabels:
    """The labels of a VOC source, read from its mask files when asked for."""

    def __init__(self, images: Sequence[VocImage], names: Mapping[int, str], people: frozenset[int]) -> None:
        self._images, self._names, self._people = images, names, people

    def image(self, row: int) -> Path:
        """The photograph's file."""
        return self._images[row].image

    def measure_many(self, rows: Sequence[int], limits: Limits) -> list[Measure | None]:
        """What many labels show, each measured by itself."""
        return [self.measure(row, limits) for row in rows]

    def measure(self, row: int, limits: Limits) -> Measure:
        """People from the object mask, else from the XML; area from the class mask."""
        image = self._images[row]
        if image.people is not None and limits.most_people is not None and image.people > limits.most_people:
            return Measure(image.people)
        try:
            classes = read_classes(image)
            people, notes = self._count(image, classes)
            target, resized = self._target(image, classes)
        except CurateError as error:
            return Measure(unreadable=str(error))
        return measure_target(target, people, (*notes, *resized), image.key)

    def draw(self, row: int) -> Label:
        """The target: person classes 255, void 128."""
        image = self._images[row]
        target, _ = self._target(image, read_classes(image))
        return Label(target, "palette", self._touching(image, target))

    def _count(self, image: VocImage, classes: NDArray[np.integer]) -> tuple[int, tuple[Note, ...]]:
        if image.object_mask is not None:
            objects = read_label_image(image.object_mask)
            if objects.shape != classes.shape:
                raise MismatchError(image.object_mask, f"the size of its class mask {classes.shape}", objects.shape)
            return count_objects(objects, np.isin(classes, list(self._people))), ()
        if image.people is not None:
            return image.people, ()
        return 1, (Note("images have neither object masks nor XML; their people count as one", image.key),)

    def _target(self, image: VocImage, classes: NDArray[np.integer]) -> tuple[Target, tuple[Note, ...]]:
        target = masks.target_of(np.isin(classes, list(self._people)), classes == VOID)
        return fit_target(target, image.size_hw, image.class_mask)

    def _touching(self, image: VocImage, target: Target) -> tuple[str, ...]:
        classes = read_classes(image)
        if classes.shape != target.shape:
            classes = fit_mask(classes, target.shape, image.key)
        near = np.unique(classes[masks.grow(target == masks.PERSON, REACH)])
        return tuple(sorted(self._names[int(v)] for v in near if int(v) in self._names and v not in self._people))


def count_objects(objects: NDArray[np.integer], person: masks.Mask) -> int:
    """Number of objects most of whose pixels are a person's; 0 and 255 are no objects."""
    values, counts = np.unique(objects, return_counts=True)
    inside = dict(zip(*np.unique(objects[person], return_counts=True), strict=True))
    return sum(2 * inside.get(v, 0) > count for v, count in zip(values, counts, strict=True) if v not in (0, VOID))


def read_classes(image: VocImage) -> NDArray[np.integer]:
    """The class of each pixel (H, W)."""
    if image.class_mask is None:
        raise MissingError(f"{image.key}: no mask")
    return read_label_image(image.class_mask)


def read_label_image(path: Path) -> NDArray[np.integer]:
    """A palette or grey label image (H, W); FormatError where it has colours instead of indices."""
    indices = read_indices(path)
    if indices.ndim != 2:
        raise FormatError(path, "is a colour image; expected palette indices. Save it as a palette PNG")
    return indices


def fit_target(target: Target, size_hw: SizeHW | None, path: Path | None) -> tuple[Target, tuple[Note, ...]]:
    """The target at its image's size, with a note where it had to be resized."""
    if size_hw is None or target.shape == size_hw:
        return target, ()
    fitted = fit_mask(target, size_hw, path or "mask")
    return fitted, (Note("masks were resized to their image (nearest)", str(path)),)
