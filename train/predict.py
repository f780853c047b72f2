"""Probabilities at native size from a trained model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from curate.errors import CurateError, MissingError, UsageError
from curate.files import write_atomic
from curate.images import prediction_png
from curate.masks import SizeHW
from curate.orientation import as_stored, read_upright
from curate.person_model import Predict
from curate.terminal import counted
from train.batches import to_input
from train.cache import resize_image
from train.composite import Background, composed, cut_out, picture_png
from train.execution import autocast
from train.models import Loaded

SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
"""What counts as an image in a folder; a file that is named itself may be called anything."""

CUTOUT, COMPOSITE = "-cutout", "-composite"
ENDINGS = ("", CUTOUT, COMPOSITE)
"""What is added to an image's stem in the names of the mask and the pictures made of it."""


def predict_image(loaded: Loaded, image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The probability of person (H, W) in [0, 1] of an image (H, W, 3) uint8 RGB, at the image's own size."""
    small = resize_image(image, loaded.config.size)
    return to_native(predict_batch(loaded.model, small[None])[0], (image.shape[0], image.shape[1]))


def predict_batch(model: nn.Module, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Probabilities (N, S, S) of images (N, S, S, 3) uint8 RGB at training size; the model is in evaluation mode."""
    place = next(model.parameters()).device
    # On a CPU predictions are exact: they take little time, and an exported model is held against them.
    with torch.inference_mode(), autocast(place, "fp32" if place.type == "cpu" else "auto"):
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
    for written in (out / name for name in taken):
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
    predict: Predict,
    images: Mapping[Path, Path],
    out: Path,
    *,
    cutout: bool = False,
    background: Background | None = None,
) -> Iterator[tuple[Path, CurateError | None]]:
    """Write a mask for each image, and pictures made with it; yields (image, what was wrong with it or None).

    An image that cannot be read is passed over. One with an EXIF orientation is predicted as a viewer shows it. Its
    mask speaks of the stored raster, as every mask does; the pictures are upright.

    Args:
        predict: The model.
        images: Image -> mask, as `listed_images` gives them.
        out: Folder for the pictures.
        cutout: Write the person alone, as a PNG with alpha.
        background: Write the person before this.
    """
    for path, mask_path in images.items():
        try:
            image, orientation = read_upright(path)
            alpha = to_bytes(predict(image))
        except CurateError as error:
            yield path, error
            continue
        write_atomic(mask_path, prediction_png(as_stored(alpha, orientation)))
        if cutout:
            write_atomic(out / f"{path.stem}{CUTOUT}.png", picture_png(cut_out(image, alpha)))
        if background:
            composite = composed(image, alpha, background(image, alpha))
            write_atomic(out / f"{path.stem}{COMPOSITE}.png", picture_png(composite))
        yield path, None
