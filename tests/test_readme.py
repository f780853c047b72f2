"""The README shows what the program prints."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from curate.cli import cli
from tests.conftest import REPOSITORY

README = (REPOSITORY / "README.md").read_text()
SHOWN = re.findall(r"^\$ curate (.*)\n((?:.*\n)*?)```", README, re.M)


@pytest.mark.parametrize(("line", "printed"), SHOWN, ids=[line for line, _ in SHOWN])
def test_the_readme_shows_what_is_printed(
    line: str, printed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, shlex.split(line), catch_exceptions=False)
    assert result.exit_code == 0
    assert result.stdout == printed


def test_something_is_shown() -> None:
    assert SHOWN
