"""What is wrong in every scored image, and which training labels are in doubt: a run's failures and suspects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import polars as pl

from curate import schema
from curate.dataset import write_table
from curate.engine import map_rows
from curate.errors import UsageError
from curate.files import is_outdated, readable_faults
from curate.rows import Rows
from curate.threads import PART, Watch, unwatched
from label.findings import SUSPECT
from review.geometry import Failure, name_failure
from review.label_check import findings_of
from review.runs import Run, read_prediction
from review.triage import Evidence, contradictions, reason_of, suspicion_of, triage_of, weigh


class Witness(NamedTuple):
    """A run that is heard about labels."""

    run: Path
    ranks: dict[str, float]
    """sample_id -> review.triage.contradictions, of the images that it is heard about."""


class Finding(msgspec.Struct, frozen=True):
    """What one image looks like: its failure, and how doubtful its label is."""

    failure: Failure
    suspicion: float
    reason: str
    triage: str


def find_failures(run: Run, others: Sequence[Run] = (), watch: Watch = unwatched) -> pl.DataFrame:
    """Write a run's `failures.parquet` (every scored image) and `suspects.parquet` (its training images).

    The predictions of training images are out-of-fold where the run has folds; else the model has seen the labels
    it is asked about, and agrees with many a wrong one.

    Args:
        run: The run.
        others: Runs on the same dataset version that are heard about its labels too, each where it did not learn from
            them: other models, or a person model in an ONNX file scored by `curate train score`. Where one of them is
            heard, the run itself is only if it did not learn from the label either.
        watch: Shown the progress.

    Returns:
        The failures (schema.FAILURES), sorted by sample_id.

    Raises:
        UsageError: One of the others learnt from every label that it would be asked about, or is heard already.
        FormatError: A prediction, mask or photograph is damaged.
    """
    rows = rows_of(run)
    places = [one.root.resolve() for one in (run, *others)]
    if twice := next((one for one in others if places.count(one.root.resolve()) > 1), None):
        raise UsageError(f"{twice.root}: is named twice, and would agree with itself. Name each run once")
    itself = Witness(run.root, ranks_of(run.scores))
    blind = [Witness(run.root, ranks_of(run.scores.filter(run.is_blind()))), *(witness_of(one, run) for one in others)]
    gravest = gravest_findings(findings_of(run.dataset, watch)) if rows else {}

    def look(row: dict[str, Any]) -> tuple[Failure, Evidence, float]:
        heard = [one for one in blind if row["sample_id"] in one.ranks] or [itself]
        return look_at(run, heard, row)

    seen = map_rows(lambda part: [look(row) for row in part], rows, watch("failures", len(rows)), PART)
    ranks = anew([rank for _, _, rank in seen], run.scores["split"])
    findings = [
        judge(failure, evidence, rank, *gravest.get(row["sample_id"], (0.0, "")))
        for row, (failure, evidence, _), rank in zip(rows, seen, ranks, strict=True)
    ]
    failures, suspects = failures_table(run.scores, findings), suspects_table(run.scores, findings)
    with readable_faults(run.root):
        write_table(run.root / "suspects.parquet", suspects)
        write_table(run.root / "failures.parquet", failures)
    return failures


def bring_up_to_date(run: Run, watch: Watch = unwatched) -> None:
    """Find a run's failures where they are missing, of an earlier format, or older than its scores.

    Raises what `find_failures` raises.
    """
    made, suspects, scores = (run.root / f"{name}.parquet" for name in ("failures", "suspects", "scores"))
    if is_outdated(made, scores) or not suspects.is_file() or not is_current(made):
        find_failures(run, watch=watch)


def is_current(failures: Path) -> bool:
    """Whether a table of failures has the columns of today; a damaged one passes, for its reader tells of it."""
    try:
        return pl.read_parquet_schema(failures) == schema.FAILURES
    except (pl.exceptions.PolarsError, OSError):
        return True


def ranks_of(scores: pl.DataFrame) -> dict[str, float]:
    """sample_id -> how much less a run agrees with its label than with those of other images."""
    return dict(zip(scores["sample_id"], contradictions(scores), strict=True))


def anew(ranks: Sequence[float], splits: pl.Series) -> list[float]:
    """The mean ranks of several runs as ranks: for each the share of its split's that is lower."""
    lower = (pl.col("rank").rank("min") - 1) / pl.len()
    return pl.DataFrame({"rank": ranks, "split": splits}).select(lower.over("split")).to_series().to_list()


