"""A dataset version on disk: open it, verify it, write it. See docs/formats.md for the contract."""

from __future__ import annotations

import hashlib
import io
import os
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import polars as pl

from curate import schema
from curate.classes import FOLDER as CLASSES
from curate.classes import beside, class_path, read_class_mask
from curate.errors import CurateError, FormatError, MissingError, VersionError
from curate.files import check_links, check_regular, map_file, write_atomic
from curate.foreground import CLASS_OPTIONS
from curate.formats import read_head
from curate.parquet_pages import check_pages
from curate.rows import NamedRows, Rows
from curate.storage.copies import located
from curate.values import check_filled, check_once, check_values

if TYPE_CHECKING:  # opening a dataset reads tables; what decodes pixels is imported where pixels are asked for
    import numpy as np
    from numpy.typing import NDArray

    from curate.masks import Target


MOST_ROWS_OF_SMALL = 1_000_000
"""Rows of a table that may have less than a byte each."""
SAMPLE_FOLDERS = ("images", "masks", CLASSES, "replaced")
"""The folders of a dataset that hold files of samples."""


class Source(msgspec.Struct, frozen=True):
    """Where images came from: kind is `coco`, `voc`, `pairs`, `pool` or `labels`."""

    kind: str
    name: str
    licence: str | None
    sha256: dict[str, str]
    """Digest of each annotation file, by file name."""


class FunnelStep(msgspec.Struct, frozen=True):
    """One line of the funnel: how many images remained after a rule."""

    rule: str
    label: str
    remaining: int


class Header(msgspec.Struct, frozen=True):
    """`dataset.json`."""

    format: Annotated[int, msgspec.Meta(ge=1)]
    name: str
    version: Annotated[int, msgspec.Meta(le=2**31 - 1)]
    parent: str | None
    digest: str
    recipe: dict[str, Any]
    sources: list[Source]
    funnel: list[FunnelStep]
    counts: dict[str, int]

    def __post_init__(self) -> None:
        for name, kind, expected in (("rules", dict, "an object"), ("seed", int, "an integer")):
            if not isinstance(self.recipe.get(name), kind | None):
                raise ValueError(f"{name} of the recipe: expected {expected}")

    @property
    def built_by(self) -> dict[str, Any]:
        """The options of the build that a version comes from; its own, or those that a later command handed on."""
        options: dict[str, Any] = self.recipe.get("rules") or {} if "command" in self.recipe else self.recipe
        return options


