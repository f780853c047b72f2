"""`loop.json`: all that decides what a loop does, from the command line or a recipe file. Imports no torch."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from curate import schema
from curate.dataset import Dataset
from curate.errors import JSON_ERRORS, CurateError, FormatError, MissingError, UsageError
from curate.files import readable_faults
from curate.formats import read_head
from label.writers import WRITERS
from review.loop.folders import MOST_REPEATS, MOST_ROUNDS, ROUND_FOLDER
from review.loop.mine import Mining
from train.config import FitConfig, placed, read_config, relative
from train.data.folds import images_of_epoch, training_ids
from train.monitoring.log import is_finished
from train.presets import OPTIONS, combine, make_config, option_name

FOLDS = 3
"""Fold models of the base where the dataset has no folds of its own."""

RETRAIN_LR = 0.25
"""The arms' learning rate unless told, as a share of the base's: in few epochs at the whole rate they forget it."""

MODEL_FIELDS = ("model", "encoder", "classes", "position_channels")
"""What an arm cannot have otherwise than the run whose weights it starts from."""

ABOUT_BASE = ("folds", "weights", "epochs")
"""What is said of a base that is to be trained, and of none that is there."""


class LoopConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`loop.json`. A loop goes on with another number of rounds or for another tool; all else stays as it was begun."""

    format: int = schema.FORMAT
    dataset: str
    """Path of the dataset, relative to the loop's folder."""
    digest: str
    rounds: int
    budget: str
    """Epochs per training of an arm (`4`), or minutes (`30m`)."""
    fit: FitConfig
    """How the base is trained; `arm_config` says what the arms change of it."""
    mining: Mining = Mining()
    start: str = ""
    """A finished run that is the base (--from), relative to the loop's folder; empty where the loop trains its own."""
    to: str = "cvat"
    """The labelling tool that what should be labelled next is written for."""
    ensemble: bool = False
    """Whether the mean of the base and its fold models is scored too, and guesses the masks of the pool."""
    repeats: int = 1
    """How often each arm is trained, each time from another seed."""
    retrain_lr: float = RETRAIN_LR
    """The arms' learning rate, as a share of the base's."""

    def base_of(self, out: Path) -> Path:
        """The run that the first round starts from."""
        return placed(self.start, out) if self.start else out / "base"


def stored_config(out: Path) -> LoopConfig | None:
    """The configuration of the loop in a folder; None where there is none or it is damaged.

    Raises:
        VersionError: It is of a newer format.
    """
    try:
        return read_config_of_loop(out)
    except (MissingError, FormatError):
        return None


def read_config_of_loop(out: Path) -> LoopConfig:
    """The configuration of the loop in a folder.

    Raises:
        MissingError: The folder holds no loop.
        FormatError: Its loop.json is damaged.
        VersionError: It is of a newer format.
    """
    path = out / "loop.json"
    if not path.is_file():
        start = f"Start one with: curate loop DATASET --out {out}"
        raise MissingError(f"{out}: is not a loop (no loop.json in it). {start}")
    begin = f"What it trained is there yet: begin another loop with --from {out / 'base'} --out NEW"
    return read_head(path, LoopConfig, begin)


OF_A_CALL = ("from", "labels", "decisions")
"""Options that change from call to call, so that no recipe has them."""
LOOP_OPTIONS = ("rounds", "budget", "to", "ensemble", "repeats", "retrain_lr")
MINING_FIELDS = Mining.__struct_fields__
FIT_OPTIONS = (*OPTIONS, "earlier_sizes", "earlier_batch_sizes")


