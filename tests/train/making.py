"""Small datasets of drawn people: a bright body on a dark, noisy ground, so that a small model learns something."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import polars as pl
import pytest
import safetensors.torch
import torch
from PIL import Image

from curate import schema
from curate.classes import FOLDER, class_png, class_tag
from curate.dataset import Dataset, open_dataset
from curate.files import sha256_file, staged_folder
from curate.finish import finish_dataset
from curate.images import png_bytes
from curate.masks import PERSON, Target, area_fraction
from train.config import ENCODER_MODELS, FitConfig
from train.monitoring.log import EpochLine, read_log
from train.monitoring.plots import curves_png
from train.monitoring.steps import StepLine

SPLITS = ("train",) * 8 + ("val",) * 3 + ("test",) * 2 + ("background",)

NARROW = 8


def make_dataset(
    root: Path,
    splits: Sequence[str] = SPLITS,
    *,
    side: int = 48,
    folds: int = 0,
    per_group: int = 1,
    seed: int = 0,
    classes: bool = False,
) -> Dataset:
    """A dataset version with one drawn image per entry of `splits`; `folds` deals its training images into folds.

    With `classes`, two in three of its images say where held objects and animals are: red and blue squares.
    """
    rng = np.random.default_rng(seed)
    with staged_folder(root) as staging:
        (staging / "images").mkdir()
        (staging / "masks").mkdir()
        rows = [
            _write_sample(staging, number, split, side, folds, number // per_group, rng)
            for number, split in enumerate(splits)
        ]
        if classes:
            (staging / FOLDER).mkdir()
            for row in rows[::3] + rows[1::3]:
                _draw_things(staging, row, rng)
        finish_dataset(
            staging,
            name=root.name,
            version=1,
            parent=None,
            recipe={"held": "class", "animals": "class"} if classes else {},
            sources=[],
            funnel=[],
            samples=schema.table(rows, schema.SAMPLES),
            drops=schema.table([], schema.DROPS),
        )
    return open_dataset(root)


def draw_person(rng: np.random.Generator, height: int, width: int, empty: bool) -> tuple[np.ndarray, Target]:  # type: ignore[type-arg]
    """An image (H, W, 3) and its target."""
    ground = rng.integers(0, 90, (height, width, 3), dtype=np.uint8)
    target = np.zeros((height, width), np.uint8)
    if not empty:
        middle = (int(rng.integers(width // 3, 2 * width // 3)), int(rng.integers(height // 3, 2 * height // 3)))
        axes = (int(rng.integers(width // 8, width // 4)), int(rng.integers(height // 5, height // 3)))
        cv2.ellipse(target, middle, axes, 0, 0, 360, PERSON, -1)
    image = np.where((target == PERSON)[..., None], ground + np.uint8(140), ground)
    return image.astype(np.uint8), target


def _write_sample(
    staging: Path, number: int, split: str, side: int, folds: int, group: int, rng: np.random.Generator
) -> dict[str, object]:
    sample_id, height, width = f"drawn-{number:03}", side, side + number % 3 * 8
    image, target = draw_person(rng, height, width, split == "background")
    if number % 4 == 1:
        target[:, :3] = 128
    image_path, mask_path = staging / f"images/{sample_id}.png", staging / f"masks/{sample_id}.png"
    Image.fromarray(image).save(image_path)
    mask_path.write_bytes(png_bytes(target))
    return {
        "sample_id": sample_id,
        "image": f"images/{sample_id}.png",
        "mask": f"masks/{sample_id}.png",
        "width": width,
        "height": height,
        "people": int((target == PERSON).any()),
        "area": area_fraction(target),
        "split": split,
        "fold": group % folds if folds and split == "train" else -1,
        "group": f"group-{group}",
        "source": "drawn",
        "licence": None,
        "origin": "hand",
        "edges": "",
        "touching": [],
        "head_visible": None,
        "image_sha256": sha256_file(image_path),
        "mask_sha256": sha256_file(mask_path),
        "weight": 1.0,
        "tags": [],
    }


def _draw_things(staging: Path, row: dict[str, object], rng: np.random.Generator) -> None:
    """A held object and an animal in the image of a row, and the mask that tells of them."""
    image, target = np.array(Image.open(staging / str(row["image"]))), np.array(Image.open(staging / str(row["mask"])))
    classes = np.zeros_like(target)
    for value, colour in ((1, (255, 0, 0)), (2, (0, 0, 255))):
        top, left = (int(rng.integers(0, side - 12)) for side in target.shape)
        square = np.s_[top : top + 12, left : left + 12]
        ground = (target[square] == 0)[..., None]
        image[square] = np.where(ground, colour, image[square])
        classes[square] = np.where(target[square] == 0, value, classes[square])
    Image.fromarray(image).save(staging / str(row["image"]))
    png = class_png(classes, target)
    (staging / FOLDER / f"{row['sample_id']}.png").write_bytes(png)
    row["tags"] = [class_tag(png)]
    row["image_sha256"] = sha256_file(staging / str(row["image"]))


@contextmanager
def one_thread() -> Iterator[None]:
    """Tensors of 32 px are done sooner by one thread, by far so where other processes keep the cores busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def curves_drawn_once() -> Iterator[None]:
    """The curves of the first run stand for those of all others: drawing them takes a third of such a training."""
    with pytest.MonkeyPatch.context() as patch:
        drawn: list[bytes] = []

        def once(lines: Sequence[EpochLine], steps: Sequence[StepLine]) -> bytes:
            if not drawn:
                drawn.append(curves_png(lines, steps))
            return drawn[0]

        patch.setattr("train.monitoring.journal.curves_png", once)
        yield


