"""LabelMe JSON: polygons, rectangles, circles and masks; shapes unite, ignored regions lie below the person.

Format: https://github.com/wkentaro/labelme (labelme/_label_file.py, labelme/utils/shape.py).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from curate import images
from curate.errors import CurateError, FormatError, UsageError
from curate.masks import FAR, Rle, SizeHW, area_px, decode, encode, rle_of_polygons, target_of, union_rle
from label.formats.record import Drawing, HandLabel, Refusal, files_under, relative_name

SUFFIX = ".json"
DEFAULT_PERSON, DEFAULT_IGNORE = ("person",), ("__ignore__",)
MAX_JSON_BYTES = 256 * 2**20
MAX_SHAPES = 10_000
MAX_OUTLINE_PX = 5_000_000
"""The summed length of a file's outlines; pycocotools keeps five points per pixel of it in memory."""

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


@dataclass(frozen=True)
class Classes:
    """The labels that are person and those not counted, case folded."""

    person: frozenset[str]
    ignore: frozenset[str]


def detect(path: Path) -> bool:
    """Whether one JSON object at `path` has a list `shapes`."""
    return any(_has_shapes(file) for file in _json_files(path))


def _json_files(path: Path) -> list[Path]:
    return [file for file in files_under(path) if file.suffix.lower() == SUFFIX]