@dataclass(frozen=True)
class Dataset:
    """An opened dataset version. Its tables have the columns of curate.schema.

    `samples` and `drops` are read when they are first asked for, and kept; where some columns or rows will do,
    `collect` takes them from `scan` and `scan_drops` and holds no more.
    """

    root: Path
    header: Header
    scan: pl.LazyFrame
    """Of `samples`; from memory, where the version is not on disk yet."""
    scan_drops: pl.LazyFrame

    def __reduce__(self) -> tuple[type[Dataset], tuple[object, ...]]:
        """On its way to another machine it leaves behind the tables that were read."""
        return Dataset, (self.root, self.header, self.scan, self.scan_drops)

    @cached_property
    def samples(self) -> pl.DataFrame:
        """One row per image, sorted by sample_id."""
        samples = self.collect(self.scan)
        if (self.root / "dataset.json").is_file():
            self._check_unreplaced()
        check_filled(self.root / "samples.parquet", samples)
        return samples

    @cached_property
    def drops(self) -> pl.DataFrame:
        """One row per image looked at and not kept."""
        return self.collect(self.scan_drops, "drops")

    def collect(self, query: pl.LazyFrame, table: str = "samples") -> pl.DataFrame:
        """What a query of a scan gives, read part by part where it can be.

        Raises:
            FormatError: The table, `samples` or `drops`, turns out to be damaged.
            VersionError: The version was replaced since it was opened, or is gone.
        """
        try:
            with told_as_damage(self.root / f"{table}.parquet"):
                return query.collect(engine="streaming")
        except FormatError:
            self._check_unreplaced()
            raise

    def _check_unreplaced(self) -> None:
        with suppress(CurateError):
            if read_header(self.root).digest == self.header.digest:
                return
        raise VersionError(f"{self.root}: was replaced or moved since it was opened. Run again")

    @property
    def height(self) -> int:
        """Number of its images."""
        return int(self.collect(self.scan.select(pl.len())).item())

    def rows(self, *splits: str) -> Rows:
        """The rows of the named splits (all rows without a name), sorted by sample_id."""
        return Rows(self._of(splits))

    def sample_ids(self, *splits: str) -> list[str]:
        """The names of the rows that `rows` gives."""
        return self._of(splits)["sample_id"].to_list()

    def _of(self, splits: Collection[str]) -> pl.DataFrame:
        return self.samples.filter(pl.col("split").is_in(splits)) if splits else self.samples

    @cached_property
    def named(self) -> NamedRows:
        """All rows by their sample_id."""
        return NamedRows(self.samples)

    def image(self, row: dict[str, Any]) -> NDArray[np.uint8]:
        """The row's photograph, (H, W, 3) uint8 RGB."""
        from curate import images

        return images.read_image(self.root / row["image"], (row["height"], row["width"]))

    def target(self, row: dict[str, Any]) -> Target:
        """The row's target, (H, W) uint8 of 0, 128, 255."""
        from curate import images

        return images.read_target(self.root / row["mask"], (row["height"], row["width"]))

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of `foreground.CLASS_VALUES` that its class masks tell apart; none where no class was drawn."""
        return tuple(name for name, option in CLASS_OPTIONS.items() if self.header.built_by.get(option) == "class")

    def classes(self, row: dict[str, Any]) -> NDArray[np.uint8] | None:
        """The row's class mask, (H, W) uint8 of 0 neither and `foreground.CLASS_VALUES`; None where it has none.

        It is of no class where the target, as it is now, is a person's or does not count.
        """
        path = class_path(row)
        if path is None:
            return None
        return beside(read_class_mask(self.root / path, (row["height"], row["width"])), self.target(row))


def open_dataset(root: Path | str, digest: str | None = None) -> Dataset:
    """Open the dataset version in folder `root`.

    Args:
        root: The folder with `dataset.json`; or its URL as a text, of which the working copy is brought up to date.
        digest: The digest it must have, where a run names one.

    Raises:
        MissingError: No header, so this is no dataset (or one that was never finished); or a link leads out of it.
        FormatError: The header or a table is damaged, or a row names a file outside.
        VersionError: The digest is another, or the format a newer one.
    """
    root = located(root) if isinstance(root, str) else root
    header = read_header(root)
    if digest is not None and header.digest != digest:
        raise VersionError(
            f"{root}: has digest {header.digest[:12]}, expected {digest[:12]}. "
            "Pass the dataset the run was made with as --dataset, or train again"
        )
    samples, drops = root / "samples.parquet", root / "drops.parquet"
    dataset = Dataset(root, header, scan_columns(samples, schema.SAMPLES), scan_columns(drops, schema.DROPS))
    check_names(samples, dataset.collect(odd_names(dataset.scan)))
    check_names(drops, dataset.collect(odd_names(dataset.scan_drops), "drops"))
    check_files_inside(dataset)
    return dataset


def check_files_inside(dataset: Dataset) -> None:
    """Raise where a file of a sample would be one from outside: tables and links may be a stranger's.

    Raises:
        FormatError: A row names its image or mask otherwise than after its sample.
        MissingError: A link leads out of the dataset.
    """
    root = dataset.root
    for column, named in (("image", is_image_path()), ("mask", is_mask_path())):
        for path in dataset.collect(dataset.scan.filter(~named.fill_null(False)).select(column).head(1))[column]:
            told = (
                f"the {column} {str(path)!r} is not called after its sample. `curate check {root}` lists all such rows"
            )
            raise FormatError(root / "samples.parquet", told)
    for name in (*SAMPLE_FOLDERS, "samples.parquet", "drops.parquet", "dataset.json"):
        check_links(root, root / name)


def read_edits(root: Path) -> pl.DataFrame:
    """The last edit of each sample of the version in folder `root`; no rows where none was edited.

    Raises:
        FormatError: The record is damaged.
    """
    path = root / "edits.parquet"
    return read_table(path, schema.EDITS, later=schema.EDITS_LATER) if path.is_file() else schema.EDITS.to_frame()


def read_header(root: Path) -> Header:
    """The header of the dataset version in folder `root`.

    Raises:
        MissingError: There is none, so this is no dataset (or one that was never finished).
        FormatError: It is damaged.
        VersionError: It is of a newer format.
    """
    header_path = root / "dataset.json"
    if not header_path.exists():
        raise MissingError(
            f"{root}: is not a dataset (no dataset.json in it). Build one with: curate build --out {root}"
        )
    check_regular(header_path)
    return read_head(header_path, Header, "Build the dataset again with --force")


def read_table(path: Path, columns: pl.Schema, later: Collection[str] = ()) -> pl.DataFrame:
    """A Parquet table with exactly these columns, whose samples can be names of files.

    Args:
        path: The file.
        columns: Its columns, in order.
        later: Those that were added to the format; a table from before has none of them, and null is what they hold.

    Raises:
        MissingError, FormatError: As `read_columns`; also where a file called after a sample would lie elsewhere.
    """
    frame = read_columns(path, columns, later)
    if "sample_id" in columns:
        check_names(path, odd_names(frame.lazy()).collect())
        check_values(path, frame)
    if columns in schema.ONE_ROW_EACH:
        check_once(path, frame)
    return frame


def odd_names(table: pl.LazyFrame) -> pl.LazyFrame:
    """The first sample_id that is no name of a file, where there is any."""
    return table.filter(~is_file_name().fill_null(False)).select("sample_id").head(1)


def check_names(path: Path, odd: pl.DataFrame) -> None:
    """Raise a FormatError where a table has a sample_id that is no name of a file."""
    for name in odd["sample_id"]:
        raise FormatError(path, f"the sample_id {name!r} is no file name")


def is_file_name() -> pl.Expr:
    """Whether a row's sample_id can be the name of a file, and of one in no other folder."""
    name = pl.col("sample_id")
    return name.str.contains(r"^[^/\\\p{Cc}]{1,240}$") & ~name.is_in([".", ".."])


