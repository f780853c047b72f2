"""Runs side by side: what differs and whether that is chance, by slice and image by image; the loop's table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import polars as pl

from review.paired import Difference, Scores, differences, trainings_of
from train.scoring.figures import number
from train.scoring.metrics import Summary

SAME = 0.01
"""Of two IoUs of an image that are no farther apart, neither is better."""

CHANCE = 0.05
"""A difference that comes about by chance more often than this is not called one."""

ROWS = {
    "image mean IoU": "mean_iou",
    "worst tenth IoU": "worst_tenth_iou",
    "pooled IoU": "pooled_iou",
    "mean Dice": "mean_dice",
    "mean Boundary IoU": "mean_boundary_iou",
    "good photos": "good_share",
}


def table_rows(table: Mapping[str, Summary], figures: Sequence[Difference]) -> list[list[str]]:
    """The rows of the before/control/after table as text, with the interval of after - control where there is one."""
    intervals = {figure.name: figure for figure in figures}
    return [
        [name, *(number(getattr(summary, field)) for summary in table.values()), _gain(intervals.get(name))]
        for name, field in ROWS.items()
    ]


def _gain(figure: Difference | None) -> str:
    if figure is None or figure.difference is None or figure.low is None or figure.high is None:
        return ""
    return f"{figure.difference:+.3f}  [{figure.low:+.3f}, {figure.high:+.3f}]"


def plain_table(table: Mapping[str, Summary], figures: Sequence[Difference], compared: str = "after") -> str:
    """The table as aligned text for a terminal."""
    lines = [["", *table, f"{compared} - control [95 %]"], *table_rows(table, figures)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in (0, len(widths) - 1) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def changes(control: pl.DataFrame, candidate: pl.DataFrame) -> pl.DataFrame:
    """Every image both runs scored, with `control`, `after` (IoU) and `change` = after - control, worst change first.

    An IoU is null where label and prediction show nobody, which is right: beside one where a run saw a person there it
    counts as 1. Images of which both runs say so have no change and are left out.
    """
    return (
        control.select("sample_id", control="iou")
        .join(candidate.select("sample_id", after="iou"), on="sample_id")
        .filter(pl.col("control").is_not_null() | pl.col("after").is_not_null())
        .with_columns(pl.col("control", "after").fill_null(1.0))
        .with_columns(change=pl.col("after") - pl.col("control"))
        .sort("change", "sample_id")
    )


class SliceDifference(msgspec.Struct, frozen=True):
    """How two runs differ on one slice."""

    slice: str
    images: int
    iou: Difference
    """Of the image mean IoU."""


class Comparison(msgspec.Struct, frozen=True):
    """How a second run differs from a first one on the same images."""

    images: int
    figures: list[Difference]
    slices: list[SliceDifference]
    """What lost most comes first."""
    better: int
    """Images whose IoU is more than SAME above that of the first run."""
    worse: int
    same: int


def compare_runs(
    first: pl.DataFrame, second: pl.DataFrame, slices: pl.DataFrame, groups: Mapping[str, str]
) -> Comparison:
    """How two runs differ.

    Args:
        first, second: schema.SCORES of the same images.
        slices: What review.slices.slices_of gives.
        groups: sample_id -> group.

    Raises:
        MismatchError: They are of other images.
    """
    figures = differences(first, second, groups)
    change = changes(first, second)["change"]
    better, worse = int((change > SAME).sum()), int((change < -SAME).sum())
    return Comparison(
        images=first.height,
        figures=figures,
        slices=slice_differences(first, second, slices, groups),
        better=better,
        worse=worse,
        same=first.height - better - worse,
    )


def slice_differences(
    first: Scores, second: Scores, slices: pl.DataFrame, groups: Mapping[str, str]
) -> list[SliceDifference]:
    """How two runs differ on each slice, what lost most first; arguments as `compare_runs`."""
    images = trainings_of(first)[0]
    found = [
        slice_difference(str(name), first, second, members["sample_id"], groups)
        for (name,), members in slices.join(images, on="sample_id", how="semi").group_by("slice")
    ]
    return sorted(found, key=lambda one: (one.iou.difference or 0.0, one.slice))


def slice_difference(
    name: str, first: Scores, second: Scores, members: pl.Series, groups: Mapping[str, str]
) -> SliceDifference:
    """How two runs differ on some of their images."""
    mine = pl.col("sample_id").is_in(members.implode())
    one, other = ([run.filter(mine) for run in trainings_of(scores)] for scores in (first, second))
    [mean] = differences(one, other, groups, names=["image mean IoU"])
    return SliceDifference(name, members.len(), mean)


def comparison_lines(found: Comparison) -> list[str]:
    """The table of a comparison for a terminal."""
    lines = [f"{'':<22}{'A':>7}{'B':>8}  {'B - A [95 %]':<26}p"]
    lines += [f"{one.name:<22}{difference_words(one)}" for one in found.figures]
    counts = f"{found.better} images better by more than {SAME}, {found.worse} worse, {found.same} the same"
    lines += [counts, "", f"{'slice':<22}{'A':>7}{'B':>8}  {'B - A [95 %]':<26}{'p':<8}images"]
    lines += [f"{one.slice:<22}{difference_words(one.iou):<51}{one.images}" for one in found.slices]
    if found.slices:
        lines.append(f"{len(found.slices)} slices: about one in twenty has p below {CHANCE} by chance alone")
    return lines


def difference_words(one: Difference) -> str:
    """The figures of two runs, their difference with its interval, and its p-value."""
    chance = "-" if one.p is None else f"{one.p:.4f}"
    return f"{number(one.first):>7}{number(one.second):>8}  {gain_words(one):<26}{chance}"


def gain_words(one: Difference) -> str:
    """A difference with its interval."""
    if one.difference is None:
        return "-"
    if one.low is None:
        return f"{one.difference:+.3f}"
    return f"{one.difference:+.3f} [{one.low:+.3f}, {one.high:+.3f}]"


def verdict(found: Comparison) -> str:
    """What the image mean says, in words."""
    mean = next(one for one in found.figures if one.name == "image mean IoU")
    if mean.difference is None:
        return "no image shows a person, so nothing can be told"
    if mean.p is None:
        return "they are of one group, so nothing can be told"
    if mean.p >= CHANCE:
        return f"no difference beyond chance in the image mean IoU (p {mean.p:.4f})"
    return f"{'B' if mean.difference > 0 else 'A'} has the better image mean IoU (p {mean.p:.4f})"
