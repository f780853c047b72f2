"""A new dataset version from an old one: some masks replaced, some rows changed, everything else hardlinked."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from curate.dataset import (
    Dataset,
    Header,
    Source,
    digest_of,
    finish_dataset,
    open_dataset,
    read_edits,
    write_table,
)
from curate.errors import ExistsError, UsageError
from curate.files import link_or_copy, readable_faults, staged_folder
from curate.guesses import TABLE, handed_down

REPLACED = "replaced"
"""The folder of the masks that were there before the last edit."""


def revise(
    parent: Dataset,
    out: Path,
    *,
    samples: pl.DataFrame,
    masks: Mapping[str, bytes],
    recipe: dict[str, Any],
    sources: list[Source],
    edits: pl.DataFrame,
    drops: pl.DataFrame | None = None,
    prelabels: pl.DataFrame | None = None,
    force: bool = False,
) -> Header:
    """Write the next version of `parent` into folder `out` and return its header; `parent` stays byte-identical.

    Args:
        parent: The version it comes from; its name is kept and its version counted up.
        out: The new folder, neither inside the parent's nor around it.
        samples: The new table, with the columns of schema.SAMPLES; rows may be changed and left out, not added.
        masks: The PNG bytes of each mask that changes, by sample_id; all other files are hardlinked or copied.
        recipe: Every option this version was made with.
        sources: What was taken in, appended to the parent's sources.
        edits: One row per changed mask, with the columns of schema.EDITS; the parent's of other masks are kept.
        drops: The new table of drops; None keeps the parent's.
        prelabels: A row per mask that a model guessed, with the columns of schema.PRELABELS; the parent's of other
            samples are kept.
        force: Replace a dataset that is at `out`; what is no dataset is never replaced.

    Raises:
        UsageError: `out` is the parent, inside it or around it.
        ExistsError: `out` exists and `force` is false, or it holds something other than a dataset.
        MachineError, MissingError: The disk is full or not writable; a file of the parent is gone.
    """
    check_place(parent, out, force=force)
    _check_revision(parent, samples, masks)
    with readable_faults(out), staged_folder(out, force=force) as staging:
        _lay_files(parent, staging, samples, masks)
        _lay_edits(parent, staging, samples, edits)
        lay_prelabels(parent, staging, samples, prelabels)
        return finish_dataset(
            staging,
            name=parent.header.name,
            version=parent.header.version + 1,
            parent=parent.header.digest,
            recipe=recipe,
            sources=[*parent.header.sources, *sources],
            funnel=parent.header.funnel,
            samples=samples,
            drops=parent.drops if drops is None else drops,
        )


def existing_revision(parent: Dataset, out: Path, samples: pl.DataFrame) -> Header | None:
    """The header of the dataset at `out` where it already is this revision of `parent`; None where it is not."""
    if not (out / "dataset.json").is_file():
        return None
    header = open_dataset(out).header
    same = header.parent == parent.header.digest and header.digest == digest_of(samples)
    return header if same else None


def check_place(parent: Dataset, out: Path, *, force: bool) -> None:
    """Refuse, before any work is done, a folder the next version of `parent` cannot be written to.

    Raises:
        UsageError: It is the parent, inside it or around it.
        ExistsError: It exists and is neither to be replaced nor a version made from `parent`.
    """
    old, new = parent.root.resolve(), out.resolve()
    if new.is_relative_to(old) or old.is_relative_to(new):
        raise UsageError(
            f"{out}: is {parent.root}, inside or around it, and a version never changes. Choose another --out"
        )
    if not out.exists():
        return
    if not (out / "dataset.json").is_file():
        raise ExistsError(f"{out}: exists and is not a dataset, so it is not replaced. Choose another --out")
    if not force and open_dataset(out).header.parent != parent.header.digest:
        raise ExistsError(f"{out}: exists already. Choose another --out, or pass --force to replace it")


def _check_revision(parent: Dataset, samples: pl.DataFrame, masks: Mapping[str, bytes]) -> None:
    """A caller's mistake, not a user's: rows from nowhere, or a mask that is not what its row says."""
    if not set(samples["sample_id"]) <= set(parent.samples["sample_id"]):
        raise ValueError("a revision may not add samples")
    hashes = dict(samples.select("sample_id", "mask_sha256").iter_rows())
    wrong = [name for name, data in masks.items() if hashes.get(name) != hashlib.sha256(data).hexdigest()]
    if wrong:
        raise ValueError(f"the row of {wrong[0]} does not have its new mask's hash")


def _lay_edits(parent: Dataset, staging: Path, samples: pl.DataFrame, edits: pl.DataFrame) -> None:
    """The last edit of each mask, and beside it the mask that it replaced, so that it can be taken back."""
    kept = read_edits(parent.root).join(samples, on="sample_id", how="semi").join(edits, on="sample_id", how="anti")
    write_table(staging / "edits.parquet", pl.concat([kept, edits]).sort("sample_id"))
    masks = dict(parent.samples.select("sample_id", "mask").iter_rows())
    before = {name: f"{REPLACED}/{name}.png" for name in kept["sample_id"]} | {
        name: masks[name] for name in edits["sample_id"]
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


def _lay_files(parent: Dataset, staging: Path, samples: pl.DataFrame, masks: Mapping[str, bytes]) -> None:
    (staging / "images").mkdir()
    (staging / "masks").mkdir()
    for sample_id, image, mask in samples.select("sample_id", "image", "mask").iter_rows():
        link_or_copy(parent.root / image, staging / image)
        if sample_id in masks:
            (staging / mask).write_bytes(masks[sample_id])
        else:
            link_or_copy(parent.root / mask, staging / mask)
