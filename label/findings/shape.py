"""What the mask alone tells: nobody in it, everything, the wrong way round, crumbs, and an outline no hand draws."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from curate.masks import IGNORE, PERSON, Mask, Target, stairs_px
from label.findings import SLIGHT, Box, Fault, severity

CRUMB = 5e-5
"""A part or a hole of up to this share of the image is a slip of the tool: 15 px of 640x480."""
CRUMB_OF_PART = 0.005
"""And of up to this share of the largest part of the person, so that nobody far away is taken for one."""
STAIRS = 0.005
"""Stairs of this share of the diagonal: those of a mask that was made a hundred and some px wide."""
LEAST_STAIRS_PX = 4
SPACING = 0.05
"""A corner only every so much of the diagonal along the outline; careful outlines have one in 0.025."""
CLOSE = 0.0025
"""How far of the diagonal an outline may be from straight lines that stand for it."""
JAGGED = 1.45
"""An outline so many times as long as it would be smoothed."""
SMOOTHING = 0.0075
FRAME = 12
"""An image's frame is one part in so many of its height and width."""
LEAST_SIDES = 0.5


@dataclass(frozen=True)
class Parts:
    """The connected parts of a raster.

    Attributes:
        labels: (H, W) int32, the part's number, 0 elsewhere.
        boxes: (N, 4) of left, top, width and height px, of the parts 1 to N.
        areas_px: (N,).
    """

    labels: NDArray[np.int32]
    boxes: NDArray[np.int32]
    areas_px: NDArray[np.int32]

    def box(self, index: int) -> Box:
        """Left, top, width and height of part `index`, counted from 0."""
        left, top, width, height = (int(value) for value in self.boxes[index])
        return left, top, width, height


@dataclass(frozen=True)
class Shape:
    """A target (H, W), taken apart once.

    Attributes:
        target: Of 0, 128, 255.
        person: Where it is 255.
        parts: The parts of the person (8 neighbours).
        holes: The parts of the background (4 neighbours) with nothing but person around them.
    """

    target: Target
    person: Mask
    parts: Parts
    holes: Parts

    @property
    def diagonal_px(self) -> float:
        """Length of the image's diagonal."""
        return float(np.hypot(*self.person.shape))


def take_apart(target: Target) -> Shape:
    """The shape of a target (H, W)."""
    person = target == PERSON
    return Shape(target, person, parts_of(person, 8), holes_of(target))


def shape_faults(shape: Shape) -> Iterator[Fault]:
    """What is wrong with a label of somebody as far as it shows by itself."""
    if (shape.person | (shape.target == IGNORE)).all():
        yield Fault("full", 1.0, "is person all over")
        return
    if fault := inverted(shape.person):
        yield fault
        return
    yield from crumbs(shape)
    yield from outline_faults(shape)


