"""Work in forked processes: the results in their order, errors as they were raised."""

from __future__ import annotations

import os
import platform
import resource
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from curate.engine import map_rows, map_table
from curate.engine.processes import WORTH_FORKING
from curate.errors import CurateError, FormatError, MismatchError, MissingError
from curate.threads import unwatched

ERRORS = [
    FormatError(Path("a.json"), "is cut off", "byte 7"),
    MismatchError("a.png", "40x60 (HxW)", "60x40", "Turn it"),
    MissingError("a.jpg: is not there"),
]


@pytest.mark.parametrize("total", [0, 1, WORTH_FORKING - 1, WORTH_FORKING, 3 * WORTH_FORKING + 1])
def test_results_come_in_the_order_of_the_items(total: int) -> None:
    told: list[int] = []
    found = map_rows(lambda part: [item**2 for item in part], range(total), told.append)
    assert found == [item**2 for item in range(total)]
    assert sum(told) == total


def test_rows_of_a_table_in_pieces_become_a_table() -> None:
    piece = pl.DataFrame({"name": [f"{number}" for number in range(WORTH_FORKING)], "number": range(WORTH_FORKING)})
    table = pl.concat([piece] * 3, rechunk=False)
    columns = pl.Schema({"name": pl.String, "square": pl.Int64})
    found = map_table(
        lambda part: [{"name": row["name"], "square": row["number"] ** 2} for row in part],
        table,
        columns,
        unwatched("", 0),
    )
    assert found.equals(table.select("name", square=pl.col("number") ** 2))
    assert map_table(lambda part: [], table.clear(), columns, unwatched("", 0)).schema == columns


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("at", [0, WORTH_FORKING - 1], ids=["in this process", "in a forked one"])
def test_an_error_arrives_as_it_was_raised(error: CurateError, at: int) -> None:
    def work(part: Sequence[int]) -> list[int]:
        if at in part:
            raise error
        return [os.getpid() for _ in part]

    with pytest.raises(type(error)) as caught:
        map_rows(work, range(WORTH_FORKING), unwatched("", 0))
    assert str(caught.value) == str(error)
    assert vars(caught.value) == vars(error)


def fresh_pages(rounds: int) -> int:
    """How many pages the system hands out while arrays of a photograph's size come and go, some at a time."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        [np.ones(PHOTO_BYTES, np.uint8) for _ in range(AT_A_TIME)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


PHOTO_BYTES, AT_A_TIME = 8 << 20, 6


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to keep freed memory")
def test_freed_arrays_are_used_again() -> None:
    once = AT_A_TIME * PHOTO_BYTES // resource.getpagesize()
    found = map_rows(lambda part: [fresh_pages(20) for _ in part], range(2), unwatched("", 0), part=1)
    assert max(found) < 3 * once, "in 20 rounds hardly one needs fresh pages"
