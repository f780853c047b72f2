"""Pure mask algebra: RLE, union, area, parts, boundary band. Opens nothing, changes no input.

A *mask* is (H, W) bool. A *target* is (H, W) uint8 in the trimap convention: 0 background, 255 person,
128 not counted. An *rle* is pycocotools' compressed form, ``{"size": [H, W], "counts": bytes}``.
Pixel (row i, column j) covers [j, j+1) x [i, i+1); polygons are in those continuous coordinates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

cv2.setNumThreads(0)  # the unit of parallel work here is the image, and its thread pool does not live on in a fork

BACKGROUND, IGNORE, PERSON = 0, 128, 255

FAR = 10
"""A coordinate may be this many times the image's longer side (and always 1000 px); what lies farther out is damage."""

Mask: TypeAlias = NDArray[np.bool_]
Target: TypeAlias = NDArray[np.uint8]
Rle: TypeAlias = dict[str, Any]
SizeHW: TypeAlias = tuple[int, int]


@cache
def _coco_mask() -> Any:
    """pycocotools, imported by what speaks rle alone: training reads masks as PNGs and does without it."""
    from pycocotools import mask

    return mask


def rle_of_polygons(polygons: Sequence[Sequence[float]], size_hw: SizeHW) -> Rle:
    """The union of flat polygons [x0, y0, x1, y1, ...] as an rle; see `rles_of_polygons`."""
    return union_rle(rles_of_polygons(polygons, size_hw), size_hw)


def rles_of_polygons(polygons: Sequence[Sequence[float]], size_hw: SizeHW) -> list[Rle]:
    """An rle for each flat polygon [x0, y0, x1, y1, ...], exactly as pycocotools rasterises it.

    Polygons of fewer than three points enclose nothing and are passed over.

    Raises:
        ValueError: A polygon has an odd number of values, or one that is not finite or FAR outside the image:
            pycocotools walks every pixel of such an edge, for hours.
    """
    height, width = size_hw
    reach = max(FAR * max(size_hw), 1000)
    usable = [polygon for polygon in polygons if len(polygon) >= 6]
    for polygon in usable:
        if len(polygon) % 2:
            raise ValueError(f"a polygon has {len(polygon)} values, which are no pairs of x and y")
        # NaN makes the sum NaN, and min and max may pass over it.
        if not math.isfinite(sum(polygon)) or min(polygon) < -reach or max(polygon) > reach:
            raise ValueError(f"a polygon reaches far outside the image of {height}x{width} px (HxW)")
    return draw_polygons(usable, size_hw)


def draw_polygons(polygons: Sequence[Sequence[float] | NDArray[np.float64]], size_hw: SizeHW) -> list[Rle]:
    """An rle for each flat polygon of at least three points that is known to lie in or near the image."""
    return _coco_mask().frPyObjects(polygons, *size_hw) if polygons else []


def rle_of_counts(counts: Sequence[int], size_hw: SizeHW) -> Rle:
    """An uncompressed COCO run-length list (column-major, background first) as an rle.

    Raises:
        ValueError: A count is negative or they do not sum to H * W, which pycocotools itself would not notice.
    """
    height, width = size_hw
    check_counts(counts, size_hw)
    return _coco_mask().frPyObjects({"size": [height, width], "counts": list(counts)}, height, width)  # type: ignore[no-any-return]


def check_counts(counts: Sequence[int], size_hw: SizeHW) -> None:
    """Raise ValueError where run lengths are none of an image of this size."""
    pixels = size_hw[0] * size_hw[1]
    if sum(counts) != pixels or min(counts) < 0:
        raise ValueError(f"run lengths sum to {sum(counts)}, the image has {pixels} pixels")


def rle_of_string(counts: str | bytes, size_hw: SizeHW) -> Rle:
    """A compressed COCO run-length string as an rle, checked first.

    A malformed string keeps pycocotools busy for minutes or makes it read out of bounds, so its runs are
    decoded here (LEB128-like, six bits a character, each run from the third on stored as a difference).

    Raises:
        ValueError: The string is cut off, or its runs do not sum to H * W.
    """
    data = counts.encode("ascii", "strict") if isinstance(counts, str) else counts
    runs = _runs_of_string(data)
    height, width = size_hw
    if any(run < 0 for run in runs) or sum(runs) != height * width:
        raise ValueError(f"run lengths sum to {sum(runs)}, the image has {height * width} pixels")
    return {"size": [height, width], "counts": data}


