"""LabelMe JSON: polygons, rectangles, circles and masks; shapes unite, ignored regions lie below the person.

Format: https://github.com/wkentaro/labelme (labelme/_label_file.py, labelme/utils/shape.py).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from curate import images
from curate.errors import FormatError
from curate.masks import Rle, SizeHW, encode, rle_of_polygons, union_rle
from label.formats.reading import checked_size, each_file, image_file, label_files, peek, read_json, some_of
from label.formats.record import Drawing, HandLabel, Options, Refusal, relative_name
from label.regions import Classes, Region, draw_regions, polygon

SUFFIXES = (".json",)
TOOL = "LabelMe"
TURNED = ("rectangle", "rotation", "oriented_rectangle")
"""Rectangles that may be turned: with four corners they are polygons."""
WITHOUT_AREA = frozenset({"point", "points", "line", "linestrip"})


class Shape(msgspec.Struct, frozen=True):
    """One shape; coordinates are (x, y) px, continuous."""

    label: str
    points: list[tuple[float, float]]
    shape_type: str | None = None
    group_id: int | str | float | None = None
    mask: str | None = None


class Export(msgspec.Struct, frozen=True):
    """One JSON file, as far as it is read here."""

    shapes: list[Shape]
    version: str | None = None
    imagePath: str | None = None  # noqa: N815 (the key in the file)
    imageHeight: int | None = None  # noqa: N815
    imageWidth: int | None = None  # noqa: N815
    imageData: str | None = None  # noqa: N815


class _Probe(msgspec.Struct, frozen=True):
    shapes: list[msgspec.Raw]


def detect(path: Path) -> bool:
    """Whether one JSON object at `path` has a list `shapes`."""
    return any((top := peek(file)) and top.has(shapes="[") for file in some_of(path, *SUFFIXES))


def read(path: Path, options: Options) -> Iterator[HandLabel | Refusal]:
    """A label for each JSON file at `path`, at any depth; raises as `Format.read` does."""
    classes = Classes.of(options)
    return each_file(
        label_files(path, SUFFIXES, "Name the folder LabelMe saved to"), lambda file: [_label(file, path, classes)]
    )


def _label(file: Path, root: Path, classes: Classes) -> HandLabel:
    export = read_json(file, Export, TOOL)
    stated = checked_size(export.imageHeight, export.imageWidth, file, "$", TOOL)
    image_name = (export.imagePath or "").replace("\\", "/")
    names = tuple(name for name in (image_name, relative_name(file, root)) if name)
    tool = f"labelme {export.version[:40]}" if export.version else "labelme"
    draw = partial(draw_export, msgspec.structs.replace(export, imageData=None), stated, classes, file)
    photo = partial(embedded_image, file) if export.imageData else partial(image_file, file.parent, image_name)
    return HandLabel(file, names, tool, stated, draw, photo)


def embedded_image(file: Path) -> bytes | None:
    """The image's bytes in a file, read again: thousands of them would fill the memory. None where they are damaged."""
    try:
        return base64.b64decode(read_json(file, Export, TOOL).imageData or "", validate=True)
    except (binascii.Error, ValueError):
        return None


def draw_export(export: Export, stated: SizeHW | None, classes: Classes, file: Path, size_hw: SizeHW) -> Drawing:
    """The shapes at `size_hw`; shapes of one `group_id` are one person. Raises as `draw_regions` does."""
    regions = [region_of(shape, file, f"$.shapes[{number}]") for number, shape in enumerate(export.shapes)]
    return draw_regions(regions, classes, stated, size_hw, file, TOOL)


def region_of(shape: Shape, file: Path, place: str) -> Region:
    """One shape as a region."""
    kind, count = shape.shape_type or "polygon", len(shape.points)
    if kind == "polygon" or (kind in TURNED and count == 4):
        return polygon(shape.label, shape.points, place, shape.group_id)
    empty = f"a {kind} encloses nothing" if kind in WITHOUT_AREA else f"this {kind} covers no pixel of the image"
    draw = partial(rle_of_shape, shape, file=file, place=place)
    return Region(shape.label, draw, place, shape.points, shape.group_id, empty)


def rle_of_shape(shape: Shape, size_hw: SizeHW, file: Path, place: str) -> Rle:
    """The pixels of one shape that is no polygon.

    Raises:
        FormatError: The shape's type is not known, or it has another number of points than its type.
    """
    kind, count = shape.shape_type, len(shape.points)
    if kind in WITHOUT_AREA:
        return union_rle([], size_hw)
    if kind not in ("rectangle", "circle", "mask"):
        told = f"shape_type {str(kind)[:40]} is not known; expected polygon, rectangle, circle or mask"
        raise FormatError(file, told, place)
    if count != 2:
        raise FormatError(file, f"a {kind} of {count} points; expected 2. Mend it in LabelMe", place)
    if kind == "mask":
        return rle_of_mask(shape, size_hw, file, place)
    return rle_of_rectangle(shape, size_hw) if kind == "rectangle" else rle_of_circle(shape, size_hw)


def rle_of_rectangle(shape: Shape, size_hw: SizeHW) -> Rle:
    """The box between two opposite corners, in any order, in continuous coordinates."""
    (x0, y0), (x1, y1) = shape.points
    return rle_of_polygons([[x0, y0, x1, y0, x1, y1, x0, y1]], size_hw)


def rle_of_circle(shape: Shape, size_hw: SizeHW) -> Rle:
    """The pixels whose centre lies within the circle given by its centre and a point on it."""
    (x, y), (on_x, on_y) = shape.points
    rows, columns = np.ogrid[: size_hw[0], : size_hw[1]]
    squared_radius_px = (on_x - x) ** 2 + (on_y - y) ** 2
    return encode((columns + 0.5 - x) ** 2 <= squared_radius_px - (rows + 0.5 - y) ** 2)


def rle_of_mask(shape: Shape, size_hw: SizeHW, file: Path, place: str) -> Rle:
    """A PNG laid into its bounding box, whose corners are pixels and both inside (LabelMe), so its side is x1 - x0 + 1.

    Raises:
        FormatError: There is no PNG, it is damaged, or the box leaves the image.
        MismatchError: The PNG is not as large as the box.
    """
    (left, top), (right, bottom) = shape.points
    x0, y0 = round(left), round(top)  # a mask that was moved has fractions, and the size that it had
    x1, y1 = x0 + round(right - left), y0 + round(bottom - top)
    if not (0 <= x0 <= x1 < size_hw[1] and 0 <= y0 <= y1 < size_hw[0]):
        problem = (
            f"the mask's box ({x0}, {y0}) to ({x1}, {y1}) is not inside the image of {size_hw[0]}x{size_hw[1]} (HxW)"
        )
        raise FormatError(file, f"{problem}. Mend it in LabelMe", place)
    try:
        data = base64.b64decode(shape.mask or "", validate=True)
    except (binascii.Error, ValueError) as error:
        raise FormatError(file, "the mask is not base64. Save it again in LabelMe", place) from error
    part = images.read_mask_bytes(data, (y1 - y0 + 1, x1 - x0 + 1), f"{file} at {place}.mask")
    mask = np.zeros(size_hw, bool)
    mask[y0 : y1 + 1, x0 : x1 + 1] = part
    return encode(mask)
