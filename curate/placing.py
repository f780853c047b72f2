"""Which images are copies of which, which group and split each image belongs to, and which would leak.

Images come in a fixed order (first source first, larger pictures first, then by name), and each looks only at those
before it. So an image that is added later, by a further source or under a later name, never moves one that was there:
it joins the group it is nearly the same picture as, and where it is that of two groups in different splits, it is the
newcomer that goes, as a leak.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curate.splits import Shares, assign, bin_of, count_groups, place, split_groups

LEARNED = "train"
UNLABELLED = ("pool", "background")
"""Splits of images that have no label yet, or show nobody on purpose."""


@dataclass(frozen=True)
class Item:
    """An image to be placed.

    Attributes:
        sample_id: Its name, for the reasons.
        unit: Images of one unit are never split apart: its own content, the value of `--group-by`, or an earlier group.
        sha256: Of its bytes.
        fixed: The split it must have, or None.
        area, people: For the bins.
        outside: Whether it is an image of another dataset that only keeps others away.
    """

    sample_id: str
    unit: str
    sha256: str
    fixed: str | None = None
    area: float = 0.0
    people: int = 0
    outside: bool = False


@dataclass(frozen=True)
class Placement:
    """Where an image goes: its group, its split, or why it leaks."""

    group: str
    split: str
    leak: str | None = None


def neighbours_of(pairs: Iterable[tuple[int, int]], total: int) -> list[list[int]]:
    """For each image the images nearly the same as it, ascending."""
    near: list[list[int]] = [[] for _ in range(total)]
    for one, other in pairs:
        near[one].append(other)
        near[other].append(one)
    return [sorted(found) for found in near]


def copies(items: Sequence[Item], near: Sequence[Sequence[int]], kind: str) -> list[int | None]:
    """For each image the one before it that it is a copy of, and that is no copy itself; None for an original.

    Args:
        items: In their order.
        near: Neighbours of each.
        kind: `exact` (the same bytes) or `near`.
    """
    originals: dict[str, int] = {}
    found: list[int | None] = []
    for number, item in enumerate(items):
        original = originals.get(item.sha256)
        if original is None and kind == "near":
            earlier = (other for other in near[number] if other < number and found[other] is None)
            original = next(earlier, None)
        found.append(original)
        if original is None:
            originals[item.sha256] = number
    return found


class _Groups:
    """Units joined to groups; a group is called after its first unit and has one split."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}
        self.split: dict[str, str] = {}

    def root(self, unit: str) -> str:
        """The first unit of a unit's group."""
        while self._parent.get(unit, unit) != unit:
            self._parent[unit] = self._parent.get(self._parent[unit], self._parent[unit])
            unit = self._parent[unit]
        return unit

    def open(self, unit: str, split: str) -> None:
        """Begin a group."""
        self._parent[unit] = unit
        self.split[unit] = split

    def join(self, unit: str, roots: Sequence[str]) -> None:
        """Put a unit, and all these groups of one split, into the first of the groups."""
        self._parent[unit] = roots[0]
        for other in roots[1:]:
            self._parent[other] = roots[0]
            self.split.pop(other, None)


def place_images(items: Sequence[Item], near: Sequence[Sequence[int]], shares: Shares, seed: int) -> list[Placement]:
    """Group, split or leak of each image, in the order given.

    Args:
        items: In their order, those with a fixed split first; pool and background images have one. Where any has
            `test`, an earlier test split is kept as it is: no other image joins it, and one that looks like it leaks.
        near: Neighbours of each, by `neighbours_of`.
        shares: What `--split` asks for.
        seed: Of the hash that decides.
    """
    groups, leaks = _Groups(), dict[int, str]()
    units: dict[str, list[int]] = defaultdict(list)
    for number, item in enumerate(items):
        if item.fixed not in UNLABELLED:
            units[item.unit].append(number)
    placed: set[int] = set()
    fixed_test = any(item.fixed == "test" for item in items)
    for unit, members in units.items():
        split = next((items[member].fixed for member in members if items[member].fixed), None)
        around = {member: _around(member, near, placed, items, groups, unit) for member in members}
        roots = list(dict.fromkeys(root for found in around.values() for root in found))
        if split is None:
            open_roots = [root for root in roots if not (fixed_test and groups.split[root] == "test")]
            split = groups.split[open_roots[0]] if open_roots else own_split(unit, shares, seed, fixed_test)
        alike = [root for root in roots if groups.split[root] == split]
        if alike:
            groups.join(unit, alike)
        else:
            groups.open(unit, split)
        for member in members:
            other = [root for root in around[member] if groups.split.get(groups.root(root)) != split]
            apart = items[member].fixed != split and (
                items[member].fixed is not None or (fixed_test and split == "test")
            )
            if other or apart:
                leaks[member] = leak_reason(member, near, placed, items, groups)
        placed |= set(members) - leaks.keys()
    return [placement(number, item, near, groups, leaks, placed, items) for number, item in enumerate(items)]


