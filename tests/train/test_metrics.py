"""Scores against their definitions, pixel by pixel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from curate import schema
from curate.errors import MismatchError
from curate.masks import band_width_px
from tests.drawing import mask, target
from train.scoring.metrics import boundary_iou, score_image, summarise

FIGURES = [name for name in schema.SCORES if name not in ("sample_id", "split", "fold")]


def brute_force(labels: np.ndarray, prediction: np.ndarray) -> dict[str, Any]:
    """The definitions, one pixel after the other."""
    tp = fp = fn = tn = ignored = 0
    surprise, own = 0.0, []
    for label, value in zip(labels.ravel().tolist(), prediction.ravel().tolist(), strict=True):
        if label == 128:
            ignored += 1
            continue
        own.append((value if label else 255 - value) / 255)
        surprise -= math.log(min(max(own[-1], 1e-7), 1 - 1e-7))  # 1 - (1 - 1e-7) would lose nine of its digits
        tp, fn = tp + (label and value >= 128 and 1), fn + (label and value < 128 and 1)
        fp, tn = fp + (not label and value >= 128), tn + (not label and value < 128)
    pulls = [math.exp((1 - s) / 0.1) for s in own]
    quotient = lambda part, whole: part / whole if whole else None  # noqa: E731
    return {
        "tp": tp,
        "fp": fp,
        "fn": fn,
        "tn": tn,
        "ignored": ignored,
        "iou": quotient(tp, tp + fp + fn),
        "dice": quotient(2 * tp, 2 * tp + fp + fn),
        "accuracy": quotient(tp + tn, len(own)),
        "sensitivity": quotient(tp, tp + fn),
        "specificity": quotient(tn, tn + fp),
        "boundary_iou": brute_boundary(labels == 255, prediction >= 128, labels != 128),
        "bce": quotient(surprise, len(own)),
        "label_quality": quotient(sum(s * pull for s, pull in zip(own, pulls, strict=True)), sum(pulls)),
    }


def brute_boundary(label: np.ndarray, prediction: np.ndarray, counted: np.ndarray) -> float | None:
    """A pixel is in the band when some pixel within reach, over the edge included, is not of the mask."""
    reach = band_width_px(label.shape)  # type: ignore[arg-type]

    def band(one: np.ndarray) -> np.ndarray:
        padded = np.pad(one, reach)
        rows, columns = np.nonzero(one)
        near = [
            padded[row : row + 2 * reach + 1, column : column + 2 * reach + 1].all()
            for row, column in zip(rows, columns, strict=True)
        ]
        result = np.zeros_like(one)
        result[rows, columns] = ~np.array(near, bool)
        return result & counted

    union = int((band(label) | band(prediction)).sum())
    return int((band(label) & band(prediction)).sum()) / union if union else None


def close(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(
        one[name] is other[name] is None or one[name] == pytest.approx(other[name], rel=1e-11, abs=1e-13)
        for name in one
    )


sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))


@settings(derandomize=True, max_examples=60, deadline=None)
@given(
    size=sizes,
    seed=st.integers(0, 10**6),
    shares=st.sampled_from([(1, 1, 1), (8, 1, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1)]),
)
def test_every_figure_is_its_definition(size: tuple[int, int], seed: int, shares: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.choice(np.array([0, 255, 128], np.uint8), size, p=np.array(shares) / sum(shares))
    prediction = rng.integers(0, 256, size, dtype=np.uint8)
    kept = labels.copy(), prediction.copy()
    assert close(score_image(labels, prediction), brute_force(labels, prediction))
    assert (labels == kept[0]).all()
    assert (prediction == kept[1]).all()


@settings(derandomize=True, max_examples=30, deadline=None)
@given(size=sizes, seed=st.integers(0, 10**6))
def test_counts_are_those_of_scikit_learn(size: tuple[int, int], seed: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="it comes with FiftyOne, which is not installed")
    rng = np.random.default_rng(seed)
    labels, prediction = rng.choice(np.array([0, 255, 128], np.uint8), size), rng.integers(0, 256, size, dtype=np.uint8)
    counted = labels != 128
    truth, said = labels[counted] == 255, prediction[counted] >= 128
    found = score_image(labels, prediction)
    expected = metrics.confusion_matrix(truth, said, labels=[False, True]).ravel().tolist() if truth.size else [0] * 4
    assert [found[name] for name in ("tn", "fp", "fn", "tp")] == expected
    if truth.any():
        assert found["iou"] == pytest.approx(metrics.jaccard_score(truth, said))
        assert found["dice"] == pytest.approx(metrics.f1_score(truth, said))
        assert found["sensitivity"] == pytest.approx(metrics.recall_score(truth, said))
        assert found["accuracy"] == pytest.approx(metrics.accuracy_score(truth, said))
    if truth.size:
        chance = np.clip(prediction[counted] / 255, 1e-7, 1 - 1e-7)
        assert found["bce"] == pytest.approx(metrics.log_loss(truth, chance, labels=[False, True]))


def test_an_image_of_more_pixels_than_float32_counts_is_counted_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    labels, prediction = np.full((50, 30), 255, np.uint8), rng.integers(0, 256, (50, 30), dtype=np.uint8)
    whole = score_image(labels, prediction)
    monkeypatch.setattr("train.scoring.metrics.EXACT_PX", 70)
    assert score_image(labels, prediction) == whole


def test_columns_are_those_of_the_table_in_order() -> None:
    assert list(score_image(target("#."), np.zeros((1, 2), np.uint8))) == FIGURES


CASES = [
    pytest.param(
        "....", [0, 0, 0, 0], {"iou": None, "dice": None, "sensitivity": None, "specificity": 1.0}, id="both empty"
    ),
    pytest.param("##..", [0, 0, 0, 0], {"iou": 0.0, "dice": 0.0, "sensitivity": 0.0, "boundary_iou": 0.0}, id="missed"),
    pytest.param(
        "....", [255, 0, 0, 0], {"iou": 0.0, "dice": 0.0, "sensitivity": None, "specificity": 0.75}, id="invented"
    ),
    pytest.param("####", [255] * 4, {"iou": 1.0, "specificity": None, "accuracy": 1.0}, id="all person"),
    pytest.param(
        "##..", [127, 128, 0, 0], {"tp": 1, "fn": 1, "iou": 0.5, "dice": 2 / 3}, id="128 is person, 127 is not"
    ),
    pytest.param("#oo.", [255, 255, 0, 0], {"tp": 1, "fp": 0, "ignored": 2, "iou": 1.0}, id="128 never counts"),
    pytest.param(
        "oooo",
        [255] * 4,
        {"ignored": 4, "iou": None, "accuracy": None, "bce": None, "label_quality": None},
        id="nothing counted",
    ),
    pytest.param("#", [0], {"bce": -math.log(1e-7), "label_quality": 0.0}, id="clipped"),
]


@pytest.mark.parametrize(("drawing", "values", "expected"), CASES)
def test_edge_cases(drawing: str, values: list[int], expected: dict[str, Any]) -> None:
    figures = score_image(target(drawing), np.array([values], np.uint8))
    assert {name: figures[name] for name in expected} == pytest.approx(expected)


def test_sizes_must_agree() -> None:
    with pytest.raises(MismatchError, match=r"prediction: expected \(1, 2\) \(HxW\) as its target, got \(2, 1\)"):
        score_image(target("#."), np.zeros((2, 1), np.uint8))


@settings(derandomize=True, max_examples=30, deadline=None)
@given(one=arrays.arrays(bool, (9, 13)), other=arrays.arrays(bool, (9, 13)), counted=arrays.arrays(bool, (9, 13)))
def test_boundary_iou_is_its_definition(one: np.ndarray, other: np.ndarray, counted: np.ndarray) -> None:
    assert boundary_iou(one, other, counted) == brute_boundary(one, other, counted)


def test_boundary_iou_sees_what_iou_does_not() -> None:
    label = np.zeros((100, 100), bool)
    label[10:90, 10:90] = True
    smaller = np.zeros((100, 100), bool)
    smaller[13:87, 13:87] = True
    assert np.count_nonzero(label & smaller) / np.count_nonzero(label | smaller) > 0.85
    assert boundary_iou(label, smaller, np.ones((100, 100), bool)) == pytest.approx(0.0, abs=1e-9)


def test_boundary_iou_of_a_drawn_pair() -> None:
    one, other = mask("####\n####\n####\n####"), mask("####\n####\n####\n###.")
    assert boundary_iou(one, other, np.ones((4, 4), bool)) == 11 / 13


def frame(*rows: tuple[int, int, int]) -> pl.DataFrame:
    """Scores of images with these (tp, fp, fn); tn is 10."""
    filled = []
    for number, (tp, fp, fn) in enumerate(rows):
        union = tp + fp + fn
        figures = dict.fromkeys(FIGURES, 0.25) | {"tp": tp, "fp": fp, "fn": fn, "tn": 10, "ignored": 0}
        figures |= {"iou": tp / union if union else None, "dice": 2 * tp / (union + tp) if union else None}
        filled.append({"sample_id": str(number), "split": "val", "fold": -1} | figures)
    return schema.table(filled, schema.SCORES)


def test_summary_of_known_images() -> None:
    summary = summarise(frame((9, 1, 0), (5, 0, 5), (0, 0, 0), (0, 4, 0)))
    assert (summary.images, summary.empty, summary.empty_predicted_empty) == (4, 2, 0.5)
    assert summary.mean_iou == pytest.approx((0.9 + 0.5 + 0) / 3)
    assert summary.pooled_iou == pytest.approx(14 / 24)
    assert summary.worst_tenth_iou == 0.0
    assert summary.good_share == pytest.approx(1 / 3)
    assert summary.mean_dice == pytest.approx((18 / 19 + 2 / 3 + 0) / 3)
    assert (summary.mean_boundary_iou, summary.mean_bce) == (0.25, 0.25)


@pytest.mark.parametrize(("images", "worst"), [(1, 1), (10, 1), (11, 2), (20, 2), (21, 3)])
def test_the_worst_tenth_is_rounded_up(images: int, worst: int) -> None:
    summary = summarise(frame(*((number, 0, 100 - number) for number in range(images, 0, -1))))
    assert summary.worst_tenth_iou == pytest.approx(sum(range(1, worst + 1)) / worst / 100)


def test_summary_of_nothing() -> None:
    summary = summarise(frame())
    assert (summary.images, summary.empty) == (0, 0)
    assert {getattr(summary, name) for name in summary.__struct_fields__[2:]} == {None}
