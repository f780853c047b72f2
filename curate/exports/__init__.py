"""A dataset version written out for other tools; one module per format. What they share stands here.

An export is a folder, whole or absent, with a marker in it, by which a later one knows what it may replace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import msgspec
import polars as pl

from curate import schema
from curate.dataset import Dataset, counts_of
from curate.errors import JSON_ERRORS, ExistsError, MissingError, UsageError
from curate.files import json_bytes, link_or_copy, readable_faults, staged_folder, write_atomic
from curate.rows import Row
from curate.sources import Note
from curate.threads import Watch

MARKER = "curate-export.json"

Splits: TypeAlias = dict[str, Sequence[Row]]
"""The rows of each split, sorted by sample_id."""
Fill: TypeAlias = Callable[[Path, Dataset, Splits, Watch], list[Note]]
"""Writes the rows of a dataset into a staged folder."""


class Marker(msgspec.Struct, frozen=True):
    """`curate-export.json`: that a folder is an export, and of what.

    Attributes:
        export: `coco` or `voc`; `label cvat` and so on where it is sent out to be labelled.
        dataset: The dataset's name.
        version: Its version.
        digest: Its digest.
        images: Number of images of each split.
        entries: What the export put into the folder, sorted.
    """

    export: str
    dataset: str
    version: int
    digest: str
    images: dict[str, int]
    entries: list[str]


@dataclass(frozen=True)
class Exported:
    """An export on disk.

    Attributes:
        out: Its folder.
        format: `coco` or `voc`.
        images: Number of images of each split.
        notes: What other tools may stumble over.
    """

    out: Path
    format: str
    images: dict[str, int]
    notes: list[Note]


def write_export(
    dataset: Dataset, out: Path, kind: str, chosen: Splits, fill: Fill, *, force: bool, watch: Watch
) -> Exported:
    """Write rows of a dataset, split by split, into `out`, whole or not at all.

    Raises:
        UsageError: `out` is the dataset, inside it or around it.
        ExistsError: `out` exists, and `force` is false or it is not an export.
        MissingError, FormatError: A file of the dataset is gone or damaged.
        MachineError: The disk is full or not writable.
    """
    with readable_faults(out):
        check_out(out, dataset, force=force)
        with staged_folder(out, force=True) as staging:
            check_out(out, dataset, force=force)  # once more, now that nobody else can be writing there
            notes = fill(staging, dataset, chosen, watch)
            images = {split: len(rows) for split, rows in chosen.items()}
            write_atomic(staging / MARKER, marker_bytes(staging, dataset, kind, images))
    return Exported(out, kind, images, notes)


def marker_bytes(staging: Path, dataset: Dataset, kind: str, images: dict[str, int]) -> bytes:
    """The marker of the export in a staged folder, as JSON."""
    header = dataset.header
    entries = sorted([path.name for path in staging.iterdir()] + [MARKER])
    marker = Marker(kind, header.name, header.version, header.digest, images, entries)
    return json_bytes(marker) + b"\n"


def split_rows(dataset: Dataset, splits: Sequence[str] = ()) -> Splits:
    """The rows of the named splits, in the order of schema.SPLITS; without a name, of all that hold images.

    Raises:
        UsageError: There is no split of a name.
        MissingError: A named split holds no image, or none does.
    """
    unknown = [split for split in splits if split not in schema.SPLITS]
    if unknown:
        raise UsageError(f"--split {unknown[0]}: there is no such split. There are: {', '.join(schema.SPLITS)}")
    rows = {split: dataset.rows(split) for split in schema.SPLITS if split in splits or not splits}
    held = [f"{count} {split}" for split, count in counts_of(dataset.samples).items() if split != "images"]
    has = ", ".join(held) or "no image at all"
    empty = [split for split in splits if not rows[split]]
    if empty:
        raise MissingError(
            f"{dataset.root}: holds no image of split {empty[0]!r}; it holds {has}. Name another --split"
        )
    if not any(rows.values()):
        raise MissingError(f"{dataset.root}: holds {has}, so there is nothing to export")
    return {split: found for split, found in rows.items() if found}


def check_out(out: Path, dataset: Dataset, *, force: bool) -> None:
    """Refuse a folder that an export of `dataset` cannot be written to.

    Raises:
        UsageError: It is the dataset, inside it or around it.
        ExistsError: Something stands there that is not an export and nothing else, or `force` is false.
    """
    check_apart(out, dataset)
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    check_replaceable(out, read_marker(out), (path.name for path in out.iterdir()), force=force)


def check_apart(out: Path, dataset: Dataset) -> None:
    """Raise UsageError where `out` is the dataset, inside it or around it."""
    old, new = dataset.root.resolve(), out.resolve()
    if new.is_relative_to(old) or old.is_relative_to(new):
        raise UsageError(f"{out}: is the dataset {dataset.root} itself, inside it or around it. Choose another --out")


def check_replaceable(out: Path, marker: Marker | None, names: Iterable[str], *, force: bool) -> None:
    """Raise ExistsError where what is at `out`, its marker and entries, is no export alone, or `force` is false."""
    if marker is None:
        raise ExistsError(f"{out}: exists and is not an export, so it is never replaced. Choose another --out")
    strange = sorted(set(names) - set(marker.entries))
    if strange:
        raise ExistsError(
            f"{out}: holds {strange[0]!r} beside an export, so it is never replaced. Move that, or choose another --out"
        )
    if not force:
        raise ExistsError(
            f"{out}: holds an export already ({marker.export}, {marker.dataset} {marker.digest[:12]}). "
            "Choose another --out, or pass --force to replace it"
        )


def read_marker(folder: Path) -> Marker | None:
    """The marker of the export in a folder; None where there is none, or none that can be read."""
    path = folder / MARKER
    return marker_of(path.read_bytes()) if path.is_file() else None


def marker_of(data: bytes) -> Marker | None:
    """The marker whose JSON these bytes are; None where they are none."""
    try:
        return msgspec.json.decode(data, type=Marker)
    except JSON_ERRORS:
        return None


def lay_image(dataset: Dataset, row: Row, target: Path) -> None:
    """Hardlink or copy a sample's photograph.

    Raises:
        MissingError: It is gone.
    """
    source = dataset.root / row["image"]
    if not source.is_file():
        raise MissingError(f"{source}: is missing. `curate check {dataset.root}` lists what else is")
    link_or_copy(source, target)


def samples_in(splits: Splits) -> int:
    """Number of images in all splits."""
    return sum(map(len, splits.values()))


def licences_of(dataset: Dataset) -> list[str]:
    """The licences the samples state, each once, sorted."""
    return dataset.collect(dataset.scan.select(pl.col("licence").drop_nulls().unique().sort()))["licence"].to_list()
