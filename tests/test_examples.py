"""Every example a command's help shows is run, in the order a user meets them, on a dozen drawn scenes."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from pathlib import Path

import pytest

from tests.enduring import run, warm_up
from tests.test_architecture import PROGRAMS

IMAGES = 24
MODELS = ("train", "review", "loop", "label prelabel")
"""Commands, or groups of them, whose examples follow one another, and on the build alone."""
NOT_RUN_HERE = {
    "review open": "it serves until Ctrl-C; test_browser runs it",
    "demo": "it takes minutes; test_demo runs it",
}

TRAINS = ("curate train lr-find", "curate train fit")
FEWER = " --batch-size 4"
"""What looks for a learning rate takes forty steps; here each is of four images, not of all there are."""

FINDS = ("curate label check",)
"""What ends with 1 where it finds something, as it does in the sample."""


def examples() -> list[tuple[str, str]]:
    """(command, line) for every line that starts with `curate` below an `Example:`."""
    found = []
    for words, command in PROGRAMS:
        _, _, shown = (command.help or "").partition("Example:")
        lines = [line.strip() for line in shown.splitlines() if line.strip().startswith("curate ")]
        found += [(" ".join(words), line) for line in lines]
    order = [
        "build",
        "check",
        "sheet",
        "train augment-sheet",
        "train lr-find",
        "train fit",
        "train sweep",
        "train score",
        "train predict",
        "label prelabel",
    ]
    order += ["review failures", "review pull"]
    return sorted(found, key=lambda pair: order.index(pair[0]) if pair[0] in order else len(order))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, sample: Path) -> Path:
    """A working folder with a few of the sample's COCO scenes under `datasets/`, and hand labels for them."""
    root = tmp_path_factory.mktemp("examples")
    coco = root / "datasets" / "coco"
    (coco / "annotations").mkdir(parents=True)
    whole = json.loads((sample / "coco" / "annotations" / "instances_train2017.json").read_bytes())
    whole["images"] = whole["images"][:IMAGES]
    kept = {image["id"] for image in whole["images"]}
    whole["annotations"] = [row for row in whole["annotations"] if row["image_id"] in kept]
    (coco / "annotations" / "instances_train2017.json").write_text(json.dumps(whole))
    shutil.copytree(sample / "coco" / "train2017", coco / "train2017")
    shutil.copytree(sample / "labels", root / "labels")
    (root / "unlabelled").mkdir()
    for photo in sorted((coco / "train2017").iterdir())[:4]:
        shutil.copy(photo, root / "unlabelled")
    shutil.copy(sorted((coco / "train2017").iterdir())[0], root / "photo.jpg")
    return root


def run_all(folder: Path, lines: list[str]) -> None:
    """Run commands one after the other, each in a process of its own, which has imported before what takes long."""
    for line in lines:
        code, out, err = astuple(run(folder, line.removeprefix("curate ") + FEWER * line.startswith(TRAINS)))
        assert code == 0 or (code == 1 and line.startswith(FINDS) and not err), f"{line}\n{out}\n{err}"


@pytest.mark.timeout(1200)
@pytest.mark.database
def test_every_example_runs(folder: Path, database: str) -> None:
    shown = [(command, line) for command, line in examples() if command not in NOT_RUN_HERE]
    assert {command for command, _ in shown} == {command for command, _ in examples()} - NOT_RUN_HERE.keys()
    first = [line for command, line in shown if command == "build"]
    models = [line for command, line in shown if command in MODELS or command.split()[0] in MODELS]
    warm_up()
    run_all(folder, first)
    with ThreadPoolExecutor() as chains:
        others = [line for _, line in shown if line not in first + models]
        for chain in [chains.submit(run_all, folder, lines) for lines in (models, others)]:
            chain.result()
