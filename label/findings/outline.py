"""A mask against the edges of its photograph: does its outline lie where the picture changes?

Along the outline of a good mask the photograph changes across the line; beside it, less. So the mean *edge strength
along the outline* is compared with what it would be were the mask elsewhere, larger, smaller, or turned. All of it is
done at a working size of DIAGONAL_PX, on the structure tensor of the colours (Di Zenzo 1986), which says how much an
image changes in any direction, divided by how much it changes around there, so that a cluttered street counts no more
than a plain wall.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from curate.masks import Mask, SizeHW
from label.findings import GRAVE, SLIGHT, Fault, severity
from label.findings.shape import CRUMB, Shape, contours_of

DIAGONAL_PX = 400
REACH_PX, STEP_PX = 20, 2
"""How far from the outline is looked, five hundredths of the diagonal, and in which steps."""
HOME_PX, AWAY_PX = 3, 6
"""An outline that is off by the first is drawn as well as can be; from the second on it lies elsewhere."""
AROUND_PX = 41
NOISE = 2.0
"""Changes of colour of this size (of 255) are noise and no edge."""
STRONGEST = 3.0
"""An edge stronger than this, in mean changes around it, counts no more."""
LEAST_OUTLINE_PX, MOST_OUTLINE_PX = 80, 600
"""Of an outline: of a shorter one nothing can be said, of a longer one so many pixels are looked at."""
BETTER = 1.2
"""An outline fits better elsewhere from so many times the strength on."""
LOST = 0.68
"""An outline follows nothing where what lies around it has this share of its strength."""
FLAT = 0.3
"""Where hardly a pixel changes more, the picture has no edges to compare with."""
FAINT = 0.95
"""The outline of a hole through which something shows is stronger."""
ALIKE = 0.7
"""Colours of a hole and of the person around it are the same from this overlap on (Bhattacharyya's coefficient)."""
LEAST_GAP = 0.005
"""Of the person: a smaller hole is mended and does not make a label suspect."""
LEAST_CUT, FAINT_CUT = 0.1, 0.6
"""A straight line of this share of the diagonal along which the picture hardly changes."""
RIM = 0.02
"""So much of the diagonal from the image's edge a line along it is where the image ends, drawn carelessly."""

Plane = NDArray[np.float32]


class Edges(NamedTuple):
    """How a photograph changes at each pixel, (H, W) each: the structure tensor, its root being in mean changes."""

    xx: Plane
    yy: Plane
    xy: Plane


class Outline(NamedTuple):
    """The pixels of an outline: rows, columns, and the direction across it as a unit vector (x, y), (N,) each."""

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    across_x: Plane
    across_y: Plane


def working_size(size_hw: SizeHW) -> SizeHW:
    """The size at which edges are looked at."""
    scale = DIAGONAL_PX / float(np.hypot(*size_hw))
    return max(1, round(size_hw[0] * scale)), max(1, round(size_hw[1] * scale))


def edges_of(photo: NDArray[np.uint8]) -> Edges:
    """The edges of a photograph (H, W, 3) uint8 RGB of working size."""
    lab = cv2.GaussianBlur(cv2.cvtColor(photo, cv2.COLOR_RGB2LAB).astype(np.float32), (0, 0), 1.0)
    along_x, along_y = cv2.Sobel(lab, cv2.CV_32F, 1, 0), cv2.Sobel(lab, cv2.CV_32F, 0, 1)
    products = (one * other for one, other in ((along_x, along_x), (along_y, along_y), (along_x, along_y)))
    xx, yy, xy = (lab[..., 0] + lab[..., 1] + lab[..., 2] for lab in products)  # sum(axis=2) takes five times as long
    usual = (cv2.blur(np.sqrt(xx + yy), (AROUND_PX, AROUND_PX)) + NOISE) ** 2
    return Edges(xx / usual, yy / usual, xy / usual)


def signed_distance(mask: Mask) -> Plane:
    """Distance in px from the mask's outline, negative inside, half a pixel beside it; the image's edge is none."""
    inside, outside = (
        cv2.distanceTransform(part.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for part in (mask, ~mask)
    )
    return np.where(mask, 0.5 - inside, outside - 0.5).astype(np.float32)


def outline_at(distance: Plane, radius_px: float = 0) -> Outline:
    """The outline of the mask grown by so many px (shrunk where negative), from its signed distance."""
    return next(outlines_at(distance, [radius_px]))


def outlines_at(distance: Plane, radii_px: Sequence[float]) -> Iterator[Outline]:
    """`outline_at` for several radii."""
    near = np.flatnonzero(np.abs(distance) <= max(map(abs, radii_px)) + 1)
    distances, width = distance.ravel()[near], distance.shape[1]
    smooth = cv2.GaussianBlur(distance.clip(-30, 30), (0, 0), 2.0)
    across_x, across_y = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    for radius in radii_px:
        rows, columns = np.divmod(near[np.abs(distances - radius) <= 0.5], width)
        x, y = across_x[rows, columns], across_y[rows, columns]
        length = np.maximum(np.hypot(x, y), 1e-6)
        yield Outline(rows, columns, np.asarray(x / length, np.float32), np.asarray(y / length, np.float32))


def faults_beside(photo: NDArray[np.uint8], shape: Shape) -> Iterator[Fault]:
    """What is wrong with a label (H, W) beside its photograph (h, w, 3) uint8 RGB, which may be smaller."""
    height, width = shape.person.shape
    size_hw = working_size((height, width))
    small = np.asarray(cv2.resize(photo, size_hw[::-1], interpolation=cv2.INTER_AREA), np.uint8)
    edges, mask, scale = edges_of(small), shrunk(shape.person, size_hw), height / size_hw[0]
    if float(np.percentile(np.sqrt(edges.xx + edges.yy), 99)) < FLAT:
        return
    if fault := astray(edges, mask, scale):
        yield fault
        return  # what else is amiss follows from that
    yield from gaps(small, edges, mask, shape)
    if fault := cut_straight(edges, shape, scale):
        yield fault


def shrunk(mask: Mask, size_hw: SizeHW) -> Mask:
    """A mask at a smaller size: the pixels at least half covered."""
    return np.asarray(cv2.resize(mask.astype(np.float32), size_hw[::-1], interpolation=cv2.INTER_AREA) >= 0.5)


def astray(edges: Edges, mask: Mask, scale: float) -> Fault | None:
    """Whether an outline would fit the photograph better moved, grown, shrunk or turned, or fits it nowhere.

    Args:
        edges: Of the photograph.
        mask: (H, W), of the same size.
        scale: Px of the image that a pixel here stands for.
    """
    distance = signed_distance(mask)
    outline = thinned(outline_at(distance))
    if len(outline.rows) < LEAST_OUTLINE_PX:
        return None
    moved = dict(zip(moves(), mean_strengths(edges, outline, moves()), strict=True))
    here = max(strength for move, strength in moved.items() if np.hypot(*move) <= HOME_PX)
    away = {move: strength for move, strength in moved.items() if np.hypot(*move) >= AWAY_PX}
    most = max(away.values())
    shifted = [told_move(move, scale) for move, strength in away.items() if strength == most]
    moved_best = [Elsewhere(most, "shifted", how) for how in shifted]
    best = max([*moved_best, *resized(edges, distance, scale), *turned(edges, distance)])
    around = float(np.mean(list(away.values())))
    if best.strength >= max(BETTER * here, around / LOST):
        times = best.strength / max(here, 1e-6)
        return Fault(best.kind, severity(times, BETTER, 2.0), f"fits the picture {times:.1f} times as well {best.how}")
    if around >= LOST * here:
        found = f"follows no edge: the picture changes {here / max(around, 1e-6):.1f} times as much there as beside"
        return Fault("misplaced", severity(around / here, LOST, 1.0), found)
    return None


class Elsewhere(NamedTuple):
    """An outline tried elsewhere: its mean strength there, the kind of fault if that is where it belongs, and where."""

    strength: float
    kind: str
    how: str


def resized(edges: Edges, distance: Plane, scale: float) -> Iterator[Elsewhere]:
    """The outline of the mask grown and shrunk."""
    radii = range(AWAY_PX, REACH_PX + 1, STEP_PX)
    for kind, sign, way in (("tight", 1, "wider"), ("loose", -1, "closer")):
        for radius, outline in zip(radii, outlines_at(distance, [sign * radius for radius in radii]), strict=True):
            yield Elsewhere(mean_strength(edges, thinned(outline)), kind, f"{radius * scale:.0f} px {way}")


def turned(edges: Edges, distance: Plane) -> Iterator[Elsewhere]:
    """The outline as EXIF orientations that keep the image's size have it."""
    turns = {"upside down": distance[::-1, ::-1], "mirrored": distance[:, ::-1], "mirrored upside down": distance[::-1]}
    if distance.shape[0] == distance.shape[1]:
        turns |= {"turned left": np.rot90(distance), "turned right": np.rot90(distance, -1)}
    for how, turn in turns.items():
        outline = thinned(outline_at(np.ascontiguousarray(turn)))
        yield Elsewhere(mean_strength(edges, outline), "turned", how)


def told_move(move_xy: tuple[int, int], scale: float) -> str:
    """A move in words, in px of the image."""
    right, down = (round(value * scale) for value in move_xy)
    ways = [f"{abs(right)} px to the {'right' if right > 0 else 'left'}"] * bool(right)
    ways += [f"{abs(down)} px {'down' if down > 0 else 'up'}"] * bool(down)
    return " and ".join(ways)


def moves() -> list[tuple[int, int]]:
    """The moves (x, y) px that are tried: all within REACH_PX, in steps."""
    steps = range(-REACH_PX, REACH_PX + 1, STEP_PX)
    return [(x, y) for y in steps for x in steps if np.hypot(x, y) <= REACH_PX]


def gaps(photo: NDArray[np.uint8], edges: Edges, mask: Mask, shape: Shape) -> Iterator[Fault]:
    """Holes in the person through which nothing shows: no edge around them, and the colours of the person within.

    The largest one, which makes a label suspect where it is LEAST_GAP of the person.
    """
    found, person_px = shape.holes, float(shape.parts.areas_px.sum())
    for index in np.argsort(-found.areas_px, kind="stable"):
        area_px = int(found.areas_px[index])
        if area_px <= CRUMB * shape.target.size:
            return
        hole = shrunk(found.labels == index + 1, (mask.shape[0], mask.shape[1]))
        outline = outline_at(signed_distance(hole))
        if not hole.any() or float(np.nanmean(strengths(edges, outline))) > FAINT:
            continue
        ring = cv2.dilate(hole.view(np.uint8), np.ones((13, 13), np.uint8)).view(bool) & mask
        if (alike := overlap_of_colours(photo, hole, ring)) >= ALIKE:
            told = f"has a hole of {area_px} px in which the picture goes on as beside it"
            degree = severity(alike, ALIKE, 1.0, GRAVE if area_px >= LEAST_GAP * person_px else SLIGHT)
            yield Fault("gap", degree, told, found.box(int(index)))
            return


def overlap_of_colours(photo: NDArray[np.uint8], one: Mask, other: Mask) -> float:
    """Bhattacharyya's coefficient of the colours of two regions, in [0, 1]; 0.0 where one is empty."""
    if not one.any() or not other.any():
        return 0.0
    shares = []
    for region in (one, other):
        binned = cv2.calcHist([photo], [0, 1, 2], region.astype(np.uint8), [16] * 3, [0, 256] * 3)
        smooth = cv2.GaussianBlur(binned.reshape(256, 16), (3, 3), 0).ravel()
        shares.append(smooth / smooth.sum())
    return float(np.sqrt(shares[0] * shares[1]).sum())


def cut_straight(edges: Edges, shape: Shape, scale: float) -> Fault | None:
    """Whether the outline has a long straight line, not along the image's edge, where the photograph hardly changes."""
    diagonal, (height, width) = shape.diagonal_px, shape.person.shape
    for start, end in straight_lines(shape.person, LEAST_CUT * diagonal):
        if along_rim(start, end, (height, width), RIM * diagonal):
            continue
        if strength_along(edges, start / scale, end / scale) <= FAINT_CUT:
            length = float(np.hypot(*(end - start)))
            (left, right), (top, bottom) = sorted((start[0], end[0])), sorted((start[1], end[1]))
            box = int(left), int(top), int(right - left + 1), int(bottom - top + 1)
            found = f"ends along a straight line of {length:.0f} px where the picture goes on"
            return Fault("cut", severity(length / diagonal, LEAST_CUT, 4 * LEAST_CUT), found, box)
    return None


def along_rim(start: NDArray[np.int32], end: NDArray[np.int32], size_hw: SizeHW, rim_px: float) -> bool:
    """Whether a line, by its ends x, y, lies within `rim_px` of one edge of the image."""
    far = size_hw[1] - 1 - rim_px, size_hw[0] - 1 - rim_px
    return any(max(start[axis], end[axis]) <= rim_px or min(start[axis], end[axis]) >= far[axis] for axis in (0, 1))


def straight_lines(person: Mask, least_px: float) -> list[tuple[NDArray[np.int32], NDArray[np.int32]]]:
    """The straight lines of at least `least_px` in a mask's outlines, longest first, each by its ends x, y."""
    found = []
    for contour in contours_of(person):
        corners = np.asarray(cv2.approxPolyDP(contour, 1.0, closed=True)[:, 0], np.int32)
        ends = np.roll(corners, -1, axis=0)
        found += [
            (start, end) for start, end in zip(corners, ends, strict=True) if np.hypot(*(end - start)) >= least_px
        ]
    return sorted(found, key=lambda line: -float(np.hypot(*(line[1] - line[0]))))


def strength_along(edges: Edges, start_xy: NDArray[np.floating], end_xy: NDArray[np.floating]) -> float:
    """Mean edge strength across a straight line, the best of the line itself and its neighbours a pixel aside."""
    length = float(np.hypot(*(end_xy - start_xy)))
    along = (end_xy - start_xy) / length
    points = start_xy + np.linspace(0.1, 0.9, max(2, int(length)))[:, None] * (end_xy - start_xy)
    across = np.full(len(points), -along[1], np.float32), np.full(len(points), along[0], np.float32)
    columns, rows = np.rint(points).astype(np.intp).T
    outline = Outline(rows, columns, *across)
    aside = [(round(-along[1] * step), round(along[0] * step)) for step in (-1, 0, 1)]
    return float(np.nanmax(np.nanmean(strengths(edges, outline, aside), axis=1)))


def thinned(outline: Outline) -> Outline:
    """At most MOST_OUTLINE_PX of its pixels, evenly."""
    if len(outline.rows) <= MOST_OUTLINE_PX:
        return outline
    kept = np.linspace(0, len(outline.rows) - 1, MOST_OUTLINE_PX).astype(np.intp)
    return Outline(outline.rows[kept], outline.columns[kept], outline.across_x[kept], outline.across_y[kept])


def strengths(edges: Edges, outline: Outline, moves_xy: Sequence[tuple[int, int]] = ((0, 0),)) -> Plane:
    """How strongly the photograph changes across each pixel of an outline of N, moved by each of M moves in px, (M, N).

    NaN for a pixel that a move takes out of the image.
    """
    right, down = np.array(moves_xy).T[:, :, None]
    rows, columns = outline.rows + down, outline.columns + right
    height, width = edges.xx.shape
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    pixels = np.where(inside, rows * width + columns, 0)
    x, y = outline.across_x, outline.across_y
    squares = edges.xx.take(pixels) * (x * x) + edges.yy.take(pixels) * (y * y) + edges.xy.take(pixels) * (2 * x * y)
    return np.where(inside, np.minimum(np.sqrt(squares.clip(0)), np.float32(STRONGEST)), np.float32(np.nan))


def mean_strength(edges: Edges, outline: Outline) -> float:
    """The mean of `strengths`; 0.0 where hardly anything of the outline is left in the image."""
    return mean_strengths(edges, outline, [(0, 0)])[0]


def mean_strengths(edges: Edges, outline: Outline, moves_xy: Sequence[tuple[int, int]]) -> list[float]:
    """`mean_strength` of an outline moved by each of some px (x, y)."""
    found = strengths(edges, outline, moves_xy)
    inside = ~np.isnan(found)
    counts, sums = np.count_nonzero(inside, 1), np.where(inside, found, np.float32(0)).sum(1)
    return np.where(counts >= LEAST_OUTLINE_PX, sums / counts.clip(1), 0.0).tolist()  # type: ignore[no-any-return]
