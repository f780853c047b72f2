"""A mask beside what a model makes of the same photograph: a second opinion, never the truth."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from curate.masks import IGNORE, Mask
from label.findings import Fault, severity
from label.findings.outline import shrunk, working_size
from label.findings.shape import Shape, chosen, parts_of

LEAST_IOU = 0.5
SURE = 0.8
"""Probability from which on the model is sure of a person; below 1 - SURE it is sure that there is none."""
CORE_PX = 5
"""At working size: what is nowhere wider than twice this is a matter of where the edge is."""
LEAST_SHARE = 0.1
"""Of the person: a smaller difference is a hand or a bag."""
LEAST_AREA = 0.005
"""Of the image."""


def faults_by_model(probability: NDArray[np.float32], shape: Shape) -> Iterator[Fault]:
    """Where a model disagrees with a label (H, W).

    Args:
        probability: The model's probability of person, (h, w) in [0, 1], of the whole image; may be smaller.
        shape: With a person in it.
    """
    height, width = shape.person.shape
    size_hw = working_size((height, width))
    chances = np.asarray(cv2.resize(probability, size_hw[::-1], interpolation=cv2.INTER_AREA))
    person, uncounted = shrunk(shape.person, size_hw), shrunk(shape.target == IGNORE, size_hw)
    scale = height / size_hw[0]
    predicted = (chances >= 0.5) & ~uncounted
    both = int(np.count_nonzero(person | predicted))
    iou = int(np.count_nonzero(person & predicted)) / both if both else 1.0
    if iou < LEAST_IOU:
        yield Fault("unlike-model", severity(-iou, -LEAST_IOU, 0), f"has an IoU of {iou:.2f} with the model's mask")
    least_px = max(LEAST_SHARE * np.count_nonzero(person), LEAST_AREA * person.size)
    yield from cores(
        "missed-person",
        "leaves out a region that the model takes for a person",
        (chances >= SURE) & ~person & ~uncounted,
        least_px,
        scale,
    )
    yield from cores(
        "no-person",
        "takes in a region that the model takes for background",
        (chances <= 1 - SURE) & person,
        least_px,
        scale,
    )


def cores(kind: str, found: str, differing: Mask, least_px: float, scale: float) -> Iterator[Fault]:
    """The largest region of a difference that is more than a matter of where the edge is."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * CORE_PX + 1, 2 * CORE_PX + 1))
    parts = parts_of(cv2.morphologyEx(differing.view(np.uint8), cv2.MORPH_OPEN, kernel).view(bool), 8)
    parts = chosen(parts, parts.areas_px >= least_px)
    if len(parts.areas_px):
        index = int(parts.areas_px.argmax())
        left, top, width, height = (round(value * scale) for value in parts.box(index))
        share = float(parts.areas_px[index] / differing.size)
        yield Fault(
            kind,
            severity(parts.areas_px[index] / least_px, 1, 5),
            f"{found}, {share:.1%} of the image",
            (left, top, width, height),
        )
