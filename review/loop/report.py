"""`report.html`: one self-contained file that tells what a loop chose, trained, found, did and earned."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path

import polars as pl

from curate import schema
from curate.dataset import Dataset, read_table
from curate.files import write_atomic
from curate.looking.show import split_parts
from review.compare import SAME, SliceDifference, changes, gain_words, table_rows
from review.loop.config import LoopConfig
from review.loop.folders import repeat_of, round_folder, verdicts_digest
from review.loop.gate import FEW_IMAGES, FEWEST_IN_SLICE, TWO_CHANCES
from review.loop.given import heeded, read_given
from review.loop.mine import RARE, options_of
from review.loop.offer import TO_LABEL
from review.loop.pool import POOL
from review.loop.round import RoundResult
from review.loop.run import read_loop
from review.loop.status import is_idle
from review.loop.steps import labels_of, scores_of, versions_of
from review.loop.times import best_epoch, run_times, runs_of
from review.pages import Curve, Picture, curves_svg, funnel_rows, iou_words, page, photograph, picture
from train.config import placed, relative
from train.monitoring.log import read_log
from train.scoring.figures import number
from train.scoring.metrics import summarise

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
    runs = runs_of(out, config)
    base, versions = config.base_of(out), versions_of(dataset, out, [result.round for result in results])
    changed = [changed_splits(*two) for two in pairwise(versions)]
    stories = [
        _round_story(version, out, result) | {"changed": others}
        for version, result, others in zip(versions[1:], results, changed, strict=True)
    ]
    first, last = (placed(results[place].evidence, out) if results else out / base for place in (0, -1))
    given = read_given(round_folder(out, results[-1].round)) if results else None
    chapters = chapters_of(results, [result.round for result, on in zip(results, changed, strict=True) if "val" in on])
    html = page(
        "loop.html",
        dataset=dataset,
        funnel=funnel_rows(dataset),
        counts=dataset.header.counts,
        config=config,
        mining=options_of(config.mining),
        summary=summary_of(out, config, results),
        idle=len(results) < config.rounds
        and is_idle(round_folder(out, len(results) + 1), results[-1] if results else None),
        two_chances=TWO_CHANCES,
        few_images=FEW_IMAGES,
        verdicts=verdicts_digest(out, config.rounds),
        again=shlex.join(["curate", "loop", str(dataset.root), "--out", str(out)]),
        fewest_in_slice=FEWEST_IN_SLICE,
        rounds=stories,
        base_failures=failure_rows(first, ("train", "val")),
        suspects=suspect_gallery(
            versions[-1], last, evidence_words(results), given.verdicts if given else {}, left_out(out, results)
        ),
        chapters=[
            ([one.round for one in chapter], curves_svg(curves))
            for chapter, curves in zip(chapters, loop_curves(out, base, results, chapters), strict=True)
        ],
        times=[
            (step, best_epoch(runs[step]), f"{seconds / 60:.1f}") for step, seconds in run_times(out, config).items()
        ],
    )
    path = out / "report.html"
    write_atomic(path, html)
    return path


def changed_splits(before: Dataset, after: Dataset) -> list[str]:
    """Which of val and test has other images, or other labels of them, in a later version."""
    return [one for one in ("val", "test") if not labels_of(before, [one]).equals(labels_of(after, [one]))]


@dataclass(frozen=True)
class LoopSummary:
    """What who reads no further has to know."""

    promoted: int
    """Rounds."""
    model: str
    """The run to use now, relative to the loop's folder."""
    figures: str
    """How good it is on test images; empty before there is a round."""
    to_label: str
    """What to label next, relative to the loop's folder; empty where there is nothing."""
    to: str
    """The tool that it is for."""
    offered: int
    """Images in it."""


