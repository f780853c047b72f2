"""`curate demo`: the whole loop on the embedded sample, in a few minutes on two cores."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from curate.commands.place import LOCAL

if TYPE_CHECKING:
    from curate.dataset import Dataset

TRAINING = {
    "model": "linknet",
    "encoder": "mobilenet_v2",
    "weights": "none",
    "size": 64,
    "epochs": 60,
    "batch_size": 16,
    "lr": 0.01,
    "folds": 2,
}
"""Small enough for a laptop without a GPU, and from a random start, so that nothing is downloaded."""

BUDGET = "24"
RARE_SHARE = 0.0
"""No slice is raised: with three seeds of so few images that cost 0.6 to 1.3 points of the validation mean."""
RULES = {
    "min_area": 0.2,
    "max_area": 0.7,
    "max_people": 2,
    "take": {"coco": 10},
    "backgrounds": 6,
    "split": "50/30/20",
}
"""The first source document's; few of COCO, so that labels have something to earn; people are put before the empty
scenes, and much is kept to test on."""


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--out", type=LOCAL, default=Path("demo"), metavar="DIR", help="Folder for everything the demo makes.")
@click.option("--seed", type=int, default=0, metavar="N", help="Of all training.")
@click.option("--force", is_flag=True, help="Begin anew where a demo stands.")
def demo(out: Path, seed: int, force: bool) -> None:
    """Run the whole loop on the embedded sample: choose, train, find failures, take labels in, retrain, compare.

    It begins with 45 labelled photographs and 190 that nobody has labelled; labels of these come after the first round.

    \b
    Example:
      curate demo --out demo
    """
    from curate.choosing.recipe import option_words
    from review.loop.cli import round_text, say, say_epoch
    from review.loop.config import loop_config
    from review.loop.folders import round_folder
    from review.loop.mine import Mining
    from review.loop.report import write_report
    from review.loop.run import run_loop
    from train.presets import option_name

    start = time.monotonic()
    rules = " ".join(option_words(option_name(name), value) for name, value in RULES.items())
    say(f"1. choose: curate build {rules} --pool PHOTOGRAPHS")
    dataset = choose(out / "people", force=force)
    say("2. train, see what fails, retrain on it and, as a control, without, and say what to label: curate loop")
    place = out / "loop"
    fit, mining = TRAINING | {"seed": seed}, Mining(rare_share=RARE_SHARE)
    once, twice = (loop_config(dataset, place, fit, rounds=rounds, budget=BUDGET, mining=mining) for rounds in (1, 2))
    if force or not round_folder(place, 2).is_dir():
        run_loop(dataset, place, once, say, say_epoch, force=force)
    say("3. take in what people have labelled meanwhile: curate label import")
    labels = out / "people-2"
    click.echo(take_in(dataset, labels, force=force))
    say("4. retrain with that: curate loop --rounds 2 --labels")
    results = run_loop(dataset, place, twice, say, say_epoch, labels=labels)
    report = write_report(dataset, place)
    for result in results:
        click.echo(round_text(result, len(results)))
    click.echo(f"\nreport      {report}")
    click.echo(f"look at it  curate review open {place / 'base'}")
    say(f"({time.monotonic() - start:.0f} s)")


def choose(out: Path, *, force: bool) -> Dataset:
    """The sample's few labelled images that the first source document would have kept, the others as a pool."""
    from curate.choosing.build import build_dataset
    from curate.choosing.recipe import make_recipe
    from curate.dataset import open_dataset
    from curate.looking.funnel import funnel_table
    from curate.packaged import data_folder

    sample = data_folder() / "sample"
    sources = {
        "coco": [str(sample / "coco" / "annotations" / "instances_val2017.json")],
        "voc": [str(sample / "VOC2012")],
        "pool": [str(sample / "coco" / "train2017")],
    }
    built = build_dataset(make_recipe({"name": "people"} | sources | RULES), out, force=force)
    click.echo(funnel_table(built.header.funnel))
    return open_dataset(out)


def take_in(dataset: Dataset, out: Path, *, force: bool) -> str:
    """What came of importing labels of the pool, one in twenty of them wrong, into the next version of the dataset."""
    from curate.packaged import data_folder
    from label.cli import summary
    from label.importing import Request, import_labels

    labels = data_folder() / "sample" / "coco" / "annotations" / "instances_train2017.json"
    return summary(import_labels(dataset, out, Request(labels, "auto"), force=force), dataset.root, out)
