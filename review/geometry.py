"""What kind of failure a prediction is, told from the shapes of its errors alone. Pure functions on arrays.

The kinds are those that "Background removal with deep learning" (Shperber and Burg, 2017) saw its model make: people
missed, "bites", "cutting" of body parts, "unnecessarily continuing" ones, animals and held objects taken in.
Masks do not keep people apart, so a connected part of the target stands in for a person.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import cv2
import msgspec
import numpy as np

from curate.masks import IGNORE, PERSON, Mask, Target, band_width_px, bbox_xywh, boundary_band, grow

BoxXYWH: TypeAlias = tuple[int, int, int, int]

MISSED_OVERLAP = 0.1
"""A person of whom the prediction holds less than this share is missed."""

PERSON_PART = 0.1
"""A connected part of the target with at least this share of the largest part's pixels counts as a person."""

SURROUNDED = 0.6
"""A missing region of which at least this share is surrounded by found person is bitten out; with less it is cut off.

A hole and a notch have 1.0; an end that is cut off along a line, however short it is, has hardly anything.
"""

MAIN_REGION = 0.2
"""A region names the failure where it holds at least this share of the wrong pixels ..."""

MAIN_REGION_OF_PERSON = 0.05
"""... or as many pixels as this share of the person."""

HAND = 0.05
"""Where something is held, an end that is cut off and no larger than this share of the person is the holding hand."""

SCENERY = frozenset({
    "aeroplane", "airplane", "bed", "bench", "boat", "bus", "car", "chair", "clock", "couch", "dining table",
    "diningtable", "door", "fire hydrant", "microwave", "oven", "parking meter", "potted plant", "pottedplant",
    "refrigerator", "sink", "sofa", "stop sign", "table", "toaster", "toilet", "traffic light", "train", "truck", "tv",
    "tvmonitor",
})  # fmt: skip
"""Categories of COCO and VOC that people stand before, sit on or ride in: they are touched all the time, and an error
beside one is an extension. Any other touching object is one that is held, worn or led."""

MOST_PARTS = 8
"""Only this many of the largest parts on each side are looked at: a noisy prediction has thousands."""


class Failure(msgspec.Struct, frozen=True):
    """What is wrong with one prediction."""

    kind: str
    """One of schema.FAILURE_KINDS."""
    severity: float
    """1 - IoU over the counted pixels, [0, 1]; 0 where nothing is wrong."""
    area: float
    """Pixels of the main error region / counted pixels, [0, 1]."""
    bbox_xywh: BoxXYWH
    """Box of the main error region in px; all 0 where nothing is wrong."""


class Region(msgspec.Struct, frozen=True):
    """One connected error beyond the boundary band, with the boundary error that hangs on it."""

    kind: str
    area_px: int
    bbox_xywh: BoxXYWH


NOTHING_WRONG = Failure("other", 0.0, 0.0, (0, 0, 0, 0))


def name_failure(target: Target, prediction: Mask, touching: Sequence[str] = ()) -> Failure:
    """The failure of a prediction, named by its largest error region.

    Where no region beyond the boundary band stands out, it is `ragged-boundary` if most wrong pixels lie in that band
    and `other` (scattered) if not; its area and box are then those of all wrong pixels.

    Args:
        target: (H, W) of 0, 128, 255.
        prediction: (H, W), true where the prediction says person.
        touching: Categories of other objects in contact with the person, as in the dataset's `touching`. Where one
            is not SCENERY, an extension is called a `merged-object`, and so is a lost end no larger than a HAND: the
            object's own mask is not in a dataset.

    Returns:
        The failure; `other` with severity 0 where nothing is wrong, also where both are empty.

    Raises:
        ValueError: The two arrays differ in size.
    """
    if target.shape != prediction.shape:
        raise ValueError(f"target is {target.shape}, prediction {prediction.shape}")
    counted = target != IGNORE
    person, predicted = target == PERSON, prediction & counted
    wrong = person ^ predicted
    wrong_px = int(np.count_nonzero(wrong))
    if not wrong_px:
        return NOTHING_WRONG
    severity = wrong_px / int(np.count_nonzero(person | predicted))
    counted_px = int(np.count_nonzero(counted))
    regions = error_regions(person, predicted, touching, prediction)
    main = main_region(regions, wrong_px, int(np.count_nonzero(person)))
    if main is not None:
        return Failure(main.kind, severity, main.area_px / counted_px, main.bbox_xywh)
    core_px = int(np.count_nonzero(missing_core(person, predicted) | surplus_core(person, predicted)))
    kind = "other" if core_px > wrong_px / 2 else "ragged-boundary"
    return Failure(kind, severity, wrong_px / counted_px, bbox_xywh(wrong))


def main_region(regions: Sequence[Region], wrong_px: int, person_px: int) -> Region | None:
    """The largest region, if it stands out of the wrong pixels or of the person."""
    if not regions:
        return None
    largest = max(regions, key=lambda region: region.area_px)
    stands_out = largest.area_px >= min(MAIN_REGION * wrong_px, MAIN_REGION_OF_PERSON * person_px)
    return largest if stands_out else None


