"""A dataset version as a source: its rows are the candidates, its masks the labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from curate.dataset import Dataset, Source
from curate.sources import CANDIDATES, Label, Measure, Read


def read_version(dataset: Dataset) -> Read:
    """A dataset's samples as candidates."""
    samples = dataset.samples
    candidates = samples.select(
        "sample_id",
        "source",
        pl.int_range(pl.len()).cast(pl.Int64).alias("row"),
        "width",
        "height",
        pl.col("people").cast(pl.Int64),
        "licence",
        pl.lit(None, pl.String).alias("unreadable"),
    )
    source = Source("dataset", dataset.header.name, None, {"dataset.json": dataset.header.digest})
    return Read(source, candidates.cast(CANDIDATES), VersionLabels(dataset, dataset.rows()), carried=samples)


class VersionLabels:
    """The labels of a dataset version: people and area as its table states them, targets from its masks."""

    def __init__(self, dataset: Dataset, rows: Sequence[dict[str, Any]]) -> None:
        self._dataset, self._rows = dataset, rows

    def image(self, row: int) -> Path:
        """The photograph's file."""
        return self._dataset.root / str(self._rows[row]["image"])

    def measure(self, row: int, most: int | None) -> Measure:
        """What the table states; a crowd stands in the tags."""
        stated = self._rows[row]
        return Measure(stated["people"], "crowd" in stated["tags"], stated["area"])

    def draw(self, row: int) -> Label:
        """The target as it is."""
        stated = self._rows[row]
        return Label(self._dataset.target(stated), stated["origin"], tuple(stated["touching"]))
