"""`curate review slices` and `compare`: what the scores of runs say, printed."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec
import polars as pl

from curate.commands import watching
from curate.dataset import Dataset
from curate.errors import UsageError
from review.compare import changes, compare_runs, comparison_lines, verdict
from review.options_cli import HELP, dataset_option, json_option, scores_of, split_option
from review.runs import open_run
from review.slices import SLICES, conditions_of, figures_by_slice, figures_of, slice_table, slices_of
from train.scoring.figures import groups_of

SHOWN = 5
"""Images that changed most, in either direction, that are listed."""


@click.command(context_settings=HELP)
@click.argument("run", type=click.Path(path_type=Path))
@dataset_option
@split_option
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
        click.echo(msgspec.json.format(msgspec.json.encode({"all": whole, "slices": found}), indent=2))
        return
    absent = [name for name in SLICES if name not in {one.slice for one in found}]
    click.echo("\n".join([*slice_table(found, whole), *([f"no image: {', '.join(absent)}"] if absent else [])]))


def members_of(dataset: Dataset) -> pl.DataFrame:
    """The slices of a dataset version's images; where they were not measured yet, with a progress bar."""
    with watching() as watch:
        return slices_of(dataset.samples, conditions_of(dataset, watch))


@click.command(context_settings=HELP)
@click.argument("first", metavar="A", type=click.Path(path_type=Path))
@click.argument("second", metavar="B", type=click.Path(path_type=Path))
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
    a = open_run(first, dataset)
    b = open_run(second, a.dataset.root)
    one, other = scores_of(a, splits), scores_of(b, splits)
    both = one.join(other, on="sample_id", how="semi")
    if not both.height:
        raise UsageError(
            f"{first} and {second} are scored on other images. Score both on one split: curate train score"
        )
    other = other.join(both, on="sample_id", how="semi")
    left_out = one.height + scores_of(b, splits).height - 2 * both.height
    found = compare_runs(both, other, members_of(a.dataset), groups_of(a.dataset))
    moved = changes(both, other).rename({"control": "a", "after": "b"})
    if as_json:
        told = msgspec.to_builtins(found) | {"a": str(first), "b": str(second), "left_out": left_out}
        click.echo(msgspec.json.format(msgspec.json.encode(told | {"changes": moved.to_dicts()}), indent=2))
        return
    if left_out:
        click.echo(f"note: {left_out} images that one run alone is scored on are left out", err=True)
    parts = ", ".join(f"{count} {split}" for split, count in both["split"].value_counts().sort("split").iter_rows())
    lines = [f"A = {first}", f"B = {second}", f"on {parts} images: {verdict(found)}", "", *comparison_lines(found)]
    lines += ["", "changed most", *change_lines(moved)]
    click.echo("\n".join(lines))


def change_lines(moved: pl.DataFrame) -> list[str]:
    """The images that lost most, then those that gained most, as A -> B."""
    worse, better = moved.filter(pl.col("change") < 0), moved.filter(pl.col("change") > 0)
    shown = pl.concat([worse.head(SHOWN), better.tail(SHOWN).reverse()])
    return [f"  {change:+.3f}  {a:.3f} -> {b:.3f}  {one}" for one, a, b, change in shown.iter_rows()]
