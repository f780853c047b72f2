"""The gate: its statistics against brute force, and what it lets through."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import MismatchError
from review.gate import compare_figures, decide, paired_bootstrap, row_good_share, row_mean, row_worst_tenth

ious = st.lists(st.floats(0, 1) | st.just(math.nan), min_size=1, max_size=40)


def scores(values: list[float | None]) -> pl.DataFrame:
    return pl.DataFrame(
        {"sample_id": [f"s-{i:03}" for i in range(len(values))], "iou": values, "boundary_iou": values},
        schema={"sample_id": pl.String, "iou": pl.Float64, "boundary_iou": pl.Float64},
    )


@settings(derandomize=True, max_examples=200)
@given(ious)
def test_row_statistics_equal_their_definition(values: list[float]) -> None:
    known = sorted(value for value in values if not math.isnan(value))
    rows = np.array([values, values])
    lowest = known[: math.ceil(len(known) / 10)]
    expected = [np.mean(known), np.mean(lowest), np.mean([v >= 0.9 for v in known])] if known else [math.nan] * 3
    found = [statistic(rows)[1] for statistic in (row_mean, row_worst_tenth, row_good_share)]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_bootstrap_of_a_constant_gain_is_certain() -> None:
    control = np.linspace(0.2, 0.8, 30)
    difference, low, high = paired_bootstrap(control, control + 0.1, row_mean, np.random.default_rng(0))
    assert difference == pytest.approx(0.1)
    assert (low, high) == (pytest.approx(0.1), pytest.approx(0.1))


def test_bootstrap_covers_a_true_difference_about_95_times_in_100() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        control = rng.normal(0.5, 0.1, 60)
        candidate = control + rng.normal(0.02, 0.05, 60)
        _, low, high = paired_bootstrap(control, candidate, row_mean, rng)
        covered += low <= 0.02 <= high
    assert 180 <= covered <= 198


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
    verdict = decide(scores(list(control)), scores(list(candidate(control))), seed=0)  # type: ignore[operator]
    assert verdict.promoted is promoted
    assert reason in "; ".join(verdict.reasons)
    assert verdict.images == 60


def test_a_handful_of_images_decides_nothing() -> None:
    control = [0.5] * 19
    verdict = decide(scores(control), scores([value + 0.1 for value in control]), seed=0)  # type: ignore[arg-type]
    assert not verdict.promoted
    assert verdict.reasons[-1] == "19 validation images are too few to tell, at least 20 are needed"


def test_nothing_to_decide_on_is_not_promoted() -> None:
    verdict = decide(scores([None, None]), scores([None, None]), seed=0)
    assert not verdict.promoted
    assert "no validation image shows a person" in verdict.reasons[0]


def test_arms_scored_on_other_images_are_refused() -> None:
    with pytest.raises(MismatchError, match=r"the control's 2 images, got 3 others"):
        compare_figures(scores([0.1, 0.2]), scores([0.1, 0.2, 0.3]), seed=0)


def test_an_image_without_an_iou_counts_in_neither_mean() -> None:
    mean = compare_figures(scores([0.5, None]), scores([0.7, 0.0]), seed=0)[0]
    assert (mean.control, mean.candidate) == (pytest.approx(0.5), pytest.approx(0.35))
