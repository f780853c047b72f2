"""A dataset of drawn people with the predictions of a fair model, as probabilities and as two-valued masks."""

import os
import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from curate.choosing.build import build_dataset
from curate.choosing.recipe import Recipe
from curate.images import prediction_png, target_png
from curate.masks import PERSON, Target

SIZE_HW = 480, 640
MODEL_PX = 224
"""Side of what the pretended model gives, enlarged to native size as a real one's is."""


def draw_person(rng: np.random.Generator) -> Target:
    """A mask (H, W) of one person of 5 to 40 % of the image."""
    target = np.zeros(SIZE_HW, np.uint8)
    x, y = int(rng.integers(200, 440)), int(rng.integers(220, 300))
    width, height = int(rng.integers(50, 150)), int(rng.integers(100, 200))
    cv2.ellipse(target, (x, y), (width, height), float(rng.integers(-20, 20)), 0, 360, PERSON, -1)
    cv2.circle(target, (x, y - height), width // 2, PERSON, -1)
    return target


def predicted(target: Target, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A prediction (H, W): the mask seen small, noisy and soft, enlarged."""
    small = cv2.resize(target, (MODEL_PX, MODEL_PX), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    noisy = small + rng.normal(0, 0.35, small.shape).astype(np.float32)
    chances = 1 / (1 + np.exp(-14 * (cv2.GaussianBlur(noisy, (0, 0), 3) - 0.5)))
    values: NDArray[np.uint8] = np.rint(255 * cv2.resize(chances, SIZE_HW[::-1])).astype(np.uint8)
    return values


def main(folder: Path, images: int) -> None:
    """Write `photos`, `masks`, `predictions` and `thresholded` into a folder, and build `people` of the first two."""
    rng = np.random.default_rng(0)
    for part in ("photos", "masks", "predictions", "thresholded"):
        (folder / part).mkdir(parents=True)
    photo = cv2.GaussianBlur(rng.integers(0, 256, (*SIZE_HW, 3), np.uint8), (0, 0), 1)
    cv2.imwrite(str(folder / "photo.jpg"), photo, [cv2.IMWRITE_JPEG_QUALITY, 92])
    for number in range(images):
        name, target = f"{number:05d}.png", draw_person(rng)
        prediction = predicted(target, rng)
        os.link(folder / "photo.jpg", folder / "photos" / f"{number:05d}.jpg")
        (folder / "masks" / name).write_bytes(target_png(target))
        (folder / "predictions" / f"pairs-{name}").write_bytes(prediction_png(prediction))
        person = np.where(prediction >= 128, np.uint8(PERSON), np.uint8(0))
        (folder / "thresholded" / f"pairs-{name}").write_bytes(target_png(person))
    build_dataset(Recipe(pairs=[(str(folder / "photos"), str(folder / "masks"))]), folder / "people")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
