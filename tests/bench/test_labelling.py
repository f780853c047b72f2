"""What the benchmark of labelling hides and chooses."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from bench.labelling import labelled, offered
from tests.train.making import make_dataset, quick
from train.fit import fit


def test_what_is_not_labelled_is_the_pool_and_the_tool_chooses_from_it(tmp_path: Path) -> None:
    whole = make_dataset(
        tmp_path / "set", ("train",) * 16 + ("val",) * 3 + ("test",) * 3 + ("pool",) * 2 + ("background",) * 2
    )
    names = [row["sample_id"] for row in whole.rows("train")][:6]
    dataset = labelled(whole, names, tmp_path / "some")
    counts = dict(dataset.samples.group_by("split").len().iter_rows())
    assert counts == {"train": 6, "pool": 10, "val": 3, "test": 3}, "its own pool has no labels to reveal"
    assert [row["sample_id"] for row in dataset.rows("train")] == names
    run = fit(dataset, tmp_path / "run", quick(epochs=1, folds=2))
    found = offered(dataset, run, 4)
    assert len(set(found)) == 4
    assert set(found) <= set(dataset.samples.filter(pl.col("split") == "pool")["sample_id"])
