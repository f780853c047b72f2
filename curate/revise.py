"""A new dataset version from an old one: some masks replaced, some rows changed, everything else hardlinked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from curate.classes import FOLDER as CLASSES
from curate.classes import class_path
from curate.dataset import (
    Dataset,
    FunnelStep,
    Header,
    Source,
    digest_of,
    open_dataset,
    read_edits,
    write_table,
)
from curate.errors import ExistsError, MissingError, UsageError
from curate.files import link_or_copy, readable_faults, sha256_file, staged_folder
from curate.finish import finish_dataset
from curate.guesses import TABLE, handed_down
from curate.rows import Rows

REPLACED = "replaced"
"""The folder of the masks that were there before the last edit."""


def revise(
    parent: Dataset,
    out: Path,
    *,
    samples: pl.DataFrame,
    masks: Mapping[str, Path],
    recipe: dict[str, Any],
    sources: list[Source],
    edits: pl.DataFrame,
    images: Mapping[str, Path] | None = None,
    drops: pl.DataFrame | None = None,
    funnel: list[FunnelStep] | None = None,
    prelabels: pl.DataFrame | None = None,
    force: bool = False,
) -> Header:
    """Write the next version of `parent` into folder `out` and return its header; `parent` stays byte-identical.

    Args:
        parent: The version it comes from; its name is kept and its version counted up.
        out: The new folder, neither inside the parent's nor around it.
        samples: The new table, with the columns of schema.SAMPLES; rows may be changed, left out, and, with their
            `images`, added.
        masks: The file of each mask that changes, by sample_id; like all other files it is hardlinked or copied.
        recipe: Every option this version was made with.
        sources: What was taken in, appended to the parent's sources.
        edits: One row per changed mask, with the columns of schema.EDITS; the parent's of other masks are kept.
        images: The photograph of each sample that is added, by sample_id.
        drops, funnel: The new table of drops and the funnel; None keeps the parent's.
        prelabels: A row per mask that a model guessed, with the columns of schema.PRELABELS; the parent's of other
            samples are kept.
        force: Replace a dataset that is at `out`; what is no dataset is never replaced.

    Raises:
        UsageError: `out` is the parent, inside it or around it.
        ExistsError: `out` exists and `force` is false, or it holds something other than a dataset.
        MachineError, MissingError: The disk is full or not writable; a file of the parent is gone.
    """
    check_place(parent, out, force=force)
    images = images or {}
    _check_revision(parent, samples, masks, images)
    with readable_faults(out), staged_folder(out, force=force) as staging:
        _lay_files(parent, staging, samples, masks, images)
        _lay_classes(parent, staging, samples)
        _lay_edits(parent, staging, samples, edits)
        lay_prelabels(parent, staging, samples, prelabels)
        return finish_dataset(
            staging,
            name=parent.header.name,
            version=parent.header.version + 1,
            parent=parent.header.digest,
            recipe=recipe,
            sources=[*parent.header.sources, *sources],
            funnel=parent.header.funnel if funnel is None else funnel,
            samples=samples,
            drops=parent.drops if drops is None else drops,
        )


def existing_revision(parent: Dataset, out: Path, samples: pl.DataFrame, drops: pl.DataFrame) -> Header | None:
    """The header of the dataset at `out` where it already is this revision of `parent`; None where it is not."""
    if not (out / "dataset.json").is_file():
        return None
    there = open_dataset(out)
    header = there.header
    same = header.parent == parent.header.digest and header.digest == digest_of(samples)
    return header if same and there.drops.equals(drops) else None


def check_place(parent: Dataset, out: Path, *, force: bool) -> None:
    """Refuse, before any work is done, a folder the next version of `parent` cannot be written to.

    Raises:
        UsageError: It is the parent, inside it or around it.
        ExistsError: It exists and is neither to be replaced nor a version made from `parent`.
    """
    old, new = parent.root.resolve(), out.resolve()
    if new.is_relative_to(old) or old.is_relative_to(new):
        place = f"lies inside {parent.root}" if old in new.parents else f"holds {parent.root}"
        told = f"is {parent.root} itself" if new == old else place
        raise UsageError(f"{out}: {told}, and a version never changes. Choose another --out")
    if not out.exists():
        return
    if not (out / "dataset.json").is_file():
        raise ExistsError(f"{out}: exists and is not a dataset, so it is not replaced. Choose another --out")
    if not force and open_dataset(out).header.parent != parent.header.digest:
        raise ExistsError(f"{out}: exists already. Choose another --out, or pass --force to replace it")


def _check_revision(
    parent: Dataset, samples: pl.DataFrame, masks: Mapping[str, Path], images: Mapping[str, Path]
) -> None:
    """A caller's mistake, not a user's: rows from nowhere, or a mask that is not what its row says."""
    if not set(samples["sample_id"]) <= {*parent.samples["sample_id"], *(images.keys() & masks.keys())}:
        raise ValueError("a revision may not add samples without image and mask")
    hashes = dict(samples.select("sample_id", "mask_sha256").iter_rows())
    wrong = [name for name, file in masks.items() if hashes.get(name) != sha256_file(file)]
    if wrong:
        raise ValueError(f"the row of {wrong[0]} does not have its new mask's hash")


def _lay_edits(parent: Dataset, staging: Path, samples: pl.DataFrame, edits: pl.DataFrame) -> None:
    """The last edit of each mask, and beside it the mask that it replaced, so that it can be taken back."""
    kept = read_edits(parent.root).join(samples, on="sample_id", how="semi").join(edits, on="sample_id", how="anti")
    write_table(staging / "edits.parquet", pl.concat([kept, edits]).sort("sample_id"))
    masks = dict(parent.samples.select("sample_id", "mask").iter_rows())
    before = {name: f"{REPLACED}/{name}.png" for name in kept.drop_nulls("old_mask_sha256")["sample_id"]} | {
        name: masks[name] for name in edits["sample_id"] if name in masks
    }
    if before:
        (staging / REPLACED).mkdir()
    for name, path in before.items():
        link_or_copy(parent.root / path, staging / REPLACED / f"{name}.png")


def lay_prelabels(parent: Dataset, staging: Path, samples: pl.DataFrame, new: pl.DataFrame | None = None) -> None:
    """The record of a model's guesses, where there are any."""
    prelabels = handed_down(parent.root, samples, new)
    if prelabels.height:
        write_table(staging / TABLE, prelabels)


def _lay_files(
    parent: Dataset, staging: Path, samples: pl.DataFrame, masks: Mapping[str, Path], images: Mapping[str, Path]
) -> None:
    (staging / "images").mkdir()
    (staging / "masks").mkdir()
    for sample_id, image, mask in samples.select("sample_id", "image", "mask").iter_rows():
        for source, path in (images.get(sample_id), image), (masks.get(sample_id), mask):
            _lay(parent, source or parent.root / path, staging / path)


def _lay_classes(parent: Dataset, staging: Path, samples: pl.DataFrame) -> None:
    """The class masks, which no edit changes: a person drawn over an object wins when the two are read."""
    paths = [path for row in Rows(samples.select("mask", "tags")) if (path := class_path(row)) is not None]
    if paths:
        (staging / CLASSES).mkdir()
    for path in paths:
        _lay(parent, parent.root / path, staging / path)


def _lay(parent: Dataset, file: Path, target: Path) -> None:
    """Link or copy a file into the new version."""
    try:
        link_or_copy(file, target)
    except FileNotFoundError as error:
        told = f"{file}: is missing, so that no version can be made of {parent.root}"
        raise MissingError(f"{told}. `curate check {parent.root}` lists what else is") from error
