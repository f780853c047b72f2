"""Where work on many rows is done: on this machine's cores, or with Ray on those of many machines.

One seam for both: whoever works through rows calls `map_rows` (or `map_table`) with a pure function, and gets the same
results in the same order from either engine.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import polars as pl

from curate.engine.processes import PART, process_parts
from curate.errors import UsageError
from curate.rows import Row, Rows
from curate.threads import Tick

Item = TypeVar("Item")
Result = TypeVar("Result")

ENGINES = ("local", "ray")
ENGINE, ADDRESS = "CURATE_ENGINE", "CURATE_RAY_ADDRESS"
"""Variables of the environment; the options set them, so that processes that are started work alike."""


def engine() -> str:
    """The engine that is asked for.

    Raises:
        UsageError: There is none of that name.
    """
    name = os.environ.get(ENGINE) or ENGINES[0]
    if name not in ENGINES:
        raise UsageError(f"{ENGINE}={name}: expected {' or '.join(ENGINES)}")
    return name


def map_rows(
    function: Callable[[Sequence[Item]], list[Result]], items: Sequence[Item], tick: Tick, part: int = PART
) -> list[Result]:
    """The results in the order of the items; the first error stops the rest.

    Args:
        function: From some items to one picklable result for each. It may write files, each by itself and under a name
            that depends on its item alone: where a machine is lost, its parts are done again.
        items: What it is called with, `part` of them at a time.
        tick: Told how many more items are done.
        part: Number of items of a part.

    Raises:
        MachineError: A process was ended from outside, or the cluster cannot be reached.
    """
    return [result for results in _parts(function, items, tick, part) for result in results]


def map_table(
    function: Callable[[Sequence[Row]], list[dict[str, Any]]],
    table: pl.DataFrame,
    columns: pl.Schema,
    tick: Tick,
    part: int = PART,
) -> pl.DataFrame:
    """As `map_rows`, from the rows of a table to a table. Only the parts at hand are ever there as dicts.

    Args:
        function: From some rows to a row of `columns` for each.
        table: The rows it is called with.
        columns: Of the results.
        tick: Told how many more rows are done.
        part: Number of rows of a part.
    """
    found = _parts(function, Rows(table), tick, part)
    tables = (pl.DataFrame(rows, columns, orient="row") for rows in found)
    return pl.concat([columns.to_frame(), *tables], rechunk=True)


def _parts(
    function: Callable[[Sequence[Item]], list[Result]], items: Sequence[Item], tick: Tick, part: int
) -> Iterator[list[Result]]:
    """The results of each part, in the order of the items."""
    if engine() == "ray":
        from curate.engine.cluster import ray_parts

        return ray_parts(function, items, tick, part)
    return process_parts(function, items, tick, part)


def map_parts(
    function: Callable[[Sequence[Item], Tick], list[Result]],
    items: Sequence[Item],
    tick: Tick,
    part: int = PART,
    *,
    gpus: bool = False,
) -> list[Result]:
    """As `map_rows`, for work that spreads itself over cores, or over a GPU: here it gets all items at once.

    Args:
        function: From items and a Tick for them to one picklable result for each.
        items: What it is called with.
        tick: Told how many more items are done.
        part: Number of items of a part, where a cluster does it.
        gpus: Whether it uses a GPU where there is one.
    """
    if engine() == "ray":
        from curate.engine.cluster import ray_parts

        found = ray_parts(lambda some: function(some, lambda steps: None), items, tick, part, spreads=True, gpus=gpus)
        return [result for results in found for result in results]
    return function(items, tick)
