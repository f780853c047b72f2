"""The option --preset of every command that takes fit's options."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click
from click.core import ParameterSource

from curate.commands.completion import words_or_path
from curate.commands.place import MODEL
from curate.packaged import shipped_names
from train.commands.console import note

PRESET = click.option(
    "--preset",
    type=MODEL,
    metavar="NAME|FILE",
    default=None,
    shell_complete=words_or_path(*shipped_names("presets")),
    help="Options from a TOML file or a preset (go-selfies, greenscreen); those given beside it win.",
)


def with_preset(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --preset; the command receives the options that a preset and the command line come to."""

    @functools.wraps(command)
    def merged(*arguments: Any, preset: str | None, **options: Any) -> Any:
        return command(*arguments, **(options | _from_preset(preset, options) if preset else options))

    return PRESET(merged)


def given_options(options: dict[str, Any]) -> dict[str, Any]:
    """Those of a command's options that stand on its command line."""
    context = click.get_current_context()
    return {name: value for name, value in options.items() if context.get_parameter_source(name) in GIVEN}


GIVEN = (ParameterSource.COMMANDLINE, None)
"""None is of the options that another one brings along, as `--size 128,256` does the size before the last."""


def _from_preset(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """What a preset sets of fit's options. To the command it counts as given, since a resumed run compares it."""
    from train.presets import OPTIONS, combine, load_preset

    fields = (*OPTIONS, "earlier_sizes", "earlier_batch_sizes")
    given = given_options({field: value for field, value in options.items() if field in fields})
    found, notes = combine(load_preset(name), given)
    for told in notes:
        note(f"--preset {name}: {told}")
    for field in found:
        click.get_current_context().set_parameter_source(field, ParameterSource.COMMANDLINE)
    return found
