"""PASCAL VOC folders: `SegmentationClass` says what each pixel is, `SegmentationObject` tells people apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curate import images
from curate.errors import FormatError, MismatchError, UsageError
from curate.masks import SizeHW, target_of, value_counts
from label.colours import Colours, codes_of, read_colours
from label.formats.reading import each_file, files_of, first_image, mask_size
from label.formats.record import Drawing, HandLabel, Options, Refusal, relative_name
from label.regions import folded

SUFFIXES = (".png",)
CLASSES, OBJECTS = "SegmentationClass", "SegmentationObject"
VOID = 255
PERSON_VALUE = 15
"""The value of a person where no list of classes says otherwise."""
NAME_LISTS = ("class_names.txt", "labels.txt")
"""Lists of class names that converters write: one in each line, from `__ignore__`, which is -1, or from the background,
which is 0."""


def detect(path: Path) -> bool:
    """Whether a folder SegmentationClass with PNGs lies at `path`."""
    return bool(_masks(path))


def _masks(path: Path) -> list[Path]:
    return [file for file in files_of(path, *SUFFIXES) if CLASSES in file.relative_to(path.parent).parts[:-1]]


def read(path: Path, options: Options) -> Iterator[HandLabel | Refusal]:
    """A label for each class mask at `path`; raises as `Format.read` does."""
    files = _masks(path)
    if not files:
        raise FormatError(path, f"holds no folder {CLASSES} with .png files. Name the folder above it")
    readers = {root: reader_of(root, options) for root in dict.fromkeys(map(root_of, files))}
    return each_file(files, lambda file: [readers[root_of(file)](file)])


def root_of(file: Path) -> Path:
    """The folder that a class mask's SegmentationClass lies in."""
    return file.parents[file.parts[::-1].index(CLASSES)]


def reader_of(root: Path, options: Options) -> Callable[[Path], HandLabel]:
    """What makes a label of a class mask below `root`, whose classes stand beside it.

    Raises:
        UsageError: An option names no class of them.
    """
    colours = read_colours(options.colours or root / "labelmap.txt") if _has_colours(root, options) else None
    names = dict(enumerate(colours.names)) if colours else names_of(root)
    person = values_of(options.person or ("person",), names, "--person")
    ignored = values_of(options.ignore, names, "--ignore") if options.ignore else frozenset({VOID})
    return partial(_label, root=root, person=person, ignored=ignored, colours=colours)


def _has_colours(root: Path, options: Options) -> bool:
    return options.colours is not None or (root / "labelmap.txt").is_file()


def names_of(root: Path) -> dict[int, str]:
    """The classes of a folder by their value; those of VOC that matter where it lists none."""
    for name in NAME_LISTS:
        if (root / name).is_file():
            lines = (root / name).read_text("utf-8", errors="replace").split("\n")
            words = [line.strip() for line in lines if line.strip()]
            first = -1 if words and words[0] == "__ignore__" else 0
            return {number % 256: word for number, word in enumerate(words, first)}
    return {PERSON_VALUE: "person"}


def values_of(words: tuple[str, ...], names: dict[int, str], option: str) -> frozenset[int]:
    """The values that an option's names and numbers mean.

    Raises:
        UsageError: None of them is there.
    """
    wanted = {folded(word) for word in words}
    values = {int(word) for word in words if word.isdecimal()}
    values |= {value for value, name in names.items() if folded(name) in wanted}
    if not values:
        raise UsageError(f"{option} {','.join(words)}: the classes are {', '.join(names.values())}. Name one of them")
    return frozenset(values)


def _label(
    file: Path, root: Path, person: frozenset[int], ignored: frozenset[int], colours: Colours | None
) -> HandLabel:
    draw = partial(draw_mask, file, person, ignored, colours)
    name = relative_name(file, root / CLASSES)
    photo = partial(first_image, [root / "JPEGImages"], *(file.stem + suffix for suffix in (".jpg", ".jpeg", ".png")))
    return HandLabel(file, (name,), "voc", mask_size(file), draw, photo)


def draw_mask(
    file: Path, person: frozenset[int], ignored: frozenset[int], colours: Colours | None, size_hw: SizeHW
) -> Drawing:
    """A class mask at `size_hw`; its people are the objects of the person's pixels.

    Raises:
        FormatError: It cannot be decoded, or has colours that no table names.
        MismatchError: It has another aspect ratio than the image, or another size than its objects.
    """
    values = classes_of(file, colours)
    shown = np.isin(values, list(person))
    target = target_of(shown, np.isin(values, list(ignored)))
    fitted = images.fit_mask(target, size_hw, file).astype(np.uint8, copy=False)
    found = f"values {', '.join(map(str, list(value_counts(values))[:12]))}"
    return Drawing(fitted, people_in(file, shown), found)


def classes_of(file: Path, colours: Colours | None) -> NDArray[np.integer]:
    """The value of each pixel (H, W): as stored, or the number of its colour in the table."""
    stored = images.read_indices(file)
    if stored.ndim == 2:
        return stored
    if colours is None:
        raise FormatError(file, "is a colour image; expected palette indices. Say which colour is what: --colours FILE")
    return colours.numbers(stored, file)


def people_in(file: Path, person: NDArray[np.bool_]) -> int | None:
    """How many objects the person's pixels are of; None where there is no mask of objects."""
    root = root_of(file)
    objects = root / OBJECTS / file.relative_to(root / CLASSES)
    if not objects.is_file():
        return None
    height, width = mask_size(objects)
    if (height, width) != person.shape:
        expected, advice = f"{person.shape[0]}x{person.shape[1]} (HxW)", f"Export it with its {CLASSES} again"
        raise MismatchError(objects, expected, f"{height}x{width}", advice)
    numbers = images.read_indices(objects)
    if numbers.ndim == 3:
        numbers = codes_of(numbers)
    return len(set(np.unique(numbers[person]).tolist()) - {0, VOID}) or None
