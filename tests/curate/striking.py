"""Programs in processes of their own, struck by a signal or held at a chosen change they make on disk."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from curate.cli import main
from tests.conftest import REPOSITORY


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        """What it said on stderr, notes aside."""
        return [line for line in self.err.splitlines() if line.strip() and not line.startswith("note: ")]


def start(folder: Path, words: list[str], strike: str = "none", step: int = 0) -> subprocess.Popen[str]:
    """`curate WORDS` in `folder`, struck before it makes its `step`-th change below it.

    A strike is the number of a signal, `hold`, `count` or `none`; of a forked process that works for it `kill worker`
    or `hold worker`.
    """
    command = [sys.executable, "-P", "-m", "tests.curate.struck", strike, str(step), *words]
    environ = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=folder, env=environ, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    )


def end(process: subprocess.Popen[str]) -> Ended:
    """Wait for the end of a process."""
    out, err = process.communicate(timeout=120)
    return Ended(process.returncode, out, err)


def run(folder: Path, words: list[str]) -> Ended:
    """`curate WORDS` in `folder`, unharmed."""
    return end(start(folder, words))


def run_here(folder: Path, words: list[str]) -> Ended:
    """`curate WORDS` in `folder`, unharmed, in this process, which has imported everything already."""
    out, err = io.StringIO(), io.StringIO()
    with chdir(folder), redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as stop:
        main(words)
    return Ended(int(stop.value.code or 0), out.getvalue(), err.getvalue())


def count_steps(folder: Path, words: list[str]) -> int:
    """How many changes on disk `curate WORDS` makes."""
    return int(end(start(folder, words, "count")).out.split()[-1])


def strike_at_step(folder: Path, words: list[str], step: int, number: int = signal.SIGKILL) -> Ended:
    """`curate WORDS`, struck by a signal before its `step`-th change."""
    return end(start(folder, words, str(int(number)), step))


def strike_after(folder: Path, words: list[str], delay_s: float, number: int = signal.SIGKILL) -> Ended:
    """`curate WORDS`, struck by a signal after some seconds."""
    process = start(folder, words)
    time.sleep(delay_s)
    process.send_signal(number)
    return end(process)


def hold_at_step(folder: Path, words: list[str], step: int, strike: str = "hold") -> subprocess.Popen[str]:
    """`curate WORDS`, which waits before its `step`-th change until `let_go`; returns when it waits."""
    process = start(folder, words, strike, step)
    while not (folder / "held").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    return process


def wait_until_idle(process: subprocess.Popen[str]) -> None:
    """Return when a process has nothing more to do itself, as one that waits for those that work for it."""
    used = -1.0
    while used != (used := sum(psutil.Process(process.pid).cpu_times()[:2])):
        time.sleep(0.5)


def let_go(folder: Path, process: subprocess.Popen[str]) -> Ended:
    """Let a held process go on, and wait for its end."""
    (folder / "go on").touch()
    ended = end(process)
    for name in ("held", "go on"):
        (folder / name).unlink()
    return ended


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """A small disk of memory at `folder`; a skip where none can be mounted."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)
