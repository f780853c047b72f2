"""How long a run will take, from what is left to do and the pace of its own first steps. Imports no torch."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from curate.dataset import Dataset
from curate.threads import Say, Tick, Watch, tell
from train.claim import model_folder
from train.config import FitConfig
from train.data.folds import images_of_epoch, settle_validation, share_images
from train.engine.stages import stage_of, stages
from train.monitoring.log import is_trained, read_log

LONG_S = 60
"""What takes no longer is not foretold."""
STEPS = 16
"""Steps that are timed, after a first one that is not; a GPU is waited for before and after them."""
JUDGING_SHARE = 0.3
"""What an image costs without learning from it, as a share of what it costs with."""
SCORING_S_A_PIXEL = 15e-9
"""Reading a photograph of native size, enlarging, writing and scoring its prediction; docs/results.md has 4 ms for
640x480 px on two cores."""


@dataclass(frozen=True)
class Work:
    """What is left to do.

    Attributes:
        learn: Side in px -> how many images are learnt from, over all epochs and models.
        judge: Side in px -> how many validation images are judged.
        score: How many images are scored at native size.
        score_px: Their pixels.
        seconds: What takes a time that is known beforehand.
    """

    learn: Mapping[int, float]
    judge: Mapping[int, float]
    score: float = 0
    score_px: float = 0
    seconds: float = 0

    def __add__(self, other: Work) -> Work:
        """Both together."""
        return Work(
            _sum(self.learn, other.learn),
            _sum(self.judge, other.judge),
            self.score + other.score,
            self.score_px + other.score_px,
            self.seconds + other.seconds,
        )


def _sum(one: Mapping[int, float], other: Mapping[int, float]) -> dict[int, float]:
    return {side: one.get(side, 0) + other.get(side, 0) for side in sorted({*one, *other})}


NOTHING = Work({}, {})


@dataclass(frozen=True)
class Pace:
    """Seconds an image takes, by side in px: to learn from it and to judge it."""

    learn: dict[int, float]
    judge: dict[int, float]


def pace_at(side: int, seconds: float, sides: Mapping[int, float]) -> Pace:
    """The pace at some sides, from the seconds an image takes to learn from at one of them: as their areas."""
    learn = {other: seconds * (other / side) ** 2 for other in sides}
    return Pace(learn, {other: JUDGING_SHARE * one for other, one in learn.items()})


def seconds_of(work: Work, pace: Pace) -> float:
    """How long work takes at a pace, in seconds."""
    learning = sum(images * pace.learn[side] for side, images in work.learn.items())
    judging = sum(images * pace.judge[side] for side, images in work.judge.items())
    scoring = work.score * max(pace.judge.values(), default=0.0) + work.score_px * SCORING_S_A_PIXEL
    return work.seconds + learning + judging + scoring


def fit_work(dataset: Dataset, config: FitConfig, run: Path) -> Work:
    """What a run has still to do: all, or where it was begun already, the rest. --patience may end it sooner."""
    config = settle_validation(config, dataset)
    work = scoring_work(dataset, "val", *(["train"] if config.folds else []))
    for fold, share in share_images(dataset, config).items():
        lines = read_log(model_folder(run, fold))
        if not is_trained(lines, config):
            images = images_of_epoch(dataset, share.learn, config)
            work += epochs_work(config, images, len(share.judge), done=len(lines))
    return work


def epochs_work(config: FitConfig, images: int, validation: int, done: int = 0) -> Work:
    """The epochs of one model after the first `done`, each of so many images and validation images."""
    work = NOTHING
    for stage in stages(config):
        left = max(0, stage.last - max(done, stage.first - 1))
        work += Work({stage.size: left * images}, {stage.size: left * validation})
    return work


def scoring_work(dataset: Dataset, *splits: str) -> Work:
    """Scoring splits once."""
    part = dataset.samples.filter(pl.col("split").is_in(splits))
    pixels = (part["width"].cast(pl.Int64) * part["height"].cast(pl.Int64)).sum()
    return Work({}, {}, part.height, float(pixels))


def foretelling(
    watch: Watch, say: Say, left: Callable[[], Work], config: FitConfig, validation: int, disk: float | None = None
) -> Watch:
    """A Watch that also times the first steps of training and says once how long the whole will take.

    Nothing is run for it. Nothing is said of what takes no longer than LONG_S. While the encoder is frozen, which is
    quicker than what follows, it is said how long it will take at least; the rest follows with the first other epoch.

    Args:
        watch: What shows the progress.
        say: Told the line.
        left: What is left to do at the beginning of the epoch that is timed.
        config: Of the run that trains first.
        validation: Its validation images, which end each epoch.
        disk: Bytes that will be written, where that is known.
    """
    begun, told, told_least = False, False, False

    def is_known(epoch: int) -> bool:
        return told or (told_least and epoch <= config.freeze_epochs)

    def watch_first(what: str, total: int) -> Tick:
        nonlocal begun
        inner = watch(what, total)
        if not what.startswith("epoch "):
            return inner
        epoch = int(what.removeprefix("epoch ").split("/")[0])
        warm, begun = begun, True
        if is_known(epoch):
            return inner
        return Timed(inner, total - validation, lambda seconds: finish(epoch, seconds), warm=warm)

    def finish(epoch: int, seconds: float) -> None:
        nonlocal told, told_least
        if is_known(epoch):
            return
        frozen = epoch <= config.freeze_epochs
        told, told_least = not frozen, True
        work = left()
        expected = seconds_of(work, pace_at(stage_of(config, epoch).size, seconds, work.learn))
        if expected > LONG_S:
            taken = peak_memory() | ({"disk": disk} if disk is not None else {})
            words = ", ".join(f"{size(amount)} of {name}" for name, amount in taken.items())
            by = "the first steps, with the encoder frozen" if frozen else "the first steps"
            say(f"{'at least' if frozen else 'about'} {duration(expected)} left, by {by}; it takes {words}")

    return watch_first


class Timed:
    """A Tick that times the first steps of an epoch and hands on how many seconds an image took.

    The first step is not timed, as it waits for the first images; where an epoch has no other, it is, with that wait,
    once an earlier epoch has begun (`warm`).
    """

    def __init__(self, inner: Tick, images: int, finish: Callable[[float], None], *, warm: bool = False) -> None:
        self._inner, self._images, self._finish, self._warm = inner, images, finish, warm
        self._steps = self._seen = self._timed = 0
        self._began = time.monotonic()

    def __call__(self, steps: int) -> None:
        """So many more images are done."""
        self._inner(steps)
        self._steps += 1
        self._seen += steps
        if self._steps == 1 and self._seen < self._images:
            self._began = time.monotonic()
        elif self._steps <= STEPS + 1 and self._seen <= self._images and (self._steps > 1 or self._warm):
            self._timed += steps
            if self._steps == STEPS + 1 or self._seen == self._images:
                self._finish((time.monotonic() - self._began) / self._timed)

    def tell(self, words: str) -> None:
        """Show these words from now on."""
        tell(self._inner, words)


def peak_memory() -> dict[str, float]:
    """The most bytes of memory that this process has taken so far, and of the GPU's where it uses one."""
    found = {"RAM": 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        found["GPU memory"] = float(torch.cuda.max_memory_reserved())
    return found


def duration(seconds: float) -> str:
    """A time in the two units that matter.

    >>> duration(9), duration(130), duration(7260), duration(200_000)
    ('9 s', '2 min', '2 h 1 min', '2 d 7 h')
    """
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if minutes < 60:
        return f"{minutes} min"
    return (
        f"{minutes // 60} h {minutes % 60} min" if minutes < 2880 else f"{minutes // 1440} d {minutes % 1440 // 60} h"
    )


def size(count: float) -> str:
    """A number of bytes in two figures.

    >>> size(3e5), size(26.7e6), size(1.62e9), size(23e9)
    ('1 MB', '27 MB', '1.6 GB', '23 GB')
    """
    return f"{max(1, round(count / 1e6))} MB" if count < 9.95e8 else f"{count / 1e9:.{1 if count < 9.95e9 else 0}f} GB"
