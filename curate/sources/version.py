"""A dataset version as a source: its rows are the candidates, its masks the labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from curate.classes import class_path, is_class_tags
from curate.dataset import Dataset, Source, open_dataset
from curate.guesses import returned
from curate.rows import Rows
from curate.sources import CANDIDATES, Label, Limits, Measure, Note, Read
from curate.storage.copies import located


def read_versions(parent: Dataset, merged: str | None, *, resplit: bool = False) -> list[Read]:
    """The samples of a dataset, and of a second one that is joined to it, as candidates.

    An image that stands in both counts once, with the first one's name and label; the same means the same bytes. Where
    one name stands for two different photographs, the second dataset's gets six digits of its hash behind it.

    Args:
        parent: The dataset.
        merged: The folder of the second one, or None.
        resplit: Whether splits are made anew: then a model's guesses go back to the pool, so that none is held out.
    """
    reads = [read_version(parent, returned(parent.samples) if resplit else parent.samples)]
    if merged is None:
        return reads
    other = open_dataset(located(merged))
    others = returned(other.samples) if resplit else other.samples
    same = pl.col("image_sha256").is_in(parent.samples["image_sha256"].implode())
    clash = pl.col("sample_id").is_in(parent.samples["sample_id"].implode())
    renamed = pl.concat_str("sample_id", pl.lit("-"), pl.col("image_sha256").str.head(6))
    left = others.filter(~same).with_columns(sample_id=pl.when(clash).then(renamed).otherwise("sample_id"))
    notes = [
        Note("images stand in both datasets; the first one's label is kept", name)
        for name in other.samples.filter(same)["sample_id"]
    ]
    if set(parent.class_names) - set(other.class_names):
        told = "class masks are left out: the second dataset draws fewer classes than the first"
        tagged = left.filter(pl.col("tags").list.eval(is_class_tags()).list.any())
        notes += [Note(told, name) for name in tagged["sample_id"]]
        left = left.with_columns(pl.col("tags").list.eval(pl.element().filter(~is_class_tags())))
    return [*reads, read_version(other, left, notes)]


def read_version(dataset: Dataset, samples: pl.DataFrame, notes: Sequence[Note] = ()) -> Read:
    """Some of a dataset's samples as candidates."""
    candidates = samples.select(
        "sample_id",
        "source",
        pl.int_range(pl.len()).cast(pl.Int64).alias("row"),
        pl.lit("").alias("folder"),
        "width",
        "height",
        pl.col("people").cast(pl.Int64),
        "licence",
        pl.lit(None, pl.String).alias("unreadable"),
    )
    source = Source("dataset", dataset.header.name, None, {"dataset.json": dataset.header.digest})
    return Read(source, candidates.cast(CANDIDATES), VersionLabels(dataset, Rows(samples)), list(notes), samples)


class VersionLabels:
    """The labels of a dataset version: people and area as its table states them, targets from its masks."""

    def __init__(self, dataset: Dataset, rows: Rows) -> None:
        self._dataset, self._rows = dataset, rows

    def image(self, row: int) -> Path:
        """The photograph's file."""
        return self._dataset.root / str(self._rows[row]["image"])

    def measure_many(self, rows: Sequence[int], limits: Limits) -> list[Measure | None]:
        """What many labels show, each measured by itself."""
        return [self.measure(row, limits) for row in rows]

    def measure(self, row: int, limits: Limits) -> Measure:
        """What the table states; a crowd stands in the tags."""
        stated = self._rows[row]
        return Measure(stated["people"], "crowd" in stated["tags"], stated["area"])

    def draw(self, row: int) -> Label:
        """The target as it is."""
        stated = self._rows[row]
        target, png = self._dataset.target(stated), (self._dataset.root / stated["mask"]).read_bytes()
        head, edges = stated["head_visible"], stated["edges"]
        found = class_path(stated)
        if found is not None:
            self._dataset.classes(stated)  # raises where it is damaged
        classes = (self._dataset.root / found).read_bytes() if found is not None else None
        return Label(target, stated["origin"], tuple(stated["touching"]), head, png=png, edges=edges, classes=classes)
