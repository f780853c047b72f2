"""What a sweep varies: axes of fit's options, and the runs and rows of its table that they make. Imports no torch."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from curate import schema
from curate.errors import UsageError
from train.config import FitConfig
from train.presets import OPTIONS, TYPES, combine, make_config, option_name

Axes = dict[str, list[Any]]
"""Option, as its field -> the values it takes."""

LISTS = ("classes",)
"""Options that are lists themselves: `--over classes=person,person+held`."""

TABLE1: Axes = {"encoder": ["vgg16", "resnet34"], "size": [128, 512], "weights": ["none", "imagenet"]}
"""The eight models of the go-selfies paper's Table I, in its order."""
TABLE1_BASE = "go-selfies"
"""The preset that all of them are trained by."""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One training of a sweep."""

    name: str
    """Its folder."""
    row: str
    """The row of the table that it belongs to, with its like of other seeds."""
    config: FitConfig


class Sweep(msgspec.Struct, frozen=True, kw_only=True):
    """`sweep.json`: all that decides what a sweep does."""

    format: int = schema.FORMAT
    digest: str
    """The dataset's digest."""
    axes: Axes
    """Option, as its field -> the values that are tried."""
    runs: list[Run]
    """In order; the configuration of each is that of its `config.json`."""


def parse_axes(words: Sequence[str]) -> Axes:
    """The axes of `--over encoder=resnet34,vgg16 --over size=128,224`.

    >>> parse_axes(["size=128,224", "lr=1e-3,auto"])
    {'size': [128, 224], 'lr': [0.001, 'auto']}

    Raises:
        UsageError: An option is unknown or named twice, or a value is none of its kind or named twice.
    """
    axes: Axes = {}
    for word in words:
        name, _, listed = word.partition("=")
        field = name.removeprefix("--").replace("-", "_")
        if field not in OPTIONS:
            known = ", ".join(map(option_name, OPTIONS))
            raise UsageError(f"--over {word}: {name} is no option of train fit. There are: {known}")
        if field in axes:
            raise UsageError(f"--over {word}: {name} is varied already. Name all its values in one --over")
        values = [_parse(field, value, word) for value in listed.split(",")]
        if len(set(map(str, values))) < len(values):
            raise UsageError(f"--over {word}: names a value twice")
        axes[field] = values
    return axes


def _parse(field: str, value: str, word: str) -> Any:
    try:
        if not value:
            raise ValueError("a value is empty")
        word_or_words = value.split("+") if field in LISTS else value
        return msgspec.convert(word_or_words, TYPES[field], strict=False)
    except ValueError as error:  # msgspec's own is one
        expected = f"expected {option_name(field)}=VALUE,VALUE"
        raise UsageError(
            f"--over {word}: {value or 'nothing'} is no value of {option_name(field)}, {expected}"
        ) from error


def table1_axes(given: dict[str, Any], axes: Axes) -> tuple[Axes, dict[str, Any]]:
    """Table I's axes, with those that are given in their place or beside them, and what else is given.

    An option that is given and that the table varies is what it takes: `--size 128,256` are two sizes, `--encoder
    resnet34` is one encoder.
    """
    rest = dict(given)
    own = {field: list(values) for field, values in TABLE1.items()}
    for field in TABLE1.keys() & rest.keys():
        own[field] = [*rest.pop(f"earlier_{field}s", ()), rest.pop(field)]
    return own | axes, rest


def combinations(axes: Axes) -> list[dict[str, Any]]:
    """Every choice of one value an axis, the last axis changing first.

    >>> combinations({"size": [32, 64], "seed": [0]})
    [{'size': 32, 'seed': 0}, {'size': 64, 'seed': 0}]
    """
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def preset_notes(axes: Axes, preset: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """What of a preset does not stay as it was in some run, each once."""
    told = [note for chosen in combinations(axes) for note in combine(preset, {**given, **chosen})[1]]
    return list(dict.fromkeys(told))


def make_runs(axes: Axes, preset: Mapping[str, Any], given: Mapping[str, Any], *, table1: bool) -> list[Run]:
    """All runs of a sweep, the last axis changing first.

    Args:
        axes: What is varied.
        preset: What all runs have in common, by field, where nothing else says so.
        given: What was given beside it, by field.
        table1: Whether to name runs as the go-selfies paper does.

    Raises:
        UsageError: A value is out of range, or an option is given and varied.
    """
    both = [field for field in axes if field in given]
    if both:
        option = option_name(both[0])
        raise UsageError(f"--{option}: is varied by --over {option}=... too. Leave one of them out")
    runs = []
    for chosen in combinations(axes):
        seedless = {field: value for field, value in chosen.items() if field != "seed"}
        name, row = (name_of(one, table1=table1) for one in (chosen, seedless))
        try:
            runs.append(Run(name=name, row=row, config=make_config(combine(preset, {**given, **chosen})[0])))
        except UsageError as error:
            raise UsageError(f"{name}: {error}") from error
    twice = [name for name, count in Counter(run.name for run in runs).items() if count > 1]
    if twice:
        raise UsageError(f"--over: two runs would be called {twice[0]}. Rename the files they start from")
    return runs


def name_of(chosen: Mapping[str, Any], *, table1: bool = False) -> str:
    """The name of a run, or of a row of the table, by its values; it can be a folder's.

    >>> name_of({"encoder": "mobilenet_v2", "batch_size": 8})
    'encoder=mobilenet_v2,batch-size=8'
    >>> name_of({"encoder": "vgg16", "size": 128, "weights": "imagenet", "seed": 1}, table1=True)
    'Vgg16-128-pretrain,seed=1'
    >>> name_of({})
    'all'
    """
    words = [f"{option_name(field)}={_plain(value)}" for field, value in chosen.items()]
    if table1:
        pretrained = {"none": "", "imagenet": "-pretrain"}.get(chosen["weights"], f"-{_plain(chosen['weights'])}")
        words = [f"{str(chosen['encoder']).capitalize()}-{chosen['size']}{pretrained}"]
        words += [f"{option_name(field)}={_plain(value)}" for field, value in chosen.items() if field not in TABLE1]
    return ",".join(words) or "all"


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "+".join(map(str, value))
    word = str(value).lower() if isinstance(value, bool) else str(value)
    return word.replace("/", "_")
