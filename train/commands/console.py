"""What the commands of `curate train` say on stderr: notes, and a progress bar where that is a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from curate.threads import Tick, Watch, unwatched

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

SETTINGS = {"help_option_names": ["-h", "--help"], "show_default": True}


def is_started_together() -> bool:
    """Whether torchrun started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_started_again() -> bool:
    """Whether torchrun (--max-restarts) started this process in the place of one that failed."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


def is_silent() -> bool:
    """Whether another of the processes that were started together speaks for this one."""
    return is_started_together() and os.environ.get("RANK") != "0"


def note(text: str) -> None:
    """A line on stderr."""
    if not is_silent():
        click.echo(text, err=True)


class Bar:
    """One bar: told of images that are done, and of a few words to show beside it."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def __call__(self, steps: int) -> None:
        """So many more images are done."""
        self._progress.advance(self._task, steps)

    def tell(self, words: str) -> None:
        """Show these words from now on."""
        self._progress.update(self._task, told=words)


@contextmanager
def progress() -> Iterator[tuple[Watch, Callable[[str], None]]]:
    """(watch, say): a bar on stderr where that is a terminal, and lines that scroll by above it."""
    if is_silent() or not sys.stderr.isatty():
        yield unwatched, note
        return
    from curate.progress import bars_with
    from curate.terminal import spelt

    with bars_with("images") as bars:

        def watch(what: str, total: int) -> Tick:
            for done in bars.task_ids:
                bars.remove_task(done)
            return Bar(bars, bars.add_task(what, total=total or None, told=""))

        yield watch, lambda text: bars.console.print(spelt(text), highlight=False, markup=False)
