"""Losses over counted pixels, and the counts that IoU and Dice come from, at training size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as nnf

from curate.masks import IGNORE, PERSON
from train.data.targets import CODES, counts_for

DICE_SMOOTH_PX = 1.0
"""Added above and below the fraction, so that an image without a person has a Dice too."""

FOCAL_GAMMA = 2.0
"""The focusing parameter that Lin et al. 2017 found best; their class weight alpha is left out (1)."""


def segmentation_loss(
    name: str, logits: Tensor, targets: Tensor, classes: Sequence[str] = ("person",), shares: Tensor | None = None
) -> Tensor:
    """The mean loss of a batch over its classes, a scalar; pixels that are not counted have no part in it.

    `bce` is binary cross-entropy averaged over the counted pixels of the batch, `bce-dice` that plus 1 - soft Dice
    (Milletari et al. 2016, V-Net) averaged over the images, `focal` the focal loss (Lin et al. 2017) averaged like
    `bce`, `lovasz` the Lovasz hinge (Berman et al. 2018) averaged over the images. A batch without a counted pixel
    gives 0.

    Args:
        name: One of train.config.LOSSES.
        logits: (N, C, H, W), a channel for each class.
        targets: (N, H, W) uint8 of train.data.targets.
        classes: What each channel tells; they do not exclude each other.
        shares: Where these are a part of a batch, their sizes over the batch's, see `sizes_of`: the losses of all parts
            then add up to the batch's.
    """
    *of_pixels, of_images = torch.ones(len(classes) + 1) if shares is None else shares
    each = [
        loss_of_class(
            name, logits[:, channel], targets == CODES[own], counts_for(own, targets), (of_pixels[channel], of_images)
        )
        for channel, own in enumerate(classes)
    ]
    return torch.stack(each).mean()


def sizes_of(targets: Tensor, classes: Sequence[str]) -> Tensor:
    """(C + 1,) float64: how many pixels of a batch teach each class, then how many images it has."""
    counted = [counts_for(name, targets).sum() for name in classes]
    return torch.stack([*counted, torch.full_like(counted[0], len(targets))]).double()


def loss_of_class(
    name: str, logits: Tensor, labelled: Tensor, counted: Tensor, shares: tuple[Tensor, Tensor]
) -> Tensor:
    """`segmentation_loss` of one class: logits (N, H, W), where it is labelled, and where pixels count (bool)."""
    of_pixels, of_images = shares
    person = labelled.float()
    scores = torch.where(counted, logits.float(), 0.0)
    if name == "lovasz":
        return lovasz_hinge(scores, person, counted) * of_images
    each = nnf.binary_cross_entropy_with_logits(scores, person, reduction="none")
    if name == "focal":
        each = (1 - torch.exp(-each)) ** FOCAL_GAMMA * each  # exp(-bce) is the chance of the label
    loss = (each * counted).sum() / counted.sum().clamp(min=1) * of_pixels
    if name == "bce-dice":
        loss = loss + soft_dice_loss(torch.sigmoid(scores) * counted, person) * of_images
    return loss


def lovasz_hinge(scores: Tensor, person: Tensor, counted: Tensor) -> Tensor:
    """The Lovasz extension of 1 - IoU at the pixels' hinge errors, averaged over images (Berman et al. 2018, eq. 9).

    An image without a person pays its largest error alone, one without a counted pixel nothing.

    Args:
        scores: (N, H, W) logits.
        person: (N, H, W) of 0 and 1.
        counted: (N, H, W) bool.
    """
    errors = (1 - scores * (2 * person - 1)).flatten(1)
    left_out = ~counted.flatten(1)
    weights = _jaccard_steps(errors.detach().masked_fill(left_out, -torch.inf), person.flatten(1).long())
    return (torch.relu(errors) * weights).masked_fill(left_out, 0.0).sum(1).mean()


def _jaccard_steps(errors: Tensor, person: Tensor) -> Tensor:
    """How much 1 - IoU grows as each pixel turns wrong, the largest error first; both (N, P), as is what comes back.

    Counts are whole numbers, and weights go back to their pixels by index, so that a GPU repeats them to the bit.
    """
    order = errors.argsort(dim=1, descending=True, stable=True)
    labels = person.gather(1, order)
    shared = labels.sum(1, keepdim=True) - labels.cumsum(1)
    union = labels.sum(1, keepdim=True) + (1 - labels).cumsum(1)
    jaccard = 1 - shared.float() / union  # no union is 0: its first pixel is person or background
    steps = torch.diff(jaccard, dim=1, prepend=torch.zeros_like(jaccard[:, :1]))
    return torch.zeros_like(steps).scatter(1, order, steps)


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
