"""Under which conditions a photograph was taken, told from its pixels and its label. Pure functions on arrays.

All is measured at working size, so that a number means the same for a large photograph and a small one; noise, which
shrinking hides, at the photograph's own size.
"""

from __future__ import annotations

import math

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from curate.masks import IGNORE, PERSON, Mask, Target, band_width_px, bbox_xywh, grow
from review.geometry import neighbourhood
from review.working_size import smaller, smaller_labels

FEWEST_PIXELS = 30
"""Person and background are spoken of where each has so many pixels."""

HARDLY_SEEN = 10.0
"""Colours no farther apart than this, CIE 1976 in Lab, are hard to tell apart over an outline; 2.3 is just seen."""

EDGE = 40.0
"""Gradient, in grey levels a pixel, from which on a pixel of the background counts as an edge."""

BLUR_PX = 11
"""Width of the filter that sharpness is told by."""

BLOCK_PX = 16
"""Noise is told from the smoothest tenth of the squares of this side."""

EXPOSED = 16, 240
"""Grey levels between which noise shows; what is darker or lighter is clipped."""

IMMERKAER = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
"""Blind to constant, linear and quadratic brightness, so that what it answers to is noise (Immerkaer 1996)."""

Grey = NDArray[np.uint8]


class Conditions(msgspec.Struct, frozen=True):
    """What one photograph is like; None where it has too little of what is measured."""

    light: float
    """Median brightness of all pixels, [0, 1], as Rec. 601 has it; so are the three below."""
    person_light: float | None
    """Median of the person."""
    person_highlight: float | None
    """What the lightest 2 % of the person exceed; dark clothes leave it high, a light from behind does not."""
    background_highlight: float | None
    """What the lightest quarter of the background exceeds."""
    blending: float | None
    """Share of the outline whose two sides are of HARDLY_SEEN different colours, [0, 1]."""
    blur: float
    """How little the person and its surroundings lose by blurring, [0, 1] (Crete et al. 2007); high is out of focus."""
    noise: float
    """Standard deviation of the noise in grey levels of 255 (Immerkaer 1996)."""
    clutter: float | None
    """Share of the background's pixels that lie on an edge, [0, 1]."""


def measure(image: NDArray[np.uint8], target: Target) -> Conditions:
    """The conditions of a photograph.

    Args:
        image: (H, W, 3) RGB.
        target: (H, W) of 0, 128, 255; what is 128 belongs to neither side.
    """
    small, labels = smaller(image), smaller_labels(target)
    light = grey_of(small)
    person, background = labels == PERSON, labels == 0
    return Conditions(
        light=quantile(light, np.ones_like(person), 0.5) or 0.0,
        person_light=quantile(light, person, 0.5),
        person_highlight=quantile(light, person, 0.98),
        background_highlight=quantile(light, background, 0.75),
        blending=blending(small, labels),
        blur=blur(light, grow(person, 4) if person.any() else np.ones_like(person)),
        noise=noise(grey_of(image)),
        clutter=clutter(light, background),
    )


def grey_of(image: NDArray[np.uint8]) -> Grey:
    """The brightness (H, W) of an image (H, W, 3) RGB, as Rec. 601 has it."""
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def quantile(light: Grey, where: Mask, share: float) -> float | None:
    """The brightness, [0, 1], that a share of a mask's pixels does not exceed, as numpy.quantile has it."""
    counts = np.cumsum(np.bincount(light[where], minlength=256))
    if counts[-1] < FEWEST_PIXELS:
        return None
    rank = share * float(counts[-1] - 1)
    below, above = np.searchsorted(counts, [math.floor(rank), math.ceil(rank)], side="right")
    return float(below + (above - below) * (rank - math.floor(rank))) / 255


