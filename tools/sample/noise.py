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


def _lattice(length: int, cell: int) -> tuple[Ints, Ints]:
    """For each of `length` px the lattice line before it, and how far on it is in 1/256, eased at both ends."""
    places = np.arange(length, dtype=np.int32)
    share = places % cell * 256 // cell
    eased = share * share * (768 - 2 * share) >> 16
    return places // cell, eased.astype(np.int32)


def value_noise(rng: np.random.Generator, size_hw: tuple[int, int], cell_hw: tuple[int, int]) -> Bytes:
    """Smooth noise (H, W) in [0, 255]; `cell_hw` is the size in px of one bump."""
    (rows, down), (columns, right) = (_lattice(n, max(cell, 1)) for n, cell in zip(size_hw, cell_hw, strict=True))
    grid = rng.integers(0, 256, (int(rows[-1]) + 2, int(columns[-1]) + 2), dtype=np.uint8).astype(np.int32)
    lines = grid[rows] * (256 - down[:, None]) + grid[rows + 1] * down[:, None] >> 8
    return (lines[:, columns] * (256 - right) + lines[:, columns + 1] * right >> 8).astype(np.uint8)


def soften(field: Bytes, reach: int) -> Bytes:
    """Mean over (2 * reach + 1) px squares, the edge repeated; (H, W) or (H, W, C)."""
    side = 2 * reach + 1
    # cv2.blur divides in floats, differently on different processors; sums are exact.
    sums = cv2.boxFilter(field, cv2.CV_32S, (side, side), normalize=False, borderType=cv2.BORDER_REPLICATE)
    return ((sums + side * side // 2) // (side * side)).astype(np.uint8)


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
