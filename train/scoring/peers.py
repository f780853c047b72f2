"""What runs are held against and scored like: person models in ONNX files, and GrabCut. Nothing here is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import polars as pl

from curate import schema
from curate.dataset import Dataset
from curate.engine import map_parts
from curate.errors import UsageError
from curate.files import held_folder, readable_faults, sha256_file
from curate.person_model import InputSpec, Photo, Predict, Probability, both_views, open_model
from curate.threads import Watch, map_threads, unwatched
from train.claim import check_apart, claim_folder
from train.config import PeerConfig, encode_config, read_config, relative
from train.inference.predict import predict_image
from train.inference.refine import refined
from train.models import device, load
from train.scoring.grabcut import SETTINGS, cut_person
from train.scoring.score import check_splits, finish_image, read_rows, write_scores

GRABCUT = "grabcut"
"""The word for it on the command line; a run's folder of that name is written ./grabcut."""


@dataclass(frozen=True)
class Peer:
    """Something that finds people without being trained here.

    Attributes:
        name: `grabcut`, or the name of the model's file.
        settings: All that decides what it predicts, for the record.
        predict: From an image to the probability of person, at the image's own size.
    """

    name: str
    settings: Mapping[str, Any]
    predict: Predict


def is_peer(word: str) -> bool:
    """Whether a word of the command line names a peer, not a run."""
    return word == GRABCUT or (word.lower().endswith(".onnx") and not Path(word).is_dir())


def open_peer(word: str, spec: InputSpec) -> Peer:
    """The peer that a word names; `spec` says what an ONNX model's input looks like.

    Raises:
        UsageError: `spec` says something that is known, or leaves open what is not.
        MissingError, FormatError: As `curate.person_model.open_model`.
    """
    if word != GRABCUT:
        path = Path(word)
        model = open_model(path, spec)
        return Peer(path.name, {"sha256": sha256_file(path), **spec.options}, model.predict)
    if spec != InputSpec():
        raise UsageError("grabcut: is no ONNX model. Leave --input-size, --layout and --normalise out")
    return Peer(GRABCUT, SETTINGS, cut_person)


def open_predict(word: str, spec: InputSpec) -> Predict:
    """What predicts an image with what a word names: a peer, or the best model of a run, on the GPU if there is one.

    Raises:
        As `open_peer`, `refuse_spec` and `train.models.load`.
    """
    if is_peer(word):
        return open_peer(word, spec).predict
    run = Path(word)
    read_config(run)
    refuse_spec(run, spec)
    loaded = load(run)
    loaded.model.to(device())
    one_at_a_time = Lock()  # it has all cores to itself: threads that share them would take them from each other

    def predict(image: Photo) -> Probability:
        with one_at_a_time:
            return predict_image(loaded, image)

    return predict


def refuse_spec(run: Path, spec: InputSpec) -> None:
    """Raise UsageError where the user says what the input of a run looks like: it knows."""
    if spec != InputSpec():
        raise UsageError(f"{run}: is a run, no .onnx file. Leave --input-size, --layout and --normalise out")


def score_peer(
    peer: Peer,
    dataset: Dataset,
    out: Path,
    splits: Sequence[str] = schema.LABELLED,
    *,
    flip: bool = False,
    refinements: Sequence[str] = (),
    watch: Watch = unwatched,
) -> pl.DataFrame:
    """Predict and score splits with a peer; makes `out` a run as far as predictions and scores go.

    Args:
        peer: The peer.
        dataset: The dataset.
        out: Folder that receives `config.json`, `predictions/` and `scores.parquet`.
        splits: Some of schema.SCORED; rows of others that the same peer scored before are kept.
        flip: Predict the mean of each image and its mirror image.
        refinements: Of train.inference.refine, one after the other.
        watch: Shown what is being done and how far it is.

    Returns:
        schema.SCORES, all rows of the written table, sorted by sample_id; every fold is -1.

    Raises:
        UsageError: A split that has no labels; `out` lies in the dataset.
        ExistsError: `out` holds something else, or another process works in it.
        FormatError: The model fails on an image.
    """
    check_splits(splits)
    predict = refined(both_views(peer.predict) if flip else peer.predict, refinements)
    settings = dict(peer.settings) | ({"refine": list(refinements)} if refinements else {})
    check_apart(dataset, out)
    config = PeerConfig(
        dataset=relative(dataset.root, out), digest=dataset.header.digest, peer=peer.name, settings=settings, flip=flip
    )

    def score(row: dict[str, Any]) -> dict[str, object]:
        figures = finish_image(dataset, row, predict(dataset.image(row)), out / "predictions", name=peer.name)
        return {"sample_id": row["sample_id"], "split": row["split"], "fold": -1, **figures}

    rows = dataset.rows(*splits)
    with held_folder(out), readable_faults(out):
        claim_folder(out, encode_config(config))
        kept = read_rows(out).filter(~pl.col("split").is_in(splits))
        found = map_parts(partial(map_threads, score), rows, watch("score", len(rows)))
        return write_scores(out, kept, found)
