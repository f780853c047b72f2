"""`steps.jsonl`: loss and learning rate from step to step, in as many lines as a curve needs. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import msgspec

from curate.files import write_atomic
from train.monitoring.log import encode_lines, read_lines

LINES_AN_EPOCH = 100
"""A line of a longer epoch stands for several steps, so that a long run's file stays small."""


class StepLine(msgspec.Struct, frozen=True):
    """Some steps in a row, most often one. There is no clock in it: the same run has the same lines."""

    step: int
    """Steps taken by the model when these were over."""
    epoch: int
    """From 1."""
    loss: float
    """Mean over the images of these steps, each before its step."""
    lr: float
    """Learning rate of the last of them."""


@dataclass(frozen=True)
class Steps:
    """The steps of one epoch: mean loss and number of images of each batch, and its learning rate, in order."""

    before: int
    """Steps that the model had taken before."""
    losses: Sequence[float]
    images: Sequence[int]
    rates: Sequence[float]


def step_lines(epoch: int, steps: Steps) -> list[StepLine]:
    """At most LINES_AN_EPOCH lines for an epoch, of numbers of steps equal to within one.

    >>> step_lines(2, Steps(before=2, losses=[4.0, 1.0], images=[4, 2], rates=[0.1, 0.2]))[1]
    StepLine(step=4, epoch=2, loss=1.0, lr=0.2)
    """
    count = len(steps.losses)
    parts = min(count, LINES_AN_EPOCH)
    edges = [count * place // parts for place in range(parts + 1)] if parts else []
    return [
        StepLine(
            steps.before + end, epoch, _mean(steps.losses[begin:end], steps.images[begin:end]), steps.rates[end - 1]
        )
        for begin, end in pairwise(edges)
    ]


def _mean(losses: Sequence[float], images: Sequence[int]) -> float:
    return sum(loss * count for loss, count in zip(losses, images, strict=True)) / sum(images)


def write_steps(folder: Path, lines: Sequence[StepLine]) -> None:
    """Write the whole `steps.jsonl` of the model in `folder`."""
    write_atomic(folder / "steps.jsonl", encode_lines(lines))


def read_steps(folder: Path) -> list[StepLine]:
    """The steps of the model in `folder`, in order; empty where there are none.

    Raises:
        FormatError: A line is damaged.
    """
    return read_lines(folder / "steps.jsonl", StepLine, "Delete it; only the curves of earlier epochs are lost")
