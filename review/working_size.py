"""Photographs and labels no larger than they are looked at: what is measured then means the same for all of them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from curate.masks import Target

WORK_SIDE_PX = 480
"""The longer side at most: edges of large photographs are blurred over many pixels."""


def smaller(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image (H, W, 3), or a probability map (H, W), at WORK_SIDE_PX by area average; as it is where no larger."""
    return _resized(pixels, cv2.INTER_AREA)


def smaller_labels(target: Target) -> Target:
    """A target (H, W) at WORK_SIDE_PX, each pixel the nearest one; as it is where no larger."""
    return _resized(target, cv2.INTER_NEAREST)


def _resized(pixels: NDArray[np.uint8], interpolation: int) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    scale = WORK_SIDE_PX / max(height, width)
    if scale >= 1:
        return pixels
    size_wh = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(pixels, size_wh, interpolation=interpolation), np.uint8)
