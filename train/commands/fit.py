"""`curate train fit` and `lr-find`, and the options of training."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from curate.cli import code_of
from curate.commands.place import FOLDER
from curate.errors import UsageError
from curate.files import json_bytes
from curate.storage.copies import leave_sending
from train.commands.console import SETTINGS, is_silent, is_started_again, is_started_together, note, progress
from train.commands.options import fit_options
from train.commands.preset import with_preset
from train.config import (
    FitConfig,
    has_named_weights,
    placed,
    read_config,
)

if TYPE_CHECKING:
    from curate.dataset import Dataset
    from train.engine.distributed import Team
    from train.monitoring.log import EpochLine


def in_team(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command receives the processes that torchrun started together as `team`; None where it stands alone."""

    @functools.wraps(command)
    def started(*arguments: Any, **options: Any) -> Any:
        if not is_started_together():
            return command(*arguments, team=None, **options)
        from train.engine.distributed import meet

        with meet() as team:
            if not team.is_lead:
                leave_sending()
            return command(*arguments, team=team, **options)

    return started


@click.command(context_settings=SETTINGS)
@click.argument("dataset", type=FOLDER)
@click.option("--out", metavar="RUN", type=FOLDER, required=True, help="Folder of the run.")
@with_preset
@fit_options
@click.option(
    "--resume", is_flag=True, help="Go on where a run stopped; options not given are those it was begun with."
)
@click.option("--force", is_flag=True, help="Replace a run that stands there.")
@click.option(
    "--estimate", is_flag=True, help="Only say what time, memory and disk it would take, by a few real steps."
)
@click.option("--tensorboard", is_flag=True, help="Write events for TensorBoard into RUN/tensorboard too.")
@click.pass_context
@in_team
def fit(
    ctx: click.Context,
    /,
    dataset: Path,
    out: Path,
    resume: bool,
    force: bool,
    estimate: bool,
    tensorboard: bool,
    team: Team | None,
    **options: Any,
) -> None:
    """Train a model on a dataset version and score its validation images.

    Learns from the splits train and background, keeps the weights of the best epoch by validation IoU, uses a GPU where
    there is one, and several with torchrun. Where no image is in the split val, a tenth of train is held out for it.

    \b
    Example:
      curate train fit people --out runs/first --encoder mobilenet_v2 --weights none --size 64 --epochs 4
      torchrun --nproc-per-node 8 -m curate train fit people --out runs/large --batch-size 128
    """
    if _goes_on_after_restart(out, team):
        resume, force = True, False
    config = _resumed(ctx, out, options) if resume else FitConfig(dataset="", digest="", **options)
    from curate.dataset import open_dataset

    opened = open_dataset(dataset)
    if not team:
        _refuse_place(opened, out, resume=resume, force=force)
    if estimate:
        if team:
            raise UsageError("--estimate: is measured by one process. Leave torchrun out")
        _print_estimate(opened, config, out)
        return
    if config.deterministic and not _has_gpu():
        note("--deterministic changes nothing here: on the CPU the same run is the same to the bit anyway")
    from train.data.folds import validation_notes
    from train.engine.distributed import ALONE
    from train.fit import fit as fit_run
    from train.fit import is_finished, read_log
    from train.models import device_name

    for told in validation_notes(opened, config):
        note(told)
    finished = resume and is_finished(out)
    if not finished:
        note(f"training on {device_name()}" + (f", one of {team.size} processes" if team else ""))
    if team and not (_has_gpu() or config.freeze_batch_norm):
        note("batch norm sees each process's share alone: SyncBatchNorm needs GPUs. --freeze-batch-norm needs neither")
    try:
        with progress() as (watch, say):
            fit_run(
                opened,
                out,
                config,
                resume=resume,
                force=force,
                report=lambda line: say(in_words(line)),
                watch=watch,
                say=say,
                tensorboard=tensorboard,
                team=team or ALONE,
            )
    except KeyboardInterrupt as stop:
        again = shlex.join(["curate", "train", "fit", str(dataset), "--out", str(out), "--resume"])
        note(f"stopped after {len(read_log(out))} finished epochs; go on with: {again}")
        ctx.exit(code_of(stop))
    if finished:
        note(f"{out}: is finished already, nothing left to do")
    if not is_silent():
        _print_result(out, opened)


def _refuse_place(dataset: Dataset, out: Path, *, resume: bool, force: bool) -> None:
    """Raise where the folder may not be used, before torch is imported; `fit` looks again once it holds the folder."""
    from curate.files import held_folder
    from train.claim import check_apart, check_place

    check_apart(dataset, out)
    if out.is_dir():
        with held_folder(out):
            check_place(out, resume, force)