def summary_of(out: Path, config: LoopConfig, results: Sequence[RoundResult]) -> LoopSummary:
    """What a loop has come to."""
    if not results:
        return LoopSummary(0, relative(config.base_of(out), out), "", "", "", 0)
    last = results[-1]
    name = last.proposed if last.promoted else "before"
    found = last.table[name]
    if last.promoted and last.repeats > 1:  # the table has means over trainings, of which this is one
        found = summarise(scores_of(placed(last.runs[name], out), "test"))
    shown = f"Image mean IoU {number(found.mean_iou)}, worst tenth {number(found.worst_tenth_iou)}"
    figures = f"{shown}, on the {last.test_images} test images of round {last.round}"
    to_label = f"{round_folder(out, last.round).name}/{TO_LABEL}"
    ready = last.offered if (out / to_label).is_file() else 0
    promoted = sum(result.promoted for result in results)
    return LoopSummary(promoted, last.promotes, figures, to_label if ready else "", last.to or config.to, ready)


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
    runs = {name: validated_run(out, result, name) for name in ("before", "control", result.proposed)}
    scores = {name: scores_of(run, "val") for name, run in runs.items()}
    moved, mean = changes(scores["control"], scores[result.proposed]), result.gains[0]
    return {
        "result": result,
        "names": list(result.table),
        "splits": ", ".join(f"{one.images} {one.name}" for one in split_parts(dataset.samples) if one.images),
        "learnt": (len(dataset.rows("train")), len(dataset.rows("background"))),
        "gain": (number(mean.first), number(mean.second), gain_words(mean)),
        "table": table_rows(result.table, result.gains),
        "earned": {name: [(one.name, gain_words(one)) for one in found] for name, found in result.earned.items()},
        "slices": slice_rows(result.slices),
        "validation": [(one.name, number(one.first), number(one.second), gain_words(one)) for one in result.validation],
        "version": dataset.header.digest,
        "hard": hard_gallery(dataset, folder / "mined.parquet", placed(result.evidence, out)),
        "recipes": list(result.recipes.items()),
        "still": failure_rows(runs[result.proposed], ("val",)),
        "to_label": f"{folder.name}/{TO_LABEL}" if (folder / TO_LABEL).is_file() else "",
        "pool": pool_gallery(dataset, folder),
        "rare": rare_rows(folder / "mined.parquet"),
        "decisions": decision_words(dataset, folder),
        "improved": _gallery(dataset, runs, moved.filter(pl.col("change") > SAME).reverse().head(SHOWN), scores),
        "worse": _gallery(dataset, runs, moved.filter(pl.col("change") < -SAME).head(SHOWN), scores),
        "counts": {
            "better": moved.filter(pl.col("change") > SAME).height,
            "worse": moved.filter(pl.col("change") < -SAME).height,
            "same": moved.filter(pl.col("change").abs() <= SAME).height,
        },
    }


def validated_run(out: Path, result: RoundResult, name: str) -> Path:
    """Where the validation scores and predictions of a round's run (`before`, `control`, `labels`, `after`) lie.

    Of several trainings it is the one that is shown of the test split too.
    """
    folder, own = round_folder(out, result.round), Path(result.runs[name]).name
    run = placed(result.base, out) if name == "before" else folder / own
    apart = folder / "judged" / (name if name == "before" else own)
    is_apart = (apart / "scores.parquet").is_file() and not scores_of(apart, "val").is_empty()
    return apart if is_apart else run


def slice_rows(slices: Sequence[SliceDifference]) -> list[tuple[str, int, bool, str, str, str]]:
    """(slice, images, whether it has a vote, IoU of the control, of the candidate, their difference) on validation."""
    return [
        (
            one.slice,
            one.images,
            one.images >= FEWEST_IN_SLICE,
            number(one.iou.first),
            number(one.iou.second),
            gain_words(one.iou),
        )
        for one in slices
    ]


def rare_rows(mined: Path) -> list[tuple[str, int, float]]:
    """(slice, images, times as often as others each is drawn) of the slices that a round raised, most images first."""
    if not mined.is_file():
        return []
    raised = read_table(mined, schema.MINED).with_columns(slice=pl.col("reason").str.extract(f"{RARE}(.*)$"))
    found = raised.drop_nulls("slice").group_by("slice").agg(pl.len(), pl.col("weight").mean())
    return list(found.sort("len", "slice", descending=[True, False]).iter_rows())


