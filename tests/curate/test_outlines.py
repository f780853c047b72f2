"""What corners tell without drawing: never anything that drawing would contradict."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate import masks
from curate.sources import Limits
from curate.sources.outlines import Outlines, settle, solid, spacing_px
from tests.curate.shapes import polygons, rectangle, star

SIZE_HW = (40, 60)
often = settings(derandomize=True, deadline=None, max_examples=250)
people = st.lists(st.lists(polygons(SIZE_HW), min_size=1, max_size=3), max_size=4)


@often
@given(st.lists(polygons(SIZE_HW), min_size=1, max_size=5))
def test_a_solid_polygon_has_pixels(outlines: list[list[float]]) -> None:
    inside = [polygon for polygon in outlines if max(polygon) < 100]
    for polygon, found in zip(inside, solid(Outlines.of([inside]).edges) if inside else (), strict=True):
        # Beyond the image there are no pixels, so the polygon is drawn on a larger one.
        moved = (np.array(polygon) + 40).tolist()
        assert not found or masks.any_px(masks.rles_of_polygons([moved], (150, 170)))


@pytest.mark.parametrize(
    ("polygon", "expected"),
    [
        (rectangle(10, 10, 20, 20), True),
        (rectangle(10, 10, 20, 20) * 2, False),
        (rectangle(10, 10, 20, 2.5), False),
        (rectangle(10, 10, 0, 20), False),
        (star(20, 20, [15, 6] * 5), True),
        (star(20, 20, [15] * 16, 2), False),
        ([10, 10, 30, 30, 30, 10, 10, 30], False),
    ],
    ids=["box", "traced twice", "thin", "a line", "star", "circle wound twice", "bow tie, cut where it is thinnest"],
)
def test_solid_is_what_surely_is(polygon: list[float], expected: bool) -> None:
    assert solid(Outlines.of([[polygon]]).edges).tolist() == [expected]


@often
@given(st.lists(people, min_size=1, max_size=4), st.sampled_from([None, 1, 2]), st.sampled_from([0.0, 0.05, 0.5]))
def test_what_is_settled_is_never_wrong(images: list[list[list[list[float]]]], most: int | None, least: float) -> None:
    limits = Limits(1, most, least)
    everyone = [person for image in images for person in image]
    settled = settle(Outlines.of(everyone), [len(image) for image in images], [SIZE_HW] * len(images), limits)
    crowd, small = settled.crowd, settled.small
    assert not (crowd & small).any()
    for image, too_many, too_small in zip(images, crowd, small, strict=True):
        if not (too_many or too_small):
            continue
        # Raises where a polygon lies far outside: such an image must not be settled but told to be unreadable.
        rles = [masks.rles_of_polygons(person, SIZE_HW) for person in image]
        shown = sum(masks.any_px(person) for person in rles)
        union = masks.union_rle([rle for person in rles for rle in person], SIZE_HW)
        if too_many:
            assert most is not None
            assert shown > most
        else:
            assert shown >= 1
            assert most is None or shown <= most
            assert masks.area_px(union) / (SIZE_HW[0] * SIZE_HW[1]) < least


def test_what_is_plain_is_settled() -> None:
    one, other = [rectangle(5, 5, 20, 20)], [rectangle(30, 5, 20, 20)]
    settled = settle(Outlines.of([one, other, one, other]), [2, 1, 1], [SIZE_HW] * 3, Limits(1, 1, 0.3))
    crowd, small = settled.crowd, settled.small
    assert (crowd.tolist(), small.tolist()) == ([True, False, False], [False, True, True])
    nobody = settle(Outlines.of([]), [0, 0], [SIZE_HW] * 2, Limits(1, 1, 0.3))
    assert [nobody.crowd.tolist(), nobody.small.tolist()] == [[False] * 2] * 2


def test_spacing_is_the_length_per_vertex() -> None:
    assert spacing_px([rectangle(0, 0, 3, 1), rectangle(0, 0, 5, 3)]) == 3.0
    assert spacing_px([]) is None
    assert spacing_px(None) is None
