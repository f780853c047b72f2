"""What is wrong in every scored image, and which training labels are in doubt: a run's failures and suspects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from curate import schema
from curate.dataset import Dataset, write_table
from curate.errors import MismatchError
from curate.files import readable_faults
from curate.threads import Watch, map_threads, unwatched
from review.geometry import Failure, name_failure
from review.runs import Run, read_prediction, read_scores
from review.triage import Evidence, contradictions, reason_of, suspicion_of, triage_of, weigh

TRAINING = ("train", "background")
"""The splits whose labels a model learned from."""


class Finding(msgspec.Struct, frozen=True):
    """What one image looks like: its failure, and how doubtful its label is."""

    failure: Failure
    suspicion: float
    reason: str
    triage: str


def find_failures(run: Path, dataset: Dataset, watch: Watch = unwatched) -> pl.DataFrame:
    """Write a run's `failures.parquet` (every scored image) and `suspects.parquet` (its training images).

    The predictions of training images are out-of-fold where the run has folds; else the model has seen the labels
    it is asked about, and agrees with many a wrong one.

    Args:
        run: The run's folder, scored.
        dataset: The dataset version it was scored on.
        watch: Shown the progress.

    Returns:
        The failures (schema.FAILURES), sorted by sample_id.

    Raises:
        MissingError: The run has no scores.
        MismatchError: It has scores of an image that the dataset does not hold.
        FormatError: A prediction, mask or photograph is damaged.
    """
    scores = read_scores(run)
    rows = rows_of(run, dataset, scores)
    seen = map_threads(lambda row: look_at(run, dataset, row), rows, watch("failures", len(rows)))
    pairs = zip(seen, contradictions(scores), strict=True)
    findings = [judge(failure, evidence, contradiction) for (failure, evidence), contradiction in pairs]
    failures, suspects = failures_table(scores, findings), suspects_table(scores, findings)
    with readable_faults(run):
        write_table(run / "suspects.parquet", suspects)
        write_table(run / "failures.parquet", failures)
    return failures


def bring_up_to_date(run: Run, watch: Watch = unwatched) -> None:
    """Find a run's failures where they are missing or older than its scores; raises what `find_failures` raises."""
    made, scores = run.root / "failures.parquet", run.root / "scores.parquet"
    whole = made.is_file() and (run.root / "suspects.parquet").is_file()
    if not whole or made.stat().st_mtime_ns < scores.stat().st_mtime_ns:
        find_failures(run.root, run.dataset, watch)


def rows_of(run: Path, dataset: Dataset, scores: pl.DataFrame) -> list[dict[str, Any]]:
    """The dataset's rows of the scored images, in the order of the scores."""
    known = {row["sample_id"]: row for row in dataset.rows()}
    strange = next((sample_id for sample_id in scores["sample_id"] if sample_id not in known), None)
    if strange is not None:
        advice = f"Score it again with: curate train score {run}"
        raise MismatchError(run / "scores.parquet", f"images of {dataset.root}", strange, advice)
    return [known[sample_id] for sample_id in scores["sample_id"]]


def look_at(run: Path, dataset: Dataset, row: dict[str, Any]) -> tuple[Failure, Evidence]:
    """What is wrong in one image, and what it says against its label."""
    target = dataset.target(row)
    prediction = read_prediction(run, row["sample_id"], (row["height"], row["width"]))
    failure = name_failure(target, prediction >= 128, row["touching"])
    return failure, weigh(dataset.image(row), target, prediction)


def judge(failure: Failure, evidence: Evidence, contradiction: float) -> Finding:
    """The finding about one image, from what it shows and how it compares with the others."""
    suspicion = suspicion_of(evidence, contradiction)
    return Finding(failure, suspicion, reason_of(evidence, contradiction), triage_of(failure, suspicion))


def failures_table(scores: pl.DataFrame, findings: list[Finding]) -> pl.DataFrame:
    """schema.FAILURES, one row per scored image."""
    rows: list[dict[str, object]] = [
        msgspec.structs.asdict(finding.failure) | {"sample_id": sample_id, "triage": finding.triage}
        for sample_id, finding in zip(scores["sample_id"], findings, strict=True)
    ]
    return schema.table(rows, schema.FAILURES)


def suspects_table(scores: pl.DataFrame, findings: list[Finding]) -> pl.DataFrame:
    """schema.SUSPECTS of the training images, most suspect first."""
    rows: list[dict[str, object]] = [
        {"sample_id": sample_id, "suspicion": finding.suspicion, "reason": finding.reason}
        for sample_id, split, finding in zip(scores["sample_id"], scores["split"], findings, strict=True)
        if split in TRAINING
    ]
    return schema.table(rows, schema.SUSPECTS).sort("suspicion", "sample_id", descending=[True, False])
