"""`curate train sweep`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from curate.cli import code_of
from curate.commands.completion import words_or_path
from curate.commands.place import FOLDER
from curate.packaged import shipped_names
from train.commands.console import SETTINGS, note, progress
from train.commands.fit import in_words
from train.commands.options import fit_options
from train.commands.preset import given_options

if TYPE_CHECKING:
    from curate.dataset import Dataset
    from train.sweeps.grid import Axes, Run, Sweep


@click.command(context_settings=SETTINGS)
@click.argument("dataset", type=FOLDER)
@click.option("--out", metavar="SWEEP", type=FOLDER, required=True, help="Folder; an unfinished one goes on.")
@click.option(
    "--over",
    metavar="OPTION=V,V",
    multiple=True,
    help="Option of fit and the values it takes; repeatable, for all combinations. Over seeds, rows are means.",
)
@click.option(
    "--preset",
    metavar="NAME|FILE",
    default=None,
    shell_complete=words_or_path("table1", *shipped_names("presets")),
    help="As of fit; or table1, the eight models of the go-selfies paper, each trained by its preset.",
)
@fit_options
@click.option("--csv", "as_csv", is_flag=True, help="Print the table as CSV.")
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON.")
@click.option("--force", is_flag=True, help="Begin anew where a sweep stands, with other options or the same.")
@click.pass_context
def sweep(
    ctx: click.Context,
    /,
    dataset: Path,
    out: Path,
    over: tuple[str, ...],
    preset: str | None,
    as_csv: bool,
    as_json: bool,
    force: bool,
    **options: Any,
) -> None:
    """Train one model for each combination of options, and print a table of them.

    Each run is trained and scored as fit does it, the test split once when it is finished; validation says which row is
    best. A killed sweep goes on in the run it was in when it is called again, with the same options or with none.
    With table1, --size, --encoder and --weights are what the table varies: --size 128,256 makes two of each model.

    \b
    Example:
      curate train sweep people --out lrs --over lr=0.01,0.1 --encoder mobilenet_v2 --weights none --size 64 --epochs 1
      curate train sweep people --out paper --preset table1 --encoder mobilenet_v2 --weights none --size 32 --epochs 1
    """
    from curate.dataset import open_dataset

    opened, asked = open_dataset(dataset), _asked(over, preset, given_options(options))
    from train.models import device_name
    from train.sweeps.sweep import run_sweep
    from train.sweeps.table import table_csv, table_json, table_markdown

    wanted = None if asked is None else _settled(opened, out, *asked)
    note(f"training on {device_name()}")
    again = shlex.join(["curate", "train", "sweep", str(dataset), "--out", str(out)])
    try:
        with progress() as (watch, say):
            rows = run_sweep(
                opened, out, wanted, force=force, say=say, report=lambda line: say(f"  {in_words(line)}"), watch=watch
            )
    except KeyboardInterrupt as stop:
        note(f"stopped; go on with: {again}")
        ctx.exit(code_of(stop))
    if any(row.state != "done" for row in rows):
        note(f"not every run is trained; to try those again: {again}")
    click.echo(table_json(rows) if as_json else table_csv(rows) if as_csv else table_markdown(rows), nl=as_json)


def _asked(over: tuple[str, ...], preset: str | None, given: dict[str, Any]) -> tuple[Axes, list[Run]] | None:
    """What varies, and the runs that are asked for; None where nothing is said but the folder. Imports no torch."""
    from curate.errors import UsageError
    from train.presets import TABLE1, load_preset
    from train.sweeps.grid import TABLE1_BASE, make_runs, parse_axes, preset_notes, table1_axes

    if not over and preset is None and not given:
        return None
    axes, table1 = parse_axes(over), preset == TABLE1
    base = load_preset(TABLE1_BASE if table1 else preset) if preset else {}
    if table1:
        axes, given = table1_axes(given, axes)
    if not axes:
        raise UsageError("nothing to vary. Pass --over OPTION=VALUE,VALUE or --preset table1, or train one with fit")
    for told in preset_notes(axes, base, given):
        note(f"--preset {preset}: {told}")
    return axes, make_runs(axes, base, given, table1=table1)


def _settled(dataset: Dataset, out: Path, axes: Axes, runs: list[Run]) -> Sweep:
    """The sweep of these runs on a dataset."""
    from train.data.folds import validation_notes
    from train.sweeps.sweep import settle_sweep

    settled = settle_sweep(dataset, out, axes, runs)
    for told in dict.fromkeys(told for run in settled.runs for told in validation_notes(dataset, run.config)):
        note(told)
    return settled
