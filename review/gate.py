"""Whether a candidate has earned its place: paired bootstrap against the control, on the validation split alone."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import polars as pl

from review.paired import differences

FEWEST_IMAGES = 20
"""With fewer groups of validation images the worst tenth is one or two of them, and its interval says nothing."""


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


def compare_figures(
    control: pl.DataFrame, candidate: pl.DataFrame, groups: Mapping[str, str], seed: int
) -> list[Figure]:
    """Every figure of review.paired for two arms scored on the same images.

    Raises:
        MismatchError: The two score tables are not about the same images.
    """
    found = differences(control, candidate, groups, seed)
    return [Figure(one.name, one.first, one.second, one.difference, one.low, one.high) for one in found]


def decide(control: pl.DataFrame, candidate: pl.DataFrame, groups: Mapping[str, str], seed: int) -> Verdict:
    """Promote only where the mean does not fall and the worst tenth rises with an interval above zero.

    Args:
        control: Validation scores (schema.SCORES) of the arm trained without mining.
        candidate: Validation scores of the arm trained with it.
        groups: sample_id -> group, the unit that is resampled.
        seed: Seed of the bootstrap.
    """
    figures = compare_figures(control, candidate, groups, seed)
    mean, worst = (next(f for f in figures if f.name == name) for name in ("image mean IoU", "worst tenth IoU"))
    if mean.difference is None or worst.difference is None or worst.low is None:
        told = "no two groups of validation images show a person, so nothing can be decided"
        return Verdict(False, [told], control.height, figures)
    mean_holds, worst_rises = mean.difference >= 0, worst.low > 0
    independent = len({groups[sample_id] for sample_id in control["sample_id"]})
    enough = independent >= FEWEST_IMAGES
    reasons = [
        f"the image mean IoU {'does not fall' if mean_holds else 'falls'} ({_with_interval(mean)})",
        f"the worst tenth {'rises' if worst_rises else 'does not rise beyond chance'} ({_with_interval(worst)})",
    ]
    if not enough:
        of = "" if independent == control.height else f" in {independent} groups"
        told = f"{control.height} validation images{of} are too few to tell, at least {FEWEST_IMAGES} are needed"
        reasons.append(told)
    return Verdict(mean_holds and worst_rises and enough, reasons, control.height, figures)


def _with_interval(figure: Figure) -> str:
    return f"{figure.difference:+.4f}, 95 % interval {figure.low:+.4f} to {figure.high:+.4f}"
