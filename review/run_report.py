"""A run's report, or two runs' on the same images: one HTML file that opens anywhere, offline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from curate import schema
from curate.dataset import read_table
from curate.files import readable_faults, write_atomic
from curate.threads import Watch, map_threads, unwatched
from review.compare import changes, compare_runs, gain_words, verdict
from review.pages import Curve, Picture, curves_svg, funnel_rows, iou_words, page, picture
from review.runs import Run
from review.slices import SliceFigures, figures_by_slice, figures_of, is_worse, slices_of
from train.monitoring.log import read_log
from train.scoring.figures import TABLE_ROWS, summaries, with_interval

WORST = 240
"""Images of the gallery of the worst."""

DOUBTED = 24
"""Labels in doubt that are shown."""

CHANGED = 24
"""Images shown of those that gained most, and of those that lost most."""

COLOURS = ("#334155", "#e11d48")
STEPS = 20
"""Bars of the histogram of IoUs."""


@dataclass(frozen=True)
class Tile:
    """An image of a gallery: what a filter picks it by, what stands below it, and its pictures, one for each run."""

    sample_id: str
    split: str
    kind: str
    slices: Sequence[str]
    note: str
    pictures: Sequence[Picture]


def write_run_report(
    runs: Sequence[Run],
    scores: Sequence[pl.DataFrame],
    conditions: pl.DataFrame,
    out: Path,
    watch: Watch = unwatched,
) -> None:
    """Write the report of a run, or of two.

    Args:
        runs: One or two scored runs of one dataset version; the first has `failures.parquet` and leads.
        scores: Of each run schema.SCORES of the images to report on, the same for both.
        conditions: review.slices.CONDITIONS of the dataset.
        out: The HTML file.
        watch: Told of progress.
    """
    lead, dataset = runs[0], runs[0].dataset
    groups = dict(dataset.samples.select("sample_id", "group").iter_rows())
    slices = slices_of(dataset.samples, conditions)
    failures = read_table(lead.root / "failures.parquet", schema.FAILURES)
    failures = failures.join(scores[0], on="sample_id", how="semi")
    by_slice, whole = figures_by_slice(scores[0], slices, groups), figures_of("all", scores[0], groups)
    gallery = Gallery(runs, scores, failures, slices)
    chosen = worst_first(scores[0], failures).head(WORST)
    worst = gallery.tiles(chosen, watch("worst images", chosen.height))
    doubted = gallery.tiles(in_doubt(failures), watch("labels in doubt", in_doubt(failures).height))
    comparison, moved = None, []
    if len(runs) > 1:
        comparison = compare_runs(scores[0], scores[1], slices, groups)
        moved = moved_galleries(gallery, scores, watch)
    html = page(
        "run.html",
        runs=runs,
        titles=titles(runs),
        dataset=dataset,
        funnel=funnel_rows(dataset),
        counts=dataset.header.counts,
        images=scores[0].height,
        summary=summary_rows(scores, groups),
        comparison=comparison,
        gain=gain_words,
        verdict=verdict,
        colours=COLOURS,
        curves=run_curves(runs),
        histogram=histogram(scores),
        confusion=confusion(scores[0]),
        slices=slice_rows(by_slice, whole),
        kinds=kind_rows(failures),
        doubted=doubted,
        worst=worst,
        moved=moved,
    )
    with readable_faults(out):
        write_atomic(out, html)


def titles(runs: Sequence[Run]) -> list[str]:
    """What the runs are called: A and B where there are two."""
    return (
        [runs[0].name] if len(runs) == 1 else [f"{letter}: {run.name}" for letter, run in zip("AB", runs, strict=True)]
    )


def summary_rows(scores: Sequence[pl.DataFrame], groups: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """The summary, a column for each split of each run."""
    columns = [column for frame in scores for column in summaries(frame, groups).items()]
    head = ("images", [f"{split}: {summary.images}" for split, (summary, _, _) in columns])
    figures = [
        (
            title.strip(),
            [with_interval(getattr(summary, field), intervals[field]) for _, (summary, _, intervals) in columns],
        )
        for title, field in TABLE_ROWS.items()
    ]
    return [head, *((title, cells) for title, cells in figures if set(cells) != {"-"})]


def run_curves(runs: Sequence[Run]) -> str | None:
    """How the runs learnt; None where they did not, as ready-made models do."""
    curves = [
        Curve(title, read_log(run.root), colour)
        for title, run, colour in zip(titles(runs), runs, COLOURS, strict=False)
    ]
    return curves_svg([curve for curve in curves if curve.lines]) if any(curve.lines for curve in curves) else None


def histogram(scores: Sequence[pl.DataFrame]) -> list[tuple[str, list[tuple[int, float]]]]:
    """For each step of IoU the number of images of each run, and that as a share of the fullest step."""
    edges = np.arange(STEPS + 1) / STEPS  # exact: numpy's own, 3 * 0.05, would put 3/20 a step too low
    counted = [np.histogram(frame["iou"].drop_nulls(), edges)[0].tolist() for frame in scores]
    most = max((max(counts) for counts in counted), default=0) or 1
    labels = [f"{step / STEPS:.2f} to {(step + 1) / STEPS:.2f}" for step in range(STEPS)]
    return [(label, [(counts[step], counts[step] / most) for counts in counted]) for step, label in enumerate(labels)]


def confusion(scores: pl.DataFrame) -> list[tuple[str, float, float]]:
    """Of all counted pixels the shares that are person and background by the label, by what the run says."""
    sums = {name: int(scores[name].sum()) for name in ("tp", "fp", "fn", "tn")}
    total = sum(sums.values()) or 1
    shares = {name: value / total for name, value in sums.items()}
    return [("person", shares["tp"], shares["fn"]), ("background", shares["fp"], shares["tn"])]


def slice_rows(found: Sequence[SliceFigures], whole: SliceFigures) -> list[tuple[str, int, str, str, float, bool]]:
    """Slice, images, IoU, Boundary IoU, IoU as the length of a bar, whether it is surely worse than the whole."""
    return [
        (
            one.slice,
            one.images,
            with_interval(one.iou, one.iou_interval),
            with_interval(one.boundary_iou, one.boundary_iou_interval),
            one.iou or 0.0,
            is_worse(one, whole),
        )
        for one in (*found, whole)
    ]


def kind_rows(failures: pl.DataFrame) -> list[tuple[str, int, float, int, int]]:
    """Kind, images, mean severity, and how many of them triage calls hard and how many it calls doubtful labels."""
    wrong = failures.filter(pl.col("severity") > 0)
    triage = {f"of_{word}": (pl.col("triage") == word).sum() for word in ("augment", "relabel")}
    kinds = wrong.group_by("kind").agg(pl.len(), pl.col("severity").mean(), **triage)
    return kinds.sort("len", "kind", descending=[True, False]).rows()


def worst_first(scores: pl.DataFrame, failures: pl.DataFrame) -> pl.DataFrame:
    """`sample_id` of what is wrong at all, most severe first."""
    wrong = failures.filter(pl.col("severity") > 0).join(scores, on="sample_id", how="semi")
    return wrong.sort("severity", "sample_id", descending=[True, False]).select("sample_id")


def in_doubt(failures: pl.DataFrame) -> pl.DataFrame:
    """`sample_id` of the labels in doubt that are shown, most suspect first."""
    doubted = failures.filter(triage="relabel").sort("suspicion", "sample_id", descending=[True, False])
    return doubted.select("sample_id").head(DOUBTED)


class Gallery:
    """Makes tiles of images."""

    def __init__(
        self, runs: Sequence[Run], scores: Sequence[pl.DataFrame], failures: pl.DataFrame, slices: pl.DataFrame
    ) -> None:
        self._runs, self._titles = runs, ["", ""] if len(runs) == 1 else ["A: ", "B: "]
        self._samples = runs[0].dataset.named
        self._failures = {row["sample_id"]: row for row in failures.iter_rows(named=True)}
        self._ious = [dict(frame.select("sample_id", "iou").iter_rows()) for frame in scores]
        self._slices = dict(slices.group_by("sample_id", maintain_order=True).agg("slice").iter_rows())

    def tiles(self, chosen: pl.DataFrame, tick: Any = lambda steps: None) -> list[Tile]:
        """The tiles of some images, in their order."""
        return map_threads(self._tile, chosen["sample_id"].to_list(), tick)

    def _tile(self, sample_id: str) -> Tile:
        sample, failure = self._samples[sample_id], self._failures.get(sample_id)
        pictures = [
            picture(run.dataset, sample, run.root, f"{title}{iou_words(ious.get(sample_id))}")
            for run, title, ious in zip(self._runs, self._titles, self._ious, strict=False)
        ]
        kind = failure["kind"] if failure and failure["severity"] > 0 else ""
        doubt = f"label in doubt: {failure['reason']}" if failure else ""
        triage = {"relabel": doubt, "augment": "hard"}.get(failure["triage"], "") if failure else ""
        note = ", ".join(word for word in (kind, triage) if word)
        return Tile(sample_id, sample["split"], kind, self._slices.get(sample_id, []), note, pictures)


def moved_galleries(gallery: Gallery, scores: Sequence[pl.DataFrame], watch: Watch) -> list[tuple[str, list[Tile]]]:
    """The images that gained most and those that lost most from the first run to the second."""
    moved = changes(scores[0], scores[1])
    better, worse = moved.filter(pl.col("change") > 0).reverse(), moved.filter(pl.col("change") < 0)
    parts = {
        "What improved most from A to B": better.head(CHANGED),
        "What got worse most from A to B": worse.head(CHANGED),
    }
    tick = watch("images that changed", sum(part.height for part in parts.values()))
    return [(title, gallery.tiles(part, tick)) for title, part in parts.items() if part.height]
