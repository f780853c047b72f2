"""Open a run for review: its config, the dataset it was made with, its scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate import schema
from curate.dataset import Dataset, open_dataset, read_table
from curate.errors import MismatchError, MissingError, UsageError
from curate.files import check_linked_folders, check_links
from curate.formats import read_head
from curate.images import read_grey
from curate.masks import SizeHW
from train.config import placed


class RunHeader(msgspec.Struct, frozen=True):
    """The part of a run's `config.json` that tells which dataset it was made with."""

    dataset: str
    """POSIX path, relative to the run; or its URL."""
    digest: str
    peer: str = ""
    """What was scored, where it is no trained model: `grabcut`, or the name of an ONNX file."""


@dataclass(frozen=True)
class Run:
    """An opened run."""

    root: Path
    dataset: Dataset
    scores: pl.DataFrame
    peer: str = ""
    """As in the header."""

    def is_blind(self) -> pl.Expr:
        """Whether a score is of an image whose label the model did not learn from."""
        return pl.lit(bool(self.peer)) | (pl.col("fold") >= 0) | pl.col("split").is_in(["val", "test"])

    def is_honest(self) -> pl.Expr:
        """Whether a score may guide what is done next: it is of an image that the model did not learn from, and that
        is no test image.
        """
        return self.is_blind() & (pl.col("split") != "test")

    def has_prediction(self, sample_id: str) -> bool:
        """Whether the prediction of an image is there."""
        return probabilities_path(self.root, sample_id).exists()

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        return self.root.resolve().name


def open_run(root: Path, dataset: Path | None = None) -> Run:
    """Open a scored run with the dataset it was made with.

    Args:
        root: The run's folder.
        dataset: Where its dataset lies now, if not where `config.json` says.

    Raises:
        MissingError: It is no run, it is not scored yet, its dataset is not there, or a folder in it is a link that
            leads out.
        FormatError: `config.json` or a table is damaged.
        VersionError: The dataset is another version than the run's.
        MismatchError: It has scores of an image that the dataset does not hold.
    """
    header = read_run_header(root)
    check_linked_folders(root)
    check_links(root, root / "predictions")
    place = dataset or placed(header.dataset, root)
    if not place.is_dir():
        raise MissingError(f"{root}: its dataset is not at {place}. Pass its folder as --dataset")
    run = Run(root, open_dataset(place, header.digest), read_scores(root), header.peer)
    check_scored(run)
    return run


def check_scored(run: Run) -> None:
    """Raise MismatchError where a run has scores of an image that its dataset does not hold."""
    for name in run.scores.join(run.dataset.samples, on="sample_id", how="anti")["sample_id"].head(1):
        advice = f"Score it again with: curate train score {run.root}"
        raise MismatchError(run.root / "scores.parquet", f"images of {run.dataset.root}", name, advice)


def read_run_header(root: Path) -> RunHeader:
    """Which dataset a run was made with; MissingError where the folder is no run, FormatError where it is damaged."""
    path = root / "config.json"
    if (root / "dataset.json").is_file() or (root.is_file() and root.suffix.lower() != ".onnx"):
        what = "is a dataset" if root.is_dir() else "is a file"
        raise MissingError(f"{root}: {what}, not a run. Name a run's folder, such as runs/first")
    if root.is_file() or (str(root) == "grabcut" and not root.is_dir()):
        raise MissingError(f"{root}: is no run before it is scored: curate train score {root} DATASET --out RUN")
    if not path.is_file():
        what = "is not a run (no config.json in it)" if root.is_dir() else "no such run"
        raise MissingError(f"{root}: {what}. Train one with: curate train fit DATASET --out {root}")
    return read_head(path, RunHeader, "Train the run again, or restore the file")


def read_scores(root: Path) -> pl.DataFrame:
    """A run's scores (schema.SCORES), sorted by sample_id; MissingError with the command that makes them."""
    path = root / "scores.parquet"
    if not path.is_file():
        raise MissingError(f"{root}: has no scores yet. Score it with: curate train score {root}")
    return read_table(path, schema.SCORES).sort("sample_id")


def read_prediction(root: Path, sample_id: str, size_hw: SizeHW) -> NDArray[np.uint8]:
    """A sample's prediction (H, W) uint8, value / 255 = probability; all 0 where there is none.

    Raises:
        FormatError, MismatchError: The file is damaged or of another size; scoring the run again makes it anew.
    """
    path = probabilities_path(root, sample_id)
    return read_grey(path, size_hw) if path.exists() else np.zeros(size_hw, np.uint8)


def probabilities_path(root: Path, sample_id: str) -> Path:
    """Where the probabilities that a run predicts for a sample lie."""
    return root / "predictions" / f"{sample_id}.png"


def open_with(first: Path, others: Sequence[Path], dataset: Path | None = None) -> list[Run]:
    """A run and others of the same dataset version, opened.

    Raises:
        UsageError: One was made with another version, whose labels may differ.
        CurateError: As `open_run`.
    """
    lead = open_run(first, dataset)
    for other in others:
        digest = read_run_header(other).digest
        if digest != lead.dataset.header.digest:
            told = f"{first} was made with version {lead.dataset.header.digest[:12]} of a dataset, {other} with"
            raise UsageError(f"{told} {digest[:12]}: their labels may differ. Train both on one version")
    return [lead, *(open_run(other, lead.dataset.root) for other in others)]
