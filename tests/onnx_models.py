"""Tiny person models as ONNX files, byte by byte: the package `onnx` is no dependency.

The model takes an image and gives the mean of its channels: what is bright is a person. The numbers of the fields are
those of onnx.proto.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

FLOAT, INT64 = 1, 7
"""Types of tensors."""
INT, INTS = 2, 7
"""Types of attributes."""

Shape = Sequence[int | str]
"""A size that is not fixed has a name."""


def varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def message(field: int, content: bytes | str) -> bytes:
    data = content.encode() if isinstance(content, str) else content
    return varint(field << 3 | 2) + varint(len(data)) + data


def attribute(name: str, value: int | Sequence[int]) -> bytes:
    if isinstance(value, int):
        return message(1, name) + number(3, value) + number(20, INT)
    return message(1, name) + b"".join(number(8, one) for one in value) + number(20, INTS)


def node(operator: str, inputs: Sequence[str], output: str, **attributes: int | Sequence[int]) -> bytes:
    names = b"".join(message(1, name) for name in inputs) + message(2, output)
    return names + message(4, operator) + b"".join(message(5, attribute(*one)) for one in attributes.items())


def value(name: str, shape: Shape, kind: int = FLOAT) -> bytes:
    sizes = (number(1, size) if isinstance(size, int) else message(2, size) for size in shape)
    tensor = number(1, kind) + message(2, b"".join(message(1, size) for size in sizes))
    return message(1, name) + message(2, message(1, tensor))


def write_model(
    path: Path,
    nodes: Sequence[bytes],
    inputs: Sequence[bytes],
    output: bytes,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """A model of these nodes."""
    graph = b"".join(message(1, one) for one in nodes) + message(2, "graph")
    graph += b"".join(message(11, one) for one in inputs) + message(12, output)
    properties = (metadata or {}).items()
    told = b"".join(message(14, message(1, key) + message(2, text)) for key, text in properties)
    path.write_bytes(number(1, 7) + message(7, graph) + message(8, number(2, 11)) + told)
    return path


def brightness(
    path: Path, shape: Shape = (1, 3, 32, 32), axis: int = 1, metadata: Mapping[str, str] | None = None
) -> Path:
    """A model of an input of this shape, which has its channels on `axis`: the mean of the channels."""
    mean = node("ReduceMean", ["image"], "person", axes=[axis], keepdims=1)
    given = [1 if place == axis else size for place, size in enumerate(shape)]
    return write_model(path, [mean], [value("image", shape)], value("person", given), metadata)
