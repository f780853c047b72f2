"""Options of every command that asks a person model in an ONNX file: what its input looks like."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from curate.errors import UsageError
from curate.person_model import NORMALISATIONS, InputSpec

LAYOUTS = {"nchw": True, "nhwc": False}
Command = TypeVar("Command", bound=Callable[..., Any])
INPUT_OPTIONS = (
    click.option(
        "--input-size", metavar="HxW", help="ONNX: the input's height and width in px.  [default: the file's]"
    ),
    click.option("--layout", type=click.Choice([*LAYOUTS]), help="ONNX: the input's axes.  [default: the file's]"),
    click.option(
        "--normalise",
        type=click.Choice([*NORMALISATIONS]),
        help="ONNX: RGB as 0 to 1 (unit), -1 to 1 (signed), by ImageNet's mean, or 0 to 255 (raw).  "
        "[default: the file's]",
    ),
)


def input_options(command: Command) -> Command:
    """The command with the options that `spec_of` takes."""
    for option in reversed(INPUT_OPTIONS):
        command = option(command)
    return command


def spec_of(input_size: str | None, layout: str | None, normalise: str | None) -> InputSpec:
    """What the user says of a model's input; UsageError where the size is none."""
    return InputSpec(size_of(input_size), None if layout is None else LAYOUTS[layout], normalise)


def size_of(text: str | None) -> tuple[int, int] | None:
    """`224x398` as height and width; None where the option is not given."""
    if text is None:
        return None
    found = re.fullmatch(r"([1-9]\d{0,4})[xX]([1-9]\d{0,4})", text)
    if found is None:
        raise UsageError(f"--input-size {text}: is no size. Expected height and width in px, for example 224x398")
    return int(found[1]), int(found[2])
