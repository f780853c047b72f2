"""One photograph as several models see it, in one picture: for a notebook, or to be saved."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from curate.images import read_image, read_target
from curate.masks import PERSON, Mask, Target
from curate.person_model import InputSpec
from review.overlays import RIGHT, error_overlay, outlined, tinted
from train.inference.predict import to_bytes
from train.scoring.metrics import THRESHOLD, score_image
from train.scoring.peers import open_predict

WIDTH_PX = 420
"""Of each picture."""

GAP_PX, CAPTION_PX = 8, 26
INK, PAPER = (30, 41, 59), (255, 255, 255)

Rgb = NDArray[np.uint8]


def side_by_side(
    photo: str | PathLike[str], models: Sequence[str | PathLike[str]], label: str | PathLike[str] | None = None
) -> Image.Image:
    """A photograph and its label, and below, for each model, what it predicts and where that is wrong.

    Args:
        photo: An image file.
        models: Run folders, ONNX files of person models, or `grabcut`.
        label: Its mask as datasets hold it: 0, 255, and 128 for what is not counted.

    Returns:
        A picture that notebooks show; a row for each model, errors only where there is a label.

    Raises:
        CurateError: A file or model cannot be read; label and photograph differ in size.
    """
    image = read_image(Path(photo))
    target = None if label is None else read_target(Path(label), (image.shape[0], image.shape[1]))
    rows = [[("photograph", shrunken(image))]]
    if target is not None:
        rows[0].append(("label", person_over(image, target == PERSON)))
    for model in map(str, models):
        chances = to_bytes(open_predict(model, InputSpec())(image), model)
        rows.append(row_of(Path(model).name, image, target, chances))
    return arranged(rows)


def row_of(name: str, image: Rgb, target: Target | None, prediction: NDArray[np.uint8]) -> list[tuple[str, Rgb]]:
    """What a model predicts, captioned, and its errors where there is a label."""
    row = [(name, person_over(image, prediction >= THRESHOLD))]
    if target is not None:
        iou = score_image(target, prediction)["iou"]
        words = "nobody, and nobody found" if iou is None else f"IoU {iou:.3f}"
        row.append((f"{name}: {words}", error_overlay(image, target, prediction >= THRESHOLD, WIDTH_PX)))
    return row


def shrunken(image: Rgb) -> Rgb:
    """An image of WIDTH_PX."""
    size_wh = WIDTH_PX, max(1, round(image.shape[0] * WIDTH_PX / image.shape[1]))
    return np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA), np.uint8)


def person_over(image: Rgb, person: Mask) -> Rgb:
    """A person tinted and outlined over the image, WIDTH_PX wide."""
    small = shrunken(image)
    mask = cv2.resize(person.astype(np.uint8), small.shape[1::-1], interpolation=cv2.INTER_NEAREST).astype(bool)
    return outlined(tinted(small, mask, RIGHT, strength=0.45), mask)


def arranged(rows: Sequence[Sequence[tuple[str, Rgb]]]) -> Image.Image:
    """Pictures of one size in rows, each with its caption above it."""
    height = CAPTION_PX + rows[0][0][1].shape[0] + GAP_PX
    width = (WIDTH_PX + GAP_PX) * max(map(len, rows)) - GAP_PX
    sheet = Image.new("RGB", (width, height * len(rows) - GAP_PX), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=16)
    for down, row in enumerate(rows):
        for across, (caption, pixels) in enumerate(row):
            left, top = across * (WIDTH_PX + GAP_PX), down * height
            draw.text((left + 2, top + 3), caption, INK, font)
            sheet.paste(Image.fromarray(pixels), (left, top + CAPTION_PX))
    return sheet
