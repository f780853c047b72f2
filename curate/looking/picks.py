"""Which images stand on a sheet, and in which order: by any column of a table. Opens nothing but the joined table."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from curate import schema
from curate.classes import without_hashes
from curate.dataset import Dataset, counts_of
from curate.errors import CurateError, FormatError, UsageError
from curate.files import readable_faults
from curate.parquet_pages import check_pages

ORDERS = ("largest", "smallest", "worst", "random")
HIGH_IS_BAD = ("bce", "fp", "fn", "severity", "suspicion")
"""Columns of which the largest are the worst."""
LOW_IS_BAD = tuple(name for name in schema.SHARES if name not in ("area", *HIGH_IS_BAD))
"""Columns of our tables of which the smallest are the worst."""
VALUE = "chosen_value"
"""The column images are picked by, beside the table's own."""
NO_VALUE, NO_WORDS = "no value", "none"


@dataclass(frozen=True)
class Choice:
    """What to show.

    Attributes:
        by: The column to pick by; None: none.
        order: One of ORDERS; None: `worst` where the column has a worst end, else `largest`; without a column `random`.
        seed: Of the random order.
        splits: Splits to pick from; all without one.
        dropped: The rule whose drops are shown, instead of what was kept.
        join: The table `by` is a column of; None: the dataset's own.
    """

    by: str | None = None
    order: str | None = None
    seed: int = 0
    splits: tuple[str, ...] = ()
    dropped: str | None = None
    join: Path | None = None

    def words(self) -> list[str]:
        """The choice in a few words, for the name of a file."""
        order = [settled_order(self)] if self.by or not (self.splits or self.dropped) else []
        return [
            *self.splits,
            *(["dropped", self.dropped] if self.dropped else []),
            *([self.by] if self.by else []),
            *order,
        ]


@dataclass(frozen=True)
class Part:
    """Images under one heading, in the order they are shown."""

    title: str
    rows: pl.DataFrame


def check_choice(choice: Choice) -> None:
    """Raise UsageError where parts of a choice contradict each other, before anything is read."""
    settled_order(choice)
    if choice.join is not None and choice.by is None:
        raise UsageError(f"--join {choice.join}: by which of its columns? Add for example --by iou")
    if choice.dropped is not None and choice.splits:
        raise UsageError("--dropped: what was dropped is in no split; leave --split out")


def chosen_rows(dataset: Dataset, choice: Choice) -> tuple[pl.DataFrame, list[str]]:
    """The rows to pick from, with VALUE where a column is named, and what is odd about the joined table.

    Raises:
        CurateError: There is no such image in the dataset, or none with a value.
        UsageError, FormatError, MissingError: As join_values, with_values and read_values.
    """
    rows = dropped_rows(dataset, choice.dropped) if choice.dropped else split_rows(dataset, choice.splits)
    odd: list[str] = []
    if choice.join is not None:
        rows, odd = join_values(rows, read_values(choice.join), str(choice.by), str(choice.join))
    elif choice.by is not None:
        rows = with_values(rows, choice.by, "drops.parquet" if choice.dropped else "samples.parquet")
    if VALUE in rows.columns and rows[VALUE].null_count() == rows.height:
        raise CurateError(
            f"--by {choice.by}: none of the {rows.height} images has a value there. Choose another column"
        )
    return rows, odd


def split_rows(dataset: Dataset, splits: Sequence[str]) -> pl.DataFrame:
    """The samples of these splits; all without one."""
    rows = dataset.samples.filter(pl.col("split").is_in(splits)) if splits else dataset.samples
    if rows.is_empty():
        there = ", ".join(f"{count} {split}" for split, count in counts_of(dataset.samples).items())
        raise CurateError(f"{dataset.root}: has no image in {' or '.join(splits) or 'it'}. It has: {there}")
    return rows


