"""The rules a dataset was built by, held against labels that came later: who breaks one stays, and is tagged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import polars as pl

from curate.checks.rules import TRAITS, as_judged, rules_of
from curate.choosing.choose import traits_of
from curate.choosing.recipe import Recipe, make_recipe
from curate.choosing.rules import apply_rule
from curate.choosing.splits import RATIOS, parse_split
from curate.dataset import Header
from curate.guesses import RULE_TAG
from curate.images import read_target
from curate.masks import PERSON, count_parts, stairs_px
from curate.schema import UNLABELLED


def build_recipe(header: Header) -> Recipe:
    """The recipe of the build that a version comes from; raises UsageError where it is none that can be built."""
    return make_recipe({"name": header.name, **header.built_by}, "recipe")


def split_ratios(recipe: Recipe) -> dict[str, float]:
    """The ratios of a build's splits; of counted ones, the counts' own."""
    shares = parse_split(recipe.split)
    if shares.ratios is not None:
        return shares.ratios
    counts = shares.counts or {}
    total = sum(counts.values())
    return {split: count / total for split, count in counts.items()} if total else dict(RATIOS)


def retagged(samples: pl.DataFrame, masks: Mapping[str, Path], recipe: Recipe) -> pl.DataFrame:
    """The samples, those with a new mask tagged `rule:<name>` for each rule that they break now, and for no other.

    Args:
        samples: The table, with the columns of schema.SAMPLES.
        masks: The files of the new masks, by sample_id.
        recipe: Of the build.
    """
    chosen = samples.filter(pl.col("sample_id").is_in(list(masks)) & ~pl.col("split").is_in(UNLABELLED))
    frame = as_judged(chosen, measured(chosen["sample_id"], masks, recipe))
    broken: dict[str, list[str]] = {name: [] for name in chosen["sample_id"]}
    judged = set[str]()
    for rule, _ in rules_of(recipe):
        with suppress(pl.exceptions.PolarsError):  # a condition of the user's that cannot be computed of some image
            for name in apply_rule(frame, rule)[1]["sample_id"]:
                broken[name].append(f"{RULE_TAG}{rule.name}")
            judged.add(f"{RULE_TAG}{rule.name}")
    tags = [
        [tag for tag in row["tags"] if tag not in judged] + broken[row["sample_id"]]
        if row["sample_id"] in broken
        else row["tags"]
        for row in samples.select("sample_id", "tags").iter_rows(named=True)
    ]
    return samples.with_columns(pl.Series("tags", tags, dtype=samples.schema["tags"]))


def measured(names: Iterable[str], masks: Mapping[str, Path], recipe: Recipe) -> pl.DataFrame:
    """What the rules ask of the pixels of new masks: `sample_id`, `parts`, `stairs`; no rows where they ask nothing."""
    asked = traits_of(recipe)
    rows = []
    for name in names if asked else ():
        person = read_target(masks[name]) == PERSON
        rows.append((name, count_parts(person), stairs_px(person)))
    return pl.DataFrame(rows, schema=TRAITS, orient="row")
