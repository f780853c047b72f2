"""Random fields in integer arithmetic, and the few random choices everything else is made of."""

from collections.abc import Sequence
from typing import TypeAlias, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

Bytes: TypeAlias = NDArray[np.uint8]
Ints: TypeAlias = NDArray[np.int32]
Colour: TypeAlias = tuple[int, int, int]
T = TypeVar("T")


def scene_rng(seed: int, scene: int, attempt: int) -> np.random.Generator:
    """The one generator of a scene; `attempt` counts redraws of a scene that missed its intent."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, scene, attempt])))


def uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A float in [low, high), rounded so that later arithmetic starts from few digits."""
    return round(low + (high - low) * float(rng.random()), 4)


def chance(rng: np.random.Generator, share: float) -> bool:
    """True in that share of draws."""
    return float(rng.random()) < share


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """One of the options."""
    return options[int(rng.integers(len(options)))]


def jitter(rng: np.random.Generator, colour: Colour, spread: int) -> Colour:
    """`colour` with each channel moved by at most `spread`, kept in [0, 255]."""
    moved = np.clip(np.array(colour) + rng.integers(-spread, spread + 1, 3), 0, 255)
    return int(moved[0]), int(moved[1]), int(moved[2])


def blend(first: Colour, second: Colour, share: float) -> Colour:
    """The colour that far from `first` (0) to `second` (1)."""
    r, g, b = (round(p + (q - p) * share) for p, q in zip(first, second, strict=True))
    return r, g, b


def value_noise(rng: np.random.Generator, size_hw: tuple[int, int], cell_hw: tuple[int, int]) -> Bytes:
    """Smooth noise (H, W) in [0, 255]; `cell_hw` is the size in px of one bump."""
    (h, w), (ch, cw) = size_hw, cell_hw
    grid = rng.integers(0, 256, (h // max(ch, 1) + 3, w // max(cw, 1) + 3), dtype=np.uint8)
    wide = cv2.resize(grid, (grid.shape[1] * max(cw, 1), grid.shape[0] * max(ch, 1)), interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(wide[max(ch, 1) : max(ch, 1) + h, max(cw, 1) : max(cw, 1) + w], dtype=np.uint8)


def soften(field: Bytes, reach: int) -> Bytes:
    """Mean over (2 * reach + 1) px squares, the edge repeated; (H, W) or (H, W, C)."""
    side = (2 * reach + 1, 2 * reach + 1)
    return np.asarray(cv2.blur(field, side, borderType=cv2.BORDER_REPLICATE), dtype=np.uint8)


def clouds(rng: np.random.Generator, size_hw: tuple[int, int], cell: int, octaves: int = 4) -> Bytes:
    """Noise (H, W) in [0, 255] summed over `octaves`, each half as large and half as strong."""
    total = np.zeros(size_hw, np.int32)
    weights = 0
    for k in range(octaves):
        side = max(cell >> k, 1)
        total += value_noise(rng, size_hw, (side, side)).astype(np.int32) << (octaves - k)
        weights += 1 << (octaves - k)
    return (total // weights).astype(np.uint8)


def grain(rng: np.random.Generator, size_hw: tuple[int, int], strength: int) -> Ints:
    """Bell-shaped noise (H, W) around 0 with a standard deviation of about `strength`, from sums of bytes."""
    parts = rng.integers(0, 256, (3, *size_hw), dtype=np.uint8).astype(np.int32).sum(axis=0)
    return np.asarray((parts - 382) * strength // 128, dtype=np.int32)
