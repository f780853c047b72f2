"""What a prediction is worth: counts, IoU, boundary IoU, cross-entropy, label quality. Pure numpy, no torch.

Everything is computed from the 8-bit prediction as it lies on disk (value / 255 is the probability, person where
value >= 128), at native size, over counted pixels only, so that anyone can compute it again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.errors import MismatchError
from curate.masks import IGNORE, PERSON, Mask, Target, band_width_px, boundary_band

THRESHOLD = 128
"""A predicted value from here on is person."""

GOOD_IOU = 0.9
"""An image from here on is a good photo."""

PROBABILITY_FLOOR = 1e-7
"""Probabilities are clipped to [this, 1 - this] for the cross-entropy."""

SOFTMIN_TEMPERATURE = 0.1
"""Temperature of `label_quality`, cleanlab's default."""

EXACT_PX = 2**24
"""As many pixels float32 counts one by one."""

_PROBABILITIES = np.arange(256) / 255
_SURPRISES = -np.log(np.clip(_PROBABILITIES, PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR))


def score_image(target: Target, prediction: NDArray[np.uint8]) -> dict[str, int | float | None]:
    """The figures of one image: the numeric columns of curate.schema.SCORES from `tp` to `label_quality`.

    Label and prediction both empty: `iou`, `dice` and `boundary_iou` are None. A label without a person has no
    `sensitivity`, one without background no `specificity`, one without a counted pixel no figure but its counts.

    Args:
        target: (H, W) of 0 background, 255 person, 128 not counted.
        prediction: (H, W), value / 255 is the probability of person.

    Raises:
        MismatchError: The two have different sizes.
    """
    if target.shape != prediction.shape:
        raise MismatchError("prediction", f"{target.shape} (HxW) as its target", f"{prediction.shape}")
    person, counted = target == PERSON, target != IGNORE
    said = prediction >= THRESHOLD
    tp = int(np.count_nonzero(person & said))
    fn, fp = int(np.count_nonzero(person)) - tp, int(np.count_nonzero(said & counted)) - tp
    tn = int(np.count_nonzero(counted)) - tp - fn - fp
    pixels_at = _histogram(prediction ^ ~target, counted)  # 255 - value where the label is background
    return {
        "tp": tp,
        "fp": fp,
        "fn": fn,
        "tn": tn,
        "ignored": target.size - tp - fp - fn - tn,
        "iou": _ratio(tp, tp + fp + fn),
        "dice": _ratio(2 * tp, 2 * tp + fp + fn),
        "accuracy": _ratio(tp + tn, tp + fp + fn + tn),
        "sensitivity": _ratio(tp, tp + fn),
        "specificity": _ratio(tn, tn + fp),
        "boundary_iou": boundary_iou(person, said, counted),
        "bce": _cross_entropy(pixels_at),
        "label_quality": _label_quality(pixels_at),
    }


