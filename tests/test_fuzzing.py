"""Damaged input through every reader: a few seeds always, ten thousand each by `make long`. See tests/fuzzing.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.strangers import READERS, Reader

QUICK = {"zip": 30, "recipe": 30, "run": 10, "loop": 20, "table": 20}
"""Those that no other test damages, and how many inputs take about a second."""


def fuzz(reader: str, runs: int, keep: Path) -> None:
    """In a process of its own, so that memory is measured, and one that is killed costs no other test."""
    words = [sys.executable, "-m", "tests.fuzzing", reader, "--runs", f"{runs}", "--blind", "--keep", str(keep)]
    ran = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]


@pytest.mark.parametrize("name", QUICK)
def test_damage_is_read_or_refused(name: str, tmp_path: Path) -> None:
    fuzz(name, QUICK[name], tmp_path)


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", READERS)
def test_ten_thousand_damaged_inputs_are_read_or_refused(name: str, tmp_path: Path) -> None:
    fuzz(name, 10_000, tmp_path)


def test_a_reader_that_breaks_is_found(tmp_path: Path) -> None:
    """The net itself: what is no CurateError, and a file that is written outside, end the process."""
    (tmp_path / "a").write_bytes(b"sound")
    broken = Reader(tmp_path, ["a"], lambda folder: (folder / "a").read_bytes().decode() and None)
    broken.feed(b"\0sound")
    with pytest.raises(UnicodeDecodeError):
        broken.feed(b"\0\xff")
    assert (tmp_path / "a").read_bytes() == b"sound"
