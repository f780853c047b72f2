"""A mask brought to its photograph's size, or refused with the likely reason."""

from __future__ import annotations

from pathlib import Path

from curate.errors import MismatchError
from curate.images import exif_orientation, fit_mask, same_aspect
from curate.masks import SizeHW, Target
from curate.sources import Note

RESIZED = "masks were resized to their image (nearest)"
ON_ITS_SIDE = range(5, 9)
"""EXIF orientations that swap height and width."""


def fit_target(target: Target, size_hw: SizeHW, mask: Path, photo: Path) -> tuple[Target, tuple[Note, ...]]:
    """The target at its photograph's size, with a Note where it had to be resized.

    Raises:
        MismatchError: The aspect ratio differs; says so where the mask was drawn on a photo that EXIF turns.
    """
    if target.shape == size_hw:
        return target, ()
    height, width = target.shape[:2]
    turn = 1 if same_aspect((height, width), size_hw) else exif_orientation(photo)
    if turn in ON_ITS_SIDE and same_aspect((width, height), size_hw):
        raise MismatchError(
            mask,
            f"a mask of {size_hw[0]}x{size_hw[1]} (HxW), the stored raster of its photo",
            f"{height}x{width}",
            f"It was drawn on the photo as EXIF orientation {turn} shows it; masks speak of the stored raster. "
            "Turn the mask, or store the photo upright",
        )
    return fit_mask(target, size_hw, mask), (Note(RESIZED, str(mask)),)
