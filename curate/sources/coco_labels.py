"""The labels of COCO images, with masks exactly as pycocotools draws them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from curate import masks
from curate.errors import FormatError
from curate.foreground import Foreground, paint
from curate.images import MAX_PIXELS
from curate.masks import Rle, SizeHW
from curate.sources import Label, Limits, Measure, Note
from curate.sources.coco_json import Annotation, ImageRecord, Number
from curate.sources.lookup import ImageFinder
from curate.sources.outlines import Polygons, spacing_px, surely_below

REACH_PX = 2
"""Objects whose outlines are drawn apart by this much are in contact."""
HEAD = slice(0, 5)
"""Nose, eyes and ears among the 17 keypoints of a person."""
KEYPOINTS = 17
VISIBLE = 2

_polygons = msgspec.json.Decoder(list[list[float]])


class RunLengths(msgspec.Struct, gc=False):
    """A segmentation that is an RLE: counts as a list (uncompressed) or a string (compressed)."""

    counts: list[int] | str
    size: tuple[int, int]


@dataclass(frozen=True)
class Categories:
    """The categories of one file: id -> name, and the ids that are a person."""

    names: dict[Number, str]
    people: frozenset[Number]


@dataclass(frozen=True, slots=True)
class Part:
    """The annotations of an image that one file gave."""

    categories: Categories
    annotations: list[Annotation]


@dataclass(frozen=True, slots=True)
class CocoImage:
    """One image, with the annotations of all files that hold its record."""

    source: str
    record: ImageRecord
    licence: str | None
    finder: ImageFinder
    parts: list[Part]

    def people(self, *, crowd: bool = False) -> Iterator[Annotation]:
        """The annotations of people, or those of crowds of them."""
        for part in self.parts:
            people = part.categories.people
            for annotation in part.annotations:
                if annotation.category_id in people and bool(annotation.iscrowd) == crowd:
                    yield annotation

    def others(self) -> Iterator[tuple[str, Annotation]]:
        """The annotations of anything else, each with its category."""
        for part in self.parts:
            for annotation in part.annotations:
                if annotation.category_id not in part.categories.people:
                    yield part.categories.names[annotation.category_id], annotation

    def stated_people(self) -> int:
        """Number of people annotated, crowds aside."""
        return sum(stands_for(annotation) for annotation in self.people())


def stands_for(annotation: Annotation) -> int:
    """How many people an annotation of people stands for."""
    return 1 if annotation.people is None else max(0, int(annotation.people))


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


def polygons_of(annotation: Annotation) -> Polygons | None:
    """The flat polygons of an annotation; None where it is an RLE, damaged, or has a polygon of under three points."""
    if bytes(annotation.segmentation).lstrip()[:1] != b"[":
        return None
    try:
        polygons = _polygons.decode(annotation.segmentation)
    except msgspec.DecodeError:
        return None
    return polygons if all(len(polygon) >= 6 and len(polygon) % 2 == 0 for polygon in polygons) else None


@dataclass(frozen=True)
class Person:
    """A person drawn: the annotation and its raster."""

    annotation: Annotation
    rle: Rle
    area_px: int


class CocoLabels:
    """The labels of a COCO source, drawn when asked for."""

    def __init__(self, images: Sequence[CocoImage], foreground: Foreground) -> None:
        self._images, self._foreground = images, foreground

    def image(self, row: int) -> Path:
        """The photograph's file."""
        image = self._images[row]
        return image.finder.find(image.record.file_name)

    def below(self, rows: Sequence[int], least_area: float) -> NDArray[np.bool_]:
        """Which images surely show a person and surely cover less than `least_area`, told without drawing them."""
        plain = self._foreground.min_person_area == 0 and not self._foreground.paints
        if not plain or least_area == 0:
            return np.zeros(len(rows), bool)
        outlines = [self._outlines(self._images[row]) for row in rows]
        sizes = [self._images[row].record.size_hw for row in rows]
        return surely_below(list(zip(outlines, sizes, strict=True)), least_area)

    def _outlines(self, image: CocoImage) -> Polygons:
        """All polygons of the people; none where there is anything else, which is left to drawing."""
        found: list[Sequence[float]] = []
        for annotation in image.people():
            polygons = polygons_of(annotation)
            if polygons is None:
                return []
            found += polygons
        return [] if any(True for _ in image.people(crowd=True)) else found

    def measure(self, row: int, limits: Limits) -> Measure:
        """The union's area without decoding a mask; stops as soon as `most_people` is known to be exceeded."""
        image = self._images[row]
        size_hw, stated, most = image.record.size_hw, image.stated_people(), limits.most_people
        try:
            crowd = self._crowd(image, size_hw)
            if most is not None and crowd is not None:
                return Measure(stated, True)
            people, count, empty = [], 0, 0
            for person in self._people(image, size_hw):
                people.append(person)
                count += self._counts(person, size_hw)
                empty += not person.area_px
                if most is not None and count > most:
                    return Measure(stated, False)
            area = self._area(image, people, crowd, size_hw)
        except (ValueError, msgspec.DecodeError) as error:
            return Measure(unreadable=f"segmentation: {error}")
        notes = (Note("person annotations have an empty raster and count as nobody", image.record.file_name),) * empty
        return Measure(count, crowd is not None, area, notes=notes)

    def draw(self, row: int) -> Label:
        """The target: people 255, crowds 128 where no person is, held objects and animals as the recipe says."""
        image = self._images[row]
        size_hw = image.record.size_hw
        if not 0 < size_hw[0] * size_hw[1] <= MAX_PIXELS:
            raise FormatError(image.record.file_name, f"states the size {size_hw[0]}x{size_hw[1]} (HxW)")
        try:
            people = [person for person in self._people(image, size_hw) if person.area_px]
            crowd = self._crowd(image, size_hw)
            union = masks.union_rle([person.rle for person in people], size_hw)
        except (ValueError, msgspec.DecodeError) as error:
            raise FormatError(image.record.file_name, f"segmentation: {error}") from error
        target = masks.target_of(masks.decode(union), masks.decode(crowd) if crowd else None)
        objects = touching_objects(image, masks.decode(union), size_hw)
        if self._foreground.paints:
            target = paint(target, [(masks.decode(rle), self._foreground.policy_of(name)) for name, rle in objects])
        counted = [person.annotation for person in people if self._counts(person, size_hw)]
        return Label(
            target,
            origin_of(people),
            tuple(sorted({name for name, _ in objects})),
            *seen(counted),
            spacing_px=spacing_of(people),
        )

    def _people(self, image: CocoImage, size_hw: SizeHW) -> Iterator[Person]:
        for annotation in image.people():
            rle = rle_of(annotation.segmentation, size_hw)
            yield Person(annotation, rle, masks.area_px(rle))

    def _counts(self, person: Person, size_hw: SizeHW) -> int:
        """How many people a raster counts for: none where it is empty or a small figure."""
        least = max(1.0, self._foreground.min_person_area * size_hw[0] * size_hw[1])
        return stands_for(person.annotation) if person.area_px >= least else 0

    def _crowd(self, image: CocoImage, size_hw: SizeHW) -> Rle | None:
        """The union of the crowds, or None where no pixel is a crowd's."""
        rles = [rle_of(annotation.segmentation, size_hw) for annotation in image.people(crowd=True)]
        union = masks.union_rle(rles, size_hw) if rles else None
        return union if union is not None and masks.area_px(union) else None

    def _area(self, image: CocoImage, people: Sequence[Person], crowd: Rle | None, size_hw: SizeHW) -> float:
        """The area fraction of the target `draw` gives."""
        union = people[0].rle if len(people) == 1 else masks.union_rle([person.rle for person in people], size_hw)
        if self._foreground.paints and any(self._foreground.policy_of(name) != "exclude" for name, _ in image.others()):
            objects = touching_objects(image, masks.decode(union), size_hw)
            target = masks.target_of(masks.decode(union), masks.decode(crowd) if crowd else None)
            painted = [(masks.decode(rle), self._foreground.policy_of(name)) for name, rle in objects]
            return masks.area_fraction(paint(target, painted))
        ignored_px = masks.minus_rle(crowd, union) if crowd else 0
        counted_px = size_hw[0] * size_hw[1] - ignored_px
        return masks.area_px(union) / counted_px if counted_px else 0.0


