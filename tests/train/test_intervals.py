"""Intervals against their definitions, resample by resample."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import train.scoring.intervals
from curate import schema
from tests.train.test_metrics import frame
from train.scoring.intervals import Interval, figure_intervals, resampled, weighted_mean, weighted_worst_tenth
from train.scoring.metrics import Summary, summarise

FIGURES = Summary.__struct_fields__[2:]
counts = st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))


def repeated(scores: pl.DataFrame, times: np.ndarray) -> pl.DataFrame:
    """The rows of a resample, each as often as it was drawn."""
    return scores[np.repeat(np.arange(scores.height), times.astype(int)).tolist()]


@settings(derandomize=True, max_examples=40, deadline=None)
@given(rows=st.lists(counts, min_size=2, max_size=30), per_group=st.integers(1, 4), seed=st.integers(0, 10**6))
def test_intervals_are_those_of_the_summaries_of_resamples(
    rows: list[tuple[int, int, int]], per_group: int, seed: int
) -> None:
    scores = frame(*rows)
    number = np.arange(len(rows)) // per_group
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train.scoring.intervals, "RESAMPLES", 12)
        patch.setattr(train.scoring.intervals, "CHUNK", 5 * len(rows))  # resamples come in parts of five
        found = figure_intervals(scores, [f"group-{one:02}" for one in number], seed)
        drawn = [times for part in resampled(number, np.random.default_rng(seed)) for times in part]
    assert len(drawn) == 12
    summaries = [summarise(repeated(scores, times)) for times in drawn]
    for name in FIGURES:
        values = np.array([getattr(one, name) for one in summaries], float)
        interval = found[name]
        if interval is not None:
            assert (interval.low, interval.high) == pytest.approx(np.nanquantile(values, [0.025, 0.975]))


def test_whole_groups_are_drawn() -> None:
    number = np.array([0, 1, 0, 2, 2, 2])
    for times in resampled(number, np.random.default_rng(0)):
        assert (times[:, 0] == times[:, 2]).all()
        assert (times[:, 3:] == times[:, 3:4]).all()
        assert (times[:, [0, 1, 3]].sum(axis=1) == 3).all()


def test_images_of_one_group_count_as_one() -> None:
    scores = frame(*((value, 0, 10 - value) for value in range(11) for _ in range(4)))
    alone = figure_intervals(scores, [str(row) for row in range(44)])["mean_iou"]
    together = figure_intervals(scores, [str(row // 4) for row in range(44)])["mean_iou"]
    assert isinstance(alone, Interval)
    assert isinstance(together, Interval)
    assert (together.high - together.low) / (alone.high - alone.low) == pytest.approx(2, rel=0.15)


def test_the_interval_of_a_mean_is_the_normal_one() -> None:
    values = np.random.default_rng(1).integers(0, 101, 400)
    scores = frame(*((int(value), 0, 100 - int(value)) for value in values))
    interval = figure_intervals(scores, [str(row) for row in range(400)])["mean_iou"]
    mean, error = values.mean() / 100, values.std() / 100 / math.sqrt(400)
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx((mean - 1.96 * error, mean + 1.96 * error), abs=0.15 * error)


def test_what_fewer_than_two_groups_have_has_no_interval() -> None:
    found = figure_intervals(frame((9, 1, 0), (5, 0, 5), (0, 0, 0)), ["a", "b", "c"])
    assert found["empty_predicted_empty"] is None
    assert isinstance(found["mean_iou"], Interval)
    assert set(figure_intervals(frame((9, 1, 0), (5, 0, 5)), ["a", "a"]).values()) == {None}
    assert set(figure_intervals(schema.table([], schema.SCORES), []).values()) == {None}
    assert set(found) == set(FIGURES)


def test_the_same_seed_gives_the_same_interval() -> None:
    scores, groups = frame(*((value, 0, 40 - value) for value in range(40))), [str(row) for row in range(40)]
    assert figure_intervals(scores, groups, 3) == figure_intervals(scores, groups, 3)
    assert figure_intervals(scores, groups, 3) != figure_intervals(scores, groups, 4)


def test_weights_of_nothing_are_no_figure() -> None:
    values, weights = np.array([np.nan, 0.5]), np.array([[1.0, 0.0], [0.0, 2.0]])
    for statistic in (weighted_mean, weighted_worst_tenth):
        assert np.array_equal(statistic(values, weights), [np.nan, 0.5], equal_nan=True)
