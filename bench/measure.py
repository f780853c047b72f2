"""What a program costs: each run in a process of its own, contenders in turns, the median of several runs."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

PATROL_S = 0.1
ROOT = Path(__file__).resolve().parents[1]
"""The repository, from which contenders are started, so that they import its modules."""

Command = Sequence[str | Path]


class BenchError(Exception):
    """A run failed, or two contenders disagree."""


class Cost(msgspec.Struct, frozen=True):
    """What a run took: seconds on the clock, seconds of CPU (user and system, of every thread), largest memory."""

    wall_s: float
    cpu_s: float
    peak_mib: float


class Outcome(msgspec.Struct, frozen=True):
    """A run's cost and the JSON object it printed, {} where it printed nothing."""

    cost: Cost
    printed: dict[str, Any]


def contender(module: str, *arguments: str | Path | int) -> list[str]:
    """The command that runs a module of bench.contenders."""
    return [sys.executable, "-m", f"bench.contenders.{module}", *map(str, arguments)]


def curate(*arguments: str | Path) -> list[str]:
    """The command that runs this repository's `curate`, installed or not."""
    return [sys.executable, "-c", "from curate.cli import main; main()", *map(str, arguments)]


def run_fresh(command: Command, *, watched: bool = False) -> Outcome:
    """Run a command to its end; watched, its memory is told together with that of the processes it forks.

    Watching costs what it watches a tenth of its time, for Linux holds a process's memory still to count it.

    Linux counts what the parent held when it started a child into the child's peak. So whoever calls this stays small:
    the benchmark's own process imports neither numpy nor polars.

    Raises:
        BenchError: It failed; with the end of what it wrote to stderr.
    """
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        begun = time.perf_counter()
        process = subprocess.Popen(command, cwd=ROOT, stdout=stdout, stderr=stderr)
        forked_mib = watch_memory(process.pid) if watched else 0.0
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        for stream in (stdout, stderr):
            stream.seek(0)
        if process.returncode:
            said = stderr.read().decode(errors="replace").strip()[-2000:]
            raise BenchError(f"{' '.join(map(str, command))}: ended with {process.returncode}: {said}")
        printed = msgspec.json.decode(stdout.read() or b"{}", type=dict[str, Any])
    peak_mib = max(usage.ru_maxrss / 1024, forked_mib)
    return Outcome(Cost(wall_s, usage.ru_utime + usage.ru_stime, peak_mib), printed)


def watch_memory(pid: int) -> float:
    """Wait for a process to end: the most MiB it held together with those it forked, 0 where it forked none.

    What several processes share counts once (the proportional set size of Linux), looked at every PATROL_S.
    """
    peak_mib, ended = 0.0, os.pidfd_open(pid)
    try:
        while not select.select([ended], [], [], PATROL_S)[0]:
            family = children_of(pid)
            peak_mib = max(peak_mib, sum(map(proportional_mib, [pid, *family])) if family else 0.0)
    finally:
        os.close(ended)
    return peak_mib


def children_of(pid: int) -> list[int]:
    """The processes a process has forked."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            # The name before the last bracket may hold anything; the state and the parent come after it.
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            found += [int(path.parent.name)] if parent == pid else []
    return found


def proportional_mib(pid: int) -> float:
    """The proportional set size of a process; 0 where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)


def in_turns(commands: Mapping[str, Command], runs: int) -> dict[str, list[Outcome]]:
    """Each command's outcomes, `runs` of them, a round after the other, so that all commands meet the same machine.

    Before them stands a round that tells how much memory each takes.
    """
    peaks = {name: run_fresh(command, watched=True).cost.peak_mib for name, command in commands.items()}
    outcomes: dict[str, list[Outcome]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            outcome = run_fresh(command)
            cost = msgspec.structs.replace(outcome.cost, peak_mib=max(outcome.cost.peak_mib, peaks[name]))
            outcomes[name].append(msgspec.structs.replace(outcome, cost=cost))
    return outcomes


def median_cost(outcomes: Sequence[Outcome]) -> Cost:
    """The median of each figure by itself."""
    costs = [outcome.cost for outcome in outcomes]
    return Cost(
        median(cost.wall_s for cost in costs),
        median(cost.cpu_s for cost in costs),
        median(cost.peak_mib for cost in costs),
    )
