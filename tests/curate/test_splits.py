"""Splits: whole groups, stable under adding, never empty where there are enough images."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import UsageError
from curate.splits import FILL_FROM, RATIOS, assign, fold_groups, place, split_groups

groups = st.sets(st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8), min_size=FILL_FROM, max_size=80)
often = settings(derandomize=True, deadline=None, max_examples=150)


def natural(names: set[str], seed: int) -> dict[str, str]:
    """The split of each group by its hash alone, written differently."""
    split = {}
    for name in names:
        at = place(seed, "split", name)
        split[name] = "train" if at < 0.7 else "val" if at < 0.7 + 0.2 else "test"
    return split


@often
@given(groups, st.integers(0, 1000))
def test_no_split_is_empty_from_ten_groups_on(names: set[str], seed: int) -> None:
    assert set(split_groups(names, seed).values()) == set(RATIOS)


@often
@given(groups, groups, st.integers(0, 1000))
def test_adding_moves_no_group_unless_it_was_lent(before: set[str], added: set[str], seed: int) -> None:
    one, both = split_groups(before, seed), split_groups(before | added, seed)
    by_hash = natural(before, seed)
    moved = {name for name in before if one[name] != both[name]}
    assert moved <= {name for name in before if one[name] != by_hash[name] or both[name] != by_hash[name]}
    lent = [name for name in before if one[name] != by_hash[name]]
    assert len(lent) <= 2, "at most one group is lent to each empty split"


@often
@given(groups, st.integers(0, 1000))
def test_the_hash_decides_where_every_split_has_its_own(names: set[str], seed: int) -> None:
    by_hash = natural(names, seed)
    if set(by_hash.values()) == set(RATIOS):
        assert split_groups(names, seed) == by_hash


def test_the_order_of_groups_does_not_matter() -> None:
    names = [f"g{number}" for number in range(40)]
    assert split_groups(names, 0) == split_groups(reversed(names), 0)


def test_known_places_never_change() -> None:
    assert [round(place(0, "split", name), 6) for name in ("a", "b")] == [0.1569, 0.4719]
    assert place(0, "split", "a") != place(1, "split", "a") != place(1, "fold", "a")


def test_ratios_hold_in_expectation() -> None:
    chosen = list(split_groups((str(number) for number in range(20_000)), 7).values())
    for split, ratio in RATIOS.items():
        assert chosen.count(split) / len(chosen) == pytest.approx(ratio, abs=0.01)


def test_few_groups_are_left_where_their_hash_puts_them() -> None:
    assert assign({"a": 0.1, "b": 0.2}, [0.7, 0.2, 0.1], FILL_FROM) == {"a": 0, "b": 0}
    assert split_groups([], 0) == {}


def test_the_nearest_group_of_the_fullest_split_is_lent() -> None:
    places = {f"g{number}": number / 20 for number in range(10)}
    assert assign(places, [0.7, 0.2, 0.1], 10) == {**dict.fromkeys(places, 0), "g9": 1, "g8": 2}


@often
@given(groups, st.integers(2, 10), st.integers(0, 100))
def test_every_fold_has_a_group(names: set[str], folds: int, seed: int) -> None:
    chosen = fold_groups(names, folds, seed)
    assert chosen.keys() == names
    assert set(chosen.values()) == set(range(folds))


def test_more_folds_than_groups_are_refused() -> None:
    with pytest.raises(UsageError, match="--folds 5: the training split has only 2 groups"):
        fold_groups(["a", "b"], 5, 0)
