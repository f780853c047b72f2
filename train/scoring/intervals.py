"""How far the figures of some images can be trusted: 95 % intervals by bootstrap. Pure numpy, no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from train.scoring.metrics import GOOD_IOU

Values: TypeAlias = NDArray[np.float64]
Statistic: TypeAlias = Callable[[Values, Values], Values]
"""From values (n,), NaN where an image has none, and weights (R, n) to what each row of weights makes of them (R,)."""

RESAMPLES = 2000

CHUNK = 4_000_000
"""Weights that are held at a time."""


class Interval(msgspec.Struct, frozen=True, array_like=True):
    """The 2.5 % and 97.5 % quantiles of a figure over resamples of the images it is of."""

    low: float
    high: float


def figure_intervals(scores: pl.DataFrame, groups: Sequence[str], seed: int = 0) -> dict[str, Interval | None]:
    """The percentile interval of each figure of metrics.Summary, by its field (Efron and Tibshirani 1993).

    Groups are drawn, with replacement, and all images of a group with it: they are frames of one clip or copies of one
    photograph, so that they say little more than one of them. Where every image is a group of its own, as most are,
    this is the bootstrap over images.

    Args:
        scores: The columns of curate.schema.SCORES.
        groups: The group of each row.
        seed: Of the resamples.

    Returns:
        None for a figure that fewer than two groups have a value for.
    """
    figures = {name: (as_floats(values), statistic) for name, (values, statistic) in _figures_of(scores).items()}
    number = np.unique(np.asarray(groups, str), return_inverse=True)[1]
    drawn: dict[str, list[Values]] = {name: [] for name in figures}
    for weights in resampled(number, np.random.default_rng(seed)):
        for name, (values, statistic) in figures.items():
            drawn[name].append(statistic(values, weights))
    return {
        name: _interval(np.concatenate(drawn[name])) if len(np.unique(number[~np.isnan(values)])) > 1 else None
        for name, (values, _) in figures.items()
    }


def mean_interval(values: pl.Series, groups: Sequence[str]) -> Interval | None:
    """The interval of a mean alone, as `figure_intervals` has it; null values are left out.

    Args:
        values: One of each image.
        groups: The group of each image.
    """
    known = as_floats(values)
    number = np.unique(np.asarray(groups, str), return_inverse=True)[1]
    if len(np.unique(number[~np.isnan(known)])) < 2:
        return None
    rng = np.random.default_rng(0)
    return _interval(np.concatenate([weighted_mean(known, weights) for weights in resampled(number, rng)]))


def resampled(number: NDArray[np.int64], rng: np.random.Generator) -> Iterator[Values]:
    """How often each image stands in each of RESAMPLES resamples of the groups, some rows (R, n) at a time.

    Args:
        number: The group of each image (n,), from 0.
        rng: Source of the resamples.
    """
    groups = int(number.max(initial=-1)) + 1
    for rows in in_chunks(RESAMPLES if groups else 0, len(number)):
        of_row = rng.integers(0, groups, (rows, groups)) + groups * np.arange(rows)[:, None]
        times = np.bincount(of_row.ravel(), minlength=rows * groups).reshape(rows, groups)
        yield times[:, number].astype(np.float64)


def in_chunks(rows: int, columns: int) -> Iterator[int]:
    """How many of so many rows to hold at a time, so that no more than CHUNK numbers are."""
    step = max(1, CHUNK // max(1, columns))
    for begin in range(0, rows, step):
        yield min(step, rows - begin)


def weighted_mean(values: Values, weights: Values) -> Values:
    """The mean of the known values by each row of weights; NaN where a row has none of them."""
    known = ~np.isnan(values)
    return _ratio(weights @ np.where(known, values, 0.0), weights @ known.astype(np.float64))


def weighted_worst_tenth(values: Values, weights: Values) -> Values:
    """The mean of the ceil(m / 10) lowest of the m known values that each row of weights holds; NaN where m is 0.

    >>> weighted_worst_tenth(np.array([0.5, np.nan, 0.1]), np.array([[1.0, 1.0, 0.0], [11.0, 0.0, 1.0]]))
    array([0.5, 0.3])
    """
    order = np.argsort(values)[: np.count_nonzero(~np.isnan(values))]  # NaN comes last
    ordered = weights[:, order]
    lowest = np.ceil(ordered.sum(axis=1) / 10)
    left = lowest[:, None] - (np.cumsum(ordered, axis=1) - ordered)
    return _ratio(np.clip(left, 0, ordered) @ values[order], lowest)


def _ratio(part: Values, whole: Values) -> Values:
    result: Values = np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
    return result


def _figures_of(scores: pl.DataFrame) -> dict[str, tuple[pl.Series, Statistic]]:
    """Each figure's value per image, null where it has none, and how it is made of them."""
    nobody = pl.col("tp") + pl.col("fn") == 0
    columns = scores.select(
        "iou",
        "dice",
        "boundary_iou",
        "bce",
        empty=pl.when(nobody).then((pl.col("fp") == 0).cast(pl.Float64)),
        good=(pl.col("iou") >= GOOD_IOU).cast(pl.Float64),
        union=(pl.col("tp") + pl.col("fp") + pl.col("fn")).cast(pl.Float64),
    )
    union_px = columns["union"].to_numpy()
    return {
        "empty_predicted_empty": (columns["empty"], weighted_mean),
        "mean_iou": (columns["iou"], weighted_mean),
        "pooled_iou": (columns["iou"], lambda values, weights: weighted_mean(values, weights * union_px)),
        "worst_tenth_iou": (columns["iou"], weighted_worst_tenth),
        "good_share": (columns["good"], weighted_mean),
        "mean_dice": (columns["dice"], weighted_mean),
        "mean_boundary_iou": (columns["boundary_iou"], weighted_mean),
        "mean_bce": (columns["bce"], weighted_mean),
    }


def as_floats(values: pl.Series) -> Values:
    """A column (n,), NaN where it is null."""
    return values.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _interval(drawn: Values) -> Interval:
    """Resamples without any image that has the figure are left out."""
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return Interval(float(low), float(high))
