"""Fixtures of the tests of `label/`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from curate.cli import main
from tests.label.making import OLD, Photo, make_dataset


class Result(NamedTuple):
    """What a run of the program gave."""

    code: int
    out: str
    err: str


@pytest.fixture
def curate(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The program, run in a folder that holds the dataset `one` of three samples."""
    photos = {f"pairs-{number}": Photo(OLD) for number in (1, 2)}
    photos["pairs-3"] = Photo(OLD, changes={"tags": ["relabel"], "weight": 0.0, "split": "val", "people": 3})
    make_dataset(tmp_path / "one", photos)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Result:
        with pytest.raises(SystemExit) as stopped:
            main(list(arguments))
        captured = capsys.readouterr()
        return Result(int(str(stopped.value.code)), captured.out, captured.err)

    return run
