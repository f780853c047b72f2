"""What a loop has still to do, and the room it needs: the base with its folds, and two arms a round."""

from __future__ import annotations

from pathlib import Path

import msgspec
import polars as pl

from curate.dataset import Dataset
from train.config import FitConfig
from train.models import build_model
from train.monitoring.disk import fit_bytes, prediction_bytes, run_bytes
from train.monitoring.estimate import Work, epochs_work, fit_work, scoring_work
from train.monitoring.log import is_finished, read_log

ARM_FOLDERS = ("control", "candidate")


def loop_work(dataset: Dataset, out: Path, fit: FitConfig, rounds: int, budget: str) -> Work:
    """What the loop in folder `out` has still to do.

    Args:
        dataset: The dataset.
        out: The loop's folder, there or not.
        fit: How its base is trained.
        rounds: Number of rounds.
        budget: Epochs (`4`) or minutes (`30m`) per arm and round.
    """
    work = Work({}, {}) if is_finished(out / "base") else fit_work(dataset, fit, out / "base")
    for folder in (out / f"round-{number}" for number in range(1, rounds + 1)):
        if (folder / "verdict.json").is_file():
            continue
        for arm in ARM_FOLDERS:
            work += _arm_work(dataset, folder / arm, fit, budget)
        work += scoring_work(dataset, "val") + scoring_work(dataset, "val")
        work += scoring_work(dataset, "test") + scoring_work(dataset, "test") + scoring_work(dataset, "test")
        work += Work({}, {}) if fit.folds else scoring_work(dataset, "train")
    return work


def _arm_work(dataset: Dataset, run: Path, fit: FitConfig, budget: str) -> Work:
    if is_finished(run):
        return Work({}, {})
    if budget.endswith("m"):
        return Work({}, {}, seconds=max(0.0, 60 * float(budget[:-1]) - sum(line.seconds for line in read_log(run))))
    weighed = dataset.samples.filter(pl.col("split").is_in(["train", "background"]) & (pl.col("weight") > 0))
    arm = msgspec.structs.replace(
        fit,
        epochs=int(budget),
        earlier_sizes=(),
        earlier_batch_sizes=(),
        freeze_epochs=0,
        patience=None,
        cycle_epochs=None,
    )
    images = fit.epoch_images or weighed.height
    return epochs_work(arm, images, len(dataset.rows("val")), done=len(read_log(run)))


def loop_bytes(dataset: Dataset, fit: FitConfig, rounds: int) -> float:
    """Bytes that are taken at most while a whole loop runs, about."""
    model = build_model(msgspec.structs.replace(fit, weights="none"))
    arm = msgspec.structs.replace(fit, folds=0)
    scored = prediction_bytes(dataset, "train", "val", "test")
    return fit_bytes(model, fit, dataset) + 2 * rounds * (run_bytes(model, arm, dataset) + scored)
