"""The numeric matrices of a MATLAB 5 file.

scipy's reader ends the interpreter on some damaged files, which would take every other image down with it; this one
reads plain matrices alone and checks each length before it follows it. Format: MathWorks, MAT-File Format, chapter 1.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curate.errors import FormatError
from curate.images import MAX_PIXELS, check_regular
from curate.masks import SizeHW

HEADER_BYTES = 128
COMPRESSED, MATRIX = 15, 14
STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""Storage type of a data element -> numpy's name; a matrix of doubles is stored as bytes where its values allow."""
NUMERIC_CLASSES = range(6, 16)
COMPLEX = 0x0800
MOST_BYTES = 8 * MAX_PIXELS + 4096


@dataclass(frozen=True)
class Variable:
    """A numeric matrix of two dimensions, its values still undecoded."""

    name: str
    size_hw: SizeHW
    stored: bytes
    dtype: str


def read_matrix(path: Path) -> NDArray[np.number]:
    """The label matrix (H, W) of a MATLAB file: `groundtruth`, or the only numeric matrix there is.

    Raises:
        MissingError: No regular file stands there.
        FormatError: It is damaged, of version 7.3, or does not hold one numeric matrix.
    """
    check_regular(path)
    data = path.read_bytes()
    order = byte_order(path, data)
    try:
        found = {variable.name: variable for variable in variables(data, order)}
    except (struct.error, ValueError, zlib.error, EOFError) as error:
        raise FormatError(path, f"is a damaged MATLAB file ({error})") from error
    if "groundtruth" not in found and len(found) != 1:
        listed = ", ".join(found) or "none"
        raise FormatError(path, f"expected one numeric label matrix, found {len(found)}: {listed}")
    variable = found.get("groundtruth") or next(iter(found.values()))
    matrix: NDArray[np.number] = np.frombuffer(variable.stored, variable.dtype).reshape(variable.size_hw, order="F")
    return matrix


def byte_order(path: Path, data: bytes) -> str:
    """`<` or `>`, from the end of the file's header."""
    version, mark = data[124:126], data[126:128]
    if mark not in (b"IM", b"MI"):
        raise FormatError(path, "is not a MATLAB 5 file. Save it again with: save(..., '-v7')")
    if b"\x02" in version:
        raise FormatError(path, "is a MATLAB 7.3 file. Save it again with: save(..., '-v7')")
    return "<" if mark == b"IM" else ">"


def variables(data: bytes, order: str) -> Iterator[Variable]:
    """The real numeric matrices of two dimensions in the file; all others are passed over."""
    offset = HEADER_BYTES
    while offset < len(data):
        kind, content, offset = element(data, offset, order)
        if kind == COMPRESSED:
            kind, content, _ = element(inflate(content), 0, order)
        variable = matrix_of(content, order) if kind == MATRIX else None
        if variable is not None:
            yield variable


def inflate(data: bytes) -> bytes:
    """The decompressed bytes; ValueError where they are cut off or more than any matrix we read."""
    unpacker = zlib.decompressobj()
    unpacked = unpacker.decompress(data, MOST_BYTES)
    if not unpacker.eof:
        raise ValueError("its compressed data is cut off or too long")
    return unpacked


def element(data: bytes, offset: int, order: str) -> tuple[int, bytes, int]:
    """A data element's type, its bytes, and where the next one begins.

    Raises:
        ValueError, struct.error: It reaches beyond the end.
    """
    (tag,) = struct.unpack_from(f"{order}I", data, offset)
    if tag >> 16:  # a small element: type, length and up to four bytes of data in eight
        kind, length, start, step = tag & 0xFFFF, tag >> 16, offset + 4, 8
    else:
        (length,) = struct.unpack_from(f"{order}I", data, offset + 4)
        kind, start = tag, offset + 8
        step = 8 + length + (-length % 8 if kind != COMPRESSED else 0)
    if start + length > len(data):
        raise ValueError(f"an element of {length} bytes reaches beyond the end")
    return kind, data[start : start + length], offset + step


def matrix_of(content: bytes, order: str) -> Variable | None:
    """A matrix element as a Variable; None where it is not numeric, complex, or of other than two dimensions.

    Raises:
        ValueError, struct.error: Its parts do not fit together.
    """
    _, flags, offset = element(content, 0, order)
    (flag,) = struct.unpack_from(f"{order}I", flags)
    _, sizes, offset = element(content, offset, order)
    _, name, offset = element(content, offset, order)
    if flag & 0xFF not in NUMERIC_CLASSES or flag & COMPLEX or len(sizes) != 8:
        return None
    height, width = struct.unpack(f"{order}2i", sizes)
    if not (height > 0 and width > 0 and height * width <= MAX_PIXELS):
        raise ValueError(f"a matrix of {height}x{width}; between 1 and {MAX_PIXELS} values are read")
    kind, stored, _ = element(content, offset, order)
    if kind not in STORED:
        raise ValueError(f"values of the unknown type {kind}")
    dtype = order + STORED[kind]
    if len(stored) != height * width * np.dtype(dtype).itemsize:
        raise ValueError(f"{len(stored)} bytes for a matrix of {height}x{width} values of {STORED[kind]}")
    return Variable(name.decode("ascii", "replace"), (height, width), stored, dtype)