def quick(**changes: object) -> FitConfig:
    """A configuration that trains in a second: one epoch at 32 px of a small model that has dropout."""
    any_encoder = changes.get("model", "pspnet") in ENCODER_MODELS
    options: dict[str, object] = {
        "dataset": "",
        "digest": "",
        "model": "pspnet",
        "encoder": "mobilenet_v2" if any_encoder else "auto",
        "weights": "none",
        "size": 32,
        "epochs": 1,
        "batch_size": 4,
        "lr": 1e-3,
        "precision": "fp32",  # what `auto` is depends on the CPU
    }
    return FitConfig(**(options | changes))  # type: ignore[arg-type]


def tensors(path: Path) -> dict[str, bytes]:
    """Name -> raw content of every tensor in a file."""
    return {name: tensor.numpy().tobytes() for name, tensor in safetensors.torch.load_file(path).items()}


def fit_until_killed(root: Path, run: Path, epochs: int, **options: object) -> None:
    """Train `quick(epochs=epochs)` in a process of its own, which SIGKILL ends in its second epoch."""
    from tests.enduring import FORKS, warm_up

    warm_up()
    process = FORKS.Process(target=_fit_and_be_killed, args=(root, run, epochs, options, dict(os.environ)))
    process.start()
    process.join(240)
    assert process.exitcode == -signal.SIGKILL


def _fit_and_be_killed(root: Path, run: Path, epochs: int, options: dict[str, Any], environ: dict[str, str]) -> None:
    from train.fit import fit

    def watch(what: str, total: int) -> Callable[[int], None]:
        def tick(steps: int) -> None:
            if what.startswith("epoch 2"):
                os.kill(os.getpid(), signal.SIGKILL)

        return tick

    os.environ.update(environ)
    fit(open_dataset(root), run, quick(epochs=epochs), watch=watch, **options)


THREE = quick(epochs=3)
"""How `straight` was trained."""


def mined_of(*rows: tuple[str, float, str]) -> pl.DataFrame:
    """A mined table of (sample_id, weight, recipe)."""
    return schema.table(
        [{"sample_id": one, "weight": weight, "recipe": recipe, "reason": ""} for one, weight, recipe in rows],
        schema.MINED,
    )


def stop_in(epoch: str) -> Callable[[str, int], Callable[[int], None]]:
    """A watch that interrupts the step it is told about."""

    def watch(what: str, total: int) -> Callable[[int], None]:
        def tick(steps: int) -> None:
            if what == epoch:
                raise KeyboardInterrupt

        return tick

    return watch


def without_times(run: Path) -> list[EpochLine]:
    """A run's log, seconds left out."""
    return [msgspec.structs.replace(line, seconds=0) for line in read_log(run)]
