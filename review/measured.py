"""What is measured of a dataset version once, and kept in the user's cache for the next time."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import polars as pl

from curate.dataset import Dataset, read_table, write_table
from curate.errors import CurateError
from curate.files import cache_folder


def kept(dataset: Dataset, name: str, columns: pl.Schema, measure: Callable[[], pl.DataFrame]) -> pl.DataFrame:
    """A table of a dataset version; measured where it was not, or what is kept cannot be read.

    Where the cache cannot be written, it is measured each time.

    Args:
        dataset: The version; its digest covers all that is measured.
        name: What is measured, with a number that changes with the way it is.
        columns: Of the table.
        measure: Gives the table.
    """
    path = cache_folder() / f"{name}-{dataset.header.digest[:24]}.parquet"
    with suppress(CurateError, OSError):
        return read_table(path, columns)
    table = measure()
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(path, table)
    return table
