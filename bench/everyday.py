"""Our training beside a plain loop, on the same photographs for the same time: `python -m bench.everyday --data DIR`.

Every fifth image of `humanseg` and `ccp` is held out, and so are the images of coco-mini's val2017; both learn from the
rest, people in twos at most, from random weights: the plain loop for its 40 epochs, then ours for as many whole epochs
as fit into the time it took. Scores are those of `curate train score`, by source.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from bench.measure import ROOT, contender, curate, run_fresh
from curate import schema
from curate.build import build_dataset
from curate.dataset import Dataset, open_dataset
from curate.recipe import make_recipe
from curate.revise import revise
from train.intervals import figure_intervals
from train.log import read_log
from train.metrics import summarise

OURS = ("--encoder", "mobilenet_v2", "--weights", "none", "--size", "160")
"""The plain loop's model; all else is default."""
EVERY = 5


def everyday_set(data: Path, work: Path) -> Dataset:
    """The dataset; who shares a group with an image that is held out is held out too."""
    if not (work / "set/dataset.json").is_file():
        coco = [f"{name}={data}/coco-mini/annotations/instances_{name}2017.json" for name in ("train", "val")]
        pairs = [
            [f"humanseg={data}/humanseg/images", f"{data}/humanseg/masks"],
            [f"ccp={data}/ccp/photos", f"{data}/ccp/pixel-level"],
        ]
        images = [f"{data}/coco-mini/{name}2017" for name in ("train", "val")]
        options = {"name": "everyday", "coco": coco, "images": images, "pairs": pairs, "max_people": 2}
        build_dataset(make_recipe(options | {"split": "90/10/0"}), work / "built")
        built = open_dataset(work / "built")
        numbered = built.samples.with_columns(number=pl.int_range(pl.len()).over("source"))
        fifth = pl.col("source").is_in(["humanseg", "ccp"]) & (pl.col("number") % EVERY == 0)
        held = numbered.filter(fifth | (pl.col("source") == "val"))["group"]
        out = pl.col("group").is_in(held.implode())
        samples = built.samples.with_columns(split=pl.when(out).then(pl.lit("test")).otherwise("split"))
        nothing = schema.EDITS.to_frame()
        revise(built, work / "set", samples=samples, masks={}, recipe=options, sources=[], edits=nothing)
    return open_dataset(work / "set")


def table(dataset: Dataset, runs: dict[str, Path], seconds: dict[str, float]) -> Iterator[str]:
    """The lines of the table: image-mean IoU of the test split by source, with 95 % intervals over groups."""
    yield "| test images | " + " | ".join(f"{name}, {seconds[name] / 60:.1f} min" for name in runs) + " |"
    yield "| --- |" + " ---: |" * len(runs)
    columns = dataset.samples.select("sample_id", "source", "group")
    scored = [
        pl.read_parquet(run / "scores.parquet").filter(pl.col("split") == "test").join(columns, on="sample_id")
        for run in runs.values()
    ]
    for source in (*sorted(scored[0]["source"].unique()), "all"):
        parts = [one.filter((pl.col("source") == source) | (source == "all")) for one in scored]
        yield f"| {source}, {parts[0].height} | " + " | ".join(map(told, parts)) + " |"


def told(scores: pl.DataFrame) -> str:
    """The image mean IoU and its interval."""
    interval = figure_intervals(scores, scores["group"].to_list())["mean_iou"]
    return f"{summarise(scores).mean_iou:.3f}" + (f" [{interval.low:.3f}, {interval.high:.3f}]" if interval else "")


def seconds_of(command: Sequence[str | Path]) -> float:
    """How long a command takes; what it says goes to stderr."""
    begun = time.perf_counter()
    subprocess.run(command, cwd=ROOT, stdout=sys.stderr, check=True)
    return time.perf_counter() - begun


def main() -> None:
    """Train both, score both, print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.everyday", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="Folder with humanseg, ccp, coco-mini.")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="Folder for the runs.")
    parser.add_argument(
        "--epochs", type=int, default=40, metavar="N", help="Of the plain loop.  [default: %(default)s]"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="Of both.  [default: %(default)s]")
    parser.add_argument("options", nargs="*", help="Further options of `curate train fit`, after --.")
    given = parser.parse_args()
    dataset = everyday_set(given.data, given.work)
    plain, ours = given.work / "plain", given.work / "ours"
    printed = run_fresh(contender("plain_loop", dataset.root, plain, given.epochs, given.seed)).printed
    seconds = {"plain loop": float(printed["wall_s"])}
    print(f"plain loop: {seconds['plain loop']:.0f} s", file=sys.stderr)
    fit = ["train", "fit", dataset.root, *OURS, "--seed", str(given.seed), *given.options]
    seconds_of(curate(*fit, "--epochs", "1", "--out", given.work / "trial"))
    epochs = max(1, int(seconds["plain loop"] / read_log(given.work / "trial")[0].seconds))
    seconds["curate"] = seconds_of(curate(*fit, "--epochs", str(epochs), "--out", ours))
    for run in (plain, ours):
        seconds_of(curate("train", "score", run, "--split", "test"))
    print("\n".join(table(dataset, {"plain loop": plain, "curate": ours}, seconds)))


if __name__ == "__main__":
    main()