def configured(
    dataset: Dataset,
    out: Path,
    options: Mapping[str, Any],
    given: Mapping[str, Any],
    recipe: Path | None,
    *,
    force: bool = False,
) -> tuple[LoopConfig, list[str]]:
    """A loop's configuration from the options of its command, and what of a recipe file does not stay as it was.

    What is not given is as in the loop that is there already, else as by default.

    Args:
        dataset: The dataset.
        out: The loop's folder.
        options: All options by name, defaults included; `start` is that of --from.
        given: Those that were given, which go before a recipe's.
        recipe: A TOML file of further options.
        force: Pass over a loop that is there.

    Raises:
        UsageError: As `loop_config`.
        MissingError, FormatError: The recipe is not there, or an option of it is none.
    """
    kept, notes = {}, list[str]()
    if recipe is not None:
        found = read_recipe(recipe)
        fit, notes = combine({name: found.pop(name) for name in OPTIONS if name in found}, _only(given, FIT_OPTIONS))
        kept = {name: value for name, value in found.items() if name not in given} | fit
    notes = [f"--recipe {recipe}: {told}" for told in notes]
    said, stored = {**given, **kept}, None if force else stored_config(out)
    if stored is not None:
        return _going_on(stored, dataset, out, said), notes
    start, whole = options.get("start"), {**options, **kept}
    config = loop_config(
        dataset,
        out,
        _only(said if start else whole, FIT_OPTIONS),
        mining=Mining(**_only(whole, MINING_FIELDS)),
        start=start,
        **{"rounds": 1} | {name: whole[name] for name in LOOP_OPTIONS if whole.get(name) is not None},
    )
    return config, notes


def _going_on(stored: LoopConfig, dataset: Dataset, out: Path, said: Mapping[str, Any]) -> LoopConfig:
    """The configuration of a loop that is there, but for what is said now, checked as that of a new one."""
    start = said.get("start") or (placed(stored.start, out) if stored.start else None)
    then = {name: getattr(stored.fit, name) for name in FIT_OPTIONS}
    if start:  # only what the loop changes of the run
        plain = _started(start, {})
        then = {name: value for name, value in then.items() if name not in ABOUT_BASE and value != getattr(plain, name)}
    loop = {name: getattr(stored, name) for name in LOOP_OPTIONS} | _only(said, LOOP_OPTIONS)
    mining = Mining(**msgspec.structs.asdict(stored.mining) | _only(said, MINING_FIELDS))
    return loop_config(dataset, out, then | _only(said, FIT_OPTIONS), mining=mining, start=start, **loop)


def _only(options: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: options[name] for name in names if name in options}


def read_recipe(path: Path) -> dict[str, Any]:
    """The options in a loop's recipe file, by name: of the loop, of mining, and of fit as a preset has them.

    Raises:
        MissingError: There is no such file.
        FormatError: It is no TOML, or an option is unknown or has a value that is none.
    """
    with readable_faults(path):
        data = path.read_bytes()
    known = (*LOOP_OPTIONS, *MINING_FIELDS, *OPTIONS)
    try:
        found = {key.replace("-", "_"): value for key, value in tomllib.loads(data.decode("utf-8")).items()}
        if isinstance(found.get("budget"), int):  # epochs, which the command line gives as a word
            found["budget"] = str(found["budget"])
        if unknown := [key for key in found if key not in known]:
            name = option_name(unknown[0])
            if name in OF_A_CALL:
                raise FormatError(path, f"{name} changes from call to call. Pass --{name} beside --recipe")
            [alike] = get_close_matches(name, map(option_name, known), 1) or [""]
            meant = f"Did you mean {alike}? " if alike else ""
            raise FormatError(path, f"{name} is no option of a loop. {meant}All stand in: curate loop --help")
        msgspec.convert(_only(found, MINING_FIELDS), Mining)
        _check_options(msgspec.convert(_only(found, LOOP_OPTIONS), _LoopOptions))
        make_config(combine(_only(found, OPTIONS), {})[0])
    except msgspec.ValidationError as error:
        raise FormatError(path, in_toml_words(str(error))) from error
    except (tomllib.TOMLDecodeError, *JSON_ERRORS) as error:
        raise FormatError(path, f"is no recipe of a loop ({error}). Expected TOML such as: rounds = 2") from error
    except CurateError as error:
        raise error if isinstance(error, FormatError) else FormatError(path, str(error)) from error
    return found


KINDS = {"int": "a whole number", "float": "a number", "str": 'a text in "quotes"', "bool": "true or false"}
"""What msgspec calls a value -> what a user of TOML does."""


