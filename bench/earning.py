"""What a round of the loop earns, recipe by recipe: `python -m bench.earning --data DIR --work DIR`.

One base a seed, with fold models, from random weights on the photographs of humanseg, ccp, coco-mini and voc2012; from
it a control and a candidate for each recipe, trained as often as `--repeats` says, all with the same epochs.
Differences are of the means over all trainings, paired by image, on the validation split: recipes are chosen by these.
Intervals hold the chance of a training, as if all bases were one: with several they are rather too wide. `--test`
prints the test split, for recipes that are chosen already. What is in `--work` is not done again, so recipes and seeds
can be added one by one.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from bench.measure import ROOT, BenchError, curate
from curate import schema
from curate.dataset import Dataset, open_dataset, read_table, write_table
from curate.files import write_atomic
from review.compare import gain_words, slice_differences
from review.loop.config import RETRAIN_LR, loop_config
from review.loop.folders import repeat_of, round_folder
from review.loop.gate import FEWEST_IN_SLICE
from review.loop.mine import Mining
from review.loop.run import encoded, run_loop
from review.paired import differences
from review.slices import conditions_of, slices_of
from train.config import read_config
from train.monitoring.log import is_finished
from train.scoring.figures import groups_of
from train.scoring.metrics import mean_of

FIT = ("--encoder", "mobilenet_v2", "--weights", "none", "--size", "128", "--folds", "2")


def mining(**told: Any) -> Mining:
    """What a recipe is told; it raises no rare slice and offers nothing unless it says so."""
    given: dict[str, Any] = {"rare_share": 0.0, "offer": 0} | told
    return Mining(**given)


RECIPES: Mapping[str, Mining] = {
    "suspects left out alone": mining(hard_share=0.0),
    "hard x3, by kind": mining(hard_share=0.25, hard_weight=3.0, hard_augment="by-kind"),
    "hard x3": mining(hard_share=0.25, hard_weight=3.0, hard_augment="own"),
    "hard x3, copy-paste": mining(hard_share=0.25, hard_weight=3.0),
    "hard half, copy-paste": mining(hard_share=0.5, hard_weight=1.0),
    "random half, copy-paste": mining(hard_share=0.5, hard_weight=1.0),
    "hard half, by kind": mining(hard_share=0.5, hard_weight=1.0, hard_augment="by-kind"),
    "all copy-paste": mining(hard_share=1.0, hard_weight=1.0),
    "all strong": mining(hard_share=1.0, hard_weight=1.0, hard_augment="strong"),
    "hard half copy-paste, rest strong": mining(hard_share=0.5, hard_weight=1.0, other_augment="strong"),
    "hard half, copy-paste, rare slices to 20 %": mining(hard_share=0.5, hard_weight=1.0, rare_share=0.2),
    "rare slices to 10 %": mining(hard_share=0.0, rare_share=0.1),
    "learn the pool": mining(hard_share=0.0, pool="learn"),
    "hard half, copy-paste, pool distilled": mining(hard_share=0.5, hard_weight=1.0, pool="learn"),
}
"""Labels in doubt are left out in all of them."""

DISTILLED = ("hard half, copy-paste, pool distilled",)
"""Recipes whose guesses of the pool are the mean of the base and its fold models."""

SHUFFLED = {"random half, copy-paste": "hard half, copy-paste"}
"""Recipe -> the one of which it treats as many images alike, drawn at random: what is left is the augmentation's."""


def build(data: Path, work: Path) -> Dataset:
    """The dataset."""
    out = work / "set"
    if not (out / "dataset.json").is_file():
        coco = [f"{data}/coco-mini/annotations/instances_{name}2017.json" for name in ("train", "val")]
        sources = ["--coco", coco[0], "--coco", coco[1], "--voc", f"{data}/voc2012"]
        sources += ["--pairs", f"humanseg={data}/humanseg/images", f"{data}/humanseg/masks"]
        sources += ["--pairs", f"ccp={data}/ccp/photos", f"{data}/ccp/pixel-level", "--pool", f"{data}/ccp/unlabelled"]
        rules = ["--min-area", "0.05", "--max-people", "4", "--split", "55/15/30", "--backgrounds", "60"]
        subprocess.run(curate("build", *sources, *rules, "--out", out), cwd=ROOT, check=True)
    return open_dataset(out)


