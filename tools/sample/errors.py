"""Planted label errors: what careless or tired annotators do, each of a known kind.

An error turns the true labels of an image into wrong ones. `planting` decides which images are hit.
"""

from collections.abc import Callable

import cv2
import numpy as np

from tools.sample.geometry import smooth
from tools.sample.labels import Label, Mask, Polygon, box_of, fill_polygons, label_mask, trace
from tools.sample.noise import pick, uniform

KINDS = ("shift", "erode", "dilate", "drop-person", "hole", "bite", "blob", "swap", "coarse", "box")

Damage = Callable[[Mask, np.random.Generator], Mask]


def _shift(mask: Mask, rng: np.random.Generator) -> Mask:
    """Moved by about 8 % of the image, mostly sideways."""
    h, w = mask.shape
    dx, dy = round(pick(rng, (-1, 1)) * 0.08 * w), round(pick(rng, (-1, 1)) * uniform(rng, 0.01, 0.04) * h)
    padded = np.pad(mask, ((abs(dy), abs(dy)), (abs(dx), abs(dx))))
    return padded[abs(dy) - dy : abs(dy) - dy + h, abs(dx) - dx : abs(dx) - dx + w]


def _disc(radius: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)), dtype=np.uint8)


def _erode(mask: Mask, rng: np.random.Generator) -> Mask:
    """Opened so far that thin limbs are lost, then shrunken."""
    radius = max(round(0.035 * max(mask.shape)), 3)
    padded = np.pad(mask, radius * 3, mode="edge").astype(np.uint8)
    core = cv2.morphologyEx(padded, cv2.MORPH_OPEN, _disc(radius + 3))
    core = cv2.erode(core, _disc(max(radius // 2, 2)))
    return core[radius * 3 : -radius * 3, radius * 3 : -radius * 3] > 0


def _dilate(mask: Mask, rng: np.random.Generator) -> Mask:
    radius = max(round(0.035 * max(mask.shape)), 4)
    return cv2.dilate(mask.astype(np.uint8), _disc(radius)) > 0


def _lump(mask: Mask, rng: np.random.Generator, x: float, y: float, size: float) -> Mask:
    """A rounded patch (H, W) about (x, y) px."""
    corners = [[uniform(rng, 0.6, 1.1) * size * np.cos(a), uniform(rng, 0.6, 1.1) * size * np.sin(a)]
               for a in np.linspace(0, 2 * np.pi, 9)[:-1]]  # fmt: skip
    outline = np.round((smooth(np.array(corners), 4) + np.array([x, y])) * 16).astype(np.int32)
    patch = np.zeros(mask.shape, np.uint8)
    cv2.fillPoly(patch, [outline], 1, shift=4)
    return patch > 0


def _hole(mask: Mask, rng: np.random.Generator) -> Mask:
    """A large patch from the middle of the body is missing."""
    _, _, w, h = box_of(mask)
    inner = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    at = np.unravel_index(int(np.argmax(np.round(inner))), mask.shape)
    size = max(0.85 * float(np.round(inner[at])), 0.14 * min(w, h))
    return mask & ~_lump(mask, rng, float(at[1]), float(at[0]), size)


def _bite(mask: Mask, rng: np.random.Generator) -> Mask:
    """A large part at the lower or side edge of the body is missing."""
    x, y, w, h = box_of(mask)
    cx = x + w * pick(rng, (0.05, 0.95))
    return mask & ~_lump(mask, rng, cx, y + h * uniform(rng, 0.45, 0.8), 0.42 * min(w, h))


def _blob(mask: Mask, rng: np.random.Generator) -> Mask:
    """A false region beside the body."""
    h, w = mask.shape
    x, _, wide, _ = box_of(mask)
    left = x + wide / 2 > w / 2
    return mask | _lump(mask, rng, w * (0.16 if left else 0.84), h * uniform(rng, 0.2, 0.5), 0.2 * min(h, w))


def _box(mask: Mask, rng: np.random.Generator) -> Mask:
    x, y, w, h = box_of(mask)
    filled = np.zeros(mask.shape, bool)
    filled[y : y + h, x : x + w] = True
    return filled


DAMAGES: dict[str, Damage] = {
    "shift": _shift, "erode": _erode, "dilate": _dilate, "hole": _hole, "bite": _bite, "blob": _blob, "box": _box,
}  # fmt: skip


def _coarse(label: Label) -> Label:
    """The largest part as a polygon of at most eight corners."""
    for tolerance in range(3, 120):
        polygons: list[Polygon] = sorted(trace(label.mask, 1.0, tolerance), key=len, reverse=True)
        if polygons and len(polygons[0]) <= 8:
            break
    return Label(label.category, fill_polygons(polygons[:1], label.mask.shape), polygons[:1])


def people_of(labels: list[Label]) -> list[Label]:
    """The labels of counted people."""
    return [label for label in labels if label.category == "person" and not label.crowd]


def union(labels: list[Label], size_hw: tuple[int, int]) -> Mask:
    """Pixels (H, W) of any counted person."""
    people = [np.zeros(size_hw, bool), *(label.mask for label in people_of(labels))]
    return np.asarray(np.any(people, axis=0))


def damage(labels: list[Label], kind: str, rng: np.random.Generator) -> list[Label] | None:
    """The labels with an error of that kind in them, or None where it cannot be made on one image."""
    people = people_of(labels)
    if kind == "drop-person":
        smallest = min(people, key=lambda label: int(label.mask.sum()))
        return [label for label in labels if label is not smallest] if len(people) == 2 else None
    target = max(people, key=lambda label: int(label.mask.sum()))
    wrong = _coarse(target) if kind == "coarse" else label_mask("person", DAMAGES[kind](target.mask, rng))
    return [wrong if label is target else label for label in labels]


def share_and_iou(labels: list[Label], truth: list[Label], size_hw: tuple[int, int]) -> tuple[float, float]:
    """Share of the picture that the labelled people fill, and their IoU with the true people."""
    wrong, true = union(labels, size_hw), union(truth, size_hw)
    return float(wrong.mean()), float((wrong & true).sum()) / max(int((wrong | true).sum()), 1)
