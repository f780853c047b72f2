"""What a hand label makes of a sample: its new target, its new row, and the record of the change. Pure."""

from __future__ import annotations

from typing import Any

import polars as pl

from curate import schema
from curate.masks import IGNORE, PERSON, Target, area_fraction, iou, target_of, touched_edges
from curate.splits import fold_of, split_of

POLICIES = ("replace", "union", "intersect")


def merge_targets(old: Target, new: Target, policy: str) -> Target:
    """The target that stands after a hand label meets the one that is there; both (H, W) of one size.

    Args:
        old: The sample's target.
        new: The hand label.
        policy: `replace`: the hand label as it is. `union`: person where either says so. `intersect`: person where
            both do. Under the last two, what either does not count and is not person is not counted.
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


def released_row(row: dict[str, Any]) -> dict[str, Any]:
    """The row without the tag `relabel`, and with the weight that tag took from it; itself where it has no such tag."""
    if "relabel" not in row["tags"]:
        return row
    tags = [tag for tag in row["tags"] if tag != "relabel"]
    return row | {"tags": tags, "weight": 1.0 if row["weight"] == 0 else row["weight"]}


def placed_row(row: dict[str, Any], samples: pl.DataFrame, seed: int) -> dict[str, Any]:
    """The row of a pool image that got a label, in the split and fold where `curate build` would have put it.

    It follows its group where that has labelled images; else the hash of seed and group decides.

    Args:
        row: A row whose split is `pool`.
        samples: The whole table; its training split says how many folds there are.
        seed: The seed the dataset was built with.
    """
    group = row["group"]
    labelled = samples.filter(pl.col("split").is_in(["train", "val", "test"]))
    kin = labelled.filter(pl.col("group") == group)
    if kin.height:
        return row | kin.select("split", "fold").row(0, named=True)
    split = split_of(group, seed)
    folds = max(labelled["fold"].to_list(), default=-1) + 1
    if split != "train" or not folds:
        return row | {"split": split, "fold": -1}
    return row | {"split": split, "fold": fold_of(group, folds, seed)}


def edit_row(
    row: dict[str, Any], old: Target | None, new: Target, tool: str, author: str | None, sha256: str
) -> dict[str, Any]:
    """A row of `edits.parquet`: who changed the sample's mask with what, and the IoU of the old and the new person.

    Without an old label (`old` None: an image of the pool) there is no IoU.
    """
    agreement = None if old is None else iou(old == PERSON, new == PERSON)
    values = (row["sample_id"], tool, author, agreement, row["mask_sha256"], sha256)
    return dict(zip(schema.EDITS, values, strict=True))


def lost_regions(old: Target, new: Target) -> bool:
    """Whether regions that were not counted are counted from now on, because the new target has none."""
    return bool((old == IGNORE).any()) and not (new == IGNORE).any()
