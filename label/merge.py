"""What a hand label makes of a sample: its new target, its new row, and the record of the change. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeAlias

import msgspec
import polars as pl

from curate import schema
from curate.choosing.splits import RATIOS, fold_of, split_of
from curate.decisions import WEIGHTS
from curate.guesses import MODEL, PSEUDO
from curate.masks import IGNORE, PERSON, Target, area_fraction, iou, target_of, touched_edges
from label.formats.record import Maker

Place: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]
"""From the row of a pool image to the same in a split and fold."""

MERGES = ("replace", "union", "intersect")
"""How two masks become one."""
POLICIES = (*MERGES, "newest", "ask")
"""How a label meets the mask that is there; `newest` and `ask` choose between one of MERGES and the mask as it is."""


class Restored(msgspec.Struct, frozen=True):
    """The columns that an edit changes, beside the mask's hash, as `old_row` of `edits.parquet` keeps them."""

    people: Annotated[int, msgspec.Meta(ge=0, le=2**15 - 1)]
    area: Annotated[float, msgspec.Meta(ge=0, le=1)]
    split: str
    fold: Annotated[int, msgspec.Meta(ge=-1, le=2**7 - 1)]
    edges: str
    origin: str
    weight: Annotated[float, msgspec.Meta(ge=0)]
    tags: list[str]


RESTORED = Restored.__struct_fields__


DOUBTS = ("relabel", PSEUDO)
"""Tags of a mask that is not to be relied on; a hand label takes them off."""


def merge_targets(old: Target, new: Target, policy: str) -> Target:
    """The target that stands after a hand label meets the one that is there; both (H, W) of one size.

    Args:
        old: The sample's target.
        new: The hand label.
        policy: One of MERGES. `replace`: the hand label as it is. `union`: person where either says so. `intersect`:
            person where both do. Under the last two, what either does not count and is not person is not counted.
    """
    if policy == "replace":
        return new
    one, other = old == PERSON, new == PERSON
    person = one | other if policy == "union" else one & other
    return target_of(person, (old == IGNORE) | (new == IGNORE))


def relabelled_row(row: dict[str, Any], target: Target, mask_sha256: str, people: int | None) -> dict[str, Any]:
    """The sample's row with its new mask: what depends on the mask is computed anew, the rest stays.

    Args:
        row: One row of samples.
        target: The new target, which shows a person.
        mask_sha256: Digest of its PNG's bytes.
        people: People counted in the label; None keeps the row's number, which is at least one from now on.
    """
    return released_row(row) | {
        "mask_sha256": mask_sha256,
        "area": area_fraction(target),
        "people": max(row["people"], 1) if people is None else people,
        "edges": touched_edges(target == PERSON),
        "origin": "hand",
    }


def new_row(target: Target, people: int | None, mask_sha256: str) -> dict[str, Any]:
    """The row of a photograph that becomes a sample, as far as its label tells it; the texts it does not are empty.

    Args:
        target: Its target, which shows a person.
        people: People counted in the label; None: one.
        mask_sha256: Digest of the target's PNG.
    """
    empty = {column: "" for column, kind in schema.SAMPLES.items() if kind == pl.String}
    return empty | {
        "height": target.shape[0],
        "width": target.shape[1],
        "people": people or 1,
        "area": area_fraction(target),
        "split": "train",
        "fold": -1,
        "licence": None,
        "origin": "hand",
        "edges": touched_edges(target == PERSON),
        "touching": [],
        "head_visible": None,
        "mask_sha256": mask_sha256,
        "weight": 1.0,
        "tags": [],
    }


def released_row(row: dict[str, Any]) -> dict[str, Any]:
    """The row without the tags that doubt its mask, and with the weight they took from it; itself where it has none."""
    tags = [tag for tag in row["tags"] if tag not in DOUBTS]
    if tags == row["tags"]:
        return row
    return row | {"tags": tags, "weight": WEIGHTS["hard"] if "hard" in tags else 1.0}


def is_unlabelled(row: dict[str, Any]) -> bool:
    """Whether a sample still waits for a person's label: it lies in the pool, or its mask is a model's guess."""
    return bool(row["split"] == "pool" or row["origin"] == MODEL)


def placement(samples: pl.DataFrame, seed: int, ratios: Mapping[str, float] = RATIOS) -> Place:
    """What puts the row of a pool image that got a label where `curate build` would have put it.

    It follows its group where that has labelled images; else the hash of seed and group decides.

    Args:
        samples: The whole table; its training split says how many folds there are.
        seed: The seed the dataset was built with.
        ratios: Of its splits.
    """
    labelled = samples.filter(pl.col("split").is_in(schema.LABELLED)).select("group", "split", "fold")
    places = {group: (split, fold) for group, split, fold in labelled.reverse().iter_rows()}
    folds = max(labelled["fold"].to_list(), default=-1) + 1

    def placed(row: dict[str, Any]) -> dict[str, Any]:
        group = row["group"]
        if group in places:
            split, fold = places[group]
        else:
            split = split_of(group, seed, ratios)
            fold = fold_of(group, folds, seed) if split == "train" and folds else -1
        return row | {"split": split, "fold": fold}

    return placed


def edit_row(
    row: dict[str, Any], old: Target | None, new: Target, maker: Maker, version: int, sha256: str
) -> dict[str, Any]:
    """A row of `edits.parquet`: who changed the sample's mask with what and when, and how far.

    Args:
        row: The sample's row as it was.
        old: Its target as it was; None for an image of the pool without a guess, so that there is no IoU.
        new: Its target now.
        maker: Who made it.
        version: The version of the dataset that the edit leads to.
        sha256: Digest of the new mask's file.
    """
    agreement = None if old is None else iou(old == PERSON, new == PERSON)
    was = msgspec.json.encode({column: row[column] for column in RESTORED}).decode()
    values = (row["sample_id"], version, *maker, agreement, row["mask_sha256"], sha256, was)
    return dict(zip(schema.EDITS, values, strict=True))


def added_edit(row: dict[str, Any], maker: Maker, version: int) -> dict[str, Any]:
    """A row of `edits.parquet` for an image that was in no version before: there is no old mask, and no row."""
    values = (row["sample_id"], version, *maker, None, None, row["mask_sha256"], None)
    return dict(zip(schema.EDITS, values, strict=True))


def is_addition(edit: Mapping[str, Any] | None) -> bool:
    """Whether an edit made a photograph a sample; there is nothing before it to go back to."""
    return edit is not None and edit["old_mask_sha256"] is None


def lost_regions(old: Target, new: Target) -> bool:
    """Whether regions that were not counted are counted from now on, because the new target has none."""
    return bool((old == IGNORE).any()) and not (new == IGNORE).any()
