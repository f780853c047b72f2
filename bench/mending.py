"""What planted label faults cost, and what finding them brings back: `python -m bench.mending --data DIR --work DIR`.

A share of the training masks of humanseg, ccp, coco-mini and voc2012 is spoiled. A run with fold models learns from
these, and `curate review failures` says whose label is in doubt. Then the same training again, from random weights: on
the labels as they came, and on the spoiled ones with what is in doubt mended (the mask as it came), or left out. The
test split, whose labels nobody spoils, says what the faults cost and how much of that comes back. What is in `--work`
is not done again, so seeds can be added one by one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from bench.earning import build, fitted, mean_iou, scores_of
from bench.measure import ROOT, curate
from bench.suspects import SHARE, spoil
from curate import schema
from curate.dataset import Dataset, open_dataset, read_table
from curate.revise import revise
from review.compare import gain_words
from review.failures import bring_up_to_date
from review.paired import differences
from review.runs import open_run
from train.scoring.figures import groups_of, number

FIT = ("--model", "linknet", "--encoder", "mobilenet_v2", "--weights", "none", "--size", "64", "--lr", "0.01")
"""One rate for all arms: what a range test finds for each moves a run further than a few wrong labels do."""
FOLDS = ("--folds", "2")
MENDED = ("mended", "left out")
ARMS = ("as they came", "spoiled", *MENDED)


def trained(dataset: Path, run: Path, seed: int, epochs: int, further: Sequence[str] = ()) -> Path:
    """A run, its test split scored."""
    fitted(dataset, run, [*FIT, *further, "--seed", str(seed)], epochs)
    if read_table(run / "scores.parquet", schema.SCORES).filter(split="test").is_empty():
        subprocess.run(curate("train", "score", run, "--split", "test"), cwd=ROOT, check=True)
    return run


def doubted(run: Path) -> list[str]:
    """The training images whose label `curate review failures` sends to be labelled again."""
    bring_up_to_date(open_run(run))
    failures = read_table(run / "failures.parquet", schema.FAILURES)
    training = open_run(run).dataset.samples.filter(split="train")
    return failures.filter(triage="relabel").join(training, on="sample_id", how="semi")["sample_id"].to_list()


def mended(clean: Dataset, spoiled: Dataset, names: Sequence[str], out: Path) -> Path:
    """The spoiled version with some masks as they came."""
    kept = pl.col("sample_id").is_in(names)
    came = clean.samples.select("sample_id", came="mask_sha256")
    samples = spoiled.samples.join(came, on="sample_id", maintain_order="left").with_columns(
        mask_sha256=pl.when(kept).then("came").otherwise("mask_sha256")
    )
    files = {row["sample_id"]: clean.root / row["mask"] for row in clean.rows("train") if row["sample_id"] in names}
    return version(spoiled, samples.drop("came"), files, out)


def left_out(spoiled: Dataset, names: Sequence[str], out: Path) -> Path:
    """The spoiled version without some images in training."""
    samples = spoiled.samples.with_columns(
        weight=pl.when(pl.col("sample_id").is_in(names)).then(0.0).otherwise("weight").cast(pl.Float32)
    )
    return version(spoiled, samples, {}, out)


def version(parent: Dataset, samples: pl.DataFrame, masks: dict[str, Path], out: Path) -> Path:
    """The version of a dataset with other rows, and other masks for some of them."""
    if not (out / "dataset.json").is_file():
        nothing = schema.EDITS.to_frame()
        revise(parent, out, samples=samples, masks=masks, recipe={}, sources=[], edits=nothing)
    return out


def runs_of(clean: Dataset, work: Path, seed: int, epochs: int, share: float) -> dict[str, Path]:
    """The run of each of ARMS with a seed, which says also what is spoiled."""
    spoiled = spoil(clean, work / f"spoiled-{seed}", seed, {}, share)
    base = trained(spoiled.root, work / f"run-spoiled-{seed}", seed, epochs, FOLDS)
    names = doubted(base)
    planted = json.loads(spoiled.root.with_suffix(".json").read_text())
    found = len(set(names) & set(planted))
    print(f"seed {seed}: {len(planted)} spoiled, {len(names)} labels in doubt, {found} of them spoiled", flush=True)
    again = {
        "as they came": clean.root,
        "mended": mended(clean, spoiled, names, work / f"mended-{seed}"),
        "left out": left_out(spoiled, names, work / f"left-out-{seed}"),
    }
    runs = {
        name: trained(place, work / f"run-{name.replace(' ', '-')}-{seed}", seed, epochs)
        for name, place in again.items()
    }
    return {"spoiled": base} | runs


def table(dataset: Dataset, runs: Sequence[dict[str, Path]]) -> Iterator[str]:
    """Each figure of each arm, what the faults cost, and what of that came back; intervals with that of a training."""
    scores = {arm: scores_of([one[arm] for one in runs], "test") for arm in ARMS}
    groups, others = groups_of(dataset), [arm for arm in ARMS if arm != "spoiled"]
    found = {arm: differences(scores["spoiled"], scores[arm], groups) for arm in others}
    gains = " | ".join(f"{arm} - spoiled [95 %]" for arm in others)
    yield f"| {scores['spoiled'][0].height} test images | {' | '.join(ARMS)} | {gains} |"
    yield f"| --- |{' ---: |' * 7}"
    for place, figure in enumerate(found[others[0]]):
        of_arm = {"spoiled": figure.first} | {arm: found[arm][place].second for arm in others}
        cells = [*(number(of_arm[arm]) for arm in ARMS), *(gain_words(found[arm][place]) for arm in others)]
        yield f"| {figure.name} | {' | '.join(cells)} |"


def by_seed(runs: Sequence[dict[str, Path]]) -> Iterator[str]:
    """What the faults cost each seed in the image mean IoU, and the share of it that came back."""
    for place, arms in enumerate(runs, start=1):
        means = {arm: mean_iou(run, "test") for arm, run in arms.items()}
        lost = means["as they came"] - means["spoiled"]
        back = [f"{(means[arm] - means['spoiled']) / lost:.0%} by {arm}" if lost > 0 else "-" for arm in MENDED]
        yield f"seed {place} of {len(runs)}: cost {lost:+.3f}, back {', '.join(back)}"


def main() -> None:
    """Train what is not there yet and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.mending", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="Folder of the four collections.")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="Folder for the runs.")
    parser.add_argument("--epochs", type=int, default=40, metavar="N", help="Of each run.  [default: %(default)s]")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], metavar="N", help="Of faults and runs.")
    told = "Of the training masks that are spoiled.  [default: %(default)s]"
    parser.add_argument("--share", type=float, default=SHARE, metavar="X", help=told)
    given = parser.parse_args()
    work = given.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    clean = build(given.data.resolve(), work)
    runs = [runs_of(clean, work, seed, given.epochs, given.share) for seed in given.seeds]
    print("\n".join([*table(open_dataset(clean.root), runs), *by_seed(runs)]))


if __name__ == "__main__":
    main()
