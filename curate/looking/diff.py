"""What differs between two dataset versions, row by row and option by option; behind `curate diff`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import polars as pl

from curate import schema
from curate.dataset import Dataset, Source
from curate.errors import CurateError, FormatError
from curate.threads import Watch, map_threads, unwatched

ROWS_APART = ("sample_id", "image_sha256", "mask_sha256", "split")
"""Columns with a part of their own; a change in any other is listed under the column's name."""


class Side(msgspec.Struct, frozen=True):
    """One of the two versions."""

    path: str
    name: str
    version: int
    digest: str
    parent: str | None
    images: int


class MaskChange(msgspec.Struct, frozen=True):
    """How two masks of one image differ.

    Attributes:
        iou: IoU of the person's pixels; None where neither shows a person, and where they cannot be compared.
        pixels: Number of pixels with another value, "not counted" among them; None where they cannot be compared.
        problem: Why they cannot be compared.
    """

    iou: float | None
    pixels: int | None
    problem: str = ""


@dataclass(frozen=True)
class Difference:
    """What is in `b` and not in `a`, what is out, and what differs. Every frame is sorted by sample_id.

    Attributes:
        a, b: The two versions.
        kinship: Whether one was made from the other.
        came: `sample_id`, `split`, `source`, and where `a` had dropped it `rule` and `detail`.
        left: `sample_id`, `split` (in `a`), `source`, and where `b` dropped it `rule` and `detail`.
        renamed: The same photograph under another id: `sample_id` (in `a`), `sample_id_b`, `split`, `split_b`. These
            rows are in `came` and `left` as well.
        relabelled: Another mask: `sample_id`, `split` (in `b`), `area_a`, `area_b`. The largest change of area first.
        redrawn: Another photograph under the same id: `sample_id`, `split`.
        moved: Another split: `sample_id`, `from`, `to`. What went between train and test first.
        changed: Column -> `sample_id`, `from`, `to`, for each other column in which any row differs.
        redropped: Dropped by both, for another reason: `sample_id`, `from`, `to` (rules).
        options: (option, in `a`, in `b`) for each option of the recipe that differs.
        sources: (source, file, what happened to it) for each annotation file that differs.
    """

    a: Side
    b: Side
    kinship: str
    came: pl.DataFrame
    left: pl.DataFrame
    renamed: pl.DataFrame
    relabelled: pl.DataFrame
    redrawn: pl.DataFrame
    moved: pl.DataFrame
    changed: dict[str, pl.DataFrame]
    redropped: pl.DataFrame
    options: list[tuple[str, Any, Any]]
    sources: list[tuple[str, str, str]]

    @property
    def same_samples(self) -> bool:
        """Whether every row of both is equal, and so every image and mask."""
        return self.a.digest == self.b.digest and not any(map(len, self.frames()))

    @property
    def equal(self) -> bool:
        """Whether nothing at all differs."""
        return self.same_samples and not (self.redropped.height or self.options or self.sources)

    def frames(self) -> list[pl.DataFrame]:
        """The tables of rows that differ."""
        return [self.came, self.left, self.relabelled, self.redrawn, self.moved, *self.changed.values()]


def compare(a: Dataset, b: Dataset) -> Difference:
    """What makes `b` another dataset than `a`, by their tables and headers; no image or mask is opened."""
    both = rows_that_differ(a, b)
    came = with_drops(rows_alone(b, a), a.drops)
    left = with_drops(rows_alone(a, b), b.drops)
    return Difference(
        a=side_of(a),
        b=side_of(b),
        kinship=kinship(a, b),
        came=came.drop("image_sha256"),
        left=left.drop("image_sha256"),
        renamed=renamed_rows(left, came),
        relabelled=relabelled_rows(both),
        redrawn=differing(both, "image_sha256").select("sample_id", pl.col("split_b").alias("split")),
        moved=leaks_first(from_to(both, "split")),
        changed=changed_columns(both),
        redropped=from_to(a.drops.join(b.drops, on="sample_id", suffix="_b").sort("sample_id"), "rule"),
        options=changed_options(a.header.recipe, b.header.recipe),
        sources=changed_sources(a.header.sources, b.header.sources),
    )


