"""Whether every rule of a dataset's recipe still holds; row by row they are the very rules of the build. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from curate.checks import Finding
from curate.checks.tables import LEARNED_FROM
from curate.choosing.choose import drawn_rules, exempt_of, last_rules_of
from curate.choosing.duplicates import near_pairs
from curate.choosing.recipe import Recipe
from curate.choosing.rules import Rule, apply_rule, capped_by, parse_where, side_rule
from curate.choosing.selection import people_rules
from curate.choosing.splits import parse_split
from curate.dataset import Source
from curate.guesses import is_guessed
from curate.schema import UNLABELLED

ADVICE = "Build again with --force"
UNSEEN = {"max_spacing": "spacing", "min_keypoints": "keypoints"}
"""Options whose rules ask for what only the sources tell, and the columns they ask for."""
TRAITS = pl.Schema({"sample_id": pl.String, "parts": pl.Int64, "stairs": pl.Float64})
"""Measures of masks that rules ask for."""


def check_rules(
    table: Path, samples: pl.DataFrame, recipe: Recipe, traits: pl.DataFrame
) -> tuple[list[Finding], list[str]]:
    """Findings about rows that break a rule, and remarks: on those that may by their tags, and on rules left out.

    Args:
        table: `samples.parquet`, for the findings.
        samples: The rows.
        recipe: Whose rules are held against them.
        traits: `sample_id`, `parts` and `stairs` of the masks that could be read.
    """
    frame = as_judged(samples, traits)
    findings, remarks = [], left_out(recipe)
    for rule, exempt in rules_of(recipe):
        try:
            broken = apply_rule(frame.filter(~pl.col("split").is_in(exempt)), rule)[1]
        except pl.exceptions.PolarsError as error:
            remarks.append(f"the rule {rule.label!r} cannot be computed: {str(error).splitlines()[0]}")
            continue
        wanted = frame.filter(pl.col("tags").list.contains(f"rule:{rule.name}")).select("sample_id")
        findings += [
            Finding(f"rule {rule.name}", f"{table}: {name}", detail or "breaks the rule", rule.label, ADVICE)
            for name, detail in broken.join(wanted, on="sample_id", how="anti")
            .select("sample_id", "detail")
            .iter_rows()
        ]
        remarks += on_purpose(rule, broken.join(wanted, on="sample_id", how="semi")["sample_id"])
    return findings, remarks


def as_judged(samples: pl.DataFrame, traits: pl.DataFrame) -> pl.DataFrame:
    """The samples with every column that a rule may ask for; what is not known of an image breaks none.

    Args:
        samples: Rows of `samples.parquet`.
        traits: The columns of TRAITS, of some of them.
    """
    unseen = [pl.lit(None, pl.Float64).alias(column) for column in UNSEEN.values()]
    crowd = pl.col("tags").list.contains("crowd").fill_null(False)
    return samples.join(traits, on="sample_id", how="left", maintain_order="left").with_columns(
        *unseen, pl.col("parts").fill_null(0), crowd=crowd
    )


def rules_of(recipe: Recipe) -> list[tuple[Rule, Sequence[str]]]:
    """The rules that rows and masks can be held against, each with the splits it passes over."""
    rules: list[tuple[Rule, Sequence[str]]] = [(rule, UNLABELLED) for rule in people_rules(recipe)]
    rules += [(side_rule(recipe.min_side), ())] if recipe.min_side else []
    rules += [(rule, UNLABELLED) for rule in drawn_rules(recipe)]
    if not met_before_splits(recipe):
        rules += [(rule, exempt_of(rule, recipe)) for rule in last_rules_of(recipe) if rule.name == "where"]
    return rules


def met_before_splits(recipe: Recipe) -> bool:
    """Whether the condition `--where` is about splits or folds that were settled after it was met."""
    columns = parse_where(recipe.where).meta.root_names() if recipe.where is not None else []
    return (recipe.resplits and "split" in columns) or ((recipe.resplits or recipe.folds > 0) and "fold" in columns)


def left_out(recipe: Recipe) -> list[str]:
    """A remark for each rule of the recipe that a finished dataset cannot be held against."""
    plain = Recipe()
    options = [option for option in UNSEEN if getattr(recipe, option) != getattr(plain, option)]
    options += ["where"] if met_before_splits(recipe) else []
    return [
        f"the rule of --{option.replace('_', '-')} was not checked: what it asks for is not kept in a dataset"
        for option in options
    ]


def on_purpose(rule: Rule, names: pl.Series) -> list[str]:
    """The remark on rows that break a rule and are tagged `rule:<name>`; none without such rows."""
    if names.is_empty():
        return []
    told = f"{names.len()} images break the rule {rule.name} ({rule.label}) and are kept, tagged rule:{rule.name}"
    return [f"{told}; the first: {names.sort()[0]}"]


def check_counts(table: Path, samples: pl.DataFrame, recipe: Recipe, sources: Sequence[Source]) -> Iterator[Finding]:
    """Findings where a source, a split or the empty scenes hold more images than the recipe asks for, or folds lack."""
    scenes = samples.filter(pl.col("split") == "background").height
    if recipe.from_ is None and scenes > recipe.backgrounds:
        yield Finding(
            "rule people", str(table), f"holds {scenes} empty scenes", f"{recipe.backgrounds} at most", ADVICE
        )
    capped = pl.col("source").replace(capped_by(recipe.take, sources))
    for name, most in sorted(recipe.take.items()):
        found = samples.filter((capped == name) & (pl.col("split") != "background")).height
        if found > most:
            yield Finding("rule take", str(table), f"holds {found} images of {name}", f"{most} at most", ADVICE)
    counts = parse_split(recipe.split).counts or {}
    for split, most in counts.items():
        found = samples.filter((pl.col("split") == split) & ~is_guessed()).height
        if recipe.resplits and found > most and not (split == "test" and recipe.test_from is not None):
            yield Finding("rule take", str(table), f"holds {found} images of the split {split}", f"{most}", ADVICE)
    if recipe.folds:
        odd = samples.filter((pl.col("split") == "train") & ~pl.col("fold").is_between(0, recipe.folds - 1))
        for name, fold in odd.select("sample_id", "fold").iter_rows():
            yield Finding("fold", f"{table}: {name}", f"fold is {fold}", f"0 to {recipe.folds - 1}", ADVICE)


def copies_of(names: Sequence[str], signatures: Sequence[bytes]) -> list[tuple[str, str]]:
    """Pairs of samples that show nearly the same picture, by the signatures of their photographs."""
    if not names:
        return []
    stacked = np.frombuffer(b"".join(signatures), np.uint8).reshape(len(names), -1)
    return [(names[int(one)], names[int(other)]) for one, other in near_pairs(stacked)]


def check_copies(
    table: Path, samples: pl.DataFrame, duplicates: str, pairs: Sequence[tuple[str, str]]
) -> Iterator[Finding]:
    """Findings where copies are kept that the recipe forbids, or near ones lie where one is learned and one tested.

    Args:
        table: `samples.parquet`, for the findings.
        samples: The rows.
        duplicates: `keep`, `exact` or `near`, as `--duplicates` has it.
        pairs: Samples that show nearly the same picture.
    """
    if duplicates != "keep":
        doubled = samples.filter(pl.col("image_sha256").is_duplicated() & (~pl.col("image_sha256").is_first_distinct()))
        first = samples.unique("image_sha256", keep="first", maintain_order=True).select(
            "image_sha256", other="sample_id"
        )
        for name, other in (
            doubled.join(first, on="image_sha256").select("sample_id", "other").sort("sample_id").iter_rows()
        ):
            found = f"has the same bytes as {other}"
            yield Finding("rule duplicate", f"{table}: {name}", found, "no exact duplicates", ADVICE)
    split_of = dict(samples.select("sample_id", LEARNED_FROM).iter_rows())
    for one, other in pairs:
        if duplicates == "near":
            found = f"is nearly the same picture as {one}"
            yield Finding("rule duplicate", f"{table}: {other}", found, "no near duplicates", ADVICE)
        if "pool" not in (split_of[one], split_of[other]) and split_of[one] != split_of[other]:
            found = f"is nearly the same picture as {one} ({split_of[one]}), in the split {split_of[other]}"
            yield Finding("rule leak", f"{table}: {other}", found, "both in one split", ADVICE)
