"""What does not learn: the encoder in the first epochs, and the statistics of batch norms."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from curate.errors import UsageError
from train.config import FitConfig
from train.engine.optimisers import encoder_of


def prepare_epoch(model: nn.Module, config: FitConfig, epoch: int) -> None:
    """Put a model into training mode but for what is frozen in an epoch, counted from 1.

    A frozen encoder keeps its weights and the statistics of its batch norms; a frozen batch norm keeps its statistics,
    normalises by them, and learns its scale and shift.
    """
    model.train()
    frozen = []
    if config.freeze_epochs:
        encoder = encoder_of(model, "--freeze-epochs")
        encoder.requires_grad_(epoch > config.freeze_epochs)
        if epoch <= config.freeze_epochs:
            frozen += _batch_norms(encoder)
    if config.freeze_batch_norm:
        frozen += _batch_norms(model)
    for norm in frozen:
        norm.eval()


def check_freezable(model: nn.Module, config: FitConfig) -> None:
    """Raise UsageError where a model has nothing of what is to be frozen."""
    if config.freeze_epochs:
        encoder_of(model, f"--freeze-epochs {config.freeze_epochs}")
    if config.freeze_batch_norm and not _batch_norms(model):
        raise UsageError("--freeze-batch-norm: the model has no batch norm. Leave it out")


def _batch_norms(module: nn.Module) -> list[nn.Module]:
    return [layer for layer in module.modules() if isinstance(layer, BatchNorm)]
