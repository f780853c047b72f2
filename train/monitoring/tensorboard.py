"""TensorBoard's event files, made from a run's own logs. The package tensorboard is needed here and nowhere else."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from curate.errors import MachineError
from train.claim import EVENTS
from train.monitoring.fixed import strip_path
from train.monitoring.log import EpochLine
from train.monitoring.steps import StepLine

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


def check_tensorboard() -> None:
    """Raise MachineError where the package is not installed."""
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError as error:
        raise MachineError(
            f"--tensorboard: {error}. Install it with: pip install tensorboard, or leave --tensorboard out"
        ) from error


def _begun_s(path: Path) -> int:
    """When an event file was begun, in seconds since 1970, by its name."""
    return int(path.name.split(".")[3])


class EventLog:
    """The events of the model in `folder`, in its sub-folder `tensorboard/`.

    All of them are written anew whenever training begins or goes on, from `log.jsonl`, `steps.jsonl` and the pictures
    of the epochs: none is missing and none told twice, wherever a run was killed. By `purge_step` a reader forgets what
    stood in the file before; that one is kept until the next time, since a TensorBoard that is looking on is lost
    without it.

    Everything has the number of steps taken as its step, what is told of an epoch too.
    """

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._folder, self._written = folder, 0
        place = folder / EVENTS
        earlier = sorted(place.glob("events.out.tfevents.*")) if place.is_dir() else []
        if earlier and _begun_s(earlier[-1]) == int(time.time()):
            time.sleep(1)  # readers go by the names, in which the second stands: what is new has to come last
        now_s = int(time.time())
        self._writer: SummaryWriter = SummaryWriter(str(place), purge_step=0 if earlier else None)
        for path in earlier:
            if path != earlier[-1] or _begun_s(path) >= now_s:  # the latter by a clock that was ahead
                path.unlink()

    def write(self, history: Sequence[EpochLine], steps: Sequence[StepLine]) -> None:
        """Write the epochs that are not written yet, the steps that lie in them, and their pictures."""
        add = self._writer.add_scalar
        for line in history[self._written :]:
            own = [step for step in steps if step.epoch == line.epoch]
            for step in own:
                add("step/loss", step.loss, step.step)
                add("step/lr", step.lr, step.step)
            at = own[-1].step if own else line.epoch
            for name in ("loss", "iou", "dice"):
                for split in ("train", "val"):
                    value = getattr(line, f"{split}_{name}")
                    if value is not None:
                        add(f"{name}/{split}", value, at)
            path = strip_path(self._folder, line.epoch)
            if path.is_file():
                with Image.open(path) as strip:
                    self._writer.add_image("fixed images", np.asarray(strip), at, dataformats="HWC")
        self._written = len(history)
        self._writer.flush()

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()