def in_toml_words(problem: str) -> str:
    """What msgspec finds wrong with a recipe's option, in words of TOML.

    >>> in_toml_words("Expected `float`, got `str` - at `$.retrain_lr`")
    'retrain-lr: expected a number, found a text in "quotes"'
    """
    what, _, place = problem.partition(" - at `$.")
    expected, found = (what.removeprefix("Expected ").partition(", got ")[side].strip("`") for side in (0, 2))
    told = f"expected {KINDS.get(expected, expected)}, found {KINDS.get(found, found)}" if found else what
    return f"{option_name(place.strip('`'))}: {told}"


class _LoopOptions(msgspec.Struct):
    """The types of LOOP_OPTIONS."""

    rounds: int = 1
    budget: str = "4"
    to: str = "cvat"
    ensemble: bool = False
    repeats: int = 1
    retrain_lr: float = RETRAIN_LR


def loop_config(
    dataset: Dataset,
    out: Path,
    fit: Mapping[str, Any],
    *,
    rounds: int,
    budget: str,
    mining: Mining = Mining(),  # noqa: B008 - it is frozen
    start: Path | None = None,
    to: str = "cvat",
    ensemble: bool = False,
    repeats: int = 1,
    retrain_lr: float = RETRAIN_LR,
) -> LoopConfig:
    """A loop's configuration from its options.

    Args:
        dataset: The dataset.
        out: The loop's folder.
        fit: fit's options by name. Without `epochs` the budget is meant, without `folds` the dataset's, else FOLDS;
            with `start`, what is left out is as that run was trained.
        rounds: Number of rounds.
        budget: Epochs (`4`) or minutes (`30m`) per training of an arm.
        mining: What a round does with what it finds.
        start: A finished run to begin with; None to train one.
        to: A labelling tool.
        ensemble: Score the mean of the base and its fold models too.
        repeats: Trainings of each arm, each from a seed of its own.
        retrain_lr: The arms' learning rate, as a share of the base's.

    Raises:
        UsageError: An option is out of range, contradicts `start`, or a budget in minutes stands without --epochs.
        MissingError, FormatError: `start` is no finished run.
    """
    options = {name: value for name, value in fit.items() if value is not None}
    _check_options(_LoopOptions(rounds, budget, to, ensemble, repeats, retrain_lr))
    base = _started(start, options) if start else _to_train(dataset, options, budget)
    if ensemble and base.folds < 2:
        advice = f"{start} has none. Begin with a run that has" if start else "there are none. Pass --folds 3"
        raise UsageError(f"--ensemble: is the mean of fold models, and {advice}")
    return LoopConfig(
        dataset=relative(dataset.root, out),
        digest=dataset.header.digest,
        rounds=rounds,
        budget=budget,
        fit=base,
        mining=mining,
        start=relative(start, out) if start else "",
        to=to,
        ensemble=ensemble,
        repeats=repeats,
        retrain_lr=retrain_lr,
    )


def _check_options(own: _LoopOptions) -> None:
    """Raise UsageError for an option that is out of range."""
    if not re.fullmatch(r"0*[1-9][0-9]{0,6}m?", own.budget):
        raise UsageError(f"--budget {own.budget}: expected epochs (4) or minutes (30m), at least 1")
    if not 1 <= own.rounds <= MOST_ROUNDS:
        raise UsageError(f"--rounds {own.rounds}: expected 1 to {MOST_ROUNDS}")
    if not 1 <= own.repeats <= MOST_REPEATS:
        raise UsageError(f"--repeats {own.repeats}: expected 1 to {MOST_REPEATS}")
    if not 0 < own.retrain_lr <= 1:
        told = "expected more than 0 and at most 1, as a share of the base's rate; --lr is that of the base"
        raise UsageError(f"--retrain-lr {own.retrain_lr:g}: {told}")
    if own.to not in WRITERS:
        raise UsageError(f"--to {own.to}: expected one of {', '.join(WRITERS)}")


def _to_train(dataset: Dataset, options: Mapping[str, Any], budget: str) -> FitConfig:
    """How the base is trained."""
    if "epochs" not in options and budget.endswith("m"):
        raise UsageError(f"--budget {budget}: a budget in minutes says nothing of the base. Pass its --epochs")
    own_folds = dataset.samples.filter(pl.col("fold") >= 0)["fold"].n_unique()
    defaults = {"epochs": int(budget.removesuffix("m")), "folds": own_folds if own_folds > 1 else FOLDS}
    return FitConfig(dataset="", digest=dataset.header.digest, **defaults | dict(options))