def _has_shapes(file: Path) -> bool:
    try:
        msgspec.json.decode(_read_bytes(file), type=_Probe)
    except (CurateError, msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return False
    return True


def read(path: Path, person: tuple[str, ...] | None, ignore: tuple[str, ...] | None) -> Iterator[HandLabel | Refusal]:
    """A label for each JSON file at `path`.

    Args:
        path: A JSON file or a folder of them, at any depth.
        person: Labels that are person, compared case-insensitively; None means `person`.
        ignore: Labels not to be counted; None means `__ignore__`.

    Raises:
        UsageError: A label is both.
        FormatError: There is no JSON file at `path`.
    """
    classes = Classes(_folded(person or DEFAULT_PERSON), _folded(ignore or DEFAULT_IGNORE))
    if both := classes.person & classes.ignore:
        raise UsageError(f"the label {min(both)} is both --person and --ignore")
    files = [path] if path.is_file() else _json_files(path)
    if not files:
        raise FormatError(path, "holds no .json file. Name the folder LabelMe saved to")
    return (_label(file, path, classes) for file in files)


def _folded(names: Sequence[str]) -> frozenset[str]:
    return frozenset(name.strip().casefold() for name in names)


def _label(file: Path, root: Path, classes: Classes) -> HandLabel | Refusal:
    try:
        export = read_export(file)
        stated = stated_size(export, file)
    except CurateError as error:
        return Refusal(file, str(error))
    image_name = (export.imagePath or "").replace("\\", "/")
    names = tuple(name for name in (image_name, relative_name(file, root)) if name)
    tool = f"labelme {export.version[:40]}" if export.version else "labelme"
    draw = partial(draw_export, export, stated, classes, file)
    return HandLabel(file, names, tool, stated, draw, partial(image_hash, export, file, image_name))


def read_export(file: Path) -> Export:
    """The file's content, its types checked.

    Raises:
        FormatError: It is larger than MAX_JSON_BYTES, no JSON, or a field is not what LabelMe writes there.
    """
    data = _read_bytes(file)
    try:
        return msgspec.json.decode(data, type=Export)
    except msgspec.ValidationError as error:
        raise FormatError(file, f"is not LabelMe's: {error}. Save it again in LabelMe") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FormatError(file, f"is damaged ({error}). Save it again in LabelMe") from error
    except RecursionError as error:
        raise FormatError(file, "is nested deeper than any label file. Save it again in LabelMe") from error


def _read_bytes(file: Path) -> bytes:
    if not file.is_file():
        raise FormatError(file, "is not a regular file")
    try:
        if file.stat().st_size > MAX_JSON_BYTES:
            raise FormatError(file, f"has more than {MAX_JSON_BYTES >> 20} MiB. Save it without image data")
        return file.read_bytes()
    except OSError as error:
        raise FormatError(file, f"cannot be read ({error.strerror})") from error


def stated_size(export: Export, file: Path) -> SizeHW | None:
    """(height, width) px of the image the file says it was drawn on; None where it says neither.

    Raises:
        FormatError: Only one side is stated, or there are no pixels, or more than images.MAX_PIXELS.
    """
    height, width = export.imageHeight, export.imageWidth
    if height is None and width is None:
        return None
    if height is None or width is None or height < 1 or width < 1 or height * width > images.MAX_PIXELS:
        problem = f"imageHeight {height} and imageWidth {width}; expected the image's size in px"
        raise FormatError(file, f"{problem}, at most {images.MAX_PIXELS} in all. Save it again in LabelMe")
    return height, width


def image_hash(export: Export, file: Path, image_name: str) -> str | None:
    """Digest of the image's bytes: the embedded ones, else those of the file of that name beside the JSON.

    Only the name's last part is used: nothing outside the JSON's own folder is opened.
    """
    if export.imageData:
        try:
            return hashlib.sha256(base64.b64decode(export.imageData, validate=True)).hexdigest()
        except (binascii.Error, ValueError):
            return None
    beside = file.parent / Path(image_name).name
    try:
        if not Path(image_name).name or not beside.is_file():
            return None
        with beside.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except (OSError, ValueError):
        return None


def draw_export(export: Export, stated: SizeHW | None, classes: Classes, file: Path, size_hw: SizeHW) -> Drawing:
    """The person and ignored shapes at `size_hw`, rasterised at the stated size exactly as pycocotools does it.

    Shapes of one `group_id` are one person, a shape without is one by itself; a person whose raster is empty counts
    as nobody.

    Raises:
        FormatError: A shape cannot be drawn; the place is named.
        MismatchError: The stated size has another aspect ratio than `size_hw`.
    """
    drawn_hw = stated or size_hw
    chosen = _chosen(export, classes, file, drawn_hw)
    people: dict[object, list[Rle]] = {}
    ignored: list[Rle] = []
    notes: list[str] = []
    for number, shape in chosen:
        place = f"$.shapes[{number}]"
        rle = rle_of_shape(shape, drawn_hw, file, place)
        if area_px(rle) == 0:
            notes.append(f"{place} ({shape.label[:40]}): {why_empty(shape)}, passed over")
        elif shape.label.strip().casefold() in classes.person:
            people.setdefault(_person_key(number, shape), []).append(rle)
        else:
            ignored.append(rle)
    united = union_rle([rle for parts in people.values() for rle in parts], drawn_hw)
    target = target_of(decode(united), decode(union_rle(ignored, drawn_hw)))
    fitted = images.fit_mask(target, size_hw, file).astype(np.uint8, copy=False)
    return Drawing(fitted, len(people), shapes_found(export), tuple(notes))


def _person_key(number: int, shape: Shape) -> tuple[str, object]:
    return ("shape", number) if shape.group_id is None else ("group", shape.group_id)


def _chosen(export: Export, classes: Classes, file: Path, size_hw: SizeHW) -> list[tuple[int, Shape]]:
    """The shapes that are person or ignored with their numbers, their coordinates checked."""
    wanted = classes.person | classes.ignore
    chosen = [(n, shape) for n, shape in enumerate(export.shapes) if shape.label.strip().casefold() in wanted]
    if len(chosen) > MAX_SHAPES:
        raise FormatError(file, f"has {len(chosen)} shapes of a person, more than {MAX_SHAPES}. Mend it in LabelMe")
    for number, shape in chosen:
        check_points(shape, size_hw, file, f"$.shapes[{number}]")
    length_px = sum(outline_px(shape) for _, shape in chosen)
    if length_px > MAX_OUTLINE_PX:
        raise FormatError(
            file, f"its outlines are {length_px:.0f} px long, more than {MAX_OUTLINE_PX}. Mend it in LabelMe"
        )
    return chosen


def check_points(shape: Shape, size_hw: SizeHW, file: Path, place: str) -> None:
    """Refuse a point FAR image sides outside the image; tools let points lie a little outside."""
    height, width = size_hw
    low, high = -FAR * max(size_hw), (FAR + 1) * max(size_hw)
    for x, y in shape.points:
        if not (low <= min(x, y) and max(x, y) <= high):
            problem = f"point ({x:g}, {y:g}) lies far outside the image of {height}x{width} (HxW)"
            raise FormatError(file, f"{problem}. Mend the shape in LabelMe", place)


def outline_px(shape: Shape) -> float:
    """Length in px of the closed line through the shape's points; 0 for none."""
    if not shape.points:
        return 0.0
    points = np.array(shape.points)
    return float(np.abs(points - np.roll(points, 1, axis=0)).sum())


def why_empty(shape: Shape) -> str:
    """Why a shape has no pixel, for a note."""
    kind, count = shape.shape_type or "polygon", len(shape.points)
    if kind == "polygon" and count < 3:
        return f"a polygon of {count} point{'s' if count != 1 else ''} encloses nothing, 3 are needed"
    return f"a {kind} encloses nothing" if kind in WITHOUT_AREA else f"this {kind} covers no pixel of the image"


def rle_of_shape(shape: Shape, size_hw: SizeHW, file: Path, place: str) -> Rle:
    """The pixels of one shape.

    Raises:
        FormatError: The shape's type is not known, or it has another number of points than its type.
    """
    kind, count = shape.shape_type or "polygon", len(shape.points)
    if kind == "polygon" or (kind in ("rectangle", "rotation") and count == 4):
        return rle_of_polygons([[value for point in shape.points for value in point]], size_hw)
    if kind in WITHOUT_AREA:
        return union_rle([], size_hw)
    if kind not in ("rectangle", "circle", "mask"):
        raise FormatError(
            file, f"shape_type {kind[:40]} is not known; expected polygon, rectangle, circle or mask", place
        )
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
    (x0, y0), (x1, y1) = [(int(x), int(y)) for x, y in shape.points]
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


def shapes_found(export: Export) -> str:
    """`shapes bus 2, car 1`, the most frequent first."""
    counted = Counter(shape.label[:40] for shape in export.shapes).most_common(6)
    return f"shapes {', '.join(f'{name} {count}' for name, count in counted)}" if counted else "no shapes"
