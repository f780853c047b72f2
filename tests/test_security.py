"""What SECURITY.md claims: every test it names is there, and what is installed is what was tested."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

PAGE = REPOSITORY / "SECURITY.md"
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE.read_text())
PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)==(\S+)", re.MULTILINE)


def names_in(path: Path) -> set[str]:
    """The names of the tests in a module."""
    return {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(("module", "test"), NAMED, ids=lambda name: name.rpartition("/")[2])
def test_a_claim_names_a_test_that_is_there(module: str, test: str) -> None:
    assert test.startswith("test_")
    assert test in names_in(REPOSITORY / module)


def test_every_threat_has_a_test() -> None:
    section = PAGE.read_text().partition("## Threats")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][2:]
    assert len(rows) > 30
    for line in rows:
        assert line.count(" | ") == 2
        assert "`tests/" in line.rpartition(" | ")[2]


def pins(name: str) -> dict[str, str]:
    """Package -> version, as a file has them; names as the index compares them."""
    found = PIN.findall((REPOSITORY / name).read_text())
    return {re.sub(r"[-_.]+", "-", package).lower(): version for package, version in found}


def test_the_lock_has_the_tested_versions_and_no_others() -> None:
    assert pins("requirements.lock") == pins("constraints.txt")


def test_every_line_of_the_lock_has_hashes_and_none_an_address() -> None:
    text = "\n".join(line for line in (REPOSITORY / "requirements.lock").read_text().splitlines() if line[0] != "#")
    entries = re.split(r"\n(?=\S)", text)
    assert len(entries) == len(pins("requirements.lock"))
    for entry in entries:
        assert re.fullmatch(r"[\w.-]+==[\w.+-]+(?: ; [^\\\n]+)?(?: \\\n    --hash=sha256:[0-9a-f]{64})+", entry), entry
