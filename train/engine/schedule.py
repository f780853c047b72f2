"""Learning rates as a pure function of the step, so that there is no scheduler state to save or to lose."""

from __future__ import annotations

import math

from train.config import FitConfig

WARM_SHARE = 0.3
"""Share of the steps in which the one-cycle rate rises."""

START_DIVISOR, END_DIVISOR = 25.0, 25.0e4
"""The one-cycle rate starts at lr / 25 and ends at lr / 250,000."""

TRIANGLE_DIVISOR = 20.0
"""Without --lr-min the triangular rate rises from lr / 20: the go-selfies paper's 1e-3 to 2e-2."""

STEP_PLACES, STEP_FACTOR = (1 / 2, 3 / 4), 0.1
"""The step rate falls at these shares of the steps (He et al. 2016, ResNet on CIFAR), by default to a tenth."""

POLYNOMIAL_POWER = 0.9
"""Of the polynomial rate, as in DeepLab (Chen et al. 2017)."""

EXPONENTIAL_FACTOR = 0.995
"""By default the exponential rate is multiplied by this in each epoch, as for Tiramisu (Jegou et al. 2017)."""


def learning_rate(config: FitConfig, step: int, steps: int, epochs: int) -> float:
    """The learning rate of one optimiser step, by the schedule of a configuration.

    `constant` stays. `one-cycle` rises along a cosine for 30 % of the steps and falls along another for the rest
    (Smith and Topin 2018, in the cosine form of torch.optim.lr_scheduler.OneCycleLR, momentum left alone).
    `triangular` rises and falls evenly between --lr-min and --lr (Smith 2017), once every --cycle-epochs. `step`
    is multiplied by --lr-decay after half and after three quarters of the steps. `polynomial` falls to --lr-min as
    (1 - share of the steps) ^ 0.9. `exponential` is multiplied by --lr-decay per epoch, a little at each step.

    Args:
        config: Its lr is a number and the highest rate.
        step: Counted from 0 over all epochs.
        steps: Number of steps in all; at least 1.
        epochs: Number of epochs these steps make.
    """
    lr = float(config.lr)
    if config.schedule == "one-cycle":
        return _one_cycle(lr, step, steps)
    if config.schedule == "triangular":
        lowest = lr / TRIANGLE_DIVISOR if config.lr_min is None else config.lr_min
        return _triangle(lowest, lr, step * epochs / steps / (config.cycle_epochs or 1))
    if config.schedule == "step":
        factor = STEP_FACTOR if config.lr_decay is None else config.lr_decay
        return lr * factor ** sum(step >= place * steps for place in STEP_PLACES)
    if config.schedule == "polynomial":
        lowest = config.lr_min or 0.0
        return float(lowest + (lr - lowest) * (1 - step / steps) ** POLYNOMIAL_POWER)
    if config.schedule == "exponential":
        factor = EXPONENTIAL_FACTOR if config.lr_decay is None else config.lr_decay
        return float(lr * factor ** (step * epochs / steps))
    return lr


def _one_cycle(lr: float, step: int, steps: int) -> float:
    top = max(0.0, WARM_SHARE * steps - 1)
    if step <= top:
        return _cosine(lr / START_DIVISOR, lr, step / top if top > 0 else 1.0)
    return _cosine(lr, lr / END_DIVISOR, min(1.0, (step - top) / (steps - 1 - top)))


def _cosine(begin: float, end: float, share: float) -> float:
    return end + (begin - end) / 2 * (1 + math.cos(math.pi * share))


def _triangle(lowest: float, highest: float, cycles: float) -> float:
    """The triangular wave after a number of cycles: lowest at whole ones, highest in the middle of each."""
    return lowest + (highest - lowest) * (1 - abs(1 - 2 * (cycles % 1)))
