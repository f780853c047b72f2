"""What the corners of polygons tell without drawing them, for many images at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, pairwise

import numpy as np
from numpy.typing import NDArray

from curate.masks import SizeHW
from curate.sources import Limits, Polygons

CLEAR_PX = 1.5
"""A point this far from every edge stands in the raster with its neighbours: pycocotools draws an edge within half a
pixel of where it is."""
COLUMNS = 64
"""So many columns, evenly spread, are looked at for an image's area."""
BITS = 34
"""Of an integer that holds a column of a polygon and, below it, a place in the column."""
FINE = 64
"""Places of a pixel's height."""


@dataclass(frozen=True)
class Outlines:
    """The polygons of many people, all in one array.

    Attributes:
        flat: (2 E,) float64: x0, y0, x1, y1, ... of one polygon after the other.
        starts: (N,) the first point of each polygon.
        per_person: (P,) number of polygons of each person.
    """

    flat: NDArray[np.float64]
    starts: NDArray[np.int64]
    per_person: NDArray[np.int64]

    @classmethod
    def of(cls, people: Sequence[Polygons]) -> Outlines:
        """From each person's flat polygons of at least three points."""
        polygons = list(chain.from_iterable(people))
        lengths = np.fromiter(map(len, polygons), np.int64, len(polygons))
        flat = np.fromiter(chain.from_iterable(polygons), np.float64, int(lengths.sum()))
        starts = (np.cumsum(lengths) - lengths) // 2
        return cls(flat, starts, np.fromiter(map(len, people), np.int64, len(people)))

    @cached_property
    def ends(self) -> list[int]:
        """Where each polygon ends in `flat`, after a 0: one more than there are polygons."""
        return [*(2 * self.starts).tolist(), self.flat.size]

    @cached_property
    def firsts(self) -> list[int]:
        """The first polygon of each person, and the number of all."""
        return [0, *np.cumsum(self.per_person).tolist()]

    def person(self, at: int) -> list[NDArray[np.float64]]:
        """A person's flat polygons, as views."""
        first, last = self.firsts[at], self.firsts[at + 1]
        return [self.flat[start:end] for start, end in pairwise(self.ends[first : last + 1])]

    @cached_property
    def edges(self) -> Edges:
        """The edges of all polygons."""
        x, y = self.flat[0::2], self.flat[1::2]
        ends = np.append(self.starts[1:], x.size)
        following = np.arange(1, x.size + 1)
        following[ends - 1] = self.starts
        polygon = np.repeat(np.arange(self.starts.size), ends - self.starts)
        return Edges(x, y, x[following], y[following], polygon, self.starts)


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

    def of(self, chosen: NDArray[np.bool_]) -> Edges:
        """The edges of the chosen polygons; (N,) bool."""
        kept = chosen[self.polygon]
        polygon = (np.cumsum(chosen) - 1)[self.polygon[kept]]
        starts = np.flatnonzero(np.diff(polygon, prepend=-1))
        return Edges(self.x[kept], self.y[kept], self.to_x[kept], self.to_y[kept], polygon, starts)


@dataclass(frozen=True)
class Settled:
    """What corners alone tell of images; (N,) each.

    Attributes:
        out: bool: surely more people than allowed, or as many as wanted and surely too small or too large an area.
        fits: bool: surely as many people as wanted, each of whom has pixels, and an area within the limits.
        inside: bool: no polygon leaves its image.
        area: float: about the area fraction, where `fits`.
    """

    out: NDArray[np.bool_]
    fits: NDArray[np.bool_]
    inside: NDArray[np.bool_]
    area: NDArray[np.float64]


def settle(outlines: Outlines, counts: Sequence[int], sizes_hw: Sequence[SizeHW], limits: Limits) -> Settled:
    """What is sure of many images without drawing them; which costs several times more.

    A polygon's raster lies within its box grown by a pixel, and it is not empty where `solid` finds a point well
    inside. Of what these leave open, `sampled_area` tells the area closely. The rest, an image with a polygon that
    leaves it among it, is left to rasterising.

    Args:
        outlines: The people of all images, one image after the other.
        counts: Number of people of each image.
        sizes_hw: Size of each image.
        limits: What is allowed.
    """
    total, people = len(counts), outlines.per_person.size
    if not outlines.starts.size:
        return Settled(np.zeros(total, bool), np.zeros(total, bool), np.ones(total, bool), np.zeros(total))
    image_of_person = np.repeat(np.arange(total), counts)
    person_of = np.repeat(np.arange(people), outlines.per_person)
    image_of, sizes = image_of_person[person_of], np.array(sizes_hw, np.float64)
    left, top, right, bottom = boxes_of(outlines.edges)
    height, width = sizes[image_of].T
    outside = (left < 0) | (top < 0) | (right > width) | (bottom > height)
    inside = np.bincount(image_of, outside, total) == 0
    seen = np.bincount(person_of, solid(outlines.edges), people) > 0
    shown = np.bincount(image_of_person, seen, total)
    most = limits.most_people if limits.most_people is not None else shown.max()
    crowd = inside & (shown > most)  # a polygon far outside would make the image unreadable
    if limits.area is None:
        return Settled(crowd, np.zeros(total, bool), inside, np.zeros(total))
    least_px, most_px = (share * sizes.prod(axis=1) for share in limits.area)
    few = inside & (np.asarray(counts) <= most) & (shown >= limits.least_people)
    small = few & (np.bincount(image_of, (right - left + 2) * (bottom - top + 2), total) < least_px)
    left_open = few & ~small
    px, slack_px = sampled_area(outlines.edges.of(left_open[image_of]), image_of[left_open[image_of]], sizes)
    out = left_open & ((px + slack_px < least_px) | (px - slack_px > most_px))
    fits = left_open & (shown == counts) & (px - slack_px >= least_px) & (px + slack_px <= most_px)
    return Settled(crowd | small | out, fits, inside, px / sizes.prod(axis=1))


