"""Photographs are turned as Pillow turns them, and turned back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from curate.orientation import as_stored, read_upright, upright

STORED = np.random.default_rng(0).integers(0, 256, (3, 5, 3), dtype=np.uint8)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_is_what_pillow_shows(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(STORED).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as image:
        shown = np.array(ImageOps.exif_transpose(image))
    image, told = read_upright(tmp_path / "a.png")
    assert told == orientation
    assert np.array_equal(image, shown)
    assert np.array_equal(upright(STORED, orientation), shown)
    assert np.array_equal(as_stored(upright(STORED, orientation), orientation), STORED)


@pytest.mark.parametrize("orientation", [0, 1, 9, -3])
def test_what_is_no_turn_turns_nothing(orientation: int) -> None:
    assert np.array_equal(upright(STORED, orientation), STORED)
