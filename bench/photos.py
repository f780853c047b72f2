"""A photograph for each image of a generated file: no two alike, of the size its record states.

Each is a blend of two windows out of two large drawings, so that drawing one costs little more than compressing it, no
two have the same bytes, and no two are near duplicates.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.generate import CHUNK, file_name, image_ids, scenes_of

Photo = NDArray[np.uint8]

QUALITY = 92
_CANVAS_PX = 2048


def write_photos(folder: Path, images: int, seed: int = 0, processes: int = 2) -> None:
    """Write the photographs of the file that `write_coco` writes with the same arguments."""
    folder.mkdir(parents=True, exist_ok=True)
    firsts = range(0, images, CHUNK)
    write = partial(_write_chunk, folder=folder, images=images, seed=seed)
    if len(firsts) == 1 or processes == 1:
        for first in firsts:
            write(first)
        return
    with get_context("fork").Pool(processes) as pool:
        pool.map(write, firsts, chunksize=1)


def draw_photo(rng: np.random.Generator, canvases: Sequence[Photo], width: int, height: int) -> Photo:
    """A photograph, (H, W, 3) uint8: a window of each canvas, the second upside down, blended."""
    corners = rng.integers(0, _CANVAS_PX - 640, (2, 2))
    windows = [canvas[y : y + height, x : x + width] for canvas, (y, x) in zip(canvases, corners, strict=True)]
    share = float(rng.uniform(0.35, 0.65))
    return cv2.addWeighted(windows[0], share, np.ascontiguousarray(windows[1][::-1]), 1 - share, 0)  # type: ignore[return-value]


def _write_chunk(first: int, *, folder: Path, images: int, seed: int) -> None:
    rng = np.random.default_rng([seed, 4, first])
    scenes, ids = scenes_of(first, images, seed), image_ids(images, seed)[first:]
    cv2.setNumThreads(1)
    for width, height, image_id in zip(scenes.width.tolist(), scenes.height.tolist(), ids.tolist(), strict=False):
        photo = draw_photo(rng, canvases(seed), width, height)
        cv2.imwrite(str(folder / file_name(image_id)), photo, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])


@cache
def canvases(seed: int) -> tuple[Photo, Photo]:
    """Two large drawings of clouds of every scale, (S, S, 3) uint8."""
    rng = np.random.default_rng([seed, 5])
    return _clouds(rng), _clouds(rng)


def _clouds(rng: np.random.Generator) -> Photo:
    total = np.zeros((_CANVAS_PX, _CANVAS_PX, 3), np.float32)
    for cells, strength in ((16, 70), (64, 40), (256, 18), (1024, 12)):
        coarse = rng.normal(0, strength, (cells, cells, 3)).astype(np.float32)
        total += cv2.resize(coarse, (_CANVAS_PX, _CANVAS_PX), interpolation=cv2.INTER_CUBIC)
    return np.clip(total + 128, 0, 255).astype(np.uint8)
