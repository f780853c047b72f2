"""Supervisely JSON: bitmaps, and polygons with their holes, a file for each image.

Format: https://developer.supervisely.com/getting-started/supervisely-annotation-format/objects
"""

from __future__ import annotations

import base64
import binascii
import io
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
from PIL import Image

from curate.errors import FormatError
from curate.masks import Mask, Rle, SizeHW, decode, encode, rle_of_polygons, union_rle
from label.formats.png import SIGNATURE
from label.formats.reading import checked_size, each_file, image_file, label_files, peek, read_json, some_of, utc_time
from label.formats.record import Drawing, HandLabel, Options, Refusal, relative_name
from label.regions import Classes, Region, box, draw_regions, polygon, without_area

SUFFIXES = (".json",)
TOOL = "Supervisely"
MOST_PNG_BYTES = 2**26
HALF = 128
BITMAPS = ("bitmap", "alpha_mask")
"""An alpha mask is a bitmap with soft edges; a person is what is at least half opaque."""
NO_LABELS = frozenset({"meta.json", "key_id_map.json", "obj_class_to_machine_color.json"})
NO_LABELS_IN = "img_info"
"""A folder beside `ann` that tells of the photographs."""
WITHOUT_AREA = frozenset({"point", "line", "graph", "any"})


class Bitmap(msgspec.Struct, frozen=True):
    """A part of the image: a PNG, deflated, in base64, and its first pixel (x, y)."""

    data: str
    origin: tuple[int, int]


class Points(msgspec.Struct, frozen=True):
    """An outline and its holes, (x, y) px."""

    exterior: list[tuple[float, float]] = []
    interior: list[list[tuple[float, float]]] = []


class Object(msgspec.Struct, frozen=True):
    """One object."""

    classTitle: str  # noqa: N815 (the key in the file)
    geometryType: str | None = None  # noqa: N815
    bitmap: Bitmap | None = None
    points: Points | None = None
    labelerLogin: str | None = None  # noqa: N815
    updatedAt: str | None = None  # noqa: N815


class Size(msgspec.Struct, frozen=True):
    """The image's size, px."""

    height: int
    width: int


class Export(msgspec.Struct, frozen=True):
    """One file."""

    size: Size
    objects: list[Object]


def detect(path: Path) -> bool:
    """Whether one JSON file at `path` has a size and objects."""
    return any((top := peek(file)) and top.has(size="{", objects="[") for file in some_of(path, *SUFFIXES))


def read(path: Path, options: Options) -> Iterator[HandLabel | Refusal]:
    """A label for each annotation file at `path`; raises as `Format.read` does."""
    classes, advice = Classes.of(options), "Name the project's folder, or its ann/"
    files = [
        file
        for file in label_files(path, SUFFIXES, advice, NO_LABELS)
        if file == path or NO_LABELS_IN not in file.relative_to(path).parts
    ]
    return each_file(files, lambda file: [_label(file, path, classes)])


def _label(file: Path, root: Path, classes: Classes) -> HandLabel:
    export = read_json(file, Export, TOOL)
    stated = checked_size(export.size.height, export.size.width, file, "size", TOOL)
    parts = [part for part in relative_name(file, root).split("/") if part != "ann"]
    name = "/".join(parts)  # ann/photo.jpg.json is of img/photo.jpg
    draw = partial(draw_export, export, stated, classes, file)
    last = max(export.objects, key=lambda one: one.updatedAt or "", default=None)
    author, time = (last.labelerLogin, last.updatedAt) if last else (None, None)
    photo = partial(image_file, file.parent.parent / "img", parts[-1])
    return HandLabel(file, (name,), "supervisely", stated, draw, photo, "", author, utc_time(time))


def draw_export(export: Export, stated: SizeHW | None, classes: Classes, file: Path, size_hw: SizeHW) -> Drawing:
    """The objects at `size_hw`, each a person by itself. Raises as `draw_regions` does."""
    regions = [region_of(one, file, f"objects[{number}]", classes) for number, one in enumerate(export.objects)]
    return draw_regions(regions, classes, stated, size_hw, file, TOOL)


def region_of(one: Object, file: Path, place: str, classes: Classes) -> Region:
    """One object.

    Raises:
        FormatError: It has no shape that is known.
    """
    name, kind = one.classTitle, one.geometryType or ("bitmap" if one.bitmap else "polygon")
    if kind in WITHOUT_AREA or not classes.wants(name):
        return without_area(name, kind, place)
    if kind in BITMAPS and one.bitmap is not None:
        return Region(name, partial(rle_of_bitmap, one.bitmap, kind == "alpha_mask", file, place), place)
    if kind == "rectangle" and one.points is not None and len(one.points.exterior) == 2:
        corner, opposite = one.points.exterior
        return box(name, corner, opposite, place)
    if kind == "polygon" and one.points is not None:
        outline = polygon(name, one.points.exterior, place)
        if not one.points.interior:
            return outline
        corners = [point for ring in (one.points.exterior, *one.points.interior) for point in ring]
        return Region(name, partial(rle_with_holes, one.points), place, corners)
    told = f"{name[:40]} is a {kind[:20]}, of which no pixels are known"
    raise FormatError(file, f"{told}; expected bitmap, polygon or rectangle", place)


def rle_with_holes(points: Points, size_hw: SizeHW) -> Rle:
    """An outline without its holes."""
    rings = (points.exterior, *points.interior)
    first, *holes = (rle_of_polygons([[value for point in ring for value in point]], size_hw) for ring in rings)
    return encode(decode(first) & ~decode(union_rle(holes, size_hw)))


def rle_of_bitmap(bitmap: Bitmap, soft: bool, file: Path, place: str, size_hw: SizeHW) -> Rle:
    """A bitmap laid into the image; `soft`: its values are opacities.

    Raises:
        FormatError: It is damaged, or leaves the image.
    """
    mask = np.zeros(size_hw, bool)
    left, top = bitmap.origin
    try:
        data = base64.b64decode(bitmap.data, validate=True)
        if not data.startswith(SIGNATURE):
            data = zlib.decompressobj().decompress(data, MOST_PNG_BYTES)
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            height, width = image.height, image.width
            if left < 0 or top < 0 or left + width > size_hw[1] or top + height > size_hw[0]:
                shape = f"{height}x{width} (HxW) at ({left}, {top})"
                told = f"the bitmap of {shape} leaves the image of {size_hw[0]}x{size_hw[1]}"
                raise FormatError(file, f"{told}. Export it again", place)
            mask[top : top + height, left : left + width] = part_of(image, soft)
    except (binascii.Error, zlib.error, ValueError, OSError, SyntaxError) as error:
        told = f"is no deflated PNG in base64 ({error}). Export it again"
        raise FormatError(file, told, f"{place}.bitmap") from error
    return encode(mask)


def part_of(image: Image.Image, soft: bool) -> Mask:
    """A bitmap's pixels: of a PNG with alpha those that are not clear, else those that are not 0.

    Of a soft one those that are at least half opaque.
    """
    values, clear = np.array(image), image.info.get("transparency")
    channel = values if values.ndim == 2 else values[..., -1 if values.shape[2] in (2, 4) else 0]
    if soft:
        return channel >= HALF
    mask: Mask = channel != (clear if isinstance(clear, int) and values.ndim == 2 else 0)
    return mask