def _around(
    member: int, near: Sequence[Sequence[int]], placed: set[int], items: Sequence[Item], groups: _Groups, unit: str
) -> list[str]:
    """The groups of an image's placed neighbours, other units' only, each once."""
    others = [other for other in near[member] if other in placed and items[other].unit != unit]
    return list(dict.fromkeys(groups.root(items[other].unit) for other in others))


def own_split(unit: str, shares: Shares, seed: int, fixed_test: bool) -> str:
    """The split of a unit on its own; with counts all are one until they are counted.

    Where an earlier test split is kept as it is, what would fall into the test split goes to training.
    """
    if shares.ratios is None:
        return LEARNED
    index = assign({unit: place(seed, "split", unit)}, list(shares.ratios.values()), 1 << 60)[unit]
    split = list(shares.ratios)[index]
    return LEARNED if fixed_test and split == "test" else split


def leak_reason(
    member: int, near: Sequence[Sequence[int]], placed: set[int], items: Sequence[Item], groups: _Groups
) -> str:
    """Which images tie the image to which splits."""
    told: dict[str, str] = {}
    for other in near[member]:
        if other in placed:
            split = groups.split[groups.root(items[other].unit)]
            told.setdefault(split, f"{items[other].sample_id} ({split})")
    if not told:
        return "its group stands in another split already"
    return f"is nearly the same picture as {' and '.join(told.values())}"


def settle_splits(
    rows: Sequence[Mapping[str, Any]], shares: Shares, seed: int, *, fixed_test: bool
) -> dict[str, str | None]:
    """Group -> its split among the images that are left; None where fixed counts leave it over.

    By ratios nothing moves but for a split that would be empty, which borrows a group; counts are counted out.

    Args:
        rows: Labelled images with `group`, `split`, `area` and `people`.
        shares: What `--split` asks for.
        seed: Of the hash that decides.
        fixed_test: Whether the test split stays as it is.
    """
    splits: dict[str, str | None] = {row["group"]: row["split"] for row in rows}
    free = [row for row in rows if not (fixed_test and row["split"] == "test")]
    if shares.ratios is not None:
        return splits if fixed_test else {**splits, **split_groups(splits, seed, shares.ratios)}
    sizes = Counter(row["group"] for row in free)
    bins: dict[str, tuple[int, int]] = {}
    for row in free:
        bins.setdefault(row["group"], bin_of(row["area"], row["people"]))
    counts = dict(shares.counts or {}) | ({"test": 0} if fixed_test else {})
    return {**splits, **count_groups(sizes, bins, counts, seed)}


def placement(
    number: int,
    item: Item,
    near: Sequence[Sequence[int]],
    groups: _Groups,
    leaks: Mapping[int, str],
    placed: set[int],
    items: Sequence[Item],
) -> Placement:
    """One image's placement; one without a label follows the group it looks like, but is never learned from a test."""
    if item.fixed not in UNLABELLED:
        group = groups.root(item.unit)
        return Placement(group, groups.split[group], leaks.get(number))
    kin = [other for other in near[number] if other in placed]
    group = groups.root(items[kin[0]].unit) if kin else item.unit
    held_out = {items[other].sample_id: groups.split[groups.root(items[other].unit)] for other in kin}
    told = next((f"{name} ({split})" for name, split in held_out.items() if split != LEARNED), None)
    reason = f"is nearly the same picture as {told}" if told and item.fixed == "background" else None
    return Placement(group, item.fixed or LEARNED, reason)
