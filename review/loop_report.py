"""`report.html`: one self-contained file that tells what a loop chose, trained, found, did and earned."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from curate import schema
from curate.dataset import Dataset, read_table
from curate.files import write_atomic
from review.compare import changes, table_rows
from review.loop import RoundResult, read_loop
from review.pages import Curve, Picture, curves_svg, funnel_rows, iou_words, page, picture
from train.monitoring.log import read_log

SHOWN = 6
"""Images shown in each gallery."""


@dataclass(frozen=True)
class Row:
    """One photograph as several runs see it."""

    heading: str
    note: str
    pictures: list[Picture]


def write_report(dataset: Dataset, out: Path) -> Path:
    """Write `report.html` of the loop in folder `out`; returns its path."""
    config, results = read_loop(out)
    html = page(
        "loop.html",
        dataset=dataset,
        funnel=funnel_rows(dataset),
        counts=dataset.header.counts,
        config=config,
        rounds=[_round_story(dataset, out, result) for result in results],
        base_failures=failure_rows(out / "base"),
        suspects=suspect_gallery(dataset, out / "base"),
        curves=curves_svg(loop_curves(out, results)),
    )
    path = out / "report.html"
    write_atomic(path, html)
    return path


def failure_rows(run: Path) -> list[tuple[str, int, float]]:
    """(kind, images, mean severity) of a run's failures that triage did not call ok, most frequent first."""
    frame = read_table(run / "failures.parquet", schema.FAILURES).filter(pl.col("triage") != "ok")
    kinds = (
        frame.group_by("kind").agg(pl.len(), pl.col("severity").mean()).sort("len", "kind", descending=[True, False])
    )
    return [(row["kind"], row["len"], row["severity"]) for row in kinds.iter_rows(named=True)]


def _round_story(dataset: Dataset, out: Path, result: RoundResult) -> dict[str, object]:
    folder = out / f"round-{result.round}"
    runs = {"before": out / result.base, "control": folder / "control", "after": folder / "candidate"}
    scores = {name: _test_scores(run) for name, run in runs.items()}
    moved = changes(scores["control"], scores["after"])
    mined = read_table(folder / "mined.parquet", schema.MINED)
    return {
        "result": result,
        "table": table_rows(result.table, result.test),
        "recipes": recipe_rows(mined),
        "improved": _gallery(dataset, runs, moved.filter(pl.col("change") > 0).reverse().head(SHOWN), scores),
        "worse": _gallery(dataset, runs, moved.filter(pl.col("change") < 0).head(SHOWN), scores),
        "counts": {
            "better": moved.filter(pl.col("change") > 0.01).height,
            "worse": moved.filter(pl.col("change") < -0.01).height,
            "same": moved.filter(pl.col("change").abs() <= 0.01).height,
        },
    }


def recipe_rows(mined: pl.DataFrame) -> list[tuple[str, int]]:
    """(augmentation, hard images given it), most frequent first."""
    hard = mined.filter(pl.col("reason").str.starts_with("hard"))
    return hard.group_by("recipe").len().sort("len", "recipe", descending=[True, False]).rows()


def _test_scores(run: Path) -> pl.DataFrame:
    return read_table(run / "scores.parquet", schema.SCORES).filter(pl.col("split") == "test")


def _gallery(
    dataset: Dataset, runs: dict[str, Path], moved: pl.DataFrame, scores: dict[str, pl.DataFrame]
) -> list[Row]:
    samples = {row["sample_id"]: row for row in dataset.rows()}
    ious = {name: dict(frame.select("sample_id", "iou").iter_rows()) for name, frame in scores.items()}
    rows = []
    for change in moved.iter_rows(named=True):
        sample = samples[change["sample_id"]]
        pictures = [
            picture(dataset, sample, run, f"{name}: {iou_words(ious[name].get(sample['sample_id']))}")
            for name, run in runs.items()
        ]
        rows.append(Row(change["sample_id"], f"{change['change']:+.3f} against the control", pictures))
    return rows


def suspect_gallery(dataset: Dataset, run: Path) -> list[Row]:
    """The most suspected labels of a run, each with the run's own view of it."""
    suspects = read_table(run / "suspects.parquet", schema.SUSPECTS).head(SHOWN)
    ious = dict(read_table(run / "scores.parquet", schema.SCORES).select("sample_id", "iou").iter_rows())
    samples = {row["sample_id"]: row for row in dataset.rows("train")}
    return [
        Row(
            row["sample_id"],
            row["reason"],
            [picture(dataset, samples[row["sample_id"]], run, f"base: {iou_words(ious[row['sample_id']])}")],
        )
        for row in suspects.iter_rows(named=True)
        if row["sample_id"] in samples and ious.get(row["sample_id"]) is not None
    ]


def loop_curves(out: Path, results: list[RoundResult]) -> list[Curve]:
    """Every training of the loop, the epochs of both arms continuing the base's."""
    base = read_log(out / "base")
    curves, ends = [Curve("base", base, "#334155")], {"base": len(base)}
    for result in results:
        begin = ends.get(result.base, len(base))
        for arm, colour in (("control", "#94a3b8"), ("candidate", "#e11d48")):
            lines = read_log(out / f"round-{result.round}" / arm)
            ends[f"round-{result.round}/{arm}"] = begin + len(lines)
            curves.append(Curve(f"{arm} {result.round}" if len(results) > 1 else arm, lines, colour, begin))
    return curves
