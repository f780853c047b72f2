"""A look at the pages of a Parquet table before polars reads them: of some damaged ones it ends the process.

A page's header claims how many values and bytes follow, and polars asks for memory for as many; where that is refused,
Rust ends the process without a word. So headers are held against the file here. They are in Thrift's compact protocol
(parquet-format, `parquet.thrift`), of which what is needed is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from mmap import mmap
from typing import Any, TypeAlias

Struct: TypeAlias = dict[int, Any]
"""A Thrift struct: the number of each field, and its value."""

MOST_NESTED = 32
MOST_VALUES_A_ROW = 1 << 10
"""Of a list column; more, in a table with more values than bytes, looks like a bomb."""
MOST_OF_SMALL = 1 << 20
"""So many values any file may claim, since equal ones take hardly a byte."""


class Thrift:
    """Reads structs of the compact protocol from some bytes; ValueError where they are none."""

    def __init__(self, data: bytes | mmap, at: int) -> None:
        self.data, self.at = data, at

    def byte(self) -> int:
        """The next byte."""
        if not 0 <= self.at < len(self.data):
            raise ValueError("ends too early")
        self.at += 1
        return self.data[self.at - 1]

    def varint(self) -> int:
        """The next unsigned number."""
        number = 0
        for shift in range(0, 70, 7):
            found = self.byte()
            number |= (found & 0x7F) << shift
            if found < 0x80:
                return number
        raise ValueError("has a number without an end")

    def integer(self) -> int:
        """The next signed number."""
        number = self.varint()
        return (number >> 1) ^ -(number & 1)

    def skip(self, size: int) -> None:
        """Pass some bytes over."""
        if not 0 <= size <= len(self.data) - self.at:
            raise ValueError("ends too early")
        self.at += size

    def value(self, kind: int, depth: int) -> Any:
        """The next value of a kind; of texts and numbers with a point, which nothing here asks for, None."""
        if depth > MOST_NESTED:
            raise ValueError("is nested without an end")
        if kind in (1, 2):
            return kind == 1
        if kind == 3:
            return self.byte()
        if kind in (4, 5, 6):
            return self.integer()
        if kind == 7:
            return self.skip(8)
        if kind == 8:
            return self.skip(self.varint())
        if kind in (9, 10):
            head = self.byte()
            size = head >> 4 if head >> 4 < 15 else self.varint()
            if size > len(self.data) - self.at:
                raise ValueError("has a list longer than itself")
            return [self.element(head & 15, depth + 1) for _ in range(size)]
        if kind == 12:
            return self.struct(depth + 1)
        raise ValueError("has a field of no kind")

    def element(self, kind: int, depth: int) -> Any:
        """The next value of a list, in which truth takes a byte."""
        return self.byte() == 1 if kind in (1, 2) else self.value(kind, depth)

    def struct(self, depth: int = 0) -> Struct:
        """The next struct."""
        fields, number = Struct(), 0
        while head := self.byte():
            number = number + (head >> 4) if head >> 4 else self.integer()
            fields[number] = self.value(head & 15, depth)
        return fields


def check_pages(data: bytes | mmap) -> None:
    """Hold what the pages of a Parquet file claim against the file's bytes.

    Raises:
        ValueError: A page claims values or bytes that cannot be there, or the file ends within it.
    """
    try:
        _check(data)
    except (AttributeError, TypeError) as error:
        raise ValueError("a field is of another kind") from error


def _check(data: bytes | mmap) -> None:
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    if footer < 4:
        raise ValueError("its footer is longer than itself")
    for group in Thrift(data, footer).struct().get(4, []):
        most = max(MOST_OF_SMALL, len(data)) * MOST_VALUES_A_ROW
        for column in group.get(1, []):
            told = column.get(3, {})
            start = told.get(11) or told.get(9, 0)
            values = told.get(5, 0)
            if not 0 <= values <= most:
                raise ValueError(f"a column claims {values} values in {len(data)} bytes")
            for claimed in page_values(data, start, start + told.get(7, 0)):
                if not 0 <= claimed <= values:
                    raise ValueError(f"a page claims {claimed} values, its column {values}")


def page_values(data: bytes | mmap, start: int, end: int) -> Iterator[int]:
    """The number of values that each page of a column claims, from the first byte to the last of the column's."""
    if not 4 <= start <= end <= len(data):
        raise ValueError("a column lies outside of the file")
    thrift = Thrift(data, start)
    while thrift.at < end:
        header = thrift.struct()
        if min(header.get(2, 0), header.get(3, 0)) < 0:
            raise ValueError("a page claims fewer bytes than none")
        thrift.skip(header.get(3, 0))
        for kind in (5, 7, 8):
            if kind in header:
                yield header[kind].get(1, 0)