def dropped_rows(dataset: Dataset, rule: str) -> pl.DataFrame:
    """The drops of a rule."""
    rows = dataset.drops.filter(rule=rule)
    if rows.is_empty():
        counts = dataset.drops["rule"].value_counts().sort("rule").iter_rows()
        there = ", ".join(f"{other} {count}" for other, count in counts) or "none at all"
        raise CurateError(f"{dataset.root}: no image was dropped by {rule}. Dropped were: {there}")
    return rows


def with_values(rows: pl.DataFrame, by: str, where: str) -> pl.DataFrame:
    """The rows with the column `by` as VALUE as well; NaN becomes null.

    Raises:
        UsageError: There is no such column (the message lists those there are), or images cannot be ordered by it.
    """
    return rows.with_columns(usable(rows, by, where).alias(VALUE))


def join_values(rows: pl.DataFrame, table: pl.DataFrame, by: str, where: str) -> tuple[pl.DataFrame, list[str]]:
    """The rows with the table's column `by` as VALUE, null where the table lacks the image, and what is odd about it.

    Raises:
        UsageError: The table has no `sample_id`, no such column, or images cannot be ordered by it.
        CurateError: It is about none of these images.
    """
    if table.schema.get("sample_id") != pl.String:
        raise UsageError(f"{where}: has no column sample_id of words. It has: {', '.join(table.columns)}")
    values = table.select("sample_id", usable(table, by, where).alias(VALUE))
    last = values.unique("sample_id", keep="last", maintain_order=True)
    found = rows.join(last.select("sample_id"), on="sample_id", how="semi").height
    if not found:
        raise CurateError(f"{where}: names none of the {rows.height} images. Is it about another dataset or split?")
    odd = {
        f"of {rows.height} images are not in {where}; they have no value": rows.height - found,
        f"images of {where} are not among those shown": last.height - found,
        f"rows of {where} repeat an image; the last one counts": values.height - last.height,
    }
    joined = rows.join(last, on="sample_id", how="left", maintain_order="left")
    return joined, [f"{count} {what}" for what, count in odd.items() if count]


def usable(table: pl.DataFrame, by: str, where: str) -> pl.Series:
    """A table's column as numbers, words or lists of words."""
    if by not in table.columns:
        raise UsageError(f"--by {by}: {where} has no such column. It has: {', '.join(table.columns)}{elsewhere(by)}")
    column = without_hashes(table[by]) if by == "tags" and table[by].dtype == pl.List(pl.String) else table[by]
    if column.dtype.is_float():
        return column.fill_nan(None)
    if column.dtype == pl.Boolean:
        return column.replace_strict({True: "yes", False: "no"}, default=None, return_dtype=pl.String)
    if column.dtype.is_numeric() or column.dtype in (pl.String, pl.List(pl.String)):
        return column
    if column.dtype.is_temporal() or column.dtype in (pl.Categorical, pl.Enum):
        return column.cast(pl.String)
    raise UsageError(
        f"--by {by}: is neither numbers nor words nor lists of words ({column.dtype}). Choose another column"
    )


def elsewhere(by: str) -> str:
    """Which of a run's tables has a column, as advice; '' where none has."""
    tables = {"scores": schema.SCORES, "failures": schema.FAILURES, "suspects": schema.SUSPECTS}
    name = next((name for name, columns in tables.items() if by in columns), None)
    return f". A run's {name} have it: --join RUN/{name}.parquet" if name else ""


def read_values(path: Path) -> pl.DataFrame:
    """A table of ours or of a user's: Parquet, CSV, or JSON lines such as `decisions.jsonl`.

    Raises:
        UsageError: The name has another ending.
        MissingError, FormatError: It is not there, or damaged.
    """
    kind = path.suffix.lower()
    if kind not in (".parquet", ".csv", ".jsonl"):
        raise UsageError(f"--join {path}: is not a table this program reads. Expected .parquet, .csv or .jsonl")
    with readable_faults(path):
        data = path.read_bytes()
    try:
        if kind == ".parquet":
            check_pages(data)
            return pl.read_parquet(data)
        if kind == ".csv":
            return pl.read_csv(data, schema_overrides={"sample_id": pl.String})
        return pl.read_ndjson(data)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
        raise FormatError(path, f"cannot be read as a table ({str(error).splitlines()[0]})") from error


