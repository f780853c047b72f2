"""`curate train predict`."""

from __future__ import annotations

from pathlib import Path

import click

from curate.commands.completion import words_or_path
from curate.commands.person import input_options, spec_of
from curate.commands.place import LOCAL, MODEL
from train.commands.console import SETTINGS, progress

refine_option = click.option(
    "--refine",
    metavar="NAMES",
    help="Refine probabilities by the photo, in this order: largest-parts, guided, matting; with commas between.",
)


@click.command(context_settings=SETTINGS)
@click.argument("model", type=MODEL, metavar="RUN|FILE.onnx|grabcut", shell_complete=words_or_path("grabcut"))
@click.argument("images", nargs=-1, required=True, type=LOCAL)
@click.option("--out", metavar="DIR", type=LOCAL, required=True, help="Folder for the masks.")
@click.option("--cutout", is_flag=True, help="Write NAME-cutout.png too: the person alone, with alpha.")
@click.option(
    "--background",
    metavar="FILE|COLOUR|blur",
    shell_complete=words_or_path("blur"),
    help="Write NAME-composite.png too: the person before a picture, a colour (white, '#00ff00') or the blurred photo.",
)
@refine_option
@click.option("--flip", is_flag=True, help="Predict the mean of each photo and its mirror image.")
@input_options
def predict(
    model: str,
    images: tuple[Path, ...],
    out: Path,
    cutout: bool,
    background: str | None,
    refine: str | None,
    flip: bool,
    input_size: str | None,
    layout: str | None,
    normalise: str | None,
) -> None:
    """Predict photos, or folders of them; write NAME.png, 8-bit: value / 255 is the probability of person.

    A photo that cannot be read is left out and named, and the command ends with 1.

    \b
    Example:
      curate train predict runs/first photo.jpg --out masks --cutout
      curate train predict runs/first photo.jpg --out pictures --refine largest-parts,matting --background blur
    """
    spec = spec_of(input_size, layout, normalise)
    from curate.person_model import both_views
    from train.inference.composite import open_background
    from train.inference.predict import listed_images, predict_files
    from train.inference.refine import refined, split_names
    from train.scoring.peers import open_predict

    names, listed = split_names(refine), listed_images(images, out)
    behind = None if background is None else open_background(background)
    opened = open_predict(model, spec)
    asked = refined(both_views(opened) if flip else opened, names)
    failed = 0
    with progress() as (watch, say):
        tick = watch("predict", len(listed))
        for _, problem in predict_files(asked, listed, out, cutout=cutout, background=behind):
            failed += problem is not None
            if problem is not None:
                say(f"left out: {problem}")
            tick(1)
    click.echo(f"{len(listed) - failed} of {len(listed)} masks written to {out}")
    if failed:
        click.get_current_context().exit(1)
