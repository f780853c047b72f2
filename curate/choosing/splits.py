"""Group-aware, stable splits and folds: a hash of seed and group decides, so adding images moves no other.

A group's place is a number in [0, 1) from SHA-256 of the seed and the group's name; the split is the interval it
falls into. The same thresholds hold in every bin of area and people, so ratios hold in expectation in each of them,
and a label that is mended moves nothing. In a small set a split may be empty by chance, and that is said.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from curate.errors import UsageError

RATIOS = {"train": 0.7, "val": 0.2, "test": 0.1}
AREA_BINS = (0.1, 0.2, 0.3, 0.5, 0.7)
"""Fixed edges, never quantiles: an image's bin does not depend on the others."""
MOST_PEOPLE_BIN = 3


@dataclass(frozen=True)
class Shares:
    """What `--split` asks for: `ratios` (they sum to 1), or `counts` of images; the other is None."""

    ratios: dict[str, float] | None
    counts: dict[str, int] | None = None


def parse_split(text: str | None) -> Shares:
    """`70/20/10` as ratios and `1700/300` as counts of images; two numbers are training and test.

    Numbers that sum to 100, or to 1, are ratios; whole numbers that do not are counts.

    >>> parse_split("85/15").ratios
    {'train': 0.85, 'val': 0.0, 'test': 0.15}
    >>> parse_split("1700/300").counts
    {'train': 1700, 'val': 0, 'test': 300}

    Raises:
        UsageError: It is something else.
    """
    if text is None:
        return Shares(dict(RATIOS))
    advice = "Expected TRAIN/VAL/TEST or TRAIN/TEST: 70/20/10 (ratios) or 1700/300 (images)"
    try:
        numbers = [float(word) for word in text.split("/")]
    except ValueError:
        raise UsageError(f"--split {text}: is no list of numbers. {advice}") from None
    if len(numbers) not in (2, 3) or not all(0 <= number < 1e12 for number in numbers) or numbers[0] == 0:
        raise UsageError(f"--split {text}: {advice}")
    train, val, test = numbers if len(numbers) == 3 else (numbers[0], 0.0, numbers[1])
    named, total = {"train": train, "val": val, "test": test}, train + val + test
    for whole in (1, 100):
        if abs(total - whole) < 1e-6:
            return Shares({split: number / whole for split, number in named.items()})
    if any(number % 1 for number in numbers):
        raise UsageError(f"--split {text}: sums to {total:g}, neither 1 nor 100. {advice}")
    return Shares(None, {split: int(number) for split, number in named.items()})


def place(seed: int, purpose: str, group: str) -> float:
    """The group's place from 0 to 1: the first 64 bits of a SHA-256, the same on every machine."""
    digest = hashlib.sha256(f"{seed}\0{purpose}\0{group}".encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def interval_of(value: float, widths: Sequence[float]) -> int:
    """The interval of [0, 1) a place falls into; one of no width gets nothing.

    Args:
        value: The place.
        widths: Of the intervals, in order; they sum to 1.
    """
    edges = accumulate(widths[:-1])
    last = max(index for index, width in enumerate(widths) if width)  # where the sum is a rounding error below 1
    return min(last, sum(value >= edge for edge in edges))


def split_of(group: str, seed: int, ratios: Mapping[str, float] = RATIOS) -> str:
    """`train`, `val` or `test`, in expectation in these ratios."""
    return list(ratios)[interval_of(place(seed, "split", group), list(ratios.values()))]


def fold_of(group: str, folds: int, seed: int) -> int:
    """The fold of a group by its place alone, 0 to `folds` - 1."""
    return interval_of(place(seed, "fold", group), [1 / folds] * folds)


def bin_of(area: float, people: int) -> tuple[int, int]:
    """The fixed bin of area and people an image stands in.

    >>> bin_of(0.25, 1), bin_of(0.95, 7)
    ((2, 1), (5, 3))
    """
    return sum(area >= edge for edge in AREA_BINS), min(people, MOST_PEOPLE_BIN)


def count_groups(
    sizes: Mapping[str, int], bins: Mapping[str, tuple[int, int]], counts: Mapping[str, int], seed: int
) -> dict[str, str | None]:
    """Group -> its split for fixed counts of images; None for the groups that are left over.

    In every bin the groups with the lowest places come first, and a split takes its share of every bin. The test
    split is filled first, then val, then train. Whole groups: one that would overfill a split goes to the next.
    Stable for the same inputs only.

    Args:
        sizes: Group -> number of images.
        bins: Group -> bin of its first image.
        counts: Split -> number of images. Where there are fewer images than asked for, all counts shrink alike.
        seed: Of the places.
    """
    members = defaultdict(list)
    for group, its_bin in bins.items():
        members[its_bin].append(group)
    rank = {}
    for groups in members.values():
        for number, group in enumerate(sorted(groups, key=lambda name: (place(seed, "split", name), name))):
            rank[group] = (number + 0.5) / len(groups)
    room = shrink(counts, sum(sizes.values()))
    chosen: dict[str, str | None] = {}
    for group in sorted(rank, key=lambda name: (rank[name], name)):
        fitting = (split for split in ("test", "val", "train") if room[split] >= sizes[group])
        chosen[group] = next(fitting, None)
        if chosen[group] is not None:
            room[str(chosen[group])] -= sizes[group]
    return chosen


def shrink(counts: Mapping[str, int], total: int) -> dict[str, int]:
    """The counts, or as many as there are images in the same ratio; what rounding leaves goes to train.

    >>> shrink({"train": 1700, "val": 0, "test": 300}, 60)
    {'train': 51, 'val': 0, 'test': 9}
    """
    asked = sum(counts.values())
    if asked <= total:
        return dict(counts)
    smaller = {split: count * total // asked for split, count in counts.items()}
    return smaller | {"train": total - smaller["val"] - smaller["test"]}


def fold_groups(groups: Iterable[str], folds: int, seed: int) -> dict[str, int]:
    """Group of the training split -> its fold, 0 to `folds` - 1; an empty fold borrows the nearest of the fullest.

    Raises:
        UsageError: There are fewer groups than folds.
    """
    places = {group: place(seed, "fold", group) for group in groups}
    if len(places) < folds:
        raise UsageError(f"--folds {folds}: the training split has only {len(places)} groups of images; ask for fewer")
    chosen = {group: fold_of(group, folds, seed) for group in places}
    for fold in range(folds):
        if fold not in chosen.values():
            sizes = Counter(chosen.values())
            fullest = max(sorted(sizes), key=sizes.__getitem__)
            donors = [group for group, found in chosen.items() if found == fullest]
            chosen[min(donors, key=lambda group: (abs(places[group] - (fold + 0.5) / folds), group))] = fold
    return chosen
