"""The shells complete commands, options, values and paths, without waiting for torch."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from curate.cli import cli
from tests.conftest import REPOSITORY
from tests.test_architecture import COMMANDS, run_python

BASH = r"""
set -e
compopt() { paths=1; }  # outside of a completion asked for by a key, bash has none
eval "$(curate completion bash)"
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); paths=
_curate_completion curate "${@: -1}" ""
echo "${paths:+paths}${COMPREPLY[*]}"
"""
SHELLS = {
    "zsh": 'autoload -U compinit && compinit -u && eval "$(curate completion zsh)" && print $_comps[curate]',
    "fish": "curate completion fish | source; complete --do-complete 'curate train fit people --model tira'",
}


@pytest.fixture
def on_path(tmp_path: Path) -> dict[str, str]:
    """An environment whose PATH has `curate` of this checkout."""
    program = tmp_path / "bin" / "curate"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m curate "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": path, "PYTHONPATH": str(REPOSITORY), "HOME": str(tmp_path)}


def run_shell(shell: str, script: str, words: list[str], environment: dict[str, str]) -> str:
    """What a shell prints."""
    command = [shell, "-c", script, shell, *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def test_bash_completes_what_is_typed(on_path: dict[str, str]) -> None:
    words = ["curate", "train", "fit", "people", "--model", "tira"]
    assert run_shell("bash", BASH, words, on_path) == "tiramisu56 tiramisu67 tiramisu103"


def test_bash_completes_a_path_where_one_is_wanted(on_path: dict[str, str]) -> None:
    assert run_shell("bash", BASH, ["curate", "build", "--coco", "anno"], on_path) == "paths"


@pytest.mark.parametrize(("shell", "printed"), [("zsh", "_curate_completion"), ("fish", "tiramisu56\ntiramisu67")])
def test_other_shells_take_the_script(shell: str, printed: str, on_path: dict[str, str]) -> None:
    if not shutil.which(shell):
        pytest.skip(f"no {shell} here (apt-get install {shell})")
    assert run_shell(shell, SHELLS[shell], [], on_path).startswith(printed)


def completed(*words: str) -> list[str]:
    """What is offered for the last word; `paths` for paths."""
    shell = ShellComplete(cli, {}, "curate", "_CURATE_COMPLETE")
    offered = shell.get_completions(list(words[:-1]), words[-1])
    return ["paths" if item.type == "file" else item.value for item in offered]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["tr"], ["train"]),
        (["train", "lr"], ["lr-find"]),
        (["--de"], ["--debug"]),
        (["train", "fit", "--encoder-"], ["--encoder-lr-scale"]),
        (["build", "--duplicates", ""], ["keep", "exact", "near"]),
        (["build", "--recipe", ""], ["go-selfies", "greenscreen"]),
        (["build", "--recipe", "our"], ["paths"]),
        (["train", "sweep", "people", "--preset", "ta"], ["table1"]),
        (["train", "score", ""], ["paths"]),
        (["train", "score", "gr"], ["grabcut"]),
        (["loop", "sta"], ["status"]),
        (["review", "failures", "runs/"], ["paths"]),
    ],
    ids=lambda words: " ".join(words),
)
def test_offered(words: list[str], offered: list[str]) -> None:
    assert completed(*words) == offered


def test_all_commands_are_offered_with_their_lines_and_none_is_imported() -> None:
    code = (
        "import sys; from click.shell_completion import ShellComplete; from curate.cli import COMMANDS, cli\n"
        "offered = ShellComplete(cli, {}, 'curate', '').get_completions([], '')\n"
        "assert {item.value: item.help for item in offered} == {name: line for name, (_, line) in COMMANDS.items()}\n"
        "sys.exit(repr(sorted({'polars', 'train', 'review', 'label'} & sys.modules.keys())))"
    )
    assert run_python(code)[0].stderr.strip() == "[]"


@pytest.mark.parametrize("room", ["train fit", "review failures", "label check", "loop"])
def test_completing_imports_neither_torch_nor_fiftyone(room: str) -> None:
    code = (
        "import sys; from click.shell_completion import ShellComplete; from curate.cli import cli\n"
        f"assert ShellComplete(cli, {{}}, 'curate', '').get_completions({room.split()}, '--')\n"
        "sys.exit(repr(sorted({'torch', 'fiftyone', 'matplotlib'} & sys.modules.keys())))"
    )
    assert run_python(code)[0].stderr.strip() == "[]"


PATHS = ("FILE", "DIR", "DATASET", "RUN", "JSON", "ROOT", "MASKS", "NEW", "ZIP", "TABLE", "EXPORT", "LOOP", "SWEEP")
TAKES_A_PATH = [
    pytest.param(command, parameter, id=" ".join((*words, parameter.opts[0])))
    for words, command in COMMANDS
    for parameter in command.params
    if parameter.metavar and any(word in parameter.metavar for word in PATHS)
]


@pytest.mark.parametrize(("command", "parameter"), TAKES_A_PATH)
def test_what_takes_a_path_completes_paths(command: click.Command, parameter: click.Parameter) -> None:
    (offered,) = parameter.shell_complete(click.Context(command), "no word")
    assert offered.type in ("file", "dir")


def test_another_shell_is_a_usage_error() -> None:
    result = CliRunner().invoke(cli, ["completion", "tcsh"])
    assert result.exit_code == 2
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in result.output
