"""One small dataset and one small trained run for the whole room."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
import torch

from curate.dataset import Dataset
from tests.train.making import make_dataset, quick
from train.config import encode_config, read_config
from train.fit import fit


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """Tensors of 32 px are done sooner by one thread, by far so where other processes keep the cores busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@dataclass(frozen=True)
class Trained:
    """A finished run beside its dataset."""

    dataset: Dataset
    run: Path


@pytest.fixture(scope="package")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The drawn dataset; never written to."""
    return make_dataset(tmp_path_factory.mktemp("drawn") / "people")


@pytest.fixture(scope="package")
def finished(drawn: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A U-Net of two epochs without folds; never written to."""
    return fit(drawn, tmp_path_factory.mktemp("finished") / "run", quick(model="unet", epochs=2))


@pytest.fixture(scope="package")
def folded(drawn: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one epoch with two folds; never written to."""
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
