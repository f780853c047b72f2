"""Masks drawn as text, so that a test shows what it is about."""

from __future__ import annotations

import numpy as np

from curate.masks import Mask, Target


def mask(drawing: str) -> Mask:
    """A mask from rows of '#' (set) and '.' (not set).

    >>> mask(".#\\n##").tolist()
    [[False, True], [True, True]]
    """
    return np.array([[symbol == "#" for symbol in row.strip()] for row in drawing.strip().splitlines()])


def target(drawing: str) -> Target:
    """A target from rows of '#' (255 person), '.' (0 background) and 'o' (128 not counted)."""
    values = {"#": 255, ".": 0, "o": 128}
    return np.array([[values[symbol] for symbol in row.strip()] for row in drawing.strip().splitlines()], np.uint8)
