"""What the benchmark of mending mends, leaves out and counts."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bench.mending import ARMS, by_seed, left_out, mended, table
from bench.suspects import spoil
from curate import schema
from curate.dataset import Dataset, open_dataset, write_table
from tests.train.making import make_dataset
from train.scoring.metrics import score_image


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_dataset(tmp_path_factory.mktemp("mending") / "set", ("train",) * 40 + ("test",) * 10)


def test_what_is_in_doubt_is_mended_or_left_out_and_nothing_else(clean: Dataset, tmp_path: Path) -> None:
    spoiled = spoil(clean, tmp_path / "spoiled", 0, {})
    changed = clean.samples.join(spoiled.samples, on=["sample_id", "mask_sha256"], how="anti")["sample_id"].to_list()
    assert len(changed) == 2
    doubted = [changed[0], clean.rows("train")[0]["sample_id"]]
    back = open_dataset(mended(clean, spoiled, doubted, tmp_path / "mended"))
    still = clean.samples.join(back.samples, on=["sample_id", "mask_sha256"], how="anti")["sample_id"].to_list()
    assert still == changed[1:]
    row = next(row for row in back.rows() if row["sample_id"] == changed[0])
    assert (back.target(row) == clean.target(row)).all()
    without = open_dataset(left_out(spoiled, doubted, tmp_path / "left-out"))
    gone = without.samples.filter(pl.col("weight") == 0)["sample_id"].to_list()
    assert gone == sorted(doubted)
    assert without.samples["mask_sha256"].equals(spoiled.samples["mask_sha256"])


def test_the_table_tells_what_came_back(clean: Dataset, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    runs = {}
    for arm, share in zip(ARMS, (1.0, 0.5, 0.9, 0.75), strict=True):
        rows = []
        for row in clean.rows("test"):
            target = clean.target(row)
            seen = (target == 255) & (rng.random(target.shape) < share)
            figures = score_image(target, seen.astype(np.uint8) * 255)
            rows.append({"sample_id": row["sample_id"], "split": "test", "fold": -1, **figures})
        runs[arm] = tmp_path / arm
        runs[arm].mkdir()
        write_table(runs[arm] / "scores.parquet", schema.table(rows, schema.SCORES))
    lines = list(table(clean, [runs]))
    mean = next(line for line in lines if line.startswith("| image mean IoU"))
    cells = [cell.strip() for cell in mean.split("|")[2:-1]]
    assert cells[0] == "1.000"
    cost, by_mending, by_leaving_out = (float(cell.split()[0]) for cell in cells[-3:])
    assert cost == pytest.approx(0.5, abs=0.03)
    assert by_mending == pytest.approx(0.4, abs=0.03)
    assert by_leaving_out == pytest.approx(0.25, abs=0.03)
    [told] = by_seed([runs])
    found = re.fullmatch(r"seed 1 of 1: cost \+0\.\d+, back (\d+)% by mended, (\d+)% by left out", told)
    assert found is not None, told
    assert [int(share) for share in found.groups()] == pytest.approx([80, 50], abs=5)
