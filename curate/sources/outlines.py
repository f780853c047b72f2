"""What the corners of polygons tell without drawing them, for many images at once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from curate.masks import SizeHW

Polygons = Sequence[Sequence[float]]


def surely_below(images: Sequence[tuple[Polygons, SizeHW]], least_area: float) -> NDArray[np.bool_]:
    """Which images surely show a person and surely cover less than `least_area` of their pixels; (N,) bool.

    Rasterising costs ten times more than looking at the corners, and most people of COCO are small. A polygon's raster
    lies within its box grown by a pixel; and a polygon whose area is more than its perimeter holds a disc of more than
    a pixel's radius (area <= perimeter x inradius), so its raster is not empty. Whatever is not settled that way, a
    polygon that leaves its image among it, is False and left to rasterising.

    Args:
        images: For each image its flat polygons [x0, y0, x1, y1, ...], each of at least three points, and its size.
        least_area: Fraction of the image.
    """
    outlines = [polygon for polygons, _ in images for polygon in polygons]
    below = np.zeros(len(images), bool)
    if not outlines:
        return below
    counts = np.array([len(polygons) for polygons, _ in images])
    sizes = np.array([size_hw for _, size_hw in images], np.float64)
    height, width = np.repeat(sizes, counts, axis=0).T
    left, top, right, bottom, area, perimeter = measure_outlines(outlines)
    inside = (left >= 0) & (top >= 0) & (right <= width) & (bottom <= height)
    owner = np.repeat(np.arange(len(images)), counts)
    most_px = np.bincount(owner, (right - left + 2) * (bottom - top + 2), len(images))
    all_inside = np.bincount(owner, ~inside, len(images)) == 0
    shown = np.bincount(owner, area > perimeter, len(images)) > 0
    below[:] = all_inside & shown & (most_px < least_area * sizes.prod(axis=1))
    return below


def measure_outlines(outlines: Polygons) -> NDArray[np.float64]:
    """Left, top, right and bottom, area (shoelace) and perimeter (city blocks) of flat polygons; (6, N), px.

    >>> measure_outlines([[0, 0, 4, 0, 4, 3, 0, 3]]).ravel().tolist()
    [0.0, 0.0, 4.0, 3.0, 12.0, 14.0]
    """
    lengths = np.fromiter(map(len, outlines), np.int64, len(outlines)) // 2
    flat = np.fromiter(chain.from_iterable(outlines), np.float64, 2 * int(lengths.sum()))
    x, y = flat[0::2], flat[1::2]
    starts = np.cumsum(lengths) - lengths
    following = np.arange(1, x.size + 1)
    following[starts + lengths - 1] = starts
    across, down = x[following] - x, y[following] - y
    area = np.abs(np.add.reduceat(x * down - y * across, starts)) / 2
    perimeter = np.add.reduceat(np.abs(across) + np.abs(down), starts)
    corners = [np.minimum.reduceat(x, starts), np.minimum.reduceat(y, starts)]
    corners += [np.maximum.reduceat(x, starts), np.maximum.reduceat(y, starts)]
    return np.stack([*corners, area, perimeter])


def spacing_px(outlines: Polygons) -> float | None:
    """Mean length of the polygons' edges in px; None where there is no polygon.

    >>> spacing_px([[0, 0, 4, 0, 4, 3, 0, 3]])
    3.5
    """
    length, vertices = 0.0, 0
    for outline in outlines:
        points = np.asarray(outline, np.float64).reshape(-1, 2)
        length += float(np.hypot(*(np.roll(points, -1, axis=0) - points).T).sum())
        vertices += len(points)
    return length / vertices if vertices else None
