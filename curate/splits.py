"""Group-aware, stable splits and folds: a hash of seed and group decides, so adding images moves no other.

A group's place is a number in [0, 1) from SHA-256 of the seed and the group's name; the split is the interval it
falls into. Ratios hold in expectation. A small set can leave an interval empty: then, and only while it is empty, the
group nearest to the interval is lent to it (see `assign`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from curate.errors import UsageError

RATIOS = {"train": 0.7, "val": 0.2, "test": 0.1}
FILL_FROM = 10
"""From this many groups on, no split is left empty."""


def place(seed: int, purpose: str, group: str) -> float:
    """The group's place in [0, 1): the first 52 bits of a SHA-256, the same on every machine."""
    digest = hashlib.sha256(f"{seed}\0{purpose}\0{group}".encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def assign(places: dict[str, float], ratios: Sequence[float], fill_from: int) -> dict[str, int]:
    """The interval of [0, 1) each group falls into.

    Args:
        places: Group -> its place.
        ratios: Widths of the intervals, in order; they sum to 1.
        fill_from: From this many groups on, an empty interval borrows the nearest group of the fullest interval.

    Returns:
        Group -> index of its interval.
    """
    edges = [sum(ratios[:index]) for index in range(len(ratios) + 1)]
    chosen = {group: sum(value >= edge for edge in edges[1:-1]) for group, value in places.items()}
    if len(places) < max(fill_from, len(ratios)):
        return chosen
    for index in range(len(ratios)):
        if index not in chosen.values():
            sizes = [sum(value == other for value in chosen.values()) for other in range(len(ratios))]
            fullest = sizes.index(max(sizes))
            middle = (edges[index] + edges[index + 1]) / 2
            donors = [group for group, value in chosen.items() if value == fullest]
            chosen[min(donors, key=lambda group: (abs(places[group] - middle), group))] = index
    return chosen


def split_groups(groups: Iterable[str], seed: int) -> dict[str, str]:
    """Group -> `train`, `val` or `test`, 70/20/10 in expectation."""
    names = list(RATIOS)
    places = {group: place(seed, "split", group) for group in groups}
    return {group: names[index] for group, index in assign(places, list(RATIOS.values()), FILL_FROM).items()}


def fold_groups(groups: Iterable[str], folds: int, seed: int) -> dict[str, int]:
    """Group of the training split -> its fold, 0 to `folds` - 1.

    Raises:
        UsageError: There are fewer groups than folds.
    """
    places = {group: place(seed, "fold", group) for group in groups}
    if len(places) < folds:
        raise UsageError(f"--folds {folds}: the training split has only {len(places)} groups of images; ask for fewer")
    return assign(places, [1 / folds] * folds, folds)
