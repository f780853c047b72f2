"""A small dataset with a pool and a finished run on it, for all tests of the loop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from curate.dataset import Dataset
from tests.review.loop.making import FIT, SPLITS
from tests.train.making import curves_drawn_once, make_dataset
from train.config import FitConfig
from train.fit import fit


@pytest.fixture(scope="session", autouse=True)
def _curves_drawn_once() -> Iterator[None]:
    with curves_drawn_once():
        yield


@pytest.fixture(scope="package")
def pooled(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Twelve training images, four of validation, three of test, five without a label."""
    return make_dataset(tmp_path_factory.mktemp("pooled") / "people", SPLITS + ("pool",) * 5)


@pytest.fixture(scope="package")
def run(pooled: Dataset) -> Path:
    """A finished run with two fold models."""
    return fit(pooled, pooled.root.parent / "first", FitConfig(dataset="", digest="", **FIT))
