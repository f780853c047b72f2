"""VGG Image Annotator JSON, of version 1 and 2: polygons, and polylines as closed outlines.

Format: https://www.robots.ox.ac.uk/~vgg/software/via/ ("Export annotations as JSON", "Save project").
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from curate.errors import FormatError
from curate.masks import SizeHW
from label.formats.reading import Peek, each_file, image_file, label_files, peek, read_json, some_of
from label.formats.record import Drawing, HandLabel, Options, Refusal
from label.regions import Classes, Region, box, draw_regions, ellipse, polygon, without_area

SUFFIXES = (".json",)
TOOL = "VIA"


class Picture(msgspec.Struct, frozen=True):
    """One image's entry."""

    filename: str
    regions: list[Any] | dict[str, Any]


class Project(msgspec.Struct, frozen=True):
    """A project of VIA 2, which holds the entries one level deeper."""

    pictures: dict[str, Picture] = msgspec.field(name="_via_img_metadata")


class Outline(msgspec.Struct, frozen=True):
    """`shape_attributes` of a region; coordinates are px."""

    name: str
    all_points_x: list[float] = []
    all_points_y: list[float] = []
    x: float = 0
    y: float = 0
    width: float = 0
    height: float = 0
    cx: float = 0
    cy: float = 0
    r: float = 0
    rx: float = 0
    ry: float = 0
    theta: float = 0


class Shape(msgspec.Struct, frozen=True):
    """A region; `region_attributes` are whatever the annotators agreed on."""

    shape_attributes: Outline
    region_attributes: dict[str, Any] = {}


def detect(path: Path) -> bool:
    """Whether one JSON file at `path` holds VIA's entries."""
    return any((top := peek(file)) and (is_project(top) or has_entries(top)) for file in some_of(path, *SUFFIXES))


def is_project(top: Peek) -> bool:
    """Whether a file is a project of VIA 2."""
    return not top.listed and top.has(_via_img_metadata="{")


def has_entries(top: Peek) -> bool:
    """Whether a file holds the entries themselves."""
    return {"filename", "regions"} <= top.first.keys()


def read(path: Path, options: Options) -> Iterator[HandLabel | Refusal]:
    """A label for each image that the JSON files at `path` name; raises as `Format.read` does."""
    classes = Classes.of(options)
    return each_file(label_files(path, SUFFIXES, "Name what VIA exported as JSON"), lambda file: _labels(file, classes))


def _labels(file: Path, classes: Classes) -> Iterator[HandLabel]:
    top = peek(file)
    projected = top is not None and is_project(top)
    pictures = read_json(file, Project, TOOL).pictures if projected else read_json(file, dict[str, Picture], TOOL)
    for key, picture in pictures.items():
        place = f"$[{key!r}]" if len(key) <= 80 else f"$[{key[:80]!r}...]"
        draw = partial(draw_picture, picture, classes, file, place)
        name = picture.filename.replace("\\", "/")
        yield HandLabel(file, (name,), "via", None, draw, partial(image_file, file.parent, name), place)


def draw_picture(picture: Picture, classes: Classes, file: Path, place: str, size_hw: SizeHW) -> Drawing:
    """An entry's regions at `size_hw`, the size of its image, which VIA does not state. Raises as `draw_regions`."""
    numbered = picture.regions.items() if isinstance(picture.regions, dict) else enumerate(picture.regions)
    regions = [region_of(shape, classes, file, f"{place}.regions[{number}]") for number, shape in numbered]
    return draw_regions(regions, classes, None, size_hw, file, TOOL)


def region_of(shape: object, classes: Classes, file: Path, place: str) -> Region:
    """One region.

    Raises:
        FormatError: It is not as VIA writes regions.
    """
    try:
        read = msgspec.convert(shape, Shape)
    except msgspec.ValidationError as error:
        raise FormatError(file, f"is not {TOOL}'s: {error}. Save it again in {TOOL}", place) from error
    outline, name = read.shape_attributes, name_of(read, classes)
    if outline.name in ("polygon", "polyline"):
        return polygon(name, points_of(outline, file, place), place)
    if outline.name == "rect":
        opposite = (outline.x + outline.width, outline.y + outline.height)
        return box(name, (outline.x, outline.y), opposite, place)
    if outline.name in ("circle", "ellipse"):
        radii = (outline.r, outline.r) if outline.name == "circle" else (outline.rx, outline.ry)
        turned_deg = math.degrees(math.fmod(outline.theta, math.tau))
        return ellipse(name, (outline.cx, outline.cy), radii, place, turned_deg=turned_deg)
    if outline.name == "point":
        return without_area(name, "point", place)
    expected = "polygon, polyline, rect, circle, ellipse or point"
    raise FormatError(file, f"shape {outline.name[:40]} is not known; expected {expected}", place)


def points_of(outline: Outline, file: Path, place: str) -> Sequence[tuple[float, float]]:
    """The corners of an outline; FormatError where x and y are not as many."""
    xs, ys = outline.all_points_x, outline.all_points_y
    if len(xs) != len(ys):
        raise FormatError(file, f"has {len(xs)} x and {len(ys)} y. Save it again in {TOOL}", place)
    return list(zip(xs, ys, strict=True))


def name_of(shape: Shape, classes: Classes) -> str:
    """The class of a region: the attribute that names one asked for, else its first; without any it is the person.

    An attribute is a text, or, of checkboxes, an object of the chosen texts.
    """
    names = [name for value in shape.region_attributes.values() for name in texts_of(value) if name.strip()]
    return next((name for name in names if classes.wants(name)), names[0] if names else min(classes.person))


def texts_of(value: object) -> list[str]:
    """The texts of an attribute's value."""
    if isinstance(value, dict):
        return [str(text) for text, chosen in value.items() if chosen]
    return [str(value)] if isinstance(value, str | int | float) else []
