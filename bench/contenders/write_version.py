"""Write the tables and the header of a dataset version of any length, without any image."""

import argparse
import json
from pathlib import Path

import numpy as np
import polars as pl

from bench.contenders.sentence import MAX_AREA, MAX_PEOPLE, MIN_AREA
from curate import schema
from curate.dataset import FunnelStep, Source
from curate.finish import finish_dataset

DROPS_PER_SAMPLE = 0.2


def sample_rows(rng: np.random.Generator, rows: int) -> pl.DataFrame:
    """That many rows of `samples.parquet`; columns the program adds later stay null."""
    names = [f"coco-{number:012d}" for number in rng.permutation(5 * rows)[:rows]]
    hashes = [rng.bytes(32).hex() for _ in range(2 * rows)]
    splits = rng.choice(["train", "val", "test"], rows, p=[0.7, 0.2, 0.1])
    known = {
        "sample_id": names,
        "image": [f"images/{name}.jpg" for name in names],
        "mask": [f"masks/{name}.png" for name in names],
        "width": np.full(rows, 640),
        "height": rng.choice([480, 427, 426], rows),
        "people": rng.geometric(0.4, rows),
        "area": rng.beta(1, 4, rows),
        "split": splits,
        "fold": np.where(splits == "train", rng.integers(0, 5, rows), -1),
        "group": [digest[:16] for digest in hashes[:rows]],
        "source": ["coco"] * rows,
        "origin": ["polygon"] * rows,
        "edges": rng.choice(["", "B", "LB", "RB"], rows),
        "touching": [["chair", "tie"][:count] for count in rng.integers(0, 3, rows).tolist()],
        "image_sha256": hashes[:rows],
        "mask_sha256": hashes[rows:],
        "weight": np.ones(rows),
        "tags": [[]] * rows,
    }
    unset = {name: pl.Series([None] * rows, dtype=kind) for name, kind in schema.SAMPLES.items() if name not in known}
    return pl.DataFrame({**known, **unset}).select(schema.SAMPLES.names()).cast(schema.SAMPLES)


def drop_rows(rng: np.random.Generator, rows: int) -> pl.DataFrame:
    """That many rows of `drops.parquet`."""
    table = {
        "sample_id": [f"coco-drop-{number:012d}" for number in range(rows)],
        "source": ["coco"] * rows,
        "rule": ["area"] * rows,
        "value": rng.random(rows) * MIN_AREA,
        "limit": [MIN_AREA] * rows,
        "detail": [f"people cover {100 * value:.1f} %, less than 20 %" for value in rng.random(rows) * MIN_AREA],
    }
    return pl.DataFrame(table).select(schema.DROPS.names()).cast(schema.DROPS)


def expected(samples: pl.DataFrame) -> int:
    """How many training samples the sentence keeps, counted one by one."""
    rows = samples.select("area", "people", "split").iter_rows()
    return sum(
        MIN_AREA <= area <= MAX_AREA and people <= MAX_PEOPLE and split == "train" for area, people, split in rows
    )


def main() -> None:
    """Write the dataset the command line names; print what filtering it must give."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng = np.random.default_rng([given.seed, 6])
    samples, drops = sample_rows(rng, given.rows), drop_rows(rng, int(DROPS_PER_SAMPLE * given.rows))
    given.folder.mkdir(parents=True)
    finish_dataset(
        given.folder,
        name="bench",
        version=1,
        parent=None,
        recipe={},
        sources=[Source("coco", "coco", None, {})],
        funnel=[FunnelStep("kept", "kept", samples.height)],
        samples=samples,
        drops=drops,
    )
    print(json.dumps({"kept": expected(samples)}))


if __name__ == "__main__":
    main()