def is_image_path() -> pl.Expr:
    """Whether the path of a row's photograph is `images/<sample_id>.<ext>`."""
    start = pl.concat_str(pl.lit("images/"), pl.col("sample_id"), pl.lit("."))
    return pl.col("image").str.strip_prefix(start).str.contains("^[a-z0-9]{1,5}$")


def is_mask_path() -> pl.Expr:
    """Whether the path of a row's mask is `masks/<sample_id>.png`."""
    return pl.col("mask") == pl.concat_str(pl.lit("masks/"), pl.col("sample_id"), pl.lit(".png"))


def read_columns(path: Path, columns: pl.Schema, later: Collection[str] = ()) -> pl.DataFrame:
    """As `read_table`, whatever the samples are called; anything else is a MissingError or FormatError."""
    table = scan_columns(path, columns, later)
    with told_as_damage(path):
        return table.collect()


def scan_columns(path: Path, columns: pl.Schema, later: Collection[str] = ()) -> pl.LazyFrame:
    """As `read_columns`, but that no row is read yet: what is damaged within the columns shows when they are asked for.

    Collect it within `told_as_damage`.
    """
    if not path.exists():
        raise MissingError(f"{path}: is missing. Make it again with the command that writes it")
    check_regular(path)
    try:
        check_pages(map_file(path))
    except (ValueError, OSError) as error:
        raise FormatError(path, f"is not a readable Parquet table ({error})") from error
    with told_as_damage(path):
        table = pl.scan_parquet(path, glob=False, hive_partitioning=False)  # the path is a name, not a pattern
        rows, found = table.select(pl.len()).collect().item(), table.collect_schema()
    if rows > max(MOST_ROWS_OF_SMALL, path.stat().st_size):
        raise FormatError(path, f"has {rows} rows in {path.stat().st_size} bytes, which looks like a bomb")
    if found == {name: kind for name, kind in columns.items() if name not in later}:
        table = table.with_columns(pl.lit(None, columns[name]).alias(name) for name in later).select(columns.names())
        found = columns
    if found != columns:
        wrong = sorted(set(columns.items()) ^ set(found.items()), key=str)
        raise FormatError(path, f"has other columns than expected, first: {wrong[0] if wrong else 'their order'}")
    return table


@contextmanager
def told_as_damage(path: Path) -> Iterator[None]:
    """What polars says of a damaged table is a FormatError at `path`, in one line."""
    try:
        with panics_unheard():
            yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise FormatError(
            path, f"is not a readable Parquet table ({(str(error).splitlines() or [type(error).__name__])[0]})"
        ) from error


_reading = threading.Lock()


@contextmanager
def panics_unheard() -> Iterator[None]:
    """Nothing reaches stderr: of some damaged files polars prints pages before it raises, and one line is enough."""
    with _reading:
        try:
            stderr = os.dup(2)
        except OSError:  # it is closed
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            os.close(nowhere)


def write_table(path: Path, frame: pl.DataFrame) -> None:
    """Write a table atomically; the same frame gives the same bytes with the pinned polars."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", statistics=False)
    write_atomic(path, buffer.getvalue())


def digest_of(samples: pl.DataFrame) -> str:
    """Digest of a dataset's content: every column of every row, images and masks by their own hashes.

    Free of clocks, paths outside the dataset, and the encoding of Parquet, so that equal content has an equal digest
    wherever and from wherever it was built.
    """
    hasher = hashlib.sha256(f"silhouette-dataset-{schema.FORMAT}\n".encode())
    encoder = msgspec.json.Encoder()
    for row in samples.sort("sample_id").iter_rows():
        hasher.update(encoder.encode(row) + b"\n")
    return hasher.hexdigest()


def counts_of(samples: pl.DataFrame) -> dict[str, int]:
    """Number of images in all and in each split that has any, in the order of schema.SPLITS."""
    per_split = {split: samples.filter(pl.col("split") == split).height for split in schema.SPLITS}
    return {"images": samples.height} | {split: count for split, count in per_split.items() if count}
