"""The labels of COCO images, with masks exactly as pycocotools draws them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from curate import masks
from curate.errors import FormatError
from curate.foreground import PAINTED, Foreground, paint
from curate.masks import Rle, SizeHW
from curate.sources import Label, Limits, Measure, Note, Polygons
from curate.sources.coco_json import Annotation
from curate.sources.coco_keypoints import facing, poses_of, shows_head, visible_keypoints
from curate.sources.coco_objects import classes_beside, touching_objects
from curate.sources.coco_shapes import covers, rles_of, shape_of_person
from curate.sources.coco_table import CocoImage, size_problem, stands_for
from curate.sources.outlines import Outlines, settle

_many_polygons = msgspec.json.Decoder(list[list[list[float]]])


def outlines_of(segmentations: Sequence[msgspec.Raw]) -> Outlines | None:
    """The polygons of many people, decoded in one call; None where anyone is run lengths, damaged, or has no area."""
    try:
        people: Sequence[Polygons] = _many_polygons.decode(b"[" + b",".join(segmentations) + b"]")
    except msgspec.DecodeError:
        return None
    lengths = list(map(len, chain.from_iterable(people)))
    odd = lengths and (min(lengths) < 6 or any(length % 2 for length in lengths))
    return None if odd or not all(people) else Outlines.of(people)


def measure_inside(image: CocoImage, people: Sequence[Sequence[NDArray[np.float64]]]) -> Measure:
    """What an image shows whose people are polygons that nowhere leave it, and that has no crowd."""
    size_hw = image.record.size_hw
    rles = [masks.draw_polygons(polygons, size_hw) for polygons in people]
    empty = sum(not masks.any_px(person) for person in rles)
    union = masks.union_rle([rle for person in rles for rle in person], size_hw)
    return Measure(
        len(people) - empty, False, masks.area_px(union) / (size_hw[0] * size_hw[1]), notes=empty_notes(image, empty)
    )


def empty_notes(image: CocoImage, empty: int) -> tuple[Note, ...]:
    """A note for each annotation of a person without a pixel."""
    return (Note("person annotations have an empty raster and count as nobody", image.record.file_name),) * empty


@dataclass(frozen=True, slots=True)
class Person:
    """A person drawn: the annotation and the rasters of its pieces, which may overlap."""

    annotation: Annotation
    outlines: Polygons | None
    """The polygons; None where it is run lengths."""
    rles: list[Rle]
    empty: bool


class CocoLabels:
    """The labels of a COCO source, drawn when asked for."""

    def __init__(self, images: Sequence[CocoImage], foreground: Foreground) -> None:
        self._images, self._foreground = images, foreground

    def image(self, row: int) -> Path:
        """The photograph's file."""
        image = self._images[row]
        return image.finder.find(image.record.file_name)

    def measure_many(self, rows: Sequence[int], limits: Limits) -> list[Measure | None]:
        """What many labels show; None where the corners of its polygons alone drop one, see `settle`."""
        if self._foreground.min_person_area or self._foreground.paints:
            return [self.measure(row, limits) for row in rows]
        plain = [at for at, row in enumerate(rows) if not self._images[row].has_crowds_or_groups()]
        images = [self._images[rows[at]] for at in plain]
        enough = None if limits.most_people is None else limits.most_people + 1
        people = [image.people()[:enough] for image in images]
        outlines = outlines_of([one.segmentation for found in people for one in found])
        if outlines is None:
            return [self.measure(row, limits) for row in rows]
        counts, sizes = [len(found) for found in people], [image.record.size_hw for image in images]
        settled = settle(outlines, counts, sizes, limits)
        told: dict[int, Measure | None] = {}
        first = 0
        for place, (at, image, count) in enumerate(zip(plain, images, counts, strict=True)):
            if settled.out[place]:
                told[at] = None
            elif settled.fits[place]:
                told[at] = Measure(count, False, float(settled.area[place]))
            elif settled.inside[place] and (enough is None or count < enough):
                told[at] = measure_inside(image, [outlines.person(first + nth) for nth in range(count)])
            first += count
        return [told[at] if at in told else self.measure(row, limits) for at, row in enumerate(rows)]

    def measure(self, row: int, limits: Limits) -> Measure:
        """The union's area without decoding a mask; stops as soon as `most_people` is known to be exceeded."""
        image = self._images[row]
        size_hw, stated, most = image.record.size_hw, image.stated_people(), limits.most_people
        try:
            # Each is looked at, also after one that has pixels: damage to any makes the image unreadable.
            crowds = [covers(one, size_hw) for one in image.people(crowd=True) if one.people != 0]
            crowded = any(crowds)
            if most is not None and crowded:
                return Measure(stated, True)
            people, count = [], 0
            for person in self._people(image, size_hw):
                people.append(person)
                count += self._counts(person, size_hw)
                if most is not None and count > most:
                    return Measure(stated, False)
            not_counted = self._not_counted(image, size_hw)
            area = self._area(image, people, not_counted, size_hw)
        except (ValueError, msgspec.DecodeError) as error:
            return Measure(unreadable=f"segmentation: {error}")
        notes = empty_notes(image, sum(person.empty for person in people))
        return Measure(count, crowded, area, doubtful=not_counted is not None, notes=notes)

    def draw(self, row: int) -> Label:
        """The target: people 255, crowds 128 where no person is, held objects and animals as the recipe says."""
        image = self._images[row]
        size_hw = image.record.size_hw
        if problem := size_problem(size_hw):
            raise FormatError(image.record.file_name, problem)
        try:
            people = [person for person in self._people(image, size_hw) if not person.empty]
            crowd = self._not_counted(image, size_hw)
            union = union_of(people, size_hw)
        except (ValueError, msgspec.DecodeError) as error:
            raise FormatError(image.record.file_name, f"segmentation: {error}") from error
        person = masks.decode(union)
        target = masks.target_of(person, masks.decode(crowd) if crowd else None)
        objects = touching_objects(image, person, size_hw)
        if self._foreground.paints:
            target = paint(target, [(masks.decode(rle), self._foreground.policy_of(name)) for name, rle in objects])
        poses = poses_of([person.annotation for person in people if self._counts(person, size_hw)])
        touching = tuple(sorted({name for name, _ in objects}))
        edges, outlines_px = masks.touched_edges(person), outlines_together(people)
        classes = classes_beside(image, objects, self._foreground, target)
        return Label(
            target,
            origin_of(people),
            touching,
            head_visible=all(map(shows_head, poses)) if poses else None,
            keypoints=min(map(visible_keypoints, poses), default=None),
            outlines_px=outlines_px,
            tags=tuple(sorted({side for side in map(facing, poses) if side is not None})),
            edges=edges,
            classes=classes,
        )

    def _people(self, image: CocoImage, size_hw: SizeHW) -> Iterator[Person]:
        for annotation in image.people():
            shape = shape_of_person(annotation)
            rles = rles_of(shape, size_hw)
            yield Person(annotation, shape if isinstance(shape, list) else None, rles, not masks.any_px(rles))

    def _counts(self, person: Person, size_hw: SizeHW) -> int:
        """How many people a raster counts for: none where it is empty or a small figure."""
        least_px = self._foreground.min_person_area * size_hw[0] * size_hw[1]
        small = least_px and masks.area_px(masks.union_rle(person.rles, size_hw)) < least_px
        return 0 if person.empty or small else stands_for(person.annotation)

    def _not_counted(self, image: CocoImage, size_hw: SizeHW) -> Rle | None:
        """The union of the crowds, and of what our exports call a crowd of nobody; None where no pixel is one's."""
        rles = [rle for crowd in image.people(crowd=True) for rle in rles_of(shape_of_person(crowd), size_hw)]
        union = masks.union_rle(rles, size_hw) if rles else None
        return union if union is not None and masks.area_px(union) else None

    def _area(self, image: CocoImage, people: Sequence[Person], crowd: Rle | None, size_hw: SizeHW) -> float:
        """The area fraction of the target `draw` gives."""
        union = union_of(people, size_hw)
        if self._foreground.paints and any(self._foreground.policy_of(name) in PAINTED for name, _ in image.others()):
            objects = touching_objects(image, masks.decode(union), size_hw)
            target = masks.target_of(masks.decode(union), masks.decode(crowd) if crowd else None)
            painted = [(masks.decode(rle), self._foreground.policy_of(name)) for name, rle in objects]
            return masks.area_fraction(paint(target, painted))
        ignored_px = masks.minus_rle(crowd, union) if crowd else 0
        counted_px = size_hw[0] * size_hw[1] - ignored_px
        return masks.area_px(union) / counted_px if counted_px else 0.0


def union_of(people: Sequence[Person], size_hw: SizeHW) -> Rle:
    """The union of people."""
    return masks.union_rle([rle for person in people for rle in person.rles], size_hw)


def origin_of(people: Sequence[Person]) -> str:
    """`rle` where anyone is run lengths, else `polygon`; `none` where there is nobody."""
    if not people:
        return "none"
    return "rle" if any(person.outlines is None for person in people) else "polygon"


def outlines_together(people: Sequence[Person]) -> Polygons | None:
    """The polygons of all people; None where anyone is run lengths, or there is nobody."""
    outlines = [person.outlines for person in people if person.outlines is not None]
    return [polygon for found in outlines for polygon in found] if people and len(outlines) == len(people) else None
