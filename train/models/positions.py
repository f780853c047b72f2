"""Where a pixel lies, as two further channels of the image.

PortraitFCN+ (Shen et al. 2016, "Automatic Portrait Segmentation for Image Stylization") adds x, y and the mean mask of
its portraits, all three aligned to the face. Here people stand anywhere and no face is looked for, so x and y are those
of the image, as in CoordConv (Liu et al. 2018, https://arxiv.org/abs/1807.03247). A mean mask that is not aligned would
be a fixed function of x and y, which these two channels already let a network learn; it is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

RGB, POSITIONS = 3, 2
"""Channels."""


def append_positions(images: Tensor) -> Tensor:
    """Images (N, C, H, W) as (N, C + 2, H, W): x grows to the right and y downwards, both from -1 to 1 over the image.

    A pixel's position is that of its middle, so an image and the same one resized agree.
    """
    count, _, height, width = images.shape
    x = _middles(width, images).expand(height, width)
    y = _middles(height, images)[:, None].expand(height, width)
    positions = torch.stack([x, y]).expand(count, POSITIONS, height, width)
    return torch.cat([images, positions], 1).contiguous(memory_format=torch.channels_last)


def _middles(length: int, like: Tensor) -> Tensor:
    return (2 * torch.arange(length, dtype=like.dtype, device=like.device) + 1) / length - 1


def take_positions(model: nn.Module) -> None:
    """Let a model see the positions too: it is called with images of RGB as before, and gives what it gave before.

    The weights of the new channels start at zero, so that training begins where it would without them.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.in_channels == RGB:  # nothing but the image has as few
            module.weight = nn.Parameter(_widen(module.weight.detach()))
            module.in_channels = RGB + POSITIONS
    model.register_forward_pre_hook(_with_positions)


def widened(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors by name; one that takes RGB gets zeros for the positions where the model's `own` takes those too."""
    return {
        name: _widen(tensor) if name in own and own[name].shape == _wide_shape(tensor) else tensor
        for name, tensor in tensors.items()
    }


def _wide_shape(weight: Tensor) -> torch.Size | None:
    if weight.ndim != 4 or weight.shape[1] != RGB:
        return None
    return torch.Size([len(weight), RGB + POSITIONS, *weight.shape[2:]])


def _widen(weight: Tensor) -> Tensor:
    """Weights (O, 3, H, W) of a convolution as (O, 5, H, W)."""
    return torch.cat([weight, weight.new_zeros(len(weight), POSITIONS, *weight.shape[2:])], 1)


def _with_positions(model: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    return (append_positions(arguments[0]), *arguments[1:])
