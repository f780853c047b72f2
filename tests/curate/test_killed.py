"""Builds that are killed, interrupted, hindered or run twice: there is the finished dataset, or none that opens."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from curate.dataset import open_dataset
from curate.engine.processes import WORTH_FORKING
from curate.errors import MissingError
from tests.curate import striking
from tests.curate.scenes import coco_set
from tests.curate.striking import Ended, mounted

SHARES = [0.3, 0.5, 0.2, 0.4, 0.6, 0.1]
OLD = ["build", "--coco", "set/annotations/instances_val2017.json", "--out", "out", "--seed", "1"]
NEW = ["build", "--coco", "set/annotations/instances_val2017.json", "--out", "out", "--min-area", "0.2"]
FORCED = [*NEW, "--force"]


def tree(root: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@dataclass(frozen=True)
class Peace:
    """What the commands give when nothing happens to them.

    Attributes:
        folder: Where they ran; `kept` is the old dataset.
        old, new: The files of both datasets.
        steps, steps_over_old: Changes the new one makes on disk, where nothing and where the old one stands.
        seconds: How long the new one takes.
    """

    folder: Path
    old: dict[str, bytes]
    new: dict[str, bytes]
    steps: int
    steps_over_old: int
    seconds: float


@pytest.fixture(scope="module")
def peace(tmp_path_factory: pytest.TempPathFactory) -> Peace:
    """Both datasets, built undisturbed."""
    folder = tmp_path_factory.mktemp("peace")
    coco_set(folder / "set", SHARES)
    begun = time.monotonic()
    steps = striking.count_steps(folder, FORCED)
    seconds = time.monotonic() - begun
    new = tree(folder / "out")
    shutil.rmtree(folder / "out")
    assert striking.run_here(folder, OLD).code == 0
    shutil.copytree(folder / "out", folder / "kept")
    old = tree(folder / "kept")
    steps_over_old = striking.count_steps(folder, FORCED)
    assert tree(folder / "out") == new != old
    return Peace(folder, old, new, steps, steps_over_old, seconds)


@pytest.fixture
def folder(peace: Peace, tmp_path: Path) -> Path:
    """A folder with the photographs and their labels."""
    shutil.copytree(peace.folder / "set", tmp_path / "set")
    return tmp_path


def place_old(folder: Path, peace: Peace, *, old: bool) -> None:
    """Put the old dataset, or nothing, at `out`."""
    shutil.rmtree(folder / "out", ignore_errors=True)
    if old:
        shutil.copytree(peace.folder / "kept", folder / "out")


def check_after(folder: Path, peace: Peace, *, old: bool) -> None:
    """At `out` stands the old or the new dataset, whole, or nothing where nothing stood; a rerun ends as in peace."""
    if old or (folder / "out").exists():
        open_dataset(folder / "out")
        assert tree(folder / "out") in ([peace.old, peace.new] if old else [peace.new])
    else:
        with pytest.raises(MissingError):
            open_dataset(folder / "out")
    again = striking.run_here(folder, FORCED)
    assert again.code == 0, again
    assert tree(folder / "out") == peace.new
    assert leftovers(folder) == []


def leftovers(folder: Path) -> list[str]:
    """What stands beside the sources and the dataset."""
    return sorted({path.name for path in folder.iterdir()} - {"set", "out"})


def check_kills(folder: Path, peace: Peace, steps: list[int], *, old: bool) -> None:
    """Kill before each of these steps."""
    for step in steps:
        place_old(folder, peace, old=old)
        ended = striking.strike_at_step(folder, FORCED, step)
        assert ended.code == -signal.SIGKILL, (step, ended)
        check_after(folder, peace, old=old)


@pytest.mark.parametrize("old", [False, True], ids=["fresh", "over an old one"])
def test_a_kill_at_some_steps(folder: Path, peace: Peace, old: bool) -> None:
    steps = peace.steps_over_old if old else peace.steps
    last = [steps - 1, steps] if old else [steps]
    check_kills(folder, peace, sorted({*random.Random(1).sample(range(1, steps), 3), *last}), old=old)


@pytest.mark.long
@pytest.mark.parametrize("old", [False, True], ids=["fresh", "over an old one"])
def test_a_kill_at_every_step(folder: Path, peace: Peace, old: bool) -> None:
    check_kills(folder, peace, list(range(1, (peace.steps_over_old if old else peace.steps) + 1)), old=old)


def check_kills_by_the_clock(folder: Path, peace: Peace, seeds: range) -> None:
    """Kill after a random time, every second one over an old dataset."""
    for seed in seeds:
        place_old(folder, peace, old=bool(seed % 2))
        delay_s = random.Random(seed).uniform(0.2, 1.1) * peace.seconds
        assert striking.strike_after(folder, FORCED, delay_s).code in (-signal.SIGKILL, 0)
        check_after(folder, peace, old=bool(seed % 2))


def test_a_kill_at_some_moments(folder: Path, peace: Peace) -> None:
    check_kills_by_the_clock(folder, peace, range(4))


@pytest.mark.long
def test_a_kill_at_many_moments(folder: Path, peace: Peace) -> None:
    check_kills_by_the_clock(folder, peace, range(4, 304))


LOCKED = 3
"""The first change after the staged folder is made and locked; an empty one may be left of a request before that."""
ENDS = [(signal.SIGINT, 130, "error: interrupted"), (signal.SIGTERM, 143, "error: terminated")]


def check_ends(folder: Path, peace: Peace, number: int, code: int, words: str, steps: list[int]) -> None:
    """Ctrl-C or SIGTERM at each of these steps: one line, and what stood there stands there still."""
    for step in steps:
        place_old(folder, peace, old=True)
        ended = striking.strike_at_step(folder, FORCED, step, number)
        assert (ended.code, ended.errors) == (code, [words]), (step, ended)
        assert tree(folder / "out") in [peace.old, peace.new]
        assert leftovers(folder) == []


@pytest.mark.parametrize(("number", "code", "words"), ENDS, ids=["Ctrl-C", "SIGTERM"])
def test_a_request_to_end_at_some_steps(folder: Path, peace: Peace, number: int, code: int, words: str) -> None:
    check_ends(folder, peace, number, code, words, [LOCKED, peace.steps // 2, peace.steps])


@pytest.mark.long
@pytest.mark.parametrize(("number", "code", "words"), ENDS, ids=["Ctrl-C", "SIGTERM"])
def test_a_request_to_end_at_every_step(folder: Path, peace: Peace, number: int, code: int, words: str) -> None:
    check_ends(folder, peace, number, code, words, list(range(LOCKED, peace.steps_over_old)))


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with so many photographs that the work is shared by forked processes."""
    folder = tmp_path_factory.mktemp("many")
    coco_set(folder / "set", [0.5] * WORTH_FORKING)
    return folder


