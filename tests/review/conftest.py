"""The browser that the App and the reports are looked at with."""

from __future__ import annotations

import shutil

import pytest

from curate.commands.doctor import CHROMIUM_NAMES

CHROMIUM_ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's program."""
    found = next((path for name in CHROMIUM_NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no chromium here (apt-get install chromium)")
    return found
