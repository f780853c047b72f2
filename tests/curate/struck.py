"""`curate WORDS`, struck by a signal or held before a chosen change it makes below the current folder.

`python -m tests.curate.struck STRIKE STEP WORDS` is run by the tests; tests.curate.striking says what the words mean.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

CHANGES = {"open", "os.mkdir", "os.rename", "os.link", "os.remove", "os.rmdir", "shutil.copyfile", "shutil.rmtree"}
CLOCK_SET_BACK_S = 4 * 86400
MOST_HELD_S = 240
"""Nobody is held for ever by a test that has failed."""


def run(strike: str, step: int, words: Sequence[str], *, reads: bool = False) -> None:
    """The command, which ends by SystemExit; with `reads`, files that are opened to be read are steps too."""
    here, done, lock, first, now = str(Path.cwd()), 0, threading.Lock(), os.getpid(), time.time

    def notice(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal done
        if event not in CHANGES or not isinstance(arguments[0], (str, os.PathLike)):
            return
        if event == "open" and not reads and not str(arguments[1]).startswith(("w", "x", "a")):
            return
        if not str(Path(arguments[0]).absolute()).startswith(here):
            return
        with lock:
            done += 1
            mine = done
        is_worker = os.getpid() != first  # it counts on from where its parent was
        reached = mine >= step and is_worker if strike.endswith("worker") else mine == step
        if reached and strike == "kill worker":
            os.kill(os.getpid(), 9)
        elif reached and strike.startswith("hold"):
            os.close(os.open("held", os.O_CREAT))
            until = time.monotonic() + MOST_HELD_S
            while not Path("go on").exists() and time.monotonic() < until:
                time.sleep(0.01)
        elif reached and strike.isdecimal():
            os.kill(first, int(strike))

    if strike == "clock":
        time.time = lambda: now() - CLOCK_SET_BACK_S * (done >= step)
    sys.addaudithook(notice)
    from curate.cli import main

    try:
        main(list(words))
    finally:
        if strike == "count":
            print(done)


def run_forked(
    folder: Path,
    told: Path,
    words: Sequence[str],
    strike: str,
    step: int,
    reads: bool,
    bound: bool,
    environ: Mapping[str, str],
) -> None:
    """`run` in `folder`, in a process that was forked for it; stdout and stderr go to `told`.

    With `bound`, root heeds the modes of files as everybody else does.
    """
    os.setsid()
    os.environ.update(environ)
    os.chdir(folder)
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(told / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    if bound:
        give_up_capabilities()
    run(strike, step, words, reads=reads)


def give_up_capabilities() -> None:
    """Give up what lets root pass over the modes of files."""
    version_3, this_process = 0x20080522, 0
    none = (ctypes.c_uint32 * 6)()
    if ctypes.CDLL(None, use_errno=True).capset((ctypes.c_uint32 * 2)(version_3, this_process), none):
        raise OSError(ctypes.get_errno(), "capset")


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
