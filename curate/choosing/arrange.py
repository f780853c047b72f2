"""Groups, splits and folds of a selection: near duplicates together, copies and leaks out, an earlier test split kept.

Each step takes a Selection and returns one with more columns and fewer rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate import schema
from curate.choosing.duplicates import SIGNATURE_BYTES, Pairs, near_pairs, signature
from curate.choosing.examine import file_names, signatures_of
from curate.choosing.placing import (
    ITEM,
    LEARNED,
    Items,
    Placement,
    copies,
    neighbours_of,
    place_images,
    settle_splits,
    tie_reason,
)
from curate.choosing.recipe import Recipe
from curate.choosing.rules import duplicate_rule, leak_rule, take_rule
from curate.choosing.selection import Selection
from curate.choosing.splits import Shares, fold_groups, fold_of, parse_split
from curate.dataset import Dataset, open_dataset
from curate.errors import UsageError
from curate.images import examine_image
from curate.rows import Rows
from curate.schema import UNLABELLED
from curate.sources import Note
from curate.storage.copies import located
from curate.threads import Tick, Watch, map_threads


@dataclass(frozen=True)
class Seen:
    """What the kept images, in their order, are placed by.

    Attributes:
        outside: Images that are none of them and have their place; they come first.
        pairs: Which of all these are nearly the same picture, by their numbers.
    """

    outside: Items
    pairs: Pairs


def with_order(selection: Selection, watch: Watch) -> tuple[Selection, Seen]:
    """The kept rows in the order images look back at one another, and which of them look alike.

    Their signatures, a quarter of what a row takes, are needed no more.
    """
    recipe, earlier, standing = selection.recipe, earlier_dataset(selection), selection.standing
    kept = in_order(selection, tested_ids(selection.kept, earlier))
    outside, outside_signatures = (
        outside_test(earlier, kept, recipe, watch) if standing is None else items_there(standing, watch)
    )
    watch("finding duplicates", 0)
    signatures = signatures_of(kept)
    pairs = near_pairs(np.concatenate([outside_signatures, signatures]) if outside else signatures)
    return replace(selection, kept=kept.drop("signature")), Seen(outside, pairs)


def with_places(selection: Selection, seen: Seen) -> Selection:
    """Groups and splits, near duplicates together; copies are dropped where asked for, and leaks always.

    Args:
        selection: Its kept rows in the order `with_order` gave them.
        seen: What that saw.
    """
    recipe, kept, beside = selection.recipe, selection.kept, len(seen.outside)
    items = Items(pl.concat([seen.outside.table, items_of(kept, recipe).table]))
    near = neighbours_of(map(tuple, seen.pairs), len(items))
    first = beside if selection.standing is None else 0
    kept = with_copies(kept, items, near, recipe, first).with_columns(index=pl.int_range(beside, len(items)))
    selection = replace(selection, kept=kept.sort("sample_id"))
    if recipe.duplicates != "keep":
        selection = selection.apply([duplicate_rule(recipe.duplicates)], exempt=())
    chosen = [*range(beside), *sorted(selection.kept["index"])]
    placements = place_chosen(items, near, chosen, recipe)[beside:]
    return with_placements(selection, [placements[rank - 1] for rank in selection.kept["index"].rank("ordinal")])


def earlier_dataset(selection: Selection) -> Dataset | None:
    """The dataset of `--test-from`; None without, and where the candidates are added to one that heeded it already.

    Raises:
        UsageError: Its test split is empty, so that there is nothing to keep.
    """
    recipe = selection.recipe
    if recipe.test_from is None or selection.standing is not None:
        return None
    dataset = open_dataset(located(recipe.test_from))
    if not dataset.rows("test"):
        raise UsageError(f"--test-from {recipe.test_from}: its test split is empty. Name a dataset that has one")
    return dataset


def tested_ids(kept: pl.DataFrame, earlier: Dataset | None) -> list[str]:
    """The labelled rows that are images of the earlier test split, by their bytes.

    Of further copies of such an image only as many are meant as the test split held, those of its name first.
    """
    if earlier is None:
        return []
    test = earlier.samples.filter(pl.col("split") == "test")
    counts = test.group_by("image_sha256").len("often")
    found = kept.filter(pl.col("kind").is_null()).join(counts, on="image_sha256")
    ranked = found.sort(~pl.col("sample_id").is_in(test["sample_id"].implode()), "read", "sample_id")
    rank = pl.int_range(pl.len()).over("image_sha256")
    return ranked.filter(rank < pl.col("often"))["sample_id"].to_list()


def in_order(selection: Selection, tested: Sequence[str]) -> pl.DataFrame:
    """The kept rows in the order images look back at one another, with `fixed`, the split each must have, or null.

    Those with a split come first, then by source and name; those without a label or without people look at all others.
    """
    recipe, kept = selection.recipe, selection.kept
    if "group" not in kept.columns:
        kept = kept.with_columns(group=pl.lit(None, pl.String), split=pl.lit(None, pl.String), fold=pl.lit(-1, pl.Int8))
    stays = pl.lit(None, pl.String) if recipe.resplits else pl.col("split")
    test = pl.when(pl.col("sample_id").is_in(list(tested))).then(pl.lit("test"))
    kept = kept.with_columns(fixed=pl.coalesce("kind", test, stays))
    return kept.sort(pl.col("kind").is_not_null(), pl.col("fixed").is_null(), "read", "sample_id")


def outside_test(
    earlier: Dataset | None, kept: pl.DataFrame, recipe: Recipe, watch: Watch
) -> tuple[Items, NDArray[np.uint8]]:
    """The images of the earlier test split that are not among those kept, with their signatures.

    They keep away what looks like them.
    """
    if earlier is None:
        return Items(ITEM.to_frame()), np.zeros((0, SIGNATURE_BYTES), np.uint8)
    here = set(kept.filter(pl.col("fixed") == "test")["image_sha256"])
    rows = [row for row in earlier.rows("test") if row["image_sha256"] not in here]
    items = [
        (row["sample_id"], unit_of(row | {"group": None, "folder": ""}, recipe), row["image_sha256"], "test")
        for row in rows
    ]
    return Items(pl.DataFrame(items, ITEM, orient="row")), signatures_in(
        earlier, rows, watch("reading the earlier test split", len(rows))
    )


def items_there(standing: Dataset, watch: Watch) -> tuple[Items, NDArray[np.uint8]]:
    """The images of a dataset that others are added to, with their signatures.

    An empty scene is learned from, so it lies where the training split does. A photograph of the pool has no split yet:
    its group's hash says which it will have.
    """
    lies_in = {"background": LEARNED, "pool": None}
    rows = sorted(standing.rows(), key=lambda row: row["split"] == "pool")  # those with a split come first
    items = [
        (row["sample_id"], row["group"], row["image_sha256"], lies_in.get(row["split"], row["split"])) for row in rows
    ]
    return Items(pl.DataFrame(items, ITEM, orient="row")), signatures_in(
        standing, rows, watch("reading the photos that are there", len(rows))
    )


def signatures_in(dataset: Dataset, rows: Sequence[dict[str, Any]], tick: Tick) -> NDArray[np.uint8]:
    """The signatures of some of a dataset's photographs, (N, K) uint8."""
    found = map_threads(
        lambda row: signature(examine_image(dataset.root / row["image"], (row["height"], row["width"]))), rows, tick
    )
    return np.stack(found) if found else np.zeros((0, SIGNATURE_BYTES), np.uint8)


