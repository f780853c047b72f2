"""Which images are copies of which, which group and split each image belongs to, and which would leak.

Images come in a fixed order (first source first, then by name), and each looks only at those before it. So an image
that is added later, by a further source or under a later name, never moves one that was there: it joins the group it is
nearly the same picture as, and where it is that of two groups in different splits, it is the newcomer that goes, as a
leak, and leaves no trace.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

import polars as pl

from curate.choosing.splits import Shares, bin_of, count_groups, split_of
from curate.schema import UNLABELLED

LEARNED = "train"


@dataclass(frozen=True, slots=True)
class Item:
    """An image to be placed.

    Attributes:
        sample_id: Its name, for the reasons.
        unit: Images of one unit are never split apart: its own content, the value of `--group-by`, or an earlier group.
        sha256: Of its bytes.
        fixed: The split it must have, or None.
    """

    sample_id: str
    unit: str
    sha256: str
    fixed: str | None = None


ITEM = pl.Schema(dict.fromkeys(("sample_id", "unit", "sha256", "fixed"), pl.String))
"""The fields of an Item."""


class Items(Sequence[Item]):
    """Images to be placed, a row each of a table; an Item is made when it is asked for.

    >>> items = Items(pl.DataFrame([("a", "u", "0", None), ("b", "u", "1", "test")], ITEM, orient="row"))
    >>> items[1].sample_id, len(items[1:]), [item.unit for item in items]
    ('b', 1, ['u', 'u'])
    """

    def __init__(self, table: pl.DataFrame) -> None:
        self.table = table

    def __len__(self) -> int:
        return self.table.height

    def __iter__(self) -> Iterator[Item]:
        return (Item(*row) for row in self.table.iter_rows())

    @overload
    def __getitem__(self, place: int) -> Item: ...
    @overload
    def __getitem__(self, place: slice) -> Items: ...
    def __getitem__(self, place: int | slice) -> Item | Items:
        return Items(self.table[place]) if isinstance(place, slice) else Item(*self.table.row(place))


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an image goes.

    Attributes:
        group: Its group.
        split: Its split.
        leak: Why it must go, or None.
        ties: The groups an image without people must not be learned from beside, where one of them is held out.
    """

    group: str
    split: str
    leak: str | None = None
    ties: tuple[str, ...] = ()


def neighbours_of(pairs: Iterable[tuple[int, int]], total: int) -> list[tuple[int, ...]]:
    """For each image the images nearly the same as it, ascending."""
    found = defaultdict[int, list[int]](list)
    for one, other in pairs:
        found[one].append(other)
        found[other].append(one)
    return [tuple(sorted(found[number])) if number in found else () for number in range(total)]


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
        self._number: dict[str, int] = {}
        """Of each unit, in the order they came."""
        self._units: list[str] = []
        self._parent: list[int] = []
        self._split: list[str] = []

    def __contains__(self, unit: str) -> bool:
        return unit in self._number

    def _root(self, number: int) -> int:
        while self._parent[number] != number:
            self._parent[number] = self._parent[self._parent[number]]
            number = self._parent[number]
        return number

    def root(self, unit: str) -> str:
        """The first unit of a unit's group."""
        return self._units[self._root(self._number[unit])]

    def split(self, unit: str) -> str:
        """The split of a unit's group."""
        return self._split[self._root(self._number[unit])]

    def join(self, unit: str, split: str, others: Iterable[str]) -> None:
        """Put a unit, a new one or one of a group, and the groups of others, all of its split, into the oldest one."""
        if unit not in self:
            self._number[unit] = len(self._units)
            self._parent.append(len(self._units))
            self._units.append(unit)
            self._split.append(split)
        together = [self._root(self._number[one]) for one in (unit, *others)]
        for other in together:
            self._parent[other] = min(together)


def place_images(
    items: Sequence[Item], near: Sequence[Sequence[int]], shares: Shares, seed: int, *, fixed_test: bool = False
) -> list[Placement]:
    """Group, split or leak of each image, in the order given.

    Args:
        items: In their order, those with a fixed split first; pool and background images have one.
        near: Neighbours of each, by `neighbours_of`.
        shares: What `--split` asks for.
        seed: Of the hash that decides.
        fixed_test: Whether those fixed to `test` are an earlier test split that is kept as it is: no other image joins
            it, and one that looks like it leaks.
    """
    groups = _Groups()
    placed: list[str | None] = [None] * len(items)
    """The unit of each labelled image that has its place."""
    found: list[Placement | None] = [None] * len(items)
    for number, item in enumerate(items):
        if item.fixed in UNLABELLED:
            continue
        around = list(dict.fromkeys(map(groups.root, units_of(near[number], placed))))
        split = split_for(item, around, groups, shares, seed, fixed_test=fixed_test)
        allowed = item.fixed == split or (item.fixed is None and not (fixed_test and split == "test"))
        if allowed and all(groups.split(root) == split for root in around):
            groups.join(item.unit, split, around)
            placed[number] = item.unit
        else:
            found[number] = Placement(item.unit, split, leak_reason(items, near[number], placed, groups, split))
    for number, unit in enumerate(placed):
        if unit is not None:
            found[number] = Placement(groups.root(unit), groups.split(unit))
    whole: list[Placement] = []
    for number, one in enumerate(found):
        whole.append(one or place_unlabelled(items, number, near[number], placed, groups, whole))
    return whole


