"""What a round of the loop mines from a run: a weight, an augmentation and a reason for each training image."""

import sys
from pathlib import Path

from curate import schema
from curate.dataset import read_table, write_table
from review.loop.mine import Mining, mine
from review.runs import open_run
from review.slices import conditions_of, slices_of


def main(root: Path) -> None:
    """Write `mined.parquet` into a run whose failures are known."""
    run = open_run(root)
    failures, suspects = (
        read_table(root / f"{name}.parquet", columns)
        for name, columns in (("failures", schema.FAILURES), ("suspects", schema.SUSPECTS))
    )
    samples, scores = run.dataset.samples, run.scores.filter(split="train")
    slices = slices_of(samples, conditions_of(run.dataset))
    write_table(root / "mined.parquet", mine(samples, scores, failures, suspects, slices, {}, (), Mining(), "standard"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
