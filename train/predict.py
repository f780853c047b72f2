"""Probabilities at native size from a trained model."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from curate.errors import CurateError, MissingError, UsageError
from curate.files import write_atomic
from curate.images import prediction_png, read_image
from curate.masks import SizeHW
from train.batches import to_input
from train.cache import resize_image
from train.execution import autocast
from train.models import Loaded, device

SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
"""What counts as an image in a folder; a file that is named itself may be called anything."""


def predict_image(loaded: Loaded, image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The probability of person (H, W) in [0, 1] of an image (H, W, 3) uint8 RGB, at the image's own size."""
    small = resize_image(image, loaded.config.size)
    return to_native(predict_batch(loaded.model, small[None])[0], (image.shape[0], image.shape[1]))


def predict_batch(model: nn.Module, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Probabilities (N, S, S) of images (N, S, S, 3) uint8 RGB at training size; the model is in evaluation mode."""
    place = next(model.parameters()).device
    with torch.inference_mode(), autocast(place):
        logits = model(to_input(torch.from_numpy(images).permute(0, 3, 1, 2), place))
        chances: NDArray[np.float32] = torch.sigmoid(logits[:, 0].float()).cpu().numpy()
    return chances


def predict_both_views(model: nn.Module, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """`predict_batch`, as the mean of the images and their mirror images."""
    mirrored = predict_batch(model, np.ascontiguousarray(images[:, :, ::-1]))[:, :, ::-1]
    return np.asarray((predict_batch(model, images) + mirrored) / 2, np.float32)


def to_native(chances: NDArray[np.float32], size_hw: SizeHW) -> NDArray[np.float32]:
    """A probability map (S, S) resized bilinearly to (H, W)."""
    return cv2.resize(chances, (size_hw[1], size_hw[0]), interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]


def to_bytes(chances: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A probability map as the 8-bit values of a prediction: round(255 p)."""
    grey: NDArray[np.uint8] = np.rint(chances * 255).clip(0, 255).astype(np.uint8)
    return grey


def cutout_png(image: NDArray[np.uint8], prediction: NDArray[np.uint8]) -> bytes:
    """The image (H, W, 3) with its prediction (H, W) as alpha, as a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(np.dstack([image, prediction])).save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def listed_images(places: Sequence[Path], out: Path) -> dict[Path, Path]:
    """Image file -> mask file in `out`, for files and for the images that lie directly in folders, sorted.

    Raises:
        MissingError: A place is not there, or a folder holds no image.
        UsageError: Two images have one stem, or a mask would replace one of the images.
    """
    found: dict[Path, Path] = {}
    taken: dict[str, Path] = {}
    for path in (path for place in places for path in _images_at(place)):
        if path.stem in taken and taken[path.stem] != path:
            raise UsageError(f"{path}: has the stem of {taken[path.stem]}, both would be {path.stem}.png. Use two runs")
        taken[path.stem] = path
        found[path] = out / f"{path.stem}.png"
    for path in found:
        for written in (out / f"{path.stem}.png", out / f"{path.stem}-cutout.png"):
            if any(written.exists() and written.samefile(image) for image in found if image.exists()):
                raise UsageError(f"{written}: is one of the images and would be replaced. Choose another --out")
    return found


def _images_at(place: Path) -> list[Path]:
    if place.is_dir():
        inside = sorted(path for path in place.iterdir() if path.suffix.lower() in SUFFIXES)
        if not inside:
            raise MissingError(f"{place}: holds no image ({', '.join(sorted(SUFFIXES))})")
        return inside
    if not place.exists():
        raise MissingError(f"{place}: no such file or folder. Check the path")
    return [place]


def predict_files(
    loaded: Loaded, images: Mapping[Path, Path], out: Path, cutout: bool
) -> Iterator[tuple[Path, CurateError | None]]:
    """Write a mask for each image, and with `cutout` a PNG with alpha; yields (image, what was wrong with it or None).

    An image that cannot be read is passed over.
    """
    loaded.model.to(device())
    for path, mask_path in images.items():
        try:
            image = read_image(path)
        except CurateError as error:
            yield path, error
            continue
        prediction = to_bytes(predict_image(loaded, image))
        write_atomic(mask_path, prediction_png(prediction))
        if cutout:
            write_atomic(out / f"{path.stem}-cutout.png", cutout_png(image, prediction))
        yield path, None
