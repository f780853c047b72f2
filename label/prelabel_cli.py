"""`curate label prelabel`: the command, and the models it opens."""

from __future__ import annotations

import re
from pathlib import Path

import click
import msgspec

from curate.commands import watching
from curate.dataset import open_dataset
from curate.errors import UsageError
from curate.files import sha256_file
from curate.person_model import NORMALISATIONS, InputSpec, open_model
from label.prelabel import Model, Prelabelled, prelabel

LAYOUTS = {"nchw": True, "nhwc": False}


@click.command("prelabel", context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option(
    "--model",
    "model_path",
    required=True,
    type=click.Path(path_type=Path),
    metavar="RUN|FILE.onnx",
    help="A trained run, or any person model in an ONNX file.",
)
@click.option("--out", type=click.Path(path_type=Path), metavar="NEW", help="Folder of the new dataset version.")
@click.option(
    "--accept-above",
    type=click.FloatRange(0, 1),
    metavar="X",
    help="Guesses of a higher confidence enter training, weighted by it.  [default: none does]",
)
@click.option("--input-size", metavar="HxW", help="ONNX: the input's height and width in px.  [default: the file's]")
@click.option("--layout", type=click.Choice([*LAYOUTS]), help="ONNX: the input's axes.  [default: the file's]")
@click.option(
    "--normalise",
    type=click.Choice([*NORMALISATIONS]),
    help="ONNX: RGB as 0 to 1 (unit), -1 to 1 (signed), by ImageNet's mean, or 0 to 255 (raw).  [default: the file's]",
)
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
    spec = InputSpec(size_of(input_size), None if layout is None else LAYOUTS[layout], normalise)
    target = None if dry_run else out
    with watching() as watch:
        model = model_at(model_path, spec)
        found = prelabel(opened, target, model, accept_above, force=force, watch=watch)
    for reason in found.left_out.values():
        click.echo(f"left out: {reason}", err=True)
    click.echo(json_object(found, target) if as_json else summary(found, target))


def size_of(text: str | None) -> tuple[int, int] | None:
    """`224x398` as height and width; None where the option is not given."""
    if text is None:
        return None
    found = re.fullmatch(r"([1-9]\d{0,4})[xX]([1-9]\d{0,4})", text)
    if found is None:
        raise UsageError(f"--input-size {text}: is no size. Expected height and width in px, for example 224x398")
    return int(found[1]), int(found[2])


def model_at(path: Path, spec: InputSpec) -> Model:
    """The model in an ONNX file, or that of a run."""
    return run_model(path, spec) if path.is_dir() or path.suffix.lower() != ".onnx" else onnx_model(path, spec)


def onnx_model(path: Path, spec: InputSpec) -> Model:
    """The model in an ONNX file."""
    model = open_model(path, spec)
    size = None if spec.size_hw is None else list(spec.size_hw)
    options = {"input_size_hw": size, "channels_first": spec.channels_first, "normalise": spec.normalise}
    return Model(path, sha256_file(path), options, model.predict)


def run_model(path: Path, spec: InputSpec) -> Model:
    """The best model of a run, which knows what its input looks like.

    Raises:
        UsageError: `spec` says so all the same.
    """
    if spec != InputSpec():
        raise UsageError(f"--model {path}: is a run. Leave --input-size, --layout and --normalise out")
    from train.config import read_config

    read_config(path)  # so that what is no run is refused before torch is imported
    from train.models import device, load
    from train.predict import predict_image

    loaded = load(path)
    loaded.model.to(device())
    return Model(path, sha256_file(path / "best.safetensors"), {}, lambda image: predict_image(loaded, image))


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
