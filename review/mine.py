"""What a retraining should see more of, and what it should not see: pure functions from tables to a table."""

from __future__ import annotations

import math
from collections.abc import Mapping

import polars as pl

from curate import schema
from curate.guesses import is_guessed

RECIPE_OF_KIND: Mapping[str, str] = {
    "missed-person": "scale",
    "bite": "low-contrast",
    "cut-part": "crop",
    "extension": "low-contrast",
    "extra-region": "occlusion",
    "merged-object": "held-object",
    "ragged-boundary": "blur-noise-jpeg",
}
"""The augmentation that shows a model more of what a kind of failure is made of; other kinds keep the run's own."""

HARD_SHARE = 0.25
"""The share of the training images that counts as hard: the worst quarter by IoU, labels in doubt aside."""

HARD_WEIGHT = 3.0
"""How many times as often a hard image is drawn: with a quarter hard, half of every epoch is."""

SUSPECT_SHARE = 0.1
"""At most this share of the training images leaves as suspects, so that a weak model cannot empty its own data."""


def mine(
    samples: pl.DataFrame,
    scores: pl.DataFrame,
    failures: pl.DataFrame,
    suspects: pl.DataFrame,
    verdicts: Mapping[str, str],
    augment: str,
) -> pl.DataFrame:
    """A weight, an augmentation and a reason for every training image.

    A person's verdict goes before the program's: `exclude` and `relabel` leave the training set, `hard` is drawn
    more often, `ok` is never taken for a wrong label. Then suspected labels leave and hard images are weighted up.

    Args:
        samples: The dataset's rows (schema.SAMPLES).
        scores: Scores of the training split (schema.SCORES), out-of-fold where there are folds.
        failures: schema.FAILURES of the same run.
        suspects: schema.SUSPECTS of the same run, most suspect first.
        verdicts: sample_id -> one of schema.VERDICTS.
        augment: The run's own augmentation, for images that need no other.

    Returns:
        schema.MINED with one row per training image, sorted by sample_id. Weight 0 leaves an image out.
    """
    training = samples.filter(pl.col("split").is_in(["train", "background"]))
    training = training.select("sample_id", "weight", guessed=is_guessed())
    known = (
        training.join(scores.select("sample_id", "iou"), on="sample_id", how="left")
        .join(failures.select("sample_id", "kind", "triage"), on="sample_id", how="left")
        .sort("sample_id")
    )
    left_out = suspects_to_leave_out(known, suspects, verdicts)
    hard = hard_images(known, left_out, verdicts)
    rows = [_mined_row(row, left_out, hard, verdicts, augment) for row in known.iter_rows(named=True)]
    return schema.table(rows, schema.MINED)


def suspects_to_leave_out(known: pl.DataFrame, suspects: pl.DataFrame, verdicts: Mapping[str, str]) -> dict[str, str]:
    """sample_id -> reason, for the training images whose label is more likely wrong than the model.

    Those that triage sends to `relabel`, most suspect first, at most SUSPECT_SHARE of the training images.
    """
    doubted = set(known.filter(pl.col("triage") == "relabel")["sample_id"])
    trusted = {sample_id for sample_id, verdict in verdicts.items() if verdict in ("ok", "hard")}
    ranked = [
        (row["sample_id"], row["reason"])
        for row in suspects.iter_rows(named=True)
        if row["sample_id"] in doubted - trusted
    ]
    return dict(ranked[: math.floor(SUSPECT_SHARE * known.height)])


def hard_images(known: pl.DataFrame, left_out: Mapping[str, str], verdicts: Mapping[str, str]) -> set[str]:
    """The worst HARD_SHARE of the training images by IoU, and those a person called hard.

    Where two models disagree about an image that nobody labelled, nothing says which is right: it is not hard.
    """
    gone = set(left_out) | {sample_id for sample_id, verdict in verdicts.items() if verdict != "hard"}
    labelled = known.filter(~pl.col("guessed"))
    scored = labelled.filter(pl.col("iou").is_not_null() & ~pl.col("sample_id").is_in(sorted(gone)))
    worst = scored.sort("iou", "sample_id").head(math.ceil(HARD_SHARE * scored.height))["sample_id"]
    return set(worst) | {sample_id for sample_id, verdict in verdicts.items() if verdict == "hard"}


def _mined_row(
    row: Mapping[str, object],
    left_out: Mapping[str, str],
    hard: set[str],
    verdicts: Mapping[str, str],
    augment: str,
) -> dict[str, object]:
    sample_id, weight, kind = str(row["sample_id"]), float(str(row["weight"])), row["kind"]
    recipe, reason = augment, ""
    if verdicts.get(sample_id) in ("exclude", "relabel"):
        weight, reason = 0.0, f"a reviewer said {verdicts[sample_id]}"
    elif sample_id in left_out:
        weight, reason = 0.0, f"suspected label: {left_out[sample_id]}"
    elif sample_id in hard:
        weight, recipe = weight * HARD_WEIGHT, RECIPE_OF_KIND.get(str(kind), augment)
        scored = f", IoU {row['iou']:.3f}" if row["iou"] is not None else ""
        reason = f"hard: {kind}{scored}" + (", a reviewer said so" if verdicts.get(sample_id) == "hard" else "")
    return {"sample_id": sample_id, "weight": weight, "recipe": recipe, "reason": reason}
