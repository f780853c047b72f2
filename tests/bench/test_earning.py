"""What the benchmark of recipes holds a recipe against."""

from __future__ import annotations

import polars as pl

from bench.earning import RECIPES, SHUFFLED, shuffled
from curate import schema


def test_shuffling_moves_what_is_done_to_images_that_stay() -> None:
    rows: list[dict[str, object]] = [
        {"sample_id": f"s-{number:02}", "weight": 0.0 if number < 3 else 1.0, "recipe": recipe, "reason": recipe}
        for number, recipe in enumerate(["standard"] * 10 + ["copy-paste"] * 10)
    ]
    empty = {"sample_id": "s-99", "weight": 1.0, "recipe": "standard", "reason": "standard"}
    mined = schema.table([*rows, empty], schema.MINED)
    found = shuffled(mined, [str(row["sample_id"]) for row in rows])
    assert found.schema == schema.MINED
    assert found["sample_id"].equals(mined["sample_id"])
    assert found.filter(pl.col("weight") == 0).equals(mined.filter(pl.col("weight") == 0))
    assert found["recipe"].value_counts(sort=True).equals(mined["recipe"].value_counts(sort=True))
    assert found.row(-1, named=True) == empty, "nobody can be cut out of an empty scene"
    assert not found["recipe"].equals(mined["recipe"])
    assert (found["recipe"] == found["reason"]).all()
    assert all(RECIPES[name] == RECIPES[other] for name, other in SHUFFLED.items())
