"""One model and all that changes while it learns."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from train.config import FitConfig
from train.data.batches import batch_bounds, to_input
from train.engine.distributed import ALONE, GradientSum, Team, with_shared_norms
from train.engine.ema import begin_average, decay_at, update_average
from train.engine.execution import Forward, autocast, forward_of, make_scaler
from train.engine.losses import segmentation_loss, sizes_of
from train.engine.optimisers import make_optimizer, set_rate


@dataclass(frozen=True)
class Learner:
    """A model with the state of its training; `restore_learner` restores all of it."""

    config: FitConfig
    model: nn.Module
    forward: Forward
    """The model, compiled where that is wanted; their weights are the same."""
    optimizer: Optimizer
    scaler: torch.amp.GradScaler
    average: nn.Module | None
    """The moving average of the model's weights, with --ema."""
    team: Team
    gradients: GradientSum

    @property
    def place(self) -> torch.device:
        """The device that the model is on."""
        return next(self.model.parameters()).device

    @property
    def judged(self) -> nn.Module:
        """The model that validation judges and `best.safetensors` holds."""
        return self.model if self.average is None else self.average

    def step(self, images: Tensor, targets: Tensor, rate: float, number: int) -> tuple[Tensor, Tensor]:
        """Learn from one batch: its loss, a scalar, and logits (N, C, S, S), both from before the step. For all.

        Each process of a team gives its share of the batch and gets that share's part of the loss.

        Args:
            images: (N, 3, S, S) uint8 RGB.
            targets: (N, S, S) uint8, on the model's device.
            rate: Learning rate.
            number: Steps taken before.
        """
        set_rate(self.optimizer, rate)
        whole, passes = self._whole(targets)
        losses, logits = list[Tensor](), list[Tensor]()
        parts = zip(images.tensor_split(passes), targets.tensor_split(passes), strict=True)
        for number_of_part, part in enumerate(parts, start=1):
            loss, told = self._learn(*part, whole, last=number_of_part == passes)
            losses.append(loss)
            logits.append(told)
        self.gradients.wait()
        if self.config.clip_norm is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average is not None and self.config.ema is not None:
            update_average(self.average, self.model, decay_at(self.config.ema, number))
        return torch.stack(losses).sum(), torch.cat(logits)

    def _learn(self, images: Tensor, targets: Tensor, whole: Tensor | None, *, last: bool) -> tuple[Tensor, Tensor]:
        """Add a part's gradients to those that are there: its part of the loss, and its logits.

        Args:
            images: (N, 3, S, S) uint8 RGB.
            targets: (N, S, S) uint8.
            whole: Sizes of the whole batch; None where this is all of it.
            last: Whether this process has no further part of the batch.
        """
        with autocast(self.place, self.config.precision):
            logits = self.forward(to_input(images, self.place))
        classes = self.config.classes
        shares = None if whole is None else sizes_of(targets, classes) / whole.clamp(min=1)
        loss = segmentation_loss(self.config.loss, logits, targets, classes, shares)
        self.gradients.complete = last
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        return loss.detach(), logits.detach()

    def _whole(self, targets: Tensor) -> tuple[Tensor | None, int]:
        """Of the batch that these targets are this process's share of, the sizes, and in how many parts each process
        learns from its share; None where it is all of the batch, and one part. For all.
        """
        most, team = self.config.micro_batch, self.team.size
        if team == 1 and (most is None or len(targets) <= most):
            return None, 1
        whole = self.team.total(sizes_of(targets, self.config.classes))
        return whole, 1 if most is None else len(batch_bounds(max(1, int(whole[-1]) // team), most))


def make_learner(model: nn.Module, config: FitConfig, team: Team = ALONE) -> Learner:
    """A model at the start of its training; in a team, every process's is that of the lead's. For all."""
    place = next(model.parameters()).device
    model = with_shared_norms(model, team)
    team.take_leads_state(model)
    return Learner(
        config=config,
        model=model,
        forward=forward_of(model, config),
        optimizer=make_optimizer(config, model),
        scaler=make_scaler(place, config.precision),
        average=None if config.ema is None else begin_average(model),
        team=team,
        gradients=GradientSum(model, team),
    )
