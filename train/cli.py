"""`curate train`: fit, lr-find, score, predict."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from curate.errors import UsageError
from curate.person_cli import input_options, spec_of
from curate.person_model import InputSpec
from train.config import (
    LOSSES,
    MODELS,
    OPTIMIZERS,
    PRECISIONS,
    RECIPES,
    SCHEDULES,
    FitConfig,
    has_named_weights,
    read_config,
)

if TYPE_CHECKING:
    import polars as pl

    from curate.dataset import Dataset
    from train.intervals import Interval
    from train.log import EpochLine
    from train.metrics import Summary

SETTINGS = {"help_option_names": ["-h", "--help"], "show_default": True}


def _one_a_stage(ctx: click.Context, param: click.Parameter, value: str) -> int:
    """The last of the numbers in `128,256,512`; those before it go to the command as `earlier_sizes` and so on."""
    try:
        *earlier, last = [int(word) for word in value.split(",")]
    except ValueError as error:
        raise click.BadParameter(f"{value}: expected a whole number, or several with commas between them") from error
    if ctx.get_parameter_source(str(param.name)) is not click.core.ParameterSource.DEFAULT:
        ctx.params[f"earlier_{param.name}s"] = tuple(earlier)
    return last


def _number_or_auto(ctx: click.Context, param: click.Parameter, value: str) -> float | str:
    try:
        return "auto" if value == "auto" else float(value)
    except ValueError as error:
        raise click.BadParameter(f"{value}: expected auto or a number, such as 0.001") from error


FIT_OPTIONS = (
    click.option(
        "--model",
        type=click.Choice(MODELS),
        default="unet",
        help="Decoder over --encoder; fcn* stand on VGG16, tiramisu* are whole.",
    ),
    click.option(
        "--encoder",
        metavar="NAME",
        default="auto",
        help="Encoder of segmentation-models-pytorch; auto: resnet34, or the model's own.",
    ),
    click.option("--weights", metavar="imagenet|none|FILE", default="imagenet", help="Weights to start from."),
    click.option("--position-channels", is_flag=True, help="Show the model x and y of each pixel too."),
    click.option(
        "--size",
        metavar="PX[,PX...]",
        callback=_one_a_stage,
        default="224",
        help="Side of the square that images are resized to; several share the epochs, each starting from the last.",
    ),
    click.option("--epochs", metavar="N", type=int, default=20, help="Passes over the training images."),
    click.option(
        "--batch-size",
        metavar="IMAGES[,...]",
        callback=_one_a_stage,
        default="16",
        help="Images per step; one number for each --size, or one for all.",
    ),
    click.option(
        "--lr",
        metavar="X|auto",
        callback=_number_or_auto,
        default="0.001",
        help="Highest learning rate; auto looks for one first, as lr-find does.",
    ),
    click.option("--schedule", type=click.Choice(SCHEDULES), default="one-cycle", help="Course of the learning rate."),
    click.option(
        "--lr-min",
        metavar="X",
        type=float,
        default=None,
        help="Lowest learning rate, of triangular (default: a 20th of --lr) and polynomial (default: 0).",
    ),
    click.option(
        "--lr-decay",
        metavar="X",
        type=float,
        default=None,
        help="Factor per fall of step (default: 0.1), per epoch of exponential (default: 0.995).",
    ),
    click.option(
        "--cycle-epochs",
        metavar="N",
        type=int,
        default=None,
        help="Epochs of one triangle of triangular.  [default: 1]",
    ),
    click.option("--loss", type=click.Choice(LOSSES), default="bce-dice", help="Loss over the counted pixels."),
    click.option("--optimizer", type=click.Choice(OPTIMIZERS), default="adamw", help="Optimiser."),
    click.option("--augment", type=click.Choice(RECIPES), default="standard", help="Augmentation."),
    click.option("--seed", metavar="N", type=int, default=0, help="Seed of everything random."),
    click.option("--folds", metavar="K", type=int, default=0, help="Fold models for out-of-fold scores; 0 for none."),
    click.option("--epoch-images", metavar="N", type=int, default=None, help="Images per epoch.  [default: all once]"),
    click.option(
        "--patience",
        metavar="N",
        type=int,
        default=None,
        help="Stop after N epochs without a better one.  [default: never]",
    ),
    click.option(
        "--clip-norm",
        metavar="X",
        type=float,
        default=None,
        help="Scale gradients down to this norm.  [default: no limit]",
    ),
    click.option(
        "--ema",
        metavar="DECAY",
        type=float,
        default=None,
        help="Judge and save a moving average of the weights, such as 0.999.  [default: the weights themselves]",
    ),
    click.option("--freeze-epochs", metavar="N", type=int, default=0, help="Epochs that leave the encoder as it is."),
    click.option("--freeze-batch-norm", is_flag=True, help="Keep the statistics of batch norms as they are."),
    click.option(
        "--encoder-lr-scale",
        metavar="X",
        type=float,
        default=1.0,
        help="Share of the learning rate for the encoder's first layers; it rises to 1 with depth.",
    ),
    click.option(
        "--precision",
        type=click.Choice(PRECISIONS),
        default="auto",
        help="Arithmetic; auto is bf16 on a GPU that has it, fp16 on an older one, fp32 on the CPU.",
    ),
    click.option(
        "--deterministic", is_flag=True, help="Repeat runs to the bit on a GPU, as the CPU does anyway; slower."
    ),
    click.option(
        "--compile", is_flag=True, help="Compile the model first (torch.compile); pays in long runs on a GPU."
    ),
)


def fit_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """All options of a FitConfig but the dataset; the command receives them by the names of its fields."""
    for option in reversed(FIT_OPTIONS):
        command = option(command)
    return command


@click.group(context_settings=SETTINGS)
def train() -> None:
    """Train, score and predict.

    \b
    Example:
      curate train fit people --out runs/first
    """


@train.command(context_settings=SETTINGS)
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option("--out", metavar="RUN", type=click.Path(path_type=Path), required=True, help="Folder of the run.")
@fit_options
@click.option(
    "--resume", is_flag=True, help="Go on where a run stopped; options not given are those it was begun with."
)
@click.option("--force", is_flag=True, help="Replace a run that stands there.")
@click.pass_context
def fit(ctx: click.Context, /, dataset: Path, out: Path, resume: bool, force: bool, **options: Any) -> None:
    """Train a model on a dataset version and score its validation images.

    Learns from the splits train and background, keeps the weights of the best epoch by validation IoU, uses a GPU where
    there is one.

    \b
    Example:
      curate train fit people --out runs/first --encoder mobilenet_v2 --weights none --size 160 --epochs 12
    """
    config = _resumed(ctx, out, options) if resume else FitConfig(dataset="", digest="", **options)
    from curate.dataset import open_dataset

    opened = open_dataset(dataset)
    if config.deterministic and not _has_gpu():
        _note("--deterministic changes nothing here: on the CPU the same run is the same to the bit anyway")
    if not opened.header.counts.get("val"):
        _note(f"{dataset}: has no validation images; the last epoch's weights are kept as the best")
    from train.fit import fit as fit_run
    from train.fit import is_finished, read_log
    from train.models import device_name

    if resume and is_finished(out):
        _note(f"{out}: is finished already, nothing left to do")
    else:
        _note(f"training on {device_name()}")
    try:
        with _progress() as (watch, say):
            fit_run(
                opened, out, config, resume=resume, force=force, report=lambda line: say(_in_words(line)), watch=watch
            )
    except KeyboardInterrupt:
        again = shlex.join(["curate", "train", "fit", str(dataset), "--out", str(out), "--resume"])
        _note(f"stopped after {len(read_log(out))} finished epochs; go on with: {again}")
        ctx.exit(130)
    _print_result(out, opened)


def _has_gpu() -> bool:
    from train.models import device

    return device().type == "cuda"


def _resumed(ctx: click.Context, run: Path, options: dict[str, Any]) -> FitConfig:
    """The configuration of the run that is resumed with the options that were given, which `fit` compares."""
    if not (run / "config.json").is_file():
        return FitConfig(dataset="", digest="", **options)
    stored = read_config(run)
    given = {
        name: value
        for name, value in options.items()
        if ctx.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT
    }
    if given.get("model", stored.model) != stored.model:
        given.setdefault("encoder", "auto")  # so that it is the model that `fit` finds to differ
    weights = stored.weights if has_named_weights(stored.weights) else (run / stored.weights).as_posix()
    return msgspec.structs.replace(stored, **{"weights": weights, "digest": ""} | given)


def _in_words(line: EpochLine) -> str:
    fold = f"fold {line.fold}  " if line.fold >= 0 else ""
    figures = [
        f"{split} loss {_number(loss)} IoU {_number(iou)} Dice {_number(dice)}"
        for split, loss, iou, dice in (
            ("train", line.train_loss, line.train_iou, line.train_dice),
            ("val", line.val_loss, line.val_iou, line.val_dice),
        )
    ]
    star = "  best" if line.best else ""
    return f"{fold}epoch {line.epoch:>3}  {'  '.join(figures)}  {line.images / line.seconds:.1f} images/s{star}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _print_result(run: Path, dataset: Dataset) -> None:
    from curate import schema
    from curate.dataset import read_table
    from train.log import read_log

    lines, config = read_log(run), read_config(run)
    if config.lr_from:
        _note(f"--lr auto: {config.lr:g}, by a {config.lr_from}")
    if len(lines) < config.epochs:
        _note(f"stopped early, after {len(lines)} of {config.epochs} epochs: --patience is over")
    best = [line for line in lines if line.best][-1]
    click.echo(f"{run}: best epoch {best.epoch}, validation IoU {_number(best.val_iou)} at training size")
    scores = read_table(run / "scores.parquet", schema.SCORES)
    click.echo(summary_table(scores, groups_of(dataset)), nl=False)


@train.command("lr-find", context_settings=SETTINGS)
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path), required=True, help="Folder for the curve.")
@click.option("--steps", metavar="N", type=click.IntRange(min=20), default=100, help="Batches to learn from, at most.")
@fit_options
@click.option("--json", "as_json", is_flag=True, help="Print what lr-find.json holds.")
def lr_find(dataset: Path, out: Path, steps: int, as_json: bool, **options: Any) -> None:
    """Look for a learning rate: train while it grows, and see where the loss falls and where it rises.

    Writes the curve as lr-find.png and lr-find.json, and prints a suggestion with its reason. What is learnt is not
    kept. `fit --lr auto` does the same first and trains with what it found.

    \b
    Example:
      curate train lr-find people --out lr --encoder mobilenet_v2 --weights none --size 64 --steps 40
    """
    config = FitConfig(dataset="", digest="", **options)
    from curate.dataset import open_dataset
    from train.fit import find_rate
    from train.lr_find import write_range_test
    from train.models import device_name

    opened = open_dataset(dataset)
    _note(f"training on {device_name()}")
    with _progress() as (watch, _):
        found = find_rate(opened, config, steps=steps, watch=watch)
    write_range_test(out, found)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2))
        return
    click.echo(f"--lr {found.lr:g}: {found.explanation}")
    click.echo(f"the curve: {out / 'lr-find.png'}")


NOT_IN_A_RANGE_TEST = {"epochs", "lr", "lr_min", "lr_decay", "cycle_epochs", "schedule", "folds", "epoch_images"}
NOT_IN_A_RANGE_TEST |= {"patience", "ema"}
lr_find.params = [param for param in lr_find.params if param.name not in NOT_IN_A_RANGE_TEST]


@train.command(context_settings=SETTINGS)
@click.argument("model", metavar="RUN|FILE.onnx|grabcut")
@click.argument("dataset", type=click.Path(path_type=Path), required=False)
@click.option(
    "--split",
    "splits",
    type=click.Choice(["train", "val", "test", "background"]),
    multiple=True,
    help="Split to score; repeatable.  [default: train, val, test]",
)
@click.option("--flip", is_flag=True, help="Predict the mean of each image and its mirror image.")
@input_options
@click.option(
    "--out", metavar="RUN", type=click.Path(path_type=Path), help="Folder for predictions and scores.  [default: RUN]"
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, split -> figures.")
def score(
    model: str,
    dataset: Path | None,
    splits: tuple[str, ...],
    flip: bool,
    input_size: str | None,
    layout: str | None,
    normalise: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Predict and score a dataset at native size, with a run or with what it is held against.

    Of a run, DATASET is needed only where it has moved since. A person model in an ONNX file and GrabCut, which learns
    from nothing, need DATASET and --out.

    \b
    Example:
      curate train score runs/first --split val --split test
      curate train score grabcut people --split test --out runs/grabcut
    """
    chosen = splits or ("train", "val", "test")
    spec = spec_of(input_size, layout, normalise)
    from train.peers import is_peer

    if is_peer(model):
        scores, opened = _score_peer(model, spec, dataset, chosen, out, flip=flip)
    else:
        scores, opened = _score_run(Path(model), spec, dataset, chosen, out, flip=flip)
    scores, groups = scores.filter(scores["split"].is_in(chosen)), groups_of(opened)
    click.echo(summary_json(scores, groups) if as_json else summary_table(scores, groups), nl=as_json)


