"""The numeric matrices of a MATLAB 5 file, and those inside its structures.

scipy's reader ends the interpreter on some damaged files, which would take every other image down with it; this one
reads matrices alone, checks each length before it follows it, never descends more than one level, and passes over
what it does not read (cells, text, sparse arrays). Format: MathWorks, MAT-File Format, chapter 1.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curate.errors import FormatError
from curate.files import check_regular
from curate.images import MAX_PIXELS

HEADER_BYTES, TAG_BYTES = 128, 8
COMPRESSED, MATRIX = 15, 14
STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""Storage type of a data element -> numpy's name; a matrix of doubles is stored as bytes where its values allow."""
STRUCTURE = 2
KNOWN_CLASSES, NUMERIC_CLASSES = range(1, 16), range(6, 16)
"""Of arrays with flags, sizes and a name; of those with a real part that is all there is."""
COMPLEX = 0x0800
MOST_BYTES = 8 * MAX_PIXELS + 4096
MOST_OF_SMALL, MOST_FROM_BYTE = 2**28, 100
"""Bytes that any compressed element may unfold to, and for each of its own bytes where those are many."""

Matrix = NDArray[np.number]


@dataclass(frozen=True)
class Array:
    """An array whose class, sizes and name are known; what follows them is still undecoded."""

    kind: int
    is_complex: bool
    sizes: tuple[int, ...]
    name: str
    body: memoryview

    @property
    def is_matrix(self) -> bool:
        """Whether it is a real numeric matrix of two dimensions."""
        return self.kind in NUMERIC_CLASSES and not self.is_complex and len(self.sizes) == 2


def read_matrix(path: Path) -> Matrix:
    """The label matrix (H, W) of a MATLAB file: `groundtruth`, or the only numeric matrix there is.

    Raises:
        MissingError: No regular file stands there.
        FormatError: It is damaged, of version 7.3, or does not hold one numeric matrix.
    """
    data, order = read_bytes(path)
    with damage_named(path):
        arrays = {array.name: array for array in arrays_of(data, order)}
        found = {name: array for name, array in arrays.items() if array.is_matrix}
        if "groundtruth" not in found and len(found) != 1:
            raise FormatError(path, describe_others(found, arrays))
        array = found.get("groundtruth") or next(iter(found.values()))
        matrix = values_of(array, order)
        if not matrix.size:
            raise ValueError(f"a matrix of {array.sizes[0]}x{array.sizes[1]}; between 1 and {MAX_PIXELS} are read")
    return matrix


def describe_others(found: dict[str, Array], arrays: dict[str, Array]) -> str:
    """What a file holds in place of one matrix, and what to do."""
    if arrays.keys() & {"GTcls", "GTinst"}:
        return "is a file of the Semantic Boundaries Dataset. Name the folder with its img/ and cls/: --voc ROOT"
    return f"expected one numeric label matrix, found {len(found)}: {', '.join(found) or 'none'}"


