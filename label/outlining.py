"""Masks as polygons that a labelling tool can edit: the outline of the pixels, simplified to a stated tolerance."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import shapely
from shapely.geometry import LineString, Polygon
from shapely.ops import split

from curate.masks import Mask, SizeHW, area_px, decode, iou, rle_of_polygons

TOLERANCE_PX = 1.0
"""Less cannot be seen, and a pixel's stairs are gone."""
FINE = 2
"""OpenCV's contours run through the middles of pixels; so of a raster so much finer."""

Points = list[tuple[float, float]]


def outlines_by_part(mask: Mask, tolerance_px: float) -> list[list[Points]]:
    """Closed outlines, (x, y) px, of each separate part; their union is the mask up to a tolerance.

    Tools unite polygons and know no holes, so a part with holes is cut through each of them. A part too thin for the
    tolerance has no outline.

    Args:
        mask: (H, W) bool.
        tolerance_px: No outline moves farther than this; 0 keeps every pixel.

    >>> sorted(outlines_by_part(np.pad(np.ones((2, 3), bool), 1), 0)[0][0])
    [(1.0, 1.0), (1.0, 3.0), (4.0, 1.0), (4.0, 3.0)]
    """
    size_hw: SizeHW = (mask.shape[0], mask.shape[1])
    simple = (part.simplify(tolerance_px) for part in parts(mask))
    drawn = ([[(x, y) for x, y in piece.exterior.coords[:-1]] for piece in without_holes(part)] for part in simple)
    return [[one for one in part if covers_pixels(one, size_hw)] for part in drawn]


def covers_pixels(outline: Points, size_hw: SizeHW) -> bool:
    """Whether a pixel is set where an outline is drawn; a sliver, as simplifying leaves some, sets none."""
    return area_px(rle_of_polygons([[value for point in outline for value in point]], size_hw)) > 0


def parts(mask: Mask) -> Iterator[Polygon]:
    """The mask's parts as exact polygons along the pixels' edges, with their holes."""
    fine = np.kron(mask.astype(np.uint8), np.ones((FINE, FINE), np.uint8))
    contours, hierarchy = cv2.findContours(np.pad(fine, 1), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    rings = [(contour[:, 0] - 0.5) / FINE for contour in contours]
    inset = 0.5 / FINE
    for number, ring in enumerate(rings):
        if hierarchy[0][number][3] >= 0:
            continue  # the outline of a hole
        # A contour runs half a fine pixel within the part, and a hole's half a fine pixel outside of the hole.
        outer = grown(ring, inset)
        holes, child = [], int(hierarchy[0][number][2])
        while child >= 0:
            holes.append(grown(rings[child], -inset))
            child = int(hierarchy[0][child][0])
        yield from polygons_of(shapely.difference(outer, shapely.union_all(holes)))


def grown(ring: np.ndarray[tuple[int, int], np.dtype[np.float64]], by: float) -> shapely.Geometry:
    """The area within a ring of points, grown by so much with square corners."""
    if len(ring) < 3:  # a part of one pixel's breadth cannot be, in a finer raster; a hole's ring can
        return shapely.MultiPoint(ring).convex_hull.buffer(by, join_style="mitre", cap_style="square")
    return Polygon(ring).buffer(0).buffer(by, join_style="mitre", mitre_limit=10)


def polygons_of(geometry: shapely.Geometry) -> Iterator[Polygon]:
    """The polygons a geometry consists of; points and lines, which enclose nothing, aside."""
    for part in shapely.get_parts(geometry):
        if isinstance(part, Polygon) and not part.is_empty:
            yield part


def without_holes(part: shapely.Geometry) -> Iterator[Polygon]:
    """A polygon cut upright through its first hole, and the pieces again, until none is left."""
    for polygon in polygons_of(part):
        if not polygon.interiors:
            yield polygon
            continue
        _, top, _, bottom = polygon.bounds
        x = Polygon(polygon.interiors[0]).representative_point().x
        for piece in split(polygon, LineString([(x, top - 1), (x, bottom + 1)])).geoms:
            yield from without_holes(piece)


def iou_kept(mask: Mask, drawn: list[Points]) -> float:
    """The IoU of a mask and what its outlines are drawn as; 1.0 where both are empty."""
    size_hw: SizeHW = (mask.shape[0], mask.shape[1])
    flat = [[value for point in outline for value in point] for outline in drawn]
    found = iou(mask, decode(rle_of_polygons(flat, size_hw))) if flat else (1.0 if not mask.any() else 0.0)
    return 1.0 if found is None else found
