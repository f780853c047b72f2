"""`label prelabel`: a model's guesses for the images without a label, in the next version of a dataset."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from curate import schema
from curate.dataset import Dataset, Header, Source, open_dataset
from curate.decisions import WEIGHTS
from curate.errors import CurateError, ExistsError, UsageError
from curate.guesses import MODEL, PSEUDO, is_guessed, is_unlabelled, read_prelabels, returned
from curate.masks import IGNORE, area_fraction, target_of, touched_edges
from curate.person_model import Predict
from curate.revise import check_place, revise
from curate.threads import Watch, unwatched
from label.formats.record import Maker
from label.guessing import Guess, guess
from label.importing import spool_for
from label.merge import edit_row, placement
from label.outcome import write_mask
from label.rules import build_recipe, retagged

TOOL = "curate label prelabel"
TO_TRAIN = {"train": 1.0, "val": 0.0, "test": 0.0}
"""The ratios a guess is placed by where all may be trained on; one in a group with images that are held out is not."""


@dataclass(frozen=True)
class Model:
    """What guesses.

    Attributes:
        path: The run or the file, as the user gave it.
        sha256: Digest of its weights.
        options: How its input is made, for the recipe.
        predict: The model itself.
    """

    path: Path
    sha256: str
    options: Mapping[str, Any]
    predict: Predict

    @property
    def name(self) -> str:
        """Its name without folders."""
        return self.path.resolve().name


class Made(NamedTuple):
    """What a guess makes of its sample: its row in the pool, its mask's file, and the records of guess and edit."""

    row: dict[str, Any]
    mask: Path
    prelabel: dict[str, Any]
    edit: dict[str, Any]

    @property
    def sample_id(self) -> str:
        """Whose guess it is."""
        return str(self.row["sample_id"])


@dataclass
class Prelabelled:
    """What came of it.

    Attributes:
        samples: The new version's.
        prelabels: The guesses, with the columns of schema.PRELABELS.
        held_back: Sample_ids of guesses sure enough for training that stay in the pool all the same.
        left_out: Sample_id -> why its image could not be looked at.
        status: `written`, `there already` (`--out` holds it), `unchanged` (nothing to write) or `dry run`.
        header: The new version's, where there is one.
    """

    samples: pl.DataFrame
    prelabels: pl.DataFrame
    held_back: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    status: str = "written"
    header: Header | None = None

    @property
    def guessed(self) -> list[str]:
        """Sample_ids of the images with a guess."""
        return self.samples.filter(is_guessed())["sample_id"].to_list()

    @property
    def median_confidence(self) -> float | None:
        """Of the guesses; None without any."""
        return statistics.median(self.prelabels["confidence"]) if self.prelabels.height else None

    @property
    def accepted(self) -> list[str]:
        """Sample_ids of the guesses that are trained on."""
        return self.samples.filter(is_guessed() & (pl.col("split") == "train"))["sample_id"].to_list()

    @property
    def nobody(self) -> list[str]:
        """Sample_ids of the images in which the model sees nobody."""
        blank = self.samples.filter(is_unlabelled() & ~is_guessed())["sample_id"]
        return [name for name in blank if name not in self.left_out]


def prelabel(
    parent: Dataset,
    out: Path | None,
    model: Model,
    accept_above: float | None = None,
    *,
    ratios: Mapping[str, float] = TO_TRAIN,
    force: bool = False,
    watch: Watch = unwatched,
) -> Prelabelled:
    """Guess the masks of all images without a label, into the next version of `parent` at `out`; None only looks.

    A guess is a mask of origin `model`, and its image stays in the pool. Images whose earlier guess was accepted for
    training have no label either: they are guessed, and accepted or not, anew.

    Args:
        parent: The version; it stays byte-identical.
        out: The new folder.
        model: What guesses.
        accept_above: Guesses of a higher confidence enter training, weighted by it; None: none does.
        ratios: Split -> share, of which only what falls to `train` may enter it; by the dataset's own, no image is
            trained on that its label would hold out.
        force: Replace a dataset that is at `out`.
        watch: Told of progress.

    Raises:
        UsageError: No image is without a label, or `out` lies in or around the dataset.
        ExistsError: `out` holds something else.
        FormatError: The model fails.
    """
    recipe = recipe_of(model, accept_above, parent)
    if out is not None:
        check_place(parent, out, force=force)
    with spool_for(out) as spool:
        if out is not None and out.exists() and not force:
            return made_before(parent, out, recipe)
        made, left_out = guess_all(parent, model, spool, watch)
        rows, held_back = accept(parent, made, accept_above, ratios)
        samples = revised_samples(parent, rows, {one.sample_id: one.mask for one in made})
        guesses = [one.prelabel for one in made if one.row["origin"] == MODEL]
        found = Prelabelled(samples, schema.table(guesses, schema.PRELABELS), held_back, left_out)
        changed = changed_names(parent.samples, samples)
        if not changed or out is None:
            found.status = "dry run" if changed else "unchanged"
            return found
        edited = [one for one in made if one.sample_id in changed]
        found.header = revise(
            parent,
            out,
            samples=samples,
            masks={one.sample_id: one.mask for one in edited},
            recipe=recipe,
            sources=[Source("model", model.name, None, {model.name: model.sha256})],
            edits=schema.table([one.edit for one in edited], schema.EDITS),
            prelabels=found.prelabels,
            force=force,
        )
    return found


