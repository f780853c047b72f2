"""The examples in the docstrings are true."""

from __future__ import annotations

import doctest
import importlib

import pytest

from tests.conftest import REPOSITORY

MODULES = sorted(
    ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
    for room in ("curate", "label", "train", "review")
    for path in (REPOSITORY / room).rglob("*.py")
    if path.name != "__init__.py" and not path.is_relative_to(REPOSITORY / "review/app")  # it would start FiftyOne
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
