"""The house rules a machine can hold: import arrows, lazy start, help and docs for every command."""

from __future__ import annotations

import ast
import resource
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from curate.cli import cli
from tests.conftest import REPOSITORY
from tools.commands_page import PAGE, page, walk

ROOMS = {
    "curate": {"curate"},
    "label": {"curate", "label"},
    "train": {"curate", "train"},
    "review": {"curate", "label", "train", "review"},
}


def imported_rooms(path: Path) -> set[str]:
    """The rooms a module imports, function bodies included."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return {name.split(".")[0] for name in names} & ROOMS.keys()


@pytest.mark.parametrize("room", ROOMS)
def test_imports_run_along_the_arrows(room: str) -> None:
    for path in sorted((REPOSITORY / room).rglob("*.py")):
        if not path.name.endswith("cli.py") and path.parent.name != "commands":
            against = imported_rooms(path) - ROOMS[room]
            assert not against, f"{path.relative_to(REPOSITORY)} imports {against}"


@pytest.mark.parametrize("room", ["curate", "label", "train", "review"])
def test_fiftyone_lives_in_one_folder(room: str) -> None:
    users = {
        path.parent.relative_to(REPOSITORY).as_posix()
        for path in (REPOSITORY / room).rglob("*.py")
        if any(line.strip().startswith(("import fiftyone", "from fiftyone")) for line in path.read_text().splitlines())
    }
    assert users == ({"review/app"} if room == "review" else set())


def run_python(code: str) -> tuple[subprocess.CompletedProcess[str], float]:
    """A fresh interpreter's result and the CPU seconds it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=REPOSITORY)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return result, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_answers_in_under_three_tenths_of_a_second_of_cpu() -> None:
    start = min(run_python("pass")[1] for _ in range(3))
    shown = min(run_python("from curate.cli import main; main(['--help'])")[1] for _ in range(3))
    assert shown - start < 0.3


@pytest.mark.parametrize("command", [["--help"], ["build", "--help"], ["build", "--dry-run"]])
def test_choosing_images_imports_neither_torch_nor_fiftyone(command: list[str]) -> None:
    code = (
        "import sys\nfrom curate.cli import main\n"
        f"try:\n    main({command})\nexcept SystemExit as stop:\n    assert stop.code == 0, stop.code\n"
        "sys.exit(sorted({'torch', 'fiftyone', 'matplotlib'} & sys.modules.keys()).__repr__() if "
        "{'torch', 'fiftyone', 'matplotlib'} & sys.modules.keys() else 0)"
    )
    result, _ = run_python(code)
    assert result.returncode == 0, result.stderr


COMMANDS = list(walk(cli))
PROGRAMS = [(words, command) for words, command in COMMANDS if not isinstance(command, click.Group)]


@pytest.mark.parametrize("words", [words for words, _ in COMMANDS], ids=" ".join)
def test_every_command_has_help(words: tuple[str, ...]) -> None:
    for flag in ("--help", "-h"):
        result = CliRunner().invoke(cli, [*words, flag])
        assert result.exit_code == 0, result.output
        assert result.output.startswith("Usage: ")


@pytest.mark.parametrize(("words", "command"), PROGRAMS, ids=[" ".join(words) for words, _ in PROGRAMS])
def test_every_command_says_what_it_does_and_shows_an_example(words: tuple[str, ...], command: click.Command) -> None:
    first, *rest = (command.help or "").strip().splitlines()
    assert first.endswith("."), "one imperative line"
    assert any(line.strip() == "Example:" for line in rest)
    assert f"curate {' '.join(words)}" in "\n".join(rest)
    for option in command.params:
        if isinstance(option, click.Option) and not option.hidden:
            assert option.help, f"{option.opts} has no help"


def test_the_commands_page_is_the_programs_own_help() -> None:
    assert PAGE.read_text() == page(), "make it again: python -m tools.commands_page"


@pytest.mark.parametrize("words", [words for words, _ in PROGRAMS], ids=" ".join)
def test_every_command_stands_in_the_readme(words: tuple[str, ...]) -> None:
    assert f"curate {' '.join(words)}" in (REPOSITORY / "README.md").read_text()
