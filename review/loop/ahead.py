"""What a loop has still to do, and the room it needs: the base with its folds, and the arms of each round."""

from __future__ import annotations

from pathlib import Path

import msgspec

from curate import schema
from curate.dataset import Dataset
from review.loop.config import LoopConfig, arm_images, as_arm
from review.loop.folders import arm_folders, round_folders
from review.loop.given import has_labels
from train.config import FitConfig
from train.models import build_model
from train.monitoring.disk import fit_bytes, prediction_bytes, run_bytes
from train.monitoring.estimate import NOTHING, Work, epochs_work, fit_work, scoring_work
from train.monitoring.log import is_finished, read_log


def loop_work(dataset: Dataset, out: Path, config: LoopConfig) -> Work:
    """What the loop in folder `out` has still to do."""
    fit, work = config.fit, NOTHING
    if not config.start and not is_finished(out / "base"):
        work = fit_work(dataset, fit, out / "base")
    for folder in round_folders(out, config.rounds):
        if (folder / "verdict.json").is_file():
            continue
        arms = arm_folders(folder, config.repeats, labels=has_labels(folder))
        for run in arms:
            work += _arm_work(dataset, run, fit, config.budget)
            work += scoring_work(dataset, "val") + scoring_work(dataset, "test")
        work += scoring_work(dataset, "test")
        work += NOTHING if fit.folds else scoring_work(dataset, "train")
    return work


def _arm_work(dataset: Dataset, run: Path, fit: FitConfig, budget: str) -> Work:
    if is_finished(run):
        return NOTHING
    if budget.endswith("m"):
        return Work({}, {}, seconds=max(0.0, 60 * float(budget[:-1]) - sum(line.seconds for line in read_log(run))))
    arm, judges = as_arm(fit, int(budget)), len(dataset.rows("val"))
    return epochs_work(arm, arm_images(dataset, fit), judges, done=len(read_log(run)))


def loop_bytes(dataset: Dataset, config: LoopConfig, *, labels: bool) -> float:
    """Bytes that are taken at most while a whole loop runs, about; labels that come in mean an arm more, once."""
    model = build_model(msgspec.structs.replace(config.fit, weights="none"))
    in_minutes = config.budget.endswith("m")  # what epochs that makes is not known yet
    arm = as_arm(config.fit, config.fit.epochs if in_minutes else int(config.budget))
    scored = prediction_bytes(dataset, *schema.LABELLED)
    base = 0.0 if config.start else fit_bytes(model, config.fit, dataset)
    arms = (2 * config.rounds + labels) * config.repeats
    return base + arms * (run_bytes(model, arm, dataset) + scored)
