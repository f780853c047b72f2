"""What a run's embeddings give: a map of the images, search for images like one, how unique and how typical each is."""

from __future__ import annotations

import hashlib

import fiftyone as fo
import fiftyone.brain as fob
import numpy as np
from numpy.typing import NDArray

from curate.dataset import Dataset
from review.app.fields import Fields, declare

MAP, LIKE = "map", "like"
"""Brain keys end in these, after the run's prefix."""

SIMILARITY_FIELDS: Fields = {
    "uniqueness": (
        fo.FloatField,
        "how far the image is from its nearest ones, by the embeddings of the leading run, [0, 1]",
    ),
    "representativeness": (fo.FloatField, "how typical the image is of those around it, by the same, [0, 1]"),
}
FEWEST = 20
"""FiftyOne tells how typical an image is from so many clusters; with fewer images there is nothing to speak of."""


def update_similarity(shown: fo.Dataset, dataset: Dataset, prefix: str, embeddings: NDArray[np.float32]) -> None:
    """Bring map, search, uniqueness and representativeness up to date with a run's embeddings.

    Nothing is done where there are fewer than FEWEST images, or somebody added others in the App.

    Args:
        shown: Our FiftyOne dataset.
        dataset: The dataset version.
        prefix: Of the run.
        embeddings: (n, D), in the order of the dataset's rows.
    """
    declare(shown, SIMILARITY_FIELDS)
    digest = hashlib.sha256(embeddings.tobytes()).hexdigest()[:16]
    keys = [f"{prefix}_{name}" for name in (MAP, LIKE)]
    if len(embeddings) < FEWEST or (
        shown.info.get("embeddings") == digest and set(keys) <= set(shown.list_brain_runs())
    ):
        return
    place = {sample_id: number for number, sample_id in enumerate(dataset.sample_ids())}
    shown_ids = shown.values("sample_id")
    if not set(shown_ids) <= set(place):
        return
    ordered = embeddings[[place[sample_id] for sample_id in shown_ids]]
    forget_similarity(shown, prefix)
    fob.compute_visualization(shown, embeddings=ordered, method="pca", brain_key=keys[0], progress=False)
    fob.compute_similarity(shown, embeddings=ordered, backend="sklearn", brain_key=keys[1], progress=False)
    fob.compute_uniqueness(shown, embeddings=ordered, progress=False)
    fob.compute_representativeness(shown, embeddings=ordered, progress=False)
    shown.info["embeddings"] = digest
    shown.save()


def forget_similarity(shown: fo.Dataset, prefix: str) -> None:
    """Take a run's map and search away."""
    for key in {f"{prefix}_{name}" for name in (MAP, LIKE)} & set(shown.list_brain_runs()):
        shown.delete_brain_run(key)
