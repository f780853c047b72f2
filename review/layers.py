"""The masks the App shows over a photograph, on disk beside the run: what was predicted, and what of it is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.dataset import Dataset
from curate.files import is_outdated, readable_faults, write_atomic
from curate.images import png_bytes
from curate.masks import IGNORE, PERSON, Mask, Target
from curate.threads import Watch, map_threads, unwatched
from review.runs import Run, probabilities_path, read_prediction

FALSE_POSITIVE, FALSE_NEGATIVE = 1, 2
"""Values of an error mask; 0 is right or not counted."""


def error_mask(target: Target, predicted: Mask) -> NDArray[np.uint8]:
    """Where a prediction is wrong: (H, W) of 0, FALSE_POSITIVE, FALSE_NEGATIVE; not counted pixels are 0."""
    surplus = predicted & (target != PERSON) & (target != IGNORE)
    missing = ~predicted & (target == PERSON)
    return np.where(surplus, np.uint8(FALSE_POSITIVE), np.where(missing, np.uint8(FALSE_NEGATIVE), np.uint8(0)))


def prediction_path(run: Path, sample_id: str) -> Path:
    """Where the thresholded prediction (0, 255) of a sample lies."""
    return run / "overlays" / "prediction" / f"{sample_id}.png"


def errors_path(run: Path, sample_id: str) -> Path:
    """Where the error mask of a sample lies."""
    return run / "overlays" / "errors" / f"{sample_id}.png"


def write_layers(run: Run, watch: Watch = unwatched) -> int:
    """Write both masks of every scored sample whose prediction or label is newer than they are.

    Args:
        run: The scored run.
        watch: Shown the progress.

    Returns:
        How many samples were written anew.
    """
    known = run.dataset.named
    rows = known.of([sample_id for sample_id in run.scores["sample_id"] if sample_id in known])
    with readable_faults(run.root / "overlays"):
        return sum(map_threads(lambda row: write_if_outdated(run, row), rows, watch("overlays", len(rows))))


def write_if_outdated(run: Run, row: dict[str, Any]) -> bool:
    """Write one sample's masks where they are outdated; whether they were."""
    outdated = are_outdated(run.root, run.dataset, row)
    if outdated:
        write_sample_layers(run.root, run.dataset, row)
    return outdated


def are_outdated(run: Path, dataset: Dataset, row: dict[str, Any]) -> bool:
    """Whether a sample's masks are missing, or older than its prediction or its label."""
    made = (prediction_path(run, row["sample_id"]), errors_path(run, row["sample_id"]))
    sources = (probabilities_path(run, row["sample_id"]), dataset.root / row["mask"])
    if not all(path.is_file() for path in made):
        return True
    return any(is_outdated(path, source) for path in made for source in sources if source.is_file())


def write_sample_layers(run: Path, dataset: Dataset, row: dict[str, Any]) -> None:
    """Write both masks of one sample."""
    target = dataset.target(row)
    predicted = read_prediction(run, row["sample_id"], (row["height"], row["width"])) >= 128
    shown = np.where(predicted, np.uint8(PERSON), np.uint8(0))
    write_atomic(prediction_path(run, row["sample_id"]), png_bytes(shown))
    write_atomic(errors_path(run, row["sample_id"]), png_bytes(error_mask(target, predicted)))
