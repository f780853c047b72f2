"""What holds for every single row of `samples.parquet`, as polars expressions. Pure; opens nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from curate import schema
from curate.checks import REBUILD, Finding
from curate.classes import DIGITS, PREFIX, is_class_tags
from curate.dataset import is_file_name, is_image_path, is_mask_path
from curate.decisions import WEIGHTS
from curate.guesses import ALLOWED, is_guessed
from curate.images import MAX_PIXELS
from curate.schema import UNLABELLED

HASH = "^[0-9a-f]{64}$"
CLASSES = f"^{PREFIX}[0-9a-f]{{{DIGITS}}}$"


@dataclass(frozen=True)
class Claim:
    """What holds for every row.

    Attributes:
        kind: Of the findings.
        holds: True for a sound row; null counts as not.
        found: What stands in a row, as text.
        expected: What should stand there, as text.
    """

    kind: str
    holds: pl.Expr
    found: pl.Expr
    expected: pl.Expr


def shown(column: str) -> pl.Expr:
    """`people is 3`."""
    return pl.format(f"{column} is {{}}", pl.col(column).cast(pl.String).fill_null("null"))


def cell(column: str, holds: pl.Expr, expected: str) -> Claim:
    """A claim about one column."""
    return Claim(column, holds, shown(column), pl.lit(expected))


def filled() -> Claim:
    """No cell is null but for those of schema.OPTIONAL."""
    columns = [name for name in schema.SAMPLES if name not in schema.OPTIONAL]
    empty = [pl.when(pl.col(name).is_null()).then(pl.lit(name)) for name in columns]
    found = pl.concat_str(empty, separator=", ", ignore_nulls=True) + " is null"
    return Claim("empty cell", ~pl.any_horizontal(pl.col(*columns).is_null()), found, pl.lit("a value"))


def names() -> list[Claim]:
    """The sample_id is a file's name, and the files are called after it."""
    named = pl.concat_str(pl.lit("images/"), pl.col("sample_id"), pl.lit(".<ext>"))
    mask = pl.concat_str(pl.lit("masks/"), pl.col("sample_id"), pl.lit(".png"))
    return [
        cell("sample_id", is_file_name(), "a file name"),
        Claim("image path", is_image_path(), shown("image"), named),
        Claim("mask path", is_mask_path(), shown("mask"), mask),
    ]


def people() -> list[Claim]:
    """Somebody is in every labelled image, and nobody in the others but where a model guessed so."""
    labelled, area = ~pl.col("split").is_in(UNLABELLED), pl.col("area")
    found = pl.format("people is {} and area {} in the split {}", "people", "area", "split")
    guess_in_pool = is_guessed() & (pl.col("split") == "pool")
    somebody, nobody = (area > 0) & (pl.col("people") >= 1), (area == 0) & (pl.col("people") == 0)
    return [
        cell("people", pl.col("people") >= 0, "0 or more"),
        cell("area", area.is_between(0, 1), "a share, 0 to 1"),
        Claim("nobody there", ~labelled | somebody, found, pl.lit("somebody, or the split pool or background")),
        Claim("somebody there", labelled | nobody | guess_in_pool, found, pl.lit("nobody")),
    ]


def verdicts() -> list[Claim]:
    """The weight is the one a reviewer's verdict in the tags gives."""
    tags, weight = pl.col("tags"), pl.col("weight")
    given = (
        pl.when(tags.list.contains("relabel"))
        .then(WEIGHTS["relabel"])
        .when(tags.list.contains("hard"))
        .then(WEIGHTS["hard"])
        .when(weight > 0)
        .then(weight)
    )
    listed = pl.format("[{}]", tags.list.join(", "))
    found = pl.format("weight is {} with the tags {}", weight, listed)
    return [
        cell("weight", weight.is_finite() & (weight >= 0), "0 or more"),
        Claim("excluded", ~tags.list.contains("exclude"), pl.format("tags are {}", listed), pl.lit("no tag exclude")),
        Claim("weight and verdict", weight == given, found, pl.lit("0 with the tag relabel alone, 2 with hard")),
    ]


def classes() -> Claim:
    """The tag of a class mask is one, and a hash."""
    tagged = pl.col("tags").list.eval(pl.element().filter(is_class_tags()))
    holds = (tagged.list.len() == 0) | ((tagged.list.len() == 1) & tagged.list.first().str.contains(CLASSES))
    found = pl.format("tags are [{}]", tagged.list.join(", "))
    return Claim("classes tag", holds, found, pl.lit(f"one {PREFIX} and {DIGITS} hex digits"))


def claims() -> list[Claim]:
    """Every claim, in the order of the columns."""
    pixels = pl.col("width").cast(pl.Int64) * pl.col("height")
    sized = (pl.col("width") > 0) & (pl.col("height") > 0) & (pixels <= MAX_PIXELS)
    guess_placed, allowed = ~is_guessed() | pl.col("split").is_in(ALLOWED), " or ".join(ALLOWED)
    in_train = (pl.col("fold") == -1) | (pl.col("split") == "train")
    return [
        filled(),
        *names(),
        Claim("size", sized, pl.format("is {}x{} px (WxH)", "width", "height"), pl.lit(f"1 to {MAX_PIXELS} px")),
        *people(),
        cell("split", pl.col("split").is_in(schema.SPLITS), f"one of {', '.join(schema.SPLITS)}"),
        cell("fold", pl.col("fold") >= -1, "-1 or more"),
        Claim("fold outside train", in_train, pl.format("fold is {} in the split {}", "fold", "split"), pl.lit("-1")),
        cell("group", pl.col("group").str.len_chars() > 0, "a name"),
        cell("source", pl.col("source").str.len_chars() > 0, "a name"),
        cell("origin", pl.col("origin").str.len_chars() > 0, "what the mask was made from"),
        Claim("guess held out", guess_placed, pl.format("a model's guess in the split {}", "split"), pl.lit(allowed)),
        cell("edges", pl.col("edges").str.contains("^L?T?R?B?$"), "some of the letters LTRB, in this order"),
        cell("image_sha256", pl.col("image_sha256").str.contains(HASH), "64 hex digits"),
        cell("mask_sha256", pl.col("mask_sha256").str.contains(HASH), "64 hex digits"),
        *verdicts(),
        classes(),
    ]


def check_rows(table: str, samples: pl.DataFrame) -> Iterator[Finding]:
    """Findings about single rows of the samples, whose table is the file `table`."""
    for claim in claims():
        broken = samples.filter(~claim.holds.fill_null(False))
        columns = (column.fill_null("null") for column in (pl.col("sample_id"), claim.found, claim.expected))
        told = broken.select(column.alias(str(number)) for number, column in enumerate(columns))
        for name, found, expected in told.iter_rows():
            yield Finding(claim.kind, f"{table}: {name}", found, expected, REBUILD)


def orderly(samples: pl.DataFrame) -> pl.DataFrame:
    """The rows whose files may be looked for: their paths are inside the dataset, and called after the sample."""
    return samples.filter(claim.holds.fill_null(False) for claim in names())
