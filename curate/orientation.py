"""Photographs as a viewer shows them: turned by the EXIF orientation they carry.

Annotations and masks speak of the stored raster (`curate.images`). Where a photograph is looked at, by people or by a
model that has learnt from people who stand upright, it is turned, and what was found is turned back.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.images import exif_orientation, read_image

TURNS = {2: "h", 3: "vh", 4: "v", 5: "t", 6: "th", 7: "tvh", 8: "tv"}
"""What makes a stored raster upright, one after the other: transposing (t), mirroring up and down (v), and left and
right (h). Orientation 1, and whatever is none, leaves it as it is."""

_STEPS = {
    "t": lambda raster: raster.swapaxes(0, 1),
    "v": lambda raster: raster[::-1],
    "h": lambda raster: raster[:, ::-1],
}


def upright(raster: NDArray[Any], orientation: int) -> NDArray[Any]:
    """A stored raster (H, W) or (H, W, C) as its EXIF orientation shows it.

    >>> upright(np.array([[1, 2], [3, 4]]), 6)
    array([[3, 1],
           [4, 2]])
    """
    return _turned(raster, TURNS.get(orientation, ""))


def as_stored(raster: NDArray[Any], orientation: int) -> NDArray[Any]:
    """What was upright as it is stored: the inverse of `upright`."""
    return _turned(raster, TURNS.get(orientation, "")[::-1])


def _turned(raster: NDArray[Any], steps: str) -> NDArray[Any]:
    for step in steps:
        raster = _STEPS[step](raster)
    return np.ascontiguousarray(raster)


def read_upright(path: Path) -> tuple[NDArray[np.uint8], int]:
    """A photograph (H, W, 3) uint8 RGB as a viewer shows it, and the orientation by which it was turned.

    Raises:
        MissingError, FormatError: As `curate.images.read_image`.
    """
    orientation = exif_orientation(path)
    return upright(read_image(path), orientation), orientation
