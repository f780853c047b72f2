"""FC-DenseNet, "the one hundred layers tiramisu": Jegou et al. 2017, https://arxiv.org/abs/1611.09326.

What the paper leaves open (biases, where the transposed convolution is cropped) is as in the authors' code,
https://github.com/SimJeg/FC-DenseNet.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

FIRST_FILTERS = 48
"""Channels after the first convolution (section 4.1)."""

DROPOUT = 0.2

SIZES = {
    "tiramisu56": ((4,) * 11, 12),
    "tiramisu67": ((5,) * 11, 16),
    "tiramisu103": ((4, 5, 7, 10, 12, 15, 12, 10, 7, 5, 4), 16),
}
"""Layers of each dense block from first to last, the bottleneck in the middle, and the growth rate (section 4.1)."""


class FCDenseNet(nn.Module):
    """Images (N, 3, H, W), sides a multiple of 32, to logits (N, classes, H, W).

    Where a dense block goes down, what it took in goes on beside its new features. Where one goes up, its new features
    alone are upsampled, for the skip connection brings the rest back (section 3.2).
    """

    def __init__(self, layers: Sequence[int], growth: int, classes: int = 1) -> None:
        """A network drawn at random by HeUniform.

        Args:
            layers: Layers of each dense block, an odd number of blocks: down, bottleneck, up.
            growth: Channels that each layer adds.
            classes: Channels of the logits.
        """
        super().__init__()
        depth = len(layers) // 2
        down, bottleneck, up = layers[:depth], layers[depth], layers[depth + 1 :]
        self.first = nn.Conv2d(3, FIRST_FILTERS, 3, padding=1)
        channels, kept = FIRST_FILTERS, []
        self.down, self.transitions_down = nn.ModuleList(), nn.ModuleList()
        for count in down:
            self.down.append(DenseBlock(channels, count, growth))
            channels += count * growth
            kept.append(channels)
            self.transitions_down.append(TransitionDown(channels))
        self.bottleneck = DenseBlock(channels, bottleneck, growth)
        self.transitions_up, self.up = nn.ModuleList(), nn.ModuleList()
        for before, count in zip((bottleneck, *up), up, strict=False):
            self.transitions_up.append(TransitionUp(before * growth))
            channels = before * growth + kept.pop()
            self.up.append(DenseBlock(channels, count, growth))
        self.score = nn.Conv2d(channels + up[-1] * growth, classes, 1)
        self.apply(_draw)

    def forward(self, images: Tensor) -> Tensor:
        """Logits at the images' size."""
        features = self.first(images)
        skips = []
        for block, transition in zip(self.down, self.transitions_down, strict=True):
            skips.append(torch.cat([features, block(features)], 1))
            features = transition(skips[-1])
        new = self.bottleneck(features)
        for transition, block in zip(self.transitions_up, self.up, strict=True):
            features = transition(new, skips.pop())
            new = block(features)
        return self.score(torch.cat([features, new], 1))  # type: ignore[no-any-return]


class DenseBlock(nn.Module):
    """Layers that each see all that came before them; gives back what they add, `count * growth` channels."""

    def __init__(self, channels: int, count: int, growth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            _normalised_convolution(channels + number * growth, growth, 3) for number in range(count)
        )

    def forward(self, features: Tensor) -> Tensor:
        """The new features alone."""
        stack = [features]
        for layer in self.layers:
            stack.append(layer(torch.cat(stack, 1)))
        return torch.cat(stack[1:], 1)


class TransitionDown(nn.Sequential):
    """Half the height and width, as many channels (table 1)."""

    def __init__(self, channels: int) -> None:
        super().__init__(_normalised_convolution(channels, channels, 1), nn.MaxPool2d(2))


class TransitionUp(nn.Module):
    """New features at twice the height and width, beside the skip connection of that size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.ConvTranspose2d(channels, channels, 3, stride=2)

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        """(N, C, H, W) and a skip connection (N, S, 2 H, 2 W) as (N, C + S, 2 H, 2 W)."""
        larger = self.convolution(features)[..., : skip.shape[-2], : skip.shape[-1]]  # it gives a row and a column more
        return torch.cat([larger, skip], 1)


def _normalised_convolution(channels: int, filters: int, side: int) -> nn.Sequential:
    return nn.Sequential(
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(channels, filters, side, padding=side // 2),
        nn.Dropout(DROPOUT),
    )


def _draw(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
