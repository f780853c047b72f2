"""A loop under random strikes loses nothing: one round always, two hours by `make long`. See tests/soak.py."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.soak import Tally


def soak(work: Path, *options: str) -> str:
    """In a process of its own, which starts all others; what it says at the end."""
    words = [sys.executable, "-m", "tests.soak", "--work", str(work / "soak"), *options]
    ran = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return ran.stdout.splitlines()[-1]


def test_a_round_under_strikes_loses_nothing(tmp_path: Path) -> None:
    said = soak(tmp_path, "--minutes", "0", "--rounds", "1")
    assert re.match(r"1 loops, 1 rounds; struck [1-9]", said), said


@pytest.mark.long
@pytest.mark.timeout(9000)
def test_two_hours_under_strikes_lose_nothing(tmp_path: Path) -> None:
    soak(tmp_path, "--minutes", "120")


def test_memory_that_grows_is_seen() -> None:
    assert Tally(8, peaks_mib=[100, 103, 101, 104]).is_flat
    assert not Tally(8, peaks_mib=[100, 103, 101, 120]).is_flat
