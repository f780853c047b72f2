"""The rules a dataset was built by, held against labels that came later: who breaks one stays, and is tagged."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import polars as pl

from curate.dataset import Header
from curate.recipe import Recipe, make_recipe
from curate.rules import apply_rule
from curate.selection import people_rules
from curate.splits import RATIOS, parse_split

PREFIX = "rule:"


def build_options(header: Header) -> dict[str, Any]:
    """The options of the build that a version comes from, as its recipe holds them or as a later one hands them on."""
    options: dict[str, Any] = header.recipe.get("rules", {}) if "command" in header.recipe else header.recipe
    return options


def build_recipe(header: Header) -> Recipe:
    """The recipe of the build that a version comes from; raises UsageError where it is none that can be built."""
    return make_recipe({"name": header.name, **build_options(header)}, "recipe")


def split_ratios(recipe: Recipe) -> dict[str, float]:
    """The ratios of a build's splits; of counted ones, the counts' own."""
    shares = parse_split(recipe.split)
    if shares.ratios is not None:
        return shares.ratios
    counts = shares.counts or {}
    total = sum(counts.values())
    return {split: count / total for split, count in counts.items()} if total else dict(RATIOS)


def retagged(samples: pl.DataFrame, names: Collection[str], recipe: Recipe) -> pl.DataFrame:
    """The samples, those named tagged `rule:<name>` for each rule about people that they break now, and for no other.

    Args:
        samples: The table, with the columns of schema.SAMPLES.
        names: The sample_ids whose labels are new.
        recipe: Of the build.
    """
    chosen = samples.filter(pl.col("sample_id").is_in(list(names)) & ~pl.col("split").is_in(["pool", "background"]))
    frame = chosen.with_columns(crowd=pl.col("tags").list.contains("crowd"))
    broken: dict[str, list[str]] = {name: [] for name in chosen["sample_id"]}
    rules = people_rules(recipe)
    for rule in rules:
        for name in apply_rule(frame, rule)[1]["sample_id"]:
            broken[name].append(f"{PREFIX}{rule.name}")
    judged = {f"{PREFIX}{rule.name}" for rule in rules}
    tags = [
        [tag for tag in row["tags"] if tag not in judged] + broken[row["sample_id"]]
        if row["sample_id"] in broken
        else row["tags"]
        for row in samples.select("sample_id", "tags").iter_rows(named=True)
    ]
    return samples.with_columns(pl.Series("tags", tags, dtype=samples.schema["tags"]))
