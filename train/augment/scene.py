"""What the steps of a recipe hand on: images, targets, the images to mix in, and a source of randomness for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from train.data.sending import sent

Batch = tuple[Tensor, Tensor]
"""Images (N, 3, S, S) uint8 and targets (N, S, S) uint8."""


@dataclass(frozen=True)
class Scene:
    """Images on their way through a recipe, the images they may be mixed with, and their sources of randomness."""

    images: Tensor
    """(N, 3, S, S) float32 in [0, 1]."""
    targets: Tensor
    """(N, S, S) uint8."""
    rngs: Sequence[np.random.Generator]
    other_images: Tensor
    other_targets: Tensor
    held: int
    """What a held object counts as: BACKGROUND, IGNORE or PERSON."""

    def each(self, draw: Callable[[np.random.Generator], float]) -> Tensor:
        """A number for each image, drawn from its own generator: (N,) float32."""
        return sent(torch.tensor([draw(rng) for rng in self.rngs], dtype=torch.float32), self.images.device)

    def uniform(self, low: float, high: float) -> Tensor:
        """A number between two for each image, (N,)."""
        return self.each(lambda rng: rng.uniform(low, high))

    def chance(self, probability: float) -> Tensor:
        """Whether something happens to each image, (N,) bool."""
        return self.uniform(0, 1) < probability

    def rows(self, rows: Sequence[int]) -> Scene:
        """Some of the images."""
        chosen = sent(torch.tensor(rows), self.images.device)
        return Scene(
            self.images[chosen],
            self.targets[chosen],
            [self.rngs[row] for row in rows],
            self.other_images[chosen],
            self.other_targets[chosen],
            self.held,
        )


Step = Callable[[Scene], Scene]
Move = Callable[[Scene], Tensor]
"""Where pixels come from: (N, 3, 3), from a place in the result to one in the image, each from -1 to 1 over a side."""


def random_pixel(scene: Scene, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """y and x (N,), from -1 to 1, of a random pixel of each mask (N, S, S), and whether it has any (N,)."""
    side = mask.shape[-1]
    counts = mask.flatten(1).int().cumsum(1, dtype=torch.int32)
    total = counts[:, -1]
    wanted = (scene.uniform(0, 1) * total).int().clamp(max=(total - 1).clamp(min=0)) + 1
    index = torch.searchsorted(counts, wanted[:, None])[:, 0].clamp(max=side * side - 1)
    down, across = ((2 * part + 1) / side - 1 for part in (index // side, index % side))
    return down, across, total > 0


def over_pixels(values: Tensor) -> Tensor:
    """Numbers (N,) as (N, 1, 1, 1), to go with images."""
    return values[:, None, None, None]