def _score_run(
    run: Path, spec: InputSpec, place: Path | None, splits: tuple[str, ...], out: Path | None, *, flip: bool
) -> tuple[pl.DataFrame, Dataset]:
    config = read_config(run)
    if spec != InputSpec():
        raise UsageError(f"{run}: is a run, no .onnx file. Leave --input-size, --layout and --normalise out")
    from curate.dataset import open_dataset
    from train.models import device_name
    from train.score import dataset_of
    from train.score import score as score_run

    opened = open_dataset(place) if place else dataset_of(run, config)
    _note(f"scoring on {device_name()}")
    with _progress() as (watch, _):
        scores = score_run(run, opened, splits, out, watch, flip=flip)
    if "train" in splits and not config.folds:
        _note("the train split is scored in-sample, by a model that learnt from it; fit with --folds for honest scores")
    return scores, opened


def _score_peer(
    word: str, spec: InputSpec, place: Path | None, splits: tuple[str, ...], out: Path | None, *, flip: bool
) -> tuple[pl.DataFrame, Dataset]:
    if place is None or out is None:
        missing = "DATASET is missing: what to score it on" if place is None else "--out RUN is missing: its folder"
        raise UsageError(
            f"{word}: {missing}. For example: curate train score {word} people --out runs/{Path(word).stem}"
        )
    from curate.dataset import open_dataset
    from train.peers import open_peer, score_peer

    opened, peer = open_dataset(place), open_peer(word, spec)
    with _progress() as (watch, _):
        return score_peer(peer, opened, out, splits, flip=flip, watch=watch), opened


