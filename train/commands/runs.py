"""`curate train runs`."""

from __future__ import annotations

import shutil
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from curate.commands.place import FOLDER
from curate.files import json_bytes
from curate.terminal import GLUE, counted, table
from train.commands.console import SETTINGS, note

if TYPE_CHECKING:
    from collections.abc import Sequence

    from train.sweeps.runs import Group, Run, SplitScore

NARROWEST, WIDEST, INDENT = 80, 120, "    "
LEAST_ROOM = 11
"""Characters left for names; a longer one gets a line of its own."""
TITLES = {"val": "val IoU [95 %]", "test": "test IoU [95 %]", "train": "train IoU [95 %]"}
"""The splits whose scores are shown, most wanted first: where a line is too narrow, the last are left out."""


@click.command(context_settings=SETTINGS)
@click.argument("folders", metavar="[FOLDER]...", nargs=-1, type=FOLDER)
@click.option(
    "--sort", type=click.Choice(["best", "newest", "name"]), default="best", help="Order; best by validation IoU."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with everything about each run.")
def runs(folders: tuple[Path, ...], sort: str, as_json: bool) -> None:
    """List the runs below folders (default: runs) with their scores and the settings they differ in.

    Runs stand together by the dataset version (digest) they were made with: only scores on the same images can be
    compared. IoU is the image mean; in brackets the epoch it is best in, at training size. A train IoU is shown where
    it is out-of-fold. Runs of loops and scored peers are found too.

    \b
    Example:
      curate train runs
      curate train runs runs/first --sort newest --json
    """
    from train.sweeps.runs import find_runs, group_runs

    places = folders or (Path("runs"),)
    found = find_runs(places)
    groups = group_runs(found, sort)
    damaged = [run for run in found if run.state == "damaged"]
    if as_json:
        ordered = [run for group in groups for run in group.runs] + damaged
        click.echo(json_bytes({"runs": ordered}).decode())
        return
    if not found:
        note(f"no run below {', '.join(map(str, places))}. Train one with: curate train fit DATASET --out runs/first")
    width = min(WIDEST, max(NARROWEST, shutil.get_terminal_size().columns))
    blocks = [group_lines(group, width) for group in groups] + ([damaged_lines(damaged, width)] if damaged else [])
    for number, lines in enumerate(blocks):
        click.echo(("\n" if number else "") + "\n".join(lines))
    if len(groups) > 1:
        note("scores in different groups are of different dataset versions and cannot be compared")


def group_lines(group: Group, width: int) -> list[str]:
    """A group under its heading, as lines of at most `width` characters where no name is longer."""
    name = Path(group.runs[0].dataset).name
    heading = f"{name} ({group.digest[:12]}), {counted(len(group.runs), 'run')}"
    splits = [split for split in TITLES if any(is_shown(run, split) for run in group.runs)]
    while True:
        cells = [cells_of(run, splits) for run in group.runs]
        rows = table(
            [["state", "best (epoch)", *(TITLES[split] for split in splits)], *cells], "ll" + "l" * len(splits)
        )
        room = width - max(map(len, rows)) - 2
        if room >= LEAST_ROOM or len(splits) < 2:
            break
        splits.pop()
    longest = max([len(run.path) for run in group.runs if len(run.path) <= room] + [len("run")])
    lines = [heading, f"{'run':<{longest}}  {rows[0]}"]
    for run, row in zip(group.runs, rows[1:], strict=True):
        fits = len(run.path) <= longest
        lines += [f"{run.path:<{longest}}  {row}"] if fits else [run.path, f"{'':<{longest}}  {row}"]
        lines += setting_lines(run, group.differing, width)
    return lines


def is_shown(run: Run, split: str) -> bool:
    """Whether a run has a score of a split that says something about other images."""
    return split in run.scores and (split != "train" or run.scores[split].out_of_fold or not run.epochs)


def cells_of(run: Run, splits: Sequence[str]) -> list[str]:
    """State, best epoch and scores of a run."""
    from train.scoring.figures import number

    state = f"{run.state} {run.epochs_done}/{run.epochs}" if run.state in ("stopped", "running") else run.state
    best = "-" if run.best_epoch is None else f"{number(run.best_val_iou)} ({run.best_epoch})"
    return [state, best, *(score_words(run.scores[one]) if is_shown(run, one) else "-" for one in splits)]


def score_words(score: SplitScore) -> str:
    """A mean with its interval."""
    from train.scoring.figures import with_interval

    return with_interval(score.mean_iou, score.interval)


def setting_lines(run: Run, names: Sequence[str], width: int) -> list[str]:
    """The settings in which a run differs from others, wrapped between them."""
    own = {name: run.settings[name] for name in names if name in run.settings}
    told = [f"{name} {value[:12] if name == 'sha256' else value}".replace(" ", GLUE) for name, value in own.items()]
    wrapped = textwrap.wrap(", ".join(told), width - len(INDENT), break_long_words=False, break_on_hyphens=False)
    return [INDENT + line.replace(GLUE, " ") for line in wrapped]


def damaged_lines(damaged: Sequence[Run], width: int) -> list[str]:
    """What cannot be read, and why."""
    lines = [f"{counted(len(damaged), 'run')} that cannot be read"]
    for run in damaged:
        lines += [run.path, *textwrap.wrap(run.problem, width, initial_indent=INDENT, subsequent_indent=INDENT)]
    return lines
