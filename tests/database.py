"""A MongoDB of the tests' own, so that no test ever touches a reviewer's FiftyOne."""

from __future__ import annotations

import sys

import pytest

from bench.database import start_database
from curate.errors import MachineError


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a fresh MongoDB, set for FiftyOne in this process and its children."""
    if "fiftyone" in sys.modules:
        pytest.fail("FiftyOne was imported before its database was set apart")
    try:
        return start_database(tmp_path_factory.mktemp("mongo"))
    except MachineError as error:
        pytest.skip(str(error))
