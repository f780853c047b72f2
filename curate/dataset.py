"""A dataset version on disk: open it, verify it, write it. See docs/formats.md for the contract."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import polars as pl

from curate import schema
from curate.errors import CurateError, FormatError, MissingError, VersionError
from curate.files import sha256_file, write_atomic
from curate.threads import map_threads, unwatched

if TYPE_CHECKING:  # opening a dataset reads tables; what decodes pixels is imported where pixels are asked for
    import numpy as np
    from numpy.typing import NDArray

    from curate.masks import Target


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

    format: int
    name: str
    version: int
    parent: str | None
    digest: str
    recipe: dict[str, Any]
    sources: list[Source]
    funnel: list[FunnelStep]
    counts: dict[str, int]


@dataclass(frozen=True)
class Dataset:
    """An opened dataset version; `samples` and `drops` have the columns of curate.schema."""

    root: Path
    header: Header
    samples: pl.DataFrame
    drops: pl.DataFrame

    def rows(self, *splits: str) -> list[dict[str, Any]]:
        """The rows of the named splits (all rows without a name), sorted by sample_id."""
        chosen = self.samples.filter(pl.col("split").is_in(splits)) if splits else self.samples
        return chosen.to_dicts()

    def image(self, row: dict[str, Any]) -> NDArray[np.uint8]:
        """The row's photograph, (H, W, 3) uint8 RGB."""
        from curate import images

        return images.read_image(self.root / row["image"], (row["height"], row["width"]))

    def target(self, row: dict[str, Any]) -> Target:
        """The row's target, (H, W) uint8 of 0, 128, 255."""
        from curate import images

        return images.read_target(self.root / row["mask"], (row["height"], row["width"]))


def open_dataset(root: Path | str, digest: str | None = None) -> Dataset:
    """Open the dataset version in folder `root`.

    Args:
        root: The folder with `dataset.json`.
        digest: The digest it must have, where a run names one.

    Raises:
        MissingError: No header, so this is no dataset (or one that was never finished).
        FormatError: The header or a table is damaged, or of another format.
        VersionError: The digest is another.
    """
    root = Path(root)
    header_path = root / "dataset.json"
    if not header_path.is_file():
        raise MissingError(
            f"{root}: is not a dataset (no dataset.json in it). Build one with: curate build --out {root}"
        )
    try:
        header = msgspec.json.decode(header_path.read_bytes(), type=Header)
    except msgspec.DecodeError as error:
        raise FormatError(header_path, f"is damaged ({error}). Build the dataset again with --force") from error
    if header.format != schema.FORMAT:
        raise FormatError(header_path, f"has format {header.format}, this program reads {schema.FORMAT}. Update it")
    if digest is not None and header.digest != digest:
        raise VersionError(
            f"{root}: has digest {header.digest[:12]}, expected {digest[:12]}. "
            "Pass the dataset the run was made with as --dataset, or train again"
        )
    samples = read_table(root / "samples.parquet", schema.SAMPLES)
    drops = read_table(root / "drops.parquet", schema.DROPS)
    return Dataset(root, header, samples, drops)


def read_table(path: Path, columns: pl.Schema) -> pl.DataFrame:
    """A Parquet table with exactly these columns; anything else is a MissingError or FormatError."""
    if not path.is_file():
        raise MissingError(f"{path}: is missing. Make it again with the command that writes it")
    try:
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise FormatError(path, f"is not a readable Parquet table ({str(error).splitlines()[0]})") from error
    if frame.schema != columns:
        wrong = sorted(set(columns.items()) ^ set(frame.schema.items()), key=str)
        raise FormatError(path, f"has other columns than expected, first: {wrong[0] if wrong else 'their order'}")
    return frame


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


def finish_dataset(
    staging: Path,
    *,
    name: str,
    version: int,
    parent: str | None,
    recipe: dict[str, Any],
    sources: list[Source],
    funnel: list[FunnelStep],
    samples: pl.DataFrame,
    drops: pl.DataFrame,
) -> Header:
    """Write the tables and, last, the header into a staged folder that already holds `images/` and `masks/`."""
    samples, drops = samples.sort("sample_id"), drops.sort("sample_id", "rule")
    write_table(staging / "samples.parquet", samples)
    write_table(staging / "drops.parquet", drops)
    header = Header(
        format=schema.FORMAT,
        name=name,
        version=version,
        parent=parent,
        digest=digest_of(samples),
        recipe=recipe,
        sources=sources,
        funnel=funnel,
        counts=counts_of(samples),
    )
    encoded = msgspec.json.format(msgspec.json.encode(header), indent=2)
    write_atomic(staging / "dataset.json", encoded + b"\n")
    return header


def verify(dataset: Dataset) -> Iterator[str]:
    """Findings, one line each: files missing, changed or undecodable, rows that contradict their files."""
    if digest_of(dataset.samples) != dataset.header.digest:
        yield f"{dataset.root}/samples.parquet: its digest is not the header's; the table was changed after the build"
    for column in ("sample_id", "image", "mask"):
        for value in dataset.samples.filter(pl.col(column).is_duplicated())[column].unique().sort():
            yield f"{dataset.root}/samples.parquet: {column} {value} stands twice"
    learned = dataset.samples.filter(pl.col("split") != "pool").with_columns(
        pl.col("split").replace("background", "train")
    )
    splits = learned.group_by("group").agg(pl.col("split").n_unique()).filter(pl.col("split") > 1)
    for group in splits["group"].sort():
        yield f"{dataset.root}/samples.parquet: group {group} is spread over several splits"
    for part in ("images", "masks"):
        listed = set(dataset.samples[part.removesuffix("s")])
        present = {f"{part}/{path.name}" for path in (dataset.root / part).glob("*")}
        for path in sorted(present - listed):
            yield f"{dataset.root / path}: stands in no row of samples.parquet"
    rows = dataset.rows()
    for found in map_threads(lambda row: list(verify_row(dataset, row)), rows, unwatched("verifying", len(rows))):
        yield from found


def verify_row(dataset: Dataset, row: dict[str, Any]) -> Iterator[str]:
    """Findings about one sample's two files."""
    from curate import images
    from curate.masks import area_fraction

    for column in ("image", "mask"):
        path = dataset.root / row[column]
        if not path.is_file():
            yield f"{path}: is missing"
        elif sha256_file(path) != row[f"{column}_sha256"]:
            yield f"{path}: was changed after the build (its hash differs)"
    try:
        images.check_image(dataset.root / row["image"], (row["height"], row["width"]))
        area = area_fraction(dataset.target(row))
    except CurateError as error:
        yield str(error)
        return
    if abs(area - row["area"]) > 1e-9:
        yield f"{dataset.root}: {row['sample_id']} says area {row['area']:.4f}, its mask has {area:.4f}"