def sampled_area(
    edges: Edges, image_of: NDArray[np.int64], sizes: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The area of the union of an image's polygons, from COLUMNS columns of it, and how far the raster's may be off.

    Between two columns the union of even-odd polygons changes at most where an edge runs: what an edge rises or falls
    bounds the change over half the distance of two columns. To that come, for what pycocotools makes of an edge, a
    pixel for each that it steps over and half a one for each column that it crosses.

    Args:
        edges: Of polygons that lie inside their images, one image after the other.
        image_of: The image of each polygon.
        sizes: Height and width of each image; (N, 2).

    Returns:
        The area and the bound of the error, px; (N,) each.

    >>> square = Outlines.of([[[8, 8, 24, 8, 24, 24, 8, 24]]])
    >>> [px.tolist() for px in sampled_area(square.edges, np.array([0]), np.array([[32.0, 32.0]]))]
    [[256.0], [116.53125]]
    """
    total = len(sizes)
    apart = sizes[:, 1] / COLUMNS
    image = image_of[edges.polygon]
    across, down = edges.to_x - edges.x, edges.to_y - edges.y
    slack = (apart[image] / 2 + 1.5) * abs(down) + (1.5 + 1 / FINE) * abs(across) + 3 + apart[image] / FINE
    # The column k is at the x of k + 0.5 times `apart`; an edge crosses those from `first` to before `last`.
    at, to = edges.x / apart[image] - 0.5, edges.to_x / apart[image] - 0.5
    first, last = np.ceil(np.minimum(at, to)).astype(np.int64), np.ceil(np.maximum(at, to)).astype(np.int64)
    crossed = last - first
    edge = np.repeat(np.arange(crossed.size), crossed)
    column = np.arange(edge.size) - np.repeat(np.cumsum(crossed) - crossed - first, crossed)
    y = edges.y[edge] + (column - at[edge]) * (down / np.where(crossed > 0, to - at, 1))[edge]
    # A closed outline crosses a column an even number of times: sorted, each second piece between crossings is inside.
    fine = np.rint(np.clip(y, 0, None) * FINE).astype(np.int64)
    crossings = np.sort((edges.polygon[edge] * COLUMNS + column) << BITS | fine)
    polygon, column = np.divmod(crossings[0::2] >> BITS, COLUMNS)
    group = (image_of[polygon] * COLUMNS + column) << BITS
    start, end = (group | (crossings[side::2] & ((1 << BITS) - 1)) for side in range(2))
    order = np.argsort(start, kind="stable")
    start, end = start[order], end[order]
    reached = np.maximum.accumulate(np.append(0, end[:-1]))
    length = np.maximum(end - np.maximum(start, reached), 0) / FINE
    px = np.bincount((start >> BITS) // COLUMNS, length, total) * apart
    return px, np.bincount(image, slack, total).astype(np.float64)  # of no edge at all bincount counts in integers


def boxes_of(edges: Edges) -> NDArray[np.float64]:
    """Left, top, right and bottom of each polygon, px; (4, N).

    >>> boxes_of(Outlines.of([[[0, 0, 4, 0, 4, 3, 0, 3]]]).edges).ravel().tolist()
    [0.0, 0.0, 4.0, 3.0]
    """
    least = [np.minimum.reduceat(values, edges.starts) for values in (edges.x, edges.y)]
    most = [np.maximum.reduceat(values, edges.starts) for values in (edges.x, edges.y)]
    return np.stack([*least, *most])


def solid(edges: Edges) -> NDArray[np.bool_]:
    """Which polygons surely have pixels: a point is inside, by the even-odd rule, and CLEAR_PX from every edge; (N,).

    An outline's length and area would not tell: of one that is traced twice, pycocotools draws nothing. The point
    tried is the middle of the longest piece that the polygon has of the column in the middle of its box.

    >>> square, flat = [0, 0, 9, 0, 9, 9, 0, 9], [0, 0, 9, 0, 9, 2, 0, 2]
    >>> solid(Outlines.of([[square, flat, square * 2]]).edges).tolist()
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
