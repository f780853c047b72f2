"""`curate train predict`."""

from __future__ import annotations

from pathlib import Path

import click

from train.console import SETTINGS, progress


@click.command(context_settings=SETTINGS)
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path), required=True, help="Folder for the masks.")
@click.option("--cutout", is_flag=True, help="Write NAME-cutout.png too: the photo with the mask as alpha.")
def predict(run: Path, images: tuple[Path, ...], out: Path, cutout: bool) -> None:
    """Predict photos, or folders of them; write NAME.png, 8-bit: value / 255 is the probability of person.

    \b
    Example:
      curate train predict runs/first photo.jpg --out masks --cutout
    """
    from train.models import load
    from train.predict import listed_images, predict_files

    listed = listed_images(images, out)
    loaded = load(run)
    failed = 0
    with progress() as (watch, say):
        tick = watch("predict", len(listed))
        for _, problem in predict_files(loaded, listed, out, cutout):
            failed += problem is not None
            if problem is not None:
                say(f"left out: {problem}")
            tick(1)
    click.echo(f"{len(listed) - failed} of {len(listed)} masks written to {out}")
    if failed:
        click.get_current_context().exit(1)
