"""Mining: who leaves, who is drawn more often, and that a person's word goes first."""

from __future__ import annotations

import polars as pl
import pytest

from curate import schema
from curate.errors import UsageError
from review.loop.mine import Mining, hard_images, mine, with_findings

HARD_WEIGHT = 3.0
OFTEN = Mining(hard_share=0.25, hard_weight=HARD_WEIGHT, hard_augment="by-kind", rare_share=0.0)


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
    slices = pl.DataFrame(
        {"sample_id": ["s-10", "s-11", "s-12", "s-36", "s-37", "s-38"], "slice": ["dark"] * 3 + ["light"] * 3}
    )
    return {"samples": samples, "scores": scores, "failures": failures, "suspects": suspects, "slices": slices}


def rows(mined: pl.DataFrame) -> dict[str, dict[str, object]]:
    return {row["sample_id"]: row for row in mined.to_dicts()}


def test_suspects_leave_and_the_worst_quarter_is_drawn_more_often(tables: dict[str, pl.DataFrame]) -> None:
    mined = mine(**tables, verdicts={}, settled=(), mining=OFTEN, augment="standard")
    assert mined.schema == schema.MINED
    assert mined["sample_id"].to_list() == [*(f"s-{n:02}" for n in range(40)), "zb"]
    left_out = mined.filter(pl.col("weight") == 0)["sample_id"].to_list()
    assert left_out == ["s-00", "s-01", "s-02", "s-03"], "a tenth of 41 images at most"
    hard = mined.filter(pl.col("weight") == HARD_WEIGHT)["sample_id"].to_list()
    assert hard == [f"s-{n:02}" for n in range(6, 15)], "a quarter of the 34 whose label is not in doubt"
    assert rows(mined)["s-05"] == {"sample_id": "s-05", "weight": 1.0, "recipe": "standard", "reason": ""}
    assert rows(mined)["s-06"]["recipe"] == "low-contrast"
    assert rows(mined)["s-06"]["reason"] == "hard: bite, IoU 0.150"
    assert rows(mined)["s-39"] == {"sample_id": "s-39", "weight": 1.0, "recipe": "standard", "reason": ""}


@pytest.mark.parametrize(
    ("verdict", "weight", "reason"),
    [
        ("exclude", 0.0, "a reviewer said exclude"),
        ("relabel", 0.0, "a reviewer said relabel"),
        ("hard", HARD_WEIGHT, "hard: bite, IoU 0.000, a reviewer said so"),
        ("ok", HARD_WEIGHT, "hard: bite, IoU 0.000"),
    ],
)
def test_a_persons_verdict_goes_first(
    tables: dict[str, pl.DataFrame], verdict: str, weight: float, reason: str
) -> None:
    row = rows(mine(**tables, verdicts={"s-00": verdict}, settled=(), mining=OFTEN, augment="standard"))["s-00"]
    assert (row["weight"], row["reason"]) == (weight, reason)


def test_who_calls_an_image_hard_that_is_not_learnt_from_changes_nothing(tables: dict[str, pl.DataFrame]) -> None:
    known = with_findings(tables["samples"], tables["scores"], tables["failures"])
    assert hard_images(known, {}, {"v": "hard", "nobody": "hard", "s-39": "hard"}, 0.0) == {"s-39"}


def test_a_models_guess_is_never_hard(tables: dict[str, pl.DataFrame]) -> None:
    guessed = pl.col("sample_id").is_in(["s-07", "s-08"])
    origin = pl.when(guessed).then(pl.lit("model")).otherwise("origin").alias("origin")
    tables["samples"] = tables["samples"].with_columns(origin)
    mined = rows(mine(**tables, verdicts={"s-08": "hard"}, settled=(), mining=OFTEN, augment="standard"))
    assert (mined["s-07"]["weight"], mined["s-07"]["reason"]) == (1.0, "")
    assert mined["s-08"]["weight"] == HARD_WEIGHT, "but for a person's word"
    assert mined["s-09"]["weight"] == HARD_WEIGHT


def test_a_weight_the_dataset_gives_is_kept(tables: dict[str, pl.DataFrame]) -> None:
    tables["samples"] = tables["samples"].with_columns(weight=pl.lit(2.0, pl.Float32))
    mined = rows(mine(**tables, verdicts={}, settled=(), mining=OFTEN, augment="standard"))
    assert mined["s-39"]["weight"] == 2.0
    assert mined["s-10"]["weight"] == 2.0 * HARD_WEIGHT


