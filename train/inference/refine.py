"""Probabilities made to follow the photograph: larger parts alone, the guided filter, closed-form matting.

Each refinement takes an image (H, W, 3) uint8 RGB and the probability of person (H, W) float32 in [0, 1] at its size,
gives a probability of the same kind, and changes neither. What each earned is measured in docs/results.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from curate.errors import UsageError
from curate.masks import Mask, SizeHW
from curate.person_model import Photo, Predict, Probability

Refine: TypeAlias = Callable[[Photo, Probability], Probability]
Floats: TypeAlias = NDArray[np.float64]

WORKING_PX = 400_000
"""Larger images are filtered and solved at this many pixels, and the result carried to each pixel by its own colour."""
SMALLEST_SHARE = 0.1
"""A part of under this share of the largest one is dropped."""
GUIDED_RADIUS = 0.02
"""Of the diagonal: the windows in which the guided filter takes the probability for a linear function of colour."""
GUIDED_EPSILON = 1e-4
"""Colour variance, of values in [0, 1], under which a window counts as flat and is only smoothed."""
BAND = 0.02
"""Of the diagonal: how far on either side of the outline matting decides anew."""
MATTING_EPSILON = 1e-6
"""Colour variance, of values in [0, 1], under which a window counts as flat; of the size Levin et al. use."""
MODEL_WEIGHT = 0.01
"""How much a pixel of the band is held to what the model said of it."""
SOLVED, STEPS = 1e-4, 500
"""The share of the residual, or the steps of conjugate gradients, at which matting is solved."""
CARRY_RADIUS, CARRY_EPSILON = 2, 1e-5
"""Pixels, and variance, of the windows that carry a solved alpha to the full size."""


def keep_large_parts(image: Photo, chances: Probability) -> Probability:
    """The probability without the parts (8 neighbours) that are under SMALLEST_SHARE of the largest one.

    A part is what reaches 0.5; each other pixel goes with the part that is nearest to it. The image is not looked at.
    """
    if not (chances >= 0.5).any():
        return chances
    labels = nearest_part(chances >= 0.5)
    areas = np.bincount(labels[chances >= 0.5], minlength=labels.max() + 1)
    return np.where((areas >= SMALLEST_SHARE * areas.max())[labels], chances, np.float32(0))


def nearest_part(mask: Mask) -> NDArray[np.int32]:
    """The number, from 1, of the part (8 neighbours) of a mask (H, W), not empty, that each pixel is nearest to."""
    outside = (~mask).view(np.uint8)
    return np.asarray(cv2.distanceTransformWithLabels(outside, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_CCOMP)[1])


def filter_guided(image: Photo, chances: Probability) -> Probability:
    """The probability as a function of colour that is linear in small windows: He et al. 2013, equations 19 to 21.

    It moves the outline to edges of the photograph nearby. Windows are a GUIDED_RADIUS wide to either side. Larger
    images are subsampled (He and Sun 2015, https://arxiv.org/abs/1505.00996).
    """
    size_hw = working_size(chances.shape)
    radius = max(1, round(GUIDED_RADIUS * float(np.hypot(*size_hw))))
    lines = local_lines(shrink(image, size_hw), shrink(chances, size_hw), radius, GUIDED_EPSILON)
    return follow_lines(image, *lines)


def local_lines(colours: Photo, values: Probability, radius: int, epsilon: float) -> tuple[Floats, Floats]:
    """Slope (h, w, 3) and offset (h, w) of values (h, w) as a function of colour in [0, 1] around each pixel.

    They are least-squares fits over windows of 2 radius + 1 px, with slopes held down by `epsilon`, and the mean of
    all windows that a pixel lies in.
    """
    guide: Floats = colours / 255.0
    target: Floats = values.astype(np.float64)
    mean, mean_target = box_mean(guide, radius), box_mean(target, radius)
    together = box_mean(guide * target[..., None], radius) - mean * mean_target[..., None]
    products = (guide[..., :, None] * guide[..., None, :]).reshape(*target.shape, 9)
    spread = box_mean(products, radius).reshape(*target.shape, 3, 3) - mean[..., :, None] * mean[..., None, :]
    slope = np.linalg.solve(spread + epsilon * np.eye(3), together[..., None])[..., 0]
    offset = mean_target - (slope * mean).sum(axis=-1)
    return box_mean(slope, radius), box_mean(offset, radius)


def box_mean(values: NDArray[np.floating[Any]], radius: int) -> Floats:
    """The mean over the 2 radius + 1 px square around each pixel; beyond the edge the image is mirrored."""
    side = 2 * radius + 1
    return np.asarray(cv2.blur(values, (side, side), borderType=cv2.BORDER_REFLECT), np.float64)


def follow_lines(image: Photo, slope: Floats, offset: Floats) -> Probability:
    """The probability (H, W) that lines of any size give to the colours of an image (H, W, 3)."""
    size = image.shape[1::-1]
    slopes: Any = cv2.resize(slope.astype(np.float32) / 255, size, interpolation=cv2.INTER_LINEAR)
    given: Any = cv2.resize(offset.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    for channel in range(3):
        given += slopes[..., channel] * image[..., channel]
    return np.asarray(given.clip(0, 1), np.float32)


def solve_matting(image: Photo, chances: Probability) -> Probability:
    """Closed-form matting in a band around the outline, where the probability passes 0.5; 0 and 1 away from it.

    In each small window alpha is a linear function of colour (Levin, Lischinski and Weiss 2008, "A Closed-Form Solution
    to Natural Image Matting", equation 12), and it is held to what the model said by MODEL_WEIGHT, so that a wide band
    does not run off along a background of the person's colours. Larger images are solved at WORKING_PX and get the
    solution by `local_lines`, which is the same model of alpha.
    """
    person = chances >= 0.5
    width_px = max(1, round(BAND * float(np.hypot(*chances.shape))))
    trimap = trimap_of(person, width_px)
    alpha = trimap.copy()
    if (trimap == 0.5).any():
        box = box_around(trimap == 0.5, margin_px=2)
        alpha[box] = alpha_of(image[box], trimap[box], person[box])
    return alpha


def alpha_of(image: Photo, trimap: Probability, person: Mask) -> Probability:
    """The alpha (H, W) in [0, 1] of a trimap (H, W) of 0 background, 0.5 unknown, 1 person, and the model's mask."""
    size_hw = working_size(trimap.shape)
    if size_hw == trimap.shape:
        return _alpha_at_size(image, trimap, person.astype(np.float32))
    colours, small = shrink(image, size_hw), shrink(trimap, size_hw)
    known = (small == 0) | (small == 1)
    solved = _alpha_at_size(
        colours, np.where(known, small, np.float32(0.5)), shrink(person.astype(np.float32), size_hw)
    )
    carried = follow_lines(image, *local_lines(colours, solved, CARRY_RADIUS, CARRY_EPSILON))
    return np.where(trimap == 0.5, carried, trimap)


def _alpha_at_size(image: Photo, trimap: Probability, believed: Probability) -> Probability:
    """Solves (L + MODEL_WEIGHT) alpha = MODEL_WEIGHT believed for the unknown pixels; L is the matting Laplacian."""
    from pymatting import cf_laplacian
    from scipy.sparse import diags, identity
    from scipy.sparse.linalg import cg

    alpha = trimap.ravel().astype(np.float64)
    unknown = alpha == 0.5
    rows = cf_laplacian(image / 255.0, epsilon=MATTING_EPSILON, is_known=~unknown)[unknown]
    system = rows[:, unknown] + MODEL_WEIGHT * identity(int(unknown.sum()), format="csr")
    wanted = MODEL_WEIGHT * believed.ravel()[unknown] - rows[:, ~unknown] @ alpha[~unknown]
    # What is not solved to the last digit after so many steps differs by less than a prediction's 8 bits can tell.
    alpha[unknown], _ = cg(system, wanted, M=diags(1 / system.diagonal()), rtol=SOLVED, maxiter=STEPS)
    return np.asarray(alpha.clip(0, 1).reshape(trimap.shape), np.float32)


def trimap_of(person: Mask, width_px: int) -> Probability:
    """A mask (H, W) as 1 inside, 0 outside and 0.5 within `width_px` of its outline.

    The inner half of a part that is too thin for that stays 1, so that none is lost.
    """
    if not person.any():
        return np.zeros(person.shape, np.float32)
    inside = cv2.distanceTransform(np.pad(person.view(np.uint8), 1, mode="edge"), cv2.DIST_L2, 5)[1:-1, 1:-1]
    outside = cv2.distanceTransform((~person).view(np.uint8), cv2.DIST_L2, 5)
    labels = nearest_part(person)
    deepest = np.zeros(labels.max() + 1, np.float32)
    np.maximum.at(deepest, labels[person], inside[person])
    sure = person & (inside > np.minimum(width_px, deepest / 2)[labels])
    trimap = np.where(person | (outside <= width_px), np.float32(0.5), np.float32(0))
    trimap[sure] = 1
    return trimap


def box_around(mask: Mask, margin_px: int) -> tuple[slice, slice]:
    """Rows and columns of the box of a mask, not empty, with a margin as far as the image goes."""
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    rows = slice(max(0, top - margin_px), top + height + margin_px)
    return rows, slice(max(0, left - margin_px), left + width + margin_px)


def working_size(size_hw: SizeHW | tuple[int, ...]) -> SizeHW:
    """Height and width of the same shape and at most about WORKING_PX pixels."""
    height, width = size_hw[:2]
    scale = min(1.0, (WORKING_PX / (height * width)) ** 0.5)
    return max(1, round(height * scale)), max(1, round(width * scale))


def shrink(raster: NDArray[Any], size_hw: SizeHW) -> NDArray[Any]:
    """A raster at a size that is not larger, by the mean of the pixels that become one."""
    return np.asarray(cv2.resize(raster, size_hw[::-1], interpolation=cv2.INTER_AREA))


REFINEMENTS: dict[str, Refine] = {
    "largest-parts": keep_large_parts,
    "guided": filter_guided,
    "matting": solve_matting,
}


def split_names(text: str | None) -> tuple[str, ...]:
    """The names of refinements in a comma-separated option, in its order; UsageError where one is none."""
    names = tuple(name.strip() for name in text.split(",")) if text is not None else ()
    for name in names:
        if name not in REFINEMENTS:
            raise UsageError(f"--refine {name}: expected one or more of {', '.join(REFINEMENTS)}, with commas between")
    return names


def refined(predict: Predict, names: Sequence[str]) -> Predict:
    """What gives a model's probabilities after the refinements of these names, one after the other."""

    def follow(image: Photo) -> Probability:
        return refine(image, predict(image), names)

    return follow if names else predict


def refine(image: Photo, chances: Probability, names: Sequence[str]) -> Probability:
    """The probability after the refinements of these names, one after the other."""
    for name in names:
        chances = REFINEMENTS[name](image, chances)
    return chances
