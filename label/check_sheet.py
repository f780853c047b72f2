"""The contact sheet of a check: each kind of finding a strip, the most severe first, the place framed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from curate import images
from curate.errors import CurateError
from curate.looking.sheet import HELD_HEIGHT, Strip, Tile, draw_sheet, make_tile, resize
from curate.masks import SizeHW, Target
from curate.terminal import counted
from label.check import Finding, Report, drawn_at
from label.findings import ADVICE, Box, Fault
from label.pictures import Picture

SHOWN = 12
"""Tiles of each kind."""
FRAME = (255, 120, 0)
LEAST_FRAME_PX = 14
"""A smaller box is framed this wide, so that it is seen."""


def check_sheet(report: Report, pictures: Sequence[Picture]) -> Image.Image:
    """A page of the findings, the kinds in the order of ADVICE; of each kind the SHOWN most severe."""
    by_kind: dict[str, list[Finding]] = defaultdict(list)
    for finding in report.findings:
        by_kind[finding.kind].append(finding)
    named = {picture.name: picture for picture in pictures}
    strips = []
    for kind in (kind for kind in ADVICE if kind in by_kind):
        found = by_kind[kind]
        tiles = [tile_of(finding, named.get(finding.picture)) for finding in found[:SHOWN]]
        more = f"the {SHOWN} most severe of {len(found)}" if len(found) > SHOWN else counted(len(found), "finding")
        strips.append(Strip(kind, f"{more}. {ADVICE[kind]}", tiles, 2))
    told = f"{counted(len(report.findings), 'finding')} in {counted(report.looked_at, 'label')}"
    return draw_sheet(f"Labels of {report.place.name}", told, strips)


def tile_of(finding: Finding, picture: Picture | None) -> Tile:
    """One finding: the photograph with the label laid over and the place framed; words where there is no picture."""
    caption = f"{finding.severity:.2f} {finding.found}"
    if picture is None or picture.image is None:
        return Tile(caption, None, None, finding.picture)
    try:
        size_hw = images.read_size_hw(picture.image)
        photo = images.read_thumbnail(picture.image, HELD_HEIGHT)
    except CurateError:
        return Tile(caption, None, None, finding.picture)
    target = target_of(finding, picture, size_hw)
    small = resize(photo, (HELD_HEIGHT, max(1, round(size_hw[1] * HELD_HEIGHT / size_hw[0]))))
    scale = HELD_HEIGHT / size_hw[0]
    framed = small if finding.bbox_xywh is None else with_frame(small, finding.bbox_xywh, scale)
    return make_tile(
        caption, framed, target, finding.picture if target is not None else f"{finding.picture} (label not drawn)"
    )


def target_of(finding: Finding, picture: Picture, size_hw: SizeHW) -> Target | None:
    """The label a finding is about, None where it cannot be drawn on its picture."""
    label = next((one for one in picture.labels if one.where == finding.where), None)
    if label is None:
        return None
    try:
        outcome = drawn_at(label, size_hw, None)
    except CurateError:
        return None
    return None if isinstance(outcome, Fault) else outcome.target


def with_frame(photo: NDArray[np.uint8], bbox_xywh: Box, scale: float) -> NDArray[np.uint8]:
    """The photograph with a box drawn around a place, given in px of the image it was made of."""
    left, top, width, height = (value * scale for value in bbox_xywh)
    wide, high = max(width, LEAST_FRAME_PX), max(height, LEAST_FRAME_PX)
    start = round(left + width / 2 - wide / 2), round(top + height / 2 - high / 2)
    end = round(start[0] + wide), round(start[1] + high)
    return np.asarray(cv2.rectangle(photo.copy(), start, end, FRAME, 2), np.uint8)