def units_of(near: Sequence[int], placed: Sequence[str | None]) -> list[str]:
    """The units of those of some images that have their place."""
    return [unit for other in near if (unit := placed[other]) is not None]


def split_for(
    item: Item, around: Sequence[str], groups: _Groups, shares: Shares, seed: int, *, fixed_test: bool
) -> str:
    """The split an image has: its unit's, else the one fixed for it, else its first neighbour's, else its hash's."""
    if item.unit in groups:
        return groups.split(item.unit)
    if item.fixed is not None:
        return item.fixed
    open_to_it = [groups.split(root) for root in around if not (fixed_test and groups.split(root) == "test")]
    return open_to_it[0] if open_to_it else own_split(item.unit, shares, seed, fixed_test=fixed_test)


def own_split(unit: str, shares: Shares, seed: int, *, fixed_test: bool) -> str:
    """The split of a unit on its own; with counts all are one until they are counted.

    Its hash alone decides, also where that leaves a split of a small set empty: an image given to such a split would
    go back when more images come. Where an earlier test split is kept as it is, what would fall into it goes to
    training.
    """
    if shares.ratios is None:
        return LEARNED
    split = split_of(unit, seed, shares.ratios)
    return LEARNED if fixed_test and split == "test" else split


def leak_reason(
    items: Sequence[Item], near: Sequence[int], placed: Sequence[str | None], groups: _Groups, split: str
) -> str:
    """Which images tie an image to which splits; `split` is that of its own group."""
    told: dict[str, str] = {}
    for other in near:
        if (unit := placed[other]) is not None:
            found = groups.split(unit)
            told.setdefault(found, f"{items[other].sample_id} ({found})")
    if not told:
        return f"its group stands in the split {split} already"
    return f"is nearly the same picture as {' and '.join(told.values())}"


def settle_splits(
    rows: Sequence[Mapping[str, Any]],
    shares: Shares,
    seed: int,
    *,
    fixed_test: bool,
    there: Sequence[tuple[str, str]] = (),
) -> dict[str, str | None]:
    """Group -> its split among the images that are left; None where fixed counts leave it over.

    By ratios nothing moves; counts are counted out.

    Args:
        rows: Labelled images with `group`, `split`, `area` and `people`.
        shares: What `--split` asks for.
        seed: Of the hash that decides.
        fixed_test: Whether the test split stays as it is.
        there: Group and split of each image that has its place already, is none of the rows, and counts.
    """
    splits: dict[str, str | None] = {row["group"]: row["split"] for row in rows}
    free = [row for row in rows if not (fixed_test and row["split"] == "test")]
    if shares.ratios is not None:
        return splits
    sizes = Counter(row["group"] for row in free)
    bins: dict[str, tuple[int, int]] = {}
    for row in free:
        bins.setdefault(row["group"], bin_of(row["area"], row["people"]))
    counts = Counter(dict(shares.counts or {}) | ({"test": 0} if fixed_test else {}))
    counts.subtract(split for _, split in there)
    split_of_group = dict(there)
    for group in sorted(split_of_group.keys() & bins.keys()):
        split = split_of_group[group]
        fits = sizes[group] <= counts[split]
        splits[group] = split if fits else None
        counts[split] -= sizes[group] if fits else 0
        del bins[group]
    room = {split: max(0, counts[split]) for split in shares.counts or ()}
    return {**splits, **count_groups({group: sizes[group] for group in bins}, bins, room, seed)}


def place_unlabelled(
    items: Sequence[Item],
    number: int,
    near: Sequence[int],
    placed: Sequence[str | None],
    groups: _Groups,
    found: Sequence[Placement],
) -> Placement:
    """The placement of an image without a label or without people: it follows the group it belongs to or looks like.

    Photographs of the pool that look alike are one group too, so that they stay together once they are labelled.
    """
    item = items[number]
    own = [groups.root(item.unit)] if item.unit in groups else []
    ties = tuple(dict.fromkeys([*own, *map(groups.root, units_of(near, placed))]))
    split = item.fixed or LEARNED
    alike = [
        found[other].group for other in near if other < number and items[other].fixed == split == "pool" and not ties
    ]
    group = [*ties, *alike, item.unit][0]
    return Placement(group, split, tie_reason(split, [(tie, groups.split(tie)) for tie in ties]), ties)


def tie_reason(kind: str, ties: Sequence[tuple[str, str]]) -> str | None:
    """Why an image without a label or without people must go, by the groups it belongs to or looks like; or None.

    An empty scene is learned from: it must not look like a picture that is held out. A photograph of the pool gets a
    label one day: it must not stand between two splits.

    Args:
        kind: `background` or `pool`.
        ties: Its groups with their splits.
    """
    splits = {split: group for group, split in reversed(ties)}
    held_out = [split for split in splits if split != LEARNED] if kind == "background" else list(splits)[1:]
    if not held_out:
        return None
    return (
        f"belongs to, or is nearly the same picture as, {' and '.join(f'group {g} ({s})' for s, g in splits.items())}"
    )
