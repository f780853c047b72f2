"""Which images of the unlabelled pool to label next: those like the failures, about which the models disagree."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.dataset import Dataset
from curate.files import sha256_file
from curate.rows import Rows
from curate.threads import unwatched
from label.prelabel import Model
from review.embeddings import batches, embedded
from review.runs import Run
from train.claim import weights_path, weights_paths
from train.config import FitConfig
from train.inference.predict import predict_batch, predict_image
from train.models import Loaded, device, load
from train.models.ensemble import Ensemble
from train.scoring.score import models_of

POOL = pl.Schema(
    {
        "sample_id": pl.String,
        "similarity": pl.Float64,
        "like": pl.String,
        "disagreement": pl.Float64,
        "worth": pl.Float64,
    }
)
"""`pool.parquet`, what is offered first, each part from the most worth on. `similarity` is the highest cosine of the
image's embedding and one of a failing image, which `like` names; `disagreement` is 1 - the mean IoU of what two models
say; `worth` is the mean of both as ranks, [0, 1]. What is offered is the most worth of each kind of photograph.
"""

ACCEPTED_IOU, FEWEST_ACCEPTED = 0.9, 10
"""Guesses are learnt from where the IoU of training images of that confidence is as high, on average of so many."""

COMPONENTS = 32
"""Principal components by which images are alike, each as much as any other: of a weak model one outweighs all."""

FAILING_SHARE = 0.25
"""The worst of the training images by IoU, which unlabelled ones are compared with."""


def accept_above(confidences: Sequence[float], ious: Sequence[float]) -> float | None:
    """The lowest confidence above which the IoU is ACCEPTED_IOU on average; None where there is none.

    What a model believes of itself is held against what it got right, out-of-fold: a weak one is sure of much.

    Args:
        confidences: Of a model's masks.
        ious: Of the same masks with their labels.
    """
    order = np.argsort(np.asarray(confidences, np.float64), kind="stable")[::-1]
    means = np.asarray(ious, np.float64)[order].cumsum() / np.arange(1, len(order) + 1)
    able = np.flatnonzero(means >= ACCEPTED_IOU)
    if not len(able) or able[-1] + 1 < FEWEST_ACCEPTED:
        return None
    return float(confidences[order[able[-1]]])


def search_pool(dataset: Dataset, run: Path, config: FitConfig, failing: Sequence[str], offer: int) -> pl.DataFrame:
    """POOL, a row for every image of the dataset's pool: first what is offered, then the rest by its worth.

    Args:
        dataset: The version.
        run: The base; its fold models are asked too. Each model says what it sees in an image and in its mirror image.
        config: Of the base.
        failing: The sample_ids of the images that the base fails on; without any, similarity says nothing.
        offer: How many are offered.
    """
    rows = dataset.rows("pool")
    if not rows:
        return POOL.to_frame()
    names = dataset.sample_ids("pool")
    both = dataset.named.of([*names, *failing])
    embeddings = embedded(Run(run, dataset, pl.DataFrame()), both, unwatched("embeddings", len(both)))
    directions = directions_of(embeddings)
    similarity, nearest = nearest_of(directions[: len(rows)], directions[len(rows) :])
    disagreement = _disagreements(dataset, run, config, rows)
    worth = (rank_of(similarity) + rank_of(disagreement)) / 2
    table = {
        "sample_id": names,
        "similarity": similarity,
        "like": [failing[number] for number in nearest] if failing else [""] * len(rows),
        "disagreement": disagreement,
        "worth": worth,
    }
    return pl.DataFrame(table, schema=POOL)[one_of_each_kind(worth, directions[: len(rows)], offer)]


def directions_of(embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
    """Embeddings (n, D) as unit vectors (n, at most COMPONENTS), whitened: else all images look alike to a weak model.

    From their common mean, along the components of most variance, of which there is one for four images at most.
    """
    centred = embeddings.astype(np.float64) - embeddings.astype(np.float64).mean(0)
    variances, axes = np.linalg.eigh(centred.T @ centred / len(centred))
    kept = np.flatnonzero(variances > 1e-9 * variances[-1])[-max(1, min(COMPONENTS, len(centred) // 4)) :]
    whitened = centred @ (axes[:, kept] / np.sqrt(variances[kept]))
    unit: NDArray[np.float64] = whitened / np.maximum(np.linalg.norm(whitened, axis=1, keepdims=True), 1e-12)
    return unit


def nearest_of(
    directions: NDArray[np.float64], others: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The highest cosine of each direction (n, K) with one of others (m, K), and its place; -1 and 0 without others."""
    highest, places = np.full(len(directions), -1.0), np.zeros(len(directions), np.int64)
    for first in range(0, len(directions) if len(others) else 0, 1024):
        cosines = directions[first : first + 1024] @ others.T
        highest[first : first + 1024], places[first : first + 1024] = cosines.max(1), cosines.argmax(1)
    return highest, places


