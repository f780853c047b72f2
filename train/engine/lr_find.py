"""The learning-rate range test (Smith 2017): the rate grows from step to step; where does the loss fall, where rise?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from curate.errors import UsageError
from curate.files import json_bytes, write_atomic
from curate.threads import Watch
from train.config import FitConfig
from train.data.batches import batch_bounds, batches
from train.data.material import Material
from train.engine.distributed import ALONE, Team
from train.engine.execution import executing
from train.engine.freezing import prepare_epoch
from train.engine.learner import make_learner
from train.engine.stages import stages
from train.engine.training import epoch_draws, seeded_dropout, steps_of
from train.models import build_model, device
from train.monitoring.plots import range_test_png

LOWEST_LR, HIGHEST_LR = 1e-6, 10.0
"""The rates tried, in equal ratios from step to step."""

STEPS, FEWEST_STEPS, SHARE = 100, 40, 0.1
"""How many rates; before a run a share of the steps that follow, and no fewer than the second number."""

DIVERGED = 4.0
"""The test ends where the mean of the latest losses is so many times the lowest such mean."""

LATEST, SMOOTHING = 5, 9
"""Steps that mean is taken over, and steps around each that its smoothed loss is the mean of."""

FALLEN_SHARE = 0.1
"""The loss begins to fall where it has fallen by this share of its whole fall."""

FALL_WORTH = 0.1
"""A fall by less than this share of the loss may be chance, and what it suggests a guess: that is said."""

HELD_SHARE = 0.3
"""The loss is held as long as it has risen again by no more than this share of its whole fall. With a fifth, chance in
a plateau passed for its end; with half, a net that has died for one that holds."""

DIVISOR, MOST = 10.0, 0.01
"""The suggestion is the highest rate at which the loss is held divided by the first, and at most the second.

Adam and RMSprop move each weight by about the rate itself, whatever the gradient, so that more than a hundredth a step
is coarse even where the loss stands it; SGD has no such bound. Smith takes a third or a quarter of the rate of the
lowest loss, and so does the go-selfies paper. With batch norm the loss is as low over two decades, and where in them it
is lowest is chance: the same model had 0.006 and 0.12.
"""


class RangeTest(msgspec.Struct, frozen=True):
    """`lr-find.json`: a curve, and what it suggests."""

    lr: float
    """The suggestion for --lr."""
    lr_min: float
    """The suggestion for --lr-min: where the loss begins to fall, and at most half of `lr`."""
    falls_at: float
    """The rate at which the smoothed loss begins to fall."""
    held_to: float
    """The highest rate at which the smoothed loss is still near its lowest."""
    explanation: str
    rates: list[float]
    losses: list[float]
    """Of each step's batch, before the step."""
    smoothed: list[float]
    """The mean of the losses around each step."""


def range_test(
    material: Material, config: FitConfig, watch: Watch, steps: int = STEPS, team: Team = ALONE
) -> RangeTest:
    """Train a model anew at rates that grow from step to step, until its loss is lost; nothing of it is kept.

    The model, its first size, batch size and what is frozen in the first epoch are those of the configuration.

    Raises:
        UsageError: The loss fell at no rate.
    """
    stage, place = stages(config)[0], device()
    rates = np.geomspace(LOWEST_LR, HIGHEST_LR, steps)
    seed = (config.seed, 0, 0)  # epochs are counted from 1: none of them draws the same
    draws = epoch_draws(replace(material, epoch_images=steps * stage.batch_size), config.augment, seed)
    losses: list[float] = []
    tick = watch("range test", steps)
    with executing(config, place), seeded_dropout(seed, team):
        learner = make_learner(build_model(config).to(place), config, team)
        prepare_epoch(learner.model, config, 1)
        parts = [draws[slice(*team.share(*whole))] for whole in batch_bounds(len(draws), stage.batch_size)]
        made = batches(material.caches[stage.size], parts, learner.place, material.held)
        for step, (images, targets) in enumerate(made):
            loss, _ = learner.step(images, targets, float(rates[step]), step)
            losses.append(float(team.total(loss)))
            tick(1)
            if is_lost(losses):
                break
    finite = losses if math.isfinite(losses[-1]) else losses[:-1]
    return suggest(rates[: len(finite)].tolist(), finite, math.inf if config.optimizer == "sgd" else MOST)


def range_test_steps(config: FitConfig, epoch_images: int) -> int:
    """How many steps the range test of a run takes that learns from so many images in an epoch."""
    return min(STEPS, max(FEWEST_STEPS, round(SHARE * steps_of(stages(config), epoch_images))))


def is_lost(losses: Sequence[float]) -> bool:
    """Whether the latest losses are no numbers, or far above the lowest before."""
    if not math.isfinite(losses[-1]):
        return True
    means = [sum(losses[end - LATEST : end]) / LATEST for end in range(LATEST, len(losses) + 1)]
    return bool(means) and means[-1] > DIVERGED * min(means)


def suggest(rates: Sequence[float], losses: Sequence[float], most: float = math.inf) -> RangeTest:
    """What a range test's rates and losses, of equal number and finite, suggest: no rate above `most`.

    Raises:
        UsageError: The loss fell at no rate.
    """
    smoothed = smooth(losses)
    lowest = int(np.argmin(smoothed)) if smoothed else 0
    fall = smoothed[0] - smoothed[lowest] if smoothed else 0.0
    if fall <= 0:
        raise UsageError(
            "the range test found no rate at which the loss falls. Choose another --optimizer, or pass --lr X"
        )
    fallen = int(np.argmax(np.array(smoothed) <= smoothed[0] - FALLEN_SHARE * fall))
    held = int(np.flatnonzero(np.array(smoothed) <= smoothed[lowest] + HELD_SHARE * fall)[-1])
    lr = _rounded(min(rates[held] / DIVISOR, most))
    lr_min = _rounded(min(rates[fallen], lr / 2))
    reason = "is a tenth of that" if rates[held] / DIVISOR <= most else "is the most that suits the optimizer"
    end = "beyond which it rises" if held < len(smoothed) - 1 else "where the test ended"
    guessed = f"a guess, since the loss fell by {fall / smoothed[0]:.0%} alone: "
    explanation = (guessed if fall < FALL_WORTH * smoothed[0] else "") + (
        f"the loss begins to fall at {rates[fallen]:.2g} and stays low up to {rates[held]:.2g}, {end}; "
        f"--lr {lr:g} {reason}, --lr-min {lr_min:g} suits --schedule triangular"
    )
    return RangeTest(lr, lr_min, rates[fallen], rates[held], explanation, list(rates), list(losses), smoothed)


def smooth(losses: Sequence[float]) -> list[float]:
    """Each loss as the mean of those around it, fewer at the ends, where as many are taken before as after.

    A mean of those before alone would lag behind and suggest too high a rate.

    >>> smooth([4.0, 1.0, 1.0, 4.0])
    [4.0, 2.0, 2.0, 4.0]
    """
    last = len(losses) - 1
    reach = [min(SMOOTHING // 2, place, last - place) for place in range(len(losses))]
    return [sum(losses[place - own : place + own + 1]) / (2 * own + 1) for place, own in enumerate(reach)]


def _rounded(rate: float) -> float:
    """A rate to two digits: the test knows no more."""
    return float(f"{rate:.1e}")


def write_range_test(folder: Path, found: RangeTest) -> None:
    """Write `lr-find.json` and `lr-find.png` into a folder, which is made where it is not there."""
    write_atomic(folder / "lr-find.json", json_bytes(found) + b"\n")
    write_atomic(folder / "lr-find.png", range_test_png(found))
