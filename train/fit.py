"""Train a run: claim its folder, gather what is learnt from, train the models, score them; go on after a kill."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import polars as pl
from torch import nn

from curate.dataset import Dataset
from curate.errors import ExistsError, MissingError, UsageError, VersionError
from curate.files import held_folder, readable_faults, write_atomic
from curate.threads import Say, Watch, unwatched
from train.claim import EVENTS, check_apart, check_place, claim, model_folder, resumed_mined
from train.config import (
    POOLING_MODELS,
    FitConfig,
    encode_config,
    has_named_weights,
    placed,
    read_config,
    relative,
)
from train.data.folds import assign_folds, images_of_epoch, needs_tenth, settle_validation, share_images
from train.data.material import (
    check_classes,
    check_material,
    check_mined,
    check_shares,
    gather,
    weights_and_recipes,
)
from train.engine.distributed import ALONE, Team
from train.engine.execution import precision_on
from train.engine.freezing import check_freezable
from train.engine.lr_find import STEPS, RangeTest, range_test, range_test_steps, write_range_test
from train.engine.optimisers import parameter_groups
from train.engine.training import train_model
from train.models import build_model, device
from train.monitoring.disk import check_room, fit_bytes
from train.monitoring.estimate import fit_work, foretelling
from train.monitoring.fixed import read_fixed
from train.monitoring.journal import keeping_journal
from train.monitoring.log import EpochLine, is_finished, read_log
from train.monitoring.tensorboard import check_tensorboard
from train.scoring.score import score_into

__all__ = ["EpochLine", "fit", "is_finished", "read_log"]


def fit(
    dataset: Dataset,
    run: Path,
    config: FitConfig,
    *,
    mined: pl.DataFrame | None = None,
    resume: bool = False,
    force: bool = False,
    report: Callable[[EpochLine], None] | None = None,
    watch: Watch = unwatched,
    say: Say = lambda line: None,
    tensorboard: bool = False,
    foretell: bool = True,
    team: Team = ALONE,
) -> Path:
    """Train the run in folder `run` and score its validation split, and with folds its training split out-of-fold.

    Learns from the splits `train` and `background`, picks the best epoch by `val` or what config.validation names,
    never reads `test`.

    Args:
        dataset: What to learn from; config.dataset and config.digest are set from it.
        run: Folder of the run, made where it is not there.
        config: How to train.
        mined: schema.MINED; the images it lists are drawn by its weight (0 = not at all) and augmented by its recipe.
            The number of images in an epoch is the same with and without it.
        resume: Go on with the run where it stopped. A finished run is left as it is.
        force: Replace a run that is there.
        report: Told each finished epoch, of the fold models too.
        watch: Shown what is being done and how far it is.
        say: Told in one line how long a long run will take, and what could not be drawn.
        tensorboard: Write events for TensorBoard; a run that was begun with them goes on with them.
        foretell: Say how long it will take.
        team: The processes that train it together, each of which calls this with the same arguments.

    Returns:
        `run`.

    Raises:
        ExistsError: The folder holds a run or other files, or another process is training it.
        MissingError: Nothing to resume, or no training images.
        UsageError: The configuration differs from the resumed one, or contradicts the dataset; the folder lies in it.
        DivergedError: The loss is no longer a number.
        VersionError: The dataset is not the one of the configuration.
        DownloadError: The pretrained weights cannot be downloaded.
        MachineError: tensorboard is not installed, or the disk is too full.
    """
    if resume and force:
        raise UsageError("--resume and --force contradict each other; pass one of them")
    if config.digest and config.digest != dataset.header.digest:
        raise VersionError(f"{dataset.root}: has digest {dataset.header.digest[:12]}, expected {config.digest[:12]}")
    if run.exists() and not run.is_dir():
        raise ExistsError(f"{run}: is a file, a run is a folder. Choose another --out")
    if resume and team.is_lead and not run.is_dir():
        raise MissingError(f"{run}: no such run, nothing to resume. Leave --resume out to start it")
    check_apart(dataset, run)
    config = settle(config, dataset, run)
    with _alone_in(run, team):
        begun = team.from_lead(lambda: _begin(dataset, run, config, mined, resume, force, tensorboard))
        if begun is not None:
            _train_and_score(dataset, run, begun, report or (lambda line: None), watch, say, foretell, team)
    return run


@contextmanager
def _alone_in(run: Path, team: Team) -> Iterator[None]:
    """Nobody else works in the folder meanwhile; the lead takes it away again where nothing was written."""
    try:
        with held_folder(run) if team.is_lead else nullcontext(), readable_faults(run):
            yield
    finally:
        with suppress(OSError):  # only an empty folder goes: one that was refused before anything was written
            if team.is_lead:
                run.rmdir()


def settle(config: FitConfig, dataset: Dataset, run: Path) -> FitConfig:
    """The configuration as it stands in `config.json`: paths relative to the run, the dataset's digest, what judges."""
    config = settle_validation(config, dataset)
    weights = config.weights if has_named_weights(config.weights) else relative(Path(config.weights), run)
    return msgspec.structs.replace(
        config, dataset=relative(dataset.root, run), digest=dataset.header.digest, weights=weights
    )


