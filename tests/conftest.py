"""Fixtures shared by all rooms."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.database import database

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(threads, "1")  # before torch is imported: pytest has a process for each core already

__all__ = ["database", "real_data", "sample"]

REPOSITORY = Path(__file__).resolve().parent.parent

LONGEST = (
    "test_examples.py",
    "test_given.py",
    "test_enduring.py",  # of two processes the first has this too, and starts what both fork from once
    "test_run.py",
    "test_distributed.py",
    "test_resume.py",
    "test_ray.py",
    "test_soak.py",
    "test_sweep.py",
    "test_score.py",
    "test_fit.py",
    "test_browser.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest modules first: of several processes none is to begin them when the others are done."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real photographs, or a skip that says how to get at it."""
    folder = Path(os.environ.get("CURATE_REAL_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real photographs at {folder}; set CURATE_REAL_DATA to a folder that has them")
    return folder


@pytest.fixture(scope="session")
def sample() -> Path:
    """The embedded sample's folder."""
    return REPOSITORY / "datasets" / "sample"


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What training keeps for later runs lies in a folder of the tests, also for the programs they start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CURATE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def pytest_runtest_setup(item: pytest.Item) -> None:
    """What only a GPU can show is skipped elsewhere, with the reason."""
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a GPU, and there is none here; where there is one, `make gpu` runs this")
