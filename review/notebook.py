"""One photograph as several models see it, in one picture: for a notebook, or to be saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from curate.errors import MismatchError
from curate.images import read_image, read_target
from curate.masks import PERSON, Mask, SizeHW, Target
from curate.person_model import InputSpec, Predict
from review.overlays import RIGHT, error_overlay, outlined, tinted
from train.inference.predict import to_bytes
from train.scoring.metrics import THRESHOLD, score_image
from train.scoring.peers import open_predict

WIDTH_PX = 420
"""Of each picture."""

GAP_PX, CAPTION_PX = 8, 26
INK, PAPER = (30, 41, 59), (255, 255, 255)

Rgb = NDArray[np.uint8]


Model = str | PathLike[str] | Predict


def side_by_side(
    photo: str | PathLike[str] | Rgb,
    models: Model | Sequence[Model] | Mapping[str, Model],
    label: str | PathLike[str] | Target | None = None,
) -> Image.Image:
    """A photograph and its label, and below, for each model, what it predicts and where that is wrong.

    Args:
        photo: An image file, or (H, W, 3) uint8 RGB.
        models: Run folders, ONNX files of person models, `grabcut`, or functions from an image (H, W, 3) uint8 to the
            probability of person (H, W) in [0, 1]; one or several, or several by the names they are to have. An ONNX
            file that does not say what its input looks like becomes a function by
            `curate.person_model.open_model(path, InputSpec(normalise="signed")).predict`.
        label: Its mask, a file or an array, as datasets hold it: 0, 255, and 128 for what is not counted.

    Returns:
        A picture that notebooks show; a row for each model, errors only where there is a label.

    Raises:
        CurateError: A file or model cannot be read; label and photograph differ in size.
    """
    image = photo if isinstance(photo, np.ndarray) else read_image(Path(photo))
    target = label_of(label, (image.shape[0], image.shape[1]))
    rows = [[("photograph", at_width(image))]]
    if target is not None:
        rows[0].append(("label", person_over(image, target == PERSON)))
    for name, model in named(models).items():
        predict = model if callable(model) else open_predict(str(model), InputSpec())
        rows.append(row_of(name, image, target, to_bytes(predict(image), name)))
    return arranged(rows)


def label_of(label: str | PathLike[str] | Target | None, size_hw: SizeHW) -> Target | None:
    """A label of an image of this size.

    Raises:
        CurateError: It cannot be read, or has another size.
    """
    if label is None or not isinstance(label, np.ndarray):
        return None if label is None else read_target(Path(label), size_hw)
    if label.shape != size_hw:
        raise MismatchError(
            "label", f"the photograph's size {size_hw}", str(label.shape), "Pass the label of this photo"
        )
    return label


def named(models: Model | Sequence[Model] | Mapping[str, Model]) -> dict[str, Model]:
    """The models by the names that stand over their pictures."""
    if isinstance(models, Mapping):
        return dict(models)
    several = [models] if callable(models) or isinstance(models, str | PathLike) else list(models)
    names = [getattr(one, "__name__", "model") if callable(one) else Path(one).name for one in several]
    return {
        name if names.count(name) == 1 else f"{name} {n}": one
        for n, (name, one) in enumerate(zip(names, several, strict=True), 1)
    }


def row_of(name: str, image: Rgb, target: Target | None, prediction: NDArray[np.uint8]) -> list[tuple[str, Rgb]]:
    """What a model predicts, captioned, and its errors where there is a label."""
    row = [(name, person_over(image, prediction >= THRESHOLD))]
    if target is not None:
        iou = score_image(target, prediction)["iou"]
        words = "nobody, and nobody found" if iou is None else f"IoU {iou:.3f}"
        row.append((f"{name}: {words}", error_overlay(image, target, prediction >= THRESHOLD, WIDTH_PX)))
    return row


def at_width(image: Rgb) -> Rgb:
    """An image of WIDTH_PX."""
    size_wh = WIDTH_PX, max(1, round(image.shape[0] * WIDTH_PX / image.shape[1]))
    return np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA), np.uint8)


def person_over(image: Rgb, person: Mask) -> Rgb:
    """A person tinted and outlined over the image, WIDTH_PX wide."""
    small = at_width(image)
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