def touching_objects(image: CocoImage, person: masks.Mask, size_hw: SizeHW) -> list[tuple[str, Rle]]:
    """Category and raster of every other object in contact with a person.

    A damaged outline of another object costs its name, not the person's image.
    """
    reach: Rle | None = None
    found = []
    box = masks.box_of(person)
    for name, annotation in image.others():
        polygons = polygons_of(annotation)
        if box is None or (polygons is not None and not reaches(polygons, box)):
            continue
        try:
            rle = rle_of(annotation.segmentation, size_hw)
        except (ValueError, msgspec.DecodeError):
            continue
        reach = reach or masks.encode(masks.grow(person, REACH_PX))
        if masks.overlap_px(rle, reach):
            found.append((name, rle))
    return found


def reaches(polygons: Polygons, box: tuple[int, int, int, int]) -> bool:
    """Whether the box of any polygon comes within reach of a box (left, top, right, bottom), px."""
    left, top, right, bottom = box
    far = REACH_PX + 1
    return any(
        min(polygon[0::2]) <= right + far
        and max(polygon[0::2]) >= left - far
        and min(polygon[1::2]) <= bottom + far
        and max(polygon[1::2]) >= top - far
        for polygon in polygons
    )


def origin_of(people: Sequence[Person]) -> str:
    """`rle` where any person is one, else `polygon`; `none` where there is nobody."""
    kinds = {bytes(person.annotation.segmentation).lstrip()[:1] for person in people}
    return "rle" if b"{" in kinds else "polygon" if kinds else "none"


def spacing_of(people: Sequence[Person]) -> float | None:
    """Length of the people's outlines per vertex, px; None where anyone is no polygon."""
    outlines = [polygons_of(person.annotation) for person in people]
    if any(outline is None for outline in outlines):
        return None
    return spacing_px([polygon for outline in outlines if outline for polygon in outline])


def seen(people: Sequence[Annotation]) -> tuple[bool | None, int | None]:
    """Whether all people with labelled keypoints show a head, and the fewest keypoints one of them shows.

    A head shows where nose, an eye or an ear is visible (v = 2). Keypoints that are all zero are not labelled.
    """
    visible = [keypoints for keypoints in map(visibility, people) if any(keypoints)]
    if not visible:
        return None, None
    heads = all(VISIBLE in keypoints[HEAD] for keypoints in visible)
    return heads, min(keypoints.count(VISIBLE) for keypoints in visible)


def visibility(annotation: Annotation) -> list[int]:
    """The flag v of each of the 17 keypoints; none where there are no such keypoints."""
    try:
        values = msgspec.json.decode(bytes(annotation.keypoints) or b"[]", type=list[float])
    except msgspec.DecodeError:
        return []
    return [int(flag) for flag in values[2::3]] if len(values) == 3 * KEYPOINTS else []
