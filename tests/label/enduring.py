"""A process that imports one damaged export after the other, and holds what must hold of every import.

`python -m tests.label.enduring TOOL FIRST LAST FOLDER` is run by the tests, in a process of its own, so that what an
import costs can be measured and bounded. It ends at the first seed that fails, with the seed and the reason.
"""

from __future__ import annotations

import io
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from curate.checks.version import check_dataset
from curate.cli import main
from curate.dataset import Dataset, read_edits
from curate.errors import CurateError
from curate.masks import IGNORE, PERSON
from label.archive import unpacked
from label.formats import read_labels
from label.formats.record import Options
from label.importing import Request, import_labels
from tests.label.damaging import damaged_export
from tests.label.making import Photo, make_dataset
from tests.label.rich import HEIGHT, NAMES, RICH, WIDTH

SLOW_S, STUCK_S = 10, 120
MOST_BYTES = 2**30
SPARE_BYTES = 3 * 2**30
"""An import that asks for more than this fails, rather than the machine."""
A_FILE_EACH = ("png", "labelme", "yolo", "supervisely")
PERSONS = {"matlab": ("1", "2")}
POLICIES = ("replace", "union", "intersect", "newest")


def make_parent(root: Path) -> Dataset:
    """The dataset that is imported into: two labelled images and one of the pool."""
    old = np.zeros((HEIGHT, WIDTH), np.uint8)
    old[3:9, 3:9] = PERSON
    pool = {"split": "pool", "people": 0, "area": 0.0, "edges": "", "origin": "none"}
    photos = {
        "pairs-a1": Photo(old),
        "pairs-b2": Photo(old),
        "pairs-c3": Photo(np.full_like(old, IGNORE), changes=pool),
    }
    return make_dataset(root, photos)


def peak_bytes() -> int:
    """The most memory this process has had."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def state(root: Path) -> dict[str, bytes]:
    """Every file below a folder and its bytes."""
    return {str(file.relative_to(root)): file.read_bytes() if file.is_file() else b"" for file in root.rglob("*")}


def program(*words: str) -> tuple[int, str, str]:
    """A run of `curate`: its exit code, stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main(list(words))
        except SystemExit as stop:
            return int(stop.code or 0), out.getvalue(), err.getvalue()
    raise AssertionError("the program did not end by itself")


def counted_labels(path: Path, request: Request, tool: str) -> int:
    """How many labels and refusals the reader gives."""
    with TemporaryDirectory() as spool:
        return len(list(read_labels(unpacked(path, Path(spool)), tool, request.options)))


def check_dry(parent: Dataset, request: Request) -> str | None:
    """A dry run: nothing but CurateError, and no label unaccounted for; the error."""
    try:
        imported = import_labels(parent, None, request)
    except CurateError as error:
        return str(error)
    intake = imported.intake
    lines = [*intake.notes, *(one.message for one in intake.refusals)]
    assert all(len(line.splitlines()) == 1 for line in lines), f"not one line: {lines}"
    same = sum(" says the same of " in note for note in intake.notes)
    read = counted_labels(request.path, request, imported.format)
    assert len(intake.changes) + len(intake.refusals) + same == read, f"{read} labels, and {lines}"
    if request.on_conflict in ("replace", "union"):  # under the others a sound label may well not come in
        lost = spared(imported.format, request.path) - intake.changes.keys()
        assert not lost, f"{lost} are sound, and {lines}"
    return None


def spared(tool: str, path: Path) -> set[str]:
    """The samples whose label is as it was, where each has a file and only the content of such files was damaged."""
    files = RICH[tool]()
    there = {str(file.relative_to(path)) for file in path.rglob("*") if file.is_file() and not file.is_symlink()}
    same = {name for name in files if name in there and (path / name).read_bytes() == files[name]}
    alone = {name for name in files if tool in A_FILE_EACH and any(stem in Path(name).name for stem in NAMES)}
    if there != files.keys() or files.keys() - same - alone:
        return set()
    return {f"pairs-{stem}" for name in same & alone for stem in NAMES if stem in Path(name).name}


def check_real(root: Path, path: Path, words: list[str], failed: str | None) -> None:
    """The same by the program: what it writes is sound, what it says one line for each thing."""
    out = root / "out"
    code, told, err = program("label", "import", str(root / "one"), str(path), "--out", str(out), "--json", *words)
    assert code in (0, 1, 2), err
    assert "internal error" not in err, err
    assert "Traceback" not in err, err
    assert "Warning" not in err, err
    assert sum(line.startswith("error: ") for line in err.splitlines()) == (code > 0), err
    assert (failed is None) or (code > 0), failed
    result: dict[str, Any] = json.loads(told) if told else {}
    assert (failed is None) == bool(told), err
    assert out.exists() == (result.get("status") == "written"), result
    if out.exists():
        findings = [str(finding) for finding in check_dataset(out).findings]
        assert findings == [], findings
        assert set(result["imported"]) == set(read_edits(out)["sample_id"])
        shutil.rmtree(out)


def check_seed(root: Path, parent: Dataset, tool: str, seed: int) -> None:
    """One damaged export, imported dry and for real."""
    work = root / "work"
    work.mkdir()
    path = damaged_export(tool, work, seed)
    policy, name = POLICIES[seed % 5 % 4], tool if seed // 4 % 2 else "auto"
    words = ["--on-conflict", policy, "--format", name]
    persons = PERSONS.get(tool)
    words += ["--person", ",".join(persons)] if persons else []
    request = Request(path, name, Options(persons), policy)
    with bounded():
        failed = check_dry(parent, request)
    with bounded():
        check_real(root, path, words, failed)
    shutil.rmtree(work)


@contextmanager
def bounded(*, loaded: bool = False) -> Iterator[None]:
    """What is done within takes no more than SLOW_S of the processor, however busy it is, and MOST_BYTES.

    With `loaded`, what the process holds before does not count.
    """
    Path("/proc/self/clear_refs").write_text("5")  # begins to measure the peak anew
    held = peak_bytes() if loaded else 0
    begun = time.process_time()
    yield
    lasted, peak = time.process_time() - begun, peak_bytes() - held
    assert lasted < SLOW_S, f"took {lasted:.1f} s"
    assert peak < MOST_BYTES, f"took {peak >> 20} MiB"


def watch_writing(root: Path) -> None:
    """Fail where this process opens a file to write outside of `root`."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            path = Path(arguments[0]).absolute()
            inside = path.is_relative_to(root) or arguments[0].startswith(("/proc/self/", "/dev/null"))
            assert inside or "/site-packages/" in arguments[0], f"{arguments[0]} was opened to be written"
        elif event in ("os.mkdir", "os.rename", "os.symlink", "os.link"):
            where = arguments[0] if event == "os.mkdir" else arguments[1]
            made = Path(os.fsdecode(where))
            assert made.is_relative_to(root) or not made.is_absolute(), f"{made} was made"

    sys.addaudithook(hook)


def run(tool: str, first: int, last: int, root: Path) -> None:
    """Every seed from `first` up to `last`."""
    warnings.simplefilter("error", RuntimeWarning)
    tempfile.tempdir = str(root / "tmp")
    (root / "tmp").mkdir(parents=True)
    parent = make_parent(root / "one")
    check_seed(root, parent, tool, 0)  # loads what is loaded late
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + SPARE_BYTES, used + SPARE_BYTES))
    watch_writing(root)
    before = state(root)
    for seed in range(first, last):
        print(seed, flush=True)
        signal.alarm(STUCK_S)
        check_seed(root, parent, tool, seed)
        assert state(root) == before
    signal.alarm(0)


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
