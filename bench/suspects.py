"""How many planted label faults stand first among a run's suspects: `python -m bench.suspects --data ../shared/data`.

humanseg, ccp and the embedded sample are one training split, of which one mask in twenty is spoiled, each by one of six
faults drawn from a seed; the sample holds some faults of its own, known beforehand, which count as planted too. Runs
learn from the spoiled masks in folds, so that none is asked about a label that it learnt from. What is in `--work`
already is not done again, so seeds can be added one by one.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from bench.everyday import timed
from bench.faults import fit_any, spoiled
from bench.measure import ROOT, contender, curate, run_fresh
from curate import schema
from curate.choosing.build import build_dataset
from curate.choosing.recipe import make_recipe
from curate.dataset import Dataset, open_dataset, read_table, write_table
from curate.files import sha256_bytes
from curate.images import target_png
from curate.masks import PERSON, Mask, target_of
from curate.packaged import data_folder
from curate.revise import revise
from review.failures import find_failures
from review.runs import open_with, read_scores

SHARE = 0.05
KINDS = ("drop", "shift", "erode", "swap", "hole", "blob")
"""The rarest first: few photographs show people apart from each other."""

RUNS = {
    "first": ("--encoder", "mobilenet_v2", "--size", "128", "--epochs", "16"),
    "second": ("--encoder", "resnet18", "--size", "96", "--epochs", "16"),
}
FIT = ("--weights", "none", "--folds", "4")
HEARD: Mapping[str, tuple[str, ...]] = {
    "one run": (),
    "two runs": ("second",),
    "one run, ONNX": ("onnx",),
    "two runs, ONNX": ("second", "onnx"),
}
"""What ranks the images with `curate review failures` -> the runs it hears beside the first."""


def built(data: Path, out: Path) -> Dataset:
    """The dataset as it came."""
    if not (out / "dataset.json").is_file():
        sample = data_folder() / "sample"
        coco = [str(sample / f"coco/annotations/instances_{part}2017.json") for part in ("train", "val")]
        pairs = [
            [f"humanseg={data}/humanseg/images", f"{data}/humanseg/masks"],
            [f"ccp={data}/ccp/photos", f"{data}/ccp/pixel-level"],
        ]
        options = {"name": "suspects", "coco": coco, "voc": [str(sample / "VOC2012")], "pairs": pairs}
        build_dataset(make_recipe(options | {"split": "90/10/0", "max_people": 4}), out)
    return open_dataset(out)


def with_blob(mask: Mask, rng: np.random.Generator) -> Mask | None:
    """The mask with a disc of a tenth of the person's area on the background; None where there is no room for one."""
    radius = max(2, round(float(np.sqrt(0.1 * np.count_nonzero(mask) / np.pi))))
    rows, columns = np.ogrid[: mask.shape[0], : mask.shape[1]]
    for _ in range(100):
        row, column = (int(rng.integers(side)) for side in mask.shape)
        disc = (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
        if not (disc & mask).any():
            both: Mask = disc | mask
            return both
    return None


def planted(
    dataset: Dataset, seed: int, known: Collection[str] = (), share: float = SHARE
) -> Iterator[tuple[str, str, Mask]]:
    """(sample_id, kind, spoiled mask) of a share of the training images, the kinds in equal numbers where that can be.

    Those whose faults are `known` beforehand are not spoiled.
    """
    rng = np.random.default_rng(seed)
    rows = [row for row in dataset.rows("train") if row["sample_id"] not in known]
    left = [rows[index] for index in rng.permutation(len(rows))]
    wanted = round(share * len(rows))
    for number, kind in enumerate(KINDS):
        quota = (wanted * (number + 1)) // len(KINDS) - (wanted * number) // len(KINDS)
        for row in list(left):
            if quota == 0:
                break
            target, other = dataset.target(row), rows[int(rng.integers(len(rows)))]
            mask = (
                with_blob(target == PERSON, rng)
                if kind == "blob"
                else spoiled(kind, target == PERSON, fit_any(dataset.target(other), target), rng)
            )
            if mask is None or not mask.any() or row["group"] == other["group"]:
                continue
            left.remove(row)
            quota -= 1
            yield row["sample_id"], kind, mask


def known_faults(dataset: Dataset) -> dict[str, str]:
    """sample_id -> kind, of the faults the embedded sample comes with."""
    kinds = {
        Path(row["file"]).stem: row["kind"] for row in json.loads((data_folder() / "sample/planted.json").read_bytes())
    }
    ids = dataset.samples.filter(~pl.col("source").is_in(["humanseg", "ccp"]))["sample_id"]
    return {name: kinds[stem] for name in ids if (stem := name.partition("-")[2].rpartition("-")[2]) in kinds}


def spoil(dataset: Dataset, out: Path, seed: int, known: Mapping[str, str], share: float = SHARE) -> Dataset:
    """The version of the dataset with spoiled masks, and beside it which they are, with those that are `known`."""
    record = out.with_suffix(".json")
    if not record.is_file():
        folder = out.with_name(out.name + "-masks")
        folder.mkdir(parents=True, exist_ok=True)
        kinds, files, hashes = dict[str, str](), dict[str, Path](), dict[str, str]()
        for sample_id, kind, mask in planted(dataset, seed, known, share):
            png = target_png(target_of(mask))
            files[sample_id] = folder / f"{sample_id}.png"
            files[sample_id].write_bytes(png)
            kinds[sample_id], hashes[sample_id] = kind, sha256_bytes(png)
        new = pl.col("sample_id").replace_strict(hashes, default=pl.col("mask_sha256"), return_dtype=pl.String)
        samples = dataset.samples.with_columns(mask_sha256=new)
        nothing = schema.EDITS.to_frame()
        revise(dataset, out, samples=samples, masks=files, recipe={"seed": seed}, sources=[], edits=nothing, force=True)
        training = dataset.samples.filter(split="train")["sample_id"].to_list()
        own = {name: kind for name, kind in known.items() if name in training}
        record.write_text(json.dumps(kinds | own, indent=1, sort_keys=True))
    return open_dataset(out)


def predict(dataset: Dataset, model: Path, work: Path, seed: int) -> dict[str, Path]:
    """The runs that learnt from the spoiled masks, and `onnx`, which did not: each scored on the training images."""
    runs = {name: work / f"{name}-{seed}" for name in (*RUNS, "onnx")}
    for name, options in RUNS.items():
        command = curate("train", "fit", dataset.root, *FIT, *options, "--seed", str(seed), "--out", runs[name])
        timed(command, runs[name])
        score(runs[name], runs[name])
    score(runs["onnx"], model, dataset.root, "--normalise", "signed", "--out", runs["onnx"])
    return runs


def score(run: Path, *words: str | Path) -> None:
    """`curate train score` of the training images, where they are not scored yet."""
    if not (run / "scores.parquet").is_file() or read_scores(run).filter(split="train").is_empty():
        subprocess.run(curate("train", "score", *words, "--split", "train"), cwd=ROOT, stdout=sys.stderr, check=True)


def rankings(dataset: Dataset, runs: Mapping[str, Path], seed: int) -> dict[str, list[str]]:
    """The training images, the most suspect first, by name of what ranks them."""
    scores = read_scores(runs["first"]).filter(split="train").sort("sample_id")
    dice_file = runs["first"].with_name(f"fiftyone-{seed}.json")
    if not dice_file.is_file():
        run_fresh(contender("fiftyone_dice", dataset.root, runs["first"], dice_file))
    dice = json.loads(dice_file.read_bytes())
    ids = scores["sample_id"].to_list()
    found = {
        "random": [ids[index] for index in np.random.default_rng([seed, len(ids)]).permutation(len(ids))],
        "loss": scores.sort("bce", descending=True)["sample_id"].to_list(),
        "softmin label quality (cleanlab)": scores.sort("label_quality")["sample_id"].to_list(),
        "dice (FiftyOne)": sorted(ids, key=lambda name: dice[name]),
    }
    for name, others in HEARD.items():
        lead, *heard = open_with(runs["first"], [runs[other] for other in others], dataset.root)
        find_failures(lead, heard)
        found[name] = read_table(runs["first"] / "suspects.parquet", schema.SUSPECTS)["sample_id"].to_list()
    return found


def figures(ranked: Sequence[str], faults: Collection[str]) -> tuple[float, float, float]:
    """The share of the faults in the first twentieth and the first tenth, and the average precision."""
    hits = np.array([name in faults for name in ranked])
    first = [hits[: math.ceil(share * len(hits))].sum() / hits.sum() for share in (0.05, 0.1)]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return first[0], first[1], float(precision[hits].mean())


def table(found: Sequence[Mapping[str, list[str]]], faults: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """Each ranking's figures, means over the plantings and in brackets the lowest; then each kind of fault's."""
    yield "| ranked by | in the first 5 % | in the first 10 % | average precision |"
    yield "| --- | ---: | ---: | ---: |"
    for name in found[0]:
        rows = np.array([figures(one[name], planted) for one, planted in zip(found, faults, strict=True)])
        cells = [f"{mean:.3f} ({low:.3f})" for mean, low in zip(rows.mean(axis=0), rows.min(axis=0), strict=True)]
        yield f"| {name} | {' | '.join(cells)} |"
    yield ""
    yield f"| fault | planted | in the first 10 % by {' | by '.join(HEARD)} |"
    yield f"| --- | ---: |{' ---: |' * len(HEARD)}"
    for kind in sorted({kind for planted in faults for kind in planted.values()}):
        total, hits = 0, Counter[str]()
        for one, planted in zip(found, faults, strict=True):
            own = {name for name in planted if planted[name] == kind}
            total += len(own)
            for name in HEARD:
                hits[name] += len(own & set(one[name][: math.ceil(0.1 * len(one[name]))]))
        yield f"| {kind} | {total} | {' | '.join(str(hits[name]) for name in HEARD)} |"


def draw_unplanted(dataset: Dataset, run: Path, faults: Collection[str], out: Path) -> None:
    """A sheet of the first tenth's labels that nobody spoiled, to be looked at: some are wrong as they came."""
    suspects = read_table(run / "suspects.parquet", schema.SUSPECTS)
    first = suspects.head(math.ceil(0.1 * suspects.height)).filter(~pl.col("sample_id").is_in(list(faults)))
    write_table(out.with_suffix(".parquet"), first)
    command = curate(
        "sheet", dataset.root, "--join", out.with_suffix(".parquet"), "--by", "suspicion", "--rows", "4", "--out", out
    )
    subprocess.run(command, cwd=ROOT, stdout=sys.stderr, check=True)


def main() -> None:
    """Spoil, train, rank, print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.suspects", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="Folder with humanseg, ccp and models.")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="Folder for the runs.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], metavar="N", help="Plantings.  [default: 0]")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    clean, model = built(given.data, given.work / "clean"), given.data / "models/pp-humanseg-lite.onnx"
    found, faults = [], []
    for seed in given.seeds:
        dataset = spoil(clean, given.work / f"set-{seed}", seed, known_faults(clean))
        runs = predict(dataset, model, given.work, seed)
        found.append(rankings(dataset, runs, seed))
        faults.append(json.loads((given.work / f"set-{seed}.json").read_bytes()))
        draw_unplanted(dataset, runs["first"], faults[-1], given.work / f"unplanted-{seed}.png")
    print("\n".join(table(found, faults)))


if __name__ == "__main__":
    main()
