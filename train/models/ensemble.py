"""Several trained models as one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Ensemble(nn.Module):
    """Gives the logits (N, C, S, S) of the mean probability of its models, in evaluation mode."""

    def __init__(self, models: Sequence[nn.Module]) -> None:
        super().__init__()
        self.models = nn.ModuleList(models).eval()

    def forward(self, images: Tensor) -> Tensor:
        """The logits for images (N, 3, S, S)."""
        chances = torch.stack([torch.sigmoid(model(images).float()) for model in self.models]).mean(0)
        return torch.logit(chances, eps=1e-7)
