"""Work in forked processes: the results in their order, errors as they were raised."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from curate.errors import CurateError, FormatError, MismatchError, MissingError
from curate.processes import WORTH_FORKING, map_processes
from curate.threads import unwatched

ERRORS = [
    FormatError(Path("a.json"), "is cut off", "byte 7"),
    MismatchError("a.png", "40x60 (HxW)", "60x40", "Turn it"),
    MissingError("a.jpg: is not there"),
]


@pytest.mark.parametrize("total", [0, 1, WORTH_FORKING - 1, WORTH_FORKING, 3 * WORTH_FORKING + 1])
def test_results_come_in_the_order_of_the_items(total: int) -> None:
    told: list[int] = []
    found = map_processes(lambda part: [item**2 for item in part], range(total), told.append)
    assert found == [item**2 for item in range(total)]
    assert sum(told) == total


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("at", [0, WORTH_FORKING - 1], ids=["in this process", "in a forked one"])
def test_an_error_arrives_as_it_was_raised(error: CurateError, at: int) -> None:
    def work(part: Sequence[int]) -> list[int]:
        if at in part:
            raise error
        return [os.getpid() for _ in part]

    with pytest.raises(type(error)) as caught:
        map_processes(work, range(WORTH_FORKING), unwatched("", 0))
    assert str(caught.value) == str(error)
    assert vars(caught.value) == vars(error)
