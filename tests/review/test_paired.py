"""Differences of two runs: the figures against their definitions, bootstrap and permutation against scipy."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from curate.errors import MismatchError
from review.paired import FIGURES, Difference, difference, differences
from train.scoring.intervals import weighted_mean

ious = st.lists(st.floats(0, 1) | st.none(), min_size=1, max_size=40)
Values = NDArray[np.float64]


def scores(values: list[float | None]) -> pl.DataFrame:
    return pl.DataFrame(
        {"sample_id": [f"s-{i:03}" for i in range(len(values))], "iou": values, "boundary_iou": values},
        schema={"sample_id": pl.String, "iou": pl.Float64, "boundary_iou": pl.Float64},
    )


def compared(first: list[float | None], second: list[float | None], **options: object) -> dict[str, Difference]:
    groups = {f"s-{i:03}": f"s-{i:03}" for i in range(len(first))}
    return {one.name: one for one in differences(scores(first), scores(second), groups, **options)}  # type: ignore[arg-type]


def alone(first: Values, second: Values, seed: int = 0) -> Difference:
    """The difference of two means, every image a group of its own."""
    return difference("mean", first[None], second[None], np.arange(len(first)), weighted_mean, seed)


@settings(derandomize=True, max_examples=200, deadline=None)
@given(ious)
def test_figures_equal_their_definition(values: list[float | None]) -> None:
    known = sorted(value for value in values if value is not None)
    lowest = known[: math.ceil(len(known) / 10)]
    expected = [np.mean(known), np.mean(lowest), np.mean([v >= 0.9 for v in known]), np.mean(known)] if known else None
    found = compared(values, [None if value is None else value / 2 for value in values])
    assert list(found) == list(FIGURES)
    if expected is None:
        assert all(one.first is one.second is one.difference is one.p is None for one in found.values())
    else:
        np.testing.assert_allclose([one.first for one in found.values()], expected, atol=1e-12)  # type: ignore[misc]
        assert found["image mean IoU"].difference == pytest.approx(-np.mean(known) / 2)


def test_a_constant_gain_is_certain() -> None:
    first = np.linspace(0.2, 0.8, 30)
    found = alone(first, first + 0.1)
    assert found.difference == pytest.approx(0.1)
    assert (found.low, found.high) == (pytest.approx(0.1), pytest.approx(0.1))
    assert found.p is not None
    assert found.p < 0.001


def test_runs_that_are_the_same_do_not_differ() -> None:
    first = np.linspace(0.2, 0.8, 30)
    found = alone(first, first)
    assert (found.difference, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_an_image_without_an_iou_counts_in_neither_mean() -> None:
    mean = compared([0.5, None], [0.7, 0.0])["image mean IoU"]
    assert (mean.first, mean.second) == (pytest.approx(0.5), pytest.approx(0.35))


def test_runs_scored_on_other_images_are_refused() -> None:
    with pytest.raises(MismatchError, match=r"the first run's 2 images, got 3 others"):
        compared([0.1, 0.2], [0.1, 0.2, 0.3])


@pytest.mark.parametrize("gain", [0.0, 0.01, 0.03])
def test_interval_and_p_value_are_those_of_scipy(gain: float) -> None:
    """Within what 2000 resamples of scipy's own differ by from one another."""
    rng = np.random.default_rng(3)
    first = rng.normal(0.5, 0.1, 80)
    second = first + rng.normal(gain, 0.08, 80)

    def gap(one: Values, other: Values, axis: int) -> Values:
        result: Values = other.mean(axis=axis) - one.mean(axis=axis)
        return result

    found = alone(first, second)
    both = first, second
    options = {"vectorized": True, "n_resamples": 20_000, "rng": np.random.default_rng(0)}
    theirs = scipy.stats.bootstrap(both, gap, paired=True, method="percentile", **options).confidence_interval
    chance = scipy.stats.permutation_test(both, gap, permutation_type="samples", **options).pvalue
    width = theirs.high - theirs.low
    assert found.low == pytest.approx(theirs.low, abs=0.05 * width)
    assert found.high == pytest.approx(theirs.high, abs=0.05 * width)
    assert found.p == pytest.approx(chance, abs=4 * math.sqrt(chance * (1 - chance) / 2000) + 1 / 2000)


def test_the_interval_covers_a_true_difference_about_95_times_in_100() -> None:
    rng, covered = np.random.default_rng(1), 0
    for trial in range(200):
        first = rng.normal(0.5, 0.1, 60)
        found = alone(first, first + rng.normal(0.02, 0.05, 60), trial)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0.02 <= found.high
    assert 180 <= covered <= 198


