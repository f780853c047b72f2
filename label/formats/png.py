"""PNG masks: one file per image, named like it, person by grey level, palette index, class id or alpha."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curate import images
from curate.errors import CurateError, FormatError, UsageError
from curate.masks import IGNORE, PERSON, SizeHW, Target, target_of
from curate.sources.mask_files import read_mask, single_channel
from label.colours import Colours, read_colours
from label.formats.reading import LOOKED_AT, each_file, label_files, mask_size
from label.formats.record import Drawing, HandLabel, Options, Refusal, files_under, relative_name
from label.regions import Classes

SUFFIXES = (".png",)
SIGNATURE = b"\x89PNG\r\n\x1a\n"
Values = tuple[int, ...]


def detect(path: Path) -> bool:
    """Whether a PNG lies at `path` that is not the photograph of a JSON file beside it."""
    return bool(_undescribed(path))


def _undescribed(path: Path) -> list[Path]:
    files = files_under(path)
    described = {file.with_suffix("") for file in files if file.suffix.lower() == ".json"}
    return [file for file in files if _is_png(file) and file.with_suffix("") not in described]


def has_masks(path: Path) -> bool:
    """Whether one of the PNGs at `path` is surely no photograph: it has levels of grey, or a palette."""
    for file in _undescribed(path)[:LOOKED_AT]:
        with suppress(CurateError), images.read_header(file) as image:
            if image.mode not in ("RGB", "RGBA"):
                return True
    return False


def _is_png(file: Path) -> bool:
    if not file.is_file():
        return False
    try:
        with file.open("rb") as opened:
            return opened.read(len(SIGNATURE)) == SIGNATURE
    except OSError:
        return False


def read(path: Path, options: Options) -> Iterator[HandLabel | Refusal]:
    """A label for each PNG at `path`, at any depth, known by the name of its file; raises as `Format.read` does.

    Without `--person` the values themselves show what is a person, and 255 beside ids is void
    (`curate.sources.mask_files.understand`).
    """
    files = label_files(path, SUFFIXES, "Name the folder that holds the masks")
    if options.colours is not None:
        colours, classes = read_colours(options.colours), Classes.of(options)
        return each_file(files, lambda file: [_label(file, path, partial(draw_colours, file, colours, classes))])
    persons, ignored = values_named(options.person, "--person"), values_named(options.ignore, "--ignore")
    if both := set(persons or ()) & set(ignored or ()):
        raise UsageError(f"the value {min(both)} is both --person and --ignore")
    return each_file(files, lambda file: [_label(file, path, partial(draw_png, file, persons, ignored))])


def values_named(names: tuple[str, ...] | None, option: str, example: int = 15) -> Values | None:
    """The numbers an option names; a mask image holds values and no names, so a name is a UsageError."""
    if names is None:
        return None
    for name in names:
        if not (name.isascii() and name.isdigit() and int(name) <= 0xFFFF):
            raise UsageError(
                f"{option} {name}: PNG masks hold values from 0 to 65535 and no names. Say {option} {example}"
            )
    return tuple(map(int, names))


def _label(file: Path, root: Path, draw: Callable[[SizeHW], Drawing]) -> HandLabel:
    return HandLabel(file, (relative_name(file, root),), "png", mask_size(file), draw, lambda: None)


def draw_png(file: Path, person: Values | None, ignore: Values | None, size_hw: SizeHW) -> Drawing:
    """The mask in `file` at `size_hw`, its values understood as `curate build --pairs` understands them.

    Raises:
        FormatError: It cannot be decoded, or its values do not say what is person.
        MismatchError: It has another aspect ratio.
    """
    read = read_mask(file, frozenset(person or ()))
    target = read.target if ignore is None else without(read.target, values_of(file), ignore)
    fitted = images.fit_mask(target, size_hw, file).astype(np.uint8, copy=False)
    found = "" if (target == PERSON).any() else f"values {listed(np.unique(values_of(file)).tolist())}"
    notes = (f"ids were read as {read.people} people",) if read.people > 1 else ()
    return Drawing(fitted, read.people if read.people > 1 else None, found, notes)


def draw_colours(file: Path, colours: Colours, classes: Classes, size_hw: SizeHW) -> Drawing:
    """A mask whose classes are colours, at `size_hw`.

    Raises:
        FormatError: It cannot be decoded, is no colour image, or has a colour that is not in the table.
        MismatchError: It has another aspect ratio.
    """
    with images.read_header(file) as header:
        stored = np.asarray(header.convert("RGB") if header.mode == "P" else header)
    if stored.ndim != 3 or stored.shape[2] < 3:
        raise FormatError(file, "is a grey image; expected colours. Leave out --colours, or export it in colour")
    numbers = colours.numbers(stored, file)
    person, ignored = (colours.numbers_of(words) for words in (classes.person, classes.ignore))
    target = target_of(np.isin(numbers, person), np.isin(numbers, ignored))
    fitted = images.fit_mask(target, size_hw, file).astype(np.uint8, copy=False)
    shown = [colours.names[number] for number in np.unique(numbers)]
    return Drawing(fitted, None, f"classes {', '.join(shown[:6])}")


def values_of(file: Path) -> NDArray[np.integer]:
    """The stored values (H, W), alpha or grey where there are several channels; FormatError where there are colours."""
    stored = images.read_indices(file)
    return stored if stored.ndim == 2 else single_channel(file, stored)


def without(target: Target, values: NDArray[np.integer], ignore: Values) -> Target:
    """The target with the pixels of the ignored values not counted; person wins."""
    person = target == PERSON
    return target_of(person, (target == IGNORE) | np.isin(values, ignore))


def listed(present: Sequence[int], at_most: int = 6) -> str:
    """`0, 15, 255`, cut short with the number of all."""
    shown = ", ".join(map(str, present[:at_most]))
    return shown if len(present) <= at_most else f"{shown}, ... ({len(present)} in all)"
