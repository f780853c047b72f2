"""Label Studio JSON: brush masks, polygons, rectangles and ellipses of each annotator; also bare results of models.

Formats: https://labelstud.io/guide/export (JSON, JSON-MIN). A brush is the image's alpha channel under the rle-pack
coding of https://github.com/thi-ng/umbrella/tree/develop/packages/rle-pack.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec
import numpy as np
from numpy.typing import NDArray

from curate.errors import FormatError
from curate.images import IMAGE_SUFFIXES
from curate.masks import Mask, Rle, SizeHW, encode
from label.formats.reading import (
    Peek,
    checked_size,
    each_file,
    label_files,
    or_refusal,
    peek,
    read_json,
    some_of,
    utc_time,
)
from label.formats.record import Drawing, HandLabel, Options, Refusal, relative_name
from label.regions import Classes, Region, draw_regions, ellipse, polygon, without_area

SUFFIXES = (".json",)
TOOL = "Label Studio"
UPLOAD = re.compile(r"^((?:.*/)?upload/[0-9]+/)[0-9a-f]{8}-(?=[^/]+$)")
"""An uploaded file: Label Studio puts eight digits before the name of each, which only there can be no date."""
CLASS_KEYS = (
    *("brushlabels", "polygonlabels", "rectanglelabels", "ellipselabels", "keypointlabels", "labels"),
    *("vectorlabels", "bitmasklabels"),
)
CHANNELS, WORD = 4, 8
LENGTHS = (3, 4, 8, 16)
"""Widths in bits of the lengths that are written."""

Points = Sequence[tuple[float, float]]


class Value(msgspec.Struct, frozen=True):
    """What a result says; coordinates are per cent of the image's width and height."""

    points: list[tuple[float, float]] | None = None
    rle: list[int] | None = None
    x: float | None = None
    y: float | None = None
    width: float | None = None
    height: float | None = None
    radiusX: float | None = None  # noqa: N815 (the key in the file)
    radiusY: float | None = None  # noqa: N815
    rotation: float = 0.0
    brushlabels: list[str] = []
    polygonlabels: list[str] = []
    rectanglelabels: list[str] = []
    ellipselabels: list[str] = []
    keypointlabels: list[str] = []
    labels: list[str] = []
    vectorlabels: list[str] = []
    bitmasklabels: list[str] = []
    vertices: Any = None
    imageDataURL: Any = None  # noqa: N815
    sequence: Any = None

    @property
    def unread(self) -> str:
        """What kind of shape it is, where it is one that is not read; else empty."""
        kinds = {"vector": self.vertices, "bitmask": self.imageDataURL, "track of a video": self.sequence}
        return next((kind for kind, shape in kinds.items() if shape is not None), "")


class Result(msgspec.Struct, frozen=True):
    """One region of an annotation, or the choice of a class for one of the same `id`."""

    value: Value
    id: str | int | None = None
    type: str | None = None
    original_width: int | None = None
    original_height: int | None = None
    image_rotation: float = 0


class Annotation(msgspec.Struct, frozen=True):
    """What one annotator made of a task, or what a model did."""

    result: list[msgspec.Raw]
    id: int | str | None = None
    completed_by: Any = None
    was_cancelled: bool = False
    updated_at: str | None = None
    created_at: str | None = None
    model_version: str | None = None


class Task(msgspec.Struct, frozen=True):
    """One image; in JSON-MIN `annotations` is missing and the regions stand under the names of the controls."""

    data: dict[str, Any] = {}
    annotations: list[Annotation] | None = None
    predictions: list[msgspec.Raw] = []
    id: int | str | None = None
    file_upload: str | None = None


def detect(path: Path) -> bool:
    """Whether one JSON file at `path` is a list of tasks, or of results."""
    return any((top := peek(file)) and bool(kind_of(top)) for file in some_of(path, *SUFFIXES))


