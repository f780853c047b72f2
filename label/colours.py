"""Tables of colours and class names, for masks whose classes are colours."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from curate.errors import JSON_ERRORS, FormatError, MissingError
from label.regions import folded

UNKNOWN = -1
"""Stands for a colour that no class has."""


@dataclass(frozen=True)
class Colours:
    """The classes of a table, in its order, and the colour of each as one number."""

    names: tuple[str, ...]
    codes: tuple[int, ...]

    def numbers_of(self, names: Collection[str]) -> list[int]:
        """The numbers of the classes with these names, case folded."""
        return [number for number, name in enumerate(self.names) if folded(name) in names]

    def numbers(self, colours: NDArray[np.integer], file: Path) -> NDArray[np.integer]:
        """The number of each pixel's class in the table; (H, W) from (H, W, 3 or 4).

        Raises:
            FormatError: A colour is not in the table; it and its pixels are named.
        """
        codes = codes_of(colours)
        order = np.argsort(self.codes)
        sorted_codes = np.array(self.codes)[order]
        numbers = np.empty(codes.shape, np.int32)
        for row, line in enumerate(codes):  # wider numbers of a whole photograph fill gigabytes
            at = np.searchsorted(sorted_codes, line).clip(max=len(order) - 1)
            numbers[row] = np.where(sorted_codes[at] == line, order[at], UNKNOWN)
        if (unknown := codes[numbers == UNKNOWN]).size:
            told = f"{unknown.size} pixels have colours that the table lacks, the first {rgb(int(unknown[0]))}"
            raise FormatError(file, f"{told}. Add it to --colours, or save the mask without smoothing")
        return numbers


def codes_of(colours: NDArray[np.integer]) -> NDArray[np.int32]:
    """Red, green and blue of (H, W, 3 or more) as one number a pixel, (H, W).

    >>> codes_of(np.array([[[192, 128, 128]]], np.uint8)).tolist() == [[0xC08080]]
    True
    """
    codes = colours[..., 0].astype(np.int32)
    for channel in (1, 2):
        codes <<= 8
        codes |= colours[..., channel]
    return codes


def rgb(code: int) -> str:
    """A colour for people.

    >>> rgb(0xC08080)
    '(192, 128, 128)'
    """
    return str((code >> 16, code >> 8 & 255, code & 255))


def read_colours(path: Path) -> Colours:
    """A table: JSON `{"name": [r, g, b]}`, or a `labelmap.txt` of CVAT, `name:r,g,b:parts:actions` in each line.

    Raises:
        MissingError: There is no such file.
        FormatError: It is neither, or two classes have one colour.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MissingError(f"{path}: cannot be read ({error.strerror}). Check the path of --colours") from error
    named = _from_json(path, data) if data.lstrip()[:1] == b"{" else _from_labelmap(path, data)
    codes: dict[int, str] = {}
    for name, (red, green, blue) in named.items():
        code = red << 16 | green << 8 | blue
        if code in codes:
            raise FormatError(path, f"{codes[code]!r} and {name!r} have one colour, {rgb(code)}")
        codes[code] = name
    return Colours(tuple(codes.values()), tuple(codes))


def _from_json(path: Path, data: bytes) -> dict[str, tuple[int, int, int]]:
    try:
        named = msgspec.json.decode(data, type=dict[str, tuple[int, int, int]])
    except JSON_ERRORS as error:
        raise FormatError(path, f'{error}. Expected {{"person": [255, 0, 0], ...}}') from error
    for name, colour in named.items():
        _check(path, name, colour)
    return named


def _from_labelmap(path: Path, data: bytes) -> dict[str, tuple[int, int, int]]:
    named: dict[str, tuple[int, int, int]] = {}
    for number, line in enumerate(data.decode("utf-8", "replace").split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            name, colour = line.split(":")[:2]
            red, green, blue = map(int, colour.split(","))
        except ValueError as error:
            told = f"{line[:60]!r} is no line of a labelmap"
            raise FormatError(path, f"{told}; expected name:r,g,b:parts:actions", f"line {number}") from error
        _check(path, name, (red, green, blue))
        named[name.strip()] = (red, green, blue)
    if not named:
        raise FormatError(path, "names no colour; expected name:r,g,b:parts:actions in each line")
    return named


def _check(path: Path, name: str, colour: tuple[int, int, int]) -> None:
    if not all(0 <= level <= 255 for level in colour):
        raise FormatError(path, f"the colour of {name!r} is {colour}; expected three numbers from 0 to 255")
