"""Datumaro JSON: polygons, masks and ellipses of its items.

Format: https://open-edge-platform.github.io/datumaro/ (formats, "Datumaro").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import msgspec

from curate.errors import FormatError
from curate.masks import SizeHW
from curate.sources.coco_shapes import RunLengths
from label.formats.coco import rle_of_shape
from label.formats.reading import (
    checked_size,
    each_file,
    first_image,
    label_files,
    or_refusal,
    peek,
    read_json,
    some_of,
)
from label.formats.record import Drawing, HandLabel, Options, Refusal
from label.regions import Classes, Region, draw_regions, ellipse, polygon, without_area

SUFFIXES = (".json",)
TOOL = "Datumaro"
WITHOUT_AREA = frozenset({"label", "caption", "points", "polyline", "skeleton", "hash_key"})
MOST_BYTES = 2**30


class Annotation(msgspec.Struct, frozen=True):
    """One annotation; `group` is 0 where it belongs to no other."""

    type: str
    label_id: int | None = None
    group: int = 0
    points: list[float] = []
    rle: RunLengths | None = None


class Picture(msgspec.Struct, frozen=True):
    """An item's image."""

    path: str = ""
    size: tuple[int, int] | None = None


class Item(msgspec.Struct, frozen=True):
    """One image with its annotations."""

    id: str
    annotations: list[Annotation] = []
    image: Picture | None = None
    media: Picture | None = None


class LabelName(msgspec.Struct, frozen=True):
    """A class."""

    name: str


class LabelNames(msgspec.Struct, frozen=True):
    """The classes; `label_id` counts through them."""

    labels: list[LabelName] = []


class Categories(msgspec.Struct, frozen=True):
    """The categories of all kinds, of which the labels are read."""

    label: LabelNames = LabelNames()


class Export(msgspec.Struct, frozen=True):
    """One file, which is one subset."""

    categories: Categories
    items: list[Item]


def detect(path: Path) -> bool:
    """Whether one JSON file at `path` has categories and items."""
    return any((top := peek(file)) and top.has(categories="{", items="[") for file in some_of(path, *SUFFIXES))


def read(path: Path, options: Options) -> Iterator[HandLabel | Refusal]:
    """A label for each item in the JSON files at `path`; raises as `Format.read` does."""
    classes = Classes.of(options)
    return each_file(
        label_files(path, SUFFIXES, "Name the folder Datumaro exported to"), lambda file: _labels(file, classes)
    )


def _labels(file: Path, classes: Classes) -> Iterator[HandLabel | Refusal]:
    export = read_json(file, Export, TOOL, most=MOST_BYTES)
    names = {number: label.name for number, label in enumerate(export.categories.label.labels)}
    known = classes.among(names)
    for number, item in enumerate(export.items):
        yield or_refusal(file, partial(_label, file, f"items[{number}]", item, names, known))


def _label(file: Path, place: str, item: Item, names: Mapping[int, str], classes: Classes) -> HandLabel:
    picture = item.image or item.media or Picture()
    height, width = picture.size or (None, None)
    size_hw = checked_size(height, width, file, place, TOOL)
    called = tuple(dict.fromkeys(name.replace("\\", "/") for name in (item.id, picture.path) if name))
    draw = partial(draw_item, item, size_hw, names, classes, file, place)
    return HandLabel(file, called, "datumaro", size_hw, draw, partial(image_of, file, picture.path or item.id), place)


def image_of(file: Path, name: str) -> Path | None:
    """An image where Datumaro keeps it: in `images`, or in the subset's folder there."""
    images = file.parent.parent / "images"
    return first_image((images / file.stem, images), name)


def draw_item(
    item: Item,
    stated: SizeHW | None,
    names: Mapping[int, str],
    classes: Classes,
    file: Path,
    place: str,
    size_hw: SizeHW,
) -> Drawing:
    """An item's annotations at `size_hw`; those of one group are one person. Raises as `draw_regions` does."""
    outlined = {one.group for one in item.annotations if one.type in ("polygon", "mask", "ellipse")} - {0}
    regions = [
        region_of(one, names, classes, file, f"{place}.annotations[{number}]", boxed=one.group in outlined)
        for number, one in enumerate(item.annotations)
    ]
    return draw_regions(regions, classes, stated, size_hw, file, TOOL)


def region_of(
    one: Annotation, names: Mapping[int, str], classes: Classes, file: Path, place: str, *, boxed: bool
) -> Region:
    """One annotation; `boxed`: it is in a group with an outline, so that a box adds nothing.

    Raises:
        FormatError: It is of no class, damaged, or a person is a box, which would leave the background in.
    """
    name = "without a name" if one.label_id is None else names.get(one.label_id, f"class {one.label_id}")
    if one.type in WITHOUT_AREA or not classes.wants(name) or (one.type == "bbox" and boxed):
        return without_area(name, one.type, place)
    person = one.group or None
    if one.type == "polygon":
        if len(one.points) % 2:
            raise FormatError(file, f"a polygon has {len(one.points)} values, which are no pairs of x and y", place)
        return polygon(name, list(zip(one.points[0::2], one.points[1::2], strict=True)), place, person)
    if one.type == "ellipse" and len(one.points) == 4:
        left, top, right, bottom = one.points
        radii = ((right - left) / 2, (bottom - top) / 2)
        return ellipse(name, ((left + right) / 2, (top + bottom) / 2), radii, place, person)
    if one.type == "mask" and one.rle is not None:
        return Region(name, partial(rle_of_shape, one.rle, file, place), place, person=person)
    told = f"{name[:40]} is a {one.type[:20]}, which is no outline"
    raise FormatError(file, f"{told}. Draw a polygon or a mask, or delete it", place)
