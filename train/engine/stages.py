"""Progressive resizing: a run's epochs as stages, each at its own image size and batch size. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from train.config import FitConfig


@dataclass(frozen=True)
class Stage:
    """Epochs `first` to `last`, counted from 1, at one image side in px and one number of images a step."""

    size: int
    batch_size: int
    first: int
    last: int

    @property
    def epochs(self) -> int:
        """How many epochs it has."""
        return self.last - self.first + 1


def stages(config: FitConfig) -> list[Stage]:
    """The stages of a run in order, their epochs equal to within one; a run at one size is a single stage.

    >>> config = FitConfig(dataset="", digest="", epochs=5, size=256, earlier_sizes=(128,))
    >>> [(stage.size, stage.first, stage.last) for stage in stages(config)]
    [(128, 1, 2), (256, 3, 5)]
    """
    sizes = (*config.earlier_sizes, config.size)
    batch_sizes = (*config.earlier_batch_sizes, config.batch_size)
    if len(batch_sizes) == 1:
        batch_sizes *= len(sizes)
    ends = [config.epochs * number // len(sizes) for number in range(len(sizes) + 1)]
    return [
        Stage(size, batch_size, before + 1, end)
        for size, batch_size, before, end in zip(sizes, batch_sizes, ends, ends[1:], strict=False)
    ]


def stage_of(config: FitConfig, epoch: int) -> Stage:
    """The stage that an epoch, counted from 1, belongs to."""
    return next(stage for stage in stages(config) if epoch <= stage.last)