def kind_of(top: Peek) -> str:
    """`tasks`, `results` or `small tasks` (JSON-MIN), as a list's first entry shows; empty for none of them."""
    kinds = {
        "tasks": top.has(data="{", annotations="[") or top.has(data="{", predictions="["),
        "results": top.has(result="["),
        "small tasks": top.has(annotator="", annotation_id=""),
    }
    return next((kind for kind, found in kinds.items() if top.listed and found), "")


def read(path: Path, options: Options) -> Iterator[HandLabel | Refusal]:
    """A label for each annotation in the JSON files at `path`; raises as `Format.read` does."""
    classes = Classes.of(options)
    advice = "Name what Label Studio exported as JSON"
    return each_file(label_files(path, SUFFIXES, advice), lambda file: _labels(file, path, classes))


def _labels(file: Path, root: Path, classes: Classes) -> Iterator[HandLabel | Refusal]:
    top = peek(file)
    kind = kind_of(top) if top is not None else ""
    if kind == "results":
        names = (relative_name(file, root),)
        for number, annotation in enumerate(read_json(file, list[Annotation], TOOL)):
            yield or_refusal(file, partial(label_of, file, names, f"$[{number}]", annotation, classes))
    elif kind == "small tasks":
        for number, small in enumerate(read_json(file, list[dict[str, Any]], TOOL)):
            found = names_of(small), f"$[{number}]", annotation_of(small)
            yield or_refusal(file, partial(label_of, file, *found, classes))
    else:
        for number, task in enumerate(read_json(file, list[Task], TOOL)):
            yield from labels_of_task(file, f"$[{number}]", task, classes)


def labels_of_task(file: Path, place: str, task: Task, classes: Classes) -> Iterator[HandLabel | Refusal]:
    """A label for each of a task's annotations that was handed in."""
    names = names_of(task.data | ({"file_upload": task.file_upload} if task.file_upload else {}))
    if not task.annotations:
        told = "it has only a model's predictions" if task.predictions else "it has no annotation"
        yield Refusal(file, f"{file} at {place}: nobody has annotated this task yet, {told}. Label it, or leave it out")
    for number, annotation in enumerate(task.annotations or ()):
        where = f"{place}.annotations[{number}]"
        if annotation.was_cancelled:
            yield Refusal(file, f"{file} at {where}: was skipped by {author_of(annotation) or 'its annotator'}")
        else:
            yield or_refusal(file, partial(label_of, file, names, where, annotation, classes))


def label_of(file: Path, names: tuple[str, ...], place: str, annotation: Annotation, classes: Classes) -> HandLabel:
    """One annotation.

    Raises:
        FormatError: A result is damaged, they are of several sizes, or no image is named.
    """
    results = [_result(raw, file, f"{place}.result[{n}]") for n, raw in enumerate(annotation.result)]
    stated = stated_size(results, file, place)
    if not names:
        raise FormatError(file, "names no image file in its data. Export the task with its image", place)
    tool = f"label-studio {annotation.model_version[:40]}" if annotation.model_version else "label-studio"
    draw = partial(draw_results, results, stated, classes, file, place)
    time = utc_time(annotation.updated_at or annotation.created_at)
    author = author_of(annotation)
    return HandLabel(file, names, tool, stated, draw, lambda: None, place, author, time, handed_in=author is not None)


def _result(raw: msgspec.Raw, file: Path, place: str) -> Result | None:
    """A result, None where it is of another kind than a region: a choice, a rating, a relation."""
    try:
        return msgspec.json.decode(raw, type=Result, strict=False)
    except msgspec.ValidationError as error:
        if re.search(rb'"type"\s*:\s*"(choices|rating|textarea|relation|number|taxonomy|pairwise)"', bytes(raw)):
            return None
        raise FormatError(file, f"is not {TOOL}'s: {error}. Export it again", place) from error


def stated_size(results: Iterable[Result | None], file: Path, place: str) -> SizeHW | None:
    """The size all results state; None where none does.

    Raises:
        FormatError: They differ, or one is of a turned image.
    """
    sizes = set()
    for number, result in enumerate(results):
        if result is None:
            continue
        if result.image_rotation % 360:
            told = f"was drawn on the image turned by {result.image_rotation:g} degrees. Turn it back in {TOOL}"
            raise FormatError(file, told, f"{place}.result[{number}]")
        sizes.add(checked_size(result.original_height, result.original_width, file, f"{place}.result[{number}]", TOOL))
    sizes.discard(None)
    if len(sizes) > 1:
        raise FormatError(file, f"its results state {len(sizes)} sizes of one image. Export it again", place)
    return sizes.pop() if sizes else None


