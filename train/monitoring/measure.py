"""`fit --estimate`: time, memory and disk of a run, from a few real steps; nothing is written."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import polars as pl

from curate import schema
from curate.dataset import Dataset
from curate.threads import Watch, unwatched
from train.config import PRETRAINED_LR, FitConfig
from train.data.cache import fill_memory, is_cached
from train.data.folds import Share, images_of_epoch, settle_validation, share_images
from train.data.material import Material, check_material, materials_of, weights_and_recipes
from train.engine.execution import executing
from train.engine.learner import Learner, make_learner
from train.engine.lr_find import range_test_steps
from train.engine.stages import Stage, stages
from train.engine.training import train_epoch, validate
from train.fit import check_buildable
from train.models import device
from train.monitoring.disk import fit_bytes
from train.monitoring.estimate import Pace, Work, fit_work, peak_memory, seconds_of

STEPS, VALIDATION_BATCHES = 3, 2
"""Batches that are timed at each size, after a first one of learning that is not."""


@dataclass(frozen=True)
class Estimate:
    """What a run will take."""

    seconds: float
    memory: dict[str, float]
    """The most bytes taken so far, by kind."""
    disk: float
    """Bytes of the run."""
    cache: float
    """Bytes of resized images that no run has left in the cache yet."""


def measure(dataset: Dataset, config: FitConfig, run: Path, watch: Watch) -> Estimate:
    """What a run would take, or where it was begun already, the rest of it.

    A model learns from a few batches at each of its sizes and judges a few; reading images is timed on the same ones.

    Args:
        dataset: What to learn from.
        config: How to train; its weight file is relative to the working folder.
        run: Folder of the run, there or not.
        watch: Shown what is being done and how far it is.

    Raises:
        MissingError: No training images.
        UsageError: The model cannot be built.
        MachineError: The pretrained weights cannot be downloaded.
    """
    share = share_images(dataset, settle_validation(config, dataset))[-1]
    check_material(dataset, share.learn, weights_and_recipes(dataset, None, config.augment)[0], -1)
    work = fit_work(dataset, config, run)
    if config.lr == "auto":
        first = stages(config)[0]
        steps = range_test_steps(config, images_of_epoch(dataset, share.learn, config))
        work += Work({first.size: steps * first.batch_size}, {})
        config = msgspec.structs.replace(config, lr=PRETRAINED_LR)  # a step takes as long at any rate
    model = check_buildable(config)
    learner = make_learner(model.to(device()), config)
    count = len(dataset.rows(*schema.LEARNT, "val"))
    pace, cache = Pace({}, {}), 0.0
    with executing(config, device()):
        for stage in stages(config):
            material, reading = read_few(dataset, share, config, stage, watch)
            pace.learn[stage.size], pace.judge[stage.size] = time_stage(learner, material, stage, watch)
            if not is_cached(dataset, stage.size):
                work += Work({}, {}, seconds=reading * count)
                cache += 4 * count * stage.size**2
    return Estimate(seconds_of(work, pace), peak_memory(), fit_bytes(model, config, dataset), cache)


def epoch_seconds(dataset: Dataset, config: FitConfig) -> float:
    """About how long an epoch of a run would take at its last size, in seconds, by a few real steps.

    Args:
        dataset: What to learn from.
        config: How to train, its learning rate a number.
    """
    share, stage = share_images(dataset, settle_validation(config, dataset))[-1], stages(config)[-1]
    learner = make_learner(check_buildable(config).to(device()), config)
    with executing(config, device()):
        material, _ = read_few(dataset, share, config, stage, unwatched)
        learn, judge = time_stage(learner, material, stage, unwatched)
    return learn * images_of_epoch(dataset, share.learn, config) + judge * len(share.judge)


def read_few(dataset: Dataset, share: Share, config: FitConfig, stage: Stage, watch: Watch) -> tuple[Material, float]:
    """Images for a few steps of a stage, and the seconds that reading one took."""
    epoch_images = (STEPS + 1) * stage.batch_size
    chosen = []
    for names, most in ((share.learn, epoch_images), (share.judge, VALIDATION_BATCHES * stage.batch_size)):
        part = dataset.samples.filter(pl.col("sample_id").is_in(names) & (pl.col("weight") > 0))
        chosen.append(part.sample(min(most, part.height), seed=config.seed))
    learn, judge = (part["sample_id"].to_list() for part in chosen)
    few = replace(dataset, scan=pl.concat(chosen).lazy())
    rows, began = few.rows(), time.monotonic()
    caches = {stage.size: fill_memory(few, rows, stage.size, watch)}
    seconds = (time.monotonic() - began) / len(rows)
    short = msgspec.structs.replace(
        config, size=stage.size, earlier_sizes=(), earlier_batch_sizes=(), epoch_images=epoch_images
    )
    weight_of, recipe_of = weights_and_recipes(few, None, config.augment)
    return materials_of(few, short, {-1: Share(learn, judge)}, weight_of, recipe_of, caches)[-1], seconds


def time_stage(learner: Learner, material: Material, stage: Stage, watch: Watch) -> tuple[float, float]:
    """Seconds an image takes to learn from and to judge, 0 without validation images; the model learns meanwhile."""
    seen: list[tuple[float, int]] = []
    show = watch(f"time {STEPS} steps at {stage.size} px", material.epoch_images)

    def tick(images: int) -> None:
        seen.append((time.monotonic(), images))
        show(images)

    epoch = min(stage.last, max(stage.first, learner.config.freeze_epochs + 1))  # what is frozen learns faster
    train_epoch(learner, material, stage, (-1, epoch), tick)
    learning = (seen[-1][0] - seen[0][0]) / max(1, sum(images for _, images in seen[1:]))
    count = len(material.validation)
    validate(learner, material, stage, unwatched("", count))
    began = time.monotonic()
    validate(learner, material, stage, unwatched("", count))
    return learning, (time.monotonic() - began) / count if count else 0.0
