"""What corners tell without drawing: never anything that drawing would contradict."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate import masks
from curate.sources import Limits
from curate.sources.outlines import Outlines, sampled_area, settle, solid, spacing_px
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


limits_of_area = st.sampled_from([None, (0.0, 1.0), (0.05, 1.0), (0.5, 1.0), (0.0, 0.02), (0.02, 0.2)])


@often
@given(st.lists(people, min_size=1, max_size=4), st.sampled_from([None, 1, 2]), limits_of_area)
def test_what_is_settled_is_never_wrong(
    images: list[list[list[list[float]]]], most: int | None, area: tuple[float, float] | None
) -> None:
    everyone = [person for image in images for person in image]
    counts, sizes = [len(image) for image in images], [SIZE_HW] * len(images)
    settled = settle(Outlines.of(everyone), counts, sizes, Limits(1, most, area))
    assert not (settled.out & settled.fits).any()
    for image, out, fits in zip(images, settled.out, settled.fits, strict=True):
        if not (out or fits):
            continue
        # Raises where a polygon lies far outside: such an image must not be settled but told to be unreadable.
        rles = [masks.rles_of_polygons(person, SIZE_HW) for person in image]
        shown = sum(masks.any_px(person) for person in rles)
        union = masks.union_rle([rle for person in rles for rle in person], SIZE_HW)
        few = shown >= 1 and (most is None or shown <= most)
        share = masks.area_px(union) / (SIZE_HW[0] * SIZE_HW[1])
        within = area is not None and area[0] <= share <= area[1]
        if fits:
            assert few
            assert within
            assert shown == len(image)
        else:
            assert (few and area is not None and not within) or (most is not None and shown > most)


@often
@given(st.lists(st.lists(polygons(SIZE_HW), min_size=1, max_size=4), min_size=1, max_size=5), st.integers(1, 4))
def test_a_sampled_area_is_as_far_off_as_it_says(images: list[list[list[float]]], times: int) -> None:
    size_hw = SIZE_HW[0] * times, SIZE_HW[1] * times
    inside = [[(np.clip(one, 0, 40) * times).tolist() for one in image] for image in images]
    outlines = Outlines.of(inside)
    image_of = np.repeat(np.arange(len(images)), outlines.per_person)
    px, slack_px = sampled_area(outlines.edges, image_of, np.array([size_hw] * len(images), float))
    for polygons_of_image, area, slack in zip(inside, px, slack_px, strict=True):
        assert abs(masks.area_px(masks.rle_of_polygons(polygons_of_image, size_hw)) - area) <= slack


def test_what_is_plain_is_settled() -> None:
    one, other = [rectangle(5, 5, 20, 20)], [rectangle(30, 5, 20, 20)]
    settled = settle(Outlines.of([one, other, one, other]), [2, 1, 1], [SIZE_HW] * 3, Limits(1, 1, (0.3, 1)))
    assert (settled.out.tolist(), settled.fits.tolist()) == ([True] * 3, [False] * 3)
    settled = settle(Outlines.of([one, other, one, other]), [2, 1, 1], [SIZE_HW] * 3, Limits(1, 2, (0.05, 0.3)))
    assert settled.fits.tolist() == [False, True, True]
    assert settled.area[1:] == pytest.approx(400 / 2400, abs=0.01)
    nobody = settle(Outlines.of([]), [0, 0], [SIZE_HW] * 2, Limits(1, 1, (0.3, 1)))
    assert [nobody.out.tolist(), nobody.fits.tolist()] == [[False] * 2] * 2


def test_large_images_are_settled_closely() -> None:
    """Columns are spread over the image: what is left open is the same share of any size."""
    person = [(np.array(star(20, 20, [15, 12] * 9)) * 20).tolist()]
    size_hw = SIZE_HW[0] * 20, SIZE_HW[1] * 20
    share = masks.area_px(masks.rle_of_polygons(person, size_hw)) / (size_hw[0] * size_hw[1])
    outlines = Outlines.of([person])
    for least, out, fits in [(share - 0.02, False, True), (share + 0.02, True, False), (share, False, False)]:
        settled = settle(outlines, [1], [size_hw], Limits(1, 1, (least, 1)))
        assert (settled.out.tolist(), settled.fits.tolist()) == ([out], [fits])


def test_spacing_is_the_length_per_vertex() -> None:
    assert spacing_px([rectangle(0, 0, 3, 1), rectangle(0, 0, 5, 3)]) == 3.0
    assert spacing_px([]) is None
    assert spacing_px(None) is None