def draw_results(
    results: Sequence[Result | None], stated: SizeHW | None, classes: Classes, file: Path, place: str, size_hw: SizeHW
) -> Drawing:
    """The regions of an annotation at `size_hw`; raises as `draw_regions` does."""
    drawn_hw = stated or size_hw
    names = {result.id: name for result in results if result and (name := class_of(result.value, classes))}
    regions = []
    for number, result in enumerate(results):
        if result is not None and has_shape(result.value):
            name = class_of(result.value, classes) or names.get(result.id) or "without a name"
            where = f"{place}.result[{number}]"
            if result.value.unread and classes.wants(name):
                told = f"{name[:40]} is a {result.value.unread}, which is not read"
                raise FormatError(file, f"{told}. Draw a brush or a polygon in {TOOL}, or delete it", where)
            regions.append(region_of(result, name, drawn_hw, file, where))
    return draw_regions(regions, classes, stated, size_hw, file, TOOL)


def class_of(value: Value, classes: Classes) -> str | None:
    """The class a value names: one asked for, else its first; None where it names none."""
    names = [name for key in CLASS_KEYS for name in getattr(value, key)]
    return next((name for name in names if classes.wants(name)), names[0] if names else None)


def has_shape(value: Value) -> bool:
    """Whether a value says where something is."""
    return value.rle is not None or value.points is not None or value.x is not None or bool(value.unread)


def region_of(result: Result, name: str, size_hw: SizeHW, file: Path, place: str) -> Region:
    """One result as a region of an image of this size."""
    value, (height, width) = result.value, size_hw
    if value.unread:
        return without_area(name, value.unread, place)
    if value.rle is not None:
        return Region(name, partial(rle_of_brush, value.rle, file, place), place, empty="this brush covers no pixel")
    if value.points is not None:
        return polygon(name, [(x * width / 100, y * height / 100) for x, y in value.points], place)
    x, y = (value.x or 0) * width / 100, (value.y or 0) * height / 100
    if value.radiusX is not None and value.radiusY is not None:
        radii = (value.radiusX * width / 100, value.radiusY * height / 100)
        return ellipse(name, (x, y), radii, place, turned_deg=value.rotation)
    if value.width is None or value.height is None or (result.type or "").startswith("keypoint"):
        return without_area(name, "key point", place)
    return polygon(name, turned(x, y, value.width * width / 100, value.height * height / 100, value.rotation), place)


def turned(x: float, y: float, width: float, height: float, rotation_deg: float) -> Points:
    """The corners of a box turned clockwise about its first corner, (x, y).

    >>> turned(2, 1, 4, 3, 0)
    [(2.0, 1.0), (6.0, 1.0), (6.0, 4.0), (2.0, 4.0)]
    """
    angle = np.deg2rad(rotation_deg)
    along, down = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    corners = [0 * along, width * along, width * along + height * down, height * down]
    return [(x + float(corner[0]), y + float(corner[1])) for corner in corners]


def rle_of_brush(data: list[int], file: Path, place: str, size_hw: SizeHW) -> Rle:
    """A brush as pixels: those whose alpha is not 0.

    Raises:
        FormatError: It is damaged, or of another size.
    """
    height, width = size_hw
    try:
        packed = bytes(data)
        alpha = unpack(packed, height * width * CHANNELS)[CHANNELS - 1 :: CHANNELS]
    except ValueError as error:
        raise FormatError(file, f"its brush is damaged ({error}). Export it again", place) from error
    return encode(alpha.reshape(height, width) > 0)


