"""Whether the model or the label is to blame, with the evidence. Pure functions on arrays.

A model that learned from other images and is sure of the opposite of the label is one witness, and louder where others
agree with it; the photograph is another, and independent of any model: a label that is right follows edges of the
image, and the colours of what it adds or leaves out are those of the person or of the background. Four pieces of
evidence are added up:

outline         whether the image's edges run beside the label's outline instead of along it
region          the worst region of disagreement: its size, how sure the models are there on the whole, whether the
                colours side with them, and whether the label's outline through it follows no edge
contradiction   the image's rank by label_quality, the softmin of Lad and Mueller (2023), "Estimating label quality and
                errors in semantic segmentation data via any model"; a rank, since its scale is that of the model
check           the severity of the gravest finding of `curate label check`

The weights are those of a logistic regression on planted damage in two collections of photographs and drawn scenes,
one label in twenty damaged, by a weak model, a good one, and both; `docs/results.md` has what they find.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.masks import IGNORE, PERSON, Mask, Target, grow
from review.geometry import Failure, grown_parts, missing_core, surplus_core, tolerance_px
from review.working_size import smaller, smaller_labels

BIAS = -3.7
OUTLINE, REGION, CONTRADICTION, CHECK = 2.5, 8.5, 1.0, 4.5
"""Log-odds of a wrong label = BIAS + the weighted evidence."""

TOLD = 0.5
"""Evidence that adds less to the log-odds is not told as a reason."""

LOW_QUALITY = 0.8
"""A label quality is told as a reason where it is among the lowest fifth."""

DOUBTFUL = 0.5
"""A label with at least this suspicion is one to look at."""

GOOD_SEVERITY = 0.1
"""An image this close to its label (IoU 0.9) is good enough: what is left is the ambiguity of every boundary."""

COLOUR_STEP = 24
COLOUR_BINS = 256 // COLOUR_STEP + 1
FEWEST_PIXELS = 30
"""Colours are compared only where person and background have this many agreed pixels each."""


class Evidence(msgspec.Struct, frozen=True):
    """What speaks against the label of one image."""

    outline: float
    """Log of the edge strength beside the label's outline over that along it, [-1, 1]; above 0 the label is off."""
    region: float
    """The worst region of disagreement, about [0, 2]; 0 where there is none."""
    surplus: bool
    """Whether the label leaves that region out (the models say person) or takes it in (they say background)."""
    contradiction: float = 0.0
    """The share of the images whose label the models agree with better, [0, 1)."""
    check: float = 0.0
    """Severity of the gravest finding of the label check that makes a label suspect, [0.5, 1]; 0 where it has none."""
    finding: str = ""
    """That finding in words."""
    models: int = 1
    """How many models were asked."""


NO_REGION = (0.0, False)


def weigh(image: NDArray[np.uint8], target: Target, predictions: Sequence[NDArray[np.uint8]]) -> Evidence:
    """The evidence of one image against its label.

    The models are heard as one, the mean of what they say, so that it is sure only where they agree.

    Args:
        image: (H, W, 3) RGB.
        target: (H, W) of 0, 128, 255; pixels of 128 are passed over.
        predictions: (H, W) each, at least one, value / 255 = probability of person; from models that did not learn
            from this label.
    """
    image, target, prediction = shrunken(image, target, mean_of(predictions))
    person, counted = target == PERSON, target != IGNORE
    edges = edge_strength(image)
    strength, surplus = worst_region(image, edges, person, counted, prediction)
    return Evidence(outline_evidence(edges, person), strength, surplus, models=len(predictions))


def mean_of(predictions: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """The mean (H, W) of some predictions, to the nearest integer."""
    if len(predictions) == 1:
        return predictions[0]
    mean: NDArray[np.uint8] = np.rint(np.mean(predictions, axis=0)).astype(np.uint8)
    return mean


def contradictions(scores: pl.DataFrame) -> list[float]:
    """For each image the share of its split's images with a better label_quality, [0, 1); 0 where it has none.

    Args:
        scores: schema.SCORES.
    """
    better = pl.col("label_quality").rank("min", descending=True) - 1
    share = (better / pl.col("label_quality").count()).over("split").fill_null(0.0)
    return scores.select(share).to_series().to_list()


def suspicion_of(evidence: Evidence) -> float:
    """How likely the label is wrong, (0, 1), from the weighted sum of the evidence."""
    return 1.0 / (1.0 + math.exp(-BIAS - sum(shares_of(evidence).values())))


def shares_of(evidence: Evidence) -> dict[str, float]:
    """What each piece of evidence adds to the log-odds."""
    return {
        "outline": OUTLINE * evidence.outline,
        "region": REGION * evidence.region,
        "contradiction": CONTRADICTION * evidence.contradiction,
        "check": CHECK * evidence.check,
    }


def reason_of(evidence: Evidence) -> str:
    """The evidence in words, the weightiest first; what adds less than TOLD to the log-odds is left out."""
    who = "the model is" if evidence.models == 1 else f"{evidence.models} models on the whole are"
    words = {
        "outline": "the label's outline runs beside the image's edges",
        "region": f"{who} sure of a person where the label has none"
        if evidence.surplus
        else f"{who} sure of background where the label has a person",
        "contradiction": f"its label quality is among the lowest {max(1, round(100 * (1 - evidence.contradiction)))} %",
        "check": f"the label check: it {evidence.finding}",
    }
    shares = shares_of(evidence)
    if evidence.contradiction < LOW_QUALITY:
        del shares["contradiction"]
    told = [words[name] for name in sorted(shares, key=lambda name: -shares[name]) if shares[name] >= TOLD]
    return "; ".join(told) or "nothing speaks against the label"


def triage_of(failure: Failure, suspicion: float) -> str:
    """`ok` where nothing much is wrong, `relabel` where the label is in doubt, else `augment`: the image is hard."""
    if suspicion >= DOUBTFUL and failure.severity > 0:
        return "relabel"
    return "ok" if failure.severity <= GOOD_SEVERITY else "augment"


def shrunken(
    image: NDArray[np.uint8], target: Target, prediction: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], Target, NDArray[np.uint8]]:
    """The three at working size, or as they are where they are no larger."""
    return smaller(image), smaller_labels(target), smaller(prediction)