@dataclass(frozen=True)
class _Begun:
    """A run whose folder is there, and that is not finished."""

    config: FitConfig
    mined: pl.DataFrame | None
    tensorboard: bool
    """Whether its events are written."""
    needed: float | None
    """Bytes it will need on the disk, where it is new."""


def _train_and_score(
    dataset: Dataset,
    run: Path,
    begun: _Begun,
    report: Callable[[EpochLine], None],
    watch: Watch,
    say: Say,
    foretell: bool,
    team: Team,
) -> None:
    """All models of a run to their last epoch, then the scores of what they did not learn from."""
    config = begun.config
    if config.digest != dataset.header.digest:
        raise VersionError(f"{dataset.root}: is another dataset on this machine than on that of the first process")
    shares = share_images(dataset, config)
    weight_of, recipe_of = weights_and_recipes(dataset, begun.mined, config.augment)
    if foretell and team.is_lead:
        judges = len(shares[-1].judge)
        watch = foretelling(watch, say, lambda: fit_work(dataset, config, run), config, judges, begun.needed)
    materials = team.first_on_each_machine(lambda: gather(dataset, config, shares, weight_of, recipe_of, watch))
    check_shares(materials.values(), config, team)
    if config.lr == "auto":
        steps = range_test_steps(config, materials[-1].epoch_images)
        found = range_test(materials[-1], _for_building(config, run), watch, steps, team)
        config = team.from_lead(functools.partial(with_suggestion, config, found))
        if team.is_lead:
            say(f"learning rate {config.lr:g}, by a {config.lr_from}")
            write_range_test(run / "plots", found)
            write_atomic(run / "config.json", encode_config(config))
    for fold, material in materials.items():
        folder = model_folder(run, fold)
        fixed = read_fixed(dataset, config, shares[fold].judge) if fold == -1 and team.is_lead else None
        keeping = keeping_journal(folder, fixed, say, tensorboard=begun.tensorboard) if team.is_lead else nullcontext()
        with keeping as journal:
            train_model(material, folder, _for_building(config, run), fold, report, watch, journal, team)
    if team.is_lead:
        splits = ("train", "val") if config.folds else ("val",)
        held_out = shares[-1].judge if needs_tenth(dataset, config.validation) and not config.folds else ()
        fold_of = assign_folds(dataset, config.folds, config.seed)
        score_into(run, config, dataset, splits, run, watch, also=held_out, fold_of=fold_of)


