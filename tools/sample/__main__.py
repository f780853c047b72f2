"""Redraws the embedded sample: `python -m tools.sample --out datasets/sample`."""

import argparse
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from tools.sample import SEED
from tools.sample.drawing import Drawn, draw
from tools.sample.plan import Spec, make_plan
from tools.sample.planting import plant
from tools.sample.writing import sample_files, write_files


def draw_all(specs: list[Spec], seed: int, workers: int) -> list[Drawn]:
    """The images with their true labels, in the order of the plan whatever the number of workers."""
    if workers == 1:
        return [draw(spec, seed) for spec in specs]
    with get_context("spawn").Pool(workers) as pool:
        return pool.map(partial(draw, seed=seed), specs, chunksize=4)


def main() -> None:
    """Draws, plants the label errors and writes the folder."""
    parser = argparse.ArgumentParser(prog="python -m tools.sample", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where the sample is written")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes that draw (default 2)")
    parser.add_argument("--seed", type=int, default=SEED, metavar="N", help="another sample than the committed one")
    options = parser.parse_args()
    drawn = draw_all(make_plan(options.seed), options.seed, options.workers)
    wrong, planted = plant(drawn, options.seed)
    size = write_files(options.out, sample_files(drawn, wrong, planted))
    print(f"{len(drawn)} scenes, {len(planted)} planted label errors, {size / 1e6:.2f} MB in {options.out}")


if __name__ == "__main__":
    main()