def groups_of(dataset: Dataset) -> dict[str, str]:
    """sample_id -> group, the unit that figures vary by."""
    return dict(dataset.samples.select("sample_id", "group").iter_rows())


def summary_json(scores: pl.DataFrame, groups: Mapping[str, str]) -> str:
    """split -> the fields of train.metrics.Summary, `groups` and `intervals`, as one JSON object."""
    told = {
        split: msgspec.to_builtins(summary) | {"groups": number, "intervals": intervals}
        for split, (summary, number, intervals) in _summaries(scores, groups).items()
    }
    return msgspec.json.format(msgspec.json.encode(told), indent=2).decode()


def _summaries(
    scores: pl.DataFrame, groups: Mapping[str, str]
) -> dict[str, tuple[Summary, int, dict[str, Interval | None]]]:
    """Of each split the summary, the number of groups its images fall into, and the intervals by that number."""
    from train.intervals import figure_intervals
    from train.metrics import summarise

    found = {}
    for split in ("train", "val", "test", "background"):
        part = scores.filter(scores["split"] == split)
        if part.height:
            own = [groups[sample_id] for sample_id in part["sample_id"]]
            found[split] = summarise(part), len(set(own)), figure_intervals(part, own)
    return found


TABLE_ROWS = {
    "  predicted empty": "empty_predicted_empty",
    "image mean IoU": "mean_iou",
    "worst tenth IoU": "worst_tenth_iou",
    "pooled IoU": "pooled_iou",
    "good photos (IoU >= 0.9)": "good_share",
    "mean Dice": "mean_dice",
    "mean Boundary IoU": "mean_boundary_iou",
    "mean cross-entropy": "mean_bce",
}