def side_of(dataset: Dataset) -> Side:
    """A version's name and numbers."""
    header = dataset.header
    return Side(str(dataset.root), header.name, header.version, header.digest, header.parent, dataset.height)


def kinship(a: Dataset, b: Dataset) -> str:
    """How the two descend from each other, as far as their parents' digests tell."""
    one, other = a.header, b.header
    if one.digest == other.digest:
        return "A and B hold the same samples"
    if other.parent == one.digest:
        return "B was made from A"
    if one.parent == other.digest:
        return "A was made from B"
    if one.parent is not None and one.parent == other.parent:
        return f"A and B were made from the same version ({one.parent[:12]})"
    return "neither was made from the other"


def rows_that_differ(a: Dataset, b: Dataset) -> pl.DataFrame:
    """The rows of both with another value in any column, those of `b` with the suffix `_b`; sorted by sample_id.

    The engine goes through them part by part: of rows that are equal none is kept.
    """
    columns = [column for column in schema.SAMPLES if column != "sample_id"]
    differs = pl.any_horizontal(pl.col(column).ne_missing(pl.col(f"{column}_b")) for column in columns)
    return collected(a, b, a.scan.join(b.scan, on="sample_id", suffix="_b").filter(differs)).sort("sample_id")


def rows_alone(one: Dataset, other: Dataset) -> pl.DataFrame:
    """The rows of one version whose sample_id is not in the other: `sample_id`, `split`, `source`, `image_sha256`."""
    rows = one.scan.select("sample_id", "split", "source", "image_sha256")
    return collected(one, other, rows.join(other.scan.select("sample_id"), on="sample_id", how="anti"))


def collected(one: Dataset, other: Dataset, query: pl.LazyFrame) -> pl.DataFrame:
    """What a query of the scans of two versions gives; a FormatError names the table that is damaged."""
    try:
        return one.collect(query)
    except FormatError:
        _ = other.samples
        raise


def with_drops(rows: pl.DataFrame, drops: pl.DataFrame) -> pl.DataFrame:
    """Rows only one version has, with the other version's reason, null where it did not look at them."""
    reasons = drops.select("sample_id", "rule", "detail").unique("sample_id", keep="first", maintain_order=True)
    return rows.join(reasons, on="sample_id", how="left").sort("sample_id")


def renamed_rows(left: pl.DataFrame, came: pl.DataFrame) -> pl.DataFrame:
    """Photographs that are in both under another id, each paired once; by the hash of their bytes."""
    once = [
        frame.select("sample_id", "split", "image_sha256").unique("image_sha256", keep="first", maintain_order=True)
        for frame in (left, came)
    ]
    paired = once[0].join(once[1], on="image_sha256", suffix="_b").sort("sample_id")
    return paired.select("sample_id", "sample_id_b", "split", "split_b")


def differing(both: pl.DataFrame, column: str) -> pl.DataFrame:
    """The rows whose value in a column is another in `b`; two nulls are equal."""
    return both.filter(pl.col(column).ne_missing(pl.col(f"{column}_b")))


def from_to(both: pl.DataFrame, column: str) -> pl.DataFrame:
    """`sample_id`, `from`, `to` of the rows that differ in a column."""
    return differing(both, column).select("sample_id", pl.col(column).alias("from"), pl.col(f"{column}_b").alias("to"))


def leaks_first(moved: pl.DataFrame) -> pl.DataFrame:
    """Moves between train and test before the others."""
    return moved.sort(~is_leak(), "sample_id")


def is_leak() -> pl.Expr:
    """Whether a move `from`, `to` is one between train and test."""
    old, new = pl.col("from"), pl.col("to")
    return ((old == "train") & (new == "test")) | ((old == "test") & (new == "train"))


