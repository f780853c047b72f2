"""What a trained model makes of whole photographs: the mean of its deepest features, one vector for each."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from train.data.batches import to_input
from train.models import Loaded


def embed(loaded: Loaded, batches: Iterable[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """The embeddings (N, D) of images, D the channels of the model's deepest layer.

    Args:
        loaded: A model, on the device it is to run on.
        batches: Of images (n, S, S, 3) uint8 RGB at training size.
    """
    layer, found = deepest_layer(loaded.model, loaded.config.size), list[NDArray[np.float32]]()
    place = next(loaded.model.parameters()).device
    handle = layer.register_forward_hook(lambda _, __, output: found.append(output.float().mean((2, 3)).cpu().numpy()))
    try:
        with torch.inference_mode():
            for images in batches:
                loaded.model(to_input(torch.from_numpy(images).permute(0, 3, 1, 2), place))
    finally:
        handle.remove()
    return np.concatenate(found)


def deepest_layer(model: nn.Module, size: int) -> nn.Module:
    """The layer whose output is as small as any and has most channels, the last one of several.

    That is where an encoder ends, whatever the model is called.

    Args:
        model: In evaluation mode.
        size: Side of its input in px.
    """
    seen: list[tuple[int, int, nn.Module]] = []

    def note(layer: nn.Module, _: object, output: object) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and output.shape[2] * output.shape[3] > 1:
            seen.append((output.shape[2] * output.shape[3], -output.shape[1], layer))

    handles = [layer.register_forward_hook(note) for layer in model.modules()]
    try:
        with torch.inference_mode():
            model(torch.zeros(1, 3, size, size, device=next(model.parameters()).device))
    finally:
        for handle in handles:
            handle.remove()
    deepest = min(shape for *shape, _ in seen)
    return [layer for *shape, layer in seen if shape == deepest][-1]