def one_of_each_kind(worth: NDArray[np.float64], directions: NDArray[np.float64], count: int) -> list[int]:
    """All places from the most worth on, but that those offered go first: one of each of `count` kinds of images.

    A kind is a cluster of k-means, so that common kinds are asked for too, and in parts: labels of rare and hard images
    alone teach a weak model less than labels drawn at random. Within a kind it is the image worth most.

    Args:
        worth: (n,).
        directions: (n, D) unit vectors.
        count: How many are offered.
    """
    order = np.argsort(-worth, kind="stable")
    count = min(count, len(worth))
    kinds = kinds_of(directions, count)
    firsts = np.unique(kinds[order], return_index=True)[1][:count]
    is_offered = np.zeros(len(order), np.bool_)
    is_offered[firsts] = True
    is_offered[np.flatnonzero(~is_offered)[: count - len(firsts)]] = True
    return [*order[is_offered].tolist(), *order[~is_offered].tolist()]


def kinds_of(directions: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """The cluster of each of some vectors (n, D), at most `count` of them; where several are equal, fewer."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    if not count:
        return np.zeros(len(directions), np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of fewer kinds than were asked for
        return np.asarray(KMeans(count, random_state=0).fit_predict(directions), np.int64)


def rank_of(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The share of the other values that are lower, [0, 1]; ties get their mean.

    >>> rank_of(np.array([0.3, 0.1, 0.2])).tolist()
    [1.0, 0.0, 0.5]
    """
    ranks = pl.Series(values).rank("average").to_numpy() - 1
    return np.asarray(ranks / max(1, len(values) - 1), np.float64)


def _disagreements(dataset: Dataset, run: Path, config: FitConfig, rows: Rows) -> NDArray[np.float64]:
    """How far the models of a run disagree about each of some images, [0, 1]."""
    models = [model.to(device()) for model in models_of(run, config)]
    found = list[float]()
    for images in batches(dataset, rows, config.size, unwatched("disagreement", len(rows))):
        mirrored = np.ascontiguousarray(images[:, :, ::-1])
        said = [predict_batch(model, images, config.precision) >= 0.5 for model in models]
        said += [predict_batch(model, mirrored, config.precision)[:, :, ::-1] >= 0.5 for model in models]
        found += disagreement(np.stack(said)).tolist()
    return np.array(found)


def disagreement(said: NDArray[np.bool_]) -> NDArray[np.float64]:
    """1 - the mean IoU of each two of several masks, for each image; two empty masks agree.

    Args:
        said: (models, N, H, W) where each model sees a person.
    """
    pairs = list(combinations(range(len(said)), 2))
    ious = np.zeros(said.shape[1])
    for one, other in pairs:
        either = (said[one] | said[other]).sum((1, 2))
        both = (said[one] & said[other]).sum((1, 2))
        ious += np.where(either > 0, both / np.maximum(either, 1), 1.0)
    return 1 - ious / max(1, len(pairs))


def guesser(run: Path, config: FitConfig, *, ensemble: bool) -> Model:
    """What guesses the masks of the pool: the model of a run, or the mean of that and its fold models."""
    loaded = Loaded(Ensemble(models_of(run, config)), config) if ensemble else load(run)
    loaded.model.to(device())
    digest = "+".join(map(sha256_file, weights_paths(run, config) if ensemble else [weights_path(run, -1)]))
    options = {"ensemble": True} if ensemble else {}
    return Model(Path(run.name), digest, options, lambda image: predict_image(loaded, image))
