"""A person cut out of a photograph, or put before something else."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageOps

from curate.errors import MissingError, UsageError
from curate.orientation import read_upright
from curate.person_model import Photo
from train.inference.refine import box_around, shrink

Alpha: TypeAlias = NDArray[np.uint8]
"""(H, W): 0 background, 255 person, and what lies between as the share of the person in a pixel."""
Background: TypeAlias = Callable[[Photo, Alpha], Photo]
"""From an image (H, W, 3) uint8 RGB and its alpha to what is put behind the person, of the same size."""

BLUR = 0.02
"""Of the diagonal: the standard deviation of the Gaussian that a background is blurred with."""
BLUR_STEP_PX = 4
"""The background is blurred at a size at which the standard deviation is this many px."""
MARGIN_PX = 16
"""Of what lies around the person, so much is looked at to tell the colours of its rim."""


def open_background(word: str) -> Background:
    """The background that a word names: `blur`, a colour as Pillow's ImageColor reads it, or a picture's path.

    Raises:
        UsageError: It is none of these.
        MissingError, FormatError: The picture is not there, or damaged.
    """
    if word == "blur":
        return blurred
    path = Path(word)
    if path.is_file() or path.suffix.lower() in Image.registered_extensions():
        if not path.is_file():
            raise MissingError(f"--background {word}: no such picture. Check the path")
        picture = Image.fromarray(read_upright(path)[0])
        return lambda image, alpha: np.array(ImageOps.fit(picture, image.shape[1::-1], Image.Resampling.LANCZOS))
    try:
        colour = ImageColor.getcolor(word, "RGB")
    except ValueError:
        raise UsageError(
            f"--background {word}: expected a picture's file, blur, or a colour such as white or '#00ff00'"
        ) from None
    return lambda image, alpha: np.full_like(image, colour)


def blurred(image: Photo, alpha: Alpha) -> Photo:
    """What is around the person, out of focus; the person's own colours take no part in it.

    That is a Gaussian blur of the background divided by that of its weight (normalised convolution, Knutsson and Westin
    1993), so that no shadow of the person stands around the person.
    """
    height, width = alpha.shape
    scale = min(1.0, BLUR_STEP_PX / (BLUR * float(np.hypot(height, width))))
    small_hw = max(1, round(height * scale)), max(1, round(width * scale))
    sigma = BLUR * float(np.hypot(*small_hw))
    weight = np.maximum(1 - alpha / np.float32(255), 1e-4) ** 2
    sums = cv2.GaussianBlur(shrink(image * weight[..., None], small_hw), (0, 0), sigma)
    weights = cv2.GaussianBlur(shrink(weight, small_hw), (0, 0), sigma)
    mean = np.asarray(sums / weights[..., None], np.float32)
    soft = cv2.resize(mean, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.rint(soft).clip(0, 255), np.uint8)


def person_colours(image: Photo, alpha: Alpha) -> Photo:
    """The image (H, W, 3) with the person's own colours where the person covers a part of a pixel; black where none is.

    Such a pixel, as at hair, holds the old background too, which would stay as a fringe before a new one. Foreground
    and background are estimated together (Germer et al. 2020, "Fast Multi-Level Foreground Estimation").
    """
    own = np.where((alpha > 0)[..., None], image, np.uint8(0))
    rim = (alpha > 0) & (alpha < 255)
    if not rim.any() or not (alpha == 255).any():
        return own
    from pymatting import estimate_foreground_ml

    box = box_around(alpha > 0, MARGIN_PX)
    estimated = estimate_foreground_ml(image[box] / np.float32(255), alpha[box] / np.float32(255))
    own[box][rim[box]] = np.rint(estimated[rim[box]] * 255)
    return own


def composed(image: Photo, alpha: Alpha, background: Photo) -> Photo:
    """The person before a background of the same size (H, W, 3) uint8 RGB."""
    share = alpha[..., None] / np.float32(255)
    mixed = share * person_colours(image, alpha) + (1 - share) * background
    return np.asarray(np.rint(mixed), np.uint8)


def cut_out(image: Photo, alpha: Alpha) -> NDArray[np.uint8]:
    """The person alone (H, W, 4) uint8 RGBA, alpha not premultiplied; nothing of the background is left in it."""
    return np.dstack([person_colours(image, alpha), alpha])


def picture_png(picture: NDArray[np.uint8]) -> bytes:
    """An image (H, W, 3) or (H, W, 4) uint8 as a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()
