"""`report.html`: one self-contained file that tells what a loop chose, trained, found, did and earned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from curate import schema
from curate.dataset import Dataset, read_table
from curate.files import write_atomic
from review.compare import SliceDifference, changes, gain_words, table_rows
from review.loop.given import read_given, version_of
from review.loop.mine import options_of
from review.loop.offer import TO_LABEL
from review.loop.pool import POOL
from review.loop.round import RoundResult
from review.loop.run import read_loop
from review.loop.steps import round_folder
from review.pages import Curve, Picture, curves_svg, funnel_rows, iou_words, page, photograph, picture
from train.config import placed, relative
from train.monitoring.log import read_log
from train.scoring.figures import number

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
    base, stories, version = config.base_of(out), list[dict[str, object]](), dataset
    for result in results:
        folder = round_folder(out, result.round)
        given = read_given(folder)
        version = version if given is None else version_of(version, folder, given)
        stories.append(_round_story(version, out, result))
    first, last = (placed(results[place].evidence, out) if results else out / base for place in (0, -1))
    html = page(
        "loop.html",
        dataset=dataset,
        funnel=funnel_rows(dataset),
        counts=dataset.header.counts,
        config=config,
        mining=options_of(config.mining),
        rounds=stories,
        base_failures=failure_rows(first, ("train", "val")),
        suspects=suspect_gallery(version, last),
        curves=curves_svg(loop_curves(out, base, results)),
    )
    path = out / "report.html"
    write_atomic(path, html)
    return path


def failure_rows(run: Path, splits: Sequence[str]) -> list[tuple[str, int, float]]:
    """(kind, images, mean severity) of a run's failures that triage did not call ok, most frequent first."""
    scored = read_table(run / "scores.parquet", schema.SCORES).filter(pl.col("split").is_in(splits))
    frame = read_table(run / "failures.parquet", schema.FAILURES).filter(pl.col("triage") != "ok")
    frame = frame.join(scored, on="sample_id", how="semi")
    kinds = (
        frame.group_by("kind").agg(pl.len(), pl.col("severity").mean()).sort("len", "kind", descending=[True, False])
    )
    return [(row["kind"], row["len"], row["severity"]) for row in kinds.iter_rows(named=True)]


def _round_story(dataset: Dataset, out: Path, result: RoundResult) -> dict[str, object]:
    folder = round_folder(out, result.round)
    runs = {name: placed(place, out) for name, place in result.runs.items()}
    scores = {name: _test_scores(run) for name, run in runs.items()}
    moved = changes(scores["control"], scores[result.proposed])
    shown = {name: runs[name] for name in ("before", "control", result.proposed)}
    return {
        "result": result,
        "names": list(result.table),
        "table": table_rows(result.table, result.gains),
        "earned": {name: [(one.name, gain_words(one)) for one in found] for name, found in result.earned.items()},
        "slices": slice_rows(result.slices),
        "validation": [(one.name, number(one.first), number(one.second), gain_words(one)) for one in result.validation],
        "version": dataset.header.digest,
        "hard": hard_gallery(dataset, folder / "mined.parquet", placed(result.evidence, out)),
        "recipes": list(result.recipes.items()),
        "still": failure_rows(runs[result.proposed], ("test",)),
        "to_label": f"{folder.name}/{TO_LABEL}" if (folder / TO_LABEL).is_file() else "",
        "pool": pool_gallery(dataset, folder),
        "improved": _gallery(dataset, shown, moved.filter(pl.col("change") > 0).reverse().head(SHOWN), scores),
        "worse": _gallery(dataset, shown, moved.filter(pl.col("change") < 0).head(SHOWN), scores),
        "counts": {
            "better": moved.filter(pl.col("change") > 0.01).height,
            "worse": moved.filter(pl.col("change") < -0.01).height,
            "same": moved.filter(pl.col("change").abs() <= 0.01).height,
        },
    }


def slice_rows(slices: Sequence[SliceDifference]) -> list[tuple[str, int, str, str, str]]:
    """(slice, images, IoU of the control, of the candidate, their difference) of the validation split."""
    return [
        (one.slice, one.images, number(one.iou.first), number(one.iou.second), gain_words(one.iou)) for one in slices
    ]


def hard_gallery(dataset: Dataset, mined: Path, evidence: Path) -> list[Row]:
    """The hardest images, as the run saw them whose errors were mined."""
    if not mined.is_file():
        return []
    samples = dataset.named
    hard = read_table(mined, schema.MINED).filter(pl.col("reason").str.starts_with("hard"))
    ious = read_table(evidence / "scores.parquet", schema.SCORES).select("sample_id", "iou")
    worst = hard.join(ious, on="sample_id", how="left").sort("iou", "sample_id").head(SHOWN)
    return [
        Row(
            row["sample_id"],
            row["recipe"] if row["weight"] == 1 else f"{row['recipe']}, drawn {row['weight']:g} times as often",
            [picture(dataset, samples[row["sample_id"]], evidence, row["reason"])],
        )
        for row in worst.iter_rows(named=True)
    ]


def pool_gallery(dataset: Dataset, folder: Path) -> list[Row]:
    """The images of the pool that are most worth a label, each beside the hard image that it is like."""
    path = folder / "pool.parquet"
    if not path.is_file():
        return []
    samples = dataset.named
    rows = []
    for found in read_table(path, POOL).head(SHOWN).iter_rows(named=True):
        pictures = [photograph(dataset, samples[found["sample_id"]], "to label")]
        if found["like"] in samples:
            pictures.append(photograph(dataset, samples[found["like"]], f"like {found['like']}"))
        note = f"similarity {found['similarity']:.2f}, disagreement {found['disagreement']:.2f}"
        rows.append(Row(found["sample_id"], note, pictures))
    return rows


def _test_scores(run: Path) -> pl.DataFrame:
    return read_table(run / "scores.parquet", schema.SCORES).filter(pl.col("split") == "test")


def _gallery(
    dataset: Dataset, runs: dict[str, Path], moved: pl.DataFrame, scores: dict[str, pl.DataFrame]
) -> list[Row]:
    samples = dataset.named
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
    samples = dataset.named
    return [
        Row(
            row["sample_id"],
            row["reason"],
            [picture(dataset, samples[row["sample_id"]], run, f"base: {iou_words(ious[row['sample_id']])}")],
        )
        for row in suspects.iter_rows(named=True)
        if row["sample_id"] in samples and ious.get(row["sample_id"]) is not None
    ]


ARM_COLOURS = {"control": "#94a3b8", "labels": "#0284c7", "candidate": "#e11d48"}


def loop_curves(out: Path, base: Path, results: list[RoundResult]) -> list[Curve]:
    """Every training of the loop, the epochs of the arms continuing those of the run that they start from.

    The last round's arms are drawn in full, those of the rounds before the paler the older they are.
    """
    lines = read_log(base)
    curves, ends = [Curve("base", lines, "#334155")], {relative(base, out): len(lines)}
    for result in results:
        begin = ends.get(result.base, len(lines))
        for arm, colour in ARM_COLOURS.items():
            if arm_lines := read_log(round_folder(out, result.round) / arm):
                ends[f"round-{result.round}/{arm}"] = begin + len(arm_lines)
                label = f"{arm} {result.round}" if len(results) > 1 else arm
                curves.append(Curve(label, arm_lines, colour, begin, opacity=result.round / len(results)))
    return curves
