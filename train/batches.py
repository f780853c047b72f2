"""Images decoded and resized once into memory, drawn by weight, augmented and stacked into batches."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from curate.dataset import Dataset
from curate.masks import IGNORE, PERSON, Target
from curate.threads import Tick, map_threads
from train.augment import augment

THREADS = min(8, os.cpu_count() or 1)
"""Threads that decode and augment; both spend their time outside Python's lock."""

MEAN_RGB, DEVIATION_RGB = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet in [0, 1]: what pretrained encoders expect."""


@dataclass(frozen=True)
class Cache:
    """Images at training size: `images` (N, S, S, 3) uint8 RGB, `targets` (N, S, S) uint8, `place` sample_id -> row."""

    images: NDArray[np.uint8]
    targets: NDArray[np.uint8]
    place: dict[str, int]


@dataclass(frozen=True)
class Draw:
    """One image of an epoch: its row in the cache, its augmentation, and the seed of that augmentation."""

    row: int
    recipe: str
    seed: tuple[int, ...]


def fill_cache(dataset: Dataset, rows: Sequence[dict[str, Any]], size: int, tick: Tick) -> Cache:
    """The rows' images and targets at training size; `tick` is told how many more are done."""
    images = np.empty((len(rows), size, size, 3), np.uint8)
    targets = np.empty((len(rows), size, size), np.uint8)

    def fill(place: int) -> None:
        images[place] = resize_image(dataset.image(rows[place]), size)
        targets[place] = resize_target(dataset.target(rows[place]), size)

    map_threads(fill, range(len(rows)), tick)
    return Cache(images, targets, {row["sample_id"]: place for place, row in enumerate(rows)})


def resize_image(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """An image (H, W, 3) as (size, size, 3): by area average where it shrinks, bilinearly where it grows."""
    shrinks = image.shape[0] * image.shape[1] > size * size
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)  # type: ignore[return-value]


def resize_target(target: Target, size: int) -> Target:
    """A target (H, W) as (size, size): person where at least half of the pixel is.

    A pixel that takes in any part that is not counted is not counted, so such parts never reach the loss.
    """
    shrinks = target.shape[0] * target.shape[1] > size * size
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    person = cv2.resize((target == PERSON).astype(np.float32), (size, size), interpolation=method)
    resized = np.where(person >= 0.5, np.uint8(PERSON), np.uint8(0))
    if (target == IGNORE).any():
        ignored = cv2.resize((target == IGNORE).astype(np.float32), (size, size), interpolation=method)
        resized[ignored > 1e-4] = IGNORE
    return resized


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


def batches(cache: Cache, draws: Sequence[Draw], batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of images (N, 3, S, S) uint8 and targets (N, S, S) uint8; the next one is made while one is used."""
    bounds = batch_bounds(len(draws), batch_size)
    with single_threaded_pool() as pool:
        coming = _submit(pool, cache, draws, bounds[0])
        for following in [*bounds[1:], None]:
            current = coming
            if following is not None:
                coming = _submit(pool, cache, draws, following)
            pairs = [future.result() for future in current]
            yield torch.stack([image for image, _ in pairs]), torch.stack([target for _, target in pairs])


@contextmanager
def single_threaded_pool() -> Iterator[ThreadPoolExecutor]:
    """Threads in which torch starts no further ones: a single small image is not worth splitting up.

    Split up, its operations wait for each other's threads; where the cores are busy that costs twenty times their work.
    """
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(THREADS, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(threads)  # what threads that are started later will take over


def _submit(
    pool: ThreadPoolExecutor, cache: Cache, draws: Sequence[Draw], bounds: tuple[int, int]
) -> list[Future[tuple[Tensor, Tensor]]]:
    return [pool.submit(_augmented, cache, draw) for draw in draws[slice(*bounds)]]


def _augmented(cache: Cache, draw: Draw) -> tuple[Tensor, Tensor]:
    image = torch.from_numpy(cache.images[draw.row]).permute(2, 0, 1)
    target = torch.from_numpy(cache.targets[draw.row])
    return augment(image, target, draw.recipe, np.random.default_rng(draw.seed))


def to_input(images: Tensor, device: torch.device) -> Tensor:
    """Images (N, 3, S, S) uint8 as what a model takes: float32, ImageNet-normalised, channels innermost in memory."""
    mean = torch.tensor(MEAN_RGB, device=device)[:, None, None]
    deviation = torch.tensor(DEVIATION_RGB, device=device)[:, None, None]
    scaled = images.to(device, non_blocking=True).float() / 255
    return ((scaled - mean) / deviation).contiguous(memory_format=torch.channels_last)
