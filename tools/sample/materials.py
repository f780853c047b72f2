"""What surfaces look like: a colour, a pattern, a weave and folds, rendered for a box of canvas pixels."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from tools.sample.noise import Bytes, Colour, Ints, grain, value_noise

Box: TypeAlias = tuple[int, int, int, int]
Pattern: TypeAlias = Callable[[Ints, Ints, int, np.random.Generator], Ints]


@dataclass(frozen=True)
class Material:
    """A surface.

    Attributes:
        colour: RGB of the ground.
        second: RGB of the pattern.
        pattern: a key of `PATTERNS`.
        period: repeat of the pattern, in units of the thing drawn (one head height for people).
        weave: strength of the fine noise, in grey levels.
        folds: strength of the broad light and dark folds, in grey levels.
    """

    colour: Colour
    second: Colour = (0, 0, 0)
    pattern: str = "plain"
    period: float = 0.3
    weave: int = 5
    folds: int = 0


def _plain(u: Ints, v: Ints, period: int, rng: np.random.Generator) -> Ints:
    return np.zeros(u.shape, np.int32)


def _hoops(u: Ints, v: Ints, period: int, rng: np.random.Generator) -> Ints:
    return np.where(v % period * 2 < period, 256, 0).astype(np.int32)


def _pinstripes(u: Ints, v: Ints, period: int, rng: np.random.Generator) -> Ints:
    return np.where(u % period * 4 < period, 200, 0).astype(np.int32)


def _checks(u: Ints, v: Ints, period: int, rng: np.random.Generator) -> Ints:
    return ((u % period * 2 < period).astype(np.int32) + (v % period * 2 < period)) * 110


def _dots(u: Ints, v: Ints, period: int, rng: np.random.Generator) -> Ints:
    shifted = u + (v // period % 2) * (period // 2)
    du, dv = shifted % period - period // 2, v % period - period // 2
    return np.where((du * du + dv * dv) * 12 < period * period, 256, 0).astype(np.int32)


def _knit(u: Ints, v: Ints, period: int, rng: np.random.Generator) -> Ints:
    zigzag = np.abs(u % max(period // 3, 2) - period // 6)
    return ((v + zigzag) % max(period // 4, 2) * 640 // max(period, 1)).astype(np.int32)


def _twill(u: Ints, v: Ints, period: int, rng: np.random.Generator) -> Ints:
    worn = value_noise(rng, (u.shape[0], u.shape[1]), (2 * period, period)).astype(np.int32)
    return (u + v) % 3 * 24 + worn // 3


def _patches(u: Ints, v: Ints, period: int, rng: np.random.Generator) -> Ints:
    field = value_noise(rng, (u.shape[0], u.shape[1]), (period, period)).astype(np.int32)
    return np.clip((field - 120) * 24, 0, 256).astype(np.int32)


def _strands(u: Ints, v: Ints, period: int, rng: np.random.Generator) -> Ints:
    fine = value_noise(rng, (u.shape[0], u.shape[1]), (max(period, 6), 2)).astype(np.int32)
    broad = value_noise(rng, (u.shape[0], u.shape[1]), (2 * period + 4, max(period // 3, 3))).astype(np.int32)
    return fine * 5 // 8 + broad * 3 // 8


def _fur(u: Ints, v: Ints, period: int, rng: np.random.Generator) -> Ints:
    fine = value_noise(rng, (u.shape[0], u.shape[1]), (2, 4)).astype(np.int32)
    broad = value_noise(rng, (u.shape[0], u.shape[1]), (max(period, 3), max(period, 3))).astype(np.int32)
    return fine // 2 + np.clip((broad - 128) * 3 // 2 + 64, 0, 128)


def _shade(u: Ints, v: Ints, period: int, rng: np.random.Generator) -> Ints:
    return np.clip(v * 256 // (period * 8), 0, 256).astype(np.int32)


PATTERNS: dict[str, Pattern] = {
    "plain": _plain,
    "hoops": _hoops,
    "pinstripes": _pinstripes,
    "checks": _checks,
    "dots": _dots,
    "knit": _knit,
    "twill": _twill,
    "patches": _patches,
    "strands": _strands,
    "fur": _fur,
    "shade": _shade,
}


def _surface_axes(box: Box, origin_xy: tuple[int, int], degrees: float) -> tuple[Ints, Ints]:
    """Coordinates across (u) and along (v) the thing, in px, for every pixel of the box."""
    x0, y0, x1, y1 = box
    x, y = np.arange(x0, x1, dtype=np.int32) - origin_xy[0], np.arange(y0, y1, dtype=np.int32) - origin_xy[1]
    c, s = round(256 * math.cos(math.radians(degrees))), round(256 * math.sin(math.radians(degrees)))
    u = (x[None, :] * c - y[:, None] * s) >> 8
    v = (x[None, :] * s + y[:, None] * c) >> 8
    return u.astype(np.int32), v.astype(np.int32)


def _folds(rng: np.random.Generator, size_hw: tuple[int, int], unit_px: float, strength: int) -> Ints:
    """Sharp-edged creases (H, W) around 0: the noise is folded at its middle."""
    cell = max(round(0.55 * unit_px), 4), max(round(0.22 * unit_px), 3)
    field = value_noise(rng, size_hw, cell).astype(np.int32)
    return (64 - np.abs(field - 128)) * strength // 64


def render(
    material: Material,
    box: Box,
    *,
    origin_xy: tuple[int, int],
    degrees: float,
    unit_px: float,
    rng: np.random.Generator,
) -> Ints:
    """Colours (h, w, 3) of the box, unlit, about [0, 255] but not clipped."""
    size_hw = (box[3] - box[1], box[2] - box[0])
    u, v = _surface_axes(box, origin_xy, degrees)
    period = max(round(material.period * unit_px), 4)
    weight = PATTERNS[material.pattern](u, v, period, rng)[..., None]
    ground, second = np.array(material.colour, np.int32), np.array(material.second, np.int32)
    relief = grain(rng, size_hw, material.weave)
    if material.folds:
        relief = relief + _folds(rng, size_hw, unit_px, material.folds)
    return (ground + ((second - ground) * weight >> 8) + relief[..., None]).astype(np.int32)


def as_image(colours: Ints) -> Bytes:
    """Colours clipped to uint8."""
    return np.clip(colours, 0, 255).astype(np.uint8)
