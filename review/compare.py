"""Runs side by side: the table of before, control and after, and the images that changed most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from review.gate import Figure
from train.scoring.metrics import Summary

ROWS = {
    "image mean IoU": "mean_iou",
    "worst tenth IoU": "worst_tenth_iou",
    "pooled IoU": "pooled_iou",
    "mean Dice": "mean_dice",
    "mean Boundary IoU": "mean_boundary_iou",
    "good photos": "good_share",
}


def table_rows(table: Mapping[str, Summary], figures: Sequence[Figure]) -> list[list[str]]:
    """The rows of the before/control/after table as text, with the interval of after - control where there is one."""
    intervals = {figure.name: figure for figure in figures}
    return [
        [name, *(_number(getattr(summary, field)) for summary in table.values()), _gain(intervals.get(name))]
        for name, field in ROWS.items()
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _gain(figure: Figure | None) -> str:
    if figure is None or figure.difference is None or figure.low is None or figure.high is None:
        return ""
    return f"{figure.difference:+.3f}  [{figure.low:+.3f}, {figure.high:+.3f}]"


def plain_table(table: Mapping[str, Summary], figures: Sequence[Figure]) -> str:
    """The table as aligned text for a terminal."""
    lines = [["", *table, "after - control [95 %]"], *table_rows(table, figures)]
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

    Images without a person in label and prediction of either run have no IoU and are left out.
    """
    return (
        control.select("sample_id", control="iou")
        .join(candidate.select("sample_id", after="iou"), on="sample_id")
        .drop_nulls()
        .with_columns(change=pl.col("after") - pl.col("control"))
        .sort("change", "sample_id")
    )
