"""A page that shows what each augmentation makes of real images and their masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from curate.dataset import Dataset
from curate.errors import MissingError, UsageError
from curate.looking.sheet import Strip, Tile, draw_sheet, make_tile
from curate.masks import BACKGROUND
from curate.terminal import counted
from curate.threads import Watch, unwatched
from train.augment import augment
from train.augment.scene import Batch
from train.config import MAX_SIZE_PX
from train.data.cache import Cache, fill_memory

SAYS = {
    "none": "as the model would see them without augmentation",
    "standard": "mirrored, cut out, turned a little, light and colour varied",
    "strong": "the same with a wider range; some pasted elsewhere, far, occluded, dark or spoiled",
    "seed2": "one of eleven: as it is, turned by 30 or 60 degrees, mirrored either way, four brightnesses",
    "dark": "little light and the grain that comes with it",
    "low-contrast": "an empty scene, or where there are none the own background, in the colours of the clothes",
    "occlusion": "something in front, which is not person",
    "crop": "a part of a person",
    "held-object": "an object on a person's outline, labelled as the dataset labels held objects",
    "scale": "from far and from near",
    "blur-noise-jpeg": "a bad photograph",
    "copy-paste": "half as in standard; else people before an empty scene or another image",
}
"""What each recipe does, in a line."""


def augment_sheet(
    dataset: Dataset,
    recipes: Sequence[str],
    images: int = 6,
    *,
    size: int = 224,
    seed: int = 0,
    held: int = BACKGROUND,
    watch: Watch = unwatched,
) -> Image.Image:
    """A page with a strip of the same training images for each recipe, their masks laid over.

    Args:
        dataset: Its training images are shown, and its empty scenes mixed in.
        recipes: Some of train.config.RECIPES.
        images: How many.
        size: Side in px that the model sees.
        seed: Chooses the images and how they are varied.
        held: What a held object counts as.
        watch: Shown how many images are read.

    Raises:
        MissingError: There are no training images.
        UsageError: The size is no size.
    """
    if not 0 < size <= MAX_SIZE_PX:
        raise UsageError(f"--size {size}: expected 1 to {MAX_SIZE_PX} px")
    rng = np.random.default_rng(seed)
    people = [row for row in dataset.rows("train") if row["people"]]
    if not people:
        raise MissingError(f"{dataset.root}: has no training image with a person. Build a dataset with a train split")
    shown = [people[place] for place in sorted(rng.permutation(len(people))[:images])]
    scenes = dataset.rows("background") or people
    others = [scenes[place] for place in rng.integers(len(scenes), size=len(shown))]
    cache = fill_memory(dataset, shown + others, size, watch)
    batch, mixed = as_batch(cache, range(len(shown))), as_batch(cache, range(len(shown), 2 * len(shown)))
    names = [row["sample_id"] for row in shown]
    strips = [
        Strip(
            recipe,
            SAYS[recipe],
            tiles(augment(batch, mixed, [recipe] * len(shown), [(seed, n) for n in range(len(shown))], held), names),
            1 + (len(shown) - 1) // 8,
        )
        for recipe in recipes
    ]
    told = f"{counted(len(shown), 'training image')} at {size} px; outlined is person, striped is not counted"
    return draw_sheet(f"Augmentations of {dataset.root.name}", told, strips)


def as_batch(cache: Cache, rows: Sequence[int]) -> Batch:
    """Rows of a cache as tensors on the CPU."""
    chosen = list(rows)
    images, targets = torch.from_numpy(cache.images[chosen]), torch.from_numpy(cache.targets[chosen])
    return images.permute(0, 3, 1, 2), targets


def tiles(batch: Batch, names: Sequence[str]) -> list[Tile]:
    """Each image with its target laid over."""
    return [
        make_tile("", image.permute(1, 2, 0).numpy(), target.numpy(), name)
        for image, target, name in zip(*batch, names, strict=True)
    ]
