"""A dataset of one photograph under many names, and a new mask for each of them."""

import os
import sys
from pathlib import Path

import cv2
import numpy as np

from curate.choosing.build import build_dataset
from curate.choosing.recipe import Recipe
from curate.images import target_png
from curate.masks import PERSON

SIZE_HW = 480, 640


def ellipse(x: int, height: int) -> bytes:
    """The PNG of a mask with one person."""
    target = np.zeros(SIZE_HW, np.uint8)
    cv2.ellipse(target, (x, SIZE_HW[0] // 2), (60, height), 0, 0, 360, PERSON, -1)
    return target_png(target)


def main(folder: Path, labels: int) -> None:
    """Write `photos`, `masks` and `labels` into a folder, and build `people` of the first two."""
    for part in ("photos", "masks", "labels"):
        (folder / part).mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (*SIZE_HW, 3), np.uint8)
    cv2.imwrite(str(folder / "photo.jpg"), noise, [cv2.IMWRITE_JPEG_QUALITY, 30])
    for number in range(labels):
        os.link(folder / "photo.jpg", folder / "photos" / f"{number:05d}.jpg")
        (folder / "masks" / f"{number:05d}.png").write_bytes(ellipse(320, 150))
        (folder / "labels" / f"{number:05d}.png").write_bytes(ellipse(270 + number % 100, 120 + number % 60))
    build_dataset(Recipe(pairs=[(str(folder / "photos"), str(folder / "masks"))]), folder / "people")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
