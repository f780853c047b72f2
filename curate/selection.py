"""Which images are kept and why the others are not: read the sources, measure what is open, apply the rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from curate.dataset import Dataset, FunnelStep, open_dataset
from curate.decisions import Decision, read_decisions
from curate.errors import UsageError
from curate.recipe import Recipe
from curate.rules import Rule, apply_rules, area_rule, crowd_rule, decision_rule, people_rule, unreadable_rule
from curate.sources import Note, Read
from curate.sources.reading import read_sources
from curate.sources.version import read_version
from curate.threads import Watch, map_threads, unwatched

UNLABELLED = ("pool", "background")
"""Splits of images that show nobody or have no label: the rules about people leave them alone."""


@dataclass(frozen=True)
class Selection:
    """Which candidates are kept, and why the others are not.

    Attributes:
        recipe: What was asked for.
        reads: The sources, as they were read.
        parent: The dataset the candidates come from, with `--from`.
        candidates: Every image looked at, measured where it had to be.
        kept: The rows all rules keep.
        drops: The others, in the columns of `drops.parquet`.
        funnel: What was left after each rule.
        notes: What was odd, and what was done about it.
    """

    recipe: Recipe
    reads: list[Read]
    parent: Dataset | None
    candidates: pl.DataFrame
    kept: pl.DataFrame
    drops: pl.DataFrame
    funnel: list[FunnelStep]
    notes: list[Note]


def select(recipe: Recipe, watch: Watch = unwatched) -> Selection:
    """Read the sources, measure what has to be measured, apply the rules. Writes nothing."""
    parent = open_dataset(Path(recipe.from_)) if recipe.from_ is not None else None
    reads = [read_version(parent)] if parent else read_sources(recipe, watch)
    decisions = read_decisions(Path(recipe.decisions)) if recipe.decisions is not None else {}
    candidates = join_decisions(gather(reads), decisions)
    notes = [note for read in reads for note in read.notes] + unknown_decisions(candidates, decisions)
    measured, found = measure(candidates, reads, recipe, watch)
    exempt = measured.filter(pl.col("unlabelled"))
    kept, drops, steps = apply_rules(measured.filter(~pl.col("unlabelled")), rules_of(recipe))
    spared, dropped, _ = apply_rules(exempt, [decision_rule()])
    funnel = [FunnelStep("looked at", "looked at", candidates.height)]
    funnel += [FunnelStep(step.rule, step.label, step.remaining + exempt.height) for step in steps]
    if dropped.height:
        funnel[-1] = FunnelStep(funnel[-1].rule, funnel[-1].label, funnel[-1].remaining - dropped.height)
    kept = pl.concat([kept, spared]).sort("sample_id")
    return Selection(recipe, reads, parent, measured, kept, pl.concat([drops, dropped]), funnel, notes + found)


def rules_of(recipe: Recipe) -> list[Rule]:
    """The recipe's rules in the order they are applied."""
    rules = [unreadable_rule("readable label"), people_rule(recipe.min_people)]
    rules += [crowd_rule(recipe.max_people)] if recipe.max_people is not None else []
    rules += [area_rule(recipe.min_area, recipe.max_area)]
    rules += [decision_rule()] if recipe.decisions is not None else []
    return rules


def gather(reads: Sequence[Read]) -> pl.DataFrame:
    """All candidates in one table; `read` says which source a row's labels are asked from.

    Raises:
        UsageError: Two sources give one sample_id.
    """
    tables = [
        read.candidates.with_columns(read=pl.lit(index, pl.Int64), unlabelled=unlabelled(read))
        for index, read in enumerate(reads)
    ]
    candidates = pl.concat(tables).sort("sample_id")
    twice = candidates.filter(pl.col("sample_id").is_duplicated())
    if twice.height:
        first = twice.row(0, named=True)["sample_id"]
        raise UsageError(
            f"two sources call an image {first!r}. Give one another name: --coco NAME=JSON, --voc NAME=ROOT"
        )
    return candidates


def unlabelled(read: Read) -> pl.Series:
    """Which candidates of a source show nobody on purpose, or have no label yet."""
    if read.carried is None:
        return pl.Series([False]).new_from_index(0, read.candidates.height)
    return read.carried["split"].is_in(UNLABELLED)


def join_decisions(candidates: pl.DataFrame, decisions: dict[str, Decision]) -> pl.DataFrame:
    """The candidates with a reviewer's verdict and note, null where there is none."""
    table = pl.DataFrame(
        {
            "sample_id": list(decisions),
            "verdict": [decision.verdict for decision in decisions.values()],
            "verdict_note": [decision.note for decision in decisions.values()],
        },
        schema={"sample_id": pl.String, "verdict": pl.String, "verdict_note": pl.String},
    )
    return candidates.join(table, on="sample_id", how="left", maintain_order="left")


def unknown_decisions(candidates: pl.DataFrame, decisions: dict[str, Decision]) -> list[Note]:
    """A Note for each decision about an image that was not looked at."""
    unknown = sorted(decisions.keys() - set(candidates["sample_id"]))
    return [Note("decisions are about images that were not looked at", sample_id) for sample_id in unknown]


def measure(
    candidates: pl.DataFrame, reads: Sequence[Read], recipe: Recipe, watch: Watch
) -> tuple[pl.DataFrame, list[Note]]:
    """The candidates with exact `people`, `crowd` and `area` where the stated number of people leaves it open."""
    enough = pl.col("people").is_null() | (pl.col("people") >= recipe.min_people)
    wanted = candidates.filter(pl.col("unreadable").is_null() & (enough | pl.col("unlabelled")))
    rows = list(wanted.select("read", "row").iter_rows())
    tick = watch("measuring", len(rows))
    found = map_threads(lambda at: reads[at[0]].labels.measure(at[1], recipe.max_people), rows, tick)
    table = pl.DataFrame(
        {
            "sample_id": wanted["sample_id"],
            "exact": [one.people for one in found],
            "crowd": [one.crowd for one in found],
            "area": [one.area for one in found],
            "damage": [one.unreadable for one in found],
        },
        schema={
            "sample_id": pl.String,
            "exact": pl.Int64,
            "crowd": pl.Boolean,
            "area": pl.Float64,
            "damage": pl.String,
        },
    )
    joined = candidates.join(table, on="sample_id", how="left", maintain_order="left")
    measured = joined.with_columns(
        people=pl.coalesce("exact", "people"),
        crowd=pl.col("crowd").fill_null(False),
        unreadable=pl.coalesce("unreadable", "damage"),
    )
    return measured.drop("exact", "damage"), [note for one in found for note in one.notes]
