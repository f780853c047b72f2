"""Contact sheets: how tiles are laid out, tinted and captioned."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from curate.sheet import (
    GAP,
    MARGIN,
    OUTLINE,
    ROW_HEIGHT,
    WIDTH,
    Strip,
    Tile,
    draw_sheet,
    font,
    lay_out,
    overlay,
    tile_aspect,
    wrap,
)

ROOM = WIDTH - 2 * MARGIN


def tile(height: int = 40, width: int = 60, caption: str = "") -> Tile:
    """A grey picture."""
    return Tile(caption, np.full((height, width, 3), 100, np.uint8))


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.integers(1, 400), st.integers(1, 400)), max_size=60), st.integers(1, 5))
def test_rows_fit_the_page_and_keep_the_order(sizes: list[tuple[int, int]], most: int) -> None:
    tiles = [tile(height, width) for height, width in sizes]
    rows = lay_out(tiles, most)
    laid = [one for row in rows for one in row.tiles]
    assert len(rows) <= most
    assert [id(one) for one in laid] == [id(one) for one in tiles[: len(laid)]]
    for row in rows:
        width = sum(int(tile_aspect(one) * row.height_px) for one in row.tiles) + GAP * (len(row.tiles) - 1)
        assert width <= ROOM
        assert row.height_px <= ROW_HEIGHT
    for row in rows[:-1]:
        width = sum(tile_aspect(one) * row.height_px for one in row.tiles) + GAP * (len(row.tiles) - 1)
        assert width > ROOM - 0.05 * ROOM
    assert len(laid) == len(tiles) or len(rows) == most


def test_the_person_is_tinted_and_outlined_and_the_rest_left_alone() -> None:
    photo = np.full((60, 60, 3), 100, np.uint8)
    target = np.zeros((60, 60), np.uint8)
    target[20:40, 20:40], target[:, 50:] = 255, 128
    before = photo.copy()
    drawn = overlay(photo, target, (60, 60))
    assert (photo == before).all()
    assert tuple(drawn[5, 5]) == (100, 100, 100)
    assert drawn[30, 30, 1] > 110 > drawn[30, 30, 0]
    assert tuple(drawn[20, 30]) == OUTLINE
    assert drawn[5, 55, 0] == pytest.approx(135, abs=1)
    assert (overlay(photo, None, (60, 60)) == photo).all()


def test_a_sheet_of_nothing_is_still_a_page() -> None:
    page = draw_sheet("0 of 0 images", "", [Strip("kept: 0", "", [], 3)])
    assert page.size[0] == WIDTH


def test_a_tile_without_a_picture_shows_its_reason() -> None:
    page = draw_sheet("title", "remark", [Strip("unreadable: 1", "", [Tile("a.jpg: is not an image", None)], 1)])
    empty = draw_sheet("title", "remark", [Strip("unreadable: 1", "", [Tile("", None)], 1)])
    assert (np.asarray(page) != np.asarray(empty)).any()


@pytest.mark.parametrize(
    ("text", "most"),
    [("one two three four five six seven eight", 2), ("a/very/long/path/to/a/file.png: damaged", 2), ("x" * 99, 3)],
)
def test_text_is_wrapped_within_its_width(text: str, most: int) -> None:
    draw = ImageDraw.Draw(Image.new("RGB", (10, 10)))
    lines = wrap(draw, text, 90, most)
    assert 1 <= len(lines) <= most
    assert lines[-1].endswith("...")
    assert all(draw.textlength(line, font(13)) <= 90 for line in lines)


def test_the_same_tiles_give_the_same_page() -> None:
    strips = [Strip("kept: 2", "2 train", [tile(caption="20 %, 1 person"), tile(80, 40)], 1)]
    assert draw_sheet("t", "r", strips).tobytes() == draw_sheet("t", "r", strips).tobytes()
