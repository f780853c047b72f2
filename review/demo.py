"""`curate demo`: the whole loop on the embedded sample, in a few minutes on two cores."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from curate.commands import FOLDER

if TYPE_CHECKING:
    from curate.dataset import Dataset

TRAINING = {
    "encoder": "resnet18",
    "weights": "none",
    "size": 96,
    "epochs": 9,
    "batch_size": 8,
    "lr": 0.001,
    "folds": 2,
}
"""Small enough for a laptop without a GPU, and from a random start, so that nothing is downloaded."""

BUDGET = "3"
EMPTY_SCENES = 12
"""Learnt from as they are, and people of other images are put before them."""


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--out", type=FOLDER, default=Path("demo"), metavar="DIR", help="Folder for everything the demo makes.")
@click.option("--force", is_flag=True, help="Begin anew where a demo stands.")
def demo(out: Path, force: bool) -> None:
    """Run the whole loop on the embedded sample: choose, train, find failures, fix labels, retrain, compare.

    \b
    Example:
      curate demo --out demo
    """
    from review.loop.cli import round_text, say, say_epoch
    from review.loop.config import loop_config
    from review.loop.report import write_report
    from review.loop.run import run_loop

    start = time.monotonic()
    say("1. choose: curate build --min-area 0.2 --max-area 0.7 --max-people 2 --backgrounds 12")
    dataset = choose(out / "people", force=force)
    say("2. train, see what fails, retrain on it and, as a control, without: curate loop")
    place, labels = out / "loop", out / "people-2"
    once, twice = (loop_config(dataset, place, TRAINING, rounds=rounds, budget=BUDGET) for rounds in (1, 2))
    if force or not (place / "round-2").is_dir():
        run_loop(dataset, place, once, say, say_epoch, force=force)
    say("3. fix labels: curate label import")
    click.echo(fix_labels(dataset, labels, force=force))
    say("4. retrain with them: curate loop --rounds 2 --labels")
    results = run_loop(dataset, place, twice, say, say_epoch, labels=labels)
    report = write_report(dataset, place)
    for result in results:
        click.echo(round_text(result))
    click.echo(f"\nreport      {report}")
    click.echo(f"look at it  curate review open {place / 'base'}")
    say(f"({time.monotonic() - start:.0f} s)")


def choose(out: Path, *, force: bool) -> Dataset:
    """The sample's images that the first source document would have kept, as a dataset version."""
    from curate.build import build_dataset
    from curate.dataset import open_dataset
    from curate.funnel import funnel_table
    from curate.packaged import data_folder
    from curate.recipe import make_recipe

    sample = data_folder() / "sample"
    annotations = sample / "coco" / "annotations"
    recipe = make_recipe(
        {
            "name": "people",
            "coco": [str(annotations / f"instances_{part}2017.json") for part in ("train", "val")],
            "voc": [str(sample / "VOC2012")],
            "min_area": 0.2,
            "max_area": 0.7,
            "max_people": 2,
            "backgrounds": EMPTY_SCENES,
        }
    )
    built = build_dataset(recipe, out, force=force)
    click.echo(funnel_table(built.header.funnel))
    return open_dataset(out)


def fix_labels(dataset: Dataset, out: Path, *, force: bool) -> str:
    """What came of importing the sample's hand corrections into the next version of the dataset."""
    from curate.packaged import data_folder
    from label.cli import summary
    from label.importing import Request, import_labels

    request = Request(data_folder() / "sample" / "labels", "auto")
    return summary(import_labels(dataset, out, request, force=force), dataset.root, out)