def _print_estimate(dataset: Dataset, config: FitConfig, run: Path) -> None:
    from curate.files import cache_folder
    from train.models import device_name
    from train.monitoring.disk import check_room
    from train.monitoring.estimate import duration, size
    from train.monitoring.measure import measure

    with progress() as (watch, _):
        found = measure(dataset, config, run, watch)
    click.echo(f"time    {duration(found.seconds)} on {device_name()}")
    click.echo("memory  " + ", ".join(f"{size(amount)} of {name}" for name, amount in found.memory.items()))
    cache = f", and {size(found.cache)} of resized images in {cache_folder()}" if found.cache else ""
    click.echo(f"disk    {size(found.disk)}{cache}")
    check_room(run, found.disk)


def _has_gpu() -> bool:
    from train.models import device

    return device().type == "cuda"


def _goes_on_after_restart(out: Path, team: Team | None) -> bool:
    """Whether torchrun started any of the processes anew, and the run that they were at is there."""
    if team is None:
        return is_started_again() and (out / "config.json").is_file()
    return team.any_of(is_started_again()) and team.from_lead(lambda: (out / "config.json").is_file())


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
    weights = stored.weights if has_named_weights(stored.weights) else placed(stored.weights, run).as_posix()
    return msgspec.structs.replace(stored, **{"weights": weights, "digest": ""} | given)


def in_words(line: EpochLine) -> str:
    """An epoch as one line."""
    from train.scoring.figures import number

    fold = f"fold {line.fold}  " if line.fold >= 0 else ""
    figures = [
        f"{split} loss {number(loss)} IoU {number(iou)} Dice {number(dice)}"
        for split, loss, iou, dice in (
            ("train", line.train_loss, line.train_iou, line.train_dice),
            ("val", line.val_loss, line.val_iou, line.val_dice),
        )
    ]
    star = "  best" if line.best else ""
    return f"{fold}epoch {line.epoch:>3}  {'  '.join(figures)}  {line.images / line.seconds:.1f} images/s{star}"


def _print_result(run: Path, dataset: Dataset) -> None:
    from curate import schema
    from curate.dataset import read_table
    from train.monitoring.log import read_log
    from train.scoring.figures import groups_of, number, summary_table

    lines, config = read_log(run), read_config(run)
    if len(lines) < config.epochs:
        note(f"stopped early, after {len(lines)} of {config.epochs} epochs: --patience is over")
    best = [line for line in lines if line.best][-1]
    click.echo(f"{run}: best epoch {best.epoch}, validation IoU {number(best.val_iou)} at training size")
    scores = read_table(run / "scores.parquet", schema.SCORES)
    if not config.folds and "train" in scores["split"]:
        note("train: the held-out images alone")
    click.echo(summary_table(scores, groups_of(dataset)), nl=False)


@click.command("lr-find", context_settings=SETTINGS)
@click.argument("dataset", type=FOLDER)
@click.option("--out", metavar="DIR", type=FOLDER, required=True, help="Folder for the curve.")
@click.option("--steps", metavar="N", type=click.IntRange(min=40), default=100, help="Batches to learn from, at most.")
@with_preset
@fit_options
@click.option("--json", "as_json", is_flag=True, help="Print what lr-find.json holds.")
def lr_find(dataset: Path, out: Path, steps: int, as_json: bool, **options: Any) -> None:
    """Look for a learning rate: train while it grows, and see where the loss falls and where it rises.

    Writes the curve as lr-find.png and lr-find.json, and prints a suggestion with its reason. What is learnt is not
    kept. `fit --lr auto` does the same first and trains with what it found.

    \b
    Example:
      curate train lr-find people --out lr --encoder mobilenet_v2 --weights none --size 32 --steps 40
    """
    config = FitConfig(dataset="", digest="", **options)
    from curate.dataset import open_dataset
    from train.engine.lr_find import write_range_test
    from train.fit import find_rate
    from train.models import device_name

    opened = open_dataset(dataset)
    note(f"training on {device_name()}")
    with progress() as (watch, _):
        found = find_rate(opened, config, steps=steps, watch=watch)
    write_range_test(out, found)
    if as_json:
        click.echo(json_bytes(found).decode())
        return
    click.echo(f"--lr {found.lr:g}: {found.explanation}")
    click.echo(f"the curve: {out / 'lr-find.png'}")


NOT_IN_A_RANGE_TEST = {"epochs", "lr", "lr_min", "lr_decay", "cycle_epochs", "schedule", "folds", "epoch_images"}
NOT_IN_A_RANGE_TEST |= {"patience", "ema"}
lr_find.params = [param for param in lr_find.params if param.name not in NOT_IN_A_RANGE_TEST]
