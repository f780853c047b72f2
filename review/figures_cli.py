"""`curate review slices`, `compare` and `report`: what the scores of runs say."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec
import polars as pl

from curate.commands.build import watching
from curate.commands.engine import engine_options
from curate.commands.place import FOLDER, LOCAL
from curate.dataset import Dataset
from curate.errors import UsageError
from curate.files import json_bytes
from review.compare import changes, compare_runs, comparison_lines, verdict
from review.failures import bring_up_to_date
from review.options_cli import HELP, dataset_option, json_option, scores_of, split_option
from review.run_report import write_run_report
from review.runs import Run, open_run, open_with
from review.slices import SLICES, conditions_of, figures_by_slice, figures_of, is_worse, slice_table, slices_of
from train.scoring.figures import groups_of

SHOWN = 5
"""Images that changed most, in either direction, that are listed."""


@click.command(context_settings=HELP)
@click.argument("run", type=FOLDER)
@dataset_option
@split_option
@engine_options
@json_option
def slices(run: Path, dataset: Path | None, splits: tuple[str, ...], as_json: bool) -> None:
    """Print how the run does on each kind of photograph, worst first.

    \b
    Kinds such as low light, low contrast along the outline, half a body,
    a held object are told from photograph and label, not from the scores.

    \b
    Example:
      curate review slices runs/first
    """
    opened = open_run(run, dataset)
    scores = scores_of(opened, splits)
    members, groups = members_of(opened.dataset), groups_of(opened.dataset)
    found, whole = figures_by_slice(scores, members, groups), figures_of("all", scores, groups)
    if as_json:
        told = [msgspec.to_builtins(one) | {"worse": is_worse(one, whole)} for one in found]
        click.echo(json_bytes({"all": whole, "slices": told}).decode())
        return
    absent = [name for name in SLICES if name not in {one.slice for one in found}]
    click.echo("\n".join([*slice_table(found, whole), *([f"no image: {', '.join(absent)}"] if absent else [])]))


def members_of(dataset: Dataset) -> pl.DataFrame:
    """The slices of a dataset version's images; where they were not measured yet, with a progress bar."""
    with watching() as watch:
        return slices_of(dataset.samples, conditions_of(dataset, watch))


@click.command(context_settings=HELP)
@click.argument("first", metavar="A", type=FOLDER)
@click.argument("second", metavar="B", type=FOLDER)
@dataset_option
@split_option
@json_option
def compare(first: Path, second: Path, dataset: Path | None, splits: tuple[str, ...], as_json: bool) -> None:
    """Compare two runs image by image: what differs, and whether that is more than chance.

    \b
    Intervals are by paired bootstrap, p-values by permutation; look-alikes
    are kept together. Both runs must be scored on one dataset version.

    \b
    Example:
      curate review compare runs/grabcut runs/first --split test
    """
    a, b = open_with(first, [second], dataset)
    both, other = scores_of_both(a, b, splits)
    found = compare_runs(both, other, members_of(a.dataset), groups_of(a.dataset))
    moved = changes(both, other).rename({"control": "a", "after": "b"})
    if as_json:
        told = msgspec.to_builtins(found) | {"a": str(first), "b": str(second)}
        click.echo(json_bytes(told | {"changes": moved.to_dicts()}).decode())
        return
    parts = ", ".join(f"{count} {split}" for split, count in both["split"].value_counts().sort("split").iter_rows())
    lines = [f"A = {first}", f"B = {second}", f"on {parts} images: {verdict(found)}", "", *comparison_lines(found)]
    lines += ["", "changed most", *change_lines(moved)]
    click.echo("\n".join(lines))


def scores_of_both(a: Run, b: Run, splits: tuple[str, ...]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The scores of two runs on the images that both are scored on; what is left out is said.

    Raises:
        MissingError: A run has no scores on these splits.
        UsageError: There is no such image.
    """
    one, other = scores_of(a, splits), scores_of(b, splits)
    in_both, in_both_too = one.join(other, on="sample_id", how="semi"), other.join(one, on="sample_id", how="semi")
    if not in_both.height:
        advice = "Score both on one split: curate train score"
        raise UsageError(f"{a.root} and {b.root} are scored on other images. {advice}")
    if left_out := one.height + other.height - 2 * in_both.height:
        click.echo(f"note: {left_out} images that one run alone is scored on are left out", err=True)
    return in_both, in_both_too


def change_lines(moved: pl.DataFrame) -> list[str]:
    """The images that lost most, then those that gained most, as A -> B."""
    worse, better = moved.filter(pl.col("change") < 0), moved.filter(pl.col("change") > 0)
    shown = pl.concat([worse.head(SHOWN), better.tail(SHOWN).reverse()])
    return [f"  {change:+.3f}  {a:.3f} -> {b:.3f}  {one}" for one, a, b, change in shown.iter_rows()]


@click.command(context_settings=HELP)
@click.argument("run", type=FOLDER)
@click.argument("other", required=False, metavar="[RUN2]", type=FOLDER)
@dataset_option
@split_option
@click.option("--out", type=LOCAL, metavar="FILE", help="HTML file.  [default: RUN/report.html]")
def report(run: Path, other: Path | None, dataset: Path | None, splits: tuple[str, ...], out: Path | None) -> None:
    """Write what a run does well and badly into one HTML file; with RUN2, what changed from RUN to it.

    \b
    It holds scores with intervals, curves, slices, kinds of failure and
    pictures of the worst images, needs no network, and can be sent.

    \b
    Example:
      curate review report runs/first --split test --out first.html
    """
    runs = open_with(run, [] if other is None else [other], dataset)
    scores = [scores_of(runs[0], splits)] if other is None else list(scores_of_both(runs[0], runs[1], splits))
    place = out or run / "report.html"
    if place.is_dir():
        raise UsageError(f"--out {place}: is a folder. Name the file to write: --out {place / 'report.html'}")
    with watching() as watch:
        bring_up_to_date(runs[0], watch)
        write_run_report(runs, scores, conditions_of(runs[0].dataset, watch), place, watch)
    click.echo(place)
