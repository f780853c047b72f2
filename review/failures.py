"""What is wrong in every scored image, and which training labels are in doubt: a run's failures and suspects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import polars as pl

from curate import schema
from curate.dataset import Dataset, write_table
from curate.engine import map_table
from curate.errors import UsageError
from curate.files import is_outdated, readable_faults
from curate.rows import Row
from curate.threads import PART, Watch, unwatched
from label.findings import SUSPECT
from review.geometry import Failure, name_failure
from review.label_check import FINDINGS, findings_of
from review.runs import Run, read_prediction
from review.triage import Evidence, contradictions, reason_of, suspicion_of, triage_of, weigh

SEEN = pl.Schema(
    {name: schema.FAILURES[name] for name in Failure.__struct_fields__}
    | {"outline": pl.Float64, "region": pl.Float64, "surplus": pl.Boolean, "models": pl.Int64, "rank": pl.Float64}
)
"""What is seen of one image alone: its Failure, most of its Evidence, and the mean rank by those who are heard."""


class Witness(NamedTuple):
    """A run that is heard about labels."""

    run: Path
    ranks: pl.DataFrame
    """`sample_id` and `rank`, as review.triage.contradictions, of the images that it is heard about."""


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
    places = [one.root.resolve() for one in (run, *others)]
    if twice := next((one for one in others if places.count(one.root.resolve()) > 1), None):
        raise UsageError(f"{twice.root}: is named twice, and would agree with itself. Name each run once")
    blind = [Witness(run.root, ranks_of(run.scores.filter(run.is_blind()))), *(witness_of(one, run) for one in others)]
    witnesses = [*blind, Witness(run.root, ranks_of(run.scores))]
    checked = gravest_findings(findings_of(run.dataset, watch) if run.scores.height else FINDINGS.to_frame())
    rows, root, dataset, runs = rows_of(run, witnesses), run.root, run.dataset, [one.run for one in witnesses]
    tick = watch("failures", rows.height)
    seen = map_table(lambda part: [look_at(root, dataset, runs, row) for row in part], rows, SEEN, tick, PART)
    known = pl.concat([run.scores.select("sample_id", "split"), seen], how="horizontal")
    known = known.join(checked, on="sample_id", how="left", maintain_order="left")
    known = known.with_columns(anew(), pl.col("check").fill_null(0.0), pl.col("finding").fill_null(""))
    judged = known.hstack(pl.DataFrame([judge(row) for row in known.iter_rows(named=True)], JUDGED, orient="row"))
    failures = judged.select(schema.FAILURES.names())
    suspects = judged.filter(pl.col("split").is_in(schema.LEARNT)).select(schema.SUSPECTS.names())
    suspects = suspects.sort("suspicion", "sample_id", descending=[True, False])
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


def ranks_of(scores: pl.DataFrame) -> pl.DataFrame:
    """How much less a run agrees with each label than with those of other images, as Witness has it."""
    return scores.select("sample_id", rank=pl.Series(contradictions(scores), dtype=pl.Float64))


def anew() -> pl.Expr:
    """The mean ranks of several runs as a rank: the share of its split's that is lower."""
    return ((pl.col("rank").rank("min") - 1) / pl.len()).over("split").alias("contradiction")


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


def gravest_findings(findings: pl.DataFrame) -> pl.DataFrame:
    """`sample_id`, `check` and `finding` as Evidence has them, of the labels that the label check suspects."""
    first = findings.filter(pl.col("severity") >= SUSPECT).unique("sample_id", keep="first", maintain_order=True)
    return first.select("sample_id", check="severity", finding="found")


def rows_of(run: Run, witnesses: Sequence[Witness]) -> pl.DataFrame:
    """What `look_at` asks of the scored images, in the order of the scores."""
    own = run.dataset.samples.select("sample_id", "image", "mask", "height", "width", "touching")
    rows = run.scores.select("sample_id").join(own, on="sample_id", how="left", maintain_order="left")
    for place, one in enumerate(witnesses):
        ranks = one.ranks.rename({"rank": rank_by(place)})
        rows = rows.join(ranks, on="sample_id", how="left", maintain_order="left")
    return rows


def rank_by(place: int) -> str:
    """The column of the ranks by a witness."""
    return f"rank by {place}"


def look_at(run: Path, dataset: Dataset, witnesses: Sequence[Path], row: Row) -> Row:
    """A row of SEEN: what a run gets wrong in one image, and what the photograph and those who are heard say against
    its label. The last witness is heard where no other is.
    """
    ranks = [row[rank_by(place)] for place in range(len(witnesses))]
    heard = [place for place, rank in enumerate(ranks[:-1]) if rank is not None] or [len(witnesses) - 1]
    target, size_hw = dataset.target(row), (row["height"], row["width"])
    own = read_prediction(run, row["sample_id"], size_hw)
    failure = name_failure(target, own >= 128, row["touching"])
    others = [witnesses[place] for place in heard]
    said = [own if one == run else read_prediction(one, row["sample_id"], size_hw) for one in others]
    evidence = weigh(dataset.image(row), target, said)
    told = {name: getattr(evidence, name) for name in ("outline", "region", "surplus", "models")}
    return msgspec.structs.asdict(failure) | told | {"rank": sum(ranks[place] for place in heard) / len(heard)}


JUDGED = pl.Schema({name: schema.FAILURES[name] for name in ("triage", "suspicion", "reason")})


def judge(row: Row) -> tuple[str, float, str]:
    """A row of JUDGED, from what an image shows, how it compares with others, and what the label check found."""
    failure = Failure(**{name: row[name] for name in Failure.__struct_fields__})
    evidence = Evidence(**{name: row[name] for name in Evidence.__struct_fields__})
    suspicion = suspicion_of(evidence)
    return triage_of(failure, suspicion), suspicion, reason_of(evidence)