def _started(start: Path, options: Mapping[str, Any]) -> FitConfig:
    """How the run that a loop begins with was trained, and what its arms change of that."""
    if (start / "loop.json").is_file():
        told = (
            f"is a loop, no run. Name a run of it: curate loop status {start} lists them, its report says which to use"
        )
        raise MissingError(f"--from {start}: {told}")
    if not (start / "config.json").is_file():
        raise MissingError(
            f"--from {start}: is no run (no config.json in it). Train one: curate train fit DATASET --out RUN"
        )
    if not is_finished(start):
        resume = f"curate train fit DATASET --out {start} --resume"
        raise MissingError(f"--from {start}: is not finished. Finish it with: {resume}")
    trained = as_before_an_arm(start)
    for name in MODEL_FIELDS:
        if name in options and options[name] != getattr(trained, name):
            told = f"--{option_name(name)} {options[name]}: {start} has {getattr(trained, name)}"
            raise UsageError(f"{told}, and its weights fit no other. Leave the option out")
    for name in ABOUT_BASE:
        if name in options:
            raise UsageError(f"--{name}: is about the base, and --from {start} is one. Leave either out")
    if "lr" in options:
        found = f"is that of a base, and --from {start} is one, trained at {trained.lr:g}"
        raise UsageError(f"--lr {options['lr']}: {found}. Of the arms say a share of it: --retrain-lr 0.25")
    return msgspec.structs.replace(trained, dataset="", weights="none", **options)


def as_before_an_arm(run: Path) -> FitConfig:
    """How a run was trained; of an arm of a loop, how the base of that loop was, but without fold models.

    So a loop that goes on from another one's arm does not shrink the learning rate once more.
    """
    config, stored = read_config(run), stored_config(run.resolve().parents[1])
    if stored is None or not ROUND_FOLDER.fullmatch(run.resolve().parent.name):
        return config
    base = stored.base_of(run.resolve().parents[1])
    trained = stored.fit if stored.start or not base.is_dir() else read_config(base)
    return msgspec.structs.replace(trained, folds=0) if isinstance(trained.lr, float) else config


def as_arm(trained: FitConfig, epochs: int) -> FitConfig:
    """How long an arm learns, and at which size: what helps a model to begin has done so, and it has all its epochs.

    Args:
        trained: How its base was trained.
        epochs: Of the arm.
    """
    return msgspec.structs.replace(
        trained,
        epochs=epochs,
        cycle_epochs=None if trained.cycle_epochs is None else min(trained.cycle_epochs, epochs),
        earlier_sizes=(),
        earlier_batch_sizes=(),
        freeze_epochs=0,
        patience=None,
        folds=0,
    )


def arm_images(dataset: Dataset, trained: FitConfig) -> int:
    """How many images each epoch of an arm draws, of the version that its control learns from."""
    return images_of_epoch(dataset, training_ids(dataset), trained)


def arm_config(
    trained: FitConfig, rate: float, base: Path, epochs: int, number: int, images: int, repeat: int = 0
) -> FitConfig:
    """What all arms of a round share: the loop's options and the base's best weights, a rate and a seed of their own.

    The dataset is left open: arms may learn from several versions. `as_arm` says what else is as in no base.

    Args:
        trained: How the loop's first base was trained, its learning rate a number.
        rate: Share of that learning rate.
        base: The run whose weights the arms start from.
        epochs: Epochs of each arm.
        number: Of the round.
        images: Of each epoch.
        repeat: Which training of the arm it is, from 0; those of one number have one seed in all arms.
    """
    return msgspec.structs.replace(
        as_arm(trained, epochs),
        dataset="",
        digest="",
        weights=(base / "best.safetensors").as_posix(),
        lr=float(trained.lr) * rate,
        lr_from="",
        lr_min=None if trained.lr_min is None else trained.lr_min * rate,
        epoch_images=images,
        seed=trained.seed + number + MOST_ROUNDS * repeat,
    )