def _histogram(values: NDArray[np.uint8], where: Mask) -> NDArray[np.int64]:
    """How often each of the 256 values stands where `where` is set, (256,).

    OpenCV counts several times as fast as numpy and lets other threads run meanwhile; its counts are float32, so that
    they are exact for so many pixels at a time.
    """
    rows = max(1, EXACT_PX // values.shape[1])
    total = np.zeros(256, np.int64)
    for top in range(0, len(values), rows):
        part, chosen = values[top : top + rows], where[top : top + rows].view(np.uint8)
        total += cv2.calcHist([part], [0], chosen, [256], [0, 256]).ravel().astype(np.int64)
    return total


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def boundary_iou(label: Mask, prediction: Mask, counted: Mask) -> float | None:
    """IoU of the two masks' boundary bands, over counted pixels (Cheng et al. 2021, Boundary IoU, equation 2).

    The band of a mask is what of it lies within max(1, round(0.02 x diagonal)) px of its outline (chessboard distance;
    the image's edge counts as outside). None where neither band has a counted pixel.

    Args:
        label, prediction, counted: (H, W) bool of one size.
    """
    width_px = band_width_px((label.shape[0], label.shape[1]))
    left, top, width, height = cv2.boundingRect((label | prediction).view(np.uint8))
    if not width:
        return None
    box = np.s_[top : top + height, left : left + width]  # beyond it there is no mask, as beyond the image's edge
    of_label = boundary_band(label[box], width_px) & counted[box]
    of_prediction = boundary_band(prediction[box], width_px) & counted[box]
    shared = int(np.count_nonzero(of_label & of_prediction))
    return _ratio(shared, int(np.count_nonzero(of_label | of_prediction)))


def _cross_entropy(pixels_at: NDArray[np.int64]) -> float | None:
    """Mean binary cross-entropy in nats.

    Args:
        pixels_at: How many pixels are given their own label with a probability of index / 255, (256,).
    """
    pixels = int(pixels_at.sum())
    return float(pixels_at @ _SURPRISES) / pixels if pixels else None


def _label_quality(pixels_at: NDArray[np.int64]) -> float | None:
    """Soft minimum over the pixels of s, the probability given to a pixel's own label: sum(s * softmax((1 - s) / T)).

    In [0, 1], lower = the label is more likely wrong somewhere. This is the `softmin` score of cleanlab
    (`cleanlab.segmentation.rank.get_label_quality_scores`, T = 0.1; Lad and Mueller 2023, "Estimating label quality and
    errors in semantic segmentation data via any model").

    Args:
        pixels_at: As `_cross_entropy`; a histogram is all it takes, however large the image.
    """
    if not pixels_at.any():
        return None
    pull = pixels_at * np.exp(-_PROBABILITIES / SOFTMIN_TEMPERATURE)  # the 1 / T in every exponent cancels out
    return float(pull @ _PROBABILITIES / pull.sum())


class Summary(msgspec.Struct, frozen=True):
    """What the scores of some images come to. A mean over no image is None."""

    images: int
    empty: int
    """Images whose label shows nobody."""
    empty_predicted_empty: float | None
    """The share of these that is predicted empty; their IoU is null and left out of every mean below."""
    mean_iou: float | None
    """The image mean."""
    pooled_iou: float | None
    """All pixels of all images in one IoU."""
    worst_tenth_iou: float | None
    """Mean of the ceil(n / 10) lowest IoUs, n the images that have one."""
    good_share: float | None
    """Share of the images with an IoU that reach 0.9."""
    mean_dice: float | None
    mean_boundary_iou: float | None
    mean_bce: float | None


def summarise(scores: pl.DataFrame) -> Summary:
    """The summary of a frame with the columns of curate.schema.SCORES; every row counts."""
    empty = scores.filter(pl.col("tp") + pl.col("fn") == 0)
    ious = scores["iou"].drop_nulls().sort()
    worst = ious.head(math.ceil(len(ious) / 10))
    person, union = int(scores["tp"].sum()), int(scores.select("tp", "fp", "fn").sum().sum_horizontal()[0])
    return Summary(
        images=scores.height,
        empty=empty.height,
        empty_predicted_empty=_ratio(empty.filter(pl.col("fp") == 0).height, empty.height),
        mean_iou=mean_of(ious),
        pooled_iou=_ratio(person, union),
        worst_tenth_iou=mean_of(worst),
        good_share=_ratio(int((ious >= GOOD_IOU).sum()), len(ious)),
        mean_dice=mean_of(scores["dice"]),
        mean_boundary_iou=mean_of(scores["boundary_iou"]),
        mean_bce=mean_of(scores["bce"]),
    )


def mean_summary(summaries: Sequence[Summary]) -> Summary:
    """The mean of what several trainings come to on the same images; a figure that one of them lacks is None."""
    columns = {name: [getattr(one, name) for one in summaries] for name in Summary.__struct_fields__}
    means = {name: None if None in values else math.fsum(values) / len(values) for name, values in columns.items()}
    return Summary(**means | {name: columns[name][0] for name in ("images", "empty")})


def mean_of(values: pl.Series) -> float | None:
    """The mean of the known values; None where there are none."""
    known = values.drop_nulls()
    return math.fsum(known) / len(known) if len(known) else None
