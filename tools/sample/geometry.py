"""Closed outlines as (N, 2) float arrays of (x, y). No drawing, no randomness."""

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Points: TypeAlias = NDArray[np.float64]
Shape: TypeAlias = tuple[Points, ...]


def direction(degrees: float) -> Points:
    """Unit vector (2,) for an angle from straight down, positive towards +x: 0 is down, 90 right, 180 up."""
    angle = math.radians(degrees)
    return np.array([math.sin(angle), math.cos(angle)])


def degrees_of(vector: Points) -> float:
    """The angle whose `direction` points along `vector`."""
    return math.degrees(math.atan2(float(vector[0]), float(vector[1])))


def across(vector: Points) -> Points:
    """`vector` (2,) turned by a right angle."""
    return np.array([vector[1], -vector[0]])


def rotate(points: Points, degrees: float, centre: Points) -> Points:
    """`points` turned about `centre`, clockwise on the screen (y points down)."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn: Points = np.array([[c, s], [-s, c]])
    return np.asarray((points - centre) @ turn + centre)


def ellipse(centre: Points, rx: float, ry: float, degrees: float = 0.0, count: int = 24) -> Points:
    """Outline (count, 2) of an ellipse, its axes turned by `degrees`."""
    angles = [2 * math.pi * i / count for i in range(count)]
    ring = np.array([[rx * math.cos(a), ry * math.sin(a)] for a in angles]) + centre
    return rotate(ring, degrees, centre) if degrees else ring


def capsule(start: Points, end: Points, start_radius: float, end_radius: float, count: int = 8) -> Points:
    """Outline of a tapered limb with round ends."""
    along = degrees_of(end - start) if np.any(end != start) else 0.0
    far = [end + end_radius * direction(along + 90 - 180 * i / count) for i in range(count + 1)]
    near = [start + start_radius * direction(along - 90 - 180 * i / count) for i in range(count + 1)]
    return np.array(far + near)


def limb(points: Sequence[Points], radii: Sequence[float]) -> Shape:
    """Capsules from point to point; radii has one entry per point."""
    pairs = zip(points[:-1], points[1:], radii[:-1], radii[1:], strict=True)
    return tuple(capsule(p, q, rp, rq) for p, q, rp, rq in pairs)


def between(start: Points, end: Points, share: float) -> Points:
    """The point that far along the way from `start` (0) to `end` (1)."""
    return start + (end - start) * share


def smooth(corners: Points, steps: int = 5) -> Points:
    """Closed Catmull-Rom curve (N * steps, 2) through `corners` (N, 2)."""
    before, after, later = (np.roll(corners, k, axis=0) for k in (1, -1, -2))
    pieces = []
    for i in range(steps):
        t = i / steps
        a, b = -0.5 * t + t * t - 0.5 * t**3, 1 - 2.5 * t * t + 1.5 * t**3
        c, d = 0.5 * t + 2 * t * t - 1.5 * t**3, -0.5 * t * t + 0.5 * t**3
        pieces.append(a * before + b * corners + c * after + d * later)
    return np.stack(pieces, axis=1).reshape(-1, 2)


def rectangle(x0: float, y0: float, x1: float, y1: float) -> Points:
    """Corners (4, 2) of an upright box."""
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], dtype=float)


def bounds(shape: Sequence[Points]) -> tuple[float, float, float, float]:
    """x0, y0, x1, y1 around all outlines."""
    every = np.concatenate(list(shape))
    low, high = every.min(axis=0), every.max(axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])
