"""CVAT for images 1.1: polygons, masks and ellipses; a person who is only a box is refused.

Format: https://docs.cvat.ai/docs/manual/advanced/xml_format/
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from curate.errors import FormatError
from curate.masks import Rle, SizeHW, encode
from curate.sources.voc_xml import parse_xml
from label.formats.reading import (
    checked_size,
    each_file,
    first_image,
    label_files,
    or_refusal,
    read_bytes,
    some_of,
    utc_time,
)
from label.formats.record import Drawing, HandLabel, Maker, Options, Refusal
from label.regions import Classes, Region, draw_regions, ellipse, polygon, without_area

SUFFIXES = (".xml",)
TOOL = "CVAT"
MOST_BYTES = 2**26
"""A tree takes many times the memory of its text."""
WITHOUT_AREA = {"polyline": "polyline", "points": "set of points", "skeleton": "skeleton", "tag": "tag"}

Element = ElementTree.Element


def detect(path: Path) -> bool:
    """Whether one XML file at `path` has CVAT's root, `annotations`."""
    return any(_is_cvat(file) for file in some_of(path, *SUFFIXES))


def _is_cvat(file: Path) -> bool:
    if not file.is_file():  # a pipe would be waited for
        return False
    try:
        with file.open("rb") as opened:
            _, root = next(ElementTree.iterparse(opened, events=("start",)), (None, None))
        return root is not None and root.tag == "annotations"
    except (OSError, ElementTree.ParseError, ValueError, LookupError):
        return False


def read(path: Path, options: Options) -> Iterator[HandLabel | Refusal]:
    """A label for each image that the XML files at `path` name; raises as `Format.read` does."""
    classes = Classes.of(options)
    advice = "Name what CVAT exported as `CVAT for images 1.1`"
    return each_file(label_files(path, SUFFIXES, advice), lambda file: _labels(file, classes))


def _labels(file: Path, classes: Classes) -> Iterator[HandLabel | Refusal]:
    root = parse_xml(file, read_bytes(file, MOST_BYTES))
    if root.tag != "annotations":
        raise FormatError(file, f"is no export of CVAT: its root is <{root.tag[:40]}>, expected <annotations>")
    if root.find("track") is not None:
        raise FormatError(file, "holds tracks of a video. Export it as `CVAT for images 1.1`")
    version, author, time = (root.findtext(path) for path in ("version", ".//owner/username", "./meta/dumped"))
    maker = Maker(f"cvat {version[:40]}" if version else "cvat", author or None, utc_time(time))
    for position, image in enumerate(root.iter("image")):
        yield or_refusal(file, partial(_label, file, position, image, maker, classes))


def _label(file: Path, position: int, image: Element, maker: Maker, classes: Classes) -> HandLabel:
    name = image.get("name", "").replace("\\", "/")
    place = f"image {image.get('id', str(position))[:20]} ({name[-80:]})"
    height, width = (whole(image, side, file, place) for side in ("height", "width"))
    size_hw = checked_size(height, width, file, place, TOOL)
    path = f"{image.get('subset')}/{name}" if image.get("subset") else name
    draw = partial(draw_image, image, size_hw, classes, file, place)
    photo = partial(image_of, file.parent, path, name)
    return HandLabel(file, (path,), maker.tool, size_hw, draw, photo, place, maker.author, maker.time)


def image_of(folder: Path, path: str, name: str) -> Path | None:
    """An image where CVAT's archives hold it: beside the XML, in `images`, in its subset's folder there."""
    parts = [part for part in path.split("/")[:-1] if part not in ("", ".", "..")]
    return first_image((folder.joinpath("images", *parts), folder / "images", folder), name)


def draw_image(
    image: Element, stated: SizeHW | None, classes: Classes, file: Path, place: str, size_hw: SizeHW
) -> Drawing:
    """An image's shapes at `size_hw`; shapes of one `group_id` are one person. Raises as `draw_regions` does."""
    shapes = [shape for shape in image if shape.get("label") is not None]
    regions = [
        region_of(shape, classes, file, f"{place}, {shape.tag} {number}") for number, shape in enumerate(shapes, 1)
    ]
    return draw_regions(regions, classes, stated, size_hw, file, TOOL)


