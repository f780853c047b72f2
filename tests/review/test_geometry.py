"""Failure kinds on drawn people: a body is a head, a torso, two arms and two legs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from curate import schema
from curate.masks import Mask, Target, bbox_xywh, grow, iou
from review import geometry
from review.geometry import NOTHING_WRONG, Failure, name_failure
from tests.drawing import mask, target

SIZE_HW = (240, 320)


def box(left: int, top: int, width: int, height: int) -> Mask:
    drawn = np.zeros(SIZE_HW, bool)
    drawn[top : top + height, left : left + width] = True
    return drawn


def disc(x: int, y: int, radius: int) -> Mask:
    rows, columns = np.ogrid[: SIZE_HW[0], : SIZE_HW[1]]
    drawn: Mask = (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
    return drawn


HEAD = disc(100, 40, 20)
TORSO = box(75, 58, 50, 80)
ARM = box(125, 64, 60, 14)
LEGS = box(78, 138, 18, 80) | box(104, 138, 18, 80)
BODY: Mask = HEAD | TORSO | ARM | LEGS
SECOND = disc(250, 60, 16) | box(235, 74, 30, 100)


def narrowed(drawn: Mask, width_px: int) -> Mask:
    eroded: Mask = ~grow(~drawn, width_px)
    return eroded


SCATTER = np.zeros(SIZE_HW, bool)
SCATTER[10::24, 200::24] = SCATTER[11::24, 200::24] = True

CASES = {
    "nobody-found": (BODY, np.zeros(SIZE_HW, bool), (), "missed-person"),
    "second-person-missed": (BODY | SECOND, BODY, (), "missed-person"),
    "a-glimpse-is-still-missed": (BODY | SECOND, BODY | box(235, 74, 10, 20), (), "missed-person"),
    "hole-in-torso": (BODY, BODY & ~disc(100, 95, 10), (), "bite"),
    "small-hole-is-no-rim": (BODY, BODY & ~disc(100, 95, 4), (), "bite"),
    "notch-in-torso": (BODY, BODY & ~box(75, 90, 25, 25), (), "bite"),
    "half-disc-bite": (BODY, BODY & ~disc(75, 100, 18), (), "bite"),
    "head-cut-off": (BODY, BODY & ~box(60, 0, 80, 56), (), "cut-part"),
    "arm-cut-off": (BODY, BODY & ~ARM, (), "cut-part"),
    "thin-arm-end-cut-off": (BODY, BODY & ~box(150, 60, 40, 30), (), "cut-part"),
    "slice-of-the-torso's-side-cut-off": (box(75, 20, 60, 200), box(75, 20, 54, 200), (), "cut-part"),
    "feet-cut-off-at-the-image's-edge": (box(60, 100, 120, 140), box(60, 100, 120, 118), (), "cut-part"),
    "lower-half-cut-off": (BODY, BODY & ~box(0, 138, 320, 102), (), "cut-part"),
    "loose-hand-lost": (BODY | box(200, 64, 10, 14), BODY, (), "cut-part"),
    "hand-with-what-it-holds-lost": (BODY, BODY & ~box(170, 60, 40, 30), ("handbag",), "merged-object"),
    "hand-on-the-sofa-lost": (BODY, BODY & ~box(170, 60, 40, 30), ("couch",), "cut-part"),
    "head-lost-though-a-hand-holds": (BODY, BODY & ~box(60, 0, 80, 56), ("handbag",), "cut-part"),
    "arm-runs-on": (BODY, BODY | box(185, 64, 70, 14), (), "extension"),
    "halo-on-one-side": (BODY, BODY | box(125, 78, 40, 60), (), "extension"),
    "held-object-taken-in": (BODY, BODY | box(185, 50, 50, 40), ("tennis racket",), "merged-object"),
    "sofa-taken-in": (BODY, BODY | box(185, 50, 50, 40), ("couch", "dining table"), "extension"),
    "dog-on-the-sofa-taken-in": (BODY, BODY | box(185, 50, 50, 40), ("couch", "dog"), "merged-object"),
    "false-person-apart": (BODY, BODY | SECOND, (), "extra-region"),
    "false-person-apart-though-touching": (BODY, BODY | SECOND, ("dog",), "extra-region"),
    "person-in-an-empty-photo": (np.zeros(SIZE_HW, bool), SECOND, (), "extra-region"),
    "swollen-outline": (BODY, grow(BODY, 3), (), "ragged-boundary"),
    "shrunken-outline": (BODY, narrowed(BODY, 3), (), "ragged-boundary"),
    "specks-of-person": (BODY, BODY | SCATTER, (), "other"),
    "larger-error-names-it": (BODY | SECOND, (BODY & ~disc(100, 95, 8)), (), "missed-person"),
    "bite-with-ragged-outline": (BODY, grow(BODY, 2) & ~disc(100, 95, 16), (), "bite"),
}


def as_target(person: Mask) -> Target:
    return np.where(person, np.uint8(255), np.uint8(0))


@pytest.mark.parametrize(("person", "predicted", "touching", "kind"), CASES.values(), ids=CASES)
def test_kind(person: Mask, predicted: Mask, touching: tuple[str, ...], kind: str) -> None:
    failure = name_failure(as_target(person), predicted, touching)
    assert failure.kind == kind
    assert failure.severity == pytest.approx(1 - (iou(person, predicted) or 0.0))


@pytest.mark.parametrize(("person", "predicted", "touching", "kind"), CASES.values(), ids=CASES)
def test_kind_is_the_same_in_a_mirror(person: Mask, predicted: Mask, touching: tuple[str, ...], kind: str) -> None:
    assert name_failure(as_target(person[:, ::-1]), predicted[:, ::-1], touching).kind == kind


def test_box_and_area_are_those_of_the_main_region() -> None:
    failure = name_failure(as_target(BODY | SECOND), BODY)
    assert failure.bbox_xywh == bbox_xywh(SECOND) == (234, 44, 33, 130)
    assert failure.area == pytest.approx(np.count_nonzero(SECOND) / BODY.size)


def test_two_regions_joined_by_a_rim_stay_two() -> None:
    predicted = narrowed(BODY, 1) & ~box(150, 60, 40, 30) & ~box(0, 190, 320, 50)
    kinds = [region.kind for region in geometry.error_regions(BODY, predicted, (), predicted)]
    assert kinds == ["cut-part"] * 3  # the arm's end and both feet


def test_nothing_wrong() -> None:
    assert name_failure(as_target(BODY), BODY) == NOTHING_WRONG == Failure("other", 0.0, 0.0, (0, 0, 0, 0))


def test_both_empty_is_nothing_wrong() -> None:
    assert name_failure(target("..\n.."), mask("..\n..")) == NOTHING_WRONG


def test_pixels_not_counted_are_no_error() -> None:
    assert name_failure(target("##oo\n##oo"), mask("####\n##..")) == NOTHING_WRONG


def test_area_is_over_counted_pixels() -> None:
    assert name_failure(target("#..o\n...o"), mask("....\n....")).area == pytest.approx(1 / 6)


def test_nothing_counted_is_nothing_wrong() -> None:
    assert name_failure(target("oo\noo"), mask("##\n##")) == NOTHING_WRONG


def test_sizes_must_agree() -> None:
    with pytest.raises(ValueError, match=r"target is \(1, 2\), prediction \(1, 3\)"):
        name_failure(target(".."), mask("..."))


def test_a_hole_and_a_notch_are_surrounded_and_an_end_is_not() -> None:
    person = mask("#####\n#####\n#####")
    for bitten in (".....\n..#..\n.....", "..#..\n.....\n.....", "..#..\n..#..\n....."):
        assert geometry.surrounded(mask(bitten), person & ~mask(bitten)) == 1.0
    for end in ("....#\n....#\n....#", "...##\n...##\n...##", ".....\n.....\n#####"):
        assert geometry.surrounded(mask(end), person & ~mask(end)) == 0.0
    corner = mask("...##\n.....\n.....")
    assert geometry.surrounded(corner, person & ~corner) == 0.5
    assert geometry.surrounded(person, np.zeros_like(person)) == 0.0


def test_a_border_that_does_not_count_parts_nothing() -> None:
    """VOC has such a border round everybody, so that what runs on is never next to the person."""
    label = np.where(grow(BODY, 3), np.uint8(128), np.uint8(0))
    label[BODY] = 255
    running_on = grow(BODY | box(185, 64, 70, 14), 1)
    assert name_failure(label, running_on).kind == "extension"
    assert name_failure(label, BODY | SECOND).kind == "extra-region"


def test_tolerance_shrinks_with_the_person() -> None:
    assert geometry.tolerance_px(np.ones((240, 320), bool)) == 8  # 2 % of the diagonal of 400 px
    assert geometry.tolerance_px(box(0, 0, 40, 40)) == 2
    assert geometry.tolerance_px(box(0, 0, 4, 4)) == 1
    assert geometry.tolerance_px(np.zeros((240, 320), bool)) == 8


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    hnp.arrays(np.uint8, (12, 16), elements=st.sampled_from([0, 128, 255])),
    hnp.arrays(np.bool_, (12, 16)),
)
def test_every_failure_is_in_range_and_its_box_holds_an_error(drawn: Target, predicted: Mask) -> None:
    before = drawn.copy(), predicted.copy()
    failure = name_failure(drawn, predicted, ("dog",))
    assert (drawn == before[0]).all()
    assert (predicted == before[1]).all()
    assert failure.kind in schema.FAILURE_KINDS
    assert 0 <= failure.severity <= 1
    assert 0 <= failure.area <= 1
    wrong = ((drawn == 255) ^ predicted) & (drawn != 128)
    left, top, width, height = failure.bbox_xywh
    assert wrong[top : top + height, left : left + width].any() == wrong.any()


def test_a_noisy_prediction_is_named_quickly() -> None:
    noise = np.random.default_rng(0).random((480, 640)) < 0.3
    assert name_failure(np.zeros((480, 640), np.uint8), noise).kind in schema.FAILURE_KINDS
