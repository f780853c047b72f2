"""What the values of a mask file mean, whatever tool wrote it: binary, alpha, instances, classes, matrices."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curate import masks
from curate.errors import FormatError
from curate.images import is_inverted_palette, read_indices
from curate.masks import Target, value_counts
from curate.sources.matlab import read_matrix

MASK_SUFFIXES = frozenset({".png", ".mat", ".bmp", ".tif", ".tiff", ".gif", ".jpg", ".jpeg", ".webp"})
JPEG_SUFFIXES = frozenset({".jpg", ".jpeg"})
VOID = 255
MOST_INSTANCES = 100
"""Consecutive ids up to here are read as instances; more are hardly people."""
BLACK, WHITE = 8, 248
"""Grey levels below the one are black and from the other on white, give or take what compression does."""
JPEG_BLOCK_PX = 8
"""JPEG blurs an edge within its own block."""
SOFT_LEVELS, SOFT_SHARE = 64, 0.25
"""A soft edge has at least so many levels of grey, more than there are classes in a picture, and covers no more."""
SOFT = "masks have soft edges; a person is what is at least half white"


@dataclass(frozen=True)
class PairMask:
    """A mask file understood.

    Attributes:
        target: At the mask's own size.
        figures_px: Pixels of each person that is told apart; one figure where people are not.
        reading: How it was read, where that is a guess the user should know of; else empty.
    """

    target: Target
    figures_px: tuple[int, ...]
    reading: str = ""

    @property
    def people(self) -> int:
        """How many people it shows, of whatever size."""
        return len(self.figures_px)


def one_person(person: masks.Mask, void: masks.Mask | None = None, reading: str = "") -> PairMask:
    """A mask of one person, or of nobody where no pixel is set."""
    pixels = int(np.count_nonzero(person))
    return PairMask(masks.target_of(person, void), (pixels,) * bool(pixels), reading)


def read_mask(path: Path, values: frozenset[int]) -> PairMask:
    """A mask file of any of the known kinds.

    Args:
        path: `.mat`, or an image Pillow reads.
        values: The values that are a person; empty to tell from the mask itself.

    Raises:
        FormatError: The file is damaged, or its values are of none of the known kinds.
    """
    if path.suffix.lower() == ".mat":
        matrix = read_matrix(path)
        return one_person(np.isin(matrix, list(values)) if values else matrix > 0)
    stored = read_indices(path)
    indices = stored if stored.ndim == 2 else single_channel(path, stored)
    if path.suffix.lower() in JPEG_SUFFIXES:
        return understand_jpeg(path, indices, values)
    return understand(path, indices.view(np.uint8) if indices.dtype == bool else indices, values)


def single_channel(path: Path, stored: NDArray[np.integer]) -> NDArray[np.integer]:
    """The channel of a colour image that is the mask: alpha where it is used, else grey.

    Raises:
        FormatError: The image has colours.
    """
    channels = stored.shape[2]
    alpha = stored[..., -1] if channels in (2, 4) else None
    if alpha is not None and alpha.min() < 255:
        return np.where(alpha >= 128, np.uint8(255), np.uint8(0))
    colours = stored[..., :3] if channels >= 3 else stored[..., :1]
    if (colours != colours[..., :1]).any():
        raise FormatError(
            path,
            "is a colour image; expected grey levels, palette indices or alpha. "
            "Save one value per class, as grey levels or a palette PNG, and name the person's with --person",
        )
    return np.ascontiguousarray(colours[..., 0])


def understand(path: Path, indices: NDArray[np.integer], values: frozenset[int]) -> PairMask:
    """A label image's meaning from the values in it (H, W).

    With `values` these are a person and 255 is void. Without: {0, 255}, {0, 1} and {0, 65535} are one person,
    {0, 128, 255} is a target of ours, consecutive ids from 1 are instances (255 beside them is void), and black and
    white with soft edges is one person.

    Raises:
        FormatError: None of these; the message names the values found.
    """
    if values:
        return one_person(np.isin(indices, list(values)), (indices == VOID) if VOID not in values else None)
    found = value_counts(indices)
    ids = [value for value in found if value]
    if ids in ([], [1]) and is_inverted_palette(path):
        raise FormatError(
            path, "has a palette of white at 0 and black at 1, so who is the person? Save it in grey, people white"
        )
    if ids in ([], [255], [128, 255], [128], [65535]):
        return one_person(indices >= 255, indices == 128)
    instances = [value for value in ids if value != VOID]
    if instances == list(range(1, len(instances) + 1)) and len(instances) <= MOST_INSTANCES:
        reading = "masks hold ids from 1 on, each read as one person" if len(instances) > 1 else ""
        target = masks.target_of((indices > 0) & (indices != VOID), indices == VOID)
        return PairMask(target, tuple(found[value] for value in instances), reading)
    if is_soft(found):
        return one_person(indices >= 128, reading=SOFT)
    listed = ", ".join(map(str, list(found)[:6])) + (", ..." if len(found) > 6 else "")
    advice = "Expected {0, 255}, {0, 1}, alpha or ids 1, 2, 3, ...; name the person's values with --person"
    raise FormatError(path, f"holds the values {listed}. {advice}")


def is_soft(found: dict[int, int]) -> bool:
    """Whether values with their numbers of pixels are black and white with soft edges.

    Class masks have far fewer values than a soft edge has levels; many instances cover far more.
    """
    between = [count for value, count in found.items() if BLACK <= value < WHITE]
    white = sum(count for value, count in found.items() if WHITE <= value <= 255)
    few = sum(between) <= SOFT_SHARE * sum(found.values())
    return max(found) <= 255 and white > 0 and len(between) >= SOFT_LEVELS and few


def understand_jpeg(path: Path, levels: NDArray[np.integer], values: frozenset[int]) -> PairMask:
    """A black and white mask that was saved as a JPEG, which blurs each edge a little.

    Raises:
        FormatError: It has greys away from every edge, or nothing white, or `values` other than white are asked for:
            its values are lost.
    """
    person = levels >= 128
    near_edge = masks.grow(person, JPEG_BLOCK_PX) & masks.grow(~person, JPEG_BLOCK_PX)
    grey = (levels >= BLACK) & (levels < WHITE) & ~near_edge
    if grey.any() or 0 < levels.max() < WHITE or (values and 255 not in values):
        raise FormatError(path, "is a JPEG, which blurs values; only black and white survive it. Save masks as PNG")
    return one_person(person, reading="masks are JPEGs; a person is what is at least half white")