def base_of(dataset: Dataset, work: Path, seed: int, epochs: int) -> Path:
    """The base run of a seed."""
    return fitted(dataset.root, work / f"base-{seed}", [*FIT, "--seed", str(seed)], epochs)


def fitted(dataset: Path, run: Path, options: Sequence[str], epochs: int) -> Path:
    """A finished run of so many epochs, trained or gone on with where it is not there yet.

    Raises:
        BenchError: It is there with another number of epochs.
    """
    if (run / "config.json").is_file() and read_config(run).epochs != epochs:
        raise BenchError(f"{run}: has {read_config(run).epochs} epochs, not {epochs}. Pass another --work")
    if not is_finished(run):
        resumed = ["--resume"] if run.is_dir() else []
        further = ["--epochs", str(epochs), "--out", str(run), *resumed]
        subprocess.run(curate("train", "fit", dataset, *options, *further), cwd=ROOT, check=True)
    return run


def loop_of(dataset: Dataset, work: Path, base: Path, recipe: str, budget: str, rate: float, repeats: int = 1) -> Path:
    """The round of a recipe from a base; what another loop trained already, as all recipes share one control, is taken.

    Args:
        dataset: The dataset.
        work: Folder of all loops.
        base: The base.
        recipe: One of RECIPES.
        budget: Of each arm.
        rate: Learning rate of the arms, as a share of the base's.
        repeats: Trainings of each arm.
    """
    arms, often = f"{base.name}-{budget}-rate-{rate:g}", f"-x{repeats}" if repeats > 1 else ""
    own = f"{arms}-{recipe.replace(' ', '-').replace(',', '').replace('%', 'percent')}"
    out = work / f"{own}{often}"
    config = loop_config(
        dataset,
        out,
        {},
        rounds=1,
        budget=budget,
        mining=RECIPES[recipe],
        start=base,
        ensemble=recipe in DISTILLED,
        repeats=repeats,
        retrain_lr=rate,
    )
    for repeat in range(repeats):
        take_trained(work, f"{arms}-*", out, encoded(config), repeat_of("control", repeat))
        for others in (own, f"{own}-x*"):
            take_trained(work, others, out, encoded(config), repeat_of("candidate", repeat))
    folder = round_folder(out, 1)
    if recipe in SHUFFLED and not (folder / "mined.parquet").exists():
        other = loop_of(dataset, work, base, SHUFFLED[recipe], budget, rate, repeats)
        mined = read_table(other / "mined.parquet", schema.MINED)
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(out / "loop.json", encoded(config))
        write_table(folder / "mined.parquet", shuffled(mined, [row["sample_id"] for row in dataset.rows("train")]))
    begun = time.perf_counter()
    run_loop(dataset, out, config, lambda line: print(f"  {line}", file=sys.stderr))
    print(f"{out.name}: {(time.perf_counter() - begun) / 60:.1f} min", file=sys.stderr)
    return folder


def take_trained(work: Path, loops: str, out: Path, config: bytes, arm: str) -> None:
    """Copy a finished arm of one of some loops into the loop `out`, unless it has that arm.

    Args:
        work: Folder of all loops.
        loops: A pattern of their names.
        out: The loop, which is begun with `config`.
        config: Its loop.json.
        arm: The arm's folder.
    """
    folder = round_folder(out, 1)
    same = round_folder(Path(loops), 1) / arm
    trained = next((one for one in sorted(work.glob(same.as_posix())) if is_finished(one)), None)
    if trained is not None and not (folder / arm).exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(out / "loop.json", config)
        shutil.copytree(trained, folder / f".{arm}", dirs_exist_ok=True)
        (folder / f".{arm}").rename(folder / arm)


def shuffled(mined: pl.DataFrame, people: Sequence[str]) -> pl.DataFrame:
    """A mined table in which those of some images that stay have changed places: what each is given is drawn anew."""
    stays = (pl.col("weight") > 0) & pl.col("sample_id").is_in(people)
    kept = mined.filter(stays)
    told = kept.drop("sample_id").sample(fraction=1.0, shuffle=True, seed=0)
    return pl.concat([mined.filter(~stays), kept.select("sample_id").hstack(told)]).sort("sample_id")


