"""Groups, splits and leaks: whole groups, nobody moved by a newcomer, nothing beside what is held out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.choosing.placing import Item, Placement, copies, neighbours_of, place_images, settle_splits, tie_reason
from curate.choosing.splits import Shares, parse_split, place, split_of
from curate.schema import UNLABELLED

often = settings(derandomize=True, deadline=None, max_examples=150)
RATIOS = parse_split(None)
HALVES = parse_split("0.4/0.3/0.3")


def item(name: str, fixed: str | None = None, unit: str = "") -> Item:
    """An image whose content is called as it is."""
    return Item(name, unit or f"u-{name}", f"sha-{name}", fixed)


def unit_in(split: str, number: int = 0, shares: Shares = RATIOS) -> str:
    """The `number`-th unit whose own hash puts it into a split."""
    edges = list(pairwise([0.0, shares.ratios["train"], shares.ratios["train"] + shares.ratios["val"], 1.0]))  # type: ignore[index]
    low, high = edges[("train", "val", "test").index(split)]
    found = [unit for unit in (f"u{n}" for n in range(2000)) if low <= place(0, "split", unit) < high]
    return found[number]


@dataclass(frozen=True)
class Scene:
    """Images, the first of them with a fixed split, and which look alike."""

    items: list[Item]
    pairs: set[tuple[int, int]]
    fixed_test: bool

    def placed(self, first: int | None = None) -> list[Placement]:
        """The placements of the first images."""
        items = self.items[:first]
        near = neighbours_of(((a, b) for a, b in self.pairs if b < len(items)), len(items))
        return place_images(items, near, HALVES, 0, fixed_test=self.fixed_test)


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """Up to 16 images with random neighbours and units, a fixed test split or the splits of an earlier version."""
    count = draw(st.integers(1, 16))
    units = draw(st.lists(st.integers(0, draw(st.sampled_from([5, 20]))), min_size=count, max_size=count))
    fixed_test = draw(st.booleans())
    fixed_count = draw(st.integers(0, count))
    earlier = st.just("test") if fixed_test else st.sampled_from(["train", "val", "test"])
    later = st.sampled_from([None, None, None, "pool", "background"])
    splits = [draw(earlier if number < fixed_count else later) for number in range(count)]
    items = [
        Item(f"s{number}", f"u{unit}", f"sha{number}", split)
        for number, (unit, split) in enumerate(zip(units, splits, strict=True))
    ]
    numbers = st.integers(0, count - 1)
    pairs = draw(st.sets(st.tuples(numbers, numbers).filter(lambda pair: pair[0] < pair[1]), max_size=12))
    return Scene(items, pairs, fixed_test)


def labelled(scene: Scene, placements: list[Placement]) -> list[int]:
    """The labelled images that have their place."""
    both = zip(scene.items, placements, strict=False)
    return [n for n, (one, found) in enumerate(both) if one.fixed not in UNLABELLED and found.leak is None]


@often
@given(scenes())
def test_what_belongs_together_is_in_one_split(scene: Scene) -> None:
    found = scene.placed()
    kept = labelled(scene, found)
    for a in kept:
        for b in kept:
            alike = (a, b) in scene.pairs or scene.items[a].unit == scene.items[b].unit
            if alike:
                assert found[a].group == found[b].group
            if found[a].group == found[b].group:
                assert found[a].split == found[b].split


@often
@given(scenes(), st.integers(0, 16))
def test_a_newcomer_moves_nobody(scene: Scene, first: int) -> None:
    before, after = scene.placed(first), scene.placed()
    for number in labelled(scene, after):
        if number < len(before):
            assert before[number].split == after[number].split
    assert [one.leak for one in before if one.split not in UNLABELLED] == [
        one.leak for one in after[: len(before)] if one.split not in UNLABELLED
    ]
    together = {(a, b) for a in labelled(scene, before) for b in labelled(scene, before)
                if before[a].group == before[b].group}  # fmt: skip
    assert all(after[a].group == after[b].group for a, b in together)


@often
@given(scenes())
def test_a_leak_leaves_no_trace(scene: Scene) -> None:
    found = scene.placed()
    stays = [n for n in range(len(scene.items)) if found[n].leak is None]
    number = {old: new for new, old in enumerate(stays)}
    pairs = {(number[a], number[b]) for a, b in scene.pairs if a in number and b in number}
    again = replace(scene, items=[scene.items[n] for n in stays], pairs=pairs).placed()
    assert again == [found[n] for n in stays]


@often
@given(scenes())
def test_only_what_ties_two_splits_leaks(scene: Scene) -> None:
    found = scene.placed()
    kept = labelled(scene, found)
    for number, one in enumerate(scene.items):
        if found[number].leak is None or one.fixed in UNLABELLED:
            continue
        before = [n for n in kept if n < number]
        looks = {found[n].split for n in before if (n, number) in scene.pairs}
        belongs = {found[n].split for n in before if scene.items[n].unit == one.unit}
        wanted = {one.fixed} if one.fixed else set()
        into_test = scene.fixed_test and one.fixed is None and "test" in looks | belongs
        assert len(looks | belongs | wanted) > 1 or into_test


@often
@given(scenes())
def test_a_fixed_split_is_kept(scene: Scene) -> None:
    for one, found in zip(scene.items, scene.placed(), strict=True):
        if one.fixed and found.leak is None:
            assert found.split == one.fixed
        if scene.fixed_test and found.leak is None:
            assert (found.split == "test") == (one.fixed == "test")
        if scene.fixed_test and one.fixed == "test":
            assert found.leak is None


@often
@given(scenes())
def test_no_empty_scene_looks_like_what_is_held_out(scene: Scene) -> None:
    found = scene.placed()
    kept = labelled(scene, found)
    for number, one in enumerate(scene.items):
        near = [n for n in kept if (min(n, number), max(n, number)) in scene.pairs or scene.items[n].unit == one.unit]
        splits = {found[n].split for n in near}
        if one.fixed == "background":
            assert (found[number].leak is None) == (splits <= {"train"})
        if one.fixed == "pool":
            assert (found[number].leak is None) == (len(splits) <= 1)
            assert not near or found[number].group in {found[n].group for n in near}


def test_a_newcomer_that_ties_two_splits_is_the_one_to_go() -> None:
    old = [item("a", unit=unit_in("train")), item("b", unit=unit_in("test"))]
    new = item("c", unit=unit_in("val"))
    found = place_images([*old, new], neighbours_of([(0, 2), (1, 2)], 3), RATIOS, 0)
    assert [one.split for one in found[:2]] == ["train", "test"]
    assert [one.leak for one in found] == [None, None, "is nearly the same picture as a (train) and b (test)"]


def test_a_newcomer_of_one_unit_follows_it_and_leaks_where_it_looks_like_another_split() -> None:
    unit = unit_in("train")
    old = [item("a", unit=unit), item("b", unit=unit_in("test"))]
    found = place_images([*old, item("c", unit=unit)], neighbours_of([(1, 2)], 3), RATIOS, 0)
    assert [one.split for one in found] == ["train", "test", "train"]
    assert found[2].leak == "is nearly the same picture as b (test)"


@often
@given(st.sets(st.integers(0, 10_000), max_size=40), st.integers(0, 50), st.data())
def test_unlike_images_keep_their_splits_whatever_comes_before_or_after(
    units: set[int], seed: int, data: st.DataObject
) -> None:
    """A source that stands before the others, or an earlier name, moves nothing either."""
    items = [item(f"s{number}", unit=f"u{number}") for number in sorted(units)]
    found = place_images(items, neighbours_of((), len(items)), RATIOS, seed)
    assert [one.split for one in found] == [split_of(one.unit, seed) for one in items]
    kept = data.draw(st.permutations(items))[: len(items) // 2]
    again = place_images(kept, neighbours_of((), len(kept)), RATIOS, seed)
    split = {one.sample_id: place.split for one, place in zip(items, found, strict=True)}
    assert [one.split for one in again] == [split[one.sample_id] for one in kept]


def test_no_test_split_is_made_beside_an_earlier_one() -> None:
    items = [item(f"s{number}", unit=unit_in("train", number)) for number in range(30)]
    first = [replace(items[0], fixed="test"), *items[1:]]
    found = place_images(first, neighbours_of((), 30), RATIOS, 0, fixed_test=True)
    assert [one.split for one in found] == ["test", *["train"] * 29]


def test_groups_are_called_after_their_first_unit_and_chains_are_one_group() -> None:
    units = [unit_in("train", number) for number in range(3)]
    items = [item(name, unit=unit) for name, unit in zip("abc", units, strict=True)]
    found = place_images(items, neighbours_of([(0, 2), (1, 2)], 3), RATIOS, 0)
    assert [one.group for one in found] == [units[0]] * 3


def test_an_earlier_test_split_lets_nobody_in() -> None:
    items = [
        item("t", "test"),
        item("near", unit=unit_in("train")),
        item("same folder", unit="u-t"),
        item("by hash", unit=unit_in("test")),
    ]
    found = place_images(items, neighbours_of([(0, 1)], 4), RATIOS, 0, fixed_test=True)
    assert [(one.split, one.leak) for one in found] == [
        ("test", None),
        ("train", "is nearly the same picture as t (test)"),
        ("test", "its group stands in the split test already"),
        ("train", None),
    ]


def test_the_pool_is_grouped_and_may_not_stand_between_two_splits() -> None:
    items = [item("a", unit=unit_in("train")), item("b", unit=unit_in("test")), *(item(n, "pool") for n in "pqr")]
    found = place_images(items, neighbours_of([(0, 2), (1, 2), (3, 4)], 5), RATIOS, 0)
    assert found[2].leak is not None
    assert found[3] == Placement("u-q", "pool")
    assert found[4] == Placement("u-q", "pool")


@pytest.mark.parametrize(
    ("kind", "splits", "leaks"),
    [
        ("background", [], False),
        ("background", ["train", "train"], False),
        ("background", ["train", "val"], True),
        ("background", ["test"], True),
        ("pool", ["test"], False),
        ("pool", ["val", "test"], True),
    ],
)
def test_ties(kind: str, splits: list[str], leaks: bool) -> None:
    reason = tie_reason(kind, [(f"g{number}", split) for number, split in enumerate(splits)])
    assert (reason is not None) == leaks
    assert reason is None or all(split in reason for split in splits)


def test_copies_look_back_at_originals_only() -> None:
    a, b, c, d = (item(name) for name in "abcd")
    again = replace(a, sample_id="again")
    near = neighbours_of([(0, 1), (1, 2), (2, 3)], 5)
    assert copies([a, b, c, d, again], near, "near") == [None, 0, None, 2, 0]
    assert copies([a, b, c, d, again], near, "exact") == [None, None, None, None, 0]
    assert copies([], [], "near") == []


contents = st.lists(st.integers(0, 5), max_size=12)
alike = st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5)).filter(lambda pair: pair[0] != pair[1]), max_size=8)


@often
@given(contents, alike)
def test_every_copy_has_an_original_and_no_two_originals_look_alike(
    contents: list[int], alike: set[tuple[int, int]]
) -> None:
    items = [Item(f"s{number}", "u", str(content)) for number, content in enumerate(contents)]
    alike = alike | {(b, a) for a, b in alike} | {(a, a) for a in contents}
    pairs = {(a, b) for b in range(len(items)) for a in range(b) if (contents[a], contents[b]) in alike}
    found = copies(items, neighbours_of(pairs, len(items)), "near")
    originals = [number for number, original in enumerate(found) if original is None]
    assert not any((a, b) in pairs for a in originals for b in originals)
    for number, original in enumerate(found):
        assert original is None or (original in originals and (original, number) in pairs)


rows = st.lists(
    st.builds(
        lambda group, area, people: {"group": f"g{group}", "area": area, "people": people},
        st.integers(0, 30), st.floats(0, 1), st.integers(1, 4),
    ),
    min_size=1, max_size=60,
)  # fmt: skip


@often
@given(rows, st.integers(0, 40), st.integers(0, 20), st.integers(0, 20), st.booleans())
def test_counts_take_whole_groups_and_never_too_many(
    rows: list[dict[str, object]], train: int, val: int, test: int, fixed_test: bool
) -> None:
    placed = [row | {"split": "test" if fixed_test and row["group"] == "g0" else "train"} for row in rows]
    counts = {"train": train + 1, "val": val, "test": test}
    splits = settle_splits(placed, Shares(None, counts), 0, fixed_test=fixed_test)
    assert splits.keys() == {row["group"] for row in rows}
    found = [splits[row["group"]] for row in placed if not (fixed_test and row["group"] == "g0")]
    for split, count in (counts | ({"test": 0} if fixed_test else {})).items():
        assert found.count(split) <= count
    if fixed_test and "g0" in splits:
        assert splits["g0"] == "test"
