"""Contact sheets: how tiles are laid out, tinted and captioned."""

from __future__ import annotations

import re
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from curate.looking.sheet import (
    GAP,
    GROUND,
    HALO,
    HELD_HEIGHT,
    MARGIN,
    NARROWEST,
    OUTLINE,
    ROW_HEIGHT,
    WIDEST,
    WIDTH,
    Strip,
    Tile,
    cover_of,
    draw_sheet,
    fit_inside,
    font,
    lay_out,
    make_tile,
    overlay,
    shorten,
    tile_aspect,
    wrap,
    write_sheet,
)

ROOM = WIDTH - 2 * MARGIN


def photo(height: int = 40, width: int = 60, grey: int = 100) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """A grey picture."""
    return np.full((height, width, 3), grey, np.uint8)


def tile(height: int = 40, width: int = 60, caption: str = "", note: str = "") -> Tile:
    """A tile of a grey picture."""
    return Tile(caption, photo(height, width), note=note)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.integers(1, 400), st.integers(1, 400)), max_size=60), st.integers(1, 5))
def test_rows_fill_the_page_and_keep_the_order(sizes: list[tuple[int, int]], most: int) -> None:
    tiles = [tile(height, width) for height, width in sizes]
    rows = lay_out(tiles, most)
    laid = [one for row in rows for one in row.tiles]
    assert len(rows) <= most
    assert [id(one) for one in laid] == [id(one) for one in tiles[: len(laid)]]
    assert len(laid) == len(tiles) or len(rows) == most
    for row in rows:
        width = sum(row.widths_px) + GAP * (len(row.tiles) - 1)
        assert row.height_px <= ROW_HEIGHT
        assert width <= ROOM
        for one, width_px in zip(row.tiles, row.widths_px, strict=True):
            assert abs(width_px - tile_aspect(one) * row.height_px) <= 1 + tile_aspect(one)
    for row in rows[:-1]:
        assert sum(row.widths_px) + GAP * (len(row.tiles) - 1) == ROOM


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.tuples(st.integers(1, 3000), st.integers(1, 3000)), st.tuples(st.integers(100, 300), st.integers(100, 500)))
def test_pictures_keep_their_shape_inside_their_box(size_hw: tuple[int, int], box_hw: tuple[int, int]) -> None:
    height, width = fit_inside(size_hw, box_hw)
    assert 1 <= height <= box_hw[0]
    assert 1 <= width <= box_hw[1]
    if (height, width) != box_hw and min(height, width) > 1:
        scale = height / size_hw[0]
        assert abs(width - scale * size_hw[1]) <= 1 + size_hw[1] / size_hw[0]


@pytest.mark.parametrize(("size_hw", "aspect"), [((100, 1000), WIDEST), ((1000, 100), NARROWEST), ((100, 150), 1.5)])
def test_wide_and_tall_pictures_stand_whole_in_their_tile(size_hw: tuple[int, int], aspect: float) -> None:
    one = make_tile("", photo(*size_hw, grey=0))
    assert tile_aspect(one) == pytest.approx(aspect)
    (row,) = lay_out([one], 1)
    page = np.asarray(draw_sheet("", "", [Strip("", "", [one], 1)]))
    dark = (page == 0).all(axis=-1)
    rows, columns = np.flatnonzero(dark.any(axis=1)), np.flatnonzero(dark.any(axis=0))
    shown_hw = (rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1)
    assert shown_hw == fit_inside(size_hw, (row.height_px, row.widths_px[0]))
    assert ((page == GROUND).all(axis=-1).any()) == (aspect != 1.5)


def test_the_person_is_tinted_and_outlined_and_the_rest_left_alone() -> None:
    target = np.zeros((60, 60), np.uint8)
    target[20:40, 20:40] = 255
    cover, picture = cover_of(target, (60, 60)), photo(60, 60)
    before = picture.copy()
    drawn = overlay(picture, cover, (60, 60))
    assert (picture == before).all()
    assert tuple(drawn[5, 5]) == (100, 100, 100)
    assert drawn[30, 30, 1] > 110 > drawn[30, 30, 0]
    assert tuple(drawn[20, 30]) == tuple(drawn[19, 30]) == OUTLINE
    assert drawn[18, 30].astype(int).sum() < 200  # the dark rim
    assert (overlay(picture, None, (60, 60)) == picture).all()


@pytest.mark.parametrize("grey", [0, 128, 255])
@pytest.mark.parametrize("colour", [(1, 1, 1), (0, 1, 0.8)], ids=["grey", "like the outline"])
def test_the_outline_stands_out_from_any_background(grey: int, colour: tuple[float, ...]) -> None:
    target = np.zeros((60, 60), np.uint8)
    target[20:40, 20:40] = 255
    background = (photo(60, 60, grey) * np.array(colour)).astype(np.uint8)
    drawn = overlay(background, cover_of(target, (60, 60)), (60, 60)).astype(int)
    beside = [drawn[row, 30] for row in (17, 18, 19)]
    assert max(np.abs(one - other).sum() for one in beside for other in beside) > 250


