"""One small dataset and one small trained run for the whole room."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

import train.models.fcn
from curate.choosing.build import build_dataset
from curate.choosing.recipe import make_recipe
from curate.dataset import Dataset, open_dataset
from tests.train.making import NARROW, THREE, curves_drawn_once, make_dataset, one_thread, quick
from train.config import encode_config, read_config
from train.fit import fit


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="session", autouse=True)
def _curves_drawn_once() -> Iterator[None]:
    with curves_drawn_once():
        yield


@pytest.fixture
def narrow_fcn(monkeypatch: pytest.MonkeyPatch) -> None:
    """fc6 and fc7 of an FCN with NARROW channels: those of 4096 have nine tenths of its parameters."""
    monkeypatch.setattr(train.models.fcn, "HIDDEN", NARROW)


@dataclass(frozen=True)
class Trained:
    """A finished run beside its dataset."""

    dataset: Dataset
    run: Path


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The drawn dataset; never written to."""
    return make_dataset(tmp_path_factory.mktemp("drawn") / "people")


@pytest.fixture(scope="session")
def finished(drawn: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A U-Net of two epochs without folds; never written to."""
    with one_thread():
        return fit(drawn, tmp_path_factory.mktemp("finished") / "run", quick(model="unet", epochs=2))


@pytest.fixture(scope="session")
def folded(drawn: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one epoch with two folds; never written to."""
    with one_thread():
        return fit(drawn, tmp_path_factory.mktemp("folded") / "run", quick(folds=2))


@pytest.fixture
def copied(tmp_path: Path, drawn: Dataset) -> Callable[[Path], Trained]:
    """Copies a run to where a test may change it; its dataset is still found."""

    def copy(run: Path) -> Trained:
        shutil.copytree(drawn.root, tmp_path / "drawn" / "people")
        own = tmp_path / "copy" / "run"
        shutil.copytree(run, own)
        config = msgspec.structs.replace(read_config(own), dataset="../../drawn/people")
        (own / "config.json").write_bytes(encode_config(config))
        return Trained(drawn, own)

    return copy


@pytest.fixture(scope="session")
def embedded(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A dozen scenes of the embedded sample to learn from and to test on; never written to."""
    root = tmp_path_factory.mktemp("embedded") / "people"
    coco = [str(sample / "coco/annotations/instances_train2017.json")]
    sources = {"coco": coco, "voc": [str(sample / "VOC2012")], "take": {"coco": 8, "voc": 4}}
    build_dataset(make_recipe({"name": "people", **sources, "max_people": 2, "split": "70/0/30"}), root)
    return open_dataset(root)


@pytest.fixture(scope="session")
def straight(drawn: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three epochs without a break; never written to."""
    with one_thread():
        return fit(drawn, tmp_path_factory.mktemp("straight") / "run", THREE)
