"""What the commands of `curate train` say on stderr: notes, and a progress bar where that is a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from curate.threads import Tick, Watch

SETTINGS = {"help_option_names": ["-h", "--help"], "show_default": True}


def is_started_together() -> bool:
    """Whether torchrun started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_silent() -> bool:
    """Whether another of the processes that were started together speaks for this one."""
    return is_started_together() and os.environ.get("RANK") != "0"


def note(text: str) -> None:
    """A line on stderr."""
    if not is_silent():
        click.echo(text, err=True)


@contextmanager
def progress() -> Iterator[tuple[Watch, Callable[[str], None]]]:
    """(watch, say): a bar on stderr where that is a terminal, and lines that scroll by above it."""
    if is_silent() or not sys.stderr.isatty():
        yield lambda what, total: lambda steps: None, note
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        tasks: list[Any] = []

        def watch(what: str, total: int) -> Tick:
            for task in tasks:
                bar.remove_task(task)
            tasks[:] = [bar.add_task(what, total=total)]
            return lambda steps: bar.advance(tasks[0], steps)

        yield watch, lambda text: bar.console.print(text, highlight=False, markup=False)
