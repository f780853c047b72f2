"""Options that several commands of `curate label` share: how labels are read, and which model is asked."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from curate.commands.place import INPUT
from curate.errors import UsageError
from curate.files import sha256_file
from curate.person_model import InputSpec, open_model
from label.formats import FORMATS
from label.formats.record import Options
from label.prelabel import Model

Command = TypeVar("Command", bound=Callable[..., Any])
LABEL_OPTIONS = (
    click.option(
        "--format", "format_name", type=click.Choice(["auto", *FORMATS]), default="auto", help="What the labels are."
    ),
    click.option(
        "--person",
        metavar="NAMES|VALUES",
        help="What is a person, comma-separated: names of classes [default: person] or their numbers; values in PNG "
        "masks [default: told from the values found].",
    ),
    click.option(
        "--ignore",
        metavar="NAMES|VALUES",
        help="What is not counted: names of classes [default: __ignore__], values in PNG masks [default: 128 beside 0 "
        "and 255, 255 beside ids and class values].",
    ),
    click.option(
        "--colours",
        type=INPUT,
        metavar="TABLE",
        help="Which colour of a mask is which class: JSON {name: [r, g, b]}, or a labelmap.txt.",
    ),
    click.option(
        "--image-list",
        type=INPUT,
        metavar="FILE",
        help="Names of images, one in each line: line N is the image of MATLAB's Label_N.png.",
    ),
)


def label_options(command: Command) -> Command:
    """The command with the options of reading labels; all but --format become Options by `options_of`."""
    for option in reversed(LABEL_OPTIONS):
        command = option(command)
    return command


def options_of(person: str | None, ignore: str | None, colours: Path | None, image_list: Path | None) -> Options:
    """What the user says of labels; UsageError where an option holds no word."""
    return Options(split_words(person, "--person"), split_words(ignore, "--ignore"), colours, image_list)


def split_words(text: str | None, option: str) -> tuple[str, ...] | None:
    """The words of a comma-separated option; None where it is not given, UsageError where it holds none."""
    if text is None:
        return None
    words = tuple(word.strip() for word in text.split(",") if word.strip())
    if not words:
        raise UsageError(f"{option}: names or values are missing, for example: {option} person,rider")
    return words


def model_at(path: Path, spec: InputSpec) -> Model:
    """The model in an ONNX file, or that of a run."""
    return run_model(path, spec) if path.is_dir() or path.suffix.lower() != ".onnx" else onnx_model(path, spec)


def onnx_model(path: Path, spec: InputSpec) -> Model:
    """The model in an ONNX file."""
    model = open_model(path, spec)
    return Model(path, sha256_file(path), spec.options, model.predict)


def run_model(path: Path, spec: InputSpec) -> Model:
    """The best model of a run; raises as `train.scoring.peers.open_predict`."""
    from train.config import read_config

    read_config(path)  # so that what is no run is refused before torch is imported
    from train.scoring.peers import open_predict

    predict = open_predict(f"{path}{os.sep}", spec)  # a folder, whatever word it is called
    return Model(path, sha256_file(path / "best.safetensors"), {}, predict)
