"""Machines of the tests: each has a cache of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from curate.storage.urls import copy_path, parse_url


def move_to(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Be the machine with this cache from now on."""
    monkeypatch.setenv("CURATE_CACHE", str(cache))
    return cache


def copy_of(url: str) -> Path:
    """The working copy of a URL on the machine that we are."""
    return copy_path(parse_url(url))
