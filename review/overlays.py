"""Pictures for people: a prediction over its photograph, coloured by what is right and what is wrong."""

from __future__ import annotations

import base64
import io

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from curate.masks import IGNORE, PERSON, Mask, Target

RIGHT, FALSE_POSITIVE, FALSE_NEGATIVE = (70, 190, 90), (230, 60, 50), (50, 110, 240)
"""RGB: person found, background taken for person, person missed."""

Rgb = NDArray[np.uint8]


def error_overlay(image: Rgb, target: Target, predicted: Mask, width_px: int = 320) -> Rgb:
    """The photograph with its person tinted green where found, blue where missed, and false person red.

    The label's outline is drawn white; pixels that are not counted are left as they are.

    Args:
        image: (H, W, 3) RGB.
        target: (H, W) of 0, 128, 255.
        predicted: (H, W).
        width_px: Width of the result; its height follows the image's aspect ratio.

    Returns:
        (h, width_px, 3) RGB.
    """
    size_wh = (width_px, max(1, round(image.shape[0] * width_px / image.shape[1])))
    small = np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
    labels = cv2.resize(target, size_wh, interpolation=cv2.INTER_NEAREST)
    guess = cv2.resize(predicted.astype(np.uint8), size_wh, interpolation=cv2.INTER_NEAREST).astype(bool)
    person, counted = labels == PERSON, labels != IGNORE
    for colour, where in (
        (RIGHT, person & guess),
        (FALSE_POSITIVE, guess & ~person & counted),
        (FALSE_NEGATIVE, person & ~guess),
    ):
        small = tinted(small, where, colour, strength=0.35 if colour is RIGHT else 0.6)
    return outlined(small, person)


def tinted(image: Rgb, where: Mask, colour: tuple[int, int, int], strength: float) -> Rgb:
    """The image with `colour` mixed in at `strength` [0, 1] where the mask is set."""
    mixed = np.rint(image * (1 - strength) + np.array(colour) * strength).astype(np.uint8)
    return np.where(where[..., None], mixed, image)


def outlined(image: Rgb, mask: Mask) -> Rgb:
    """The image with the mask's outline drawn white, one pixel wide."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(image.copy(), contours, -1, (255, 255, 255), 1, cv2.LINE_8), np.uint8)


def data_uri(image: Rgb) -> str:
    """The image as a JPEG in a `data:` URI, so that a page needs no second file."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
