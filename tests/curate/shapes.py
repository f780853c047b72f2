"""Random segmentations, sound and odd, for properties that must hold of all of them."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from curate.masks import SizeHW

Polygon = list[float]


def rectangle(left: float, top: float, width: float, height: float) -> Polygon:
    """A rectangle as a flat polygon."""
    return [left, top, left + width, top, left + width, top + height, left, top + height]


def star(x: float, y: float, radii: list[float], turns: int = 1) -> Polygon:
    """A polygon around a point; with more turns than one it winds around it, and crosses itself."""
    angles = [2 * math.pi * turns * number / len(radii) for number in range(len(radii))]
    points = [(x + radius * math.cos(a), y + radius * math.sin(a)) for radius, a in zip(radii, angles, strict=True)]
    return [round(value, 2) for point in points for value in point]


def polygons(size_hw: SizeHW) -> st.SearchStrategy[Polygon]:
    """Polygons in and around an image: boxes, slivers, stars, scribbles, one traced twice, one far away."""
    height, width = size_hw
    x, y = st.floats(-5, width + 5, width=16), st.floats(-5, height + 5, width=16)
    length = st.floats(0, 30, width=16)
    boxes = st.builds(rectangle, x, y, length, length)
    slivers = st.builds(rectangle, x, y, length, st.floats(0, 1.5, width=16))
    radii = st.lists(st.floats(0, 20, width=16), min_size=3, max_size=12)
    stars = st.builds(star, x, y, radii, st.integers(1, 3))
    scribbles = st.lists(st.tuples(x, y), min_size=3, max_size=8).map(lambda points: [v for p in points for v in p])
    twice = st.one_of(boxes, stars).map(lambda polygon: polygon * 2)
    far = st.builds(rectangle, st.just(5000.0), y, length, length)
    return st.one_of(boxes, slivers, stars, scribbles, twice, far)


def run_lengths(size_hw: SizeHW, *, compressed: bool) -> st.SearchStrategy[dict[str, Any]]:
    """The RLE of a rectangle, which may be empty, in either of COCO's forms."""
    height, width = size_hw
    bounds = st.tuples(*(st.integers(0, width),) * 2, *(st.integers(0, height),) * 2)

    def encode(at: tuple[int, int, int, int]) -> dict[str, Any]:
        left, right, top, bottom = (*sorted(at[:2]), *sorted(at[2:]))
        inside = [left <= n // height < right and top <= n % height < bottom for n in range(height * width)]
        counts, value = [0], False
        for one in inside:
            if one != value:
                counts.append(0)
                value = one
            counts[-1] += 1
        if compressed:
            packed = coco_mask.frPyObjects({"size": [height, width], "counts": counts}, height, width)
            return {"size": [height, width], "counts": packed["counts"].decode()}
        return {"size": [height, width], "counts": counts}

    return bounds.map(encode)


def segmentations(size_hw: SizeHW) -> st.SearchStrategy[Any]:
    """Segmentations as COCO files hold them: one or more polygons, either RLE, none, and damaged ones."""
    several = st.lists(polygons(size_hw), min_size=1, max_size=3)
    odd = st.sampled_from([[], None, [[]], [[1, 2, 3, 4]], [[1, 2, 30, 4, 5]], {"size": [3, 3], "counts": [9]}])
    rles = st.one_of(run_lengths(size_hw, compressed=True), run_lengths(size_hw, compressed=False))
    return st.one_of(several, several, several, rles, odd)
