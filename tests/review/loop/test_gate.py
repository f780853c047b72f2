"""The gate: what it lets through."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from review.loop.gate import Verdict, choose, decide


def scores(values: list[float | None]) -> pl.DataFrame:
    return pl.DataFrame(
        {"sample_id": [f"s-{i:03}" for i in range(len(values))], "iou": values, "boundary_iou": values},
        schema={"sample_id": pl.String, "iou": pl.Float64, "boundary_iou": pl.Float64},
    )


NO_SLICES = pl.DataFrame(schema={"sample_id": pl.String, "slice": pl.String})


def decided(control: object, candidate: object, slices: pl.DataFrame = NO_SLICES, before: object = None) -> Verdict:
    first, second = scores(list(control)), scores(list(candidate))  # type: ignore[call-overload]
    replaced = first if before is None else scores(list(before))  # type: ignore[call-overload]
    return decide(replaced, first, second, slices, {one: one for one in first["sample_id"]}, seed=0)


@pytest.mark.parametrize(
    ("candidate", "promoted", "reason"),
    [
        pytest.param(lambda v: v + 0.1, True, "the worst tenth rises", id="all rise"),
        pytest.param(lambda v: v, False, "does not rise beyond chance", id="nothing changes"),
        pytest.param(
            lambda v: np.where(v < 0.3, v + 0.2, v - 0.2), False, "mean IoU falls", id="worst rise, mean falls"
        ),
        pytest.param(
            lambda v: np.where(v < 0.3, v - 0.1, v + 0.1), False, "does not rise", id="worst fall, mean rises"
        ),
    ],
)
def test_decision(candidate: object, promoted: bool, reason: str) -> None:
    control = np.linspace(0.2, 0.8, 60)
    verdict = decided(control, candidate(control))  # type: ignore[operator]
    assert verdict.promoted is promoted
    assert reason in "; ".join(verdict.reasons)
    assert verdict.images == 60


def test_a_handful_of_images_decides_nothing() -> None:
    control = [0.5] * 49
    verdict = decided(control, [value + 0.1 for value in control])
    assert not verdict.promoted
    assert not verdict.checks[0].holds
    assert verdict.reasons[0] == "49 validation images are too few to tell, at least 50 groups are needed"


def test_nothing_to_decide_on_is_not_promoted() -> None:
    verdict = decided([None, None], [None, None])
    assert not verdict.promoted
    assert "no two groups of validation images show a person" in verdict.reasons[0]


def test_frames_of_one_clip_decide_nothing() -> None:
    first = scores([0.2 + 0.01 * n for n in range(60)])
    second = first.with_columns(pl.col("iou", "boundary_iou") + 0.02)
    assert not decide(first, first, second, NO_SLICES, dict.fromkeys(first["sample_id"], "clip"), seed=0).promoted
    pairs = {one: f"clip {n // 2}" for n, one in enumerate(first["sample_id"])}
    told = decide(first, first, second, NO_SLICES, pairs, seed=0)
    assert not told.promoted
    assert told.reasons[0] == "60 validation images in 30 groups are too few to tell, at least 50 groups are needed"


@pytest.mark.parametrize(
    ("members", "promoted", "reason"),
    [
        pytest.param(range(40, 60), False, "good ones loses (-0.100, 95 % interval -0.100 to -0.100)", id="20"),
        pytest.param(range(41, 60), True, "the worst tenth rises", id="19 have no vote"),
        pytest.param(
            range(60), True, "the one slice of 20 images and more keeps within half a point, or within chance", id="all"
        ),
    ],
)
def test_a_slice_that_loses_is_not_promoted(members: range, promoted: bool, reason: str) -> None:
    control = np.linspace(0.2, 0.8, 60)
    candidate = control + np.where(np.arange(60) < 40, 0.2, -0.1)
    slices = pl.DataFrame({"sample_id": [f"s-{i:03}" for i in members], "slice": "good ones"})
    verdict = decided(control, candidate, slices)
    assert verdict.promoted is promoted
    assert reason in "; ".join(verdict.reasons)
    assert [(one.slice, one.images) for one in verdict.slices] == [("good ones", len(members))], "judged or not"


def test_what_fails_is_told_first() -> None:
    control = np.linspace(0.2, 0.8, 60)
    verdict = decided(control, np.where(control < 0.3, control - 0.1, control + 0.1))
    assert [check.holds for check in verdict.checks] == [False, False, True, True]
    assert [check.words for check in verdict.checks] == verdict.reasons
    assert "does not rise beyond chance (-0.100, 95 % interval " in verdict.reasons[0]


def test_slices_that_are_judged_come_before_those_that_are_too_small() -> None:
    control = np.linspace(0.2, 0.8, 60)
    named = [("large", 20, 40), ("small", 0, 5), ("nobody", 58, 60)]
    rows = [(f"s-{i:03}", name) for name, first, end in named for i in range(first, end)]
    slices = pl.DataFrame(rows, schema=NO_SLICES.schema, orient="row")
    verdict = decided(control, [None if i > 57 else value + 0.1 for i, value in enumerate(control)], slices)
    assert [(one.slice, one.images) for one in verdict.slices] == [("large", 20), ("nobody", 2), ("small", 5)]
    assert verdict.promoted, "the small ones have no vote"


def test_less_than_half_a_point_is_no_loss() -> None:
    control = np.linspace(0.2, 0.8, 60)
    candidate = control + np.where(np.arange(60) < 40, 0.2, -0.004)
    slices = pl.DataFrame({"sample_id": [f"s-{i:03}" for i in range(40, 60)], "slice": "good ones"})
    assert decided(control, candidate, slices).promoted


def test_what_is_worse_than_the_run_it_would_replace_is_not_promoted() -> None:
    control = np.linspace(0.2, 0.8, 60)
    verdict = decided(control, control + 0.1, before=control + 0.2)
    assert not verdict.promoted
    for name, had, has in (("image mean IoU", 0.7, 0.6), ("worst tenth IoU", 0.425, 0.325)):
        told = f"its {name}, {has:.3f}, is below {had:.3f} of the run it would replace"
        assert told in verdict.reasons


def test_a_mean_that_falls_by_next_to_nothing_is_not_told_as_zero() -> None:
    control = np.linspace(0.2, 0.8, 60)
    [told] = [one for one in decided(control, control - 0.0001).reasons if "falls" in one]
    assert "(-0.000100, " in told


def test_a_worst_tenth_that_both_arms_have_spoiled_is_not_promoted() -> None:
    before = np.linspace(0.2, 0.8, 60)
    worst = np.arange(60) < 6
    control = before - np.where(worst, 0.15, 0.0)
    verdict = decided(control, before + np.where(worst, -0.05, 0.05), before=before)
    assert not verdict.promoted
    assert [one for one in verdict.reasons if "replace" in one] == [
        "its worst tenth IoU, 0.175, is below 0.225 of the run it would replace"
    ]


@pytest.mark.parametrize(
    ("after", "labels", "promoted"),
    [(0.2, 0.1, "after"), (0.1, 0.2, "labels"), (-0.1, 0.1, "labels"), (-0.1, -0.1, ""), (0.1, None, "after")],
)
def test_the_better_of_the_arms_that_pass_is_promoted(after: float, labels: float | None, promoted: str) -> None:
    control = np.linspace(0.2, 0.7, 60)
    gains = {"before": 0.0, "control": 0.0, "after": after} | ({} if labels is None else {"labels": labels})
    arms = {name: scores(list(control + gain)) for name, gain in gains.items()}
    proposed, verdicts = choose(arms, NO_SLICES, {one: one for one in arms["control"]["sample_id"]}, seed=0)
    assert proposed == (promoted or "after")
    assert list(verdicts) == ["after"] + ["labels"] * (labels is not None), "both are told of, whatever comes of them"
    assert verdicts[proposed].promoted is bool(promoted)
    for name, verdict in verdicts.items():
        assert verdict.figures[0].difference == pytest.approx(gains[name])
        assert verdict.promoted is (gains[name] > 0)
