"""Progress bars on stderr, for stages that take long enough to make one wonder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from curate.terminal import unspelt_stderr
from curate.threads import Tick, Watch

PATIENCE_S = 2.0
"""A stage that is done sooner shows no bar."""


class RateColumn(ProgressColumn):
    """Steps a second, of what they are where that is told."""

    def __init__(self, unit: str = "") -> None:
        super().__init__()
        self._unit = f" {unit}/s" if unit else "/s"

    def render(self, task: Task) -> Text:
        """The speed of the last seconds, or nothing where there is none yet."""
        speed = task.finished_speed or task.speed
        return Text((f"{speed:,.0f}" if speed >= 10 else f"{speed:.1f}") + self._unit if speed else "")


class PatientProgress(Progress):
    """Bars that show once their stage has taken PATIENCE_S."""

    def get_renderables(self) -> Iterable[RenderableType]:
        """The bars that are shown now."""
        yield self.make_tasks_table([task for task in self.tasks if (task.elapsed or 0) >= PATIENCE_S])


def bars_with(unit: str = "") -> PatientProgress:
    """Bars on stderr: done of total, rate, what is told beside it, time taken and time left; gone when they end.

    Args:
        unit: What the steps are.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        RateColumn(unit),
        TextColumn("{task.fields[told]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(compact=True),
    )
    return PatientProgress(*columns, console=Console(file=unspelt_stderr()), transient=True)


@contextmanager
def bars() -> Iterator[Watch]:
    """A Watch with a bar for the stage at work."""
    with bars_with() as progress:

        def watch(what: str, total: int) -> Tick:
            for done in progress.task_ids:
                progress.remove_task(done)
            task = progress.add_task(what, total=total or None, told="")
            return lambda steps: progress.advance(task, steps)

        yield watch