@pytest.mark.parametrize("name", ["image mean IoU", "worst tenth IoU"])
def test_two_halves_of_the_same_data_do_not_differ(name: str) -> None:
    """Of 200 such comparisons, 181 to 197 say so: what a test at 5 % does in 99 of 100 tries."""
    rng, alike = np.random.default_rng(2), 0
    values = rng.beta(8, 2, 120)
    for trial in range(200):
        halves = rng.permutation(values).reshape(2, 60)
        found = compared(*(half.tolist() for half in halves), seed=trial, names=[name])[name]
        assert found.p is not None
        alike += found.p >= 0.05
    assert 181 <= alike <= 197


def test_copies_of_an_image_say_no_more_than_the_image() -> None:
    rng = np.random.default_rng(4)
    first = rng.normal(0.5, 0.1, 40)
    second = first + rng.normal(0.01, 0.05, 40)
    once = alone(first, second)
    copies = difference(
        "mean", np.tile(first, (1, 5)), np.tile(second, (1, 5)), np.tile(np.arange(40), 5), weighted_mean, 0
    )
    ignored = alone(np.tile(first, 5), np.tile(second, 5))
    assert copies.p == pytest.approx(once.p, abs=0.03)
    assert copies.high - copies.low == pytest.approx(once.high - once.low, rel=0.1)  # type: ignore[operator]
    assert ignored.high - ignored.low < 0.6 * (once.high - once.low)  # type: ignore[operator]


def test_images_of_one_group_say_nothing_about_chance() -> None:
    first = np.linspace(0.2, 0.8, 25)
    found = difference("mean", first[None], first[None] + 0.02, np.zeros(25, int), weighted_mean, 0)
    assert found.difference == pytest.approx(0.02)
    assert found.low is found.high is found.p is None


def test_several_trainings_are_compared_by_their_means() -> None:
    rng = np.random.default_rng(5)
    first, second = rng.uniform(0.3, 0.7, (3, 30)), rng.uniform(0.3, 0.7, (2, 30))
    found = differences(*([scores(list(run)) for run in runs] for runs in (first, second)), GROUPS)
    for one, statistic in zip(found, (np.mean, lowest_tenth, None, np.mean), strict=True):
        if statistic is not None:
            expected = [np.mean([statistic(run) for run in runs]) for runs in (first, second)]
            assert [one.first, one.second] == pytest.approx(expected)
        assert one.p is None


def lowest_tenth(values: Values) -> float:
    return float(np.sort(values)[:3].mean())


GROUPS = {f"s-{i:03}": f"s-{i:03}" for i in range(30)}


def test_an_interval_holds_what_another_training_would_have_given() -> None:
    """Where it does not matter which images are drawn, the interval is that of the two-sample t-test."""
    first, second = np.array([0.50, 0.52, 0.48]), np.array([0.55, 0.60])
    found = difference("mean", *(np.tile(one[:, None], 40) for one in (first, second)), np.arange(40), weighted_mean, 0)
    expected = scipy.stats.ttest_ind(second, first).confidence_interval()
    assert found.low == pytest.approx(expected.low, abs=0.005)
    assert found.high == pytest.approx(expected.high, abs=0.005)


def test_trainings_that_scatter_widen_the_interval_of_images() -> None:
    rng = np.random.default_rng(6)
    images, noise = rng.uniform(0.3, 0.7, 40), rng.normal(0, 0.1, 40)
    once = difference("mean", images[None], (images + noise)[None], np.arange(40), weighted_mean, 0)
    alike = difference(
        "mean", np.tile(images, (2, 1)), np.tile(images + noise, (2, 1)), np.arange(40), weighted_mean, 0
    )
    apart = images + noise + np.array([[-0.03], [0.03]])
    further = difference("mean", np.tile(images, (2, 1)), apart, np.arange(40), weighted_mean, 0)
    assert (alike.low, alike.high) == (once.low, once.high)
    assert further.low < once.low < once.high < further.high  # type: ignore[operator]


def test_a_figure_that_one_training_lacks_is_none() -> None:
    first, second = np.full((2, 5), 0.5), np.stack([np.full(5, 0.6), np.full(5, np.nan)])
    assert difference("mean", first, second, np.arange(5), weighted_mean, 0).difference is None


def test_trainings_of_other_images_are_refused() -> None:
    with pytest.raises(MismatchError, match="Score both runs on the same split"):
        differences([scores([0.1, 0.2]), scores([0.1])], scores([0.1, 0.2]), GROUPS)
