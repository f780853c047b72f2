"""A run's figures are what it took."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from bench.measure import ROOT, BenchError, Cost, Outcome, in_turns, median_cost, run_fresh

PYTHON = [sys.executable, "-c"]


def test_seconds_and_memory_are_those_of_the_run() -> None:
    code = """
import time
held = b"x" * (300 << 20)
while time.process_time() < 0.5: pass
time.sleep(0.5)
print('{"kept": 7}')
"""
    # From a small process: Linux counts what the parent holds into the peak, and pytest holds a lot.
    asked = f"import msgspec, bench.measure as m; print(msgspec.json.encode(m.run_fresh({[*PYTHON, code]!r})).decode())"
    told = subprocess.run([*PYTHON, asked], capture_output=True, check=True, cwd=ROOT).stdout
    outcome = msgspec.json.decode(told, type=Outcome)
    assert outcome.printed == {"kept": 7}
    assert 1.0 <= outcome.cost.wall_s < 20
    assert 0.5 <= outcome.cost.cpu_s < outcome.cost.wall_s
    assert 300 < outcome.cost.peak_mib < 400


def test_what_forked_processes_share_counts_once_and_what_they_add_counts() -> None:
    code = """
import os, time
held = b"x" * (100 << 20)
if os.fork() == 0:
    more = b"y" * (150 << 20)
    time.sleep(1)
    os._exit(0)
os.wait()
"""
    asked = f"import msgspec, bench.measure as m; print(m.run_fresh({[*PYTHON, code]!r}).cost.peak_mib)"
    told = subprocess.run([*PYTHON, asked], capture_output=True, check=True, cwd=ROOT).stdout
    assert 250 < float(told) < 300


def test_a_small_run_is_not_charged_for_a_large_one_before_it() -> None:
    run_fresh([*PYTHON, "held = b'x' * (300 << 20)"])
    small = run_fresh([*PYTHON, ""])
    assert small.printed == {}
    assert small.cost.cpu_s < 1


def test_cpu_seconds_of_a_runs_own_processes_count() -> None:
    spin = "import time\nwhile time.process_time() < 0.4: pass"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {spin!r}], check=True)"
    assert run_fresh([*PYTHON, code]).cost.cpu_s >= 0.4


def test_a_failed_run_is_an_error_that_tells_why() -> None:
    with pytest.raises(BenchError, match=r"ended with 3: .*out of luck"):
        run_fresh([*PYTHON, "import sys; print('out of luck', file=sys.stderr); sys.exit(3)"])


def test_contenders_take_turns(tmp_path: Path) -> None:
    log = tmp_path / "log"
    write = "open({!r}, 'a').write({!r})"
    found = in_turns({name: [*PYTHON, write.format(str(log), name)] for name in "ab"}, runs=3)
    assert log.read_text() == "ab" + "ababab", "a round for the memory comes first"
    assert [len(outcomes) for outcomes in found.values()] == [3, 3]


def test_each_figures_median_is_its_own() -> None:
    costs = [Cost(1, 30, 200), Cost(2, 10, 300), Cost(9, 20, 100)]
    assert median_cost([Outcome(cost, {}) for cost in costs]) == Cost(2, 20, 200)
