"""Named rules as polars expressions, each with the reason it gives for a drop.

A rule is one row in a list: adding one means adding an expression over the candidate table's columns. The order of
the list is the order they are applied in; an image is dropped by the first rule it fails.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import polars as pl

from curate import schema
from curate.dataset import FunnelStep, Source
from curate.errors import UsageError

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


BESIDE = {"background": "empty scenes", "pool": "the pool"}
"""Splits whose images count among those with people, in words."""


def people_rule(least: int, beside: Sequence[str] = ()) -> Rule:
    """At least this many people; the label names the splits in `beside`, whose images need none."""
    others = " and ".join(words for split, words in BESIDE.items() if split in beside)
    return Rule(
        "people",
        ("with a person" if least == 1 else f"at least {least} people") + (f" (and {others})" if others else ""),
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


def side_rule(least_px: int) -> Rule:
    """The shorter side of the image has at least this many pixels."""
    side = pl.min_horizontal("width", "height")
    return Rule(
        "side",
        f"sides of at least {least_px} px",
        side >= least_px,
        side,
        pl.lit(least_px),
        pl.format("is {}x{} px (WxH), its shorter side under {}", "width", "height", pl.lit(least_px)),
    )


def intact_rule(most_edges: int) -> Rule:
    """The people are cut by at most this many image edges, and show their heads where keypoints tell."""
    cut = pl.col("edges").str.len_chars()
    headless = pl.col("head_visible").eq_missing(False)
    return Rule(
        "intact",
        f"heads visible, cut by at most {most_edges} {'edge' if most_edges == 1 else 'edges'}",
        (cut <= most_edges) & ~headless,
        pl.when(cut > most_edges).then(cut).otherwise(pl.lit(0)),
        pl.when(cut > most_edges).then(pl.lit(most_edges)).otherwise(pl.lit(1)),
        pl.when(cut > most_edges)
        .then(pl.format("the image's edges {} cut the person, more than {}", "edges", pl.lit(most_edges)))
        .otherwise(pl.lit("someone's head is not visible, by the keypoints")),
    )


def body_part_rule(least: int) -> Rule:
    """Everyone whose keypoints are labelled shows at least this many: no hand, no foot alone."""
    found = pl.col("keypoints")
    return Rule(
        "intact",
        f"at least {least} visible keypoints, where labelled",
        found.is_null() | (found >= least),
        found,
        pl.lit(least),
        pl.format("shows a part of a body: {} visible keypoints, fewer than {}", found, pl.lit(least)),
    )


def parts_rule(most: int) -> Rule:
    """The foreground lies in at most this many separate parts."""
    found = pl.col("parts")
    return Rule(
        "parts",
        f"at most {most} separate {'part' if most == 1 else 'parts'}",
        found <= most,
        found,
        pl.lit(most),
        pl.format("the mask lies in {} separate parts, more than {}", found, pl.lit(most)),
    )


def spacing_rule(most: float) -> Rule:
    """The polygons have a vertex at least every so often along their outline, as a share of the image's diagonal."""
    return coarse_rule("spacing", most, "a vertex at least every {}", "the polygon has a vertex only every {} px")


def stairs_rule(most: float) -> Rule:
    """The mask's outline has no larger stairs, as a share of the image's diagonal."""
    return coarse_rule("stairs", most, "stairs of at most {}", "the mask's outline has stairs of {} px")


def coarse_rule(column: str, most: float, label: str, detail: str) -> Rule:
    """A measure of coarseness in `column`, px, held against a share of the diagonal; null where there is none."""
    diagonal = (pl.col("width").cast(pl.Float64) ** 2 + pl.col("height").cast(pl.Float64) ** 2).sqrt()
    share = pl.col(column) / diagonal
    return Rule(
        "coarse",
        label.format(percent(most)) + " of the diagonal",
        pl.col(column).is_null() | (share <= most),
        share,
        pl.lit(most),
        pl.format(
            detail + ", {} % of the diagonal, more than {}",
            pl.col(column).round(1),
            (share * 100).round(2),
            pl.lit(percent(most)),
        ),
    )


def duplicate_rule(kind: str) -> Rule:
    """No copy of an image that is kept: of the same bytes (`exact`), or nearly the same picture as well (`near`)."""
    copy = pl.col("copy_of").is_not_null() & (pl.lit(kind == "near") | pl.col("copy_exact"))
    return Rule(
        "duplicate",
        "no exact duplicates" if kind == "exact" else "no near duplicates",
        ~copy,
        detail=pl.when("copy_exact")
        .then(pl.format("has the same bytes as {}", "copy_of"))
        .otherwise(pl.format("is nearly the same picture as {}", "copy_of")),
    )


def leak_rule() -> Rule:
    """No image that would tie two splits together."""
    return Rule("leak", "in one split alone", pl.col("leak").is_null(), detail=pl.col("leak"))


def where_rule(text: str) -> Rule:
    """The user's expression is true; the detail names the values of its columns."""
    condition = parse_where(text)
    names = list(dict.fromkeys(condition.meta.root_names()))
    values = [pl.format(f"{name} is {{}}", shown(name)) for name in names]
    return Rule("where", f"where {text}", condition, detail=pl.concat_str(values, separator=", "))


def shown(column: str) -> pl.Expr:
    """A column's values as text, fractions to four digits, null as `null`."""
    if isinstance(schema.SAMPLES[column], pl.List):
        return pl.concat_str(pl.lit("["), pl.col(column).list.join(", "), pl.lit("]"))
    value = pl.col(column).round_sig_figs(4) if schema.SAMPLES[column].is_float() else pl.col(column)
    return value.cast(pl.String).fill_null("null")


