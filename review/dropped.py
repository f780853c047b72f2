"""The photographs that a dataset's rules dropped, where its sources still lie where they lay at the build."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import polars as pl

from curate import schema
from curate.dataset import Dataset
from curate.errors import CurateError
from curate.looking.examples import gather_places
from curate.looking.picks import shuffled
from curate.sources import Read
from curate.sources.again import read_again

MOST = 200
"""Of each rule so many are shown, chosen as if by chance; all of them stand in `drops.parquet`."""

DROPPED = pl.Schema([*schema.DROPS.items(), ("path", pl.String)])
"""schema.DROPS, and the photograph's file."""


def dropped_photographs(dataset: Dataset) -> pl.DataFrame:
    """DROPPED, at most MOST of each rule; those whose photograph cannot be found are left out.

    Raises:
        CurateError: The sources cannot be read any more, or the version was not built from any.
    """
    if not dataset.drops.height:
        return DROPPED.to_frame()
    reads = read_again(dataset.header.recipe)
    placed = dataset.drops.join(gather_places(reads), on="sample_id")
    some = pl.concat([shuffled(part).head(MOST) for part in placed.partition_by("rule")]) if placed.height else placed
    rows = [
        {name: row[name] for name in schema.DROPS} | {"path": place}
        for row in some.iter_rows(named=True)
        if (place := place_of(reads, row))
    ]
    return pl.DataFrame(rows, schema=DROPPED).sort("rule", "sample_id")


def place_of(reads: Sequence[Read], row: dict[str, int]) -> str | None:
    """The file of a dropped photograph; None where it is not there."""
    with suppress(CurateError):
        return str(reads[row["read"]].labels.image(row["row"]).resolve())
    return None
