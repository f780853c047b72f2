"""The figures of scored images as text and as JSON."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import polars as pl

from curate import schema
from curate.dataset import Dataset
from curate.files import json_bytes
from train.scoring.intervals import Interval, figure_intervals
from train.scoring.metrics import Summary, summarise


def number(value: float | None) -> str:
    """A figure of three decimals; a dash where there is none."""
    return "-" if value is None else f"{value:.3f}"


def groups_of(dataset: Dataset) -> dict[str, str]:
    """sample_id -> group, the unit that figures vary by."""
    return dict(dataset.collect(dataset.scan.select("sample_id", "group")).iter_rows())


def summary_json(scores: pl.DataFrame, groups: Mapping[str, str]) -> str:
    """split -> the fields of train.scoring.metrics.Summary, `groups` and `intervals`, as one JSON object."""
    told = {
        split: msgspec.to_builtins(summary) | {"groups": count, "intervals": intervals}
        for split, (summary, count, intervals) in summaries(scores, groups).items()
    }
    return json_bytes(told).decode()


def summaries(
    scores: pl.DataFrame, groups: Mapping[str, str]
) -> dict[str, tuple[Summary, int, dict[str, Interval | None]]]:
    """Of each split the summary, the number of groups its images fall into, and the intervals by that number."""
    found = {}
    for split in schema.SCORED:
        part = scores.filter(scores["split"] == split)
        if part.height:
            own = [groups[sample_id] for sample_id in part["sample_id"]]
            found[split] = summarise(part), len(set(own)), figure_intervals(part, own)
    return found


TABLE_ROWS = {
    "  predicted empty": "empty_predicted_empty",
    "image mean IoU": "mean_iou",
    "worst tenth IoU": "worst_tenth_iou",
    "pooled IoU": "pooled_iou",
    "good photos (IoU >= 0.9)": "good_share",
    "mean Dice": "mean_dice",
    "mean Boundary IoU": "mean_boundary_iou",
    "mean cross-entropy": "mean_bce",
}


def summary_table(scores: pl.DataFrame, groups: Mapping[str, str]) -> str:
    """The summary of each split as aligned text, a column per split; empty where nothing is scored.

    Args:
        scores: The columns of curate.schema.SCORES.
        groups: sample_id -> group; the intervals are by bootstrap over groups.
    """
    found = summaries(scores, groups)
    if not found:
        return ""
    lines = [["[95 % bootstrap interval]", *found]]
    lines.append(["images", *(f"{summary.images}" for summary, _, _ in found.values())])
    lines.append(["  in groups", *(f"{count}" for _, count, _ in found.values())])
    lines.append(["without a person", *(f"{summary.empty}" for summary, _, _ in found.values())])
    for title, field in TABLE_ROWS.items():
        cells = [with_interval(getattr(one, field), intervals[field]) for one, _, intervals in found.values()]
        lines.append([title, *cells])
    return "".join(f"{title:<25}" + "".join(f"{cell:>23}" for cell in cells) + "\n" for title, *cells in lines)


def with_interval(value: float | None, interval: Interval | None) -> str:
    """A figure, and its interval in brackets where it has one."""
    return number(value) + ("" if interval is None else f" [{number(interval.low)}, {number(interval.high)}]")
