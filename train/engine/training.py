"""The training loop of one model."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from curate.errors import DivergedError
from curate.threads import Tick, Watch, tell
from train.config import FitConfig
from train.data.batches import Draw, batch_bounds, batches, draw_epoch, to_input
from train.data.cache import Cache
from train.data.material import Material
from train.engine.checkpoint import mend_rest, read_checkpoint, restore_learner, save_checkpoint
from train.engine.distributed import ALONE, Team
from train.engine.execution import autocast, executing
from train.engine.freezing import prepare_epoch
from train.engine.learner import Learner, make_learner
from train.engine.losses import count_pixels, mean_overlaps, segmentation_loss
from train.engine.norms import SETTLING_IMAGES, follow_dropout, settle_norms
from train.engine.schedule import learning_rate
from train.engine.stages import Stage, stage_of, stages
from train.models import build_model, device
from train.monitoring.journal import Journal
from train.monitoring.log import EpochLine, is_trained, read_log
from train.monitoring.steps import Steps

STEPS_BETWEEN_LOOKS = 16
"""After so many steps losses are looked at: looking makes a GPU wait, and not looking trains on what is lost."""


@dataclass(frozen=True)
class Outcome:
    """Mean loss, IoU and Dice over the images of a pass; None where there is nothing to average."""

    loss: float | None
    iou: float | None
    dice: float | None


def train_model(
    material: Material,
    folder: Path,
    config: FitConfig,
    fold: int,
    report: Callable[[EpochLine], None],
    watch: Watch,
    journal: Journal | None,
    team: Team = ALONE,
) -> None:
    """Train one model in `folder`, from its last checkpoint where there is one; the lead of a team alone looks there.

    The best epoch is that of the highest validation IoU, the lower loss deciding between equals; without validation
    images it is the last one. Of several sizes, the last one's epochs alone can be best.

    Raises:
        DivergedError: The loss, or a weight, is no longer a number.
    """
    place = device()
    if team.from_lead(lambda: is_trained(read_log(folder), config) and (folder / "best.safetensors").is_file()):
        return
    saved = team.from_lead(lambda: read_checkpoint(folder))
    history = saved.history if saved else []
    model = build_model(msgspec.structs.replace(config, weights="none") if saved else config).to(place)
    with executing(config, place):
        learner = make_learner(model, config, team)
        if saved:
            restore_learner(learner, saved)
        if saved and team.is_lead:
            mend_rest(folder, learner, history)
        while not is_trained(history, config):
            line, steps = run_epoch(learner, material, fold, history, watch)
            history.append(line)
            if journal is not None:
                journal.note(learner, line.epoch, steps)
            if team.is_lead:
                save_checkpoint(folder, learner, history)
                report(line)
            if journal is not None:
                journal.show(history)


def run_epoch(
    learner: Learner, material: Material, fold: int, history: Sequence[EpochLine], watch: Watch
) -> tuple[EpochLine, Steps]:
    """Learn for the epoch after `history` and judge what was learnt; the line that tells of it, and its steps."""
    started, config, epoch = time.monotonic(), learner.config, len(history) + 1
    stage = stage_of(config, epoch)
    name = f"epoch {epoch}/{config.epochs}" + (f", fold {fold}" if fold >= 0 else "")
    tick = watch(name, material.epoch_images + len(material.validation))
    learnt, steps = train_epoch(learner, material, stage, (fold, epoch), tick)
    judged = learner.team.from_lead(lambda: validate(learner, material, stage, tick))
    check_sound(learner, judged, epoch)
    assert learnt.loss is not None  # an epoch has an image at least
    line = EpochLine(
        epoch=epoch,
        fold=fold,
        train_loss=learnt.loss,
        train_iou=learnt.iou,
        train_dice=learnt.dice,
        val_loss=judged.loss,
        val_iou=judged.iou,
        val_dice=judged.dice,
        lr=steps.rates[-1],
        best=is_best(judged, [line for line in history if line.epoch >= stage.first]),
        images=material.epoch_images,
        seconds=round(time.monotonic() - started, 3),
    )
    return line, steps


def check_sound(learner: Learner, judged: Outcome, epoch: int) -> None:
    """Raise DivergedError where an epoch left a model of no use, so that it is not saved over the last sound one."""
    states = [learner.model.state_dict(), learner.judged.state_dict()]
    floats = [tensor for state in states for tensor in state.values() if tensor.is_floating_point()]
    sound = bool(torch.stack([torch.isfinite(tensor).all() for tensor in floats]).all())
    if sound and (judged.loss is None or math.isfinite(judged.loss)):
        return
    config = learner.config
    raise DivergedError(
        f"--lr {config.lr}: {'the validation loss was no number' if sound else 'weights were no numbers'} after epoch "
        f"{epoch}, which is not kept. Begin anew with --force and a lower --lr, or --clip-norm 1"
        + ("" if config.precision == "fp32" else ", or --precision fp32")
    )


def train_epoch(
    learner: Learner, material: Material, stage: Stage, fold_and_epoch: tuple[int, int], tick: Tick
) -> tuple[Outcome, Steps]:
    """One pass of learning: what came of it, and its steps.

    What is drawn and how it is augmented follows from seed, fold and epoch alone. The schedule runs once a stage.

    Raises:
        DivergedError: The loss is no longer a number; the images of that batch are named.
    """
    fold, epoch = fold_and_epoch
    config, cache = learner.config, material.caches[stage.size]
    seed = (config.seed, fold + 1, epoch)
    draws = epoch_draws(material, config.augment, seed)
    bounds = batch_bounds(len(draws), stage.batch_size)
    first_step = (epoch - stage.first) * len(bounds)
    steps_before = steps_of([earlier for earlier in stages(config) if earlier.last < stage.first], len(draws))
    tally, rates = Tally(learner.team), list[float]()
    prepare_epoch(learner.model, config, epoch)
    with seeded_dropout(seed, learner.team):
        parts = [draws[slice(*learner.team.share(*whole))] for whole in bounds]
        for step, (images, targets) in enumerate(batches(cache, parts, learner.place, material.held), first_step):
            rates.append(learning_rate(config, step, stage.epochs * len(bounds), stage.epochs))
            loss, logits = learner.step(images, targets, rates[-1], steps_before + step)
            begin, end = bounds[step - first_step]
            tally.add(loss, logits, targets, end - begin)
            if step % STEPS_BETWEEN_LOOKS == 0 or step == first_step + len(bounds) - 1:
                broken = tally.first_broken()
                if broken is not None:
                    raise not_finite(epoch, config, cache, draws[slice(*bounds[broken])])
                tell(tick, f"loss {tally.loss():.3f}")
            tick(end - begin)
    if follow_dropout(learner.model):
        again = bounds[: -(-SETTLING_IMAGES // stage.batch_size)]  # in whole batches, even in a team
        settle_norms(learner, batches(cache, [draws[slice(*whole)] for whole in again], learner.place, material.held))
    return tally.outcome(), tally.steps(steps_before + first_step, rates)


def steps_of(some: Sequence[Stage], epoch_images: int) -> int:
    """How many optimiser steps stages take, with so many images in an epoch."""
    return sum(stage.epochs * len(batch_bounds(epoch_images, stage.batch_size)) for stage in some)


@contextmanager
def seeded_dropout(seed: tuple[int, ...], team: Team = ALONE) -> Iterator[None]:
    """Dropout draws from torch's global generator: inside it is seeded, and afterwards as it was.

    Each process of a team draws its own numbers.
    """
    own = (*seed, team.rank) if team.rank else seed
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        torch.manual_seed(int(np.random.SeedSequence(own).generate_state(1)[0]))
        yield


def not_finite(epoch: int, config: FitConfig, cache: Cache, draws: Sequence[Draw]) -> DivergedError:
    """The error of a loss that is no longer a number, with the images of the first batch that it came from."""
    name_of = {row: sample_id for sample_id, row in cache.place.items()}
    names = ", ".join(dict.fromkeys(name_of[draw.row] for draw in draws))
    return DivergedError(
        f"--lr {config.lr}: the loss was no longer a number in epoch {epoch}, first for a batch of {names}. "
        "Pass a lower --lr, or --clip-norm 1; where that does not help, look at these images"
    )


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
    others = draw_others(material, len(chosen), rng)
    return [
        Draw(int(material.rows[own]), recipe, (*seed, number), int(other))
        for number, (own, recipe, other) in enumerate(zip(chosen, recipes, others, strict=True), start=1)
    ]


def draw_others(material: Material, number: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Rows of images to mix in: half of them scenes without a person, where there are any; none of weight 0."""
    learnt = material.rows[material.weights > 0]
    others = learnt[rng.integers(len(learnt), size=number)]
    if not len(material.scenes):
        return others
    return np.where(rng.random(number) < 0.5, material.scenes[rng.integers(len(material.scenes), size=number)], others)


