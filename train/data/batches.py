"""What an epoch shows, in which order, and how it becomes batches on the device."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from curate.masks import BACKGROUND
from train.augment import PASTING, augment
from train.augment.scene import Batch
from train.data.cache import Cache
from train.data.sending import constant, sent

THREADS = min(8, os.cpu_count() or 1)
"""Threads that decode and write images; both spend their time outside Python's lock."""

MEAN_RGB, DEVIATION_RGB = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet in [0, 1]: what pretrained encoders expect."""


@dataclass(frozen=True)
class Draw:
    """One image of an epoch: its row in the cache, its augmentation and the seed of that, and the row of another.

    The other is what a recipe of train.augment.PASTING puts behind or in front of it.
    """

    row: int
    recipe: str
    seed: tuple[int, ...]
    other: int


def draw_epoch(weights: NDArray[np.float64], images: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Which rows an epoch shows, in order: each about `images * weight / sum(weights)` times, to within one.

    Systematic sampling over a random order of the rows. Equal weights and as many images as rows show each row once.

    Args:
        weights: (N,), not negative, not all 0.
        images: Length of the result.
        rng: Source of the order.
    """
    order = rng.permutation(len(weights))
    edges = np.cumsum(weights[order])
    points = (np.arange(images) + rng.random()) * (edges[-1] / images)
    drawn = order[np.searchsorted(edges, points, side="right").clip(max=_last_with_weight(weights[order]))]
    return rng.permutation(drawn)


def _last_with_weight(weights: NDArray[np.float64]) -> int:
    return int(np.flatnonzero(weights)[-1])


def batch_bounds(images: int, batch_size: int) -> list[tuple[int, int]]:
    """Where batches begin and end: as few as can be, of sizes equal to within one.

    None is left with a single image, over which a batch cannot be normalised, unless `batch_size` or `images` is 1; for
    that, with a `batch_size` of 2 and an odd number of images, one batch holds 3.
    """
    count = -(-images // batch_size)
    if batch_size > 1:
        count = max(1, min(count, images // 2))
    edges = [images * place // count for place in range(count + 1)]
    return list(itertools.pairwise(edges))


def batches(
    cache: Cache, parts: Sequence[Sequence[Draw]], place: torch.device, held: int = BACKGROUND
) -> Iterator[tuple[Tensor, Tensor]]:
    """A batch of images (N, 3, S, S) and targets (N, S, S), uint8 on the device, for each part, augmented there.

    While one is used, the next one is fetched from the disk and sent on its way.

    Args:
        cache: Where the images lie.
        parts: What each batch holds.
        place: The device.
        held: What a held object counts as, see train.augment.
    """
    with ThreadPoolExecutor(1) as fetching:
        coming = fetching.submit(fetch, cache, parts[0], place)
        for part, following in itertools.zip_longest(parts, parts[1:]):
            batch, others = coming.result()
            if following is not None:
                coming = fetching.submit(fetch, cache, following, place)
            yield augment(batch, others, [draw.recipe for draw in part], [draw.seed for draw in part], held)


def fetch(cache: Cache, draws: Sequence[Draw], place: torch.device) -> tuple[Batch, Batch | None]:
    """The images that were drawn, and where a recipe needs them the other ones, on the device."""
    pasting = any(draw.recipe in PASTING for draw in draws)
    return (
        _stacked(cache, [draw.row for draw in draws], place),
        _stacked(cache, [draw.other for draw in draws], place) if pasting else None,
    )


def _stacked(cache: Cache, rows: Sequence[int], place: torch.device) -> Batch:
    """Rows of the cache, on the device."""
    images, targets = (sent(torch.from_numpy(part[rows]), place) for part in (cache.images, cache.targets))
    return images.permute(0, 3, 1, 2), targets


def to_input(images: Tensor, device: torch.device) -> Tensor:
    """Images (N, 3, S, S) uint8 as what a model takes: float32, ImageNet-normalised, channels innermost in memory."""
    mean, deviation = (constant(each, device)[:, None, None] for each in (MEAN_RGB, DEVIATION_RGB))
    scaled = images.to(device, non_blocking=True).float() / 255
    return ((scaled - mean) / deviation).contiguous(memory_format=torch.channels_last)
