"""What a run writes, and whether there is room for it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import polars as pl
from torch import Tensor, nn

from curate.dataset import Dataset
from curate.errors import MachineError
from train.config import FitConfig
from train.monitoring.estimate import size

MOMENTS = {"adamw": 2, "adam": 2, "rmsprop": 1, "sgd": 1}
"""Numbers that an optimiser keeps for each weight."""
PREDICTION_BYTES_A_PIXEL = 0.2
"""Of a prediction's PNG; 0.18 and 0.19 in two runs on photographs."""
PICTURES_AN_EPOCH, PICTURES = 60_000, 3_000_000
"""Bytes of what is drawn after each epoch, and in all."""


def model_bytes(model: nn.Module, config: FitConfig) -> tuple[float, float]:
    """Bytes of a model's `last.ckpt`, at most, and of its `best.safetensors`.

    A weight that takes no part, as the last layers of a PSPNet's encoder, has no moments.
    """
    weights, whole = _bytes(model.parameters()), _bytes(iter(model.state_dict().values()))
    return whole * (1 if config.ema is None else 2) + weights * MOMENTS[config.optimizer], whole


def _bytes(tensors: Iterator[Tensor]) -> float:
    return float(sum(tensor.numel() * tensor.element_size() for tensor in tensors))


def fit_bytes(model: nn.Module, config: FitConfig, dataset: Dataset) -> float:
    """Bytes that are taken at most while a run is trained: its own, and a second `last.ckpt` as that is replaced."""
    return run_bytes(model, config, dataset) + model_bytes(model, config)[0]


def run_bytes(model: nn.Module, config: FitConfig, dataset: Dataset) -> float:
    """Bytes of a finished run with its folds."""
    pictures = PICTURES + PICTURES_AN_EPOCH * config.epochs
    scored = ["val", "train"] if config.folds else ["val"]
    return (1 + config.folds) * sum(model_bytes(model, config)) + pictures + prediction_bytes(dataset, *scored)


def prediction_bytes(dataset: Dataset, *splits: str) -> float:
    """Bytes of the predictions of splits, about."""
    part = dataset.samples.filter(pl.col("split").is_in(splits))
    return PREDICTION_BYTES_A_PIXEL * float((part["width"].cast(pl.Int64) * part["height"].cast(pl.Int64)).sum())


def check_room(place: Path, needed: float) -> None:
    """Raise MachineError where there is less room than is needed; what lies in the folder already is taken as freed.

    Args:
        place: The folder to write into, there or not.
        needed: In bytes.
    """
    there = next(path for path in (place, *place.resolve().parents) if path.exists())
    own = sum(path.stat().st_size for path in place.rglob("*") if path.is_file()) if place.is_dir() else 0
    free = shutil.disk_usage(there).free + own
    if free < needed:
        raise MachineError(
            f"{place}: {size(needed)} of disk are needed, {size(free)} are free. Free some, or choose another --out"
        )
