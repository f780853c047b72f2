"""The examples in the docstrings are true."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import curate
import label
import review
import train

MODULES = [
    module.name
    for package in (curate, label, train, review)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if module.name != "review.app"  # it would start FiftyOne's database, and holds no example
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
