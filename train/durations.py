"""How long training took and may still take, for people to plan by. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence

from train.config import FitConfig
from train.log import EpochLine
from train.stages import stage_of, stages


def duration(seconds: float) -> str:
    """A time in its two largest units.

    >>> duration(42.3), duration(61), duration(3 * 3600 + 25 * 60)
    ('42 s', '1 min 1 s', '3 h 25 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class TimeLeft:
    """About how long a sweep still takes, by the pixels that were learnt from so far.

    What encoders differ in, and reading and scoring, is left out: it is an order of magnitude.

    Args:
        configs: Of all runs that are still to be trained.
        images: Images to learn from, of a run that does not say so itself.
    """

    def __init__(self, configs: Sequence[FitConfig], images: int) -> None:
        self._images = images
        self._ahead = sum(map(self._pixels, configs))
        self._current, self._config = 0.0, FitConfig(dataset="", digest="")
        self._seconds = self._done = 0.0

    def _pixels(self, config: FitConfig) -> float:
        """Pixels that all models of a run learn from."""
        models = 1 + max(0, config.folds - 1)  # each of K fold models learns from (K - 1) / K of the images
        images = config.epoch_images or self._images
        return float(models * images * sum(stage.epochs * stage.size**2 for stage in stages(config)))

    def begin(self, config: FitConfig) -> None:
        """The next run begins, or is passed over."""
        self._ahead -= self._pixels(config)
        self._current, self._config = self._pixels(config), config

    def hear(self, line: EpochLine) -> None:
        """An epoch of this run is finished."""
        pixels = float(line.images * stage_of(self._config, line.epoch).size ** 2)
        self._seconds, self._done, self._current = (
            self._seconds + line.seconds,
            self._done + pixels,
            self._current - pixels,
        )

    def seconds(self) -> float | None:
        """What is left of this run and those ahead; None before the first epoch."""
        return (self._ahead + max(0.0, self._current)) * self._seconds / self._done if self._done else None
