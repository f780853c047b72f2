"""Splits: whole groups, stable under adding, never empty where there are enough images."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.choosing.splits import (
    AREA_BINS,
    MOST_PEOPLE_BIN,
    RATIOS,
    bin_of,
    count_groups,
    fold_groups,
    fold_of,
    interval_of,
    parse_split,
    place,
    shrink,
    split_of,
)
from curate.errors import UsageError

groups = st.sets(st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8), min_size=10, max_size=80)
often = settings(derandomize=True, deadline=None, max_examples=150)


@pytest.mark.parametrize(
    ("value", "widths", "index"),
    [
        (0.0, (0.7, 0.2, 0.1), 0),
        (0.6999, (0.7, 0.2, 0.1), 0),
        (0.7, (0.7, 0.2, 0.1), 1),
        (0.95, (0.7, 0.2, 0.1), 2),
        (0.5, (0.0, 1.0, 0.0), 1),
        (0.999, (0.5, 0.5, 0.0), 1),
        (0.99999999999, (1 / 3,) * 3, 2),
    ],
)
def test_a_place_falls_into_one_interval(value: float, widths: tuple[float, ...], index: int) -> None:
    assert interval_of(value, widths) == index


@often
@given(groups, st.integers(0, 1000))
def test_the_hash_decides(names: set[str], seed: int) -> None:
    for name in names:
        at = place(seed, "split", name)
        assert split_of(name, seed) == ("train" if at < 0.7 else "val" if at < 0.7 + 0.2 else "test")


def test_known_places_never_change() -> None:
    assert [round(place(0, "split", name), 6) for name in ("a", "b")] == [0.1569, 0.4719]
    assert place(0, "split", "a") != place(1, "split", "a") != place(1, "fold", "a")


def test_ratios_hold_in_expectation() -> None:
    chosen = [split_of(str(number), 7) for number in range(20_000)]
    for split, ratio in RATIOS.items():
        assert chosen.count(split) / len(chosen) == pytest.approx(ratio, abs=0.01)


@often
@given(groups, st.integers(2, 10), st.integers(0, 100))
def test_every_fold_has_a_group(names: set[str], folds: int, seed: int) -> None:
    chosen = fold_groups(names, folds, seed)
    assert chosen.keys() == names
    assert set(chosen.values()) == set(range(folds))


def test_an_empty_fold_borrows_the_nearest_group_of_the_fullest() -> None:
    by_hash = {name: fold_of(name, 3, 0) for name in map(str, range(40))}
    first = [name for name, fold in by_hash.items() if fold != 2][:6]
    chosen = fold_groups(first, 3, 0)
    [lent] = [name for name, fold in chosen.items() if fold == 2]
    fullest = max(Counter(by_hash[name] for name in first).items(), key=lambda item: (item[1], -item[0]))[0]
    donors = [name for name in first if by_hash[name] == fullest]
    assert lent == min(donors, key=lambda name: abs(place(0, "fold", name) - 5 / 6))
    assert all(chosen[name] == by_hash[name] for name in first if name != lent)


def test_more_folds_than_groups_are_refused() -> None:
    with pytest.raises(UsageError, match="--folds 5: the training split has only 2 groups"):
        fold_groups(["a", "b"], 5, 0)


def images(count: int) -> dict[str, tuple[int, int]]:
    """The bin of each of so many groups of one image."""
    drawn = random.Random(3)
    return {f"i{number}": bin_of(drawn.random() ** 2, drawn.choice([1, 1, 2, 3, 5])) for number in range(count)}


def test_bins_are_fixed_and_cover_everything() -> None:
    assert bin_of(0.0, 0) == (0, 0)
    assert bin_of(1.0, 99) == (len(AREA_BINS), MOST_PEOPLE_BIN)
    assert [bin_of(edge, 1)[0] for edge in AREA_BINS] == [1, 2, 3, 4, 5]


def test_ratios_hold_in_expectation_in_every_bin() -> None:
    bins = images(30_000)
    chosen = {name: split_of(name, 1) for name in bins}
    counted = Counter((bins[name], split) for name, split in chosen.items())
    for its_bin, total in Counter(bins.values()).items():
        for split, ratio in RATIOS.items():
            deviation = math.sqrt(ratio * (1 - ratio) / total)
            assert counted[its_bin, split] / total == pytest.approx(ratio, abs=4.5 * deviation)


@pytest.mark.parametrize(
    ("text", "ratios"),
    [
        (None, (0.7, 0.2, 0.1)),
        ("70/20/10", (0.7, 0.2, 0.1)),
        ("0.7/0.2/0.1", (0.7, 0.2, 0.1)),
        ("85/15", (0.85, 0.0, 0.15)),
        ("0.85/0.15", (0.85, 0.0, 0.15)),
        ("33.3/33.3/33.4", (0.333, 0.333, 0.334)),
        ("100/0", (1.0, 0.0, 0.0)),
    ],
)
def test_what_sums_to_a_hundred_or_to_one_is_ratios(text: str | None, ratios: tuple[float, ...]) -> None:
    shares = parse_split(text)
    assert shares.counts is None
    assert tuple(shares.ratios.values()) == pytest.approx(ratios)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "counts"), [("1700/300", (1700, 0, 300)), ("60/20/10", (60, 20, 10)), ("70/20", (70, 0, 20))]
)
def test_other_whole_numbers_are_images(text: str, counts: tuple[int, ...]) -> None:
    shares = parse_split(text)
    assert shares.ratios is None
    assert tuple(shares.counts.values()) == counts  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "text",
    ["", "70", "a/b", "1/2/3/4", "-70/170", "0/100", "0/0", "nan/1", "inf/1", "1e99/1", "70/20/", "0.7/0.2", "1.5/2"],
)
def test_nonsense_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match=r"--split .*Expected TRAIN/VAL/TEST or TRAIN/TEST: 70/20/10"):
        parse_split(text)


def test_counts_are_met_and_every_bin_gets_its_share() -> None:
    bins = images(3000)
    chosen = count_groups(dict.fromkeys(bins, 1), bins, {"train": 1700, "val": 100, "test": 300}, 0)
    assert Counter(chosen.values()) == {"train": 1700, "val": 100, "test": 300, None: 900}
    counted = Counter((bins[name], split) for name, split in chosen.items())
    for its_bin, total in Counter(bins.values()).items():
        for split, count in (("train", 1700), ("val", 100), ("test", 300)):
            assert abs(counted[its_bin, split] - total * count / 3000) <= 1


def test_a_group_that_would_overfill_a_split_goes_to_the_next() -> None:
    sizes = {"big": 5, **{f"s{number}": 1 for number in range(6)}}
    chosen = count_groups(sizes, dict.fromkeys(sizes, (1, 1)), {"train": 6, "val": 0, "test": 3}, 0)
    counted = Counter(chosen.values())
    assert sum(sizes[name] for name, split in chosen.items() if split == "test") == 3
    assert chosen["big"] == "train"
    assert counted[None] == 2


@pytest.mark.parametrize("total", [0, 1, 7, 60, 1999, 2000, 5000])
def test_too_few_images_shrink_all_counts_alike(total: int) -> None:
    asked = {"train": 1500, "val": 200, "test": 300}
    smaller = shrink(asked, total)
    assert sum(smaller.values()) == min(total, 2000)
    for split, count in asked.items():
        assert abs(smaller[split] - min(1, total / 2000) * count) <= 2
    assert smaller["val"] <= asked["val"] * total / 2000
    assert smaller["test"] <= asked["test"] * total / 2000
