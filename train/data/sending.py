"""How numbers reach the device that computes; a GPU must never be waited for on their account."""

from __future__ import annotations

import functools

import torch
from torch import Tensor


def sent(values: Tensor, place: torch.device) -> Tensor:
    """A tensor of the CPU on a device; to a GPU from locked memory, since from any other the sender waits for it."""
    if place.type == "cuda":
        values = values.pin_memory()
    return values.to(place, non_blocking=True)


@functools.cache
def constant(values: tuple[float, ...], place: torch.device) -> Tensor:
    """Numbers (N,) float32 that do not change, sent to a device once."""
    with torch.inference_mode(False):  # else what is first asked for in prediction would be refused to training
        return torch.tensor(values, dtype=torch.float32, device=place)
