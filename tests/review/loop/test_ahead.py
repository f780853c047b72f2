"""What a loop will take."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from curate.dataset import Dataset
from curate.errors import MachineError
from review.loop.ahead import loop_bytes, loop_work
from review.loop.config import LoopConfig, loop_config
from review.loop.run import run_loop
from tests.train.making import make_dataset, quick
from train.models import build_model
from train.monitoring.disk import run_bytes
from train.monitoring.log import EpochLine, encode_lines

SPLITS = ("train",) * 12 + ("val",) * 4 + ("test",) * 3


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_dataset(tmp_path_factory.mktemp("people") / "people", SPLITS)


def test_base_folds_and_two_arms_a_round(people: Dataset, tmp_path: Path) -> None:
    base = quick(epochs=5, folds=3, size=64, earlier_sizes=(32,), freeze_epochs=1)
    four = LoopConfig(dataset="", digest="", rounds=2, budget="4", fit=base)
    minutes = msgspec.structs.replace(four, budget="2m")
    work = loop_work(people, tmp_path, four)
    # the base's epochs show 12 + 3 x 8 images; an arm's 12, all at the last size
    assert work.learn == {32: 2 * 36, 64: 3 * 36 + 2 * 2 * 4 * 12}
    assert work.judge == {32: 2 * 4 * 4, 64: 3 * 4 * 4 + 2 * 2 * 4 * 4}
    assert work.score == (12 + 4) + 2 * (2 * 4 + 3 * 3)
    line = EpochLine(1, -1, 1.0, None, None, 1.0, None, None, 0.1, best=True, images=12, seconds=10.0)
    (tmp_path / "round-1" / "control").mkdir(parents=True)
    (tmp_path / "round-1" / "control" / "log.jsonl").write_bytes(encode_lines([line]))
    assert loop_work(people, tmp_path, four).learn[64] == work.learn[64] - 12
    assert loop_work(people, tmp_path, minutes).seconds == 4 * 120 - 10
    (tmp_path / "round-1" / "verdict.json").write_text("{}")
    assert loop_work(people, tmp_path, minutes).seconds == 2 * 120


def test_an_arm_has_pictures_of_its_own_epochs_not_of_the_base_s(people: Dataset) -> None:
    loops = [
        LoopConfig(dataset="", digest="", rounds=1, budget="4", start="base", fit=quick(epochs=epochs))
        for epochs in (4, 300)
    ]
    few, many = (loop_bytes(people, config, labels=False) for config in loops)
    assert few == many


def test_a_loop_that_does_not_fit_is_refused_before_it_begins(
    people: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"model": "pspnet", "encoder": "mobilenet_v2", "weights": "none", "size": 32, "epochs": 1}
    config = loop_config(people, tmp_path / "loop", options, rounds=2, budget="1")
    needed = loop_bytes(people, config, labels=False)
    arm = run_bytes(build_model(config.fit), quick(), people)
    assert needed > 4 * arm
    assert loop_bytes(people, config, labels=True) > needed + arm
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=int(needed) - 10_000_000))
    with pytest.raises(MachineError, match=r"loop: \d+ MB of disk are needed, \d+ MB are free"):
        run_loop(people, tmp_path / "loop", config, lambda line: None)
    assert not (tmp_path / "loop" / "base").exists()
