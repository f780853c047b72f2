"""The exponential moving average of a model's weights (Polyak and Juditsky 1992): steadier than the last step's."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


def begin_average(model: nn.Module) -> nn.Module:
    """The average before the first step: a copy of the model, in evaluation mode, that learns nothing itself."""
    return copy.deepcopy(model).eval().requires_grad_(False)


def decay_at(decay: float, step: int) -> float:
    """The decay of one step, counted from 0: short at first, so that the random start is soon forgotten.

    >>> [round(decay_at(0.99, step), 2) for step in (0, 10, 100, 10_000)]
    [0.1, 0.55, 0.92, 0.99]
    """
    return min(decay, (1 + step) / (10 + step))


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the average, its batch norms' statistics too, by 1 - decay towards the model; whole numbers are copied."""
    pairs = list(zip(average.state_dict().values(), model.state_dict().values(), strict=True))
    means, latest = zip(*(pair for pair in pairs if pair[0].is_floating_point()), strict=True)
    average_all = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    average_all(means, latest, 0)  # all at once: on a GPU in a few kernels
    for count, now in (pair for pair in pairs if not pair[0].is_floating_point()):
        count.copy_(now)
