"""Fixtures shared by all rooms."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.database import database

__all__ = ["database", "real_data", "sample"]

REPOSITORY = Path(__file__).resolve().parent.parent


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
