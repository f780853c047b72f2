"""`curate train augment-sheet`."""

from __future__ import annotations

from pathlib import Path

import click

from curate.commands.place import FOLDER, LOCAL
from train.commands.console import SETTINGS, progress
from train.config import RECIPES


@click.command("augment-sheet", context_settings=SETTINGS)
@click.argument("dataset", type=FOLDER)
@click.option("--out", metavar="FILE", type=LOCAL, required=True, help="File to write, .png or .jpg.")
@click.option(
    "--augment",
    "recipes",
    type=click.Choice(RECIPES),
    multiple=True,
    help="Augmentation to show; repeatable.  [default: all]",
)
@click.option("--images", metavar="N", type=click.IntRange(1, 64), default=6, help="Training images to show.")
@click.option("--size", metavar="PX", type=int, default=224, help="Side of the square the model sees.")
@click.option("--seed", metavar="N", type=click.IntRange(min=0), default=0, help="Chooses images and variations.")
def augment_sheet(dataset: Path, out: Path, recipes: tuple[str, ...], images: int, size: int, seed: int) -> None:
    """Draw what augmentations make of a dataset's images and masks.

    \b
    Example:
      curate train augment-sheet people --out augmentations.png
    """
    from curate.dataset import open_dataset
    from curate.looking.sheet import sheet_format, write_sheet

    sheet_format(out)  # refused before anything is drawn
    opened = open_dataset(dataset)
    from train.augment.sheet import augment_sheet as draw
    from train.data.material import held_label

    with progress() as (watch, _):
        page = draw(
            opened,
            list(dict.fromkeys(recipes)) or list(RECIPES),
            images,
            size=size,
            seed=seed,
            held=held_label(opened),
            watch=watch,
        )
    write_sheet(out, page)
    click.echo(out)
