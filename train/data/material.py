"""What the models of a run learn from: images, weights, augmentations; and what is wrong with them, said beforehand."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate import schema
from curate.dataset import Dataset
from curate.errors import MismatchError, MissingError, UsageError
from curate.masks import BACKGROUND, IGNORE, PERSON
from curate.threads import Watch
from train.config import (
    RECIPES,
    FitConfig,
)
from train.data.batches import batch_bounds
from train.data.cache import Cache, names_classes, open_cache
from train.data.folds import Share, images_of_epoch
from train.data.targets import HELD
from train.engine.distributed import Team
from train.engine.stages import stages
from train.models import device


@dataclass(frozen=True)
class Material:
    """What one model learns from: row i of the caches' `rows` is drawn by weights[i] and augmented by recipes[i]."""

    caches: Mapping[int, Cache]
    """One for each image side in px that is trained at, alike in their rows."""
    rows: NDArray[np.intp]
    weights: NDArray[np.float64]
    recipes: Sequence[str]
    validation: Sequence[int]
    """Rows of the caches that judge an epoch."""
    epoch_images: int
    scenes: NDArray[np.intp]
    """Rows of the caches without a person, for recipes that put people somewhere else."""
    held: int
    """What a held object counts as: 0, 128 or 255."""


def gather(
    dataset: Dataset,
    config: FitConfig,
    shares: Mapping[int, Share],
    weight_of: Mapping[str, float],
    recipe_of: Mapping[str, str],
    watch: Watch,
) -> dict[int, Material]:
    """What each model learns from, by its fold; all share their images.

    Args:
        dataset: The dataset.
        config: Its sizes, and the images of an epoch.
        shares: fold -> the images of its model.
        weight_of: sample_id -> sampling weight.
        recipe_of: sample_id -> augmentation.
        watch: Shown how many images are read.
    """
    caches = {size: open_cache(dataset, size, watch) for size in sorted({stage.size for stage in stages(config)})}
    return materials_of(dataset, config, shares, weight_of, recipe_of, caches)


def materials_of(
    dataset: Dataset,
    config: FitConfig,
    shares: Mapping[int, Share],
    weight_of: Mapping[str, float],
    recipe_of: Mapping[str, str],
    caches: Mapping[int, Cache],
) -> dict[int, Material]:
    """`gather` from images that are read already."""
    place_of = caches[config.size].place
    empty = set(dataset.sample_ids("background"))
    return {
        fold: Material(
            caches=caches,
            rows=np.array([place_of[sample_id] for sample_id in share.learn]),
            weights=np.array([weight_of[sample_id] for sample_id in share.learn]),
            recipes=[recipe_of[sample_id] for sample_id in share.learn],
            validation=[place_of[sample_id] for sample_id in share.judge],
            epoch_images=images_of_epoch(dataset, share.learn, config),
            scenes=np.array([place_of[one] for one in share.learn if one in empty and weight_of[one]], np.intp),
            held=held_label(dataset),
        )
        for fold, share in shares.items()
    }


def held_label(dataset: Dataset) -> int:
    """What objects in people's hands count as in a dataset, by the recipe it was built with."""
    policy = str(dataset.header.built_by.get("held"))
    return {"include": PERSON, "ignore": IGNORE, "class": HELD}.get(policy, BACKGROUND)


def weights_and_recipes(
    dataset: Dataset, mined: pl.DataFrame | None, augment: str
) -> tuple[dict[str, float], dict[str, str]]:
    """(sample_id -> sampling weight, sample_id -> augmentation) of all images to learn from."""
    rows = dataset.rows(*schema.LEARNT)
    weight_of = {row["sample_id"]: float(row["weight"]) for row in rows}
    recipe_of = {row["sample_id"]: augment for row in rows}
    if mined is not None:
        weight_of |= dict(mined.select("sample_id", "weight").iter_rows())
        recipe_of |= dict(mined.select("sample_id", "recipe").iter_rows())
    return weight_of, recipe_of


def check_material(dataset: Dataset, ids: list[str], weight_of: dict[str, float], fold: int) -> None:
    """Raise MissingError where a model would have no image to learn from."""
    if not any(weight_of[sample_id] for sample_id in ids):
        which = "" if fold == -1 else f" outside fold {fold}"
        found = f"{len(ids)} training images{which}" + (", all of weight 0" if ids else "")
        raise MissingError(f"{dataset.root}: has {found}. Build a dataset with a train split")


def check_mined(mined: pl.DataFrame | None, dataset: Dataset) -> None:
    """Raise where a mined table has other columns, unknown images or recipes, or a weight that is no weight."""
    if mined is None:
        return
    if mined.schema != schema.MINED:
        raise MismatchError("mined", list(schema.MINED), mined.columns)
    known = dataset.samples.filter(pl.col("split").is_in(schema.LEARNT))["sample_id"]
    strange = mined.filter(~pl.col("sample_id").is_in(known.implode()))["sample_id"]
    if len(strange):
        raise MismatchError("mined", "images of the training split", strange[0])
    recipes = sorted(set(mined["recipe"]) - set(RECIPES))
    if recipes:
        raise UsageError(f"mined: recipe {recipes[0]}: expected one of {', '.join(RECIPES)}")
    weight = mined["weight"]
    if (
        weight.null_count()
        or not (weight.is_finite() & (weight >= 0)).all()
        or mined["sample_id"].is_duplicated().any()
    ):
        raise UsageError("mined: expected one finite weight of 0 or more for each image")


def check_classes(dataset: Dataset, config: FitConfig) -> None:
    """Raise MissingError where a class is to be learnt that the dataset does not label."""
    for name, option in (("held", "held"), ("animal", "animals")):
        labelled = names_classes(dataset) and name in dataset.class_names
        if name in config.classes and not labelled:
            raise MissingError(f"--classes {name}: {dataset.root} does not label it. Build it with --{option} class")


def check_shares(materials: Iterable[Material], config: FitConfig, team: Team) -> None:
    """Raise UsageError where not every process of a team would get its share of every batch.

    Over a share of one image nothing can be normalised; on GPUs batch norms normalise over the whole batch.
    """
    by_share = team.size > 1 and not config.freeze_batch_norm and device().type == "cpu"
    least = team.size * (2 if by_share else 1)
    for material, stage in itertools.product(materials, stages(config)):
        smallest = min(end - begin for begin, end in batch_bounds(material.epoch_images, stage.batch_size))
        if smallest < least:
            raise UsageError(
                f"--batch-size {stage.batch_size}: {team.size} processes share batches of {smallest} images, which "
                f"need {least} at least. Pass a larger one, or start fewer processes"
            )
