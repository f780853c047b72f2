"""Every command of `curate`, what it works on, and how it goes when nothing happens to it."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import re
import shlex
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.forkserver import ensure_running
from pathlib import Path

import click
import pytest

from curate.cli import cli
from tests.conftest import REPOSITORY
from tests.curate.striking import Ended
from tests.curate.struck import run_forked

MODEL = "--model pspnet --encoder mobilenet_v2 --weights none --size 32 --batch-size 4"
TRAINING = f"{MODEL} --lr 0.001"
BUILD = "build --coco set/annotations/instances_train2017.json --take coco=16 --pool pool"

PLAIN = {
    "completion": "completion bash",
    "build": f"{BUILD} --max-people 2 --out built",
    "check": "check people",
    "show": "show people",
    "diff": "diff people people-2",
    "sheet": "sheet people --rows 2 --out sheet.png",
    "export to coco": "export people --format coco --out people-coco",
    "export to voc": "export people --format voc --out people-voc",
    "label import": "label import people labels --out labelled",
    "label export, a zip": "label export people --to cvat --out to-cvat.zip",
    "label export, a folder": "label export people --to labelme --out to-labelme",
    "label check": "label check people --sheet doubts.png",
    "label check, mended": "label check people --fix specks,holes --out mended",
    "label undo": "label undo people-2 --out undone",
    "train augment-sheet": "train augment-sheet people --augment standard --images 2 --size 64 --out augmented.png",
    "train lr-find": f"train lr-find people --out lr {MODEL}",
    "train fit": f"train fit people --out runs/new {TRAINING} --epochs 2",
    "train sweep": f"train sweep people --out sweep --over seed=0,1 {TRAINING} --epochs 1",
    "train score, a peer": "train score grabcut people --split test --out runs/again",
}
"""Commands that need datasets alone."""

TRAINED = {
    "label prelabel": "label prelabel people --model first.onnx --out guessed",
    "train runs": "train runs runs",
    "train score": "train score runs/first --flip",
    "train predict": "train predict runs/first pool --cutout --out predicted",
    "train export": "train export runs/first --out exported.onnx",
    "review failures": "review failures runs/first",
    "review slices": "review slices runs/first",
    "review compare": "review compare runs/cut runs/first --split test",
    "review report": "review report runs/first --out report.html",
    "review open": "review open runs/first --no-launch",
    "review pull": "review pull runs/first",
    "loop": "loop people --out loops/new --from runs/first --budget 1",
    "loop status": "loop status loops/first",
}
"""Commands that need a run."""

ROWS = PLAIN | TRAINED

ELSEWHERE = {
    "demo": "is these commands in a row, which go on in the folder they find",
    "doctor": "looks at the machine; what --fix installs, pip and FiftyOne write",
}
"""Commands without a row, each with the reason."""

GROWING = ("train fit", "train sweep", "loop")
"""Their folders say themselves how far they are: what stands in them before the end is not what stands there then."""

FILLED = (
    "train lr-find",
    "train predict",
    "train score",
    "train score, a peer",
    "review failures",
    "review report",
    "review open",
)
"""Of what they make, each file is whole or absent, but not all of them together."""

ANEW = {"train score": re.compile(r"runs/first/(scores\.parquet|predictions/.*)")}
"""What a command makes anew row by row: what no longer holds goes first, a row before its prediction."""

TIMED = re.compile(r"(log\.jsonl|last\.ckpt|report\.html|table\.(csv|md)|loops?/.*\.json|exported\.onnx)$")
"""Files that hold how long something took."""

Snapshot = dict[str, str]

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.warm"])
STUCK_S = 1200


def commands(group: click.Group = cli) -> Iterator[str]:
    """All commands of the program, such as `label import`."""
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        yield from (f"{name} {inner}" for inner in commands(command)) if isinstance(command, click.Group) else [name]


@dataclass(frozen=True)
class Running:
    """A command that was started in a process of its own."""

    process: multiprocessing.process.BaseProcess
    told: Path

    def end(self) -> Ended:
        """Wait for its end."""
        self.process.join(STUCK_S)
        if self.process.exitcode is None:
            self.process.kill()
            raise AssertionError(f"still running after {STUCK_S} s: {self.told}")
        out, err = ((self.told / name).read_text() for name in ("out", "err"))
        return Ended(self.process.exitcode, out, err)


def start(
    work: Path, words: str, strike: str = "none", step: int = 0, *, reads: bool = False, bound: bool = False
) -> Running:
    """`curate WORDS` in `work`, struck as tests.curate.striking says; with `bound` root heeds the modes of files."""
    told = work.parent / f"told-{time.monotonic_ns()}"
    told.mkdir()
    environ = os.environ | {"CURATE_CACHE": str(work / "cache"), "COLUMNS": "120"}
    arguments = (work, told, shlex.split(words), strike, step, reads, bound, environ)
    process = FORKS.Process(target=run_forked, args=arguments)
    process.start()
    return Running(process, told)


def run(
    work: Path, words: str, strike: str = "none", step: int = 0, *, reads: bool = False, bound: bool = False
) -> Ended:
    """`start`, and wait for the end."""
    return start(work, words, strike, step, reads=reads, bound=bound).end()


def warm_up() -> None:
    """Start the process that the others are forked from, with one thread for each: tensors of 32 px gain nothing."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("OMP_NUM_THREADS", "1"), ("OPENBLAS_NUM_THREADS", "1"), ("PYTHONPATH", str(REPOSITORY))):
            patch.setenv(name, value)
        ensure_running()


