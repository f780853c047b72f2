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

from curate.threads import Tick, Watch

PATIENCE_S = 2.0
"""A stage that is done sooner shows no bar."""


class RateColumn(ProgressColumn):
    """Steps a second."""

    def render(self, task: Task) -> Text:
        """The speed of the last seconds, or nothing where there is none yet."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f}/s" if speed and speed >= 10 else f"{speed:.1f}/s" if speed else "")


class PatientProgress(Progress):
    """Bars that show once their stage has taken PATIENCE_S."""

    def get_renderables(self) -> Iterable[RenderableType]:
        """The bars that are shown now."""
        yield self.make_tasks_table([task for task in self.tasks if (task.elapsed or 0) >= PATIENCE_S])


@contextmanager
def bars() -> Iterator[Watch]:
    """A Watch with a bar for the stage at work: done of total, rate, time taken and time left."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(compact=True),
    )
    with PatientProgress(*columns, console=Console(stderr=True), transient=True) as progress:

        def watch(what: str, total: int) -> Tick:
            for done in progress.task_ids:
                progress.remove_task(done)
            task = progress.add_task(what, total=total or None)
            return lambda steps: progress.advance(task, steps)

        yield watch
