"""Epochs as `fit` trains them, from a cache on the disk alone, and the same steps on batches in memory, in turns.

In both, batches are augmented on the device. From memory, nothing is fetched, counted or looked at.
"""

import itertools
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import train.data.batches  # before torch, whose threads it tells how to wait

# isort: split
import msgspec
import numpy as np
import torch
from torch import Tensor

from curate.dataset import Dataset, open_dataset
from curate.files import cache_folder
from curate.threads import unwatched
from train.augment import augment
from train.config import FitConfig
from train.data.batches import Draw, batch_bounds, fetch, to_input
from train.data.cache import Cache, open_cache
from train.data.material import Material
from train.engine.execution import autocast, precision_on
from train.engine.learner import Learner, make_learner
from train.engine.stages import stages
from train.engine.training import epoch_draws, train_epoch
from train.models import build_model, device_name

RATE = 1e-4
AGREEING_STEPS = 20


class Waiting(ThreadPoolExecutor):
    """What `train.data.batches` fetches with, and how many seconds its results were waited for."""

    waited_s = 0.0

    def submit(self, *task: Any, **options: Any) -> Future[Any]:
        """The future, whose result is timed."""
        future = super().submit(*task, **options)
        result = future.result

        def timed(timeout: float | None = None) -> Any:
            begun = time.perf_counter()
            made = result(timeout)
            Waiting.waited_s += time.perf_counter() - begun
            return made

        future.result = timed  # type: ignore[method-assign]
        return future


def material_of(dataset: Dataset, cache: Cache) -> Material:
    """Every image of the dataset, drawn alike."""
    rows = len(dataset.samples)
    return Material(
        caches={cache.images.shape[1]: cache},
        rows=np.arange(rows),
        weights=np.ones(rows),
        recipes=["standard"] * rows,
        validation=[],
        epoch_images=rows,
        scenes=np.array([], np.intp),
        held=0,
    )


def forget_pages() -> None:
    """Make the system read the cache from the disk again."""
    os.sync()
    for path in cache_folder().rglob("*.npy"):
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def no_tick(steps: int) -> None:
    """Nobody watches."""


def seconds(place: torch.device, work: Callable[[], object]) -> float:
    """How long something takes until the device has done it."""
    begun = time.perf_counter()
    work()
    if place.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begun


def from_memory(learner: Learner, made: list[tuple[Any, list[Draw]]]) -> None:
    """A step on each of the batches."""
    learner.model.train()
    for (batch, others), draws in made:
        images, targets = augment(batch, others, [draw.recipe for draw in draws], [draw.seed for draw in draws])
        learner.step(images, targets, RATE, 0)


def learner_for(config: FitConfig, place: torch.device) -> Learner:
    """A new one."""
    return make_learner(build_model(config).to(place), config)


def agreement(learnt: Learner, made: list[tuple[Any, list[Draw]]]) -> dict[str, float]:
    """How far bf16 is from fp32: the same weights run in both, models taught from one start in either; fp32's speed."""
    place = learnt.place
    inputs = to_input(made[0][0][0][0], place)
    apart = [learner_for(msgspec.structs.replace(learnt.config, precision=one), place) for one in ("fp32", "bf16")]
    for number, learner in itertools.product(range(AGREEING_STEPS), apart):
        images, targets = made[number % len(made)][0][0]
        learner.step(images, targets, 1e-3, number)
    from_memory(apart[0], made[:2])
    fp32_s = seconds(place, partial(from_memory, apart[0], made))
    with torch.inference_mode():
        with autocast(place, "bf16"):
            half = learnt.model.eval()(inputs).float()
        full, first, second = (one.eval()(inputs) for one in (learnt.model, *(each.model for each in apart)))
    return {
        "overlap": overlap(full, half),
        "difference": float((full - half).norm() / full.norm()),
        "overlap_apart": overlap(first, second),
        "fp32_rate": sum(len(draws) for _, draws in made) / fp32_s,
    }


def overlap(one: Tensor, other: Tensor) -> float:
    """IoU of the masks of two logits."""
    return float(((one > 0) & (other > 0)).sum() / ((one > 0) | (other > 0)).sum().clamp(min=1))


def main(folder: Path, device: str, encoder: str, size: int, batch_size: int, runs: int) -> None:
    """Print the seconds of epochs of each kind, those waited for, and what else is told of a GPU."""
    if device == "cpu":
        torch.cuda.is_available = lambda: False
    elif not torch.cuda.is_available():
        print(json.dumps({"left_out": "there is none here"}))
        return
    os.environ["CURATE_CACHE"] = str(folder.with_name(f"{folder.name}-cache-{device}"))
    shutil.rmtree(cache_folder(), ignore_errors=True)
    dataset, place = open_dataset(folder), torch.device(device)
    options = {"encoder": encoder, "size": size, "batch_size": batch_size, "epochs": 10**6, "schedule": "constant"}
    config = FitConfig(dataset="", digest="", weights="none", lr=RATE, **options)  # type: ignore[arg-type]
    begun = time.perf_counter()
    cache = open_cache(dataset, size, unwatched)
    cache_s = time.perf_counter() - begun
    material, stage = material_of(dataset, cache), stages(config)[0]
    draws = epoch_draws(material, "standard", (0, 0, 1))
    parts = [draws[begin:end] for begin, end in batch_bounds(len(draws), batch_size)]
    made = [(fetch(cache, part, place), part) for part in parts]
    learner = learner_for(config, place)
    vars(train.data.batches)["ThreadPoolExecutor"] = Waiting
    found: dict[str, list[float]] = {"fit_s": [], "memory_s": [], "waited": []}
    from_memory(learner, made[: max(2, len(made) // 8)])  # the first steps choose algorithms and fill the allocator
    for number in range(2 * runs + 1):
        forget_pages()
        Waiting.waited_s = 0.0
        fit_s = seconds(place, partial(train_epoch, learner, material, stage, (-1, number + 1), no_tick))
        found["fit_s"].append(fit_s)
        found["waited"].append(Waiting.waited_s / fit_s)
        found["memory_s"].append(seconds(place, partial(from_memory, learner, made)))
    told = {"device": device_name(), "precision": precision_on(place, "auto"), "cache_s": cache_s, **found}
    if device == "cuda":
        told["gpu_mib"] = torch.cuda.max_memory_allocated() / 2**20
        told |= agreement(learner, made)
    print(json.dumps(told))


if __name__ == "__main__":
    folder, device, encoder, *numbers = sys.argv[1:]
    main(Path(folder), device, encoder, *map(int, numbers))