def unpack(data: bytes, expected: int) -> NDArray[np.uint8]:
    """The values of an rle-pack stream; (expected,) uint8.

    It starts with the number of values (32 bits), their width in bits less one (5), and the widths in bits, less one,
    of four kinds of length (4 each). Each packet is a flag, which of the four its length has (2), the length less one,
    and one value that is repeated (flag 1) or as many values as the length says.

    Raises:
        ValueError: It ends early, or is of another number of values.
    """
    at = 0

    def bits(count: int) -> int:
        nonlocal at
        if at + count > 8 * len(data):
            raise ValueError(f"it ends after {len(data)} bytes")
        first, last = at // 8, (at + count + 7) // 8
        value = int.from_bytes(data[first:last], "big") >> (8 * last - at - count)
        at += count
        return value & ((1 << count) - 1)

    total, word = bits(32), bits(5) + 1
    if total != expected or word > 8:
        raise ValueError(f"it holds {total} values of {word} bits, expected {expected} of 8")
    lengths = [bits(4) + 1 for _ in range(4)]
    values = np.zeros(total, np.uint8)
    done = 0
    while done < total:
        repeated = bits(1)
        end = done + bits(lengths[bits(2)]) + 1
        if end > total:
            raise ValueError(f"it holds more than the {total} values it states")
        if repeated:
            values[done:end] = bits(word)
        else:
            values[done:end] = [bits(word) for _ in range(end - done)]
        done = end
    return values


def pack(mask: Mask) -> bytes:
    """A mask as a brush: its pixels' four channels, 255 or 0, as packets of repeated values; see `unpack`."""
    values = np.repeat(mask.ravel(), CHANNELS)
    starts = np.flatnonzero(np.diff(values, prepend=~values[:1]))
    packets = [f"{values.size:032b}{WORD - 1:05b}", *(f"{width - 1:04b}" for width in LENGTHS)]
    for start, end in zip(starts.tolist(), [*starts[1:].tolist(), values.size], strict=True):
        value = f"{255 if values[start] else 0:08b}"
        for at in range(start, end, 1 << LENGTHS[-1]):
            length = min(end - at, 1 << LENGTHS[-1]) - 1
            kind = next(number for number, width in enumerate(LENGTHS) if length < 1 << width)
            packets.append(f"1{kind:02b}{length:0{LENGTHS[kind]}b}{value}")
    bits = "".join(packets)
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def author_of(annotation: Annotation) -> str | None:
    """Who made an annotation: an address where the file tells it, else the user's number."""
    by = annotation.completed_by
    if isinstance(by, Mapping):
        by = by.get("email") or by.get("username") or by.get("id")
    return None if by is None else str(by)[:100]


def names_of(data: Mapping[str, Any]) -> tuple[str, ...]:
    """What the image of a task may be called: every text in its data that is a path or an address of an image."""
    paths = [path_of(text) for text in data.values() if isinstance(text, str)]
    found = [path for path in paths if PurePosixPath(path).suffix.lower() in IMAGE_SUFFIXES]
    return tuple(dict.fromkeys([*found, *(UPLOAD.sub(r"\1", path) for path in found)]))


def path_of(text: str) -> str:
    """The path in an address, or in the query that Label Studio's local files have.

    >>> path_of("/data/local-files/?d=photos/a%20b.jpg"), path_of("s3://bucket/photos/1.jpg?v=2")
    ('photos/a b.jpg', 'photos/1.jpg')
    """
    try:
        parts = urlsplit(text.replace("\\", "/"))
    except ValueError:
        return text
    local = parse_qs(parts.query).get("d")
    return local[0] if local else unquote(parts.path).lstrip("/")


def annotation_of(small: Mapping[str, Any]) -> Annotation:
    """A task of JSON-MIN as the annotation it stands for: its regions are the values under the controls' names."""
    regions = [one for found in small.values() if isinstance(found, list) for one in found if isinstance(one, dict)]
    results = [
        {"value": one, **{key: one[key] for key in ("original_width", "original_height") if key in one}}
        for one in regions
    ]
    raws = [msgspec.Raw(msgspec.json.encode(result)) for result in results]
    return Annotation(raws, completed_by=small.get("annotator"), updated_at=small.get("updated_at"))