def recipe_of(model: Model, accept_above: float | None, parent: Dataset) -> dict[str, Any]:
    """The header's recipe: every option, the model's path as the user gave it, the seed handed down."""
    return {
        "command": "label prelabel",
        "model": str(model.path),
        "model_sha256": model.sha256,
        **model.options,
        "accept_above": accept_above,
        "seed": parent.header.recipe.get("seed", 0),
        "rules": parent.header.built_by,
    }


def made_before(parent: Dataset, out: Path, recipe: Mapping[str, Any]) -> Prelabelled:
    """What the dataset at `out` holds, where it was made from `parent` in the same way; else ExistsError."""
    there = open_dataset(out)
    if there.header.parent != parent.header.digest or there.header.recipe != recipe:
        raise ExistsError(f"{out}: exists already. Choose another --out, or pass --force to replace it")
    return Prelabelled(there.samples, read_prelabels(out), status="there already", header=there.header)


def guess_all(dataset: Dataset, model: Model, spool: Path, watch: Watch) -> tuple[list[Made], dict[str, str]]:
    """What the model makes of every image without a label, and why some could not be looked at, by sample_id.

    Args:
        dataset: The version.
        model: What guesses.
        spool: The folder that the masks are written to.
        watch: Told of progress.

    Raises:
        UsageError: There is no such image.
    """
    waiting = dataset.samples.filter(is_unlabelled())
    if waiting.is_empty():
        raise UsageError(f"{dataset.root}: no image is without a label. Build it with some: curate build --pool DIR")
    tick = watch("guessing masks", waiting.height)
    made, left_out = [], {}
    for before, row in zip(waiting.to_dicts(), returned(waiting).to_dicts(), strict=True):
        try:
            image = dataset.image(row)
        except CurateError as error:
            left_out[row["sample_id"]] = str(error)
        else:
            made.append(sample_made(dataset, before, row, guess(image, model.predict), model.name, spool))
        tick(1)
    return made, left_out


def sample_made(
    dataset: Dataset, before: dict[str, Any], row: dict[str, Any], found: Guess, model: str, spool: Path
) -> Made:
    """What a guess makes of one sample; where the model sees nobody, nothing in its mask counts.

    Args:
        dataset: Its version.
        before: Its row there.
        row: The same, in the pool.
        found: The guess.
        model: The model's name.
        spool: The folder that its mask is written to.
    """
    seen = bool(found.person.any())
    target = target_of(found.person) if seen else np.full(found.person.shape, IGNORE, np.uint8)
    mask, sha256 = write_mask(spool / f"{row['sample_id']}.png", target)
    old = dataset.target(before) if before["origin"] == MODEL else None
    edit = edit_row(before, old, target, Maker(TOOL, model), dataset.header.version + 1, sha256)
    new_row = row | {
        "mask_sha256": sha256,
        "area": area_fraction(target),
        "people": int(seen),
        "edges": touched_edges(found.person),
        "origin": MODEL if seen else "none",
    }
    values = (row["sample_id"], sha256, model, found.confidence, found.regions)
    return Made(new_row, mask, dict(zip(schema.PRELABELS, values, strict=True)), edit)


def accept(
    dataset: Dataset, made: Sequence[Made], accept_above: float | None, ratios: Mapping[str, float] = TO_TRAIN
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The new row of every guess by sample_id, in training where it is sure enough; and those that are held back."""
    place = placement(returned(dataset.samples), int(dataset.header.recipe.get("seed") or 0), ratios)
    rows, held_back = {one.sample_id: one.row for one in made}, []
    for one in made:
        confidence = one.prelabel["confidence"]
        if accept_above is None or confidence <= accept_above or one.row["origin"] != MODEL:
            continue
        row = accepted_row(place(one.row), confidence)
        if row is None:
            held_back.append(one.sample_id)
        else:
            rows[one.sample_id] = row
    return rows, held_back


def accepted_row(placed: dict[str, Any], confidence: float) -> dict[str, Any] | None:
    """The row of a guess that is trained on; None where it must not be.

    That is where its group is held out, or a reviewer's verdict stands, which is about a label to come.

    Args:
        placed: In the split that its group is placed in.
        confidence: Its weight in training.
    """
    if placed["split"] != "train" or WEIGHTS.keys() & set(placed["tags"]):
        return None
    return placed | {"weight": confidence, "tags": [*placed["tags"], PSEUDO]}


def revised_samples(dataset: Dataset, rows: Mapping[str, dict[str, Any]], masks: Mapping[str, Path]) -> pl.DataFrame:
    """The table with new rows in place of the old ones, those in training tagged by the rules that they break.

    Args:
        dataset: The version before.
        rows: The new rows, by sample_id.
        masks: Their files.
    """
    samples = schema.table([rows.get(row["sample_id"], row) for row in dataset.rows()], schema.SAMPLES)
    return retagged(samples, masks, build_recipe(dataset.header))


def changed_names(before: pl.DataFrame, after: pl.DataFrame) -> set[str]:
    """The sample_ids whose rows differ; both tables have the same samples in the same order."""
    pairs = zip(before["sample_id"], before.iter_rows(), after.iter_rows(), strict=True)
    return {name for name, old, new in pairs if old != new}
