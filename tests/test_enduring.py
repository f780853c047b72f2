"""Every command under every harm: what it makes is whole or absent, it says what to do, and run again it ends well."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import enduring
from tests.conftest import REPOSITORY
from tests.curate.striking import Ended, mounted
from tests.enduring import (
    ANEW,
    ELSEWHERE,
    FILLED,
    GROWING,
    PLAIN,
    ROWS,
    Peace,
    at_peace,
    bytes_in,
    finish,
    inputs_of,
    is_hidden,
    one_error,
    run,
    snapshot,
    start,
)

DONE = ("exists already", "holds an export already", "holds a finished run")
"""What a command says that is run again where all of it is there."""
KILL, TERMINATE = str(int(signal.SIGKILL)), str(int(signal.SIGTERM))
AHEAD_S = 2 * 86400
PATIENCE_S = 20


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with datasets."""
    enduring.warm_up()
    work = tmp_path_factory.mktemp("plain") / "work"
    work.mkdir()
    enduring.make_plain(work)
    return work


@pytest.fixture(scope="session")
def trained(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with datasets and runs."""
    work = tmp_path_factory.mktemp("trained") / "work"
    shutil.copytree(plain, work)
    enduring.make_trained(work)
    return work


@pytest.fixture(scope="session")
def known() -> dict[str, Peace]:
    """How each command goes undisturbed, once it was seen."""
    return {}


class Case:
    """A command in a folder that holds what it works on."""

    def __init__(self, row: str, material: Path, known: dict[str, Peace], folder: Path) -> None:
        self.row, self.words, self.material, self.work = row, ROWS[row], material, folder / "work"
        if row not in known:
            self.lay_out()
            known[row] = at_peace(self.work, self.words)
        self.peace = known[row]
        self.steps = random.Random(row).sample(range(1, self.peace.steps + 1), self.peace.steps)
        self.lay_out()

    def lay_out(self) -> None:
        """What the command works on, as it was in the beginning."""
        if self.work.is_dir():
            for path in self.work.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.copytree(self.material, self.work, dirs_exist_ok=True)

    def check_whole(self) -> None:
        """Nothing half made stands under its final name, and what stood there stands there."""
        before, after, now = self.peace.before, self.peace.after, snapshot(self.work)
        if self.row in GROWING:
            after = after | {name: digest for name, digest in now.items() if name not in before}
        for name, digest in now.items():
            if self.is_anew(name) or (name.startswith("cache/") and name not in after):
                continue  # what is kept for later may be more, where what stood there was told to be outdated
            assert is_hidden(name) or digest in (before.get(name), after.get(name)), f"{name} is half made"
        assert {name for name in (before.keys() & after.keys()) - now.keys() if not self.is_anew(name)} == set()
        if self.row not in (*GROWING, *FILLED):
            new = {name for name in after.keys() - before.keys() if name.split("/")[0] != "cache"}
            assert new & now.keys() in (set(), new), f"{sorted(new - now.keys())} is missing of what it makes"

    def is_anew(self, name: str) -> bool:
        """Whether a file is being made anew row by row."""
        return self.row in ANEW and ANEW[self.row].fullmatch(name) is not None

    def check_rerun(self) -> None:
        """Run again, the command makes what it makes undisturbed, and nothing else is left."""
        ended = finish(self.work, self.words)
        if "error: " in ended.err.lower():
            assert any(words in one_error(ended) for words in DONE), ended
        else:
            assert ended.code == self.peace.code, ended
        now, after = snapshot(self.work), self.peace.after
        other = {name: digest for name, digest in now.items() if after.get(name) != digest}
        assert {name: digest for name, digest in other.items() if not name.startswith("cache/") or name in after} == {}
        assert {name for name in after.keys() - now.keys() if not name.startswith("cache")} == set()

    def check_told(self, ended: Ended, *words: str) -> None:
        """The command ended as undisturbed, or with one line that has one of these words."""
        if ended.code == self.peace.code and "error: " not in ended.err:
            return
        told = one_error(ended)
        print(f"{self.row}: {told}")
        assert ended.code in (1, 2), ended
        assert any(word in told for word in words), ended


def kill(case: Case) -> None:
    """kill -9 before some of its steps."""
    for step in case.steps[:3]:
        assert run(case.work, case.words, KILL, step, reads=case.peace.reads).code == -signal.SIGKILL
        case.check_whole()
        case.check_rerun()
        case.lay_out()


def terminate(case: Case) -> None:
    """SIGTERM at some of its steps."""
    for step in case.steps[-2:]:
        ended = run(case.work, case.words, TERMINATE, step, reads=case.peace.reads)
        if ended.code != case.peace.code:  # it may have been done
            assert ended.code == 143, ended
            told = ended.err.strip().splitlines()[-1]
            assert told == "error: terminated" or "go on with: curate" in told, ended
        case.check_whole()
        case.check_rerun()
        case.lay_out()


def fill_disk(case: Case) -> None:
    """A disk that is full before the command is done."""
    for share in (0.0, 0.5, 0.9):
        size = bytes_in(case.material) + 2 * case.peace.grown + (32 << 20)
        with mounted(case.work, f"size={size}"):
            case.lay_out()
            filler = case.work / "filler"
            room = os.statvfs(case.work)
            with filler.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_bsize - int(share * case.peace.grown))
            ended = run(case.work, case.words)
            filler.unlink()
            case.check_told(ended, "no space left on the disk", "of disk are needed")
            assert "the system" not in ended.err, ended
            case.check_whole()
            case.check_rerun()


def fill_stdout(case: Case) -> None:
    """What the command prints goes where there is no room."""
    environ = os.environ | {"PYTHONPATH": str(REPOSITORY), "CURATE_CACHE": str(case.work / "cache")}
    command = [sys.executable, "-P", "-m", "curate", *case.words.split()]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            command, cwd=case.work, env=environ, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    told = one_error(Ended(ended.returncode, "", ended.stderr))
    assert (ended.returncode, told) == (1, "error: stdout: no space left on the disk. Free some, or write elsewhere")
    case.check_whole()
    case.check_rerun()


def forbid_writing(case: Case) -> None:
    """A disk that can only be read."""
    size = bytes_in(case.material) + 2 * case.peace.grown + (32 << 20)
    with mounted(case.work, f"size={size}"):
        case.lay_out()
        subprocess.run(["mount", "-o", "remount,ro", str(case.work)], check=True)
        ended = run(case.work, case.words)
        subprocess.run(["mount", "-o", "remount,rw", str(case.work)], check=True)
        case.check_told(ended, "the disk can only be read")
        case.check_whole()
        case.check_rerun()


def lock_away(case: Case) -> None:
    """Inputs that may not be read, and folders that may not be written."""
    for name in inputs_of(case.work, case.words):
        (case.work / name).chmod(0)
        ended = run(case.work, case.words, bound=True)
        (case.work / name).chmod(0o755)
        assert ended.code != 0, ended
        case.check_told(ended, "permission denied", "is not readable")
        case.check_whole()
        case.check_rerun()
        case.lay_out()
    folders = [case.work, *(path for path in case.work.rglob("*") if path.is_dir())]
    for path in folders:
        path.chmod(0o555)
    ended = run(case.work, case.words, bound=True)
    for path in folders:
        path.chmod(0o755)
    case.check_told(ended, "permission denied", "is not readable")
    case.check_whole()
    case.check_rerun()


def take_away(case: Case) -> None:
    """Inputs that are not there, or vanish meanwhile."""
    for name in inputs_of(case.work, case.words):
        away = (case.work / name).rename(case.work / "away")
        ended = run(case.work, case.words)
        assert ended.code in (1, 2), ended
        case.check_told(ended, name)
        assert not (case.work / name).exists()
        away.rename(case.work / name)
        case.check_whole()
        held = hold(case, case.steps[0])
        away = (case.work / name).rename(case.work / "away")
        ended = let_go(case, held)
        if (case.work / name).exists():
            shutil.rmtree(case.work / name)
        away.rename(case.work / name)
        case.check_told(ended, name, "no such")
        case.check_whole()
        case.check_rerun()
        case.lay_out()


def set_clock(case: Case) -> None:
    """Files of the day after tomorrow, and a clock that is set back meanwhile."""
    for path in [case.work, *case.work.rglob("*")]:
        os.utime(path, (time.time() + AHEAD_S, time.time() + AHEAD_S))
    ended = run(case.work, case.words, "clock", case.peace.steps // 2)
    assert ended.code == case.peace.code, ended
    case.check_whole()
    case.check_rerun()


def run_twice(case: Case) -> None:
    """The same command a second time before the first is done."""
    held = hold(case, case.steps[0]) if case.steps else None  # what writes nothing cannot be held
    first, second = held or start(case.work, case.words), start(case.work, case.words)
    second.process.join(PATIENCE_S)
    waited = second.process.exitcode is None
    ended = [let_go(case, held) if held else first.end(), second.end()]
    for one in ended:
        case.check_told(one, "another process", *DONE)
    print(f"{case.row}: {'waited' if waited else [one.code for one in ended]}")
    assert any(one.code == case.peace.code for one in ended), ended
    case.check_rerun()


def hold(case: Case, step: int) -> enduring.Running:
    """The command, held before a step."""
    running = start(case.work, case.words, "hold", step, reads=case.peace.reads)
    while not (case.work / "held").exists():
        assert running.process.exitcode is None, running.end()
        time.sleep(0.01)
    return running


def let_go(case: Case, running: enduring.Running) -> Ended:
    """Let a held command go on to its end."""
    (case.work / "go on").touch()
    ended = running.end()
    for name in ("held", "go on"):
        (case.work / name).unlink()
    return ended


HARMS: dict[str, Callable[[Case], None]] = {
    "kill -9": kill,
    "SIGTERM": terminate,
    "full disk": fill_disk,
    "full stdout": fill_stdout,
    "read-only disk": forbid_writing,
    "no permission": lock_away,
    "vanished input": take_away,
    "clock": set_clock,
    "two at once": run_twice,
}
PAIRS = [(row, harm) for row in ROWS for harm in HARMS]
CHEAP = [row for row in PLAIN if not row.startswith("train")]
QUICK = [(random.Random(f"quick {harm}").choice(CHEAP), harm) for harm in HARMS]


@pytest.fixture
def case(row: str, request: pytest.FixtureRequest, known: dict[str, Peace], tmp_path: Path) -> Case:
    """The command of a row, with what it works on."""
    if row in ("review open", "review pull"):
        request.getfixturevalue("database")
    material = request.getfixturevalue("plain" if row in PLAIN else "trained")
    return Case(row, material, known, tmp_path)


@pytest.mark.parametrize(("row", "harm"), QUICK, ids=map(": ".join, QUICK))
def test_some_commands_endure_some_harms(case: Case, harm: str) -> None:
    HARMS[harm](case)


@pytest.mark.long
@pytest.mark.parametrize(("row", "harm"), PAIRS, ids=map(": ".join, PAIRS))
def test_every_command_endures_every_harm(case: Case, harm: str) -> None:
    HARMS[harm](case)


def test_every_command_has_a_row() -> None:
    for command in enduring.commands():
        assert command in ELSEWHERE or any(f"{words} ".startswith(f"{command} ") for words in ROWS.values()), command
