"""What is wrong in every scored image, and which training labels are in doubt: a run's failures and suspects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import polars as pl

from curate import schema
from curate.dataset import Dataset, write_table
from curate.errors import MismatchError, UsageError
from curate.files import readable_faults
from curate.threads import Watch, map_threads, unwatched
from label.findings import SUSPECT
from review.geometry import Failure, name_failure
from review.label_check import findings_of
from review.runs import Run, read_prediction, read_scores
from review.triage import Evidence, contradictions, reason_of, suspicion_of, triage_of, weigh

TRAINING = ("train", "background")
"""The splits whose labels a model learned from."""


class Witness(NamedTuple):
    """A run that is heard about labels."""

    run: Path
    ranks: dict[str, float]
    """sample_id -> review.triage.contradictions, of the images whose labels it did not learn from."""


class Finding(msgspec.Struct, frozen=True):
    """What one image looks like: its failure, and how doubtful its label is."""

    failure: Failure
    suspicion: float
    reason: str
    triage: str


def find_failures(run: Path, dataset: Dataset, watch: Watch = unwatched, others: Sequence[Run] = ()) -> pl.DataFrame:
    """Write a run's `failures.parquet` (every scored image) and `suspects.parquet` (its training images).

    The predictions of training images are out-of-fold where the run has folds; else the model has seen the labels
    it is asked about, and agrees with many a wrong one.

    Args:
        run: The run's folder, scored.
        dataset: The dataset version it was scored on.
        watch: Shown the progress.
        others: Runs on the same dataset version that are heard about its labels too, each where it did not learn from
            them: other models, or a person model in an ONNX file scored by `curate train score`.

    Returns:
        The failures (schema.FAILURES), sorted by sample_id.

    Raises:
        MissingError: The run has no scores.
        UsageError: One of the others learnt from every label it would be asked about.
        MismatchError: It has scores of an image that the dataset does not hold.
        FormatError: A prediction, mask or photograph is damaged.
    """
    scores = read_scores(run)
    rows = rows_of(run, dataset, scores)
    witnesses = [Witness(run, rank_of(scores)), *(witness_of(other, scores) for other in others)]
    gravest = gravest_findings(findings_of(dataset, watch)) if rows else {}
    seen = map_threads(lambda row: look_at(witnesses, dataset, row), rows, watch("failures", len(rows)))
    findings = [
        judge(failure, evidence, *gravest.get(row["sample_id"], (0.0, "")))
        for row, (failure, evidence) in zip(rows, seen, strict=True)
    ]
    failures, suspects = failures_table(scores, findings), suspects_table(scores, findings)
    with readable_faults(run):
        write_table(run / "suspects.parquet", suspects)
        write_table(run / "failures.parquet", failures)
    return failures


def rank_of(scores: pl.DataFrame) -> dict[str, float]:
    """sample_id -> how much less a run agrees with its label than with those of other images."""
    return dict(zip(scores["sample_id"], contradictions(scores), strict=True))


def witness_of(other: Run, scores: pl.DataFrame) -> Witness:
    """A further run, heard about the images of `scores` whose labels it did not learn from.

    Raises:
        UsageError: There is none.
    """
    heard = other.scores.filter(other.is_blind()).join(scores, on="sample_id", how="semi")
    if heard.is_empty() and scores.height:
        raise UsageError(
            f"{other.root}: learnt from every label it would be asked about, or is not scored on these images. "
            f"Train it with --folds and score it: curate train score {other.root}"
        )
    return Witness(other.root, rank_of(heard))


def gravest_findings(findings: pl.DataFrame) -> dict[str, tuple[float, str]]:
    """sample_id -> severity and words of the gravest finding of the label check that makes a label suspect."""
    first = findings.filter(pl.col("severity") >= SUSPECT).unique("sample_id", keep="first", maintain_order=True)
    return {name: (severity, found) for name, severity, found in first["sample_id", "severity", "found"].iter_rows()}


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


def look_at(witnesses: Sequence[Witness], dataset: Dataset, row: dict[str, Any]) -> tuple[Failure, Evidence]:
    """What the first witness gets wrong in one image, and what all of them and the photograph say against its label."""
    target = dataset.target(row)
    heard = [one for one in witnesses if row["sample_id"] in one.ranks]
    size_hw = row["height"], row["width"]
    predictions = [read_prediction(one.run, row["sample_id"], size_hw) for one in heard]
    failure = name_failure(target, predictions[0] >= 128, row["touching"])
    evidence = weigh(dataset.image(row), target, predictions)
    rank = sum(one.ranks[row["sample_id"]] for one in heard) / len(heard)
    return failure, msgspec.structs.replace(evidence, contradiction=rank)


def judge(failure: Failure, evidence: Evidence, check: float, finding: str) -> Finding:
    """The finding about one image, from what it shows and what the label check found."""
    evidence = msgspec.structs.replace(evidence, check=check, finding=finding)
    suspicion = suspicion_of(evidence)
    return Finding(failure, suspicion, reason_of(evidence), triage_of(failure, suspicion))


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
