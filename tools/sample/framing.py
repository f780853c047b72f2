"""Where the people of a scene stand and how large they are, so that together they fill a wanted share of it."""

from dataclasses import dataclass

import numpy as np

from tools.sample.canvas import fill
from tools.sample.figures import Part, Spot, placed
from tools.sample.geometry import Shape, bounds
from tools.sample.noise import chance, uniform

COARSE = 0.25
"""Shares of area are estimated at this many px per image px."""


@dataclass(frozen=True)
class Frame:
    """How one figure is set into the picture, in shares of its width and height."""

    middle_x: float
    top: float
    floor: float
    size: float
    """Head height relative to the other people's."""


def silhouette(parts: list[Part]) -> Shape:
    """The outlines of the person alone, without what they hold."""
    return tuple(outline for part in parts if part.owner == "person" for outline in part.shape)


def draw_frames(rng: np.random.Generator, people: int, intent: str) -> list[Frame]:
    """Frames for the people of a scene, from left to right in random order of depth."""
    top = uniform(rng, -0.16, 0.0) if intent == "large" else uniform(rng, 0.02, 0.12)
    frames = []
    for i in range(people):
        middle = (i + uniform(rng, 0.35, 0.65)) / people
        if people == 1:
            middle = uniform(rng, 0.32, 0.68)
            if intent in ("fit", "small") and chance(rng, 0.25):
                middle = uniform(rng, 0.02, 0.98)
        if people == 2 and chance(rng, 0.6):
            middle = 0.5 + (middle - 0.5) * uniform(rng, 0.45, 0.9)
        floor = uniform(rng, 0.86, 0.99) if intent != "small" else uniform(rng, 0.7, 0.97)
        frames.append(Frame(middle, top + uniform(rng, 0, 0.06) * i, floor, uniform(rng, 0.8, 1.15)))
    return [frames[int(i)] for i in rng.permutation(people)]


def spot_at(shape: Shape, frame: Frame, head_px: float, size_hw: tuple[int, int]) -> Spot:
    """The whole figure stands on the floor where it fits, otherwise it is cropped below."""
    h, w = size_hw
    x0, y0, x1, y1 = bounds(shape)
    size = head_px * frame.size
    middle = 0.22 * (x0 + x1)
    whole = (y1 - y0) * size <= (frame.floor - frame.top) * h
    y = frame.floor * h - y1 * size if whole else frame.top * h - y0 * size
    return Spot(round(frame.middle_x * w - middle * size, 2), round(y, 2), round(size, 2))


def _covered(shapes: list[Shape], spots: list[Spot], size_hw: tuple[int, int]) -> float:
    """Share of the picture under the union of the figures."""
    h, w = round(size_hw[0] * COARSE), round(size_hw[1] * COARSE)
    union = np.zeros((h, w), bool)
    for shape, spot in zip(shapes, spots, strict=True):
        union |= fill(placed(shape, spot, COARSE), (0, 0, w, h)) >= 128
    return float(union.sum()) / (h * w)


def fit_spots(
    shapes: list[Shape], frames: list[Frame], share: float, size_hw: tuple[int, int], largest: float
) -> list[Spot]:
    """Spots at which the figures cover about `share` of the picture: the best of a ladder of sizes.

    A cropped figure does not always cover more when it grows, so the ladder is climbed as a whole, up to heads of
    `largest` picture heights.
    """
    best: list[Spot] = []
    least = 2.0
    head_px = 3.0
    while head_px < largest * size_hw[0]:
        spots = [spot_at(s, f, head_px, size_hw) for s, f in zip(shapes, frames, strict=True)]
        miss = round(abs(_covered(shapes, spots, size_hw) - share), 4)
        if miss < least:
            best, least = spots, miss
        head_px = round(head_px * 1.09, 3)
    return best
