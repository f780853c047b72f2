"""The photographs that a dataset's rules dropped, where its sources still lie where they lay at the build."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import polars as pl

from curate import schema
from curate.dataset import Dataset, open_dataset
from curate.errors import CurateError, MissingError
from curate.examples import gather_places
from curate.picks import shuffled
from curate.recipe import make_recipe
from curate.sources import Read
from curate.sources.reading import read_sources
from curate.sources.version import read_versions

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
    reads = read_again(dataset)
    placed = dataset.drops.join(gather_places(reads), on="sample_id")
    some = pl.concat([shuffled(part).head(MOST) for part in placed.partition_by("rule")]) if placed.height else placed
    rows = [
        {name: row[name] for name in schema.DROPS} | {"path": place}
        for row in some.iter_rows(named=True)
        if (place := place_of(reads, row))
    ]
    return pl.DataFrame(rows, schema=DROPPED).sort("rule", "sample_id")


def read_again(dataset: Dataset) -> Sequence[Read]:
    """The sources of a built dataset.

    Raises:
        MissingError: The version was made by another command than `build`.
        CurateError: A source is not where it was.
    """
    options = dataset.header.recipe
    if "command" in options:
        raise MissingError(f"{dataset.root}: was made by `curate {options['command']}`, which drops nothing by itself")
    recipe = make_recipe(options)
    if recipe.from_:
        return read_versions(open_dataset(Path(recipe.from_)), recipe.merge)
    return read_sources(recipe, download=False)


def place_of(reads: Sequence[Read], row: dict[str, int]) -> str | None:
    """The file of a dropped photograph; None where it is not there."""
    with suppress(CurateError):
        return str(reads[row["read"]].labels.image(row["row"]).resolve())
    return None