def test_inputs_stay_as_they_were(tables: dict[str, pl.DataFrame]) -> None:
    before = {name: frame.clone() for name, frame in tables.items()}
    mine(**tables, verdicts={"s-00": "ok"}, settled=(), mining=OFTEN, augment="standard")
    assert all(before[name].equals(frame) for name, frame in tables.items())


@pytest.mark.parametrize(
    ("mining", "weight", "recipe", "hard"),
    [
        (Mining(suspects="halve", hard_share=0.25), 0.5, "standard", 9),
        (Mining(suspects="keep", hard_share=0.25, hard_weight=3.0, hard_augment="by-kind"), 3.0, "low-contrast", 10),
        (Mining(hard_share=0.5), 0.0, "standard", 17),
        (Mining(suspects="keep", hard_share=0.25, hard_weight=2.0, hard_augment="own"), 2.0, "standard", 10),
        (Mining(suspects="keep"), 1.0, "copy-paste", 20),
        (Mining(suspects="keep", hard_share=0.0), 1.0, "standard", 0),
    ],
)
def test_what_mining_does_is_an_option(
    tables: dict[str, pl.DataFrame], mining: Mining, weight: float, recipe: str, hard: int
) -> None:
    mined = mine(**tables, verdicts={}, settled=(), mining=mining, augment="standard")
    row = rows(mined)["s-00"]
    assert (row["weight"], row["recipe"]) == (weight, recipe)
    assert mined.filter(pl.col("reason").str.starts_with("hard")).height == hard


def test_images_that_are_not_hard_have_an_augmentation_of_their_own(tables: dict[str, pl.DataFrame]) -> None:
    mining = Mining(hard_share=0.25, other_augment="strong")
    mined = mine(**tables, verdicts={}, settled=(), mining=mining, augment="standard")
    hard = pl.col("reason").str.starts_with("hard")
    assert mined.filter(hard)["recipe"].unique().to_list() == ["copy-paste"]
    assert mined.filter(~hard)["recipe"].unique().to_list() == ["strong"]


def test_a_rare_slice_that_does_badly_is_raised_to_its_share(tables: dict[str, pl.DataFrame]) -> None:
    plain = Mining(suspects="keep", hard_share=0.0, rare_share=0.0)
    raised = Mining(suspects="keep", hard_share=0.0, rare_share=0.2)
    before, after = (mine(**tables, verdicts={}, settled=(), mining=one, augment="standard") for one in (plain, raised))
    assert set(before["weight"]) == {1.0}
    dark = after.filter(pl.col("reason") == "rare: dark")
    assert dark["sample_id"].to_list() == ["s-10", "s-11", "s-12"], "light does better than the whole"
    assert dark["weight"].sum() / after["weight"].sum() == pytest.approx(0.2)
    often = mine(
        **tables,
        verdicts={},
        settled=(),
        mining=Mining(suspects="keep", hard_share=0.0, rare_share=0.9),
        augment="none",
    )
    assert often["weight"].max() == 5.0
    both = mine(**tables, verdicts={"s-11": "exclude"}, settled=(), mining=Mining(rare_share=0.3), augment="standard")
    assert rows(both)["s-11"]["weight"] == 0.0, "what left does not come back"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hard_share": 1.5}, "--hard-share 1.5: expected a share from 0 to 1"),
        ({"hard_weight": float("nan")}, "--hard-weight nan: expected a number from 0 to 1000"),
        ({"hard_augment": "more"}, "--hard-augment more: expected by-kind, own or an augmentation"),
        ({"other_augment": "by-kind"}, "--other-augment by-kind: expected own or an augmentation"),
        ({"suspects": "burn"}, "--suspects burn: expected leave-out, halve, keep"),
        ({"rare_share": 1.0}, "--rare-share 1.0: expected a share from 0 to less than 1"),
        ({"pool": "drain"}, "--pool drain: expected offer, learn"),
        ({"offer": -1}, "--offer -1: expected 0 or more"),
    ],
)
def test_an_option_of_mining_out_of_range(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Mining(**options)  # type: ignore[arg-type]


def test_a_corrected_label_is_settled(tables: dict[str, pl.DataFrame]) -> None:
    verdicts = {"s-01": "relabel", "s-02": "exclude"}
    mined = rows(mine(**tables, verdicts=verdicts, settled={"s-00", "s-02", "s-03"}, mining=OFTEN, augment="none"))
    assert mined["s-00"]["reason"] == "hard: bite, IoU 0.000", "not doubted"
    assert mined["s-01"]["reason"] == "a reviewer said relabel"
    assert mined["s-02"]["reason"] == "a reviewer said exclude"
    assert mined["s-03"]["reason"] == "hard: bite, IoU 0.075"
