"""`label check --fix`: specks taken away and pinholes filled, in a further version."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from curate import images, schema
from curate.dataset import Dataset, Header
from curate.errors import CurateError
from curate.masks import BACKGROUND, PERSON, Target
from curate.processes import map_processes
from curate.revise import check_place, revise
from curate.threads import Watch, unwatched
from label.check import PART, UNLABELLED
from label.findings.shape import pinholes, specks, take_apart
from label.formats.record import Maker
from label.merge import edit_row, relabelled_row
from label.rules import build_options, build_recipe, retagged

TOOL = "curate label check --fix"


def mend(
    dataset: Dataset, kinds: Collection[str], out: Path, *, force: bool = False, watch: Watch = unwatched
) -> tuple[Header | None, list[str]]:
    """Mend the labels of `dataset` into its next version, a new dataset at `out`.

    Args:
        dataset: The version; it stays byte-identical.
        kinds: Of label.findings.MENDABLE.
        out: The new folder.
        force: Replace a dataset that is at `out`.
        watch: Told of progress.

    Returns:
        The new version's header, None where there is nothing to mend and nothing was written, and the sample_ids of
        the labels that were mended, sorted.

    Raises:
        UsageError: `out` lies in or around the dataset.
        ExistsError: `out` holds something else.
    """
    check_place(dataset, out, force=force)
    rows = [row for row in dataset.rows() if row["split"] not in UNLABELLED]

    def part(some: Sequence[dict[str, Any]]) -> list[tuple[bytes, dict[str, Any], dict[str, Any]] | None]:
        return [mended_row(dataset, row, kinds) for row in some]

    made = map_processes(part, rows, watch("mending labels", len(rows)), PART)
    mended = {row["sample_id"]: one for row, one in zip(rows, made, strict=True) if one is not None}
    if not mended:
        return None, []
    samples = schema.table(
        [mended[row["sample_id"]][1] if row["sample_id"] in mended else row for row in dataset.rows()], schema.SAMPLES
    )
    header = revise(
        dataset,
        out,
        samples=retagged(samples, mended, build_recipe(dataset.header)),
        masks={name: png for name, (png, _, _) in mended.items()},
        recipe={
            "command": "label check",
            "fix": sorted(kinds),
            "seed": dataset.header.recipe.get("seed", 0),
            "rules": build_options(dataset.header),
        },
        sources=[],
        edits=schema.table([edit for _, _, edit in mended.values()], schema.EDITS),
        force=force,
    )
    return header, sorted(mended)


def mended_row(
    dataset: Dataset, row: dict[str, Any], kinds: Collection[str]
) -> tuple[bytes, dict[str, Any], dict[str, Any]] | None:
    """A sample's mended mask as PNG, its new row and the record of it; None where nothing is to be mended.

    A mask that cannot be read is left as it is: the check names it.
    """
    try:
        old = dataset.target(row)
    except CurateError:
        return None
    new = mended_target(old, kinds)
    if new is None:
        return None
    png = images.target_png(new)
    sha256 = hashlib.sha256(png).hexdigest()
    edit = edit_row(row, old, new, Maker(TOOL), dataset.header.version + 1, sha256)
    kept = {column: row[column] for column in ("origin", "tags", "weight")}  # nobody labelled it anew
    return png, relabelled_row(row, new, sha256, row["people"]) | kept, edit


def mended_target(target: Target, kinds: Collection[str]) -> Target | None:
    """The target (H, W) without its specks, its pinholes filled, as far as `kinds` says so; None if it has none."""
    shape = take_apart(target)
    spots = specks(shape).labels > 0 if "specks" in kinds else np.zeros_like(shape.person)
    pins = pinholes(shape).labels > 0 if "holes" in kinds else np.zeros_like(shape.person)
    if not spots.any() and not pins.any():
        return None
    mended = target.copy()
    mended[spots] = BACKGROUND
    mended[pins] = PERSON
    return mended
