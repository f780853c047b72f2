"""What a program costs: each run in a process of its own, contenders in turns, the median of several runs."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

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


def run_fresh(command: Command) -> Outcome:
    """Run a command to its end.

    Linux counts what the parent held when it started a child into the child's peak. So whoever calls this stays small:
    the benchmark's own process imports neither numpy nor polars.

    Raises:
        BenchError: It failed; with the end of what it wrote to stderr.
    """
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        begun = time.perf_counter()
        process = subprocess.Popen(command, cwd=ROOT, stdout=stdout, stderr=stderr)
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        for stream in (stdout, stderr):
            stream.seek(0)
        if process.returncode:
            said = stderr.read().decode(errors="replace").strip()[-2000:]
            raise BenchError(f"{' '.join(map(str, command))}: ended with {process.returncode}: {said}")
        printed = msgspec.json.decode(stdout.read() or b"{}", type=dict[str, Any])
    return Outcome(Cost(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024), printed)


def in_turns(commands: Mapping[str, Command], runs: int) -> dict[str, list[Outcome]]:
    """Each command's outcomes, `runs` of them, a round after the other, so that all commands meet the same machine."""
    outcomes: dict[str, list[Outcome]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            outcomes[name].append(run_fresh(command))
    return outcomes


def median_cost(outcomes: Sequence[Outcome]) -> Cost:
    """The median of each figure by itself."""
    costs = [outcome.cost for outcome in outcomes]
    return Cost(
        median(cost.wall_s for cost in costs),
        median(cost.cpu_s for cost in costs),
        median(cost.peak_mib for cost in costs),
    )