def validate(learner: Learner, material: Material, stage: Stage, tick: Tick) -> Outcome:
    """One pass over the validation images at training size, as they are."""
    if not material.validation:
        return Outcome(None, None, None)
    tally, config = Tally(), learner.config
    model = learner.judged.eval()
    with torch.inference_mode():
        for images, targets in validation_batches(material, stage):
            targets = targets.to(learner.place)
            with autocast(learner.place, config.precision):
                logits = model(to_input(images, learner.place))
            loss = segmentation_loss(config.loss, logits, targets, config.classes)
            tally.add(loss, logits, targets, len(targets))
            tick(len(images))
    return tally.outcome()


def validation_batches(material: Material, stage: Stage) -> Iterator[tuple[Tensor, Tensor]]:
    """Images (N, 3, S, S) and targets (N, S, S), uint8, in order."""
    cache = material.caches[stage.size]
    for begin, end in batch_bounds(len(material.validation), stage.batch_size):
        rows = list(material.validation[begin:end])
        images = torch.from_numpy(cache.images[rows]).permute(0, 3, 1, 2)
        yield images, torch.from_numpy(cache.targets[rows])


class Tally:
    """Sums a pass up, over all processes that share it; nothing is fetched from a GPU before it is asked for."""

    def __init__(self, team: Team = ALONE) -> None:
        self._team = team
        self._losses: list[Tensor] = []
        self._sum = torch.zeros((), dtype=torch.float64)  # of the losses: every look asks for it
        self._images: list[int] = []
        self._counts: list[Tensor] = []
        self._looked_at = 0

    def add(self, loss: Tensor, logits: Tensor, targets: Tensor, images: int) -> None:
        """Take in this process's part of a batch of so many images."""
        self._losses.append(loss * images)
        self._sum = self._sum.to(loss.device) + self._losses[-1]
        self._images.append(images)
        self._counts.append(count_pixels(logits, targets))

    def first_broken(self) -> int | None:
        """The first batch whose loss is no number, counted from 0, among those added since the last look. For all."""
        before, self._looked_at = self._looked_at, len(self._losses)
        broken = ~torch.isfinite(self._team.total(torch.stack(self._losses[before:])))
        return before + int(broken.float().argmax()) if bool(broken.any()) else None

    def loss(self) -> float:
        """Mean loss over all images taken in. For all."""
        return float(self._team.total(self._sum)) / sum(self._images)

    def outcome(self) -> Outcome:
        """Means over all images taken in. For all."""
        return Outcome(self.loss(), *mean_overlaps(self._team.joined(torch.cat(self._counts))))

    def steps(self, before: int, rates: Sequence[float]) -> Steps:
        """The batches taken in as steps of learning, `before` which others were taken. For all."""
        sums = self._team.total(torch.stack(self._losses)).tolist()
        losses = [total / count for total, count in zip(sums, self._images, strict=True)]
        return Steps(before, losses, self._images, rates)


def is_best(judged: Outcome, earlier_lines: Sequence[EpochLine]) -> bool:
    """Whether an epoch is better than all before it at its size."""
    if judged.loss is None:
        return True
    earlier = [(line.val_iou or 0.0, -(line.val_loss or 0.0)) for line in earlier_lines]
    return all((judged.iou or 0.0, -judged.loss) > other for other in earlier)
