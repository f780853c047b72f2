"""What the benchmark beside a plain loop says of several trainings."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from bench.everyday import paired_table
from curate import schema
from curate.dataset import Dataset, write_table
from review.compare import gain_words
from review.paired import differences
from tests.train.making import make_dataset
from train.scoring.figures import groups_of


@pytest.fixture
def people(tmp_path: Path) -> Dataset:
    return make_dataset(tmp_path / "people", ("train",) * 2 + ("test",) * 6)


def scored(dataset: Dataset, run: Path, iou: float) -> Path:
    """A run with one IoU for all test images, and another for those of the training split."""
    rows: list[dict[str, object]] = [
        {"sample_id": row["sample_id"], "split": row["split"], "iou": iou if row["split"] == "test" else 0.0}
        | {"boundary_iou": iou}
        for row in dataset.rows()
    ]
    run.mkdir()
    table = pl.DataFrame(rows, schema_overrides={name: schema.SCORES[name] for name in rows[0]})
    none = {name: 0 if name in schema.COUNTS else None for name in schema.SCORES}
    lacking = [pl.lit(none[name], kind).alias(name) for name, kind in schema.SCORES.items() if name not in rows[0]]
    write_table(run / "scores.parquet", table.with_columns(lacking).select(list(schema.SCORES)))
    return run


def test_the_chance_of_a_training_is_in_the_interval(people: Dataset, tmp_path: Path) -> None:
    plain = [scored(people, tmp_path / f"plain-{iou}", iou) for iou in (0.4, 0.6)]
    ours = [scored(people, tmp_path / f"ours-{iou}", iou) for iou in (0.5, 0.7)]
    lines = list(paired_table(people, plain, ours, ("plain loop", "curate")))
    both = ([pl.read_parquet(run / "scores.parquet").filter(split="test") for run in runs] for runs in (plain, ours))
    mean = next(one for one in differences(*both, groups_of(people)) if one.name == "image mean IoU")
    assert (mean.low or 0) < 0 < (mean.high or 0), "two trainings that scatter so tell nothing"
    assert f"| all, 6 | image mean IoU | 0.500 | 0.600 | {gain_words(mean)} |" in lines
