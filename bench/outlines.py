"""Outlines of generated figures: blobs of a given area, with as many vertices and runs as COCO's have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.scenes import Figures, Scenes

_VERTICES, _GROWTH, _SPREAD = 50.0, 0.13, 0.62
"""Median number of vertices of a figure that fills its image, how it falls with the area, and its log spread."""
_PART_SHARES = (0.92, 0.055, 0.025)
"""Share of figures in one, two and three parts."""


@dataclass(frozen=True)
class Outlines:
    """The polygons of F figures, flat.

    Attributes:
        hundredths: x, y, x, y ... in hundredths of px, (2 V,).
        vertex_ends: Where each polygon ends among the vertices, (P,).
        part_ends: Where each figure ends among the polygons, (F,).
        area_px: Sum of its polygons' areas, as COCO states it, (F,).
        bbox_xywh: Its box, (F, 4).
    """

    hundredths: NDArray[np.int64]
    vertex_ends: NDArray[np.int64]
    part_ends: NDArray[np.int64]
    area_px: NDArray[np.float64]
    bbox_xywh: NDArray[np.float64]


def draw_outlines(rng: np.random.Generator, figures: Figures, scenes: Scenes) -> Outlines:
    """An outline of about its share of the image for each figure, inside the image."""
    parts = 1 + rng.choice(3, len(figures.image), p=_PART_SHARES)
    figure_of = np.repeat(np.arange(len(parts)), parts)
    image = figures.image[figure_of]
    size_wh = np.stack([scenes.width[image], scenes.height[image]], 1).astype(float)
    share = figures.share[figure_of] / parts[figure_of]
    vertices = draw_vertices(rng, share)
    centre, radius = _place(rng, share, size_wh, figures.crowd[figure_of])
    corners = _blobs(rng, vertices, centre, radius, size_wh)
    vertex_ends, part_ends = np.cumsum(vertices), np.cumsum(parts)
    areas = np.add.reduceat(_polygon_areas(corners, vertices, vertex_ends), part_ends - parts)
    return Outlines(
        np.rint(corners.ravel() * 100).astype(np.int64),
        vertex_ends,
        part_ends,
        areas.round(4),
        _boxes(corners, (vertex_ends - vertices)[part_ends - parts]),
    )


def draw_vertices(rng: np.random.Generator, share: NDArray[np.float64]) -> NDArray[np.int64]:
    """Number of vertices of a polygon by the share of the image it covers, (P,), at least 3."""
    vertices = _VERTICES * share**_GROWTH * np.exp(_SPREAD * rng.normal(0, 1, len(share)))
    return np.clip(np.rint(vertices), 3, 500).astype(np.int64)


def _place(
    rng: np.random.Generator, share: NDArray[np.float64], size_wh: NDArray[np.float64], crowd: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centre and radius (x, y) of each polygon, both (P, 2) px, so that it mostly lies inside the image."""
    area = share * size_wh.prod(1)
    radius_y = np.sqrt(1.1 * area / np.pi * np.exp(rng.normal(0.1, 0.7, len(share))))
    radius_y = np.minimum(radius_y, 0.52 * size_wh[:, 1])
    radius_x = np.minimum(1.1 * area / (np.pi * radius_y), 0.58 * size_wh[:, 0])
    radius_y = np.minimum(1.1 * area / (np.pi * radius_x), 0.58 * size_wh[:, 1])
    radius = np.stack([radius_x, radius_y], 1)
    radius[crowd] = np.maximum(radius[crowd], 40)
    room = np.maximum(size_wh - 1.6 * radius, 0)
    return (size_wh - room) / 2 + room * rng.random((len(share), 2)), radius


def _blobs(
    rng: np.random.Generator,
    vertices: NDArray[np.int64],
    centre: NDArray[np.float64],
    radius: NDArray[np.float64],
    size_wh: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Vertices of wavy ellipses, (V, 2) px, clipped to the image, to the hundredth."""
    polygon = np.repeat(np.arange(len(vertices)), vertices)
    number = np.arange(len(polygon)) - np.repeat(np.cumsum(vertices) - vertices, vertices)
    angle = 2 * np.pi * (number + 0.6 * rng.random(len(polygon))) / vertices[polygon]
    phase = rng.uniform(0, 2 * np.pi, (2, len(vertices)))[:, polygon]
    wave = 1 + 0.18 * np.cos(2 * angle + phase[0]) + 0.12 * np.cos(5 * angle + phase[1])
    wave += 0.06 * rng.normal(0, 1, len(polygon))
    corners = centre[polygon] + (wave[:, None] * radius[polygon]) * np.stack([np.cos(angle), np.sin(angle)], 1)
    return np.clip(corners, 0, size_wh[polygon]).round(2)  # type: ignore[no-any-return]


def _polygon_areas(
    corners: NDArray[np.float64], vertices: NDArray[np.int64], ends: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Area of each polygon by the shoelace formula, (P,) px."""
    following = np.arange(1, len(corners) + 1)
    following[ends - 1] = ends - vertices
    x, y = corners[:, 0], corners[:, 1]
    return np.abs(np.add.reduceat(x * y[following] - x[following] * y, ends - vertices)) / 2


def _boxes(corners: NDArray[np.float64], starts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Box around the vertices of each figure, (F, 4) as left, top, width, height px."""
    low, high = np.minimum.reduceat(corners, starts), np.maximum.reduceat(corners, starts)
    return np.concatenate([low, high - low], 1).round(2)


def crowd_counts(rng: np.random.Generator, size_hw: tuple[int, int], bbox_xywh: NDArray[np.float64]) -> list[int]:
    """Uncompressed run lengths, column by column, of a ragged region inside the box; they sum to H * W."""
    height, width = size_hw
    left, top = (int(edge) for edge in bbox_xywh[:2])
    columns = max(1, min(int(bbox_xywh[2]), width - left))
    rows = max(6, min(int(bbox_xywh[3]), height - top))
    top = min(top, height - rows)
    edges = top + np.cumsum(rng.integers(1, rows // 6 + 1, (columns, 6)), 1)  # three runs a column
    turns = ((left + np.arange(columns))[:, None] * height + edges).ravel()
    return np.diff(turns, prepend=0, append=height * width).tolist()  # type: ignore[no-any-return]