def test_a_forked_process_dies_with_the_one_it_works_for(many: Path) -> None:
    held = striking.hold_at_step(many, FORCED, 150, "hold worker")
    held.kill()
    held.wait()
    (many / "held").unlink()
    again = striking.run(many, FORCED)
    assert (again.code, again.errors) == (0, [])
    assert leftovers(many) == []


def test_a_forked_process_that_is_killed_ends_the_build_with_one_line(many: Path) -> None:
    shutil.rmtree(many / "out", ignore_errors=True)
    ended = striking.end(striking.start(many, NEW, "kill worker", 100))
    told = "error: a working process was ended from outside. Is there enough memory? Run it again"
    assert (ended.code, ended.errors) == (1, [told])
    assert leftovers(many) == []
    assert not (many / "out").exists()


@pytest.mark.parametrize("idle", [False, True], ids=["at work", "waiting for them"])
def test_ctrl_c_at_a_terminal_reaches_forked_processes_too_and_is_one_line(many: Path, idle: bool) -> None:
    process = striking.hold_at_step(many, FORCED, 150, "hold worker")
    if idle:
        striking.wait_until_idle(process)
    os.killpg(process.pid, signal.SIGINT)
    ended = striking.end(process)
    (many / "held").unlink()
    assert (ended.code, ended.errors) == (130, ["error: interrupted"])
    assert leftovers(many) == []


