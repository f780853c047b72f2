"""Losses over counted pixels, and the counts that IoU and Dice come from, at training size."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as nnf

from curate.masks import IGNORE, PERSON

DICE_SMOOTH_PX = 1.0
"""Added above and below the fraction, so that an image without a person has a Dice too."""


def segmentation_loss(name: str, logits: Tensor, targets: Tensor) -> Tensor:
    """The mean loss of a batch, a scalar; pixels that are not counted have no part in it.

    `bce` is binary cross-entropy averaged over the counted pixels of the batch, `bce-dice` that plus 1 - soft Dice
    (Milletari et al. 2016, V-Net) averaged over the images. A batch without a counted pixel gives 0.

    Args:
        name: One of train.config.LOSSES.
        logits: (N, 1, H, W).
        targets: (N, H, W) uint8 of 0, 128, 255.
    """
    counted = (targets != IGNORE).float()
    person = (targets == PERSON).float()
    scores = logits[:, 0].float()
    each = nnf.binary_cross_entropy_with_logits(scores, person, reduction="none")
    loss = (each * counted).sum() / counted.sum().clamp(min=1)
    if name == "bce-dice":
        loss = loss + soft_dice_loss(torch.sigmoid(scores) * counted, person)
    return loss


def soft_dice_loss(chances: Tensor, person: Tensor) -> Tensor:
    """1 - soft Dice, averaged over images; both (N, H, W), 0 where a pixel is not counted."""
    shared = (chances * person).sum((1, 2))
    sizes = chances.sum((1, 2)) + person.sum((1, 2))
    return (1 - (2 * shared + DICE_SMOOTH_PX) / (sizes + DICE_SMOOTH_PX)).mean()


def count_pixels(logits: Tensor, targets: Tensor) -> Tensor:
    """(N, 3): tp, fp and fn px of every image; a logit above 0 is person."""
    predicted = (logits[:, 0] > 0) & (targets != IGNORE)
    person = targets == PERSON
    hits = (predicted & person, predicted & ~person, person & ~predicted)
    return torch.stack([each.sum((1, 2)) for each in hits], dim=1)


def mean_overlaps(counts: Tensor) -> tuple[float | None, float | None]:
    """Image mean of (IoU, Dice) from counts (N, 3); images empty in label and prediction are left out, None if all."""
    tp, union = counts[:, 0].double(), counts.sum(1).double()
    known = union > 0
    if not bool(known.any()):
        return None, None
    tp, union = tp[known], union[known]
    return float((tp / union).mean()), float((2 * tp / (union + tp)).mean())