def error_regions(person: Mask, predicted: Mask, touching: Sequence[str], prediction: Mask) -> list[Region]:
    """The connected errors beyond the boundary band, each with its kind; none where all error is at the boundary.

    Args:
        person, predicted: (H, W) masks of the counted pixels.
        touching: Categories of other objects in contact with the person.
        prediction: (H, W), also where pixels are not counted: VOC does not count a border round each person, which
            must not part what runs on from them.
    """
    reach = tolerance_px(person)
    found = person & predicted
    missed = missed_people(person, predicted)
    regions = [Region("missed-person", int(np.count_nonzero(one)), bbox_xywh(one)) for one in missed]
    taken = np.logical_or.reduce(missed) if missed else np.zeros_like(person)
    missing = person & ~predicted & ~taken
    holds, hand_px = any(name not in SCENERY for name in touching), HAND * np.count_nonzero(person)
    for region in grown_parts(missing_core(person, predicted) & ~taken, missing, reach):
        area_px = int(np.count_nonzero(region))
        end = "merged-object" if holds and area_px <= hand_px else "cut-part"
        kind = "bite" if surrounded(region, found) >= SURROUNDED else end
        regions.append(Region(kind, area_px, bbox_xywh(region)))
    surplus = predicted & ~person
    runs_on = "merged-object" if holds else "extension"
    beside = grown_parts(surplus_core(person, predicted), surplus, reach)
    attached = attached_to(prediction, found) if beside else prediction
    for region in beside:
        kind = runs_on if (region & attached).any() else "extra-region"
        regions.append(Region(kind, int(np.count_nonzero(region)), bbox_xywh(region)))
    return regions


def tolerance_px(person: Mask) -> int:
    """How far from the outline an error is still one of the boundary, in px.

    The band of Boundary IoU, but never wider than a twentieth of the person's size (the side of a square of its area):
    else every error on a small person would be one of the boundary.
    """
    side = float(np.sqrt(np.count_nonzero(person)))
    band = band_width_px((person.shape[0], person.shape[1]))
    return max(1, min(band, round(side / 20))) if side else band


def missing_core(person: Mask, predicted: Mask) -> Mask:
    """The missing pixels that are no boundary error: deep inside the person, or far from what was found of it."""
    reach = tolerance_px(person)
    near_outline = boundary_band(person, reach) & grow(person & predicted, reach)
    core: Mask = person & ~predicted & ~near_outline
    return core


def surplus_core(person: Mask, predicted: Mask) -> Mask:
    """The surplus pixels that are no boundary error: farther from the person than the tolerance."""
    core: Mask = predicted & ~grow(person, tolerance_px(person))
    return core


def missed_people(person: Mask, predicted: Mask) -> list[Mask]:
    """The connected parts of the target that stand for a person and have almost no overlap with the prediction."""
    near = neighbourhood(bbox_xywh(person), 0)
    if not person[near].size:
        return []
    count, labels, stats, _ = cv2.connectedComponentsWithStats(person[near].astype(np.uint8), connectivity=8)
    sizes = stats[:, cv2.CC_STAT_AREA].astype(np.int64)
    hits = np.bincount(labels[predicted[near]], minlength=count)
    as_person = sizes >= PERSON_PART * sizes[1:].max()
    missed = [part for part in range(1, count) if as_person[part] and hits[part] < MISSED_OVERLAP * sizes[part]]
    return [placed(labels == part, near, person) for part in missed]


def grown_parts(core: Mask, errors: Mask, reach_px: int) -> list[Mask]:
    """The largest connected parts of `core`, each with the errors within `reach_px` of it.

    The boundary error beside a region belongs to it, but a thin rim all round a person must not join two regions.
    Only the neighbourhood of the core, and of each part, is looked at, which is what makes this quick.
    """
    if not core.any():
        return []
    near = neighbourhood(bbox_xywh(core), reach_px)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(core[near].astype(np.uint8), connectivity=8)
    parts = []
    for part in 1 + np.argsort(-stats[1:, cv2.CC_STAT_AREA], kind="stable")[:MOST_PARTS]:
        left, top, width, height = (int(value) for value in stats[part, :4])
        own = neighbourhood((left, top, width, height), reach_px)
        region = np.zeros_like(core[near])
        region[own] = grow((labels == part)[own], reach_px) & errors[near][own]
        parts.append(placed(region, near, core))
    return parts


def placed(region: Mask, near: tuple[slice, slice], like: Mask) -> Mask:
    """A mask of the size of another, with a region in a window of it."""
    whole = np.zeros_like(like)
    whole[near] = region
    return whole


def neighbourhood(bbox_xywh: BoxXYWH, reach_px: int) -> tuple[slice, slice]:
    """The rows and columns of a box and of all within `reach_px` of it; may end outside the image."""
    left, top, width, height = bbox_xywh
    rows, columns = (
        (max(0, top - reach_px), top + height + reach_px),
        (max(0, left - reach_px), left + width + reach_px),
    )
    return slice(*rows), slice(*columns)


def surrounded(region: Mask, found: Mask) -> float:
    """Share of a missing region that the found person beside it surrounds, [0, 1]: what lies in its convex hull."""
    near = neighbourhood(bbox_xywh(region), 1)
    window = region[near].astype(np.uint8)
    beside = cv2.dilate(window, np.ones((3, 3), np.uint8)).astype(bool) & found[near]
    points = np.argwhere(beside)[:, ::-1].astype(np.int32)
    if len(points) < 3:
        return 0.0
    hull = np.asarray(cv2.fillConvexPoly(np.zeros_like(window), cv2.convexHull(points), 1), np.uint8)
    return float(np.count_nonzero(window & hull) / np.count_nonzero(window))


def attached_to(predicted: Mask, found: Mask) -> Mask:
    """The connected parts of the prediction that hold some of the person."""
    count, labels = cv2.connectedComponents(predicted.astype(np.uint8), connectivity=8)
    holds = np.zeros(count, bool)
    holds[np.unique(labels[found])] = True
    attached: Mask = holds[labels]
    return attached