def witness_of(other: Run, run: Run) -> Witness:
    """A further run, heard about the images of the first whose labels it did not learn from and has a prediction of.

    Raises:
        UsageError: There is none among those that have labels to doubt.
    """
    heard = other.scores.filter(other.is_blind()).join(run.scores, on="sample_id", how="semi")
    heard = heard.filter(
        pl.Series([other.has_prediction(sample_id) for sample_id in heard["sample_id"]], dtype=pl.Boolean)
    )
    for scores in (run.scores.filter(split="train"), run.scores):
        if scores.height and heard.join(scores, on="sample_id", how="semi").is_empty():
            which = "no training label" if "train" in scores["split"] else "no label"
            raise UsageError(
                f"{other.root}: can be heard about {which} of {run.root}: it learnt from them, or its predictions are "
                f"not there. Train it with --folds, and score it: curate train score {other.root}"
            )
    return Witness(other.root, ranks_of(heard))


def gravest_findings(findings: pl.DataFrame) -> dict[str, tuple[float, str]]:
    """sample_id -> severity and words of the gravest finding of the label check that makes a label suspect."""
    first = findings.filter(pl.col("severity") >= SUSPECT).unique("sample_id", keep="first", maintain_order=True)
    return {name: (severity, found) for name, severity, found in first["sample_id", "severity", "found"].iter_rows()}


def rows_of(run: Run) -> Rows:
    """The dataset's rows of the scored images, in the order of the scores."""
    return run.dataset.named.of(run.scores["sample_id"].to_list())


def look_at(run: Run, heard: Sequence[Witness], row: dict[str, Any]) -> tuple[Failure, Evidence, float]:
    """What a run gets wrong in one image, what the photograph and those who are heard say against its label, and the
    mean of their ranks.
    """
    target, size_hw = run.dataset.target(row), (row["height"], row["width"])
    own = read_prediction(run.root, row["sample_id"], size_hw)
    failure = name_failure(target, own >= 128, row["touching"])
    said = [own if one.run == run.root else read_prediction(one.run, row["sample_id"], size_hw) for one in heard]
    rank = sum(one.ranks[row["sample_id"]] for one in heard) / len(heard)
    return failure, weigh(run.dataset.image(row), target, said), rank


def judge(failure: Failure, evidence: Evidence, rank: float, check: float, finding: str) -> Finding:
    """The finding about one image, from what it shows, how it compares with others, and what the label check found."""
    evidence = msgspec.structs.replace(evidence, contradiction=rank, check=check, finding=finding)
    suspicion = suspicion_of(evidence)
    return Finding(failure, suspicion, reason_of(evidence), triage_of(failure, suspicion))


def failures_table(scores: pl.DataFrame, findings: list[Finding]) -> pl.DataFrame:
    """schema.FAILURES, one row per scored image."""
    rows: list[dict[str, object]] = [
        msgspec.structs.asdict(finding.failure)
        | {"sample_id": sample_id, "triage": finding.triage, "suspicion": finding.suspicion, "reason": finding.reason}
        for sample_id, finding in zip(scores["sample_id"], findings, strict=True)
    ]
    return schema.table(rows, schema.FAILURES)


def suspects_table(scores: pl.DataFrame, findings: list[Finding]) -> pl.DataFrame:
    """schema.SUSPECTS of the training images, most suspect first."""
    rows: list[dict[str, object]] = [
        {"sample_id": sample_id, "suspicion": finding.suspicion, "reason": finding.reason}
        for sample_id, split, finding in zip(scores["sample_id"], scores["split"], findings, strict=True)
        if split in schema.LEARNT
    ]
    return schema.table(rows, schema.SUSPECTS).sort("suspicion", "sample_id", descending=[True, False])