def inverted(person: Mask) -> Fault | None:
    """Whether a mask looks the wrong way round: people stand in the middle of pictures, background around them."""
    height, width = person.shape
    rows, columns = max(1, height // FRAME), max(1, width // FRAME)
    inner = np.zeros_like(person)
    inner[rows : height - rows, columns : width - columns] = True
    if inner.all() or not inner.any():
        return None
    frame, middle = float(person[~inner].mean()), float(person[inner].mean())
    sides = float(np.concatenate([person[0], person[:, 0], person[:, -1]]).mean())
    if sides < LEAST_SIDES or frame <= middle:
        return None
    found = f"covers {frame:.0%} of the image's frame and {middle:.0%} of its middle"
    return Fault("inverted", severity(frame - middle, 0, 0.2), found)


def crumbs(shape: Shape) -> Iterator[Fault]:
    """Specks and pinholes that no hand drew."""
    for kind, what, parts in (("specks", "part", specks(shape)), ("holes", "hole", pinholes(shape))):
        if count := len(parts.areas_px):
            most = int(parts.areas_px.max())
            of = f"a {what} of {most} px" if count == 1 else f"{count} {what}s of at most {most} px"
            yield Fault(kind, severity(count, 1, 100, SLIGHT), f"has {of}", parts.box(int(parts.areas_px.argmax())))


def specks(shape: Shape) -> Parts:
    """The parts of a person too small to be meant."""
    areas_px = shape.parts.areas_px
    most = min(CRUMB * shape.target.size, CRUMB_OF_PART * float(areas_px.max(initial=0)))
    return chosen(shape.parts, areas_px <= most)


def pinholes(shape: Shape) -> Parts:
    """The holes in a person too small to be meant."""
    return chosen(shape.holes, shape.holes.areas_px <= CRUMB * shape.target.size)


def holes_of(target: Target) -> Parts:
    """The parts of the background (4 neighbours) with nothing but person around them; what is not counted is none."""
    found = parts_of(target != PERSON, 4)
    height, width = target.shape
    left, top, wide, high = found.boxes.T
    inside = (left > 0) & (top > 0) & (left + wide < width) & (top + high < height)
    uncounted = np.bincount(found.labels[target == IGNORE], minlength=len(inside) + 1)[1:] > 0
    return chosen(found, inside & ~uncounted)


def parts_of(raster: Mask, neighbours: int) -> Parts:
    """The connected parts of a raster (H, W)."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(raster.view(np.uint8), connectivity=neighbours)
    table = np.asarray(stats[1:], np.int32)
    return Parts(np.asarray(labels, np.int32), table[:, :4], table[:, cv2.CC_STAT_AREA])


def chosen(parts: Parts, which: NDArray[np.bool_]) -> Parts:
    """The parts for which `which` (N,) is true, numbered anew."""
    if which.all():
        return parts
    if not which.any():
        return Parts(np.zeros_like(parts.labels), parts.boxes[:0], parts.areas_px[:0])
    numbers = np.zeros(len(which) + 1, np.int32)
    numbers[1:][which] = np.arange(1, np.count_nonzero(which) + 1)
    return Parts(numbers[parts.labels], parts.boxes[which], parts.areas_px[which])


def outline_faults(shape: Shape) -> Iterator[Fault]:
    """An outline of stairs, of few long lines, or of teeth; at most one of them."""
    diagonal = shape.diagonal_px
    stairs = stairs_px(shape.person) or 0
    if stairs >= max(LEAST_STAIRS_PX, STAIRS * diagonal):
        yield Fault("stairs", severity(stairs / diagonal, STAIRS, 0.03, SLIGHT), f"has stairs of {stairs:.0f} px")
        return
    part = largest_part(shape.parts)
    if (spacing := corner_spacing(part, CLOSE * diagonal)) >= SPACING * diagonal:
        found = f"has a corner only every {spacing:.0f} px along its outline"
        yield Fault("coarse", severity(spacing / diagonal, SPACING, 0.15, SLIGHT), found)
        return
    if (times := roughness(part, SMOOTHING * diagonal)) >= JAGGED:
        found = f"has an outline {times:.1f} times as long as it is when smoothed"
        yield Fault("jagged", severity(times, JAGGED, 3, SLIGHT), found)


def largest_part(parts: Parts) -> Mask:
    """The largest part, cut out along its box."""
    index = int(parts.areas_px.argmax())
    left, top, width, height = parts.box(index)
    return np.asarray(parts.labels[top : top + height, left : left + width] == index + 1)


def contours_of(person: Mask) -> list[NDArray[np.int32]]:
    """The outlines of a mask, of its holes too, each (N, 2) of x and y px."""
    found, _ = cv2.findContours(person.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    return [np.asarray(one[:, 0], np.int32) for one in found]


def corner_spacing(person: Mask, close_px: float) -> float:
    """Mean length in px of the straight lines that stand for an outline to within `close_px`; 0.0 for a tiny one."""
    contours = [one for one in contours_of(person) if len(one) >= 12]
    corners = sum(len(cv2.approxPolyDP(one, close_px, closed=True)) for one in contours)
    return sum(map(len, contours)) / corners if corners > 2 else 0.0


def roughness(person: Mask, blur_px: float) -> float:
    """How many times as long a mask's outline is as that of the same mask smoothed; 0.0 where that leaves nothing."""
    margin = int(4 * blur_px) + 2
    padded = np.pad(person.astype(np.float32), margin)
    smooth = cv2.GaussianBlur(padded, (0, 0), max(blur_px, 0.5)) > 0.5
    length, smooth_length = outline_length(padded > 0), outline_length(smooth)
    return length / smooth_length if smooth_length > 8 * blur_px else 0.0


def outline_length(person: Mask) -> float:
    """Length in px of a mask's outer outlines."""
    found, _ = cv2.findContours(person.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return sum(cv2.arcLength(one, closed=True) for one in found)