def settled_order(choice: Choice) -> str:
    """`largest`, `smallest` or `random`; `worst` is one of the first two, as the column has it.

    Raises:
        UsageError: Nothing says which end of the column is the worst, or an order has no column.
    """
    worst = "smallest" if choice.by in LOW_IS_BAD else "largest" if choice.by in HIGH_IS_BAD else None
    if choice.by is None and choice.order not in (None, "random"):
        raise UsageError(f"--order {choice.order}: of which column? Add for example --by area")
    if choice.order == "worst" and worst is None:
        known = ", ".join((*LOW_IS_BAD, *HIGH_IS_BAD))
        raise UsageError(
            f"--order worst: {choice.by} has no bad end that is known ({known} have). Say largest or smallest"
        )
    return "random" if choice.by is None else worst or "largest" if choice.order in (None, "worst") else choice.order


def has_worst(by: str) -> bool:
    """Whether it is known which end of a column is the worst."""
    return by in LOW_IS_BAD or by in HIGH_IS_BAD


def pick(rows: pl.DataFrame, choice: Choice) -> list[Part]:
    """The images in the order they are shown: numbers and random picks under one heading, words each under its own.

    Args:
        rows: With VALUE where the choice names a column.
        choice: By what.
    """
    order = settled_order(choice)
    if order == "random":
        return [Part("", shuffled(rows, choice.seed))]
    if rows[VALUE].dtype.is_numeric():
        return [Part("", rows.sort(VALUE, "sample_id", descending=[order == "largest", False], nulls_last=True))]
    return word_parts(rows, order, choice.seed)


def word_parts(rows: pl.DataFrame, order: str, seed: int) -> list[Part]:
    """A part for each value, the most frequent first (`smallest`: the rarest); what has no value comes last.

    An image with a list of words stands under each of them. Values of which none repeats make no headings: they are
    one part, in alphabetical order.
    """
    if rows[VALUE].dtype == pl.List(pl.String):
        listed = pl.when(pl.col(VALUE).list.len() == 0).then(pl.lit([""], pl.List(pl.String))).otherwise(pl.col(VALUE))
        rows = rows.with_columns(listed.list.unique(maintain_order=True).alias(VALUE)).explode(VALUE)
    rows = rows.with_columns(pl.col(VALUE).replace("", NO_WORDS))
    counts = rows[VALUE].drop_nulls().value_counts().sort(["count", VALUE], descending=[order == "largest", False])
    if counts["count"].max() == 1 and counts.height > 1:
        return [Part("", rows.sort(VALUE, "sample_id", nulls_last=True))]
    parts = [Part(value, rows.filter(pl.col(VALUE) == value)) for value in counts[VALUE]]
    missing = rows.filter(pl.col(VALUE).is_null())
    parts += [Part(NO_VALUE, missing)] if missing.height else []
    return [Part(part.title, shuffled(part.rows, seed)) for part in parts]


def shuffled(rows: pl.DataFrame, seed: int = 0) -> pl.DataFrame:
    """The rows in an order that looks random and depends on the seed and their sample_id alone."""
    keys = [hashlib.sha256(f"{seed}\0{sample_id}".encode()).hexdigest() for sample_id in rows["sample_id"]]
    return rows.with_columns(key=pl.Series(keys, dtype=pl.String)).sort("key").drop("key")


def value_words(value: object) -> str:
    """A value as a caption shows it.

    >>> value_words(0.51234), value_words(1234567), value_words(None), value_words(["dog", "cup"]), value_words([])
    ('0.512', '1234567', 'no value', 'dog, cup', 'none')
    """
    if value is None:
        return NO_VALUE
    if isinstance(value, list):
        return ", ".join(value) or NO_WORDS
    return f"{value:.3g}" if isinstance(value, float) else str(value)