def decision_words(dataset: Dataset, folder: Path) -> str:
    """How many decisions of people were in force in a round, by verdict; empty where there were none."""
    given = read_given(folder)
    found = Counter(heeded(dataset, given.verdicts).values()) if given else Counter[str]()
    return ", ".join(f"{count} {verdict}" for verdict, count in sorted(found.items()))


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


def evidence_words(results: Sequence[RoundResult]) -> str:
    """Whose predictions the last round's evidence is."""
    if not results:
        return "base"
    last = results[-1]
    return "fold models of the base" if last.out_of_fold else last.base


def left_out(out: Path, results: Sequence[RoundResult]) -> set[str]:
    """The images that the last round did not learn from."""
    mined = round_folder(out, results[-1].round) / "mined.parquet" if results else None
    if mined is None or not mined.is_file():
        return set()
    return set(read_table(mined, schema.MINED).filter(pl.col("weight") == 0)["sample_id"])


def suspect_gallery(
    dataset: Dataset, run: Path, whose: str, verdicts: Mapping[str, str], left: Collection[str]
) -> list[Row]:
    """The most suspected labels by the evidence in `run`, but for those that a reviewer called ok.

    Args:
        dataset: The version that the evidence is of.
        run: Scores, suspects and predictions.
        whose: The model that these are of, in words.
        verdicts: sample_id -> a reviewer's verdict.
        left: Images that were not learnt from.
    """
    fine = sorted(name for name, verdict in verdicts.items() if verdict == "ok")
    suspects = read_table(run / "suspects.parquet", schema.SUSPECTS).filter(~pl.col("sample_id").is_in(fine))
    ious = dict(read_table(run / "scores.parquet", schema.SCORES).select("sample_id", "iou").iter_rows())
    samples = dataset.named
    return [
        Row(
            row["sample_id"] + (", left out" if row["sample_id"] in left else ""),
            row["reason"],
            [picture(dataset, samples[row["sample_id"]], run, f"{whose}: {iou_words(ious[row['sample_id']])}")],
        )
        for row in suspects.head(SHOWN).iter_rows(named=True)
        if row["sample_id"] in samples and ious.get(row["sample_id"]) is not None
    ]


ARM_COLOURS = {"control": "#94a3b8", "labels": "#0284c7", "candidate": "#e11d48"}


def chapters_of(results: Sequence[RoundResult], changed: Collection[int]) -> list[list[RoundResult]]:
    """The rounds apart where the validation images change: figures of two chapters are not of the same images.

    The first chapter is that of the base, and may have no round; `changed` are the rounds that begin another.
    """
    chapters = [list[RoundResult]()]
    for result in results:
        if result.round in changed:
            chapters.append([])
        chapters[-1].append(result)
    return chapters


def loop_curves(
    out: Path, base: Path, results: Sequence[RoundResult], chapters: Sequence[Sequence[RoundResult]]
) -> list[list[Curve]]:
    """Every training of the loop by chapter, the epochs of the arms continuing those of the run that they start from.

    A chapter's last arms are drawn in full, those of the rounds before the paler the older they are.
    """
    lines = read_log(base)
    drawn, ends = list[list[Curve]](), {relative(base, out): len(lines)}
    for chapter in chapters:
        curves = [] if drawn else [Curve("base", lines, "#334155")]
        for place, result in enumerate(chapter, start=1):
            begin = ends.get(result.base, len(lines))
            for (arm, colour), repeat in product(ARM_COLOURS.items(), range(result.repeats)):
                run = round_folder(out, result.round) / repeat_of(arm, repeat)
                if arm_lines := read_log(run):
                    ends[relative(run, out)] = begin + len(arm_lines)
                    label = f"{arm} {result.round}" if len(results) > 1 else arm
                    shown = "" if repeat else label  # of several trainings one stands in the legend
                    curves.append(Curve(shown, arm_lines, colour, begin, opacity=place / len(chapter)))
        drawn.append(curves)
    return drawn