def blending(image: NDArray[np.uint8], target: Target) -> float | None:
    """How much of the outline hardly shows, as a share of its pixels; None where there is no outline.

    At each of them the mean colour of the person within the width of Boundary IoU's band is compared with that of the
    background, so that texture and a label a pixel off do not count as contrast.
    """
    person, background = target == PERSON, target == 0
    if min(np.count_nonzero(person), np.count_nonzero(background)) < FEWEST_PIXELS:
        return None
    width = 2 * band_width_px((target.shape[0], target.shape[1])) + 1
    near = neighbourhood(bbox_xywh(person), width)
    image, target, person, background = image[near], target[near], person[near], background[near]
    rim = cv2.morphologyEx(person.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    rim &= target != IGNORE
    lab = np.asarray(cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)
    inside, outside = (mean_around(lab, side, rim, width) for side in (person, background))
    apart = np.linalg.norm(inside - outside, axis=1)
    known = ~np.isnan(apart)
    return float((apart[known] < HARDLY_SEEN).mean()) if known.any() else None


def mean_around(values: NDArray[np.float32], side: Mask, at: Mask, width: int) -> NDArray[np.float32]:
    """The means (N, C) of the values where `side` is set, in a window around each of the N pixels where `at` is.

    NaN where there is no such pixel in the window.
    """
    weight = side.astype(np.float32)
    total = cv2.boxFilter(
        cv2.multiply(values, cv2.merge([weight] * values.shape[2])), -1, (width, width), normalize=False
    )
    count = cv2.boxFilter(weight, -1, (width, width), normalize=False)[at]
    return np.asarray(total[at] / np.where(count > 0.5, count, np.nan)[:, None], np.float32)


def blur(light: Grey, where: Mask) -> float:
    """What is left of the differences of neighbouring pixels after blurring, of the direction that is blurred more.

    Crete et al. (2007), "The blur effect: perception and estimation with a new no-reference perceptual blur metric".

    Args:
        light: (H, W) uint8.
        where: (H, W), the pixels that are looked at; 0 where there are none, or nothing differs.
    """
    left = []
    for axis, size_wh in ((0, (1, BLUR_PX)), (1, (BLUR_PX, 1))):
        smooth = np.asarray(cv2.blur(light, size_wh), np.int16)
        sharp_steps, smooth_steps = (np.abs(np.diff(one.astype(np.int16), axis=axis)) for one in (light, smooth))
        seen = where[1:] if axis == 0 else where[:, 1:]
        total = int(sharp_steps[seen].sum())
        lost = int(np.maximum(0, sharp_steps - smooth_steps)[seen].sum())
        left.append((total - lost) / total if total else 0.0)
    return max(left)


def noise(light: Grey) -> float:
    """The standard deviation of the noise in grey levels, where the image is smoothest and neither black nor white.

    Immerkaer (1996), "Fast noise variance estimation"; of the smoothest tenth of the squares instead of the whole, so
    that grass and cloth do not count as noise. 0 where there is no such square.
    """
    rows, columns = (size // BLOCK_PX for size in light.shape)
    if not rows or not columns:
        return 0.0
    answer = np.abs(cv2.filter2D(light.astype(np.float32), -1, IMMERKAER))
    answers, levels = (
        one[: rows * BLOCK_PX, : columns * BLOCK_PX].reshape(rows, BLOCK_PX, columns, BLOCK_PX).mean((1, 3))
        for one in (answer, light)
    )
    shown = answers[(levels > EXPOSED[0]) & (levels < EXPOSED[1])]
    return float(np.quantile(shown, 0.1)) * math.sqrt(math.pi / 2) / 6 if len(shown) else 0.0


def clutter(light: Grey, background: Mask) -> float | None:
    """The share of the background that lies on edges."""
    if np.count_nonzero(background) < FEWEST_PIXELS:
        return None
    across, down = (cv2.Sobel(light, cv2.CV_32F, *order) / 4 for order in ((1, 0), (0, 1)))
    return float((np.hypot(across, down)[background] > EDGE).mean())