BUSY = "error: out: another process is writing it now. Wait for it, or choose another --out"


@pytest.mark.parametrize("words", [NEW, FORCED], ids=["without force", "with force"])
def test_of_two_builds_at_once_one_wins_and_the_other_says_why(folder: Path, peace: Peace, words: list[str]) -> None:
    first = striking.hold_at_step(folder, words, peace.steps // 2)
    second = striking.run(folder, words)
    assert (second.code, second.out, second.errors) == (1, "", [BUSY])
    assert striking.let_go(folder, first).code == 0
    assert tree(folder / "out") == peace.new
    assert leftovers(folder) == []


def test_a_build_of_another_recipe_that_was_overtaken_replaces_nothing(folder: Path, peace: Peace) -> None:
    held = striking.hold_at_step(folder, OLD, 1)
    assert striking.run_here(folder, NEW).code == 0
    ended = striking.let_go(folder, held)
    assert (ended.code, len(ended.errors)) == (1, 1)
    assert "out: holds a dataset of another recipe" in ended.errors[0]
    assert tree(folder / "out") == peace.new
    assert leftovers(folder) == []


@pytest.mark.long
def test_many_builds_at_once(folder: Path, peace: Peace) -> None:
    for round_number in range(20):
        place_old(folder, peace, old=bool(round_number % 2))
        ended = [striking.end(one) for one in [striking.start(folder, FORCED) for _ in range(5)]]
        assert {one.code for one in ended} <= {0, 1}
        assert 0 in {one.code for one in ended}
        assert all(one.errors == [BUSY] for one in ended if one.code), ended
        assert tree(folder / "out") == peace.new
        assert leftovers(folder) == []


def check_hindered(ended: Ended, folder: Path, peace: Peace, words: str) -> None:
    """One clear line, the old dataset as it was, nothing beside it."""
    assert (ended.code, len(ended.errors)) == (1, 1), ended
    assert words in ended.errors[0]
    assert tree(folder / "out") == peace.old
    assert leftovers(folder) == []


def test_a_file_too_large_for_the_disk_is_one_line_and_harms_nothing(folder: Path, peace: Peace) -> None:
    place_old(folder, peace, old=True)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))  # the child inherits it
        process = striking.start(folder, FORCED)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    check_hindered(striking.end(process), folder, peace, "out: File too large")


@pytest.mark.parametrize("size_kb", [8, 24, 48, 100], ids="{} kB".format)
def test_a_full_disk_is_one_line_and_leaves_nothing(folder: Path, size_kb: int) -> None:
    with mounted(folder / "disk", f"size={size_kb}k"):
        ended = striking.run_here(folder, [*NEW[:-3], "disk/out", *NEW[-2:]])
        assert list((folder / "disk").iterdir()) == []
    assert (ended.code, len(ended.errors)) == (1, 1), ended
    assert "no space left on the disk. Free some, or write elsewhere" in ended.errors[0]
    assert "disk/" in ended.errors[0]


def test_a_read_only_folder_is_one_line(folder: Path) -> None:
    with mounted(folder / "disk", "ro"):
        ended = striking.run_here(folder, [*NEW[:-3], "disk/out", *NEW[-2:]])
    assert (ended.code, len(ended.errors)) == (1, 1), ended
    assert "the disk can only be read. Choose a place on another one" in ended.errors[0]


def test_a_photograph_that_vanishes_meanwhile_is_one_line_and_the_rerun_goes_on(folder: Path, peace: Peace) -> None:
    place_old(folder, peace, old=True)
    held = striking.hold_at_step(folder, FORCED, 10)  # the masks of five photographs are written, none is linked
    (folder / "set" / "val2017" / "000004.jpg").unlink()
    check_hindered(striking.let_go(folder, held), folder, peace, "000004.jpg: no such file")
    assert striking.run_here(folder, FORCED).code == 0
    assert "coco-000004" in open_dataset(folder / "out").drops["sample_id"]
