"""What each model of a run learns from, and which images judge its epochs. Test images are neither."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import msgspec
import polars as pl

from curate import schema
from curate.choosing.splits import fold_groups, place
from curate.dataset import Dataset
from curate.errors import MissingError, UsageError
from curate.guesses import is_guessed
from train.config import FitConfig

HELD_OUT_SHARE = 10
"""One in so many training images is held out to judge epochs where no split does."""


@dataclass(frozen=True)
class Share:
    """A model's images, by sample_id."""

    learn: list[str]
    judge: list[str]
    """What picks its best epoch; empty where the last one is kept."""


def share_images(dataset: Dataset, config: FitConfig) -> dict[int, Share]:
    """fold -> the images of its model; -1 is the model of the whole training split.

    Args:
        dataset: The dataset.
        config: Its folds, seed, and its `validation`, which `settle_validation` has settled.

    Raises:
        UsageError: The folds do not go with the dataset, or it has too few groups to hold some out.
    """
    fold_of = assign_folds(dataset, config.folds, config.seed)
    fold_ids = {fold: [sample_id for sample_id, own in fold_of.items() if own == fold] for fold in range(config.folds)}
    val = dataset.sample_ids("val") if config.validation != "none" else []
    tenth = held_out_tenth(dataset, config.seed) if needs_tenth(dataset, config.validation) else []
    shares = {-1: Share(training_ids(dataset, tenth), tenth or val)}
    for fold, left_out in fold_ids.items():
        if config.validation == "fold":
            shares[fold] = Share(training_ids(dataset, left_out), _labelled(dataset, left_out))
        else:
            judge = [sample_id for sample_id in tenth if fold_of[sample_id] != fold] if tenth else val
            shares[fold] = Share(training_ids(dataset, [*left_out, *tenth]), judge)
    return shares


def settle_validation(config: FitConfig, dataset: Dataset) -> FitConfig:
    """The configuration with `auto` validation as what it comes to for a dataset.

    Raises:
        MissingError: `val` is wanted of a dataset that has no such images.
    """
    validation, has_val = config.validation, bool(dataset.rows("val"))
    if validation == "val" and not has_val:
        raise MissingError(
            f"{dataset.root}: has no validation images. Leave --validation val out, and a tenth of train is held out"
        )
    if validation == "auto":
        validation = "val" if has_val else "tenth" if _able_to_judge(dataset)["group"].n_unique() > 1 else "none"
    return msgspec.structs.replace(config, validation=validation)


def needs_tenth(dataset: Dataset, validation: str) -> bool:
    """Whether the model of the whole training split is judged by a tenth of it."""
    return validation == "tenth" or (validation == "fold" and not dataset.rows("val"))


def validation_notes(dataset: Dataset, config: FitConfig) -> list[str]:
    """What a user should know of how a run's best epoch is picked; nothing where it is by the split val."""
    settled, notes = settle_validation(config, dataset), []
    if settled.validation == "none":
        notes.append(f"{dataset.root}: no image judges an epoch; the last epoch's weights are kept as the best")
    if needs_tenth(dataset, settled.validation):
        tenth, whole = held_out_tenth(dataset, config.seed), len(dataset.rows("train"))
        notes.append(
            f"{dataset.root}: {len(tenth)} of its {whole} training images are held out to pick the best epoch, "
            "and not learnt from"
        )
    if settled.validation == "fold" and config.folds:
        notes.append(
            "--validation fold: the best epoch of each fold model is picked by the fold it is then scored on, "
            "so out-of-fold figures are a little too good"
        )
    return notes


def held_out_tenth(dataset: Dataset, seed: int) -> list[str]:
    """The sample_ids of a tenth of the labelled training images, rounded up, in whole groups chosen by the seed.

    Groups that would make it more are passed over; where all would, it is the smallest one.

    Raises:
        UsageError: There are fewer than two groups.
    """
    able = _able_to_judge(dataset)
    sizes = dict(able.group_by("group").len().iter_rows())
    if len(sizes) < 2:
        raise UsageError(
            f"--validation: {dataset.root} has too few groups of labelled training images to hold one out. "
            "Pass --validation none"
        )
    order = sorted(sizes, key=lambda group: (place(seed, "validation", group), group))
    room, chosen = math.ceil(able.height / HELD_OUT_SHARE), []
    for group in order:
        if sizes[group] <= room:
            room -= sizes[group]
            chosen.append(group)
    chosen = chosen or [min(order, key=sizes.__getitem__)]
    return able.filter(pl.col("group").is_in(chosen))["sample_id"].to_list()


def _able_to_judge(dataset: Dataset) -> pl.DataFrame:
    """The training images whose group holds no model's guess: such a mask judges nothing."""
    training = dataset.samples.filter(pl.col("split") == "train")
    guessed = training.filter(is_guessed())["group"].unique()
    return training.filter(~pl.col("group").is_in(guessed.implode()))


def _labelled(dataset: Dataset, sample_ids: Collection[str]) -> list[str]:
    """Those of the images whose mask is no model's guess."""
    chosen = dataset.samples.filter(pl.col("sample_id").is_in(list(sample_ids)) & ~is_guessed())
    return chosen["sample_id"].to_list()


def assign_folds(dataset: Dataset, folds: int, seed: int) -> dict[str, int]:
    """sample_id -> fold, for every image of the training split; empty where `folds` is 0.

    The dataset's own folds where it has them, else folds of whole groups made from the seed.

    Raises:
        UsageError: The dataset has another number of folds, or fewer groups than folds.
    """
    if not folds:
        return {}
    training = dataset.samples.filter(pl.col("split") == "train")
    own = training.filter(pl.col("fold") >= 0)
    if own.is_empty():
        of_group = fold_groups(training["group"].unique().sort().to_list(), folds, seed)
        return {row["sample_id"]: of_group[row["group"]] for row in training.iter_rows(named=True)}
    stated = own["fold"].n_unique()
    if own.height != training.height or stated != folds or own["fold"].max() != folds - 1:
        raise UsageError(f"--folds {folds}: {dataset.root} was built with {stated} folds. Pass --folds {stated}")
    return dict(training.select("sample_id", "fold").iter_rows())


def images_of_epoch(dataset: Dataset, learn: Collection[str], config: FitConfig) -> int:
    """How many images an epoch draws: --epoch-images, else as many of `learn` as the dataset itself gives a weight.

    What was mined does not count; one at least.
    """
    weighed = dataset.samples.filter(pl.col("sample_id").is_in(list(learn)) & (pl.col("weight") > 0))
    return config.epoch_images or max(1, weighed.height)


def training_ids(dataset: Dataset, held_out: Collection[str] = ()) -> list[str]:
    """The sample_ids of `train` and `background` without those held out and all that share a group with them."""
    rows = dataset.samples.filter(pl.col("split").is_in(schema.LEARNT))
    groups = rows.filter(pl.col("sample_id").is_in(list(held_out)))["group"].unique().to_list()
    return rows.filter(~pl.col("group").is_in(groups))["sample_id"].to_list()
