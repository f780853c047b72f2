"""A drawn photograph of a person with its exact mask, and ways to spoil the mask, for tests of the label check."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from curate.masks import PERSON, Mask, Target
from label.findings.outline import signed_distance

HEIGHT, WIDTH = 320, 420


def person_mask(side: int = 0) -> Mask:
    """(H, W) of a head, a body, one raised arm and two legs; `side` px to the right."""
    canvas = np.zeros((HEIGHT, WIDTH), np.uint8)
    middle = WIDTH // 2 - 20 + side
    cv2.ellipse(canvas, (middle, 70), (26, 34), 0, 0, 360, 1, -1)
    cv2.ellipse(canvas, (middle, 165), (52, 78), 0, 0, 360, 1, -1)
    cv2.line(canvas, (middle + 30, 130), (middle + 95, 70), 1, 22)
    cv2.line(canvas, (middle - 22, 220), (middle - 34, 305), 1, 26)
    cv2.line(canvas, (middle + 22, 220), (middle + 30, 305), 1, 26)
    return canvas.astype(bool)


def photograph(mask: Mask, seed: int = 0) -> NDArray[np.uint8]:
    """(H, W, 3) RGB: the person in warm colours before a green and blue background, both uneven, with noise."""
    rng = np.random.default_rng(seed)
    uneven = cv2.GaussianBlur(rng.normal(size=(*mask.shape, 3)).astype(np.float32), (0, 0), 25) * 400
    colours = np.where(mask[..., None], (190, 120, 90), (80, 130, 150)) + uneven
    soft = cv2.GaussianBlur(colours.astype(np.float32), (0, 0), 0.8)
    return np.asarray((soft + rng.normal(0, 3, soft.shape)).clip(0, 255), np.uint8)


def target(mask: Mask) -> Target:
    """The target of a mask."""
    return np.where(mask, np.uint8(PERSON), np.uint8(0))


def moved(mask: Mask, right: int, down: int) -> Mask:
    """The mask moved; what leaves the image is lost."""
    matrix = np.array([[1, 0, right], [0, 1, down]], np.float32)
    return np.asarray(cv2.warpAffine(mask.view(np.uint8), matrix, mask.shape[::-1], flags=cv2.INTER_NEAREST) > 0)


def drawn_off(mask: Mask, radius: float) -> Mask:
    """The mask grown by so many px, shrunk where negative."""
    return np.asarray(signed_distance(mask) < radius)


def of_another(mask: Mask) -> Mask:
    """The mask of somebody who stands elsewhere."""
    canvas = np.zeros(mask.shape, np.uint8)
    cv2.ellipse(canvas, (60, 240), (30, 55), 10, 0, 360, 1, -1)
    return canvas.astype(bool)


def with_hole(mask: Mask) -> Mask:
    """The mask with a round hole in the body."""
    canvas = mask.astype(np.uint8)
    cv2.circle(canvas, (WIDTH // 2 - 20, 165), 25, 0, -1)
    return canvas.astype(bool)


def cut_off(mask: Mask) -> Mask:
    """The mask without all that is below a level line through the body."""
    kept = mask.copy()
    kept[180:] = False
    return kept


def spotted(mask: Mask) -> Mask:
    """The mask with two specks beside it and three pinholes in it."""
    spots = mask.copy()
    spots[10:12, 10:12] = spots[300, 400] = True
    spots[150, 180] = spots[160, 185] = spots[170:172, 190] = False
    return spots


def enlarged(mask: Mask) -> Mask:
    """The mask as if it had been drawn eight times smaller."""
    small = cv2.resize(mask.view(np.uint8), (WIDTH // 8, HEIGHT // 8), interpolation=cv2.INTER_NEAREST)
    return np.asarray(cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST) > 0)


def of_few_corners(mask: Mask) -> Mask:
    """The mask as a polygon drawn in haste."""
    contours, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    corners = cv2.approxPolyDP(contours[0], 10, closed=True)
    return np.asarray(cv2.fillPoly(np.zeros(mask.shape, np.uint8), [corners], 1) > 0)


def toothed(mask: Mask) -> Mask:
    """The mask with an outline that runs to and fro."""
    noise = cv2.GaussianBlur(np.random.default_rng(3).normal(size=mask.shape).astype(np.float32), (0, 0), 1.5)
    return np.asarray(signed_distance(mask) + 4 * noise / noise.std() < 0)


SPOILED: dict[str, tuple[str, Callable[[Mask], Mask]]] = {
    "full": ("full", np.ones_like),
    "inverted": ("inverted", np.logical_not),
    "moved right and down": ("shifted", lambda mask: moved(mask, 12, 9)),
    "moved left": ("shifted", lambda mask: moved(mask, -15, 0)),
    "shrunk": ("tight", lambda mask: drawn_off(mask, -11)),
    "grown": ("loose", lambda mask: drawn_off(mask, 11)),
    "upside down": ("turned", lambda mask: mask[::-1, ::-1].copy()),
    "mirrored": ("turned", lambda mask: mask[:, ::-1].copy()),
    "another's": ("misplaced", of_another),
    "hole": ("gap", with_hole),
    "cut": ("cut", cut_off),
    "spots": ("specks", spotted),
    "pinholes": ("holes", spotted),
    "enlarged": ("stairs", enlarged),
    "hasty": ("coarse", of_few_corners),
    "toothed": ("jagged", toothed),
}
"""A way to spoil a mask, and the kind of fault it is found as."""
