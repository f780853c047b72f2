"""Whether a candidate has earned its place: paired bootstrap against the control, on the validation split alone."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import polars as pl

from review.compare import SliceDifference, slice_differences
from review.paired import Difference, differences
from train.scoring.figures import number
from train.scoring.metrics import mean_of

FEWEST_IMAGES = 50
"""With fewer groups of validation images the worst tenth is less than five of them, and its interval says little."""

FEWEST_IN_SLICE = 20
"""A slice of fewer validation images has no vote."""

LOSS = 0.005
"""A slice has lost where its difference is below minus this with its whole interval: half a point of IoU."""


class Verdict(msgspec.Struct, frozen=True):
    """Whether the candidate is promoted, why, and on what figures."""

    promoted: bool
    reasons: list[str]
    images: int
    figures: list[Difference]
    slices: list[SliceDifference]
    """Those of FEWEST_IN_SLICE images and more, what lost most first."""


PROPOSED = ("after", "labels")
"""What may be promoted: the candidate, and what learnt corrected labels alone."""


def choose(
    scores: Mapping[str, pl.DataFrame], slices: pl.DataFrame, groups: Mapping[str, str], seed: int
) -> tuple[str, Verdict]:
    """One of PROPOSED and the verdict on it: what is promoted, or else the candidate.

    Of two that pass it is the one with the higher image mean IoU.

    Args:
        scores: Validation scores (schema.SCORES) of `before`, `control`, `after`, and of `labels` where there is that.
        slices, groups, seed: As of `decide`.
    """
    verdicts = {
        name: decide(scores["before"], scores["control"], scores[name], slices, groups, seed)
        for name in PROPOSED
        if name in scores
    }
    passed = [name for name, verdict in verdicts.items() if verdict.promoted]
    best = max(passed, key=lambda name: mean_of(scores[name]["iou"]) or 0.0, default="after")
    verdict = verdicts[best]
    if best == "labels":
        after = "passes too, with a lower image mean IoU" if "after" in passed else "does not pass"
        told = f"it learnt the new and corrected labels without mining; what learnt with both {after}"
        return best, msgspec.structs.replace(verdict, reasons=[*verdict.reasons, told])
    return best, verdict


def decide(
    before: pl.DataFrame,
    control: pl.DataFrame,
    candidate: pl.DataFrame,
    slices: pl.DataFrame,
    groups: Mapping[str, str],
    seed: int,
) -> Verdict:
    """Promote only where the mean does not fall, the worst tenth rises with an interval above zero, and no slice loses.

    All of that is against the control; besides, mean and worst tenth are not below those of the run that would be
    replaced, which both arms may have spoiled.

    Args:
        before: Validation scores (schema.SCORES) of the run that the arms start from.
        control: Validation scores (schema.SCORES) of the arm trained without mining.
        candidate: Validation scores of the arm trained with it.
        slices: Which image is in which slice, as review.slices.slices_of gives it.
        groups: sample_id -> group, the unit that is resampled.
        seed: Seed of the bootstrap.
    """
    figures = differences(control, candidate, groups, seed)
    by_slice = [one for one in slice_differences(control, candidate, slices, groups) if one.images >= FEWEST_IN_SLICE]
    mean, worst = (next(f for f in figures if f.name == name) for name in ("image mean IoU", "worst tenth IoU"))
    if mean.difference is None or worst.difference is None or worst.low is None:
        told = "no two groups of validation images show a person, so nothing can be decided"
        return Verdict(False, [told], control.height, figures, by_slice)
    mean_holds, worst_rises = mean.difference >= 0, worst.low > 0
    replaced = [one for one in differences(before, candidate, groups, seed) if one.name in (mean.name, worst.name)]
    spoiled = [one for one in replaced if one.difference is None or one.difference < 0]
    independent = len({groups[sample_id] for sample_id in control["sample_id"]})
    enough = independent >= FEWEST_IMAGES
    reasons = [
        f"the image mean IoU {'does not fall' if mean_holds else 'falls'} ({_with_interval(mean)})",
        f"the worst tenth {'rises' if worst_rises else 'does not rise beyond chance'} ({_with_interval(worst)})",
    ]
    reasons += [
        f"the run it would replace has the better {one.name} ({number(one.first)}, it has {number(one.second)})"
        for one in spoiled
    ]
    lost = [one for one in by_slice if one.iou.high is not None and one.iou.high < -LOSS]
    if by_slice:
        told = "; ".join(f"{one.slice} loses ({_with_interval(one.iou)})" for one in lost)
        who = "the one slice" if len(by_slice) == 1 else f"each of the {len(by_slice)} slices"
        holds = f"{who} of {FEWEST_IN_SLICE} images and more keeps within half a point, or within chance"
        reasons.append(told or holds)
    if not enough:
        of = "" if independent == control.height else f" in {independent} groups"
        told = f"{control.height} validation images{of} are too few to tell, at least {FEWEST_IMAGES} are needed"
        reasons.append(told)
    passes = mean_holds and worst_rises and enough and not spoiled and not lost
    return Verdict(passes, reasons, control.height, figures, by_slice)


def _with_interval(figure: Difference) -> str:
    return f"{figure.difference:+.4f}, 95 % interval {figure.low:+.4f} to {figure.high:+.4f}"
