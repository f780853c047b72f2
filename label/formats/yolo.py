"""YOLO segmentation: a text file for each image, a line for each outline: its class and x y x y ..., 0 to 1.

Format: https://docs.ultralytics.com/datasets/segment/
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import yaml

from curate.errors import CurateError, FormatError, UsageError
from curate.images import IMAGE_SUFFIXES
from curate.masks import SizeHW
from label.formats.reading import each_file, first_image, label_files, read_bytes, some_of
from label.formats.record import Drawing, HandLabel, Options, Refusal, files_under, relative_name
from label.regions import Classes, Region, draw_regions, polygon

SUFFIXES = (".txt",)
TOOL = "YOLO"
MOST_BYTES = 2**24
MOST_YAML_BYTES = 2**20
"""Class names need little, and YAML takes seconds for a MiB."""
BOX_VALUES = 4
SLACK = 1e-5
"""How far rounding may take a coordinate beyond the image's edge, in shares of its side."""
CLASS_LIST = "classes.txt"
NO_LABELS = frozenset(
    {CLASS_LIST, "names.txt", "labels.txt", "train.txt", "val.txt", "test.txt", "trainval.txt", "readme.txt"}
    | {"readme.dataset.txt", "readme.roboflow.txt"}
)
"""Text files that data sets of YOLO hold beside the labels."""


def detect(path: Path) -> bool:
    """Whether one text file at `path` begins with a line of a class and coordinates."""
    return any(_is_yolo(file) for file in some_of(path, *SUFFIXES))


def _is_yolo(file: Path) -> bool:
    try:
        lines = read_bytes(file, MOST_BYTES).decode("utf-8-sig").split("\n")
        first = next((line for line in lines if line.strip()), "")
        number, points = outline_of(first)
    except (CurateError, ValueError):
        return False
    return number >= 0 and len(points) >= BOX_VALUES // 2 and all(-1 <= value <= 2 for at in points for value in at)


def read(path: Path, options: Options) -> Iterator[HandLabel | Refusal]:
    """A label for each text file at `path`; raises as `Format.read` does.

    The classes are named by the `names` of the data set's YAML file, at `path` or in a folder above the labels.
    """
    names = class_names(path)
    words = options.person or ("person",)
    if not names and not all(word.isdecimal() for word in words):
        told = f"--person {','.join(words)}: there is no YAML file with names, nor {CLASS_LIST}, beside {path}"
        raise UsageError(f"{told}. Say the class: --person 0")
    classes = Classes.of(options).among(names)
    advice = "Name the folder of YOLO's labels"
    return each_file(label_files(path, SUFFIXES, advice, NO_LABELS), lambda file: [_label(file, path, names, classes)])


def class_names(path: Path) -> dict[int, str]:
    """The names of classes, by number, from a YAML file under `path` or in one of the two folders above it.

    Where there is none, from a `classes.txt` there, which has a name in each line.

    Raises:
        FormatError: There is a YAML file with `names`, and they are neither a list nor numbered.
    """
    folders = [path.parent, path.parent.parent]
    near = [file for folder in folders for file in sorted([*folder.glob("*.y*ml"), folder / CLASS_LIST])]
    files = [*files_under(path), *near] if path.is_dir() else near
    for file in files:
        if file.suffix.lower() in (".yaml", ".yml"):
            names = names_in(file)
            if names is not None:
                return names
    lists = (file for file in files if file.name.lower() == CLASS_LIST and file.is_file())
    return next(map(names_listed, lists), {})


def names_listed(file: Path) -> dict[int, str]:
    """The names in a list of classes, one in each line."""
    lines = read_bytes(file, MOST_BYTES).decode("utf-8-sig", "replace").rstrip().split("\n")
    return {number: line.strip() for number, line in enumerate(lines)}