def read_structure(path: Path, name: str) -> dict[str, Matrix]:
    """The numeric matrices among the fields of the structure `name`, each (H, W), possibly empty.

    Raises:
        MissingError: No regular file stands there.
        FormatError: It is damaged, of version 7.3, or holds no single structure of this name.
    """
    data, order = read_bytes(path)
    with damage_named(path):
        array = next((one for one in arrays_of(data, order) if one.name == name), None)
        if array is None or array.kind != STRUCTURE or math.prod(array.sizes) != 1:
            raise FormatError(path, f"holds no structure {name}")
        return {field: values_of(part, order) for field, part in fields_of(array, order) if part.is_matrix}


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Turn what decoding a damaged file raises into a FormatError that names it."""
    try:
        yield
    except (struct.error, ValueError, zlib.error, EOFError) as error:
        raise FormatError(path, f"is a damaged MATLAB file ({error})") from error


def read_bytes(path: Path) -> tuple[memoryview, str]:
    """A file's bytes and their order, `<` or `>`, which the end of its header tells.

    Raises:
        MissingError: No regular file stands there.
        FormatError: It is no MATLAB 5 file, or too long to be read.
    """
    check_regular(path)
    if path.stat().st_size > MOST_BYTES:
        raise FormatError(path, f"has more than {MOST_BYTES} bytes, which no label matrix needs")
    data = path.read_bytes()
    version, mark = data[124:126], data[126:128]
    if mark not in (b"IM", b"MI"):
        raise FormatError(path, "is not a MATLAB 5 file. Save it again with: save(..., '-v7')")
    if b"\x02" in version:
        raise FormatError(path, "is a MATLAB 7.3 file. Save it again with: save(..., '-v7')")
    return memoryview(data), "<" if mark == b"IM" else ">"


def arrays_of(data: memoryview, order: str) -> Iterator[Array]:
    """The named arrays of a file; those of an unknown class are passed over.

    Raises:
        ValueError, struct.error, zlib.error: Something in it does not fit.
    """
    offset = HEADER_BYTES
    while offset < len(data):
        kind, content, offset = element(data, offset, order)
        if kind == COMPRESSED:
            kind, content, _ = element(inflate(content, order), 0, order)
        array = array_of(content, order) if kind == MATRIX else None
        if array is not None and array.name:  # what function handles refer to has no name
            yield array


def fields_of(array: Array, order: str) -> Iterator[tuple[str, Array]]:
    """The fields of a structure of one element, by name; empty ones and those of an unknown class are passed over.

    Raises:
        ValueError, struct.error: Its parts do not fit together.
    """
    _, name_bytes, offset = element(array.body, 0, order)
    _, names, offset = element(array.body, offset, order)
    (length,) = struct.unpack(f"{order}i", name_bytes)
    if length < 1 or len(names) % length:
        raise ValueError(f"{len(names)} bytes of field names of {length} each")
    fields = [text_of(names[start : start + length]) for start in range(0, len(names), length)]
    if len(set(fields)) < len(fields):
        raise ValueError("two fields of one name")
    for field in fields:
        kind, content, offset = element(array.body, offset, order)
        part = array_of(content, order) if kind == MATRIX else None
        if part is not None:
            yield field, part


def text_of(data: memoryview) -> str:
    """The text up to the first zero byte."""
    return bytes(data).partition(b"\0")[0].decode("ascii", "replace")


def inflate(data: memoryview, order: str) -> memoryview:
    """A decompressed element, of the length that its own tag states.

    Raises:
        ValueError: It is cut off, longer than it says, longer than any matrix we read, or a bomb.
    """
    unpacker = zlib.decompressobj()
    tag = unpacker.decompress(data, TAG_BYTES)
    length = struct.unpack(f"{order}2I", tag)[1] if len(tag) == TAG_BYTES else 0
    if length > max(MOST_OF_SMALL, MOST_FROM_BYTE * len(data)):
        raise ValueError(f"{len(data)} bytes that unfold to {length}, which looks like a bomb")
    if length < MOST_BYTES:
        tag += unpacker.decompress(unpacker.unconsumed_tail, length + 1)
    if len(tag) != TAG_BYTES + length or not unpacker.eof:
        raise ValueError("its compressed data is cut off or too long")
    return memoryview(tag)


def element(data: memoryview, offset: int, order: str) -> tuple[int, memoryview, int]:
    """A data element's type, its bytes, and where the next one begins.

    Raises:
        ValueError, struct.error: It reaches beyond the end.
    """
    (tag,) = struct.unpack_from(f"{order}I", data, offset)
    if tag >> 16:  # a small element: type, length and up to four bytes of data in eight
        kind, length, start, step = tag & 0xFFFF, tag >> 16, offset + 4, 8
        if length > 4:
            raise ValueError(f"a small element of {length} bytes")
    else:
        (length,) = struct.unpack_from(f"{order}I", data, offset + 4)
        kind, start = tag, offset + TAG_BYTES
        step = TAG_BYTES + length + (-length % 8 if kind != COMPRESSED else 0)
    if start + length > len(data):
        raise ValueError(f"an element of {length} bytes reaches beyond the end")
    return kind, data[start : start + length], offset + step


def array_of(content: memoryview, order: str) -> Array | None:
    """A matrix element as an Array; None where it is empty or of an unknown class.

    Raises:
        ValueError, struct.error: Its parts do not fit together.
    """
    if not content:
        return None
    _, flags, offset = element(content, 0, order)
    (flag,) = struct.unpack_from(f"{order}I", flags)
    if flag & 0xFF not in KNOWN_CLASSES:
        return None
    _, sizes, offset = element(content, offset, order)
    _, name, offset = element(content, offset, order)
    numbers = struct.unpack(f"{order}{len(sizes) // 4}i", sizes)
    return Array(flag & 0xFF, bool(flag & COMPLEX), numbers, text_of(name), content[offset:])


def values_of(array: Array, order: str) -> Matrix:
    """The values (H, W) of a numeric matrix.

    Raises:
        ValueError, struct.error: Its values do not fit its sizes, or are more than are read.
    """
    height, width = array.sizes
    if min(height, width) < 0 or height * width > MAX_PIXELS:
        raise ValueError(f"a matrix of {height}x{width}; between 1 and {MAX_PIXELS} values are read")
    kind, stored, _ = element(array.body, 0, order)
    if kind not in STORED:
        raise ValueError(f"values of the unknown type {kind}")
    dtype = order + STORED[kind]
    if len(stored) != height * width * np.dtype(dtype).itemsize:
        raise ValueError(f"{len(stored)} bytes for a matrix of {height}x{width} values of {STORED[kind]}")
    matrix: Matrix = np.frombuffer(stored, dtype).reshape((height, width), order="F")
    return matrix
