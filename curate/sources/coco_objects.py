"""What else is in a COCO image: the objects in contact with a person, and those of the classes that are drawn."""

from __future__ import annotations

import msgspec

from curate import masks
from curate.classes import class_png, draw_classes
from curate.foreground import Foreground
from curate.masks import Rle, SizeHW, Target
from curate.sources import Polygons
from curate.sources.coco_shapes import rles_of, shape_of
from curate.sources.coco_table import CocoImage

REACH_PX = 2
"""Objects whose outlines are drawn apart by this much are in contact."""


def touching_objects(image: CocoImage, person: masks.Mask, size_hw: SizeHW) -> list[tuple[str, Rle]]:
    """Category and raster of every other object in contact with a person.

    A damaged outline of another object costs its name, not the person's image.
    """
    reach: Rle | None = None
    found = []
    left, top, width, height = masks.bbox_xywh(person)
    if not width:
        return []
    box = left, top, left + width - 1, top + height - 1
    for name, annotation in image.others():
        try:
            shape = shape_of(annotation.segmentation)
            if isinstance(shape, list) and not reaches(shape, box):
                continue
            rle = masks.union_rle(rles_of(shape, size_hw), size_hw)
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
        len(polygon) > 1
        and min(polygon[0::2]) <= right + far
        and max(polygon[0::2]) >= left - far
        and min(polygon[1::2]) <= bottom + far
        and max(polygon[1::2]) >= top - far
        for polygon in polygons
    )


def classes_beside(
    image: CocoImage, touching: list[tuple[str, Rle]], foreground: Foreground, target: Target
) -> bytes | None:
    """The image's class mask as a file; None where none is drawn, or where it is not known what is there.

    That is where the files that list the image have no category of one of the classes, and where the outline of an
    object of one is damaged or left out.

    Args:
        image: The image.
        touching: Category and raster of the objects in contact with a person.
        foreground: Which classes are drawn.
        target: The image's target.
    """
    if not foreground.can_name(image.known_names()):
        return None
    size_hw, animals = image.record.size_hw, []
    for name, annotation in image.others():
        drawn_as = foreground.class_of(name)
        if drawn_as is None:
            continue
        try:
            shape = shape_of(annotation.segmentation)
            rle = masks.union_rle(rles_of(shape, size_hw), size_hw)
        except (ValueError, msgspec.DecodeError):
            return None
        if isinstance(shape, list) and not any(shape):
            return None
        animals += [rle] * (drawn_as == "animal")
    held = [rle for name, rle in touching if foreground.class_of(name) == "held"]
    objects = [(masks.decode(rle), name) for name, rles in (("held", held), ("animal", animals)) for rle in rles]
    return class_png(draw_classes(size_hw, objects), target)
