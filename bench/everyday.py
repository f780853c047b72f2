"""Our training beside a plain loop, on the same photographs for the same time: `python -m bench.everyday --data DIR`.

Every fifth image of `humanseg` and `ccp` is held out, and so are the images of coco-mini's val2017; both learn from the
rest, people in twos at most, from random weights: the plain loop for its 40 epochs, then ours for as many whole epochs
as fit into the time that took, by the pace of a short trial. Scores are those of `curate train score`, by source. What
is in `--work` already is not done again, so seeds can be added one by one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from bench.earning import scores_of
from bench.measure import ROOT, BenchError, Command, contender, curate
from curate import schema
from curate.choosing.build import build_dataset
from curate.choosing.recipe import make_recipe
from curate.dataset import Dataset, open_dataset
from curate.revise import revise
from review.compare import gain_words
from review.paired import differences
from train.monitoring.log import read_log
from train.scoring.figures import groups_of, number

OURS = ("--encoder", "mobilenet_v2", "--weights", "none", "--size", "160")
"""The plain loop's model; all else is default."""
EVERY = 5

TRIAL_EPOCHS, SPARE = 3, 0.05
"""Ours is timed for so many epochs, and this share of the time is left: a longer run's range test takes more steps."""


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


def timed(command: Command, folder: Path) -> float:
    """The seconds that a command takes to make a folder, or took when it did; what it says goes to stderr.

    Raises:
        BenchError: The folder was made by another command, such as one of other epochs.
    """
    kept, words = folder.with_suffix(".json"), list(map(str, command))
    if not kept.is_file():
        begun = time.perf_counter()
        subprocess.run(command, cwd=ROOT, stdout=sys.stderr, check=True)
        kept.write_text(json.dumps({"command": words, "seconds": time.perf_counter() - begun}))
    made = json.loads(kept.read_text())
    if made["command"] != words:
        raise BenchError(f"{folder}: was made by {' '.join(made['command'])}. Pass another --work")
    return float(made["seconds"])


def epochs_within(seconds: float, trial: Path, trial_seconds: float) -> int:
    """How many epochs a whole command has time for: what is not epochs is taken from the trial, as is their pace."""
    epochs = [line.seconds for line in read_log(trial)]
    pace = sum(epochs[1:]) / len(epochs[1:])  # the first one starts the machinery
    return max(1, int((seconds * (1 - SPARE) - (trial_seconds - sum(epochs))) / pace))


def paired_table(
    dataset: Dataset, first: Sequence[Path], second: Sequence[Path], names: tuple[str, str]
) -> Iterator[str]:
    """The figures of the test split by source, means over each side's runs, and their paired differences.

    The chance of a training is in the intervals.
    """
    both = [scores_of(runs, "test") for runs in (first, second)]
    groups, test = groups_of(dataset), dataset.samples.filter(split="test")
    yield f"| test images | figure | {' | '.join(names)} | difference, paired [95 %] |"
    yield "| --- | --- | ---: | ---: | ---: |"
    for source in (*sorted(test["source"].unique()), "all"):
        part = test.filter((pl.col("source") == source) | (source == "all"))
        theirs, own = ([run.join(part, on="sample_id", how="semi") for run in runs] for runs in both)
        for one in differences(theirs, own, groups):
            means = f"{number(one.first)} | {number(one.second)} | {gain_words(one)}"
            yield f"| {source}, {part.height} | {one.name} | {means} |"


def main() -> None:
    """Train both with each seed, score them, print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.everyday", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="Folder with humanseg, ccp, coco-mini.")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="Folder for the runs.")
    parser.add_argument(
        "--epochs", type=int, default=40, metavar="N", help="Of the plain loop.  [default: %(default)s]"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], metavar="N", help="Of both.  [default: 0]")
    parser.add_argument("options", nargs="*", help="Further options of `curate train fit`, after --.")
    given = parser.parse_args()
    dataset = everyday_set(given.data, given.work)
    fit = ["train", "fit", dataset.root, *OURS, *given.options]
    plain, ours = ([given.work / f"{name}-{seed}" for seed in given.seeds] for name in ("plain", "curate"))
    for seed, other, own in zip(given.seeds, plain, ours, strict=True):
        plain_s = timed(contender("plain_loop", dataset.root, other, given.epochs, seed), other)
        trial = given.work / "trial"
        trial_s = timed(curate(*fit, "--epochs", str(TRIAL_EPOCHS), "--out", trial), trial)
        epochs = epochs_within(plain_s, trial, trial_s)
        ours_s = timed(curate(*fit, "--seed", str(seed), "--epochs", str(epochs), "--out", own), own)
        for run in (other, own):
            subprocess.run(curate("train", "score", run, "--split", "test"), cwd=ROOT, stdout=sys.stderr, check=True)
        print(
            f"seed {seed}: plain loop {plain_s / 60:.1f} min, curate {ours_s / 60:.1f} min, {epochs} epochs", flush=True
        )
    print("\n".join(paired_table(dataset, plain, ours, ("plain loop", "curate"))))


if __name__ == "__main__":
    main()
