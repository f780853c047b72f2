"""How two runs differ on the same images, and whether that is more than chance. Pure numpy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.errors import MismatchError
from train.scoring.intervals import (
    RESAMPLES,
    Statistic,
    Values,
    as_floats,
    in_chunks,
    resampled,
    weighted_mean,
    weighted_worst_tenth,
)
from train.scoring.metrics import GOOD_IOU

ROUNDING = 1e-12
"""Differences this close are the same."""


class Difference(msgspec.Struct, frozen=True):
    """A figure of two runs on the same images; None where either has no value for it.

    Of fewer than two groups, which say nothing about chance, there is neither an interval nor a p-value.
    """

    name: str
    first: float | None
    second: float | None
    difference: float | None
    """second - first."""
    low: float | None
    """Of the 95 % interval of the difference, by paired bootstrap."""
    high: float | None
    p: float | None
    """How often a difference this large comes about where the two runs are alike, by permutation, two-sided."""


def share_of_good(values: Values, weights: Values) -> Values:
    """The share of the known values that reach GOOD_IOU, by each row of weights."""
    return weighted_mean(np.where(np.isnan(values), np.nan, values >= GOOD_IOU), weights)


FIGURES: Mapping[str, tuple[str, Statistic]] = {
    "image mean IoU": ("iou", weighted_mean),
    "worst tenth IoU": ("iou", weighted_worst_tenth),
    "good photos": ("iou", share_of_good),
    "mean Boundary IoU": ("boundary_iou", weighted_mean),
}
"""Name -> column of schema.SCORES, and what is made of it."""


def differences(
    first: pl.DataFrame,
    second: pl.DataFrame,
    groups: Mapping[str, str],
    seed: int = 0,
    names: Sequence[str] = tuple(FIGURES),
) -> list[Difference]:
    """FIGURES of two runs on the same images.

    Args:
        first, second: schema.SCORES of the same images.
        groups: sample_id -> group; resampling and permutation keep a group together, since its images are alike.
        seed: Of the resamples and permutations.
        names: Which of FIGURES.

    Raises:
        MismatchError: The two are not about the same images.
    """
    first, second = first.sort("sample_id"), second.sort("sample_id")
    if first["sample_id"].to_list() != second["sample_id"].to_list():
        advice = "Score both runs on the same split"
        raise MismatchError(
            "scores.parquet", f"the first run's {first.height} images", f"{second.height} others", advice
        )
    number = np.unique([groups[one] for one in first["sample_id"]], return_inverse=True)[1]
    return [
        difference(name, as_floats(first[column]), as_floats(second[column]), number, statistic, seed)
        for name, (column, statistic) in FIGURES.items()
        if name in names
    ]


def difference(
    name: str, first: Values, second: Values, number: NDArray[np.int64], statistic: Statistic, seed: int
) -> Difference:
    """One figure of two runs.

    The same images are drawn for both runs in each resample (Efron and Tibshirani 1993, percentile interval), so that
    what makes an image hard for both does not widen the interval. In each permutation the two runs change places on
    half of the groups.

    Args:
        name: Of the figure.
        first, second: Values per image (n,), NaN where undefined.
        number: The group of each image (n,), from 0.
        statistic: From values and weights to the figure.
        seed: Of the resamples and permutations.
    """
    if np.isnan(first).all() or np.isnan(second).all():
        return Difference(name, None, None, None, None, None, None)
    everything = np.ones((1, len(first)))
    of_first, of_second = (float(statistic(values, everything)[0]) for values in (first, second))
    found, rng = of_second - of_first, np.random.default_rng(seed)
    if len(np.unique(number[~(np.isnan(first) | np.isnan(second))])) < 2:
        return Difference(name, of_first, of_second, found, None, None, None)
    drawn = [statistic(second, weights) - statistic(first, weights) for weights in resampled(number, rng)]
    low, high = np.nanquantile(np.concatenate(drawn), [0.025, 0.975])
    both = np.concatenate([first, second])
    swapped = [
        statistic(both, np.hstack([swap, 1 - swap])) - statistic(both, np.hstack([1 - swap, swap]))
        for swap in swaps(number, rng)
    ]
    extreme = int(np.count_nonzero(np.abs(np.concatenate(swapped)) >= abs(found) - ROUNDING))
    return Difference(name, of_first, of_second, found, float(low), float(high), (1 + extreme) / (1 + RESAMPLES))


def swaps(number: NDArray[np.int64], rng: np.random.Generator) -> Iterator[Values]:
    """Which images (R, n) the two runs change places on, 1 or 0, a group together; some rows at a time."""
    groups = int(number.max(initial=-1)) + 1
    for rows in in_chunks(RESAMPLES, len(number)):
        yield rng.integers(0, 2, (rows, groups))[:, number].astype(np.float64)
