"""The command `curate label prelabel`."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from curate.commands.build import watching
from curate.commands.person import input_options, spec_of
from curate.commands.place import FOLDER, INPUT
from curate.dataset import open_dataset
from curate.errors import UsageError
from label.options_cli import model_at
from label.prelabel import Prelabelled, prelabel


@click.command("prelabel", context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.argument("dataset", type=FOLDER)
@click.option(
    "--model",
    "model_path",
    required=True,
    type=INPUT,
    metavar="RUN|FILE.onnx",
    help="A trained run, or any person model in an ONNX file.",
)
@click.option("--out", type=FOLDER, metavar="NEW", help="Folder of the new dataset version.")
@click.option(
    "--accept-above",
    type=click.FloatRange(0, 1),
    metavar="X",
    help="Guesses of a higher confidence enter training, weighted by it.  [default: none does]",
)
@input_options
@click.option("--dry-run", is_flag=True, help="Say what the model would guess; write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--force", is_flag=True, help="Replace the dataset at --out.")
def prelabel_command(
    dataset: Path,
    model_path: Path,
    out: Path | None,
    accept_above: float | None,
    input_size: str | None,
    layout: str | None,
    normalise: str | None,
    dry_run: bool,
    as_json: bool,
    force: bool,
) -> None:
    """Make a new version of DATASET in which a model guesses the masks of the images without a label.

    They stay in the pool, as masks to start labelling from; only those above --accept-above are trained on.

    \b
    Example:
      curate build --pool unlabelled --out more
      curate label prelabel more --model runs/first --accept-above 0.9 --out more-guessed
    """
    if out is None and not dry_run:
        raise UsageError("--out NEW is missing: the folder of the new version. To only look: --dry-run")
    opened = open_dataset(dataset)
    spec = spec_of(input_size, layout, normalise)
    target = None if dry_run else out
    with watching() as watch:
        model = model_at(model_path, spec)
        found = prelabel(opened, target, model, accept_above, force=force, watch=watch)
    for reason in found.left_out.values():
        click.echo(f"left out: {reason}", err=True)
    click.echo(json_object(found, target) if as_json else summary(found, target))


def summary(found: Prelabelled, out: Path | None) -> str:
    """The result for people."""
    sure = found.median_confidence
    told = "" if sure is None else f"  median confidence {sure:.3f}"
    lines = [f"guessed    {len(found.guessed):<6}{told}".rstrip(), f"nobody     {len(found.nobody)}"]
    lines.append(
        f"accepted   {len(found.accepted):<6}  into train, tagged pseudo" if found.accepted else "accepted   0"
    )
    if found.held_back:
        lines.append(f"held back  {len(found.held_back):<6}  as sure, but beside val or test, or awaiting a hand label")
    lines.append(f"left out   {len(found.left_out)}")
    header = found.header
    if header is not None and found.status == "written":
        lines.append(f"{out}: version {header.version} of {header.name}, {header.counts['images']} images")
    ends = {
        "there already": f"{out}: holds these guesses already; nothing was written",
        "unchanged": "nothing changes: no mask differs; nothing was written",
        "dry run": "dry run: nothing was written",
    }
    return "\n".join([*lines, *([ends[found.status]] if found.status in ends else [])])


def json_object(found: Prelabelled, out: Path | None) -> str:
    """The result for machines, one object; `out`, `version`, `digest` and `parent` are null where nothing is there."""
    header = found.header
    result = {
        "status": found.status,
        "guessed": found.guessed,
        "nobody": found.nobody,
        "accepted": found.accepted,
        "held_back": found.held_back,
        "left_out": found.left_out,
        "median_confidence": found.median_confidence,
        "out": str(out) if header else None,
        "version": header.version if header else None,
        "digest": header.digest if header else None,
        "parent": header.parent if header else None,
    }
    return msgspec.json.encode(result).decode()