def items_of(kept: pl.DataFrame, recipe: Recipe) -> Items:
    """The rows as they are placed."""
    units = [unit_of(row, recipe) for row in kept.iter_rows(named=True)]
    named = kept.select("sample_id", unit=pl.Series(units, dtype=pl.String), sha256="image_sha256", fixed="fixed")
    return Items(named)


def unit_of(row: dict[str, Any], recipe: Recipe) -> str:
    """What a row is never split apart from: its value of `--group-by`, its earlier group, else its own content.

    A folder means that of one source; images at the top of a source lie in none.
    """
    value = row[recipe.group_by] if recipe.group_by is not None else None
    if recipe.group_by == "folder":
        value = f"{row['source']}\0{value}" if value else None
    if value is not None:
        return hashlib.sha256(f"{recipe.group_by}\0{value}".encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return str(row["group"] or row["image_sha256"][:16])


def with_copies(
    kept: pl.DataFrame, items: Items, near: Sequence[Sequence[int]], recipe: Recipe, first: int
) -> pl.DataFrame:
    """The kept rows, which are the last of the items, with `copy_of` and `copy_exact`: which item each repeats.

    Only items from the `first` on are looked at.
    """
    mine = items[first:]
    around = [tuple(other - first for other in found if other >= first) for found in near[first:]]
    originals = copies(mine, around, "near" if recipe.duplicates == "near" else "exact")
    exact = [other is not None and mine[other].sha256 == mine[one].sha256 for one, other in enumerate(originals)]
    names = [None if other is None else mine[other].sample_id for other in originals]
    return kept.with_columns(
        copy_of=pl.Series(names[len(mine) - kept.height :], dtype=pl.String),
        copy_exact=pl.Series(exact[len(mine) - kept.height :], dtype=pl.Boolean),
    )


def place_chosen(items: Items, near: Sequence[Sequence[int]], chosen: Sequence[int], recipe: Recipe) -> list[Placement]:
    """The placements of some of the items; the others do not exist for them."""
    number = {index: position for position, index in enumerate(chosen) if near[index]}
    around = [tuple(number[other] for other in near[index] if other in number) for index in chosen]
    return place_images(
        Items(items.table[chosen]),
        around,
        parse_split(recipe.split),
        recipe.seed or 0,
        fixed_test=recipe.test_from is not None,
    )


def with_placements(selection: Selection, placements: Sequence[Placement]) -> Selection:
    """The selection with `group`, `split`, `leak` and `ties`; what leaks is dropped."""
    kept = selection.kept.with_columns(
        group=pl.Series([one.group for one in placements], dtype=pl.String),
        split=pl.Series([one.split for one in placements], dtype=pl.String),
        leak=pl.Series([one.leak for one in placements], dtype=pl.String),
        ties=pl.Series([list(one.ties) for one in placements], dtype=pl.List(pl.String)),
    )
    return replace(selection, kept=file_names(kept)).apply([leak_rule()], exempt=())


def with_splits(selection: Selection) -> Selection:
    """The final splits and folds of what is left; what fixed counts leave over is dropped, and so are late leaks."""
    recipe, shares = selection.recipe, parse_split(selection.recipe.split)
    if recipe.resplits:
        selection = settled(selection, shares)
    selection = without_late_leaks(selection)
    if selection.standing is None:
        notes = [*selection.notes, *split_notes(selection, shares), *missing_test_notes(selection)]
        selection = replace(selection, notes=notes)
    return with_folds(selection)


def settled(selection: Selection, shares: Shares) -> Selection:
    """The selection with its splits made anew, without what fixed counts leave over."""
    recipe, kept = selection.recipe, selection.kept
    rows = Rows(labelled(kept).select("group", "split", "area", "people"))
    there = () if selection.standing is None else labelled(selection.standing.samples)["group", "split"].iter_rows()
    splits = settle_splits(rows, shares, recipe.seed or 0, fixed_test=recipe.test_from is not None, there=list(there))
    found = [split if split in UNLABELLED else splits[group] for group, split in kept["group", "split"].iter_rows()]
    asked = sum(asked_for(shares, recipe).values())
    over = [None if split is not None else asked for split in found]
    kept = kept.with_columns(split=pl.Series(found, dtype=pl.String), over=pl.Series(over, dtype=pl.Int64))
    selection = replace(selection, kept=kept)
    return selection if shares.counts is None else selection.apply([take_rule(f"split {recipe.split}")], exempt=())


def labelled(rows: pl.DataFrame) -> pl.DataFrame:
    """Those of the rows that are in train, val or test."""
    return rows.filter(~pl.col("split").is_in(UNLABELLED))


def asked_for(shares: Shares, recipe: Recipe) -> dict[str, int]:
    """The fixed counts; those of a test split that is kept as it is are not asked for."""
    return dict(shares.counts or {}) | ({"test": 0} if recipe.test_from is not None and shares.counts else {})


def without_late_leaks(selection: Selection) -> Selection:
    """The selection without images that look like one whose split was not known yet when they were placed."""
    splits = dict(selection.kept.filter(pl.col("kind").is_null()).select("group", "split").iter_rows())
    leaks = [
        None if kind is None else tie_reason(kind, [(tie, splits[tie]) for tie in ties if tie in splits])
        for kind, ties in selection.kept.select("kind", "ties").iter_rows()
    ]
    if not any(leaks):
        return selection
    kept = selection.kept.with_columns(leak=pl.Series(leaks, dtype=pl.String))
    return replace(selection, kept=kept).apply([leak_rule()], exempt=())


def split_notes(selection: Selection, shares: Shares) -> list[Note]:
    """Notes that splits got fewer images than were asked for, or none at all."""
    recipe = selection.recipe
    found = dict(selection.kept.group_by("split").len().iter_rows())
    if recipe.resplits and shares.counts is not None:
        asked = asked_for(shares, recipe)
        told = [f"{split} has {found.get(split, 0)} of {count}" for split, count in asked.items() if count]
        short = any(found.get(split, 0) < count for split, count in asked.items())
        return [Note(f"--split {recipe.split}: too few images: {', '.join(told)}", "")] if short else []
    if recipe.resplits:
        wanted = [split for split, share in (shares.ratios or {}).items() if share]
    else:
        wanted = list(dict.fromkeys(split for read in selection.reads for split in carried_splits(read.carried)))
    empty = [split for split in wanted if not found.get(split)]
    if not found.keys() - set(UNLABELLED):
        return []  # nothing is labelled yet
    have = "has" if len(empty) == 1 else "have"
    return (
        [Note(f"too few images for every split: {', '.join(empty)} {have} none; count them out (--split 20/5/5)", "")]
        if empty
        else []
    )


def carried_splits(carried: pl.DataFrame | None) -> list[str]:
    """The splits of an earlier version's labelled rows."""
    if carried is None:
        return []
    return [split for split in schema.SPLITS if split not in UNLABELLED and split in set(carried["split"])]


def missing_test_notes(selection: Selection) -> list[Note]:
    """A Note for each image of an earlier test split that this one lacks."""
    earlier = earlier_dataset(selection)
    if earlier is None:
        return []
    here = set(selection.kept.filter(pl.col("split") == "test")["image_sha256"])
    what = f"images of the test split of {selection.recipe.test_from} are not in this one"
    return [Note(what, row["sample_id"]) for row in earlier.rows("test") if row["image_sha256"] not in here]


def with_folds(selection: Selection) -> Selection:
    """The selection with the folds of its training split: made anew where they are asked for or the splits are."""
    recipe, kept, seed = selection.recipe, selection.kept, selection.recipe.seed or 0
    groups = set(kept.filter(pl.col("split") == "train")["group"])
    if selection.standing is not None:
        folds = kept_folds(selection.standing.samples, groups, seed)
    elif recipe.folds:
        folds = fold_groups(groups, recipe.folds, seed)
    else:
        folds = {} if recipe.resplits else kept_folds(kept.filter(pl.col("read") == 0), groups, seed)
    found = [folds.get(group, -1) if split == "train" else -1 for group, split in kept["group", "split"].iter_rows()]
    lost = kept.filter((pl.col("split") == "train") & (pl.col("fold") >= 0))["sample_id"] if not folds else ()
    notes = [Note("images lose their fold; ask for --folds to make new ones", name) for name in lost]
    kept = kept.with_columns(fold=pl.Series(found, dtype=pl.Int8))
    return replace(selection, kept=kept, notes=[*selection.notes, *notes])


def kept_folds(version: pl.DataFrame, groups: Collection[str], seed: int) -> dict[str, int]:
    """Group -> fold as the rows of a version have it; what is joined to that version is spread over as many folds."""
    earlier = version.filter((pl.col("split") == "train") & (pl.col("fold") >= 0))
    stays: dict[str, int] = dict(earlier.sort("sample_id", descending=True).select("group", "fold").iter_rows())
    count = max(stays.values(), default=-1) + 1
    return {group: stays.get(group, fold_of(group, count, seed)) for group in groups} if count else {}
