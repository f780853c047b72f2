"""Learning rates as a pure function of the step, so that there is no scheduler state to save or to lose."""

from __future__ import annotations

import math

WARM_SHARE = 0.3
"""Share of the steps in which the one-cycle rate rises."""

START_DIVISOR, END_DIVISOR = 25.0, 25.0e4
"""The one-cycle rate starts at lr / 25 and ends at lr / 250,000."""


def learning_rate(schedule: str, lr: float, step: int, steps: int) -> float:
    """The learning rate of one optimiser step.

    `one-cycle` rises along a cosine for 30 % of the steps and falls along another for the rest (Smith and Topin 2018,
    in the cosine form of torch.optim.lr_scheduler.OneCycleLR, momentum left alone).

    Args:
        schedule: One of train.config.SCHEDULES.
        lr: The highest rate.
        step: Counted from 0 over all epochs.
        steps: Number of steps in all; at least 1.
    """
    if schedule == "constant":
        return lr
    top = max(0.0, WARM_SHARE * steps - 1)
    if step <= top:
        return _cosine(lr / START_DIVISOR, lr, step / top if top > 0 else 1.0)
    return _cosine(lr, lr / END_DIVISOR, min(1.0, (step - top) / (steps - 1 - top)))


def _cosine(begin: float, end: float, share: float) -> float:
    return end + (begin - end) / 2 * (1 + math.cos(math.pi * share))
