"""What the cells of a table may hold: tables come from strangers, too, and a figure of one that cannot be misleads."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import polars.selectors as cs

from curate import schema
from curate.errors import FormatError

ROUNDING = 1e-6
"""What a share may have above 1."""


def check_filled(path: Path, samples: pl.DataFrame) -> None:
    """Raise a FormatError where a row lacks a value that each has."""
    empty = pl.any_horizontal(
        pl.exclude(schema.OPTIONAL).is_null(),
        cs.float().is_nan(),
        cs.list().list.eval(pl.element().is_null()).list.any(),
    )
    for name in samples.filter(empty)["sample_id"].head(1):
        raise FormatError(path, f"the row of {name} lacks a value. `curate check {path.parent}` lists all such rows")
    check_once(path, samples)
    check_values(path, samples)


def check_once(path: Path, frame: pl.DataFrame) -> None:
    """Raise a FormatError where a sample stands in several rows."""
    for name in frame.filter(pl.col("sample_id").is_duplicated())["sample_id"].head(1):
        raise FormatError(path, f"{name} stands in several rows, expected one. Make the file again")


def check_values(path: Path, frame: pl.DataFrame) -> None:
    """Raise a FormatError where a row holds a number that its column never has."""
    for column in frame.columns:
        if column not in (*schema.SHARES, *schema.COUNTS, *schema.AMOUNTS):
            continue
        for name, value in frame.filter(~is_possible(column)).select("sample_id", column).head(1).iter_rows():
            told = f"{column} of {name} is {value}, expected {'0 to 1' if column in schema.SHARES else '0 or more'}"
            raise FormatError(path, f"{told}. Make the file again")


def is_possible(column: str) -> pl.Expr:
    """Whether the number in a column can be a share, count or amount."""
    most = 1 + ROUNDING if column in schema.SHARES else schema.MOST
    return pl.col(column).is_between(0, most).fill_null(column not in schema.COUNTS)
