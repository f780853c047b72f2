"""What VOC's rasters say: whose an object is, who counts, and what is in contact, on drawn masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from curate.masks import Mask
from curate.sources.voc_labels import (
    Scene,
    classes_of_objects,
    count_objects,
    counted_objects,
    head_of,
    near_people,
    region_numbers,
    touching_regions,
)
from curate.sources.voc_xml import VocObject
from tests.drawing import mask

PEOPLE, OTHERS = {15: "person"}, {12: "dog", 5: "bottle"}
SYMBOLS = {".": 0, "p": 15, "d": 12, "b": 5, "o": 255}


def raster(drawing: str) -> NDArray[np.uint8]:
    """Classes from rows of . (none), p (person), d (dog), b (bottle), o (void); digits stand for themselves."""
    rows = [[SYMBOLS.get(letter, ord(letter) - ord("0")) for letter in row.strip()] for row in drawing.split()]
    return np.array(rows, np.uint8)


@pytest.mark.parametrize(
    ("objects", "classes", "expected"),
    [
        ("1122", "ppdd", {1: 15, 2: 12}),
        ("111", "ppd", {1: 15}),
        ("11", "pd", {}),
        ("1.", "..", {1: 0}),
        ("..", "pp", {}),
    ],
    ids=["clear", "most", "half", "no class", "no object"],
)
def test_an_object_is_of_the_class_of_most_of_its_pixels(objects: str, classes: str, expected: dict[int, int]) -> None:
    assert classes_of_objects(raster(objects), raster(classes)) == expected


def test_void_is_no_object() -> None:
    assert classes_of_objects(raster("1oo"), raster("ppp")) == {1: 15}


def test_objects_that_are_people_count_from_a_size_on() -> None:
    scene = Scene(raster("pppdd"), raster("11233"), {1: 15, 2: 15, 3: 12})
    assert [count_objects(scene, PEOPLE, least_px) for least_px in (0, 1, 1.5, 2, 3)] == [2, 2, 1, 1, 0]


@pytest.mark.parametrize(
    ("row", "reached"),
    [
        ("p.......", "###....."),
        ("poo.....", "#####..."),
        ("pooooo..", "########"),
        ("poooooo.", "########"),
        ("poooooood", "########."),
        ("p..oo...", "#######."),
        ("........", "........"),
    ],
    ids=["bare", "thin border", "border", "thick border", "too thick", "across a gap", "nobody"],
)
def test_contact_reaches_over_a_void_border_of_five(row: str, reached: str) -> None:
    classes = raster(row)
    assert near_people(classes == 15, classes == 255)[0].tolist() == mask(reached)[0].tolist()


def touching(scene: Scene) -> list[tuple[str, str]]:
    """Name and drawing of each touching region of the only row."""
    found = touching_regions(scene, scene.classes == 15, OTHERS)
    return [(name, "".join(".#"[value] for value in region[0].astype(int))) for name, region in found]


def test_a_region_of_a_class_touches_as_a_whole_and_another_does_not() -> None:
    assert touching(Scene(raster("ppooddd..dd..bb"))) == [("dog", "....###........")]
    assert touching(Scene(raster("pbpdd"))) == [("bottle", ".#..."), ("dog", "...##")]
    assert touching(Scene(raster("ddd"))) == []


def test_an_object_parted_in_two_touches_as_a_whole_by_its_number() -> None:
    classes, objects = raster("ppddbbdd.....dd"), raster("11223322.....44")
    assert touching(Scene(classes, objects)) == [("dog", "..##..##.......")]
    assert touching(Scene(classes)) == [("dog", "..##...........")]


def test_numbers_that_leave_a_part_of_the_class_out_are_not_used() -> None:
    classes = raster("dd.dd")
    assert region_numbers(Scene(classes, raster("77.88")), classes == 12).tolist() == [[7, 7, 0, 8, 8]]
    assert region_numbers(Scene(classes, raster("77.8.")), classes == 12).tolist() == [[1, 1, 0, 2, 2]]


def test_people_count_by_the_pixels_in_their_box() -> None:
    person = mask("##..#.\n##....")
    objects = [
        VocObject("person", box=(0, 0, 3, 2)),
        VocObject("Person", box=(4, 0, 6, 1)),
        VocObject("person", box=(5, 1, 900, 800)),
        VocObject("person", box=(3, 2, 1, 0)),
        VocObject("person"),
        VocObject("dog", box=(0, 0, 3, 2)),
    ]
    for least_px, counted in ((0, [0, 1, 2, 3, 4]), (1, [0, 1, 4]), (2, [0, 4]), (5, [4])):
        assert counted_objects(objects, person, PEOPLE, least_px) == tuple(objects[index] for index in counted)


@pytest.mark.parametrize(
    ("parts", "seen"),
    [
        ([], None),
        ([()], None),
        ([("head", "hand")], True),
        ([("hand",)], False),
        ([("head",), ("foot",)], False),
        ([("head",), ()], True),
    ],
    ids=["nobody", "not marked", "head", "hand", "one without", "one not marked"],
)
def test_a_head_shows_where_everyone_with_parts_has_one(parts: list[tuple[str, ...]], seen: bool | None) -> None:
    assert head_of([VocObject("person", parts=names) for names in parts]) is seen


def within(mask: Mask, px: int) -> Mask:
    """Brute force: the pixels at most `px` from the mask, diagonal steps being as long as straight ones."""
    rows, columns = np.nonzero(mask)
    at = np.indices(mask.shape)
    far = [np.maximum(abs(at[0] - row), abs(at[1] - column)) for row, column in zip(rows, columns, strict=True)]
    found: Mask = np.min(far, axis=0) <= px if far else np.zeros_like(mask)
    return found


def flood(of_class: Mask, start: tuple[int, int]) -> Mask:
    """Brute force: the connected region around a pixel."""
    region = np.zeros_like(of_class)
    region[start] = True
    while True:
        larger = within(region, 1) & of_class
        if (larger == region).all():
            return region
        region = larger


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.integers(0, 10**6))
def test_touching_regions_equal_brute_force(seed: int) -> None:
    random = np.random.default_rng(seed)
    classes = random.choice(np.array([0, 0, 0, 12, 5, 15, 255], np.uint8), (4, 6)).repeat(3, 0).repeat(3, 1)
    classes = np.where(random.random(classes.shape) < 0.1, 0, classes).astype(np.uint8)
    person = classes == 15
    near = within(person | ((classes == 255) & within(person, 5)), 2)
    for name, region in touching_regions(Scene(classes), person, OTHERS):
        value = next(value for value, other in OTHERS.items() if other == name)
        starts = np.argwhere(near & (classes == value))
        expected = np.any([flood(classes == value, tuple(start)) for start in starts], axis=0)
        assert (region == expected).all()
    missed = set(np.unique(classes[near])) & OTHERS.keys()
    assert {name for name, _ in touching_regions(Scene(classes), person, OTHERS)} == {OTHERS[v] for v in missed}
