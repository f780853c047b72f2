"""Probabilities at native size from a trained model."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from curate.errors import CurateError, MachineError, MissingError, UsageError
from curate.files import sync_tree, write_atomic
from curate.images import IMAGE_SUFFIXES, prediction_png
from curate.masks import SizeHW
from curate.orientation import as_stored, read_upright
from curate.person_model import Predict
from curate.terminal import counted
from train.data.batches import THREADS, to_input
from train.data.cache import resize_image
from train.engine.execution import autocast
from train.inference.composite import Background, composed, cut_out, picture_png
from train.models import Loaded

CUTOUT, COMPOSITE = "-cutout", "-composite"
ENDINGS = ("", CUTOUT, COMPOSITE)
"""What is added to an image's stem in the names of the mask and the pictures made of it."""


def predict_image(loaded: Loaded, image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The probability of person (H, W) in [0, 1] of an image (H, W, 3) uint8 RGB, at the image's own size."""
    small = resize_image(image, loaded.config.size)
    chances = predict_batch(loaded.model, small[None], loaded.config.precision)[0]
    return to_native(chances, (image.shape[0], image.shape[1]))


def predict_batch(model: nn.Module, images: NDArray[np.uint8], precision: str = "auto") -> NDArray[np.float32]:
    """Probabilities (N, S, S) of images (N, S, S, 3) uint8 RGB at training size; the model is in evaluation mode.

    `precision` is that of a run, and holds on a GPU. On a CPU predictions are exact: they take little time, and an
    exported model is held against them. Images that do not fit into the GPU's memory together are taken in halves.

    Raises:
        MachineError: A single image does not fit.
    """
    place = next(model.parameters()).device
    try:
        with torch.inference_mode(), autocast(place, "fp32" if place.type == "cpu" else precision):
            logits = model(to_input(torch.from_numpy(images).permute(0, 3, 1, 2), place))
            chances: NDArray[np.float32] = torch.sigmoid(logits[:, 0].float()).cpu().numpy()
        return chances
    except torch.OutOfMemoryError:
        pass  # what the failed attempt holds is free once this block is left
    if len(images) == 1:
        what = f"an image of {images.shape[1]} px does not fit into the GPU's memory"
        raise MachineError(f"{what}. Free some of it, or predict on the CPU: CUDA_VISIBLE_DEVICES=")
    half = len(images) // 2
    return np.concatenate([predict_batch(model, part, precision) for part in (images[:half], images[half:])])


def predict_both_views(model: nn.Module, images: NDArray[np.uint8], precision: str = "auto") -> NDArray[np.float32]:
    """`predict_batch`, as the mean of the images and their mirror images."""
    mirrored = predict_batch(model, np.ascontiguousarray(images[:, :, ::-1]), precision)[:, :, ::-1]
    return np.asarray((predict_batch(model, images, precision) + mirrored) / 2, np.float32)


def to_native(chances: NDArray[np.float32], size_hw: SizeHW) -> NDArray[np.float32]:
    """A probability map (S, S) resized bilinearly to (H, W)."""
    return cv2.resize(chances, (size_hw[1], size_hw[0]), interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]


def to_bytes(chances: NDArray[np.float32], model: str = "the model") -> NDArray[np.uint8]:
    """A probability map of a model as the 8-bit values of a prediction: round(255 p).

    Raises:
        CurateError: A probability is no number.
    """
    broken = int(np.isnan(chances).sum())
    if broken:
        raise CurateError(
            f"{model}: what it predicts is no number at {counted(broken, 'pixel')} of {chances.size:,}; its weights "
            "have diverged. Use another model, or train it again with a lower --lr"
        )
    grey: NDArray[np.uint8] = np.rint(chances * 255).clip(0, 255).astype(np.uint8)
    return grey


def listed_images(places: Sequence[Path], out: Path) -> dict[Path, Path]:
    """Image file -> mask file in `out`, for files and for the images that lie directly in folders, sorted.

    Raises:
        MissingError: A place is not there, or a folder holds no image.
        UsageError: Two images would write one file, or one would replace an image.
    """
    found: dict[Path, Path] = {}
    taken: dict[str, Path] = {}
    for path in (path for place in places for path in _images_at(place)):
        for name in (f"{path.stem}{ending}.png" for ending in ENDINGS):
            if taken.setdefault(name, path) != path:
                raise UsageError(f"{path}: has the stem of {taken[name]}, both would write {name}. Use two runs")
        found[path] = out / f"{path.stem}.png"
    images = {_identity(image) for image in found} - {None}
    for written in (out / name for name in taken):
        if _identity(written) in images:
            raise UsageError(f"{written}: is one of the images and would be replaced. Choose another --out")
    return found


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file of which disk a path leads to; None where it leads to none."""
    with suppress(OSError):
        found = path.stat()
        return found.st_dev, found.st_ino
    return None


def _images_at(place: Path) -> list[Path]:
    if place.is_dir():
        inside = sorted(path for path in place.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
        if not inside:
            raise MissingError(f"{place}: holds no image ({', '.join(sorted(IMAGE_SUFFIXES))})")
        return inside
    if not place.exists():
        raise MissingError(f"{place}: no such file or folder. Check the path")
    return [place]


def predict_files(
    predict: Predict,
    images: Mapping[Path, Path],
    out: Path,
    *,
    cutout: bool = False,
    background: Background | None = None,
) -> Iterator[tuple[Path, CurateError | None]]:
    """Write a mask for each image, and pictures made with it; yields (image, what was wrong with it or None).

    As many are worked on at once as there are threads, and told in their order; `predict` is called from all of them.
    An image that cannot be read is passed over. One with an EXIF orientation is predicted as a viewer shows it. Its
    mask speaks of the stored raster, as every mask does; the pictures are upright.

    Args:
        predict: The model.
        images: Image -> mask, as `listed_images` gives them.
        out: Folder for the pictures.
        cutout: Write the person alone, as a PNG with alpha.
        background: Write the person before this.
    """

    def write(path: Path, mask_path: Path) -> CurateError | None:
        try:
            image, orientation = read_upright(path)
            alpha = to_bytes(predict(image))
        except CurateError as error:
            return error
        write_atomic(mask_path, prediction_png(as_stored(alpha, orientation)), synced=False)
        for ending, picture in _pictures(image, alpha, cutout, background):
            write_atomic(out / f"{path.stem}{ending}.png", picture_png(picture), synced=False)
        return None

    # Filters for warnings are global to the process: threads that set and reset them would undo each other.
    with warnings.catch_warnings(), ThreadPoolExecutor(THREADS) as pool:
        warnings.simplefilter("ignore")
        writing = {path: pool.submit(write, path, mask_path) for path, mask_path in images.items()}
        try:
            for path, future in writing.items():
                yield path, future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    if out.is_dir():
        sync_tree(out)


def _pictures(
    image: NDArray[np.uint8], alpha: NDArray[np.uint8], cutout: bool, background: Background | None
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """The pictures that are asked for, each with what its file's name ends in."""
    if cutout:
        yield CUTOUT, cut_out(image, alpha)
    if background:
        yield COMPOSITE, composed(image, alpha, background(image, alpha))
