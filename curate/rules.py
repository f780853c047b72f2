"""Named rules as polars expressions, each with the reason it gives for a drop.

A rule is one row in a list: adding one means adding an expression over the candidate table's columns. The order of
the list is the order they are applied in; an image is dropped by the first rule it fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from curate import schema
from curate.dataset import FunnelStep

NOTHING, NO_WORDS = pl.lit(None, pl.Float64), pl.lit("")


@dataclass(frozen=True)
class Rule:
    """A condition every kept image meets.

    Attributes:
        name: One of schema.RULES.
        label: What remains after it, for the funnel: "at most 2 people".
        keep: True for the images kept; null drops.
        value: What was found, as it goes into `drops.parquet`.
        limit: What it was held against.
        detail: The reason in words.
    """

    name: str
    label: str
    keep: pl.Expr
    value: pl.Expr = NOTHING
    limit: pl.Expr = NOTHING
    detail: pl.Expr = NO_WORDS


def unreadable_rule(label: str) -> Rule:
    """Nothing was wrong with the image so far."""
    return Rule("unreadable", label, pl.col("unreadable").is_null(), detail=pl.col("unreadable"))


def people_rule(least: int) -> Rule:
    """At least this many people."""
    return Rule(
        "people",
        "with a person" if least == 1 else f"at least {least} people",
        pl.col("people") >= least,
        pl.col("people"),
        pl.lit(least),
        pl.when(pl.col("people") == 0)
        .then(pl.lit("shows nobody"))
        .otherwise(pl.format("shows {} people, fewer than {}", "people", pl.lit(least))),
    )


def crowd_rule(most: int) -> Rule:
    """At most this many people, and no crowd, which is more than can be counted."""
    return Rule(
        "crowd",
        f"at most {most} {'person' if most == 1 else 'people'}",
        (pl.col("people") <= most) & ~pl.col("crowd"),
        pl.when("crowd").then(pl.lit(float("inf"))).otherwise(pl.col("people").cast(pl.Float64)),
        pl.lit(most),
        pl.when("crowd")
        .then(pl.lit("shows a crowd"))
        .otherwise(pl.format("shows {} people, more than {}", "people", pl.lit(most))),
    )


def area_rule(least: float, most: float) -> Rule:
    """The union of the people covers a share of the counted pixels within [least, most]."""
    area = pl.col("area")
    share = (area * 100).round(1)
    return Rule(
        "area",
        f"area {percent(least)} to {percent(most)}",
        area.is_between(least, most),
        area,
        pl.when(area < least).then(pl.lit(least)).otherwise(pl.lit(most)),
        pl.when(area < least)
        .then(pl.format("people cover {} %, less than {}", share, pl.lit(percent(least))))
        .otherwise(pl.format("people cover {} %, more than {}", share, pl.lit(percent(most)))),
    )


def decision_rule() -> Rule:
    """No reviewer excluded the image."""
    excluded = pl.col("verdict").eq_missing("exclude")
    return Rule("decision", "not excluded by a reviewer", ~excluded, detail=pl.col("verdict_note"))


def percent(fraction: float) -> str:
    """A fraction for people.

    >>> percent(0.2), percent(0.125)
    ('20 %', '12.5 %')
    """
    return f"{100 * fraction:.10g} %"


def apply_rule(frame: pl.DataFrame, rule: Rule) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows the rule keeps, and the rows of `drops.parquet` for the others."""
    keep = rule.keep.fill_null(False)
    dropped = frame.filter(~keep).select(
        "sample_id",
        "source",
        rule=pl.lit(rule.name),
        value=rule.value.cast(pl.Float64),
        limit=rule.limit.cast(pl.Float64),
        detail=rule.detail,
    )
    return frame.filter(keep), dropped.cast(schema.DROPS)


def apply_rules(frame: pl.DataFrame, rules: Sequence[Rule]) -> tuple[pl.DataFrame, pl.DataFrame, list[FunnelStep]]:
    """The rows all rules keep, every drop, and the funnel with a step for each rule."""
    drops, steps = [schema.DROPS.to_frame()], []
    for rule in rules:
        frame, dropped = apply_rule(frame, rule)
        drops.append(dropped)
        steps.append(FunnelStep(rule.name, rule.label, frame.height))
    return frame, pl.concat(drops), steps
