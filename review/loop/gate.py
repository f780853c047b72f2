"""Whether a candidate has earned its place: paired bootstrap against the control, on the validation split alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import polars as pl

from review.compare import SliceDifference, slice_differences
from review.paired import Difference, Scores, differences, trainings_of
from train.scoring.figures import number
from train.scoring.metrics import mean_of

FEWEST_VAL_GROUPS = 50
"""With fewer groups of validation images the worst tenth is less than five of them, and its interval says little."""

FEWEST_IN_SLICE = 20
"""A slice of fewer validation images has no vote."""

LOSS = 0.005
"""A slice has lost where its difference is below minus this with its whole interval: half a point of IoU."""


class Check(msgspec.Struct, frozen=True):
    """One thing that the gate asks, and the answer in words."""

    holds: bool
    words: str


class Verdict(msgspec.Struct, frozen=True):
    """Whether the candidate is promoted, why, and on what figures."""

    checks: list[Check]
    """What fails first; all of them hold for what is promoted."""
    images: int
    figures: list[Difference]
    slices: list[SliceDifference]
    """All of the validation images: those of FEWEST_IN_SLICE and more first, of these what lost most."""

    @property
    def promoted(self) -> bool:
        """Whether nothing fails."""
        return all(check.holds for check in self.checks)

    @property
    def reasons(self) -> list[str]:
        """The checks in words."""
        return [check.words for check in self.checks]


PROPOSED = ("after", "labels")
"""What may be promoted: the candidate, and what learnt corrected labels alone."""

TWO_CHANCES = "Two had a chance, after and labels; of two that pass the one with the higher image mean IoU is promoted."
"""What is to be said where there are both."""
FEW_IMAGES = f"Of fewer than {FEWEST_IN_SLICE} images intervals tend to be too narrow: they prove little."


def choose(
    scores: Mapping[str, Scores], slices: pl.DataFrame, groups: Mapping[str, str], seed: int
) -> tuple[str, dict[str, Verdict]]:
    """One of PROPOSED, which is promoted or else the candidate, and the verdict on each that is there.

    Of two that pass it is the one with the higher image mean IoU.

    Args:
        scores: Validation scores of `before`, `control`, `after`, and of `labels` where there is that.
        slices, groups, seed: As of `decide`.
    """
    verdicts = {
        name: decide(scores["before"], scores["control"], scores[name], slices, groups, seed)
        for name in PROPOSED
        if name in scores
    }
    passed = [name for name, verdict in verdicts.items() if verdict.promoted]
    return max(passed, key=lambda name: verdicts[name].figures[0].second or 0.0, default="after"), verdicts


def decide(
    before: Scores,
    control: Scores,
    candidate: Scores,
    slices: pl.DataFrame,
    groups: Mapping[str, str],
    seed: int,
) -> Verdict:
    """Promote only where the mean does not fall, the worst tenth rises with an interval above zero, and no slice loses.

    All of that is against the control; besides, mean and worst tenth of the run that would be promoted are not below
    those of the one it would replace, which both arms may have spoiled.

    Args:
        before: Validation scores of the run that the arms start from.
        control: Validation scores of the arm trained without mining, of each training where there are several.
        candidate: Validation scores of the arm trained with it.
        slices: Which image is in which slice, as review.slices.slices_of gives it.
        groups: sample_id -> group, the unit that is resampled.
        seed: Seed of the bootstrap.
    """
    figures = differences(control, candidate, groups, seed)
    by_slice = slice_differences(control, candidate, slices, groups)
    by_slice.sort(key=lambda one: one.images < FEWEST_IN_SLICE)
    images = trainings_of(control)[0]
    mean, worst = (next(f for f in figures if f.name == name) for name in ("image mean IoU", "worst tenth IoU"))
    if mean.difference is None or worst.difference is None or worst.low is None:
        told = "no two groups of validation images show a person, so nothing can be decided"
        return Verdict([Check(False, told)], images.height, figures, by_slice)
    trainings = trainings_of(candidate)
    replacing = trainings[typical(trainings)]
    mean_holds, worst_rises = mean.difference >= 0, worst.low > 0
    independent = len({groups[sample_id] for sample_id in images["sample_id"]})
    checks = [
        Check(mean_holds, f"the image mean IoU {'does not fall' if mean_holds else 'falls'} ({_with_interval(mean)})"),
        Check(
            worst_rises,
            f"the worst tenth {'rises' if worst_rises else 'does not rise beyond chance'} ({_with_interval(worst)})",
        ),
        *_beside_replaced(differences(before, replacing, groups, seed, (mean.name, worst.name))),
        *_by_slice([one for one in by_slice if one.images >= FEWEST_IN_SLICE]),
        _enough(images.height, independent),
    ]
    return Verdict(sorted(checks, key=lambda check: check.holds), images.height, figures, by_slice)


def typical(trainings: Sequence[pl.DataFrame]) -> int:
    """Which of several trainings is promoted and shown: the middle one by its image mean IoU, of two the lower.

    Not the best: of three alike, chance decides which that is, and its figures would promise too much.

    Args:
        trainings: Validation scores (schema.SCORES) of each.

    >>> typical([pl.DataFrame({"iou": [iou]}) for iou in (0.7, 0.5, 0.6)])
    2
    """
    order = sorted(range(len(trainings)), key=lambda one: mean_of(trainings[one]["iou"]) or 0.0)
    return order[(len(order) - 1) // 2]


def _beside_replaced(figures: Sequence[Difference]) -> list[Check]:
    """Whether a candidate is not below the run that it would replace."""
    below = [one for one in figures if one.difference is None or one.difference < 0]
    if not below:
        return [Check(True, "neither image mean nor worst tenth is below that of the run it would replace")]
    replaced = "of the run it would replace"
    return [
        Check(False, f"its {one.name}, {number(one.second)}, is below {number(one.first)} {replaced}") for one in below
    ]


def _by_slice(slices: Sequence[SliceDifference]) -> list[Check]:
    """Whether none of the slices that have a vote has lost."""
    lost = [one for one in slices if one.iou.high is not None and one.iou.high < -LOSS]
    if lost or not slices:
        return [Check(False, f"{one.slice} loses ({_with_interval(one.iou)})") for one in lost]
    who = "the one slice" if len(slices) == 1 else f"each of the {len(slices)} slices"
    return [Check(True, f"{who} of {FEWEST_IN_SLICE} images and more keeps within half a point, or within chance")]


def _enough(images: int, groups: int) -> Check:
    """Whether so many validation images in so many groups can tell."""
    of = "" if groups == images else f" in {groups} groups"
    if groups >= FEWEST_VAL_GROUPS:
        return Check(True, f"{images} validation images{of} are enough to tell")
    needed = f"at least {FEWEST_VAL_GROUPS} groups are needed"
    return Check(False, f"{images} validation images{of} are too few to tell, {needed}")


def _with_interval(figure: Difference) -> str:
    """A difference and its interval; a small one with as many digits as tell its sign."""
    digits = 3 if figure.difference is None or abs(figure.difference) >= 0.0005 else 6
    return f"{figure.difference:+.{digits}f}, 95 % interval {figure.low:+.{digits}f} to {figure.high:+.{digits}f}"
