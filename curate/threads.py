"""Work spread over threads: decoding, hashing and compressing release the interpreter's lock."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar, runtime_checkable

Item = TypeVar("Item")
Result = TypeVar("Result")
PART = 32
"""Items handed to a thread at once: measuring one COCO image takes less time than handing it over."""

Tick = Callable[[int], None]
Watch = Callable[[str, int], Tick]
"""Told what begins and of how many steps; returns a function that is told of steps done."""
Say = Callable[[str], None]
"""Told something in one line."""


@runtime_checkable
class TellingTick(Protocol):
    """A Tick that has room for a few words beside its bar."""

    def __call__(self, steps: int) -> None:
        """So many more steps are done."""

    def tell(self, words: str) -> None:
        """Show these words from now on."""


def tell(tick: Tick, words: str) -> None:
    """Show a few words beside a bar, where it has room for them."""
    if isinstance(tick, TellingTick):
        tick.tell(words)


def unwatched(what: str, total: int) -> Tick:
    """A Watch that shows nothing."""
    return lambda steps: None


def map_threads(
    function: Callable[[Item], Result], items: Sequence[Item], tick: Tick = lambda steps: None
) -> list[Result]:
    """The results in the order of the items; the first error stops the rest.

    Args:
        function: Called from several threads at once.
        items: What it is called with.
        tick: Told how many more items are done.
    """
    results: list[Result] = []
    # Filters for warnings are global to the process: threads that set and reset them would undo each other.
    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:
        warnings.simplefilter("ignore")
        parts = [items[start : start + PART] for start in range(0, len(items), PART)]
        futures = [pool.submit(lambda part: [function(item) for item in part], part) for part in parts]
        try:
            for future in futures:
                done = future.result()
                results += done
                tick(len(done))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return results