def _runs_of_string(data: bytes) -> list[int]:
    runs: list[int] = []
    value = shift = 0
    for byte in data:
        code = byte - 48
        if not 0 <= code < 64 or shift > 35:
            raise ValueError(f"byte {byte} does not belong to a compressed run-length string")
        value |= (code & 0x1F) << shift
        shift += 5
        if code & 0x20:
            continue
        if code & 0x10:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError("the run-length string ends inside a number")
    return runs


def empty_rle(size_hw: SizeHW) -> Rle:
    """The rle of a mask without any pixel."""
    return encode(np.zeros(size_hw, bool))


def union_rle(rles: Sequence[Rle], size_hw: SizeHW) -> Rle:
    """The union of rles; the empty rle where there are none."""
    if len(rles) == 1:
        return rles[0]
    return _coco_mask().merge(list(rles)) if rles else empty_rle(size_hw)


def minus_rle(rle: Rle, removed: Rle) -> int:
    """Area in px of `rle` without the pixels of `removed`."""
    return area_px(rle) - overlap_px(rle, removed)


def overlap_px(one: Rle, other: Rle) -> int:
    """Number of pixels two rles of one size share."""
    return int(_coco_mask().area(_coco_mask().merge([one, other], intersect=True)))


def area_px(rle: Rle) -> int:
    """Number of pixels set."""
    return int(_coco_mask().area(rle))


def any_px(rles: Sequence[Rle]) -> bool:
    """Whether any of the rles has a pixel set; False where there are none."""
    return bool(rles) and any(_coco_mask().area(list(rles)))


def encode(mask: Mask) -> Rle:
    """A mask (H, W) as an rle."""
    return _coco_mask().encode(np.asfortranarray(mask.view(np.uint8)))  # type: ignore[no-any-return]


def decode(rle: Rle) -> Mask:
    """An rle as a mask (H, W)."""
    return _coco_mask().decode(rle).view(bool)  # type: ignore[no-any-return]


def target_of(person: Mask, not_counted: Mask | None = None) -> Target:
    """A target from two masks of one size; where both are set, person wins."""
    # An rle is decoded column by column; OpenCV turns that over three times as fast as numpy copies it.
    rows = (
        cv2.transpose(person.T.view(np.uint8))
        if person.size and person.T.flags.c_contiguous
        else person.astype(np.uint8)
    )
    target = np.multiply(rows, np.uint8(PERSON), dtype=np.uint8)
    if not_counted is not None:
        target[not_counted & ~person] = IGNORE
    return target


def area_fraction(target: Target) -> float:
    """Person pixels / counted pixels; 0.0 where nothing is counted.

    >>> area_fraction(np.array([[255, 0], [128, 128]], np.uint8))
    0.5
    """
    counted = int(np.count_nonzero(target != IGNORE))
    return int(np.count_nonzero(target == PERSON)) / counted if counted else 0.0


def touched_edges(mask: Mask) -> str:
    """The image edges the mask touches, a subset of "LTRB" in this order."""
    sides = {"L": mask[:, 0], "T": mask[0], "R": mask[:, -1], "B": mask[-1]}
    return "".join(name for name, line in sides.items() if line.any())


def bbox_xywh(mask: Mask) -> tuple[int, int, int, int]:
    """The box around a mask's pixels in px: left, top, width, height; all 0 for an empty mask.

    >>> bbox_xywh(np.array([[0, 0, 0], [0, 1, 1]], bool))
    (1, 1, 2, 1)
    """
    if mask.flags.f_contiguous:  # as rles are decoded; OpenCV would copy it
        top, left, height, width = cv2.boundingRect(mask.T.view(np.uint8))
    else:
        left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    return left, top, width, height


SMALLEST_PART = 0.01
"""A part of under this share of the mask is a crumb, not a part."""


