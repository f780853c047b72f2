"""What a model leaves behind while it trains for people to look at: steps, pictures, curves, TensorBoard's events.

Only `steps.jsonl` and the pictures of the epochs are made from the model itself, before its checkpoint is written; the
rest is made from these and `log.jsonl`. So a run that was killed and goes on ends with the same files as any other.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from curate.files import write_atomic
from curate.threads import Say
from train.engine.learner import Learner
from train.engine.stages import stage_of
from train.monitoring.fixed import Fixed, draw_epoch, draw_progress, strip_path, write_strip
from train.monitoring.log import EpochLine, read_log
from train.monitoring.plots import curves_png
from train.monitoring.steps import Steps, read_steps, step_lines, write_steps
from train.monitoring.tensorboard import EventLog

DRAWING_SHARE, DRAWING_S = 0.01, 0.3
"""Curves are drawn after an epoch only where all drawing takes no more than this share of the time, the next included,
which is taken to need so many seconds; so a run of half a minute is drawn once, when it ends."""


class Journal:
    """The journal of the model in `folder`.

    Args:
        folder: A run, or the folder of one of its fold models.
        fixed: The images that are predicted after every epoch; None for none.
        say: Told in one line what could not be drawn; training goes on without it.
        tensorboard: Whether to write TensorBoard's events too.
    """

    def __init__(self, folder: Path, fixed: Fixed | None, say: Say, *, tensorboard: bool) -> None:
        self._folder, self._fixed, self._say = folder, fixed, say
        self._steps = read_steps(folder)
        self._events = EventLog(folder) if tensorboard else None
        self._began, self._spent, self._drawn = time.monotonic(), DRAWING_S, 0

    def note(self, learner: Learner, epoch: int, steps: Steps) -> None:
        """Before an epoch is saved: its steps, and what the model that is judged makes of the fixed images."""
        self._steps = [line for line in self._steps if line.epoch < epoch] + step_lines(epoch, steps)
        write_steps(self._folder, self._steps)
        if self._fixed is not None and self._fixed.sample_ids:
            with self._optional(f"the pictures of epoch {epoch}"):
                size, precision = stage_of(learner.config, epoch).size, learner.config.precision
                strip = draw_epoch(self._fixed, learner.judged.eval(), size, precision)
                write_strip(strip_path(self._folder, epoch), strip)

    def show(self, history: Sequence[EpochLine], *, last: bool = False) -> None:
        """Once epochs are saved: draw them, and write them to TensorBoard.

        Args:
            history: All finished epochs.
            last: Whether no other follows; else drawing is put off where it would take too much of the time.
        """
        if self._events is not None:
            with self._optional("TensorBoard's events"):
                self._events.write(history, self._steps)
        due = last or self._spent <= DRAWING_SHARE * (time.monotonic() - self._began)
        if due and len(history) > self._drawn:
            began = time.monotonic()
            with self._optional("the plots"):
                write_atomic(self._folder / "plots" / "curves.png", curves_png(history, self._steps), synced=False)
                self._draw_progress(history)
                self._drawn = len(history)
            self._spent += time.monotonic() - began

    def _draw_progress(self, history: Sequence[EpochLine]) -> None:
        if self._fixed is None:
            return
        best = max((line.epoch for line in history if line.best), default=None)
        page = draw_progress(self._fixed, self._folder, len(history), best)
        if page is not None:
            buffer = io.BytesIO()
            page.save(buffer, "PNG", compress_level=1)
            write_atomic(self._folder / "plots" / "progress.png", buffer.getvalue(), synced=False)

    @contextmanager
    def _optional(self, what: str) -> Iterator[None]:
        """Whatever fails inside is said, and training goes on: hours of it are worth more than a picture."""
        try:
            yield
        except Exception as error:
            first = (str(error).splitlines() or [type(error).__name__])[0]
            self._say(f"note: {self._folder}: {what} could not be written ({first}); training goes on")

    def close(self) -> None:
        """Let go of TensorBoard's file."""
        if self._events is not None:
            with self._optional("TensorBoard's events"):
                self._events.close()


@contextmanager
def keeping_journal(folder: Path, fixed: Fixed | None, say: Say, *, tensorboard: bool) -> Iterator[Journal]:
    """A journal to train by; when training has ended well, everything in it is brought up to date."""
    journal = Journal(folder, fixed, say, tensorboard=tensorboard)
    try:
        yield journal
        journal.show(read_log(folder), last=True)
    finally:
        journal.close()
