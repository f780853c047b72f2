"""What a hand label makes of a mask, a row and the record of edits."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from curate import schema
from curate.choosing.splits import fold_groups, split_of
from label.formats.record import Maker
from label.merge import MERGES, RESTORED, edit_row, lost_regions, merge_targets, placement, relabelled_row
from tests.drawing import target

TARGETS = hnp.arrays(np.uint8, (3, 4), elements=st.sampled_from([0, 128, 255]))


@pytest.mark.parametrize(
    ("policy", "expected"), [("replace", "#.o#.o#.o"), ("union", "####.o#oo"), ("intersect", "#.o..oooo")]
)
def test_every_pair_of_values(policy: str, expected: str) -> None:
    old, new = target("###...ooo"), target("#.o#.o#.o")
    merged = merge_targets(old, new, policy)
    np.testing.assert_array_equal(merged, target(expected))


def brute_force(old: np.ndarray, new: np.ndarray, policy: str) -> np.ndarray:
    """Pixel by pixel, as the docstring says it."""
    wanted = any if policy == "union" else all
    pixels = []
    for pair in zip(old.ravel().tolist(), new.ravel().tolist(), strict=True):
        person = wanted(value == 255 for value in pair)
        pixels.append(255 if person else 128 if 128 in pair else 0)
    return np.array(pixels, np.uint8).reshape(old.shape)


@given(TARGETS, TARGETS, st.sampled_from(MERGES))
@settings(derandomize=True, max_examples=60)
def test_merging_is_the_brute_force_and_changes_no_input(old: np.ndarray, new: np.ndarray, policy: str) -> None:
    before = old.copy(), new.copy()
    merged = merge_targets(old, new, policy)
    np.testing.assert_array_equal(merged, new if policy == "replace" else brute_force(old, new, policy))
    np.testing.assert_array_equal(old, before[0])
    np.testing.assert_array_equal(new, before[1])


@given(TARGETS, st.sampled_from(MERGES))
@settings(derandomize=True, max_examples=30)
def test_a_label_merged_with_itself_is_itself(one: np.ndarray, policy: str) -> None:
    np.testing.assert_array_equal(merge_targets(one, one, policy), one)


def a_row(**changes: Any) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(schema.SAMPLES)
    row |= {"sample_id": "pairs-1", "people": 3, "area": 0.1, "split": "val", "fold": -1, "group": "g", "edges": "L"}
    return row | {"origin": "rle", "weight": 1.0, "tags": [], "mask_sha256": "old"} | changes


def test_the_row_follows_its_mask_and_keeps_its_place() -> None:
    row = a_row(tags=["relabel", "rule:area"], weight=0.0)
    new = relabelled_row(row, target("...#\n.oo#"), "new", None)
    changed = {key: value for key, value in new.items() if value != row[key]}
    assert changed == {
        "mask_sha256": "new",
        "area": 2 / 6,
        "edges": "TRB",
        "origin": "hand",
        "tags": ["rule:area"],
        "weight": 1.0,
    }
    assert row == a_row(tags=["relabel", "rule:area"], weight=0.0)


@pytest.mark.parametrize(
    ("changes", "weight"),
    [
        ({"tags": ["relabel"], "weight": 0.0}, 1.0),
        ({"tags": ["relabel", "hard"], "weight": 2.0}, 2.0),
        ({"tags": [], "weight": 0.0}, 0.0),
        ({"tags": ["hard"], "weight": 2.0}, 2.0),
    ],
)
def test_only_a_decision_to_relabel_is_taken_back(changes: dict[str, Any], weight: float) -> None:
    assert relabelled_row(a_row(**changes), target("#."), "new", None)["weight"] == weight


@pytest.mark.parametrize(("before", "counted", "after"), [(3, None, 3), (0, None, 1), (3, 2, 2)])
def test_people_are_those_of_the_label_where_it_tells(before: int, counted: int | None, after: int) -> None:
    assert relabelled_row(a_row(people=before), target("#."), "new", counted)["people"] == after


def test_the_record_of_an_edit() -> None:
    row = edit_row(
        a_row(), target("##.."), target(".##."), Maker("labelme 5.2.1", "anna", "2026-01-02T03:04:05Z"), 2, "new"
    )
    assert row == {
        "sample_id": "pairs-1",
        "version": 2,
        "tool": "labelme 5.2.1",
        "author": "anna",
        "time": "2026-01-02T03:04:05Z",
        "iou_old_new": 1 / 3,
        "old_mask_sha256": "old",
        "new_mask_sha256": "new",
        "old_row": row["old_row"],
    }
    assert json.loads(row["old_row"]) == {column: a_row()[column] for column in RESTORED}
    assert edit_row(a_row(), None, target(".##."), Maker("png"), 2, "new")["iou_old_new"] is None
    schema.table([row], schema.EDITS)


def test_regions_that_are_counted_again() -> None:
    assert lost_regions(target("#o"), target("#."))
    assert not lost_regions(target("#o"), target("o#"))
    assert not lost_regions(target("#."), target("#."))


def table_of(*rows: tuple[str, str, int]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema={"group": pl.String, "split": pl.String, "fold": pl.Int8}, orient="row")


def test_a_pool_image_goes_where_its_group_is() -> None:
    samples = table_of(("g", "pool", -1), ("g", "train", 2), ("g", "train", 1), ("h", "val", -1))
    placed = placement(samples, seed=0)(a_row(split="pool"))
    assert (placed["split"], placed["fold"]) == ("train", 2)


def test_a_pool_image_alone_goes_where_build_would_put_it() -> None:
    groups = [f"group-{number}" for number in range(60)]
    splits = {group: split_of(group, seed=3) for group in groups}
    folds = fold_groups([group for group in groups if splits[group] == "train"], 4, seed=3)
    samples = table_of(*((group, splits[group], folds.get(group, -1)) for group in groups))
    for group in groups:
        others = samples.filter(pl.col("group") != group)
        placed = placement(others, seed=3)(a_row(split="pool", group=group))
        assert (placed["split"], placed["fold"]) == (splits[group], folds.get(group, -1))


def test_a_pool_image_has_no_fold_where_there_are_none() -> None:
    for number in range(20):
        placed = placement(table_of(("h", "train", -1)), seed=0)(a_row(split="pool", group=f"g{number}"))
        assert placed["split"] in ("train", "val", "test")
        assert placed["fold"] == -1
