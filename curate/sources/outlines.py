"""What the corners of polygons tell without drawing them, for many images at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from curate.masks import SizeHW
from curate.sources import Limits, Polygons

CLEAR_PX = 1.5
"""A point this far from every edge stands in the raster with its neighbours: pycocotools draws an edge within half a
pixel of where it is."""


def settle(
    people: Sequence[Polygons], counts: Sequence[int], sizes_hw: Sequence[SizeHW], limits: Limits
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which images surely show more than `limits.most_people`, and which surely somebody who covers too little.

    Rasterising costs ten times more than looking at the corners, and most people of COCO are many or small. A polygon's
    raster lies within its box grown by a pixel; and it is not empty where `solid` finds a point well inside. Whatever
    is not settled that way, an image with a polygon that leaves it among it, is False and left to rasterising.

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
    edges = edges_of(outlines)
    left, top, right, bottom = boxes_of(edges)
    height, width = sizes[image_of].T
    outside = (left < 0) | (top < 0) | (right > width) | (bottom > height)
    sound = np.bincount(image_of, outside, total) == 0
    most_px = np.bincount(image_of, (right - left + 2) * (bottom - top + 2), total)
    # A polygon far outside makes its person unreadable, whatever the others are like.
    seen = np.bincount(person_of, solid(edges), len(people)) > 0
    seen &= np.bincount(person_of, outside, len(people)) == 0
    shown = np.bincount(image_of_person, seen, total)
    most = limits.most_people if limits.most_people is not None else shown.max()
    few = np.asarray(counts) <= most
    small = sound & few & (shown >= limits.least_people) & (most_px < limits.least_area * sizes.prod(axis=1))
    return shown > most, small


@dataclass(frozen=True)
class Edges:
    """The edges of many polygons, one after the other.

    Attributes:
        x, y, to_x, to_y: Their ends, px; (E,).
        polygon: The polygon of each; (E,).
        starts: The first edge of each polygon; (N,).
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    to_x: NDArray[np.float64]
    to_y: NDArray[np.float64]
    polygon: NDArray[np.int64]
    starts: NDArray[np.int64]


def edges_of(outlines: Polygons) -> Edges:
    """The edges of flat polygons, each of at least one point."""
    lengths = np.fromiter(map(len, outlines), np.int64, len(outlines)) // 2
    flat = np.fromiter(chain.from_iterable(outlines), np.float64, 2 * int(lengths.sum()))
    x, y = flat[0::2], flat[1::2]
    starts = np.cumsum(lengths) - lengths
    following = np.arange(1, x.size + 1)
    following[starts + lengths - 1] = starts
    return Edges(x, y, x[following], y[following], np.repeat(np.arange(len(outlines)), lengths), starts)


def boxes_of(edges: Edges) -> NDArray[np.float64]:
    """Left, top, right and bottom of each polygon, px; (4, N).

    >>> boxes_of(edges_of([[0, 0, 4, 0, 4, 3, 0, 3]])).ravel().tolist()
    [0.0, 0.0, 4.0, 3.0]
    """
    least = [np.minimum.reduceat(values, edges.starts) for values in (edges.x, edges.y)]
    most = [np.maximum.reduceat(values, edges.starts) for values in (edges.x, edges.y)]
    return np.stack([*least, *most])


def solid(edges: Edges) -> NDArray[np.bool_]:
    """Which polygons surely have pixels: a point is inside, by the even-odd rule, and CLEAR_PX from every edge; (N,).

    An outline's length and area would not tell: of one that is traced twice, pycocotools draws nothing. The point
    tried is the middle of the longest piece that the polygon has of the column in the middle of its box.

    >>> solid(edges_of([[0, 0, 9, 0, 9, 9, 0, 9], [0, 0, 9, 0, 9, 2, 0, 2], [0, 0, 9, 0, 9, 9, 0, 9] * 2])).tolist()
    [True, False, False]
    """
    left, _, right, _ = boxes_of(edges)
    middle = (left + right) / 2
    at_x = middle[edges.polygon]
    crossing = np.flatnonzero((edges.x <= at_x) != (edges.to_x <= at_x))
    x, y, polygon = edges.x[crossing], edges.y[crossing], edges.polygon[crossing]
    slope = (edges.to_y[crossing] - y) / (edges.to_x[crossing] - x)
    at_y = y + slope * (at_x[crossing] - x)
    order = np.lexsort((at_y, polygon))
    # A closed outline crosses a column an even number of times: each second piece between crossings is inside.
    top, bottom, polygon = at_y[order[0::2]], at_y[order[1::2]], polygon[order[0::2]]
    longest = np.full(left.size, -1)
    by_length = np.lexsort((bottom - top, polygon))
    longest[polygon[by_length]] = by_length  # of one polygon's pieces the last, which is the longest, stays
    found = longest >= 0
    point_y = np.where(found, ((top + bottom) / 2)[longest] if top.size else 0.0, 0.0)
    return found & (distance_px(edges, middle, point_y) >= CLEAR_PX)


def distance_px(edges: Edges, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of a point per polygon to the polygon's nearest edge; (N,)."""
    from_x, from_y = x[edges.polygon] - edges.x, y[edges.polygon] - edges.y
    across, down = edges.to_x - edges.x, edges.to_y - edges.y
    squared = across**2 + down**2
    along = np.clip((from_x * across + from_y * down) / np.where(squared > 0, squared, 1), 0, 1)
    apart = np.hypot(from_x - along * across, from_y - along * down)
    nearest: NDArray[np.float64] = np.minimum.reduceat(apart, edges.starts)
    return nearest


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