def summary_table(scores: pl.DataFrame, groups: Mapping[str, str]) -> str:
    """The summary of each split as aligned text, a column per split; empty where nothing is scored.

    Args:
        scores: The columns of curate.schema.SCORES.
        groups: sample_id -> group; the intervals are by bootstrap over groups.
    """
    summaries = _summaries(scores, groups)
    if not summaries:
        return ""
    lines = [["[95 % bootstrap interval]", *summaries]]
    lines.append(["images", *(f"{summary.images}" for summary, _, _ in summaries.values())])
    lines.append(["  in groups", *(f"{number}" for _, number, _ in summaries.values())])
    lines.append(["without a person", *(f"{summary.empty}" for summary, _, _ in summaries.values())])
    for title, field in TABLE_ROWS.items():
        cells = [_with_interval(getattr(one, field), intervals[field]) for one, _, intervals in summaries.values()]
        lines.append([title, *cells])
    return "".join(f"{title:<25}" + "".join(f"{cell:>23}" for cell in cells) + "\n" for title, *cells in lines)


def _with_interval(value: float | None, interval: Interval | None) -> str:
    return _number(value) + ("" if interval is None else f" [{_number(interval.low)}, {_number(interval.high)}]")


@train.command(context_settings=SETTINGS)
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
    with _progress() as (watch, say):
        tick = watch("predict", len(listed))
        for _, problem in predict_files(loaded, listed, out, cutout):
            failed += problem is not None
            if problem is not None:
                say(f"left out: {problem}")
            tick(1)
    click.echo(f"{len(listed) - failed} of {len(listed)} masks written to {out}")
    if failed:
        click.get_current_context().exit(1)


def _note(text: str) -> None:
    click.echo(text, err=True)


@contextmanager
def _progress() -> Iterator[tuple[Callable[[str, int], Callable[[int], None]], Callable[[str], None]]]:
    """(watch, say): a bar on stderr where that is a terminal, and lines that scroll by above it."""
    if not sys.stderr.isatty():
        yield lambda what, total: lambda steps: None, _note
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        tasks: list[Any] = []

        def watch(what: str, total: int) -> Callable[[int], None]:
            for task in tasks:
                bar.remove_task(task)
            tasks[:] = [bar.add_task(what, total=total)]
            return lambda steps: bar.advance(tasks[0], steps)

        yield watch, lambda text: bar.console.print(text, highlight=False, markup=False)