QUOTED = re.compile(r"""('(?:[^']|'')*'|"[^"]*")""")
OPERATORS = re.compile(r"[-+*/%=<>|!]+|\b(?:and|or|not|between|in|like|when)\b", re.IGNORECASE)
GROWING = re.compile(r"\b(?:lpad|rpad|repeat|replace)\s*\(", re.IGNORECASE)
"""Functions that make a text of any length."""
MOST_LETTERS, MOST_OPERATORS = 10_000, 200
"""Of a condition, which may be a stranger's: `curate check` asks the one in the header of a dataset."""


def parse_where(text: str) -> pl.Expr:
    """A condition over the columns of `samples.parquet`, in the words of SQL's WHERE.

    Raises:
        UsageError: It cannot be read, names an unknown column, is no condition on single images, or asks for too much.
    """
    example = "For example: --where \"area > 0.3 and people == 1 and source = 'coco'\""
    bare = QUOTED.sub("''", text)
    if len(text) > MOST_LETTERS or len(OPERATORS.findall(bare)) > MOST_OPERATORS:
        most = f"expected at most {MOST_LETTERS:,} letters and {MOST_OPERATORS} operators"
        raise UsageError(f"--where {text[:60]!r}...: {most}. Name the images in --decisions instead")
    if growing := GROWING.search(bare):
        raise UsageError(f"--where {text[:60]!r}: {growing[0][:-1].strip()} is not allowed, it can take any memory")
    try:
        condition = pl.sql_expr(quote_group(text))
        found = schema.SAMPLES.to_frame().select(condition.alias("where"))
    except pl.exceptions.ColumnNotFoundError as error:
        columns = ", ".join(schema.SAMPLES)
        what = str(error).split(";")[0]
        raise UsageError(f"--where {text!r}: {what}. Columns: {columns}. Texts stand in single quotes") from error
    except pl.exceptions.PolarsError as error:
        raise UsageError(f"--where {text!r}: {str(error).splitlines()[0]}. {example}") from error
    if found.schema["where"] != pl.Boolean or looks_at_others(condition):
        raise UsageError(f"--where {text!r}: is no condition that one image meets or not. {example}")
    return condition


def quote_group(text: str) -> str:
    """The expression with the column `group`, whose name is a word of SQL, in double quotes.

    >>> print(quote_group("group = 'a group' and area > 0"))
    "group" = 'a group' and area > 0
    """
    parts = QUOTED.split(text)
    return "".join(re.sub(r"\bgroup\b", '"group"', part) if not part.startswith(("'", '"')) else part for part in parts)


PROBES: dict[Any, list[Any]] = {
    **{kind: [0, 1, 2] for kind in (pl.Int8, pl.Int16, pl.Int32)},
    **{kind: [0.05, 0.5, 0.95] for kind in (pl.Float32, pl.Float64)},
    **{pl.Boolean: [True, False, None], pl.String: ["a", "b", "c"], schema.STRINGS: [[], ["a"], ["a", "b"]]},
}
"""Values of each type that differ from image to image."""


def looks_at_others(condition: pl.Expr) -> bool:
    """Whether a condition hangs on which other images there are, as one with `avg(area)` does, or on no image at all.

    Told by trying: of a few rows, alone and among a thousand, it must say the same.
    """
    rows = probes(1200)
    try:
        together = rows.select(where=condition)["where"]
        alone = pl.concat([rows[at : at + 1].select(where=condition) for at in ALONE])["where"]
    except pl.exceptions.PolarsError:  # of these values it cannot be computed, as a cast may fail; of real ones it may
        return False
    return together.len() != rows.height or not together.gather(ALONE).equals(alone)


ALONE = [0, 1, 4, 40, 121, 364, 800, 1199]


@cache
def probes(count: int) -> pl.DataFrame:
    """So many rows of `samples.parquet`, in which no column follows from another: each counts at a pace of its own."""
    paces = [3 ** (number % 5) for number in range(len(schema.SAMPLES))]
    values = {
        name: [PROBES[kind][row // pace % 3] for row in range(count)]
        for (name, kind), pace in zip(schema.SAMPLES.items(), paces, strict=True)
    }
    return pl.DataFrame(values, schema=schema.SAMPLES)


def take_rule(label: str) -> Rule:
    """In the seeded sample of its source, or within the fixed counts of the splits; `over` is the limit it exceeds."""
    return Rule(
        "take",
        label,
        pl.col("over").is_null(),
        limit=pl.col("over"),
        detail=pl.format("is one more than the {} that were asked for", "over"),
    )


SOURCE_KINDS = ("coco", "voc", "pairs", "pool")
"""Kinds of sources that hold images, by which `--take` names all of a kind."""


def capped_by(take: Mapping[str, int], sources: Iterable[Source]) -> dict[str, str]:
    """Source -> the name in `--take` that is about it: its own, else that of its kind.

    >>> files = [Source("coco", name, None, {}) for name in ("coco", "coco-2", "street")]
    >>> capped_by({"coco": 1000, "street": 50}, files)
    {'coco': 'coco', 'coco-2': 'coco', 'street': 'street'}
    """
    return {one.name: one.name if one.name in take else one.kind for one in sources if one.kind in SOURCE_KINDS}


def decision_rule() -> Rule:
    """No reviewer excluded the image."""
    excluded, note = pl.col("verdict").eq_missing("exclude"), pl.col("verdict_note")
    reason = pl.when(note.fill_null("") == "").then(pl.lit("a reviewer excluded it")).otherwise(note)
    return Rule("decision", "not excluded by a reviewer", ~excluded, detail=reason)


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
