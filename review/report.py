"""`report.html`: one self-contained file that tells what a loop chose, trained, found, did and earned."""

from __future__ import annotations

import base64
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import polars as pl

from curate import schema
from curate.dataset import Dataset, read_table
from curate.files import write_atomic
from curate.funnel import shown_steps
from review.compare import changes, table_rows
from review.loop import RoundResult, read_loop
from review.overlays import data_uri, error_overlay
from review.runs import read_prediction
from train.monitoring.log import EpochLine, read_log

SHOWN = 6
"""Images shown in each gallery."""


@dataclass(frozen=True)
class Picture:
    """One captioned picture of a gallery row."""

    title: str
    uri: str


@dataclass(frozen=True)
class Row:
    """One photograph as several runs see it."""

    heading: str
    note: str
    pictures: list[Picture]


def write_report(dataset: Dataset, out: Path) -> Path:
    """Write `report.html` of the loop in folder `out`; returns its path."""
    config, results = read_loop(out)
    html = _template().render(
        dataset=dataset,
        funnel=funnel_rows(dataset),
        counts=dataset.header.counts,
        config=config,
        rounds=[_round_story(dataset, out, result) for result in results],
        base_failures=failure_rows(out / "base"),
        suspects=suspect_gallery(dataset, out / "base"),
        curves=curves_svg(out, results),
    )
    path = out / "report.html"
    write_atomic(path, html.encode())
    return path


def _template() -> jinja2.Template:
    folder = Path(__file__).resolve().parent / "templates"
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html")


def funnel_rows(dataset: Dataset) -> list[tuple[str, int, float]]:
    """(label, images remaining, share of all looked at) for each step of the funnel, as `curate build` prints it."""
    steps = shown_steps(dataset.header.funnel)
    looked_at = max((step.remaining for step in steps), default=0)
    return [(step.label, step.remaining, step.remaining / looked_at if looked_at else 0.0) for step in steps]


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
        pictures = [_picture(dataset, sample, name, run, ious[name]) for name, run in runs.items()]
        rows.append(Row(change["sample_id"], f"{change['change']:+.3f} against the control", pictures))
    return rows


def _picture(dataset: Dataset, sample: dict[str, Any], name: str, run: Path, ious: dict[str, float | None]) -> Picture:
    sample_id, image, target = sample["sample_id"], dataset.image(sample), dataset.target(sample)
    predicted = read_prediction(run, sample_id, (sample["height"], sample["width"])) >= 128
    iou = ious.get(sample_id)
    shown = "-" if iou is None else f"{iou:.3f}"
    return Picture(f"{name}: IoU {shown}", data_uri(error_overlay(image, target, predicted)))


def suspect_gallery(dataset: Dataset, run: Path) -> list[Row]:
    """The most suspected labels of a run, each with the run's own view of it."""
    suspects = read_table(run / "suspects.parquet", schema.SUSPECTS).head(SHOWN)
    ious = dict(read_table(run / "scores.parquet", schema.SCORES).select("sample_id", "iou").iter_rows())
    samples = {row["sample_id"]: row for row in dataset.rows("train")}
    return [
        Row(row["sample_id"], row["reason"], [_picture(dataset, samples[row["sample_id"]], "base", run, ious)])
        for row in suspects.iter_rows(named=True)
        if row["sample_id"] in samples and ious.get(row["sample_id"]) is not None
    ]


def curves_svg(out: Path, results: list[RoundResult]) -> str:
    """Loss and validation IoU of every training of the loop, epochs of both arms continuing the base's, as SVG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (losses, ious) = plt.subplots(1, 2, figsize=(11, 3.4), layout="constrained")
    base = read_log(out / "base")
    ends = {"base": len(base)}
    _draw(losses, ious, "base", base, 0, "#334155")
    for result in results:
        begin = ends.get(result.base, len(base))
        for arm, colour in (("control", "#94a3b8"), ("candidate", "#e11d48")):
            lines = read_log(out / f"round-{result.round}" / arm)
            ends[f"round-{result.round}/{arm}"] = begin + len(lines)
            _draw(losses, ious, f"{arm} {result.round}" if len(results) > 1 else arm, lines, begin, colour)
    losses.set(xlabel="epoch", title="loss (dotted: training, solid: validation)")
    ious.set(xlabel="epoch", title="validation IoU")
    ious.legend(frameon=False)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    plt.close(figure)
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue().encode()).decode("ascii")


def _draw(losses: object, ious: object, label: str, lines: list[EpochLine], begin: int, colour: str) -> None:
    epochs = [begin + number for number in range(1, len(lines) + 1)]
    losses.plot(epochs, [line.train_loss for line in lines], ":", color=colour)  # type: ignore[attr-defined]
    losses.plot(epochs, [line.val_loss for line in lines], color=colour)  # type: ignore[attr-defined]
    ious.plot(epochs, [line.val_iou for line in lines], color=colour, label=label)  # type: ignore[attr-defined]


def shown_path(path: Path) -> str:
    """The path as a user would type it from the current folder."""
    relative = os.path.relpath(path)
    return relative if not relative.startswith("..") else str(path)
