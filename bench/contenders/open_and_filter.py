"""Open a built dataset and choose among its rows."""

import json
import sys
from pathlib import Path

import polars as pl

from bench.contenders.sentence import MAX_AREA, MAX_PEOPLE, MIN_AREA
from curate.dataset import open_dataset


def main(folder: Path) -> None:
    """Print how many training samples the sentence keeps."""
    samples = open_dataset(folder).samples
    chosen = samples.filter(
        pl.col("area").is_between(MIN_AREA, MAX_AREA) & (pl.col("people") <= MAX_PEOPLE) & (pl.col("split") == "train")
    )
    print(json.dumps({"kept": chosen.height}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
