"""How two runs differ on the same images, and whether that is more than chance. Pure numpy.

Either may have been trained several times, each time from another seed: then what is compared are the means over these
trainings, and the interval holds both what the choice of images explains and what another training would have given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

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

Scores: TypeAlias = pl.DataFrame | Sequence[pl.DataFrame]
"""schema.SCORES of a run, or of each of several trainings of one kind, about the same images."""

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
    """How often a difference this large comes about where the two runs are alike, by permutation, two-sided; None where
    either was trained several times."""


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


def trainings_of(scores: Scores) -> list[pl.DataFrame]:
    """The scores of each training."""
    return [scores] if isinstance(scores, pl.DataFrame) else list(scores)


def differences(
    first: Scores,
    second: Scores,
    groups: Mapping[str, str],
    seed: int = 0,
    names: Sequence[str] = tuple(FIGURES),
) -> list[Difference]:
    """FIGURES of two runs on the same images.

    Args:
        first, second: Of the same images.
        groups: sample_id -> group; resampling and permutation keep a group together, since its images are alike.
        seed: Of the resamples and permutations.
        names: Which of FIGURES.

    Raises:
        MismatchError: They are not about the same images.
    """
    arms = [[run.sort("sample_id") for run in trainings_of(scores)] for scores in (first, second)]
    images = arms[0][0]["sample_id"].to_list()
    for run in (*arms[0], *arms[1]):
        if run["sample_id"].to_list() != images:
            advice = "Score both runs on the same split"
            raise MismatchError(
                "scores.parquet", f"the first run's {len(images)} images", f"{run.height} others", advice
            )
    number = np.unique([groups[one] for one in images], return_inverse=True)[1]
    return [
        difference(name, values_of(arms[0], column), values_of(arms[1], column), number, statistic, seed)
        for name, (column, statistic) in FIGURES.items()
        if name in names
    ]


def values_of(runs: Sequence[pl.DataFrame], column: str) -> Values:
    """A column of several trainings, (R, n), NaN where undefined."""
    return np.stack([as_floats(run[column]) for run in runs])


def difference(
    name: str, first: Values, second: Values, number: NDArray[np.int64], statistic: Statistic, seed: int
) -> Difference:
    """One figure of two runs.

    The same images are drawn for both runs in each resample (Efron and Tibshirani 1993, percentile interval), so that
    what makes an image hard for both does not widen the interval. Where there are several trainings, the standard error
    of their means' difference times a draw from Student's t is added to each resample, as in the two-sample t-test with
    one variance. In each permutation the two runs change places on half of the groups.

    Args:
        name: Of the figure.
        first, second: Values per training and image, (R, n) and (S, n), NaN where undefined.
        number: The group of each image (n,), from 0.
        statistic: From the values of a training and weights to the figure.
        seed: Of the resamples and permutations.
    """
    if any(np.isnan(run).all() for run in (*first, *second)):
        return Difference(name, None, None, None, None, None, None)
    everything = np.ones((1, len(number)))
    figures = [np.array([statistic(run, everything)[0] for run in values]) for values in (first, second)]
    of_first, of_second = (float(found.mean()) for found in figures)
    found, rng, of_trainings = of_second - of_first, np.random.default_rng(seed), np.random.default_rng([seed, 1])
    if len(np.unique(number[~(np.isnan(first).any(0) | np.isnan(second).any(0))])) < 2:
        return Difference(name, of_first, of_second, found, None, None, None)
    drawn = np.concatenate(
        [
            mean_figure(second, weights, statistic) - mean_figure(first, weights, statistic)
            for weights in resampled(number, rng)
        ]
    )
    error, freedom = training_error(*figures)
    if freedom:
        drawn = drawn + error * of_trainings.standard_t(freedom, len(drawn))
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    p = chance(first[0], second[0], number, statistic, rng) if len(first) == len(second) == 1 else None
    return Difference(name, of_first, of_second, found, float(low), float(high), p)


def mean_figure(values: Values, weights: Values, statistic: Statistic) -> Values:
    """The mean over trainings of a figure in each resample, (B,).

    Args:
        values: Per training and image, (R, n).
        weights: Of the images in each resample, (B, n).
        statistic: From the values of a training and weights to the figure, (B,).
    """
    return np.asarray(np.mean([statistic(run, weights) for run in values], axis=0), np.float64)


def training_error(first: Values, second: Values) -> tuple[float, int]:
    """The standard error of the difference of two means that is due to training, and its degrees of freedom.

    Both kinds of training are taken to scatter alike. Of one training each nothing is known: 0, 0.

    Args:
        first, second: A figure of each training, (R,) and (S,).
    """
    freedom = len(first) + len(second) - 2
    if not freedom:
        return 0.0, 0
    variance = sum(float(np.square(figures - figures.mean()).sum()) for figures in (first, second)) / freedom
    return float(np.sqrt(variance * (1 / len(first) + 1 / len(second)))), freedom


def chance(
    first: Values, second: Values, number: NDArray[np.int64], statistic: Statistic, rng: np.random.Generator
) -> float:
    """How often two runs (n,) that change places on half of the groups differ as much as they do."""
    everything = np.ones((1, len(number)))
    found = float(statistic(second, everything)[0] - statistic(first, everything)[0])
    both = np.concatenate([first, second])
    swapped = [
        statistic(both, np.hstack([swap, 1 - swap])) - statistic(both, np.hstack([1 - swap, swap]))
        for swap in swaps(number, rng)
    ]
    extreme = int(np.count_nonzero(np.abs(np.concatenate(swapped)) >= abs(found) - ROUNDING))
    return (1 + extreme) / (1 + RESAMPLES)


def swaps(number: NDArray[np.int64], rng: np.random.Generator) -> Iterator[Values]:
    """Which images (R, n) the two runs change places on, 1 or 0, a group together; some rows at a time."""
    groups = int(number.max(initial=-1)) + 1
    for rows in in_chunks(RESAMPLES, len(number)):
        yield rng.integers(0, 2, (rows, groups))[:, number].astype(np.float64)
