"""`label check --fix`: specks taken away and pinholes filled, in a further version."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from curate import schema
from curate.dataset import Dataset, Header
from curate.engine import map_rows
from curate.errors import CurateError
from curate.masks import BACKGROUND, PERSON, Target
from curate.revise import check_place, existing_revision, revise
from curate.schema import UNLABELLED
from curate.threads import Watch, unwatched
from label.check import PART
from label.findings.shape import pinholes, specks, take_apart
from label.formats.record import Maker
from label.importing import spool_for
from label.merge import edit_row, relabelled_row
from label.outcome import write_mask
from label.rules import build_recipe, retagged

TOOL = "curate label check --fix"


@dataclass(frozen=True)
class Mended:
    """A sample's mended mask, its new row and the record of the change."""

    mask: Path
    row: dict[str, Any]
    edit: dict[str, Any]


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
    rows = dataset.rows()
    with spool_for(out) as spool:

        def part(some: Sequence[dict[str, Any]]) -> list[Mended | None]:
            return [mended_sample(dataset, row, kinds, spool) for row in some]

        made = map_rows(part, rows, watch("mending labels", len(rows)), PART)
        mended = {one.row["sample_id"]: one for one in made if one is not None}
        if not mended:
            return None, []
        new = [row if one is None else one.row for row, one in zip(rows, made, strict=True)]
        masks = {name: one.mask for name, one in mended.items()}
        samples = retagged(schema.table(new, schema.SAMPLES), masks, build_recipe(dataset.header))
        names = sorted(mended)
        if not force and (header := existing_revision(dataset, out, samples, dataset.drops)):
            return header, names
        header = revise(
            dataset,
            out,
            samples=samples,
            masks=masks,
            recipe={
                "command": "label check",
                "fix": sorted(kinds),
                "seed": dataset.header.recipe.get("seed", 0),
                "rules": dataset.header.built_by,
            },
            sources=[],
            edits=schema.table([one.edit for one in mended.values()], schema.EDITS),
            force=force,
        )
    return header, names


def mended_sample(dataset: Dataset, row: dict[str, Any], kinds: Collection[str], spool: Path) -> Mended | None:
    """A sample with its mask mended; None where there is nothing to mend.

    A mask that cannot be read is left as it is: the check names it.
    """
    if row["split"] in UNLABELLED:
        return None
    try:
        old = dataset.target(row)
    except CurateError:
        return None
    new = mended_target(old, kinds)
    if new is None:
        return None
    mask, sha256 = write_mask(spool / f"{row['sample_id']}.png", new)
    edit = edit_row(row, old, new, Maker(TOOL), dataset.header.version + 1, sha256)
    kept = {column: row[column] for column in ("origin", "tags", "weight")}  # nobody labelled it anew
    return Mended(mask, relabelled_row(row, new, sha256, row["people"]) | kept, edit)


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
