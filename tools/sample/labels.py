"""Labels from what was drawn: outlines as a careful annotator clicks them, run lengths for crowds."""

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle

from tools.sample import SUPERSAMPLE
from tools.sample.noise import Bytes
from tools.sample.scenes import Seen

Mask = NDArray[np.bool_]
Polygon = list[tuple[float, float]]

TOLERANCE_PX = 0.4
"""How far an outline may run from the drawn edge, in image px."""

AREA_KEPT = 0.012
"""How far the area under the outlines may be from the drawn one, as a share of it."""

SMALLEST_PART_PX = 6
"""Parts and holes with fewer image px are left out, as no annotator would click them."""


@dataclass(frozen=True)
class Label:
    """One labelled instance of an image.

    Attributes:
        category: COCO name.
        mask: its pixels (H, W) in the image.
        polygons: its outlines in continuous image coordinates, one for each visible part; empty for crowds.
        crowd: whether it stands for an uncounted group.
    """

    category: str
    mask: Mask
    polygons: list[Polygon]
    crowd: bool = False


def _grown(mask: Bytes) -> Bytes:
    """The mask grown by one px to the right and below, so that contours through px centres run along px edges."""
    padded = np.pad(mask, ((0, 1), (0, 1)))
    return np.asarray(
        np.maximum.reduce([padded, np.roll(padded, 1, 0), np.roll(padded, 1, 1), np.roll(padded, (1, 1), (0, 1))])
    )


def _first_hole(part: Bytes, least_px: int) -> tuple[int, int] | None:
    """Column range of the first hole of at least that size, or None."""
    free = cv2.connectedComponentsWithStats(1 - part, connectivity=4)
    for k in range(1, free[0]):
        x, y, w, h, area = (int(value) for value in free[2][k])
        inside = x > 0 and y > 0 and x + w < part.shape[1] and y + h < part.shape[0]
        if inside and area >= least_px:
            return x, x + w
    return None


def _without_holes(part: Bytes, least_px: int) -> list[Bytes]:
    """The part cut through the middle of each hole, because polygons cannot have holes."""
    hole = _first_hole(part, least_px)
    if hole is None:
        return [part]
    cut = (hole[0] + hole[1] + 1) // 2
    left, right = part.copy(), part.copy()
    left[:, cut:], right[:, :cut] = 0, 0
    halves = [piece for half in (left, right) for piece in _components(half, 1)]
    return [piece for half in halves for piece in _without_holes(half, least_px)]


def _components(mask: Bytes, least_px: int) -> list[Bytes]:
    """Connected parts of at least that size, in reading order."""
    count, ids, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    return [(ids == k).astype(np.uint8) for k in range(1, count) if stats[k, cv2.CC_STAT_AREA] >= least_px]


def _outline(part: Bytes, pixel: float, tolerance_px: float) -> Polygon:
    """The outer contour of one part, simplified; `pixel` is the size of its px in image px."""
    half = pixel / 2  # at twice the size, so that growing does not close gaps of one px
    doubled = np.repeat(np.repeat(part, 2, axis=0), 2, axis=1)
    contours, _ = cv2.findContours(_grown(doubled), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    corners = cv2.approxPolyDP(max(contours, key=len), tolerance_px / half, True)[:, 0, :]
    return [(round(int(x) * half, 2), round(int(y) * half, 2)) for x, y in corners]


def trace(mask: Mask, pixel: float, tolerance_px: float = TOLERANCE_PX) -> list[Polygon]:
    """Polygons in image px around a mask whose px are `pixel` image px wide; tiny parts and holes are left out."""
    if not mask.any():
        return []
    x, y, w, h = box_of(mask)
    least = max(round(SMALLEST_PART_PX / pixel**2), 1)
    around = np.pad(mask[y : y + h, x : x + w], 1).astype(np.uint8)
    parts = [piece for part in _components(around, least) for piece in _without_holes(part, least)]
    outlines = [_outline(part, pixel, tolerance_px) for part in parts]
    left, top = (x - 1) * pixel, (y - 1) * pixel
    return [[(px + left, py + top) for px, py in polygon] for polygon in outlines if len(polygon) >= 3]


def fill_polygons(polygons: list[Polygon], size_hw: tuple[int, ...]) -> Mask:
    """Pixels (H, W) inside the polygons, as COCO fills them."""
    h, w = size_hw
    if not polygons:
        return np.zeros((h, w), bool)
    flat = [[value for point in polygon for value in point] for polygon in polygons]
    return np.asarray(rle.decode(rle.merge(rle.frPyObjects(flat, h, w))) > 0)


def _miss(polygons: list[Polygon], mask: Mask) -> float:
    """How far the polygons' area is from the mask's, as a share of it."""
    return abs(int(fill_polygons(polygons, mask.shape).sum()) - int(mask.sum())) / max(int(mask.sum()), 1)


def label_seen(seen: Seen) -> Label:
    """The label of what was drawn, traced at the resolution it was drawn at.

    Thin and small things are traced more and more closely until the area is right.
    """
    mask = seen.mask
    if seen.crowd:
        return Label(seen.category, mask, [], True)
    fine = seen.coverage >= 128
    traces = [trace(fine, 1 / SUPERSAMPLE, tolerance) for tolerance in (TOLERANCE_PX, TOLERANCE_PX / 2)]
    traces += [trace(mask, 1.0, tolerance) for tolerance in (TOLERANCE_PX, 0.0)]
    best = next((t for t in traces if _miss(t, mask) < AREA_KEPT), min(traces, key=lambda t: _miss(t, mask)))
    return Label(seen.category, mask, best)


def label_mask(category: str, mask: Mask, tolerance_px: float = TOLERANCE_PX) -> Label:
    """The label of pixels alone."""
    return Label(category, mask, trace(mask, 1.0, tolerance_px))


def run_lengths(mask: Mask) -> list[int]:
    """COCO's uncompressed run lengths: column by column, starting with the px outside.

    >>> run_lengths(np.array([[False, True], [True, True]]))
    [1, 3]
    """
    flat = mask.T.reshape(-1)
    changes = np.flatnonzero(np.diff(flat.astype(np.int8))) + 1
    edges = [0, *(int(i) for i in changes), flat.size]
    lengths = [b - a for a, b in pairwise(edges)]
    return [0, *lengths] if flat[0] else lengths


def box_of(mask: Mask) -> tuple[int, int, int, int]:
    """x, y, width, height in px around a mask that is not empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    x, y = int(columns[0]), int(rows[0])
    return x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y