def relabelled_rows(both: pl.DataFrame) -> pl.DataFrame:
    """The rows with another mask, the largest change of area first."""
    rows = differing(both, "mask_sha256").select(
        "sample_id", pl.col("split_b").alias("split"), pl.col("area").alias("area_a"), pl.col("area_b")
    )
    change = (pl.col("area_b") - pl.col("area_a")).abs()
    return rows.sort([change, pl.col("sample_id")], descending=[True, False])


def changed_columns(both: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Column -> its changed rows, for the columns without a part of their own and with any change.

    The area of a relabelled image stands beside its mask, and is not told twice.
    """
    same_mask = both.filter(pl.col("mask_sha256") == pl.col("mask_sha256_b"))
    columns = [column for column in schema.SAMPLES if column not in ROWS_APART]
    frames = {column: from_to(same_mask if column == "area" else both, column) for column in columns}
    return {column: frame for column, frame in frames.items() if frame.height}


def changed_options(a: dict[str, Any], b: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """The options that differ, those of `a` in their order first; null, nothing listed and no mention are the same."""
    one, other = ({key: None if value in ([], {}) else value for key, value in side.items()} for side in (a, b))
    return [(key, one.get(key), other.get(key)) for key in {**a, **b} if one.get(key) != other.get(key)]


def changed_sources(a: Sequence[Source], b: Sequence[Source]) -> list[tuple[str, str, str]]:
    """The annotation files that were added, left out or changed, by source."""
    one, other = files_of(a), files_of(b)
    said = []
    for at in sorted(one.keys() | other.keys()):
        if one.get(at) != other.get(at):
            said.append((*at, "only in B" if at not in one else "only in A" if at not in other else "changed"))
    return said


def files_of(sources: Sequence[Source]) -> dict[tuple[str, str], str]:
    """(source, file) -> digest."""
    return {(source.name, file): digest for source in sources for file, digest in source.sha256.items()}


def leaks(difference: Difference) -> dict[str, int]:
    """How many photographs went from train to test and back, those under another id included."""
    renamed = difference.renamed.select(pl.col("split").alias("from"), pl.col("split_b").alias("to"))
    moves = pl.concat([difference.moved.select("from", "to"), renamed]).filter(is_leak())
    counts = dict(moves["from"].value_counts().iter_rows())
    ways = {"train": "train -> test", "test": "test -> train"}
    return {way: counts[old] for old, way in ways.items() if old in counts}


def compare_masks(a: Dataset, b: Dataset, sample_ids: Sequence[str], watch: Watch = unwatched) -> dict[str, MaskChange]:
    """How the masks of these samples, which both versions have, differ; reads the files."""
    old, new = (rows_by_id(dataset, sample_ids) for dataset in (a, b))
    tick = watch("comparing", len(sample_ids))
    changes = map_threads(lambda name: compare_mask(a, b, old[name], new[name]), sample_ids, tick)
    return dict(zip(sample_ids, changes, strict=True))


def rows_by_id(dataset: Dataset, sample_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Some rows of a dataset by their sample_id."""
    rows = dataset.collect(dataset.scan.filter(pl.col("sample_id").is_in(sample_ids))).to_dicts()
    return {row["sample_id"]: row for row in rows}


def compare_mask(a: Dataset, b: Dataset, row_a: dict[str, Any], row_b: dict[str, Any]) -> MaskChange:
    """How a sample's two masks differ."""
    from curate.masks import PERSON, iou

    try:
        one, other = a.target(row_a), b.target(row_b)
    except CurateError as error:
        return MaskChange(None, None, str(error))
    if one.shape != other.shape:
        return MaskChange(
            None, None, f"the image was {one.shape[0]}x{one.shape[1]}, is {other.shape[0]}x{other.shape[1]} (HxW)"
        )
    return MaskChange(iou(one == PERSON, other == PERSON), int((one != other).sum()))
