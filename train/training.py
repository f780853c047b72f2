"""The training loop of one model."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer

from curate.errors import UsageError
from curate.threads import Tick, Watch
from train.batches import Cache, Draw, batch_bounds, batches, draw_epoch, to_input
from train.checkpoint import load_checkpoint, save_checkpoint
from train.config import FitConfig
from train.log import EpochLine, read_log
from train.losses import count_pixels, mean_overlaps, segmentation_loss
from train.models import autocast, build_model, device
from train.schedule import learning_rate

WEIGHT_DECAY = 0.01
"""Of AdamW, torch's default; Adam has none."""


@dataclass(frozen=True)
class Material:
    """What one model learns from: row i of the cache's `rows` is drawn by weights[i] and augmented by recipes[i]."""

    cache: Cache
    rows: NDArray[np.intp]
    weights: NDArray[np.float64]
    recipes: Sequence[str]
    validation: Sequence[int]
    """Rows of the cache that judge an epoch."""
    epoch_images: int


@dataclass(frozen=True)
class Outcome:
    """Mean loss, IoU and Dice over the images of a pass; None where there is nothing to average."""

    loss: float | None
    iou: float | None
    dice: float | None


def train_model(
    material: Material, folder: Path, config: FitConfig, fold: int, report: Callable[[EpochLine], None], watch: Watch
) -> None:
    """Train one model in `folder`, from its last checkpoint where there is one.

    The best epoch is that of the highest validation IoU, the lower loss deciding between equals; without validation
    images it is the last one.

    Raises:
        UsageError: The loss is no longer a number.
    """
    place = device()
    if len(read_log(folder)) >= config.epochs and (folder / "best.safetensors").is_file():
        return
    going_on = (folder / "last.ckpt").is_file()
    model = build_model(msgspec.structs.replace(config, weights="none") if going_on else config).to(place)
    optimizer = make_optimizer(config, model)
    history = load_checkpoint(folder, model, optimizer)
    for epoch in range(len(history) + 1, config.epochs + 1):
        started = time.monotonic()
        name = f"epoch {epoch}/{config.epochs}" + (f", fold {fold}" if fold >= 0 else "")
        tick = watch(name, material.epoch_images + len(material.validation))
        learnt = train_epoch(model, optimizer, material, config, (fold, epoch), tick)
        judged = validate(model, material, config, tick)
        line = EpochLine(
            epoch=epoch,
            fold=fold,
            train_loss=checked_loss(learnt, epoch, config),
            train_iou=learnt.iou,
            train_dice=learnt.dice,
            val_loss=judged.loss,
            val_iou=judged.iou,
            val_dice=judged.dice,
            lr=optimizer.param_groups[0]["lr"],
            best=is_best(judged, history),
            images=material.epoch_images,
            seconds=round(time.monotonic() - started, 3),
        )
        history.append(line)
        save_checkpoint(folder, model, optimizer, history)
        report(line)


def make_optimizer(config: FitConfig, model: nn.Module) -> Optimizer:
    """The optimiser of a configuration; its rate is set before every step."""
    if config.optimizer == "adam":
        return Adam(model.parameters(), lr=config.lr)
    return AdamW(model.parameters(), lr=config.lr, weight_decay=WEIGHT_DECAY)


def train_epoch(
    model: nn.Module,
    optimizer: Optimizer,
    material: Material,
    config: FitConfig,
    fold_and_epoch: tuple[int, int],
    tick: Tick,
) -> Outcome:
    """One pass of learning. What is drawn and how it is augmented follows from seed, fold and epoch alone."""
    fold, epoch = fold_and_epoch
    seed = (config.seed, fold + 1, epoch)
    draws = epoch_draws(material, config.augment, seed)
    per_epoch = len(batch_bounds(len(draws), config.batch_size))
    tally = Tally()
    model.train()
    with torch.random.fork_rng(
        range(torch.cuda.device_count())
    ):  # dropout draws from the global generator: seeded here, and left as it was
        torch.manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
        for step, (images, targets) in enumerate(batches(material.cache, draws, config.batch_size)):
            place = next(model.parameters()).device
            rate = learning_rate(config.schedule, config.lr, (epoch - 1) * per_epoch + step, config.epochs * per_epoch)
            for group in optimizer.param_groups:
                group["lr"] = rate
            targets = targets.to(place, non_blocking=True)
            with autocast(place):
                logits = model(to_input(images, place))
            loss = segmentation_loss(config.loss, logits, targets)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            tally.add(loss.detach(), logits.detach(), targets)
            tick(len(images))
    return tally.outcome()


def epoch_draws(material: Material, usual: str, seed: tuple[int, ...]) -> list[Draw]:
    """The images of an epoch in order, each with a seed of its own.

    An image with a recipe of its own gets the run's `usual` one in half of its draws: seen spoiled every time, it would
    teach how spoiled images look rather than how it looks itself.
    """
    rng = np.random.default_rng(seed)
    chosen = draw_epoch(material.weights, material.epoch_images, rng)
    recipes = [
        usual if plain else material.recipes[own]
        for own, plain in zip(chosen, rng.random(len(chosen)) < 0.5, strict=True)
    ]
    return [
        Draw(int(material.rows[own]), recipe, (*seed, number))
        for number, (own, recipe) in enumerate(zip(chosen, recipes, strict=True), start=1)
    ]


def validate(model: nn.Module, material: Material, config: FitConfig, tick: Tick) -> Outcome:
    """One pass over the validation images at training size, as they are."""
    if not material.validation:
        return Outcome(None, None, None)
    tally = Tally()
    model.eval()
    place = next(model.parameters()).device
    with torch.inference_mode():
        for images, targets in validation_batches(material, config.batch_size):
            targets = targets.to(place)
            with autocast(place):
                logits = model(to_input(images, place))
            tally.add(segmentation_loss(config.loss, logits, targets), logits, targets)
            tick(len(images))
    return tally.outcome()


def validation_batches(material: Material, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Images (N, 3, S, S) and targets (N, S, S), uint8, in order."""
    for begin, end in batch_bounds(len(material.validation), batch_size):
        rows = list(material.validation[begin:end])
        images = torch.from_numpy(material.cache.images[rows]).permute(0, 3, 1, 2)
        yield images, torch.from_numpy(material.cache.targets[rows])


class Tally:
    """Sums a pass up; nothing is fetched from a GPU before the end."""

    def __init__(self) -> None:
        self._losses: list[Tensor] = []
        self._counts: list[Tensor] = []

    def add(self, loss: Tensor, logits: Tensor, targets: Tensor) -> None:
        """Take one batch in."""
        self._losses.append(loss * len(targets))
        self._counts.append(count_pixels(logits, targets))

    def outcome(self) -> Outcome:
        """Means over all images taken in."""
        counts = torch.cat(self._counts).cpu()
        loss = float(torch.stack(self._losses).sum()) / len(counts)
        return Outcome(loss, *mean_overlaps(counts))


def checked_loss(learnt: Outcome, epoch: int, config: FitConfig) -> float:
    """The training loss; UsageError where it is not finite, before such weights are saved."""
    if learnt.loss is None or not math.isfinite(learnt.loss):
        raise UsageError(f"--lr {config.lr}: the loss became {learnt.loss} in epoch {epoch}. Pass a lower --lr")
    return learnt.loss


def is_best(judged: Outcome, history: Sequence[EpochLine]) -> bool:
    """Whether an epoch is better than all before it."""
    if judged.loss is None:
        return True
    earlier = [(line.val_iou or 0.0, -(line.val_loss or 0.0)) for line in history]
    return all((judged.iou or 0.0, -judged.loss) > other for other in earlier)
