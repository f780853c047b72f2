"""`log.jsonl`: one line per epoch, and what it tells about a run. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from curate.errors import JSON_ERRORS, FormatError
from train.config import FitConfig, read_config

Line = TypeVar("Line", bound=msgspec.Struct)


class EpochLine(msgspec.Struct, frozen=True):
    """One epoch. IoU and Dice are image means at training size; None where no image has one."""

    epoch: int
    """From 1."""
    fold: int
    """The fold the model was trained without; -1 for the model of the whole training split."""
    train_loss: float
    train_iou: float | None
    """Over the augmented images as they were drawn, while the model was still learning from them."""
    train_dice: float | None
    val_loss: float | None
    """None where the dataset has no validation images."""
    val_iou: float | None
    val_dice: float | None
    lr: float
    """Learning rate of the epoch's last step."""
    best: bool
    """Whether these are the best weights so far."""
    images: int
    seconds: float


def encode_lines(lines: Sequence[msgspec.Struct]) -> bytes:
    """Records as the bytes of a `.jsonl` file."""
    return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)


def read_lines(path: Path, kind: type[Line], advice: str) -> list[Line]:
    """The records of a `.jsonl` file, in order; none where there is no such file.

    Raises:
        FormatError: One is damaged; `advice` says what to do about it.
    """
    if not path.is_file():
        return []
    try:
        return [msgspec.json.decode(line, type=kind) for line in path.read_bytes().splitlines()]
    except JSON_ERRORS as error:
        raise FormatError(path, f"is damaged ({error}). {advice}") from error


def read_log(run: Path) -> list[EpochLine]:
    """The finished epochs of a run, in order; empty where there are none.

    Raises:
        FormatError: A line is damaged.
    """
    return read_lines(run / "log.jsonl", EpochLine, "Delete it; `fit --resume` writes it again")


def is_trained(lines: Sequence[EpochLine], config: FitConfig) -> bool:
    """Whether a model has had all its epochs, or its --patience is over."""
    if len(lines) >= config.epochs:
        return True
    best = max((line.epoch for line in lines if line.best), default=0)
    return config.patience is not None and len(lines) - best >= config.patience


def is_finished(run: Path) -> bool:
    """Whether the run was trained to its end and the validation split scored, which `fit` does last."""
    if not (run / "config.json").is_file() or not (run / "scores.parquet").is_file():
        return False
    return is_trained(read_log(run), read_config(run))
