"""FiftyOne on a real database, and a dataset with two runs to show in it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from review import cli
from review.runs import open_run
from tests.review.making import make_dataset, make_run, sure_of
from tests.review.test_failures import PERSON, SCENES


@pytest.fixture(scope="module")
def app(database: str) -> ModuleType:
    return cli.load_app()


@pytest.fixture
def emptied(app: ModuleType) -> Iterator[None]:
    """Every test finds a FiftyOne without datasets, whichever tests its worker ran before, and leaves it so."""
    delete_datasets(app)
    yield
    delete_datasets(app)


def delete_datasets(app: ModuleType) -> None:
    """All of them: the database is the tests' own."""
    for name in app.dataset.fo.list_datasets():
        app.dataset.fo.delete_dataset(name)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset, and two runs that are ready to be shown."""
    root = tmp_path_factory.mktemp("made")
    dataset = make_dataset(root / "people", SCENES)
    better = [
        replace(one, prediction=sure_of(PERSON) if one.sample_id == "b-bitten" else one.prediction) for one in SCENES
    ]
    for name, drawn in (("first run", SCENES), ("2nd", better)):
        cli.prepare(open_run(make_run(root / "runs" / name, dataset, drawn)))
    return root


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    """A copy of the made folder that a test may change."""
    return shutil.copytree(made, tmp_path / "place")
