"""Damaged labels and photographs through the whole build: one clear line or drops, and never a wrong mask."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curate.checks.version import check_dataset
from curate.cli import main
from curate.dataset import open_dataset
from curate.files import sha256_file
from tests.curate.damaging import (
    MalformedError,
    damaged_bytes,
    damaged_structure,
    labels,
    target_of,
    write_set,
)

COCO = ["--coco", "annotations/instances_val2017.json"]
OPTIONS = [
    [],
    ["--max-people", "1"],
    ["--backgrounds", "3"],
    ["--held", "ignore", "--min-person-area", "0.01"],
    ["--where", "area > 0.1"],
]
SLOW_S = 10
QUICK = {"bytes": range(60), "structure": range(20)}
"""Seeds that are tried always: damaged bytes are mostly no JSON any more, so each of those is soon done."""


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The undamaged set."""
    root = tmp_path_factory.mktemp("pristine")
    write_set(root)
    return root


@pytest.fixture
def coco(pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy that may be damaged, as the current folder."""
    root = Path(shutil.copytree(pristine, tmp_path / "set"))
    monkeypatch.chdir(root)
    return root


Ran = tuple[int, str]


def build(root: Path, capfd: pytest.CaptureFixture[str], *words: str) -> Ran:
    """`curate build` into `out`; exit code and stderr, after what must hold of every build."""
    before = listing(root)
    begun = time.monotonic()
    with pytest.raises(SystemExit) as stop:
        main(["build", *words, "--out", "out"])
    code, err = int(stop.value.code or 0), capfd.readouterr().err
    assert time.monotonic() - begun < SLOW_S
    assert code in (0, 1), err
    assert "internal error" not in err
    assert "Traceback" not in err
    errors = [line for line in err.splitlines() if not line.startswith("note: ")]
    assert len(errors) == code, err
    assert listing(root) - before == ({"out"} if code == 0 else set())
    return code, err


def listing(root: Path) -> set[str]:
    """Everything beside and in the current folder, but not in `out`."""
    found = {path.relative_to(root).as_posix() for path in root.rglob("*")} | {
        path.name for path in root.parent.iterdir()
    }
    return {name for name in found if not name.startswith("out/")}


def check_masks(root: Path, data: bytes) -> None:
    """Every kept mask is that of the undamaged labels, or the one that the damaged ones, still sound, stand for."""
    dataset = open_dataset(root / "out")
    assert [str(finding) for finding in check_dataset(root / "out").findings] == []
    numbers = {sha256_file(path): int(path.stem) for path in (root / "val2017").iterdir()}
    for row in dataset.rows():
        number, target = numbers[row["image_sha256"]], dataset.target(row)
        assert any(np.array_equal(target, one) for one in targets(number, data)), f"{row['sample_id']} has a wrong mask"


def targets(number: int, data: bytes) -> list[np.ndarray[Any, Any]]:
    """What image `number` may have for a mask."""
    found = [target_of(labels(), number)]
    try:
        content = json.loads(data)
        ids = [
            one["id"]
            for one in content["images"]
            if isinstance(one, dict) and f"{number:06d}.jpg" in str(one.get("file_name"))
        ]
        found += [target_of(content, one) for one in ids]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, MalformedError):
        pass
    return found


def check_labels(root: Path, capfd: pytest.CaptureFixture[str], data: bytes, seed: int) -> None:
    """Build from damaged labels."""
    (root / COCO[1]).write_bytes(data)
    code, _ = build(root, capfd, *COCO, *OPTIONS[seed % len(OPTIONS)])
    if code == 0:
        check_masks(root, data)
        shutil.rmtree(root / "out")


def check_damages(root: Path, capfd: pytest.CaptureFixture[str], kind: str, seeds: range) -> None:
    """Damage the labels as each seed says and build from them."""
    sound = (root / COCO[1]).read_bytes()
    for seed in seeds:
        random = np.random.default_rng(seed)
        data = damaged_bytes(sound, random) if kind == "bytes" else damaged_structure(labels(), random)
        try:
            check_labels(root, capfd, data, seed)
        except BaseException as error:
            error.add_note(f"{kind}, seed {seed}")
            raise


def test_the_undamaged_set_is_kept_as_pycocotools_draws_it(coco: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert build(coco, capfd, *COCO)[0] == 0
    check_masks(coco, (coco / COCO[1]).read_bytes())
    assert open_dataset(coco / "out").samples.height == 7


@pytest.mark.parametrize("kind", ["bytes", "structure"])
def test_damaged_labels(coco: Path, capfd: pytest.CaptureFixture[str], kind: str) -> None:
    check_damages(coco, capfd, kind, QUICK[kind])


@pytest.mark.long
@pytest.mark.parametrize("kind", ["bytes", "structure"])
def test_much_damaged_labels(coco: Path, capfd: pytest.CaptureFixture[str], kind: str) -> None:
    check_damages(coco, capfd, kind, range(QUICK[kind].stop, 5000))