def test_what_is_not_counted_is_striped() -> None:
    target = np.zeros((60, 60), np.uint8)
    target[:, 30:] = 128
    for grey in (0, 150, 255):
        drawn = overlay(photo(60, 60, grey), cover_of(target, (60, 60)), (60, 60))
        assert drawn[:, 31:, 0].std() > 40
        assert (drawn[:, :29] == grey).all()


@pytest.mark.parametrize(
    ("value", "covered"), [(128, False), (0, True), (255, True)], ids=["pool", "background", "all person"]
)
def test_a_photo_without_a_label_is_shown_bare(value: int, covered: bool) -> None:
    one = make_tile("", photo(), np.full((40, 60), value, np.uint8))
    assert (one.cover is not None) == covered
    if value != 255:
        assert one.photo is not None
        assert (overlay(one.photo, one.cover, (40, 60)) == one.photo).all()


def test_the_smallest_person_leaves_a_mark() -> None:
    target = np.zeros((3000, 4000), np.uint8)
    target[1500, 2000] = 255
    one = make_tile("", photo(3000, 4000), target)
    assert one.photo is not None
    assert one.photo.shape[0] == HELD_HEIGHT
    assert (overlay(one.photo, one.cover, (200, 267)) == OUTLINE).all(axis=-1).any()


def test_a_person_at_the_image_edge_has_no_outline_along_it() -> None:
    drawn = overlay(photo(60, 60), cover_of(np.full((60, 60), 255, np.uint8), (60, 60)), (60, 60))
    assert not (drawn == OUTLINE).all(axis=-1).any()
    assert not (drawn == HALO).all(axis=-1).any()


def test_a_mask_of_another_size_than_its_photo_is_laid_over() -> None:
    target = np.zeros((400, 600), np.uint8)
    target[:, 300:] = 255
    one = make_tile("", photo(40, 60), target)
    assert one.cover is not None
    assert one.cover.shape == (40, 60, 2)
    assert one.cover[0, 29, 0] == 0
    assert one.cover[0, 30, 0] == 255


def test_a_sheet_of_nothing_is_still_a_page() -> None:
    page = draw_sheet("0 of 0 images", "", [Strip("kept: 0", "", [], 3)])
    assert page.size[0] == WIDTH


def test_a_tile_without_a_picture_shows_its_reason_once() -> None:
    page = draw_sheet("title", "remark", [Strip("unreadable: 1", "", [Tile("a.jpg: is not an image", None)], 1)])
    empty = draw_sheet("title", "remark", [Strip("unreadable: 1", "", [Tile("", None)], 1)])
    assert (np.asarray(page) != np.asarray(empty)).any()


def test_captions_make_room_for_themselves() -> None:
    heights = [
        draw_sheet("", "", [Strip("", "", [tile(caption=caption, note=note), tile()], 1)]).size[1]
        for caption, note in [("", ""), ("one line", ""), ("one line", "coco-1"), ("many words " * 40, "coco-1")]
    ]
    assert heights == sorted(set(heights))


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("people cover 12 %, less than 20 %", ["people cover", "12 %, less than", "20 %"]),
        ("voc-2007_000804", ["voc-2007_", "000804"]),
        ("", []),
        ("short", ["short"]),
    ],
    ids=["percent", "id", "empty", "short"],
)
def test_text_is_broken_between_words(text: str, lines: list[str]) -> None:
    assert wrap(text, 100, 4) == lines


@pytest.mark.parametrize(
    ("text", "most"),
    [("one two three four five six seven eight", 2), ("a/very/long/path/to/a/file.png: damaged", 2), ("x" * 99, 3)],
)
def test_text_is_wrapped_within_its_width(text: str, most: int) -> None:
    lines = wrap(text, 90, most)
    assert 1 <= len(lines) <= most
    assert lines[-1].endswith("...")
    assert all(font(14).getlength(line) <= 90 for line in lines)
    if " " in text:
        assert re.split(r"[ /]", lines[-1].removesuffix("..."))[-1] in re.split(r"[ /]", text)


def test_a_line_too_narrow_for_anything_is_three_dots() -> None:
    assert shorten("xxxx", 1, 14) == "..."


def test_the_same_tiles_give_the_same_page() -> None:
    strips = [Strip("kept: 2", "2 train", [tile(caption="20 %, 1 person"), tile(80, 40)], 1)]
    assert draw_sheet("t", "r", strips).tobytes() == draw_sheet("t", "r", strips).tobytes()


def test_titles_longer_than_the_page_are_cut() -> None:
    long = draw_sheet("word " * 200, "word " * 400, [Strip("word " * 300, "word " * 300, [], 1)])
    assert (np.asarray(long)[:, WIDTH - MARGIN + 2 :] == np.asarray(long)[0, -1]).all()


def test_a_sheet_is_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "sheet.png"
    write_sheet(path, draw_sheet("t", "r", []))
    assert Image.open(path).size[0] == WIDTH
    assert [one.name for one in path.parent.iterdir()] == ["sheet.png"]


def test_a_line_without_end_is_cut_off_at_once() -> None:
    begun = time.monotonic()
    for line in ("a" * 100_000, "a " * 50_000, "a b" + "c" * 100_000):
        assert font(14).getlength(shorten(line, 300, 14)) <= 300
        assert all(font(14).getlength(one) <= 300 for one in wrap(line, 300, 4))
    assert time.monotonic() - begun < 1
