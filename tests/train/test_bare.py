"""Training where neither FiftyOne nor anything else is installed that only other rooms import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from curate.commands.doctor import NOT_FOR_TRAINING, PACKAGES
from curate.dataset import Dataset
from tests.conftest import REPOSITORY
from tests.onnx_models import brightness

ABSENT = ("fiftyone", "eta", "pymongo", "playwright", *(PACKAGES[name] for name in NOT_FOR_TRAINING))

WITHOUT = f"""
import sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in {ABSENT!r} else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Without

from curate.cli import main

def curate(*arguments):
    try:
        main([*arguments])
    except SystemExit as stop:
        assert not stop.code, arguments
"""


def test_training_scoring_and_predicting_on_a_bare_box(drawn: Dataset, tmp_path: Path) -> None:
    code = """
dataset, model, run, masks = sys.argv[1:]
for words in ("", "fit", "lr-find", "sweep", "runs", "score", "predict", "export", "augment-sheet"):
    curate("train", *words.split(), "--help")
tiny = "--model pspnet --encoder mobilenet_v2 --weights none --size 32 --epochs 1 --batch-size 4 --lr 0.001".split()
curate("train", "fit", dataset, "--out", run, *tiny)
curate("train", "score", run, "--split", "val", "--split", "test")
curate("train", "score", "grabcut", dataset, "--split", "test", "--out", run + "-grabcut")
curate("train", "sweep", dataset, "--out", run + "-sweep", "--over", "seed=1", *tiny)
curate("train", "predict", run, dataset + "/images", "--out", masks)
main(["train", "score", model, dataset, "--split", "test", "--out", run + "-onnx"])
"""
    given = [drawn.root, brightness(tmp_path / "person.onnx"), tmp_path / "run", tmp_path / "masks"]
    command = [sys.executable, "-c", WITHOUT + code, *map(str, given)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=240)
    absent = "error: this needs onnxruntime, which is not installed here. `curate doctor` says how to install it"
    assert (done.returncode, done.stderr.splitlines()[-1:]) == (1, [absent]), done.stderr
    assert (tmp_path / "run" / "scores.parquet").is_file()
    assert len(list((tmp_path / "masks").glob("*.png"))) == len(drawn.samples)
