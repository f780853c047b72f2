"""What the corners of polygons tell without drawing them, for many images at once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from curate.masks import SizeHW
from curate.sources import Limits, Polygons


def settle(
    people: Sequence[Polygons], counts: Sequence[int], sizes_hw: Sequence[SizeHW], limits: Limits
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which images surely show more than `limits.most_people`, and which surely somebody who covers too little.

    Rasterising costs ten times more than looking at the corners, and most people of COCO are many or small. A polygon's
    raster lies within its box grown by a pixel; and a polygon whose area is more than its perimeter holds a disc of
    more than a pixel's radius (area <= perimeter x inradius), so its raster is not empty. Whatever is not settled that
    way, an image with a polygon that leaves it among it, is False and left to rasterising.

    Args:
        people: The people of all images, one after the other, each as flat polygons [x0, y0, x1, y1, ...] of at least
            three points.
        counts: Number of people of each image.
        sizes_hw: Size of each image.
        limits: What is allowed.

    Returns:
        Two (N,) bool: too many people; too small an area. An image of too many is not called too small.
    """
    total, outlines = len(counts), list(chain.from_iterable(people))
    if not outlines:
        return np.zeros(total, bool), np.zeros(total, bool)
    image_of_person = np.repeat(np.arange(total), counts)
    person_of = np.repeat(np.arange(len(people)), list(map(len, people)))
    image_of, sizes = image_of_person[person_of], np.array(sizes_hw, np.float64)
    left, top, right, bottom, area, perimeter = measure_outlines(outlines)
    height, width = sizes[image_of].T
    inside = (left >= 0) & (top >= 0) & (right <= width) & (bottom <= height)
    sound = np.bincount(image_of, ~inside, total) == 0
    most_px = np.bincount(image_of, (right - left + 2) * (bottom - top + 2), total)
    seen = np.bincount(person_of, inside & (area > perimeter), len(people)) > 0
    shown = np.bincount(image_of_person, seen, total)
    most = limits.most_people if limits.most_people is not None else shown.max()
    few = np.asarray(counts) <= most
    small = sound & few & (shown >= limits.least_people) & (most_px < limits.least_area * sizes.prod(axis=1))
    return shown > most, small


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


def spacing_px(outlines: Polygons | None) -> float | None:
    """Length of the outlines per vertex, in px; None where there is no polygon.

    >>> spacing_px([[0, 0, 4, 0, 4, 3, 0, 3]])
    3.5
    """
    length, vertices = 0.0, 0
    for outline in outlines or ():
        points = np.asarray(outline, np.float64).reshape(-1, 2)
        length += float(np.hypot(*(np.roll(points, -1, axis=0) - points).T).sum())
        vertices += len(points)
    return length / vertices if vertices else None
