"""Fixtures of the tests of `curate/`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from curate.cli import main
from tests.curate.checking import built, copy

__all__ = ["built", "copy", "run"]

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs the program in an empty folder; returns its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main([*words])
        out, err = capfd.readouterr()
        return int(stop.value.code or 0), out, err

    return call
