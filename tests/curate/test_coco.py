"""COCO files: what is read, exactly as pycocotools draws it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from curate.errors import FormatError, MissingError
from curate.foreground import Foreground
from curate.sources import Limits
from curate.sources.coco import read_coco
from tests.curate.coco_scenes import HEIGHT, PIXELS, WIDTH, one, read
from tests.curate.scenes import SIZE_HW, box, coco_file, image, person, photo

OUTSIDE = [[70, 50, 80, 50, 80, 60]]
"""A shape of which no pixel lies in the image."""


def run_lengths(mask: np.ndarray[Any, Any]) -> list[int]:
    """Uncompressed COCO counts: column-major, background first."""
    flat = mask.ravel(order="F").astype(int)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat, [1 - flat[-1]]])))
    return [int(count) for count in np.diff(np.concatenate([[0], edges]))]


def test_people_and_the_unions_area_are_exact(tmp_path: Path) -> None:
    source = one(tmp_path, person(1, box(0, 0, 30, 40)), person(1, box(20, 0, 40, 40)))
    found = source.labels.measure(0, Limits())
    assert (found.people, found.crowd, found.area) == (2, False, 40 * 40 / PIXELS)


def test_all_three_forms_of_a_segmentation_give_one_mask(tmp_path: Path) -> None:
    drawing = np.zeros(SIZE_HW, bool)
    drawing[5:20, 10:33] = True
    compressed = coco_mask.encode(np.asfortranarray(drawing, np.uint8))["counts"].decode()
    forms = [
        box(10, 5, 33, 20),
        {"size": [HEIGHT, WIDTH], "counts": run_lengths(drawing)},
        {"size": [HEIGHT, WIDTH], "counts": compressed},
    ]
    drawn = []
    for form in forms:
        label = one(tmp_path, person(1, form)).labels.draw(0)
        drawn.append(label)
        assert ((label.target == 255) == drawing).all()
    assert [label.origin for label in drawn] == ["polygon", "rle", "rle"]


def test_a_crowd_is_not_counted_and_a_person_over_it_wins(tmp_path: Path) -> None:
    crowd = person(1, {"size": [HEIGHT, WIDTH], "counts": [0, 30 * HEIGHT, 30 * HEIGHT]}, iscrowd=1)
    source = one(tmp_path, crowd, person(1, box(20, 0, 40, 40)))
    found = source.labels.measure(0, Limits())
    assert (found.people, found.crowd, found.area) == (1, True, 20 * 40 / (PIXELS - 20 * 40))
    columns = source.labels.draw(0).target[7]
    assert set(columns[:20]) == {128}
    assert set(columns[20:40]) == {255}
    assert set(columns[40:]) == {0}


def test_a_crowd_alone_is_nobody(tmp_path: Path) -> None:
    crowd = person(1, {"size": [HEIGHT, WIDTH], "counts": [0, PIXELS]}, iscrowd=1)
    source = one(tmp_path, crowd)
    assert source.candidates["people"].to_list() == [0]
    assert source.labels.measure(0, Limits()).area == 0.0


@pytest.mark.parametrize("segmentation", [OUTSIDE, {"size": [HEIGHT, WIDTH], "counts": [PIXELS]}], ids=["out", "rle"])
def test_an_empty_raster_is_nobody_and_is_reported(tmp_path: Path, segmentation: Any) -> None:
    source = one(tmp_path, person(1, segmentation), person(1, box(0, 0, 6, 6)))
    assert source.candidates["people"].to_list() == [2]
    found = source.labels.measure(0, Limits())
    assert found.people == 1
    assert [note.what for note in found.notes] == ["person annotations have an empty raster and count as nobody"]


@pytest.mark.parametrize("left_out", [..., None, [], [[]]], ids=["missing", "null", "empty", "hollow"])
@pytest.mark.parametrize("turned", [False, True], ids=["after", "before"])
def test_a_shape_that_one_file_leaves_out_is_taken_from_the_other(
    tmp_path: Path, left_out: Any, *, turned: bool
) -> None:
    boxed = person(1, left_out, id=5)
    if left_out is ...:
        del boxed["segmentation"]
    shaped = coco_file(tmp_path / "a.json", [image(1)], [person(1, box(0, 0, 6, 6), id=5)])
    boxes = coco_file(tmp_path / "b.json", [image(1)], [boxed])
    found = read(*[shaped, boxes][:: -1 if turned else 1]).labels.measure(0, Limits())
    assert (found.people, found.area, found.unreadable) == (1, 36 / PIXELS, None)


def test_counting_stops_early_only_where_the_limit_is_surely_exceeded(tmp_path: Path) -> None:
    empty = [person(1, OUTSIDE) for _ in range(5)]
    source = one(tmp_path, *empty, person(1, box(0, 0, 6, 6)), person(1, box(8, 8, 9, 9)))
    assert source.labels.measure(0, Limits(most_people=2)).people == 2
    assert source.labels.measure(0, Limits(most_people=2)).area == 37 / PIXELS
    assert source.labels.measure(0, Limits(most_people=1)).area is None


def test_touching_names_other_objects_within_two_pixels(tmp_path: Path) -> None:
    def dog(left: int) -> dict[str, Any]:
        return {**person(1, box(left, 0, left + 5, 5)), "category_id": 18}

    assert one(tmp_path, person(1, box(0, 0, 10, 40)), dog(11)).labels.draw(0).touching == ("dog",)
    assert one(tmp_path, person(1, box(0, 0, 10, 40)), dog(12)).labels.draw(0).touching == ()


def test_the_licence_is_the_files_own_and_never_invented(tmp_path: Path) -> None:
    licences = [{"id": 1, "name": "CC BY", "url": "u"}, {"id": 2, "url": "http://two"}]
    records = [image(1, license=1), image(2, license=2), image(3, license=9), image(4)]
    source = read(coco_file(tmp_path / "a.json", records, [], licenses=licences))
    assert source.candidates["licence"].to_list() == ["CC BY", "http://two", None, None]
    assert source.source.licence is None
    same = read(coco_file(tmp_path / "b.json", [image(1, license=1)], [], licenses=licences))
    assert same.source.licence == "CC BY"


def test_person_is_found_by_name_in_any_case_whatever_its_id(tmp_path: Path) -> None:
    categories = [{"id": 7, "name": "Person"}, {"id": 1, "name": "cat"}]
    annotations = [{**person(1, box(0, 0, 5, 5)), "category_id": 7}, person(1, box(0, 0, 5, 5))]
    source = read(coco_file(tmp_path / "a.json", [image(1)], annotations, categories=categories))
    assert source.candidates["people"].to_list() == [1]
    path = tmp_path / "a.json"
    assert read(path, person=("cat", "PERSON")).candidates["people"].to_list() == [2]
    by_value = read(path, person=("1",))
    assert by_value.candidates["people"].to_list() == [1]
    assert [note.what for note in by_value.notes] == ["categories were taken as a person by value: 1 is 'cat'"]


def test_a_file_without_the_category_says_which_it_has(tmp_path: Path) -> None:
    path = coco_file(tmp_path / "a.json", [], [])
    with pytest.raises(
        FormatError, match=r"no category 'rider'; it has: dog, person\. Name the person's with --person"
    ):
        read(path, person=("rider",))


def test_of_many_categories_the_number_is_told(tmp_path: Path) -> None:
    path = coco_file(tmp_path / "a.json", [], [], categories=[{"id": n, "name": f"c{n}"} for n in range(1, 10)])
    with pytest.raises(FormatError, match=r"it has: c1, .*, c8, \.\.\. \(9 in all\)\. Name the person's"):
        read(path)


def test_an_image_in_two_files_is_one_with_the_annotations_of_both(tmp_path: Path) -> None:
    first = coco_file(tmp_path / "a.json", [image(1), image(2)], [person(1, box(0, 0, 6, 6), id=5)])
    again = [person(1, box(0, 0, 6, 6), id=5), person(1, box(10, 0, 16, 6), id=6)]
    second = coco_file(tmp_path / "b.json", [image(1), image(3)], again)
    source = read(first, second)
    assert source.candidates["sample_id"].to_list() == ["coco-000001", "coco-000002", "coco-000003"]
    assert source.labels.measure(0, Limits()).people == 2
    assert [note.what for note in source.notes] == ["files repeat images of an earlier one; each counts once"]
    assert sorted(source.source.sha256) == ["a.json", "b.json"]


def test_an_image_in_two_sources_belongs_to_the_first(tmp_path: Path) -> None:
    first = coco_file(tmp_path / "a.json", [image(1)], [person(1, box(0, 0, 6, 6), id=5)])
    second = coco_file(tmp_path / "b.json", [image(1), image(2)], [person(1, box(9, 0, 15, 6), id=5)])
    one, two = read_coco({"coco": [first], "coco-2": [second]}, [], Foreground())
    assert one.candidates["sample_id"].to_list() == ["coco-000001"]
    assert two.candidates["sample_id"].to_list() == ["coco-2-000002"]
    assert one.labels.measure(0, Limits()).people == 2
    assert [note.what for note in two.notes] == ["files repeat images of an earlier one; each counts once"]


def test_one_name_for_two_photographs_is_two_images(tmp_path: Path) -> None:
    files = []
    for number, name in enumerate(("a", "b")):
        files.append(coco_file(tmp_path / name / "x.json", [image(1)], [person(1, box(0, 0, 6 * number + 6, 6))]))
        photo(tmp_path / name / "000001.jpg", seed=number)
    one, two = read_coco({"coco": files[:1], "coco-2": files[1:]}, [], Foreground())
    assert [read.labels.measure(0, Limits()).area for read in (one, two)] == [36 / PIXELS, 72 / PIXELS]
    photo(tmp_path / "b" / "000001.jpg", seed=0)
    assert read_coco({"coco": files[:1], "coco-2": files[1:]}, [], Foreground())[1].candidates.is_empty()


def test_an_annotation_that_stands_twice_counts_once(tmp_path: Path) -> None:
    twice = [person(1, box(0, 0, 6, 6), id=5)] * 2
    assert one(tmp_path, *twice, person(1, box(9, 0, 15, 6), id=5)).labels.measure(0, Limits()).people == 2
    assert one(tmp_path, *[person(1, box(0, 0, 6, 6))] * 2).labels.measure(0, Limits()).people == 2


def test_one_id_for_two_photos_is_two_images(tmp_path: Path) -> None:
    first = coco_file(tmp_path / "a.json", [image(1, "x.jpg")], [person(1, box(0, 0, 6, 6), id=1)])
    second = coco_file(tmp_path / "b.json", [image(1, "y.jpg")], [person(1, box(0, 0, 3, 3), id=1)])
    source = read(first, second)
    assert source.candidates["sample_id"].to_list() == ["coco-x", "coco-y"]
    assert [source.labels.measure(row, Limits()).area for row in (0, 1)] == [36 / PIXELS, 9 / PIXELS]


def test_ids_and_sizes_written_as_floats_are_read(tmp_path: Path) -> None:
    record = {"id": 1.0, "file_name": "a.jpg", "height": 40.0, "width": 60.0}
    source = read(coco_file(tmp_path / "a.json", [record], [person(1, box(0, 0, 6, 6))]))
    assert source.labels.measure(0, Limits()).area == 36 / PIXELS
    assert source.candidates.select("width", "height").row(0) == (60, 40)


def test_a_record_that_stands_twice_is_one_image(tmp_path: Path) -> None:
    source = read(coco_file(tmp_path / "a.json", [image(1), image(1)], [person(1, box(0, 0, 6, 6))]))
    assert source.candidates.height == 1
    assert source.labels.measure(0, Limits()).people == 1


@pytest.mark.parametrize(
    "place", ["val2017/000001.jpg", "images/val2017/000001.jpg", "images/000001.jpg", "000001.jpg"]
)
def test_images_are_found_in_the_usual_folders(tmp_path: Path, place: str) -> None:
    path = coco_file(tmp_path / "annotations" / "instances_val2017.json", [image(1)], [])
    photo(tmp_path / place)
    assert read(path).labels.image(0) == tmp_path / place


def test_named_folders_are_searched_through(tmp_path: Path) -> None:
    path = coco_file(tmp_path / "labels" / "instances_val2017.json", [image(1), image(2), image(3)], [])
    for place in ("deep/er/000001.jpg", "train2017/000002.jpg", "val2017/000002.jpg", "a/000003.jpg", "b/000003.jpg"):
        photo(tmp_path / "photos" / place)
    [source] = read_coco({"coco": [path]}, [tmp_path / "photos"], Foreground())
    assert source.labels.image(0).parent.name == "er"
    assert source.labels.image(1).parent.name == "val2017"
    with pytest.raises(MissingError, match=r"000003\.jpg: could be"):
        source.labels.image(2)


@pytest.mark.parametrize("name", ["../secret.jpg", "/etc/hostname", "..\\secret.jpg", "none.jpg", "x" * 5000, "a\0b"])
def test_a_file_name_never_leads_out_of_the_folders(tmp_path: Path, name: str) -> None:
    photo(tmp_path / "secret.jpg")
    path = coco_file(tmp_path / "set" / "annotations" / "instances_val2017.json", [image(1, name)], [])
    with pytest.raises(MissingError, match="not found under"):
        read(path).labels.image(0)