def scores_of(runs: Sequence[Path], split: str) -> list[pl.DataFrame]:
    """The scores of each run."""
    return [read_table(run / "scores.parquet", schema.SCORES).filter(split=split) for run in runs]


def trainings(rounds: Sequence[Path], arm: str, repeats: int) -> list[Path]:
    """All trainings of an arm, base by base."""
    return [folder / repeat_of(arm, repeat) for folder in rounds for repeat in range(repeats)]


def table(
    dataset: Dataset, bases: Sequence[Path], rounds: Mapping[str, Sequence[Path]], split: str, repeats: int
) -> Iterator[str]:
    """A row for what the control earns over the base, and one for each recipe: what it earns over the control."""
    groups, slices = groups_of(dataset), slices_of(dataset.samples, conditions_of(dataset))
    yield "| recipe | image mean IoU | by training | worst tenth IoU | mean Boundary IoU | good photos | worst slice |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | --- |"
    controls = trainings(next(iter(rounds.values())), "control", repeats)
    pairs = {"(control - base)": (bases, controls)} | {
        recipe: (controls, trainings(folders, "candidate", repeats)) for recipe, folders in rounds.items()
    }
    for recipe, runs in pairs.items():
        control, after = (scores_of(arms, split) for arms in runs)
        by_name = {one.name: gain_words(one) for one in differences(control, after, groups)}
        by_slice = [one for one in slice_differences(control, after, slices, groups) if one.images >= FEWEST_IN_SLICE]
        worst = f"{by_slice[0].slice} {gain_words(by_slice[0].iou)}" if by_slice else "-"
        first, *others = (by_name[name] for name in NAMES)
        once = len(runs[1]) // len(runs[0])  # a base stands against each training from it
        starts = [run for run in runs[0] for _ in range(once)]
        by_seed = ", ".join(f"{gain_of(*pair, split):+.3f}" for pair in zip(starts, runs[1], strict=True))
        yield f"| {recipe} | {first} | {by_seed} | {' | '.join(others)} | {worst} |"


NAMES = ("image mean IoU", "worst tenth IoU", "mean Boundary IoU", "good photos")


def gain_of(before: Path, after: Path, split: str) -> float:
    """By how much a run exceeds another in the image mean IoU."""
    first, second = (mean_iou(run, split) for run in (before, after))
    return second - first


def mean_iou(run: Path, split: str) -> float:
    """The image mean IoU of a run."""
    [scores] = scores_of([run], split)
    return mean_of(scores["iou"]) or 0.0


def main() -> None:
    """Train what is not there yet and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.earning", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="Folder of the four collections.")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="Folder for the runs.")
    parser.add_argument("--epochs", type=int, default=50, metavar="N", help="Of each base.  [default: %(default)s]")
    parser.add_argument("--budget", default="20", metavar="N|Nm", help="Of each arm.  [default: %(default)s]")
    told = "Learning rate of the arms, as a share of the base's.  [default: %(default)s]"
    parser.add_argument("--rate", type=float, default=RETRAIN_LR, metavar="X", help=told)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], metavar="N", help="Of the bases.  [default: 0]")
    told = "Trainings of each arm from each base.  [default: %(default)s]"
    parser.add_argument("--repeats", type=int, default=1, metavar="N", help=told)
    parser.add_argument("--recipes", nargs="+", choices=[*RECIPES], default=[*RECIPES], metavar="NAME")
    parser.add_argument("--test", action="store_true", help="Print the test split, not the validation split.")
    given = parser.parse_args()
    work = given.work.resolve()
    dataset = build(given.data.resolve(), work)
    bases = [base_of(dataset, work, seed, given.epochs) for seed in given.seeds]
    rounds = {
        recipe: [loop_of(dataset, work, base, recipe, given.budget, given.rate, given.repeats) for base in bases]
        for recipe in given.recipes
    }
    split = "test" if given.test else "val"
    for base in bases:
        if scores_of([base], split)[0].is_empty():
            subprocess.run(curate("train", "score", base, "--split", split), cwd=ROOT, check=True)
    print("\n".join(table(dataset, bases, rounds, split, given.repeats)))


if __name__ == "__main__":
    main()
