"""Mining: who leaves, who is drawn more often, and that a person's word goes first."""

from __future__ import annotations

import polars as pl
import pytest

from curate import schema
from review.mine import HARD_WEIGHT, mine


@pytest.fixture
def tables() -> dict[str, pl.DataFrame]:
    """Forty training images, s-00 the worst, the first six with doubtful labels; one image of val, one background."""
    ids = [f"s-{number:02}" for number in range(40)]
    samples = pl.DataFrame(
        {
            "sample_id": [*ids, "v", "zb"],
            "split": ["train"] * 40 + ["val", "background"],
            "weight": [1.0] * 42,
            "origin": ["hand"] * 42,
        },
        schema_overrides={"weight": pl.Float32},
    )
    failures = pl.DataFrame(
        {
            "sample_id": ids,
            "kind": ["bite"] * 20 + ["other"] * 20,
            "triage": ["relabel"] * 6 + ["augment"] * 14 + ["ok"] * 20,
        }
    )
    suspects = pl.DataFrame({"sample_id": ids, "suspicion": [1 - n / 40 for n in range(40)], "reason": ["odd"] * 40})
    scores = pl.DataFrame({"sample_id": ids, "iou": [n / 40 for n in range(40)]})
    return {"samples": samples, "scores": scores, "failures": failures, "suspects": suspects}


def rows(mined: pl.DataFrame) -> dict[str, dict[str, object]]:
    return {row["sample_id"]: row for row in mined.to_dicts()}


def test_suspects_leave_and_the_worst_quarter_is_drawn_more_often(tables: dict[str, pl.DataFrame]) -> None:
    mined = mine(**tables, verdicts={}, augment="standard")
    assert mined.schema == schema.MINED
    assert mined["sample_id"].to_list() == [*(f"s-{n:02}" for n in range(40)), "zb"]
    left_out = mined.filter(pl.col("weight") == 0)["sample_id"].to_list()
    assert left_out == ["s-00", "s-01", "s-02", "s-03"], "a tenth of 41 images at most"
    hard = mined.filter(pl.col("weight") == HARD_WEIGHT)["sample_id"].to_list()
    assert hard == [f"s-{n:02}" for n in range(4, 13)], "a quarter of the 36 that stay"
    assert rows(mined)["s-05"]["recipe"] == "low-contrast"
    assert rows(mined)["s-05"]["reason"] == "hard: bite, IoU 0.125"
    assert rows(mined)["s-39"] == {"sample_id": "s-39", "weight": 1.0, "recipe": "standard", "reason": ""}


@pytest.mark.parametrize(
    ("verdict", "weight", "reason"),
    [
        ("exclude", 0.0, "a reviewer said exclude"),
        ("relabel", 0.0, "a reviewer said relabel"),
        ("hard", HARD_WEIGHT, "hard: bite, IoU 0.000, a reviewer said so"),
        ("ok", 1.0, ""),
    ],
)
def test_a_persons_verdict_goes_first(
    tables: dict[str, pl.DataFrame], verdict: str, weight: float, reason: str
) -> None:
    row = rows(mine(**tables, verdicts={"s-00": verdict}, augment="standard"))["s-00"]
    assert (row["weight"], row["reason"]) == (weight, reason)


def test_a_models_guess_is_never_hard(tables: dict[str, pl.DataFrame]) -> None:
    guessed = pl.col("sample_id").is_in(["s-07", "s-08"])
    origin = pl.when(guessed).then(pl.lit("model")).otherwise("origin").alias("origin")
    tables["samples"] = tables["samples"].with_columns(origin)
    mined = rows(mine(**tables, verdicts={"s-08": "hard"}, augment="standard"))
    assert (mined["s-07"]["weight"], mined["s-07"]["reason"]) == (1.0, "")
    assert mined["s-08"]["weight"] == HARD_WEIGHT, "but for a person's word"
    assert mined["s-09"]["weight"] == HARD_WEIGHT


def test_a_weight_the_dataset_gives_is_kept(tables: dict[str, pl.DataFrame]) -> None:
    tables["samples"] = tables["samples"].with_columns(weight=pl.lit(2.0, pl.Float32))
    mined = rows(mine(**tables, verdicts={}, augment="standard"))
    assert mined["s-39"]["weight"] == 2.0
    assert mined["s-10"]["weight"] == 2.0 * HARD_WEIGHT


def test_inputs_stay_as_they_were(tables: dict[str, pl.DataFrame]) -> None:
    before = {name: frame.clone() for name, frame in tables.items()}
    mine(**tables, verdicts={"s-00": "ok"}, augment="standard")
    assert all(before[name].equals(frame) for name, frame in tables.items())
