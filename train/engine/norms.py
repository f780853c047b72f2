"""Batch norms that follow dropout, judged by what they meet once dropout is off.

Dropout widens what later batch norms see, and the averages they keep for prediction are of that: without dropout a deep
model is then another one (Li et al. 2019, "Understanding the Disharmony between Dropout and Batch Normalization by
Variance Shift"). The authors' Tiramisu keeps no averages and normalises by the batch that it predicts, so that what it
says of an image depends on the others. Here the averages are taken anew after each epoch, without dropout.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm
from torch.nn.modules.dropout import _DropoutNd as Dropout

from train.data.batches import to_input
from train.engine.execution import autocast
from train.engine.learner import Learner

SETTLING_IMAGES = 64
"""The averages are taken over the first batches of an epoch that hold so many images."""


def follow_dropout(model: nn.Module) -> bool:
    """Whether a batch norm comes after a dropout, in the order in which the layers were made."""
    layers = [layer for layer in model.modules() if isinstance(layer, BatchNorm | Dropout)]
    first = next((place for place, layer in enumerate(layers) if isinstance(layer, Dropout) and layer.p > 0), None)
    return first is not None and any(isinstance(layer, BatchNorm) for layer in layers[first:])


@torch.no_grad()
def settle_norms(learner: Learner, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Give the judged model's batch norms the averages over some batches, without dropout; frozen ones keep theirs.

    Args:
        learner: Its model as an epoch left it. In a team, all processes get the same batches. For all.
        batches: Images (N, 3, S, S) uint8 and targets, which play no part.
    """
    learning = {name for name, layer in learner.model.named_modules() if layer.training}
    model, place = learner.judged.eval(), learner.place
    norms = [layer for name, layer in model.named_modules() if isinstance(layer, BatchNorm) and name in learning]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train().reset_running_stats()
        norm.momentum = None  # the mean over all batches
    for images, _ in batches:
        with autocast(place, learner.config.precision):
            model(to_input(images, place))
    for norm, momentum in zip(norms, usual, strict=True):
        norm.eval().momentum = momentum