def _begin(
    dataset: Dataset,
    run: Path,
    config: FitConfig,
    mined: pl.DataFrame | None,
    resume: bool,
    force: bool,
    tensorboard: bool,
) -> _Begun | None:
    """Make the folder that of a run under way; None where it is finished."""
    begun = check_place(run, resume, force)
    if resume and begun:
        mined = resumed_mined(run, dataset, config, mined)
        config = with_found_rate(config, read_config(run))
        if is_finished(run):
            return None
        tensorboard = tensorboard or (run / EVENTS).is_dir()
        write_atomic(run / "config.json", encode_config(config))  # the dataset may have moved since
    if tensorboard:
        check_tensorboard()
    for partial in run.rglob(".*.partial"):  # a file that a kill left half-written
        partial.unlink()
    shares = share_images(dataset, config)
    check_mined(mined, dataset)
    check_classes(dataset, config)
    if config.patience is not None and not shares[-1].judge:
        raise UsageError(f"--patience {config.patience}: {dataset.root} has no validation images to judge an epoch by")
    weight_of, _ = weights_and_recipes(dataset, mined, config.augment)
    for fold, share in shares.items():
        check_material(dataset, share.learn, weight_of, fold)
        if config.model in POOLING_MODELS and images_of_epoch(dataset, share.learn, config) < 2:
            raise UsageError(f"--model {config.model}: needs at least 2 images in an epoch")
    needed = None
    if not (resume and begun):  # before the folder is claimed
        needed = fit_bytes(check_buildable(_for_building(config, run)), config, dataset)
        check_room(run, needed)
        claim(run, config, mined)
    (run / "scores.parquet").unlink(missing_ok=True)  # weights change from here on; the end of this makes it again
    return _Begun(config, mined, tensorboard, needed)


def find_rate(dataset: Dataset, config: FitConfig, *, steps: int = STEPS, watch: Watch = unwatched) -> RangeTest:
    """A learning-rate range test on what a run of this configuration would learn from; nothing is written.

    Args:
        dataset: What to learn from.
        config: How to train; its weight file is relative to the working folder.
        steps: Batches to learn from, at most.
        watch: Shown what is being done and how far it is.

    Raises:
        MissingError: No training images.
        UsageError: The model cannot be built, or its loss falls at no rate.
        DownloadError: The pretrained weights cannot be downloaded.
    """
    check_classes(dataset, config)
    weight_of, recipe_of = weights_and_recipes(dataset, None, config.augment)
    whole = msgspec.structs.replace(settle_validation(config, dataset), folds=0)
    shares = share_images(dataset, whole)
    check_material(dataset, shares[-1].learn, weight_of, -1)
    check_buildable(config)
    return range_test(gather(dataset, config, shares, weight_of, recipe_of, watch)[-1], config, watch, steps)


def with_found_rate(config: FitConfig, stored: FitConfig) -> FitConfig:
    """The configuration of a resumed run with the learning rate that an earlier range test found for it."""
    if stored.lr_from and config.lr in ("auto", stored.lr):
        return msgspec.structs.replace(config, lr=stored.lr, lr_from=stored.lr_from, lr_min=stored.lr_min)
    return config


def with_suggestion(config: FitConfig, found: RangeTest) -> FitConfig:
    """The configuration with a range test's learning rate, and for `triangular` its lowest one where none was given.

    Raises:
        UsageError: --lr-min is no less than the rate that was found.
    """
    lr_min = found.lr_min if config.schedule == "triangular" and config.lr_min is None else config.lr_min
    origin = f"range test: {found.explanation}"
    return msgspec.structs.replace(config, lr=found.lr, lr_min=lr_min, lr_from=origin)


def check_buildable(config: FitConfig) -> nn.Module:
    """The model that training starts from; raises where it cannot be trained as configured, or on this machine."""
    precision_on(device(), config.precision)
    model = build_model(config)
    check_freezable(model, config)
    parameter_groups(model, config)
    return model


def _for_building(config: FitConfig, run: Path) -> FitConfig:
    """The configuration with its weight file as a path that can be opened from here."""
    if has_named_weights(config.weights):
        return config
    return msgspec.structs.replace(config, weights=Path(os.path.relpath(placed(config.weights, run))).as_posix())
