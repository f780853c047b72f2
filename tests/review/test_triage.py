"""Which is wrong, the model or the label, on drawn photographs where the answer is known."""

from __future__ import annotations

import cv2
import msgspec
import numpy as np
import polars as pl
import pytest

from curate import schema
from curate.masks import Mask, grow
from review import triage
from review.geometry import NOTHING_WRONG, Failure, name_failure
from review.triage import Evidence, contradictions, reason_of, suspicion_of, triage_of, weigh
from tests.review.making import SIZE_HW, as_target, body, photograph, score, sure_of

PERSON = body()


def disc(x: int, y: int, radius: int) -> Mask:
    rows, columns = np.ogrid[: SIZE_HW[0], : SIZE_HW[1]]
    drawn: Mask = (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
    return drawn


def eroded(mask: Mask, width_px: int) -> Mask:
    return cv2.erode(mask.astype(np.uint8), np.ones((2 * width_px + 1,) * 2, np.uint8)).astype(bool)


DAMAGED = {
    "shift": np.roll(PERSON, 14, axis=1),
    "erode": eroded(PERSON, 5),
    "dilate": grow(PERSON, 5),
    "hole": PERSON & ~disc(72, 85, 13),
    "blob": PERSON | disc(130, 40, 14),
    "head-lost": PERSON & ~(np.arange(SIZE_HW[0]) < 46)[:, None],
    "another-image's": body(100),
    "nobody": np.zeros(SIZE_HW, bool),
}


def suspicion(label: Mask, *predictions: np.ndarray, contradiction: float = 0.5, check: float = 0.0) -> float:
    evidence = weigh(photograph(PERSON), as_target(label), predictions)
    return suspicion_of(msgspec.structs.replace(evidence, contradiction=contradiction, check=check))


@pytest.mark.parametrize("label", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_label_is_in_doubt_when_the_model_is_sure(label: Mask) -> None:
    assert suspicion(label, sure_of(PERSON), contradiction=0.9) >= triage.DOUBTFUL


@pytest.mark.parametrize("wrong", DAMAGED.values(), ids=DAMAGED)
def test_a_right_label_is_not_in_doubt_though_the_model_errs_the_same_way(wrong: Mask) -> None:
    """The model makes the very error the labels above have, as sure of itself: only the photograph tells."""
    assert suspicion(PERSON, sure_of(wrong)) < triage.DOUBTFUL
    assert suspicion(PERSON, sure_of(wrong)) < suspicion(wrong, sure_of(PERSON))


@pytest.mark.parametrize("label", DAMAGED.values(), ids=DAMAGED)
def test_a_model_in_doubt_speaks_softer(label: Mask) -> None:
    unsure = np.rint(sure_of(PERSON) * 0.3 + 90).astype(np.uint8)
    assert suspicion(label, unsure) < suspicion(label, sure_of(PERSON))


def test_a_right_label_and_a_right_model() -> None:
    evidence = weigh(photograph(PERSON), as_target(PERSON), [sure_of(PERSON)])
    assert evidence.region == 0
    assert evidence.outline < 0
    assert suspicion_of(evidence) < 0.01
    assert reason_of(evidence) == "nothing speaks against the label"


def test_not_counted_pixels_are_passed_over() -> None:
    label = as_target(DAMAGED["blob"])
    label[disc(130, 40, 16)] = 128
    assert weigh(photograph(PERSON), label, [sure_of(PERSON)]).region == 0


def test_nobody_anywhere_is_no_evidence() -> None:
    nobody = np.zeros(SIZE_HW, bool)
    assert weigh(photograph(nobody), as_target(nobody), [sure_of(nobody)]) == Evidence(0.0, 0.0, False)


def test_a_plain_image_is_no_evidence_of_edges_or_colours() -> None:
    plain = np.full((*SIZE_HW, 3), 127, np.uint8)
    evidence = weigh(plain, as_target(DAMAGED["shift"]), [sure_of(PERSON)])
    assert evidence.outline == 0
    assert np.isfinite(evidence.region)


def test_a_large_photograph_says_the_same_as_a_small_one() -> None:
    large_hw = (1200, 1600)
    person = body(50, large_hw)
    image = cv2.resize(photograph(PERSON), large_hw[::-1], interpolation=cv2.INTER_CUBIC)
    hole = person & ~(disc_at(large_hw, 720, 850, 130))
    large = weigh(image, as_target(hole), [sure_of(person)])
    small = weigh(photograph(PERSON), as_target(DAMAGED["hole"]), [sure_of(PERSON)])
    assert large.region == pytest.approx(small.region, rel=0.25)
    assert large.outline == pytest.approx(small.outline, abs=0.25)
    assert large.surplus is small.surplus is True


def test_large_photographs_are_shrunken_and_small_ones_left_as_they_are() -> None:
    image, label, prediction = photograph(PERSON), as_target(DAMAGED["hole"]), sure_of(PERSON)
    assert triage.shrunken(image, label, prediction)[0] is image
    large = [np.repeat(np.repeat(one, 8, axis=0), 8, axis=1) for one in (image, label, prediction)]
    small_image, small_label, small_prediction = triage.shrunken(large[0], large[1], large[2])
    assert small_image.shape == (360, 480, 3)
    assert small_label.shape == small_prediction.shape == (360, 480)
    assert set(np.unique(small_label)) == {0, 255}
    assert weigh(large[0], large[1], [large[2]]) == weigh(small_image, small_label, [small_prediction])


def disc_at(size_hw: tuple[int, int], x: int, y: int, radius: int) -> Mask:
    rows, columns = np.ogrid[: size_hw[0], : size_hw[1]]
    drawn: Mask = (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
    return drawn


def test_inputs_stay_as_they_are() -> None:
    image, label, prediction = photograph(PERSON), as_target(DAMAGED["hole"]), sure_of(PERSON)
    before = image.copy(), label.copy(), prediction.copy()
    weigh(image, label, [prediction])
    for array, old in zip((image, label, prediction), before, strict=True):
        assert (array == old).all()


@pytest.mark.parametrize(
    ("severity", "suspicion", "expected"),
    [
        (0.0, 0.99, "ok"),
        (0.05, 0.1, "ok"),
        (0.1, 0.49, "ok"),
        (0.05, 0.5, "relabel"),
        (0.8, 0.9, "relabel"),
        (0.8, 0.49, "augment"),
        (0.11, 0.0, "augment"),
    ],
)
def test_triage(severity: float, suspicion: float, expected: str) -> None:
    failure = Failure("bite", severity, 0.1, (0, 0, 1, 1)) if severity else NOTHING_WRONG
    assert triage_of(failure, suspicion) == expected


def test_each_piece_of_evidence_raises_suspicion() -> None:
    nothing = suspicion_of(Evidence(0.0, 0.0, False))
    assert nothing < suspicion_of(Evidence(0.2, 0.0, False))
    assert nothing < suspicion_of(Evidence(0.0, 0.2, False))
    assert nothing < suspicion_of(Evidence(0.0, 0.0, False, contradiction=0.2))
    assert nothing < suspicion_of(Evidence(0.0, 0.0, False, check=0.2))


def test_reasons_are_told_weightiest_first() -> None:
    assert reason_of(Evidence(1.0, 0.2, True, contradiction=0.96)) == (
        "the label's outline runs beside the image's edges; the model is sure of a person where the label has none; "
        "its label quality is among the lowest 4 %"
    )
    assert reason_of(Evidence(0.0, 1.0, False)) == "the model is sure of background where the label has a person"
    checked = Evidence(0.0, 1.0, True, check=1.0, finding="is person all over", models=3)
    assert reason_of(checked) == (
        "3 models on the whole are sure of a person where the label has none; the label check: it is person all over"
    )


def test_contradiction_is_the_rank_within_the_split() -> None:
    qualities = {"a": ("train", 0.9), "b": ("train", 0.1), "c": ("train", 0.5), "d": ("val", 0.2), "e": ("val", None)}
    figures = score(as_target(PERSON), sure_of(PERSON))
    rows = [
        figures | {"sample_id": sample_id, "split": split, "fold": -1, "label_quality": quality}
        for sample_id, (split, quality) in qualities.items()
    ]
    assert contradictions(schema.table(rows, schema.SCORES)) == pytest.approx([0, 2 / 3, 1 / 3, 0, 0])


def test_no_scores_no_contradictions() -> None:
    assert contradictions(pl.DataFrame(schema=schema.SCORES)) == []


def test_outline_evidence_by_brute_force() -> None:
    """The outline of a square, the line outside it and the line inside it, each summed pixel by pixel."""
    edges = np.random.default_rng(0).random((40, 40)).astype(np.float32)
    square = np.zeros((40, 40), bool)
    square[10:30, 10:30] = True  # 400 px: the lines beside it lie max(3, 0.04 x 20) = 3 px off

    def ring(first: int, last: int) -> float:
        on = [(i, j) for i in range(40) for j in range(40) if first in (i, j) or last in (i, j)]
        return float(np.mean([edges[i, j] for i, j in on if first <= i <= last and first <= j <= last]))

    expected = np.log(((ring(13, 26) + ring(7, 32)) / 2 + 0.1) / (ring(10, 29) + 0.1))
    assert triage.outline_evidence(edges, square) == pytest.approx(expected, abs=1e-5)


def test_the_failure_of_a_damaged_label_is_named_all_the_same() -> None:
    assert name_failure(as_target(DAMAGED["hole"]), sure_of(PERSON) >= 128).kind == "extension"