def count_parts(mask: Mask) -> int:
    """Number of separate parts (8 neighbours), those of under SMALLEST_PART of the mask aside; 0 where it is empty.

    >>> count_parts(np.array([[1, 0, 1], [0, 1, 0], [0, 0, 0], [1, 0, 0]], bool))
    2
    """
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    return int(np.count_nonzero(areas >= SMALLEST_PART * areas.sum()))


def stairs_px(mask: Mask) -> float | None:
    """Size of the stairs in the mask's outline: the lower quartile of its straight runs along the pixel grid, px.

    A finely drawn outline has runs of one or two pixels wherever it is not upright or level; a mask that was enlarged
    k times without smoothing has none shorter than k. None where no outline lies inside the image.

    >>> stairs_px(np.kron(np.tri(4, dtype=bool), np.ones((3, 3), bool)))
    3.0
    """
    runs = np.concatenate([straight_runs(mask), straight_runs(mask.T)])
    return float(np.percentile(runs, 25, method="lower")) if runs.size else None


def straight_runs(mask: Mask) -> NDArray[np.int64]:
    """Lengths in px of the level runs of the outline: neighbours in a row that change alike to the row below."""
    change = mask[1:].astype(np.int8) - mask[:-1].astype(np.int8)
    padded = np.pad(change, ((0, 0), (1, 1)))
    differs = np.diff(padded, axis=1) != 0
    rows, columns = np.nonzero(differs)
    values = padded[rows, columns + 1]
    lengths = np.diff(columns)
    same_row = np.diff(rows) == 0
    runs: NDArray[np.int64] = lengths[same_row & (values[:-1] != 0)].astype(np.int64)
    return runs


def iou(one: Mask, other: Mask) -> float | None:
    """Intersection over union; None where both are empty."""
    union = int(np.count_nonzero(one | other))
    return int(np.count_nonzero(one & other)) / union if union else None


def band_width_px(size_hw: SizeHW) -> int:
    """Width of the boundary band: max(1, round(0.02 x image diagonal)) (Cheng et al. 2021, section 4)."""
    height, width = size_hw
    return max(1, round(0.02 * float(np.hypot(height, width))))


def boundary_band(mask: Mask, width_px: int) -> Mask:
    """The pixels of the mask within `width_px` of its outline (chessboard distance).

    The image's edge counts as outside, as in Cheng et al. 2021.

    >>> boundary_band(np.ones((3, 3), bool), 1).astype(int)
    array([[1, 1, 1],
           [1, 0, 1],
           [1, 1, 1]])
    """
    given = np.ascontiguousarray(mask).view(np.uint8)
    square = np.ones((3, 3), np.uint8)
    inner = cv2.erode(given, square, iterations=width_px, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    band: Mask = mask & (inner == 0)
    return band


def value_counts(values: NDArray[np.integer]) -> dict[int, int]:
    """The values of a label image of any shape, ascending, each with its number of pixels.

    >>> value_counts(np.array([[0, 15], [15, 255]], np.uint8))
    {0: 1, 15: 2, 255: 1}
    """
    if values.dtype in (np.uint8, np.uint16) and 0 < values.size < 2**24:  # exact up to there, and ten times as fast
        flat: Any = values.reshape(1, -1)
        bins = 2 ** (8 * values.itemsize)
        counts = cv2.calcHist([flat], [0], None, [bins], [0, bins]).ravel()
        return {int(value): int(counts[value]) for value in np.flatnonzero(counts)}
    found, numbers = np.unique(values, return_counts=True)
    return {int(value): int(number) for value, number in zip(found, numbers, strict=True)}


def grow(mask: Mask, reach_px: int = 2) -> Mask:
    """The mask and every pixel within `reach_px` of it (chessboard distance)."""
    kernel = np.ones((2 * reach_px + 1, 2 * reach_px + 1), np.uint8)
    if mask.flags.f_contiguous:  # as rles are decoded: the kernel is symmetric, so the transposed mask will do
        return cv2.dilate(mask.T.view(np.uint8), kernel).view(bool).T
    return cv2.dilate(np.ascontiguousarray(mask).view(np.uint8), kernel).view(bool)