def make_plain(work: Path) -> None:
    """Datasets of the embedded sample, photographs of a pool, labels: what PLAIN works on."""
    sample = REPOSITORY / "datasets" / "sample"
    shutil.copytree(sample / "coco", work / "set")
    shutil.copytree(sample / "labels", work / "labels")
    (work / "pool").mkdir()
    for photo in sorted((sample / "VOC2012" / "JPEGImages").iterdir())[:4]:
        shutil.copy(photo, work / "pool")
    make(work, f"{BUILD} --backgrounds 2 --split 8/4/3 --out people", "label import people labels --out people-2")


def make_trained(work: Path) -> None:
    """A run, its rival, its export and a loop from it: what TRAINED works on beside that."""
    make(
        work,
        f"train fit people --out runs/first {TRAINING} --epochs 1 --folds 2",
        "train score runs/first",
        "train score grabcut people --split test --out runs/cut",
        "train export runs/first --out first.onnx",
        "loop people --out loops/first --from runs/first --budget 1",
    )


def make(work: Path, *lines: str) -> None:
    """Run these commands."""
    for words in lines:
        ended = run(work, words)
        assert ended.code == 0, (words, ended)
    shutil.rmtree(work / "cache", ignore_errors=True)


def snapshot(work: Path) -> Snapshot:
    """Every file below a folder with the digest of its bytes, and every folder."""
    found = {}
    for path in sorted(work.rglob("*")):
        name = path.relative_to(work).as_posix()
        found[name] = "folder" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
        if TIMED.search(name):
            found[name] = "timed"
    return found


@dataclass(frozen=True)
class Peace:
    """How a command goes when nothing happens to it.

    Attributes:
        code: What it exits with.
        before, after: What stands in its folder.
        steps: Changes it makes on disk; where it makes none, files it opens.
        reads: Whether it makes none.
        grown: Bytes that it adds.
    """

    code: int
    before: Snapshot
    after: Snapshot
    steps: int
    reads: bool
    grown: int


def at_peace(work: Path, words: str) -> Peace:
    """Run a command undisturbed."""
    before, room = snapshot(work), bytes_in(work)
    ended = run(work, words, "count")
    assert "error: " not in ended.err.lower(), ended
    steps, after, grown = int(ended.out.split()[-1]), snapshot(work), bytes_in(work) - room
    if reads := steps == 0:
        steps = int(run(work, words, "count", reads=True).out.split()[-1])
    return Peace(ended.code, before, after, steps, reads, max(0, grown))


def bytes_in(work: Path) -> int:
    """What the files in a folder take, in whole pages."""
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in work.rglob("*") if path.is_file())


def finish(work: Path, words: str) -> Ended:
    """Run a command again as somebody would who was told how."""
    ended = run(work, words)
    if "Pass --resume to go on" in ended.err:
        return run(work, f"{words} --resume")
    return ended


def one_error(ended: Ended) -> str:
    """The one line that a command says of what went wrong, as its last; of usage click says it below the usage."""
    lines = ended.err.strip().splitlines()
    odd = [line for line in lines if re.search(r"Traceback|internal error|Exception ignored|Warning|^  File ", line)]
    assert not odd, ended
    errors = [line for line in lines if line.lower().startswith("error: ")]
    assert len(errors) == 1, ended
    assert lines[-1] == errors[0], ended
    return errors[0]


def inputs_of(work: Path, words: str) -> list[str]:
    """What a command is given that stands there."""
    return [word for word in words.split() if (work / word).exists()]


def is_hidden(name: str) -> bool:
    """Whether a file is, or lies in, what is not there yet as far as users see."""
    return any(part.startswith(".") for part in name.split("/"))
