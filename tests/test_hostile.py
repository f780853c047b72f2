"""What parses well and holds what no command wrote, through every command that reads it. See tests/hostile.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import enduring
from tests.conftest import REPOSITORY
from tests.hostile import make_small


def check(work: Path, pairs: int, seed: int) -> None:
    """In a process of its own, so that memory is measured."""
    words = [sys.executable, "-m", "tests.hostile", str(work), "--pairs", str(pairs), "--seed", str(seed)]
    ran = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]


def test_hostile_values_are_read_or_refused(tmp_path: Path) -> None:
    make_small(tmp_path / "work")
    check(tmp_path / "work", pairs=60, seed=1)


@pytest.mark.long
@pytest.mark.timeout(4 * 3600)
def test_ten_thousand_hostile_values_are_read_or_refused_by_every_command(tmp_path: Path) -> None:
    enduring.warm_up()
    (tmp_path / "work").mkdir()
    enduring.make_plain(tmp_path / "work")
    enduring.make_trained(tmp_path / "work")
    check(tmp_path / "work", pairs=10_000, seed=1)
