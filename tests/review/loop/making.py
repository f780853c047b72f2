"""A small dataset with a pool, a run on it, and loops that take seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from PIL import Image

from curate.dataset import Dataset
from curate.masks import PERSON
from review.loop.config import LoopConfig, loop_config

SPLITS = ("train",) * 12 + ("val",) * 4 + ("test",) * 3
FIT: dict[str, Any] = {
    "model": "pspnet",
    "encoder": "mobilenet_v2",
    "weights": "none",
    "size": 32,
    "batch_size": 4,
    "folds": 2,
    "epochs": 2,
    "lr": 0.001,
}


def configure(dataset: Dataset, out: Path, **changes: Any) -> LoopConfig:
    """A loop of one round of one epoch; with `start`, from that run."""
    options: dict[str, Any] = {"rounds": 1, "budget": "1"} | changes
    return loop_config(dataset, out, {} if "start" in options else FIT, **options)


def quiet(line: str) -> None:
    """Say nothing."""


def write_labels(dataset: Dataset, folder: Path, names: list[str]) -> Path:
    """Hand labels that differ from the masks that are there: each person's left half alone, as PNGs."""
    folder.mkdir()
    for row in dataset.rows():
        if row["sample_id"] in names:
            person = dataset.target(row) == PERSON
            person[:, person.shape[1] // 2 :] = False
            person[: person.shape[0] // 2, 0] = True  # so that nobody's mask is empty
            Image.fromarray(np.where(person, 255, 0).astype(np.uint8)).save(folder / f"{row['sample_id']}.png")
    return folder


def of_split(dataset: Dataset, split: str) -> list[str]:
    """The sample_ids of a split."""
    return dataset.samples.filter(pl.col("split") == split)["sample_id"].to_list()
