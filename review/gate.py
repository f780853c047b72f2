"""Whether a candidate has earned its place: paired bootstrap against the control, on the validation split alone."""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.errors import MismatchError
from train.scoring.metrics import GOOD_IOU

Values = NDArray[np.float64]

RESAMPLES = 2000

FEWEST_IMAGES = 20
"""With fewer validation images the worst tenth is one or two of them, and its interval says nothing."""


class Figure(msgspec.Struct, frozen=True):
    """One figure of two arms on the same images; `low` and `high` bound the difference (95 %, paired bootstrap)."""

    name: str
    control: float | None
    candidate: float | None
    difference: float | None
    low: float | None
    high: float | None


class Verdict(msgspec.Struct, frozen=True):
    """Whether the candidate is promoted, why, and on what figures."""

    promoted: bool
    reasons: list[str]
    images: int
    figures: list[Figure]


def row_mean(values: Values) -> Values:
    """Mean of each row of (N, n), NaN left out; NaN where a row has nothing else."""
    counted = ~np.isnan(values)
    number = counted.sum(axis=1)
    total = np.where(counted, values, 0.0).sum(axis=1)
    return _ratio(total, number)


def row_worst_tenth(values: Values) -> Values:
    """Mean of the ceil(m / 10) lowest of each row's m values that are not NaN; NaN where m is 0."""
    number = (~np.isnan(values)).sum(axis=1)
    lowest = np.ceil(number / 10).astype(int)
    running = np.nancumsum(np.sort(values, axis=1), axis=1)  # sort puts NaN last
    total = running[np.arange(len(values)), np.maximum(lowest, 1) - 1]
    return _ratio(total, lowest)


def _ratio(total: Values, number: NDArray[np.int_]) -> Values:
    """total / number, NaN where the number is 0."""
    result: Values = np.divide(total, number, out=np.full(len(total), np.nan), where=number > 0)
    return result


def row_good_share(values: Values) -> Values:
    """Share of each row's values, NaN left out, that reach GOOD_IOU."""
    return row_mean(np.where(np.isnan(values), np.nan, values >= GOOD_IOU))


STATISTICS: dict[str, tuple[str, Callable[[Values], Values]]] = {
    "image mean IoU": ("iou", row_mean),
    "worst tenth IoU": ("iou", row_worst_tenth),
    "good photos": ("iou", row_good_share),
    "mean Boundary IoU": ("boundary_iou", row_mean),
}


def paired_bootstrap(
    control: Values, candidate: Values, statistic: Callable[[Values], Values], rng: np.random.Generator
) -> tuple[float, float, float]:
    """The difference candidate - control and its 95 % interval.

    The same images are drawn for both arms in each resample (Efron and Tibshirani 1993, percentile interval),
    so what makes an image hard for both does not widen the interval.

    Args:
        control: Values per image (n,), NaN where undefined.
        candidate: Values of the same images (n,).
        statistic: (N, n) -> (N,), as `row_mean`.
        rng: Source of the resamples.
    """
    drawn = rng.integers(0, len(control), (RESAMPLES, len(control)))
    differences = statistic(candidate[drawn]) - statistic(control[drawn])
    difference = float(statistic(candidate[None])[0] - statistic(control[None])[0])
    low, high = np.nanquantile(differences, [0.025, 0.975])
    return difference, float(low), float(high)


def compare_figures(control: pl.DataFrame, candidate: pl.DataFrame, seed: int) -> list[Figure]:
    """Every figure of STATISTICS for two arms scored on the same images.

    Raises:
        MismatchError: The two score tables are not about the same images.
    """
    control, candidate = control.sort("sample_id"), candidate.sort("sample_id")
    if control["sample_id"].to_list() != candidate["sample_id"].to_list():
        raise MismatchError(
            "scores.parquet",
            f"the control's {control.height} images",
            f"{candidate.height} others",
            "Score both runs on the same split",
        )
    return [
        _figure(name, _values(control, column), _values(candidate, column), statistic, seed)
        for name, (column, statistic) in STATISTICS.items()
    ]


def _values(scores: pl.DataFrame, column: str) -> Values:
    return scores[column].cast(pl.Float64).fill_null(math.nan).to_numpy()


def _figure(name: str, control: Values, candidate: Values, statistic: Callable[[Values], Values], seed: int) -> Figure:
    if np.isnan(control).all() or np.isnan(candidate).all():
        return Figure(name, None, None, None, None, None)
    bounds = paired_bootstrap(control, candidate, statistic, np.random.default_rng(seed))
    return Figure(name, float(statistic(control[None])[0]), float(statistic(candidate[None])[0]), *bounds)


def decide(control: pl.DataFrame, candidate: pl.DataFrame, seed: int) -> Verdict:
    """Promote only where the mean does not fall and the worst tenth rises with an interval above zero.

    Args:
        control: Validation scores (schema.SCORES) of the arm trained without mining.
        candidate: Validation scores of the arm trained with it.
        seed: Seed of the bootstrap.
    """
    figures = compare_figures(control, candidate, seed)
    mean, worst = (next(f for f in figures if f.name == name) for name in ("image mean IoU", "worst tenth IoU"))
    if mean.difference is None or worst.difference is None or worst.low is None:
        return Verdict(
            False, ["no validation image shows a person, so nothing can be decided"], control.height, figures
        )
    mean_holds, worst_rises = mean.difference >= 0, worst.low > 0
    enough = control.height >= FEWEST_IMAGES
    reasons = [
        f"the image mean IoU {'does not fall' if mean_holds else 'falls'} ({_with_interval(mean)})",
        f"the worst tenth {'rises' if worst_rises else 'does not rise beyond chance'} ({_with_interval(worst)})",
    ]
    if not enough:
        reasons.append(f"{control.height} validation images are too few to tell, at least {FEWEST_IMAGES} are needed")
    return Verdict(mean_holds and worst_rises and enough, reasons, control.height, figures)


def _with_interval(figure: Figure) -> str:
    return f"{figure.difference:+.4f}, 95 % interval {figure.low:+.4f} to {figure.high:+.4f}"
