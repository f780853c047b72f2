"""`label undo`: edits taken back, in a further version."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import msgspec

from curate import images, schema
from curate.dataset import Dataset, Header, read_edits
from curate.errors import JSON_ERRORS, FormatError, UsageError
from curate.files import sha256_file
from curate.revise import REPLACED, check_place, revise
from label.formats.record import Maker
from label.merge import Restored, edit_row, is_addition

TOOL = "curate label undo"


def undo(
    dataset: Dataset, out: Path, names: Collection[str] | None, *, force: bool = False
) -> tuple[Header, list[str]]:
    """Take back the last edits of some samples into the next version of `dataset`, a new dataset at `out`.

    A sample that its edit added, from a photograph that was in no version before, goes away again.

    Args:
        dataset: The version that has the edits; it stays byte-identical.
        out: The new folder.
        names: Their sample_ids; None: of all that this version's import edited.
        force: Replace a dataset that is at `out`.

    Returns:
        The new version's header, and the sample_ids whose edits were taken back, sorted.

    Raises:
        UsageError: A sample has no edit that can be taken back, or `out` lies in or around the dataset.
        FormatError: The record of edits, or a mask that was replaced, is damaged.
        ExistsError: `out` holds something else.
    """
    check_place(dataset, out, force=force)
    path = dataset.root / "edits.parquet"
    edits = {row["sample_id"]: row for row in read_edits(dataset.root).to_dicts()}
    version = dataset.header.version
    chosen = sorted(names) if names is not None else sorted(one for one in edits if edits[one]["version"] == version)
    if not chosen:
        raise UsageError(f"{dataset.root}: version {version} holds no edit of its own. Name some with --ids")
    if gone := sorted(edits.keys() - dataset.named.keys()):
        raise FormatError(
            path, f"tells of {gone[0]}, and no sample is called so. `curate check {dataset.root}` says more"
        )
    unknown = [name for name in chosen if name not in edits]
    if unknown:
        raise UsageError(f"--ids {unknown[0]}: has no edit in {dataset.root}. Those that have: {some(sorted(edits))}")
    rows = dataset.named
    added = {name for name in chosen if is_addition(edits[name])}
    edited = [name for name in chosen if name not in added]
    for name in edited:
        if edits[name]["old_row"] is None:
            told = "its edit is from before edits could be taken back. The version before it has the old mask"
            raise UsageError(f"--ids {name}: {told}")
    masks = {name: replaced_mask(dataset, edits[name], path) for name in edited}
    restored = {name: restored_row(rows[name], edits[name], path) for name in edited}
    samples = [restored.get(name, row) for name, row in rows.items() if name not in added]
    if not samples:
        raise UsageError(f"{dataset.root}: all its images were added by what is to be undone. Leave some of them out")
    header = revise(
        dataset,
        out,
        samples=schema.table(samples, schema.SAMPLES),
        masks=masks,
        recipe={
            "command": "label undo",
            "ids": chosen,
            "seed": dataset.header.recipe.get("seed", 0),
            "rules": dataset.header.built_by,
        },
        sources=[],
        edits=schema.table([undone(dataset, rows[name], edits[name]) for name in edited], schema.EDITS),
        funnel=[msgspec.structs.replace(step, remaining=step.remaining - len(added)) for step in dataset.header.funnel],
        force=force,
    )
    return header, chosen


def some(names: list[str], at_most: int = 6) -> str:
    """The first few names."""
    return ", ".join(names[:at_most]) + (", ..." if len(names) > at_most else "") or "none"


def replaced_path(edit: dict[str, Any]) -> str:
    """Where the mask that an edit replaced lies in its dataset."""
    return f"{REPLACED}/{edit['sample_id']}.png"


def replaced_mask(dataset: Dataset, edit: dict[str, Any], record: Path) -> Path:
    """The file of the mask that an edit replaced; FormatError where they are gone or were changed."""
    path = dataset.root / replaced_path(edit)
    try:
        digest = sha256_file(path)
    except OSError as error:
        raise FormatError(path, f"cannot be read ({error.strerror}). Copy it from the version before") from error
    if digest != edit["old_mask_sha256"]:
        raise FormatError(path, f"is not the mask that {record.name} tells of. Copy it from the version before")
    return path


def restored_row(row: dict[str, Any], edit: dict[str, Any], record: Path) -> dict[str, Any]:
    """The row as it was before an edit."""
    try:
        was = msgspec.json.decode(edit["old_row"], type=Restored)
    except JSON_ERRORS as error:
        raise FormatError(record, f"old_row is damaged ({error})", row["sample_id"]) from error
    return row | msgspec.structs.asdict(was) | {"mask_sha256": edit["old_mask_sha256"]}


def undone(dataset: Dataset, row: dict[str, Any], edit: dict[str, Any]) -> dict[str, Any]:
    """The record of an edit taken back, which is an edit like any other and can be taken back in turn."""
    old, new = (images.read_target(dataset.root / path) for path in (row["mask"], replaced_path(edit)))
    return edit_row(row, old, new, Maker(TOOL), dataset.header.version + 1, edit["old_mask_sha256"])