def region_of(shape: Element, classes: Classes, file: Path, place: str) -> Region:
    """One shape.

    Raises:
        FormatError: Its numbers are none, or a person is a box or a cuboid, which would leave the background in.
    """
    name, group = shape.get("label", ""), shape.get("group_id")
    person = group if group not in (None, "", "0") else None
    if shape.tag in WITHOUT_AREA or not classes.wants(name):
        return without_area(name, WITHOUT_AREA.get(shape.tag, shape.tag), place)
    if shape.tag == "polygon":
        return polygon(name, points_of(shape, file, place), place, person)
    if shape.tag == "ellipse":
        x, y, across, down = (number(shape, key, file, place) for key in ("cx", "cy", "rx", "ry"))
        turned_deg = number(shape, "rotation", file, place, 0.0)
        return ellipse(name, (x, y), (across, down), place, person, turned_deg)
    if shape.tag == "mask":
        return Region(name, mask_of(shape, file, place), place, person=person)
    told = f"{name[:40]} is a {shape.tag[:20]}, which is no outline"
    raise FormatError(file, f"{told}. Draw a polygon or a mask in {TOOL}, or delete it", place)


def points_of(shape: Element, file: Path, place: str) -> list[tuple[float, float]]:
    """The corners of a polygon, `x,y;x,y;...`; FormatError where they are not pairs of numbers."""
    text = shape.get("points", "")
    try:
        points = [(float(x), float(y)) for x, y in (pair.split(",") for pair in text.split(";") if pair.strip())]
    except ValueError as error:
        raise FormatError(file, f"its points are no pairs of numbers ({error}). Export it again", place) from error
    if not all(np.isfinite(point).all() for point in points):
        raise FormatError(file, "a point of it is not finite. Export it again", place)
    return points


def mask_of(shape: Element, file: Path, place: str) -> Callable[[SizeHW], Rle]:
    """What draws a mask: run lengths, row by row and background first, of the box it lies in.

    Raises:
        FormatError: The runs are no numbers, or not as long as the box.
    """
    left, top, width, height = (whole(shape, key, file, place) for key in ("left", "top", "width", "height"))
    try:
        runs = [int(run) for run in shape.get("rle", "").split(",") if run.strip()]
    except ValueError as error:
        raise FormatError(file, f"its run lengths are no numbers ({error}). Export it again", place) from error
    if min(width, height) < 1 or min(runs, default=0) < 0 or sum(runs) != width * height:
        told = f"its run lengths sum to {sum(runs)}, expected {height}x{width} (HxW)"
        raise FormatError(file, f"{told}. Export it again", place)

    def draw(size_hw: SizeHW) -> Rle:
        if left < 0 or top < 0 or left + width > size_hw[1] or top + height > size_hw[0]:
            told = f"its box {width}x{height} at ({left}, {top}) leaves the image of {size_hw[0]}x{size_hw[1]} (HxW)"
            raise FormatError(file, f"{told}. Export it again", place)
        values = np.arange(len(runs)) % 2 == 1
        mask = np.zeros(size_hw, bool)
        mask[top : top + height, left : left + width] = np.repeat(values, runs).reshape(height, width)
        return encode(mask)

    return draw


def number(shape: Element, key: str, file: Path, place: str, default: float | None = None) -> float:
    """A shape's attribute as a number; FormatError where it is none."""
    text = shape.get(key)
    if text is None and default is not None:
        return default
    try:
        value = float(text or "")
    except ValueError as error:
        raise FormatError(file, f"{key} is {str(text)[:40]!r}; expected a number. Export it again", place) from error
    if not np.isfinite(value):
        raise FormatError(file, f"{key} is {value}; expected a number. Export it again", place)
    return value


def whole(shape: Element, key: str, file: Path, place: str) -> int:
    """A shape's attribute as a whole number; FormatError where it is none."""
    value = number(shape, key, file, place)
    if value % 1:
        raise FormatError(file, f"{key} is {value}; expected a whole number. Export it again", place)
    return int(value)
