"""What is found wrong with a label: each planted fault by its kind, and nothing where nothing was planted."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from curate.masks import IGNORE, PERSON, Mask
from label.check import faults_of
from label.findings import ADVICE, SUSPECT, Fault
from label.findings.opinion import faults_by_model
from label.findings.outline import edges_of, faults_beside, mean_strength, mean_strengths, outline_at, signed_distance
from label.findings.shape import holes_of, pinholes, shape_faults, specks, take_apart
from tests.drawing import mask as drawn
from tests.label.scenes import HEIGHT, SPOILED, WIDTH, drawn_off, moved, person_mask, photograph, spotted, target


def faults_in(label: Mask, person: Mask, seed: int = 0) -> list[Fault]:
    """All that is found in a label of the photograph of a person."""
    shape = take_apart(target(label))
    found = list(shape_faults(shape))
    return found if label.all() else found + list(faults_beside(photograph(person, seed), shape))


@pytest.mark.parametrize("seed", range(3))
def test_an_exact_label_is_without_fault(seed: int) -> None:
    assert faults_in(person_mask(), person_mask(), seed) == []


@pytest.mark.parametrize(("kind", "spoil"), SPOILED.values(), ids=SPOILED)
def test_a_planted_fault_is_found_by_its_kind(kind: str, spoil: Callable[[Mask], Mask]) -> None:
    found = faults_in(spoil(person_mask()), person_mask())
    assert kind in {fault.kind for fault in found}
    assert all(0 < fault.severity <= 1 and fault.kind in ADVICE for fault in found)


@pytest.mark.parametrize("kind", ["inverted", "shifted", "tight", "turned", "misplaced", "gap", "cut"])
def test_what_makes_a_label_wrong_makes_it_suspect(kind: str) -> None:
    spoil = next(spoil for name, spoil in SPOILED.values() if name == kind)
    assert max(fault.severity for fault in faults_in(spoil(person_mask()), person_mask())) >= SUSPECT


def test_what_can_be_mended_does_not_make_a_label_suspect() -> None:
    found = faults_in(spotted(person_mask()), person_mask())
    assert {fault.kind for fault in found} == {"specks", "holes"}
    assert max(fault.severity for fault in found) < SUSPECT


def test_a_shift_is_told_with_its_way_back() -> None:
    shifted = next(fault for fault in faults_in(moved(person_mask(), 12, 9), person_mask()) if fault.kind == "shifted")
    words = shifted.found.split()
    left, up = int(words[words.index("px") - 1]), int(words[words.index("up") - 2])
    assert "to the left" in shifted.found
    assert (left, up) == (pytest.approx(12, abs=3), pytest.approx(9, abs=3))


def test_a_larger_photograph_gives_the_same_kinds() -> None:
    person, label = person_mask(), moved(person_mask(), 12, 9)
    large = (2 * WIDTH, 2 * HEIGHT)
    twice = cv2.resize(label.view(np.uint8), large, interpolation=cv2.INTER_NEAREST) > 0
    photo = np.asarray(cv2.resize(photograph(person), large), np.uint8)
    found = list(faults_beside(photo, take_apart(target(np.asarray(twice)))))
    assert {fault.kind for fault in found if fault.severity >= SUSPECT} == {"shifted"}


@pytest.mark.parametrize("kind", ["inverted", "turned", "misplaced", "tight"])
def test_what_is_wrong_as_a_whole_is_told_once(kind: str) -> None:
    spoil = next(spoil for name, spoil in SPOILED.values() if name == kind)
    chances = person_mask().astype(np.float32)
    found = list(faults_of(target(spoil(person_mask())), photograph(person_mask()), chances))
    assert [fault.kind for fault in found if fault.severity >= SUSPECT] == [kind]


def test_a_picture_without_edges_says_nothing_of_outlines() -> None:
    flat = np.full((HEIGHT, WIDTH, 3), 120, np.uint8)
    assert list(faults_beside(flat, take_apart(target(moved(person_mask(), 12, 9))))) == []


def test_inputs_stay_as_they_are() -> None:
    label, photo = target(spotted(person_mask())), photograph(person_mask())
    before = label.copy(), photo.copy()
    shape = take_apart(label)
    list(shape_faults(shape)), list(faults_beside(photo, shape)), list(faults_by_model(photo[..., 0] / 255.0, shape))
    assert (label == before[0]).all()
    assert (photo == before[1]).all()


def test_a_hole_that_is_not_counted_or_open_to_the_edge_is_none() -> None:
    ring = target(drawn("#####\n#...#\n#...#\n#####\n....."))
    assert holes_of(ring).areas_px.tolist() == [6]
    uncounted = ring.copy()
    uncounted[1, 1] = IGNORE
    assert holes_of(uncounted).areas_px.tolist() == []
    assert holes_of(target(drawn("#.###\n#...#\n#####"))).areas_px.tolist() == []


def test_specks_and_pinholes_are_small_beside_image_and_person() -> None:
    shape = take_apart(target(spotted(person_mask())))
    assert sorted(specks(shape).areas_px.tolist()) == [1, 4]
    assert sorted(pinholes(shape).areas_px.tolist()) == [1, 1, 2]
    far_away = np.zeros((HEIGHT, WIDTH), bool)
    far_away[100:110, 100:105] = far_away[200:202, 200:202] = True
    assert specks(take_apart(target(far_away))).areas_px.tolist() == []


def test_an_outline_is_strongest_where_it_was_drawn() -> None:
    edges, distance = edges_of(photograph(person_mask())), signed_distance(person_mask())
    strengths = {radius: mean_strength(edges, outline_at(distance, radius)) for radius in range(-12, 13, 3)}
    assert max(strengths, key=lambda radius: strengths[radius]) == 0
    assert mean_strengths(edges, outline_at(distance), [(2 * WIDTH, 0)]) == [0]


def test_the_distance_of_an_outline_is_signed_and_the_edge_of_the_image_is_none() -> None:
    distance = signed_distance(drawn("##...\n##..."))
    assert distance.tolist() == [[-1.5, -0.5, 0.5, 1.5, 2.5]] * 2


def two_people() -> tuple[Mask, Mask]:
    """Two people side by side."""
    return moved(person_mask(), -100, 0), moved(person_mask(), 110, 0)


def test_a_model_finds_a_person_left_out_and_one_too_many() -> None:
    one, other = two_people()
    chances = (one | other).astype(np.float32)
    left_out = list(faults_by_model(chances, take_apart(target(one))))
    assert [fault.kind for fault in left_out] == ["missed-person"]
    left, top, width, height = left_out[0].bbox_xywh or (0, 0, 0, 0)
    assert left > WIDTH // 2
    assert (top, height) == (pytest.approx(36, abs=6), pytest.approx(282, abs=8))
    assert left + width <= WIDTH
    too_many = list(faults_by_model(one.astype(np.float32), take_apart(target(one | other))))
    assert {fault.kind for fault in too_many} == {"no-person"}
    assert list(faults_by_model(chances, take_apart(target(one | other)))) == []


def test_a_model_that_sees_another_picture_is_told_of() -> None:
    one, other = two_people()
    kinds = {fault.kind for fault in faults_by_model(one.astype(np.float32), take_apart(target(other)))}
    assert kinds == {"unlike-model", "missed-person", "no-person"}


def test_severities_of_a_model_can_be_written_as_json() -> None:
    one, other = two_people()
    small = other & (np.arange(HEIGHT)[:, None] < 110)
    faults = list(faults_by_model((one | small).astype(np.float32), take_apart(target(one))))
    assert [type(fault.severity) for fault in faults] == [float]
    assert 0.5 < faults[0].severity < 1


def test_a_model_is_not_heard_about_edges_and_what_is_not_counted() -> None:
    one, other = two_people()
    near = drawn_off(one, 4).astype(np.float32)
    assert list(faults_by_model(near, take_apart(target(one)))) == []
    uncounted = target(one)
    uncounted[other] = IGNORE
    assert list(faults_by_model((one | other).astype(np.float32), take_apart(uncounted))) == []
    assert (uncounted == PERSON).sum() == one.sum()
