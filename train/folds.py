"""Which training image is left out of which fold model."""

from __future__ import annotations

import polars as pl

from curate.dataset import Dataset
from curate.errors import UsageError
from curate.splits import fold_groups


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


def training_ids(dataset: Dataset, fold_of: dict[str, int], fold: int) -> list[str]:
    """The sample_ids a model learns from: `train` and `background` without fold `fold`; all of them for -1.

    A background image that shares its group with an image of the fold is left out too.
    """
    rows = dataset.samples.filter(pl.col("split").is_in(["train", "background"]))
    if fold == -1:
        return rows["sample_id"].to_list()
    held_out = [sample_id for sample_id, own in fold_of.items() if own == fold]
    groups = rows.filter(pl.col("sample_id").is_in(held_out))["group"].unique().to_list()
    return rows.filter(~pl.col("group").is_in(groups))["sample_id"].to_list()
