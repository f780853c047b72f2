"""Work spread over the machine's cores by forking, for work that holds the interpreter's lock.

pycocotools draws and decodes with the lock held, so threads gain nothing there. A forked process sees everything this
one has read without copying it, works on its share, and sends the results back. It touches nothing but numpy,
pycocotools, Pillow, single-threaded OpenCV, files and single rows of tables: polars and torch have threads of their
own, which do not live on in a fork.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from curate.errors import MachineError
from curate.threads import Tick

Item = TypeVar("Item")
Result = TypeVar("Result")
PART = 256
"""Items worked on at once: enough to make what is done for all of them together pay."""
WORTH_FORKING = 2 * PART
"""From this many items on, or from two parts on; a fork costs some hundredths of a second."""

ENDS = {signal.SIGINT, signal.SIGTERM}
"""Signals that ask a program to end."""
_PR_SET_PDEATHSIG = 1
"""From Linux's <sys/prctl.h>."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""From glibc's <malloc.h>."""
KEPT_BYTES, LARGEST_KEPT_BYTES = 1 << 28, 1 << 27
"""So much freed memory is kept, and nothing that is larger than this."""


def process_parts(
    function: Callable[[Sequence[Item]], list[Result]], items: Sequence[Item], tick: Tick, part: int = PART
) -> Iterator[list[Result]]:
    """The results of each part, in the order of the items and as soon as they are there; an error stops the rest.

    Args:
        function: From some items to one picklable result for each.
        items: What it is called with, `part` of them at a time.
        tick: Told how many more items are done.
        part: Number of items of a part.

    Raises:
        MachineError: A process was ended from outside.
    """
    keep_freed_memory()
    parts = [items[start : start + part] for start in range(0, len(items), part)]
    workers = (
        min(os.cpu_count() or 1, len(parts))
        if sys.platform == "linux" and len(items) >= min(WORTH_FORKING, 2 * part)
        else 1
    )
    shares = [range(first, len(parts), workers) for first in range(workers)]
    ready: dict[int, list[Result]] = {}
    given = 0

    def take(index: int, found: list[Result]) -> None:
        ready[index] = found
        tick(len(found))

    children = [_fork(function, parts, share) for share in shares[1:]]
    try:
        readers = [
            _Reader(connection, share, take) for (_, connection), share in zip(children, shares[1:], strict=True)
        ]
        for index in shares[0]:
            take(index, function(parts[index]))
            for reader in readers:
                reader.check()
            while given in ready:
                yield ready.pop(given)
                given += 1
        for reader in readers:
            reader.join()
            reader.check()
    finally:
        for process, connection in children:
            process.kill()  # it has nothing to clear up, and may not have come to heed other signals yet
            process.join()
            connection.close()
    yield from (ready.pop(index) for index in range(given, len(parts)))


def keep_freed_memory() -> None:
    """Keep arrays of a photograph's size, once freed, for the next ones, here and in forked processes.

    Else glibc gives each back to the system and asks for it anew, and a third of the time goes into fresh pages.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(_M_MMAP_THRESHOLD, LARGEST_KEPT_BYTES)


def _fork(
    function: Callable[[Sequence[Item]], list[Result]], parts: Sequence[Sequence[Item]], share: range
) -> tuple[Any, Connection]:
    """A process that works on its share of the parts, and the connection its results come through."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(function, parts, share, sender, os.getpid()), daemon=True)
    waiting = signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)  # until the process has said what it makes of them
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of forks beside threads; see above
            process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, waiting)
    sender.close()
    return process, receiver


def _end_with(parent: int) -> None:
    """This process dies when its parent asks it to, or dies: it holds the parent's locks and writes into its folders.

    Ctrl-C at a terminal reaches both; the parent alone answers.
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDS)
    if os.getppid() != parent:
        os._exit(1)


def _work(
    function: Callable[[Sequence[Item]], list[Result]],
    parts: Sequence[Sequence[Item]],
    share: range,
    sender: Connection,
    parent: int,
) -> None:
    """What a forked process does: each part's results, or the error that ended it, are sent."""
    _end_with(parent)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for index in share:
                sender.send(function(parts[index]))
        except BrokenPipeError:
            return  # the process that asked is gone
        except BaseException as error:
            sender.send(error)


class _Reader(threading.Thread):
    """Takes in what one forked process sends, so that it never waits."""

    def __init__(self, connection: Connection, share: range, take: Callable[[int, list[Any]], None]) -> None:
        super().__init__(daemon=True)
        self._connection, self._share, self._take = connection, share, take
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        """Take one result for each part of the share."""
        try:
            for index in self._share:
                found = self._connection.recv()
                if isinstance(found, BaseException):
                    raise found
                self._take(index, found)
        except (EOFError, OSError):
            told = "a working process was ended from outside. Is there enough memory? Run it again"
            self._error = MachineError(told)
        except BaseException as error:
            self._error = error

    def check(self) -> None:
        """Raise the error the process ended with, if there is one."""
        if self._error is not None:
            raise self._error
