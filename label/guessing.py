"""What a model guesses of one image: the mask, its regions, and how sure of them the model is. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from curate.masks import SMALLEST_PART, Mask, bbox_xywh
from curate.person_model import Photo, Predict, Probability, both_views

HALF = 0.5
"""From this probability on a pixel is person, as in a run's predictions."""


@dataclass(frozen=True)
class Guess:
    """What a model says of one image.

    Attributes:
        person: (H, W).
        confidence: Expected IoU of the mask, [0, 1]; 0 where the model sees nobody.
        regions: What schema.REGIONS holds, the largest first.
    """

    person: Mask
    confidence: float
    regions: list[dict[str, Any]]


def guess(image: Photo, predict: Predict) -> Guess:
    """The guess of a model that is shown an image (H, W, 3) and its mirror image; the mean of the two counts."""
    return guess_of(both_views(predict)(image))


def guess_of(probability: Probability) -> Guess:
    """The mask of a probability map (H, W), with its confidence and that of its regions.

    Confidence is the IoU to be expected of the mask if every probability is what it says: the expected number of
    right pixels, over those of the mask and the persons' pixels expected outside it. For a region, an outside pixel
    belongs to the region nearest to it, so that the mask's confidence is the mean of its regions' by their size.
    Regions are connected parts (8 neighbours); crumbs of under SMALLEST_PART of the mask are not told.

    >>> found = guess_of(np.array([[1.0, 1.0, 0.5, 0.0]], np.float32))
    >>> found.person.astype(int), found.confidence, found.regions[0]["bbox_xywh"]
    (array([[1, 1, 1, 0]]), 0.8333333333333334, [0, 0, 3, 1])
    """
    person = probability >= HALF
    if not person.any():
        return Guess(person, 0.0, [])
    _, nearest = cv2.distanceTransformWithLabels(
        (~person).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_CCOMP
    )
    area_px = np.bincount(nearest[person])
    right_px = np.bincount(nearest[person], probability[person])
    missed_px = np.bincount(nearest[~person], probability[~person], minlength=area_px.size)
    told = np.flatnonzero(area_px >= max(1, SMALLEST_PART * area_px.sum()))
    regions = [
        {
            "bbox_xywh": list(bbox_xywh(person & (nearest == number))),
            "area_px": int(area_px[number]),
            "confidence": float(right_px[number] / (area_px[number] + missed_px[number])),
        }
        for number in sorted(told, key=lambda number: -area_px[number])
    ]
    return Guess(person, float(right_px.sum() / (area_px.sum() + missed_px.sum())), regions)