def edge_strength(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Gradient of the smoothed colours, (H, W), in units of the image's own mean; all 0 in a plain image."""
    squares = np.zeros(image.shape[:2], np.float32)
    for channel in cv2.split(cv2.GaussianBlur(image, (0, 0), 1.5)):
        for order in ((1, 0), (0, 1)):
            cv2.accumulateSquare(cv2.Sobel(channel, cv2.CV_32F, *order), squares)
    strength = np.sqrt(squares)
    return np.asarray(strength / max(float(strength.mean()), 1e-6), np.float32)


def outline_of(mask: Mask) -> Mask:
    """The mask's pixels beside its background; the image's edge is no outline."""
    inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8), borderType=cv2.BORDER_REPLICATE)
    outline: Mask = mask & (inner == 0)
    return outline


def outline_evidence(edges: NDArray[np.float32], person: Mask) -> float:
    """Log of the edge strength a little inside and outside of the outline over that along it, clipped to [-1, 1].

    0 where there is no outline.
    """
    outline = outline_of(person)
    if not outline.any():
        return 0.0
    reach = max(3, round(0.04 * math.sqrt(np.count_nonzero(person))))
    inside = outline_of(~grow(~person, reach))
    beside = [edges[line].mean() for line in (inside, outline_of(grow(person, reach))) if line.any()]
    if not beside:
        return 0.0
    ratio = (float(np.mean(beside)) + 0.1) / (float(edges[outline].mean()) + 0.1)
    return float(np.clip(math.log(ratio), -1, 1))


def worst_region(
    image: NDArray[np.uint8],
    edges: NDArray[np.float32],
    person: Mask,
    counted: Mask,
    prediction: NDArray[np.uint8],
) -> tuple[float, bool]:
    """(strength, surplus) of the region of disagreement that speaks loudest against the label; (0, False) for none.

    A region's strength is sqrt(its share of person and prediction together) x how sure the model is in it, from 0 at
    a probability of a half to 1, x (1 + how far its colours side with the model, [-1, 1]) x (2 - the edge strength
    along the part of the label's outline that bounds it).
    """
    predicted = (prediction >= 128) & counted
    disagreement = np.abs(prediction / np.float32(255) - person)
    either_px = max(1, int(np.count_nonzero(person | predicted)))
    reach = tolerance_px(person)
    missing = grown_parts(missing_core(person, predicted), person & ~predicted, reach)
    surplus = grown_parts(surplus_core(person, predicted), predicted & ~person, reach)
    if not missing and not surplus:
        return NO_REGION
    likeness = person_likeness(image, person & (prediction > 204), counted & ~person & (prediction < 51))
    loudest = NO_REGION
    for region, is_surplus in [(part, False) for part in missing] + [(part, True) for part in surplus]:
        share = math.sqrt(np.count_nonzero(region) / either_px)
        sure = 2 * float(disagreement[region].mean()) - 1
        colours = float(likeness[region].mean()) * (1 if is_surplus else -1)
        bounded = 2.0 - edge_along(edges, region, outline_of(person), outline_of(predicted))
        loudest = max(loudest, (share * sure * (1 + colours) * max(0.0, bounded), is_surplus))
    return loudest


def edge_along(edges: NDArray[np.float32], region: Mask, label: Mask, predicted: Mask) -> float:
    """Mean edge strength, at most 4, along the label's outline at the region where the prediction has none of its own.

    1 (as strong as the image on the whole) where that is hardly a line.
    """
    near = grow(region, 1)
    line = label & near & ~grow(predicted & near, 2)
    return float(np.minimum(edges[line], 4).mean()) if np.count_nonzero(line) > 5 else 1.0


def person_likeness(image: NDArray[np.uint8], person: Mask, background: Mask) -> NDArray[np.float32]:
    """How much each pixel's colour is the person's (1) or the background's (-1), (H, W).

    The log of the ratio of two colour histograms in Lab, clipped to [-3, 3] and divided by 3; all 0 where either
    has fewer than FEWEST_PIXELS.

    Args:
        image: (H, W, 3) RGB.
        person, background: (H, W), the pixels label and model agree on.
    """
    if min(np.count_nonzero(person), np.count_nonzero(background)) < FEWEST_PIXELS:
        return np.zeros(person.shape, np.float32)
    lab = (cv2.cvtColor(image, cv2.COLOR_RGB2LAB) // COLOUR_STEP).astype(np.intp)
    bins = (lab[..., 0] * COLOUR_BINS + lab[..., 1]) * COLOUR_BINS + lab[..., 2]
    one, other = (np.bincount(bins[where], minlength=COLOUR_BINS**3) + 0.01 for where in (person, background))
    ratio = np.clip(np.log((one / one.sum()) / (other / other.sum())), -3, 3) / 3
    likeness: NDArray[np.float32] = ratio.astype(np.float32)[bins]
    return likeness
