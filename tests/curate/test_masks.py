"""Masks: parity with pycocotools and with brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask

from curate import masks
from curate.masks import Mask
from tests.drawing import mask, target

sizes = st.tuples(st.integers(1, 24), st.integers(1, 24))
drawn = sizes.flatmap(lambda size: arrays(bool, size))
pairs_of_masks = sizes.flatmap(lambda size: st.tuples(arrays(bool, size), arrays(bool, size)))
everywhere = settings(derandomize=True, deadline=None, max_examples=150)


def test_a_box_covers_exactly_its_pixels() -> None:
    rle = masks.rle_of_polygons([[1, 1, 3, 1, 3, 2, 1, 2]], (3, 4))
    assert (masks.decode(rle) == mask("....\n.##.\n....")).all()


@everywhere
@given(
    st.integers(3, 40),
    st.integers(3, 40),
    st.lists(st.lists(st.floats(-8, 48, width=32), min_size=6, max_size=16), min_size=1, max_size=4),
)
def test_polygons_equal_pycocotools(height: int, width: int, polygons: list[list[float]]) -> None:
    even = [polygon[: len(polygon) // 2 * 2] for polygon in polygons]
    expected = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(even, height, width)))
    assert (masks.decode(masks.rle_of_polygons(even, (height, width))) == expected.astype(bool)).all()


@pytest.mark.parametrize(
    "polygons", [[], [[]], [[1, 1, 2, 2]], [[0.0]]], ids=["none", "empty", "two points", "one value"]
)
def test_polygons_that_enclose_nothing_give_the_empty_rle(polygons: list[list[float]]) -> None:
    assert masks.area_px(masks.rle_of_polygons(polygons, (5, 5))) == 0


@pytest.mark.parametrize(
    ("polygon", "words"),
    [
        ([0.0, 0, 5, 0, 5, 5, 1], "7 values"),
        ([0.0, 0, 1e12, 0, 5, 5], "far outside"),
        ([0.0, 0, float("nan"), 0, 5, 5], "far outside"),
        ([0.0, 0, float("inf"), 0, 5, 5], "far outside"),
    ],
    ids=["odd", "far", "nan", "infinite"],
)
def test_a_damaged_polygon_is_refused(polygon: list[float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        masks.rle_of_polygons([polygon], (10, 10))


@everywhere
@given(drawn)
def test_all_three_rle_forms_come_back(drawing: Mask) -> None:
    size_hw = drawing.shape
    compressed = masks.encode(drawing)
    runs = masks._runs_of_string(compressed["counts"])
    assert (masks.decode(masks.rle_of_string(compressed["counts"].decode(), size_hw)) == drawing).all()
    assert (masks.decode(masks.rle_of_counts(runs, size_hw)) == drawing).all()


@pytest.mark.parametrize("counts", [[3, 4], [-1, 13], [13]], ids=["short", "negative", "long"])
def test_run_lengths_that_do_not_fit_are_refused(counts: list[int]) -> None:
    with pytest.raises(ValueError, match="the image has 12 pixels"):
        masks.rle_of_counts(counts, (3, 4))


@everywhere
@given(drawn, st.binary(max_size=40))
def test_a_damaged_run_length_string_is_refused_or_sums_to_the_image(drawing: Mask, damage: bytes) -> None:
    height, width = drawing.shape
    try:
        rle = masks.rle_of_string(damage, (height, width))
    except ValueError:
        return
    assert masks.decode(rle).shape == (height, width)


@pytest.mark.parametrize("counts", ["P", "~~", "\x00", "oooooooooooo0"], ids=["cut", "alien", "zero", "endless"])
def test_a_run_length_string_that_is_none_is_refused(counts: str) -> None:
    with pytest.raises(ValueError, match="run-length"):
        masks.rle_of_string(counts, (3, 4))


@everywhere
@given(pairs_of_masks)
def test_union_overlap_and_difference_equal_brute_force(pair: tuple[Mask, Mask]) -> None:
    one, other = pair
    rles = [masks.encode(one), masks.encode(other)]
    assert masks.area_px(masks.union_rle(rles, one.shape)) == (one | other).sum()
    assert masks.overlap_px(*rles) == (one & other).sum()
    assert masks.minus_rle(*rles) == (one & ~other).sum()


def test_the_union_of_nothing_is_empty() -> None:
    assert masks.area_px(masks.union_rle([], (4, 4))) == 0


def test_person_wins_over_what_is_not_counted() -> None:
    made = masks.target_of(mask("##.."), mask(".##."))
    assert (made == target("##o.")).all()


@pytest.mark.parametrize(
    ("drawing", "expected"),
    [("##..", 0.5), ("#ooo", 1.0), ("oooo", 0.0), ("....", 0.0), ("#.oo", 0.5)],
)
def test_area_is_person_over_counted(drawing: str, expected: float) -> None:
    assert masks.area_fraction(target(drawing)) == expected


@pytest.mark.parametrize(
    ("drawing", "edges"),
    [("...\n.#.\n...", ""), ("#..\n...\n...", "LT"), ("...\n..#\n.#.", "RB"), ("###\n###\n###", "LTRB")],
)
def test_touched_edges(drawing: str, edges: str) -> None:
    assert masks.touched_edges(mask(drawing)) == edges


def test_iou_of_two_empty_masks_is_none() -> None:
    empty = np.zeros((3, 3), bool)
    assert masks.iou(empty, empty) is None
    assert masks.iou(mask("##."), mask(".##")) == pytest.approx(1 / 3)


@pytest.mark.parametrize(("size_hw", "width"), [((1, 1), 1), ((480, 640), 16), ((100, 0), 2)])
def test_band_width(size_hw: tuple[int, int], width: int) -> None:
    assert masks.band_width_px(size_hw) == width


@pytest.mark.parametrize(
    ("drawing", "box"),
    [("#", (0, 0, 1, 1)), ("....\n..#.\n.#..", (1, 1, 2, 2)), ("...\n...", (0, 0, 0, 0)), ("##\n##\n##", (0, 0, 2, 3))],
)
def test_a_box_is_the_masks(drawing: str, box: tuple[int, int, int, int]) -> None:
    assert masks.bbox_xywh(mask(drawing)) == box


@everywhere
@given(drawn)
def test_a_box_equals_brute_force_whatever_order_the_pixels_lie_in(drawing: Mask) -> None:
    rows, columns = np.nonzero(drawing)
    box = (0, 0, 0, 0)
    if rows.size:
        left, top = columns.min(), rows.min()
        box = (left, top, columns.max() + 1 - left, rows.max() + 1 - top)
    for one in (drawing, np.asfortranarray(drawing), np.tile(drawing, (1, 2))[:, : drawing.shape[1]]):
        assert masks.bbox_xywh(one) == box


@everywhere
@given(drawn, st.integers(1, 4))
def test_the_boundary_band_equals_brute_force(drawing: Mask, width_px: int) -> None:
    height, width = drawing.shape
    padded = np.pad(drawing, width_px)
    expected = np.zeros_like(drawing)
    for row in range(height):
        for column in range(width):
            near = padded[row : row + 2 * width_px + 1, column : column + 2 * width_px + 1]
            expected[row, column] = drawing[row, column] and not near.all()
    assert (masks.boundary_band(drawing, width_px) == expected).all()


@everywhere
@given(drawn, st.integers(1, 3))
def test_growing_equals_brute_force(drawing: Mask, reach_px: int) -> None:
    height, width = drawing.shape
    padded = np.pad(drawing, reach_px)
    expected = np.zeros_like(drawing)
    for row in range(height):
        for column in range(width):
            expected[row, column] = padded[row : row + 2 * reach_px + 1, column : column + 2 * reach_px + 1].any()
    assert (masks.grow(drawing, reach_px) == expected).all()


def test_growing_leaves_its_input_alone() -> None:
    drawing = mask("....\n.#..\n....")
    grown = masks.grow(drawing, 1)
    assert drawing.sum() == 1
    assert (grown == mask("###.\n###.\n###.")).all()


@pytest.mark.parametrize(
    ("drawing", "parts"),
    [("...", 0), ("#.#", 2), ("#..\n.#.\n..#", 1), ("##.\n...\n..#", 2)],
    ids=["none", "two", "corners hold together", "apart"],
)
def test_parts_are_counted_with_eight_neighbours(drawing: str, parts: int) -> None:
    assert masks.count_parts(mask(drawing)) == parts


def test_a_crumb_is_no_part() -> None:
    person = np.zeros((40, 40), bool)
    person[:20, :20] = True
    person[30, 30:33] = True
    assert masks.count_parts(person) == 1
    person[30, 33] = person[31, 30] = True
    assert masks.count_parts(person) == 2


def disc(size: int, radius: float) -> Mask:
    """A disc in the middle of a square."""
    away = np.arange(size) - (size - 1) / 2
    inside: Mask = np.hypot(away[:, None], away[None]) <= radius
    return inside


@pytest.mark.parametrize("radius", [8, 20, 60, 150])
def test_a_finely_drawn_outline_has_no_stairs(radius: int) -> None:
    assert masks.stairs_px(disc(2 * radius + 20, radius)) in (1, 2)


@pytest.mark.parametrize("times", [2, 3, 5, 8])
def test_a_mask_that_was_enlarged_has_stairs_of_that_size(times: int) -> None:
    fine = disc(60, 25)
    coarse = np.kron(fine, np.ones((times, times), bool))
    assert masks.stairs_px(coarse) == times * (masks.stairs_px(fine) or 0)


def test_a_rectangle_is_nothing_but_stairs_and_a_full_image_has_none() -> None:
    rectangle = np.zeros((50, 60), bool)
    rectangle[10:40, 10:50] = True
    assert masks.stairs_px(rectangle) == 30
    assert masks.stairs_px(np.ones((50, 60), bool)) is None
    assert masks.stairs_px(np.zeros((50, 60), bool)) is None


@everywhere
@given(drawn)
def test_straight_runs_cover_the_outline(drawing: Mask) -> None:
    for one in (drawing, drawing.T):
        runs = masks.straight_runs(one)
        assert runs.sum() == np.count_nonzero(one[1:] != one[:-1])
        assert (runs >= 1).all()