def names_in(file: Path) -> dict[int, str] | None:
    """The `names` of a YAML file; None where it has none.

    Scalars are read as the texts they are: what YAML makes of dates, flags and merged maps may fail, or fill gigabytes.

    Raises:
        FormatError: It is damaged, or its names are neither a list nor numbered.
    """
    try:
        content = yaml.load(read_bytes(file, MOST_YAML_BYTES), yaml.BaseLoader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise FormatError(file, f"is damaged ({str(error).splitlines()[0]})") from error
    found = content.get("names") if isinstance(content, Mapping) else None
    if found is None:
        return None
    numbered = dict(enumerate(found)) if isinstance(found, list) else found
    if isinstance(numbered, Mapping) and all(map(is_name, numbered, numbered.values())):
        return {int(number): name for number, name in numbered.items()}
    raise FormatError(file, "has names that are neither a list nor numbered", "names")


def is_name(number: object, name: object) -> bool:
    """Whether an entry of `names` is a number and a text."""
    return isinstance(name, str) and bool(re.fullmatch(r"[0-9]{1,9}", str(number)))


def _label(file: Path, root: Path, names: Mapping[int, str], classes: Classes) -> HandLabel:
    parts = [part for part in relative_name(file, root).split("/") if part != "labels"]
    draw = partial(draw_file, file, names, classes)
    return HandLabel(file, ("/".join(parts),), "yolo", None, draw, partial(image_of, file))


def image_of(file: Path) -> Path | None:
    """The image beside a label, or in the folder `images` where its path says `labels`."""
    parts = list(file.parent.parts)
    folders = [file.parent]
    if "labels" in parts:
        last = len(parts) - 1 - parts[::-1].index("labels")
        folders.append(Path(*parts[:last], "images", *parts[last + 1 :]))
    return first_image(folders, *(file.stem + suffix for suffix in sorted(IMAGE_SUFFIXES)))


def draw_file(file: Path, names: Mapping[int, str], classes: Classes, size_hw: SizeHW) -> Drawing:
    """The outlines of a file at `size_hw`, each a person by itself. Raises as `draw_regions` does."""
    height, width = size_hw
    try:
        lines = read_bytes(file, MOST_BYTES).decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise FormatError(file, f"is no text ({error}). Export it again") from error
    regions, outside = [], []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                value, points = outline_of(line)
            except ValueError as error:
                raise FormatError(file, f"{error}. Export it again", f"line {number}") from error
            name = names.get(value, str(value))
            if classes.wants(name) and leaves_image(points, file, f"line {number}"):
                outside.append(number)
            scaled = [(x * width, y * height) for x, y in points]
            regions.append(region_of(name, scaled, classes, file, f"line {number}"))
    drawn = draw_regions(regions, classes, None, size_hw, file, TOOL)
    notes = [f"line {number}: coordinates outside 0 to 1, cut at the image's edge" for number in outside]
    return replace(drawn, notes=(*drawn.notes, *notes))


def leaves_image(points: list[tuple[float, float]], file: Path, place: str) -> bool:
    """Whether a corner lies beside the image, by more than rounding; FormatError where it is a whole side or more."""
    far = max((max(-value, value - 1) for point in points for value in point), default=0.0)
    if far > 1:
        told = f"a coordinate lies {far:g} beyond 0 to 1, the shares of the image's sides that are expected"
        raise FormatError(file, f"{told}. Export it normalised", place)
    return far > SLACK


def region_of(name: str, points: list[tuple[float, float]], classes: Classes, file: Path, place: str) -> Region:
    """One line; FormatError where it is a person's box, which would leave the background in."""
    if len(points) == BOX_VALUES // 2 and classes.wants(name):
        raise FormatError(file, f"{name[:40]} is a box; expected an outline. Export it for segmentation", place)
    return polygon(name, points, place)


def outline_of(line: str) -> tuple[int, list[tuple[float, float]]]:
    """The class and the points of a line.

    Raises:
        ValueError: It is not a class and pairs of finite numbers.

    >>> outline_of("0 0.1 0.2 0.5 0.2 0.5 0.9")
    (0, [(0.1, 0.2), (0.5, 0.2), (0.5, 0.9)])
    """
    first, *rest = line.split() or [""]
    if not (first.isascii() and first.isdecimal()):
        raise ValueError(f"begins with {first[:20]!r}, expected the number of a class")
    values = [number_of(text) for text in rest]
    if len(values) % 2 or not all(map(math.isfinite, values)):
        raise ValueError(f"has {len(values)} coordinates, expected pairs of finite numbers")
    return int(first), list(zip(values[0::2], values[1::2], strict=True))


def number_of(text: str) -> float:
    """A coordinate; ValueError, in words, where it is no number."""
    try:
        return float(text)
    except ValueError as error:
        raise ValueError(f"holds {text[:20]!r}, expected a number") from error
