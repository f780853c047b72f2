"""Optimisers, and the share of the learning rate that each layer gets."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from curate.errors import UsageError
from train.config import FitConfig

WEIGHT_DECAY = 0.01
"""Of AdamW, torch's default; the others have none."""

MOMENTUM = 0.9
"""Of SGD, as Nesterov's (Sutskever et al. 2013), which is at least as steady as the plain one."""

RMSPROP_ALPHA, RMSPROP_EPS = 0.9, 1e-7
"""Of RMSprop, as in Keras, which the greenscreen article trained with; torch's own alpha is 0.99."""

ENCODER_GROUPS = 5
"""An encoder halves the image five times; its layers are taken in as many groups."""


def make_optimizer(config: FitConfig, model: nn.Module) -> Optimizer:
    """The optimiser of a configuration; `set_rate` sets its rate before every step."""
    groups = parameter_groups(model, config)
    if config.optimizer == "adam":
        return Adam(groups)
    if config.optimizer == "rmsprop":
        return RMSprop(groups, alpha=RMSPROP_ALPHA, eps=RMSPROP_EPS)
    if config.optimizer == "sgd":
        return SGD(groups, momentum=MOMENTUM, nesterov=True)
    return AdamW(groups, weight_decay=WEIGHT_DECAY)


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """Give every group its share of a learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]


def parameter_groups(model: nn.Module, config: FitConfig) -> list[dict[str, Any]]:
    """Weights with the `scale` of their learning rate: 1, and in the encoder less, the less the earlier a layer runs.

    The encoder's layers come in five groups of equal number, whose scales rise from --encoder-lr-scale to 1 in
    equal ratios (discriminative fine-tuning, Howard and Ruder 2018).

    Raises:
        UsageError: A scale other than 1 for a model without an encoder.
    """
    lowest = config.encoder_lr_scale
    if lowest == 1:
        return [{"params": list(model.parameters()), "scale": 1.0}]
    encoder = encoder_of(model, f"--encoder-lr-scale {lowest}")
    layers = _in_running_order(encoder, model, config.size)
    edges = [len(layers) * number // ENCODER_GROUPS for number in range(ENCODER_GROUPS + 1)]
    groups: list[dict[str, Any]] = []
    for number, (begin, end) in enumerate(itertools.pairwise(edges)):
        own = [weight for layer in layers[begin:end] for weight in layer.parameters(recurse=False)]
        groups.append({"params": own, "scale": lowest ** (1 - number / ENCODER_GROUPS)})
    inside = {id(weight) for weight in encoder.parameters()}
    outside = [weight for weight in model.parameters() if id(weight) not in inside]
    return [*groups, {"params": outside, "scale": 1.0}]


def encoder_of(model: nn.Module, option: str) -> nn.Module:
    """The model's encoder; UsageError, naming the option that needs one, where it has none."""
    encoder = getattr(model, "encoder", None)
    if not isinstance(encoder, nn.Module):
        raise UsageError(f"{option}: the model has no encoder. Leave it out, or choose another --model")
    return encoder


def _in_running_order(encoder: nn.Module, model: nn.Module, size: int) -> list[nn.Module]:
    """The encoder's layers with weights of their own, in the order an image of `size` px meets them in the model.

    Those it never meets come last. The order in which layers are declared is another one in some encoders (mit_b0).
    """
    own = [layer for layer in encoder.modules() if any(True for _ in layer.parameters(recurse=False))]
    met: dict[nn.Module, None] = {}
    hooks = [layer.register_forward_pre_hook(lambda layer, _: met.setdefault(layer)) for layer in own]
    training = {layer: layer.training for layer in model.modules()}
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(1, 3, size, size, device=next(model.parameters()).device))
    finally:
        for hook in hooks:
            hook.remove()
        for layer, mode in training.items():
            layer.training = mode
    return [*met, *(layer for layer in own if layer not in met)]
