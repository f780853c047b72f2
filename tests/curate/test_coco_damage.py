"""Damaged COCO files: what damage costs, and that it never costs a mask its truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from curate.errors import FormatError, MissingError
from curate.sources import Limits
from tests.curate.coco_scenes import one, read
from tests.curate.scenes import CATEGORIES, box, coco_file, image, person


@pytest.mark.parametrize(
    ("segmentation", "words"),
    [
        (..., "person annotation 5 has no segmentation"),
        (None, "person annotation 5 has no segmentation"),
        ([], "person annotation 5 has no segmentation"),
        ([[]], "person annotation 5 has no segmentation"),
        ([[1, 2, 3]], "a polygon of person annotation 5 has 3 values"),
        ([[10, 10, 50, 50]], "a polygon of person annotation 5 has 4 values"),
        ([*box(10, 0, 20, 20), [1, 2, 3]], "a polygon of person annotation 5 has 3 values"),
        ([*box(10, 0, 20, 20), []], "a polygon of person annotation 5 has 0 values"),
    ],
    ids=["missing", "null", "empty", "hollow", "three", "box", "good and three", "good and none"],
)
def test_a_person_without_a_usable_shape_makes_the_image_unreadable(
    tmp_path: Path, segmentation: Any, words: str
) -> None:
    """A mask without someone who is labelled there would be wrong."""
    shapeless = person(1, segmentation, id=5)
    if segmentation is ...:
        del shapeless["segmentation"]
    labels = one(tmp_path, person(1, box(0, 0, 6, 6), id=4), shapeless).labels
    for found in (labels.measure(0, Limits()), *labels.measure_many([0], Limits(area=(0, 1)))):
        assert found is not None
        assert found.unreadable is not None
        assert found.unreadable.startswith(f"segmentation: {words}")
    with pytest.raises(FormatError, match=words):
        labels.draw(0)


def test_an_object_without_a_shape_costs_no_image_and_a_crowd_does(tmp_path: Path) -> None:
    """The people of a crowd whose place is not known would pass for background."""
    odd = {**person(1, [[1, 2, 3]]), "category_id": 18}
    assert one(tmp_path, person(1, box(0, 0, 6, 6)), odd).labels.measure(0, Limits()).people == 1
    labels = one(tmp_path, person(1, box(0, 0, 6, 6)), person(1, [], iscrowd=1, id=5)).labels
    for limits in (Limits(), Limits(most_people=1)):
        assert "person annotation 5 has no segmentation" in (labels.measure(0, limits).unreadable or "")
    with pytest.raises(FormatError, match="person annotation 5 has no segmentation"):
        labels.draw(0)


@pytest.mark.parametrize(
    ("size", "words"),
    [((0, 60), "0x60"), ((-4, 60), "-4x60"), ((100_000, 100_000), "100000x100000"), ((40.5, 60), "0x0")],
    ids=["zero", "negative", "huge", "broken"],
)
def test_an_impossible_size_makes_the_image_unreadable(tmp_path: Path, size: Any, words: str) -> None:
    source = one(tmp_path, person(1, box(0, 0, 6, 6)), size_hw=size)
    assert words in source.candidates["unreadable"].item()
    with pytest.raises(FormatError, match="the image record states the size"):
        source.labels.draw(0)


@pytest.mark.parametrize(
    ("segmentation", "words"),
    [
        ({"size": [40, 60], "counts": [1, 2, 3]}, "sum to 6"),
        ({"size": [60, 40], "counts": [2400]}, r"60x40 \(HxW\), the image 40x60"),
        ({"size": [40, 60], "counts": "notrle!!"}, "run-length"),
        ({"size": [40, 60], "counts": ""}, "sum to 0"),
        ({"size": [40, 60], "counts": [-5, 2405]}, "sum to 2400"),
        ({"counts": [2400]}, "missing required field"),
        ([[0, 0, 5, 0, 5, 5, 9]], "7 values"),
        ([[0, 0, 1e30, 0, 5, 5]], "far outside"),
        ("polygon", "Expected"),
        ([["a", "b", "c", "d", "e", "f"]], "Expected"),
        (7, "Expected"),
    ],
    ids=["short", "turned", "string", "empty", "negative", "sizeless", "odd", "far", "text", "words", "number"],
)
def test_a_damaged_segmentation_makes_its_image_unreadable_and_no_other(
    tmp_path: Path, segmentation: Any, words: str
) -> None:
    annotations = [person(1, segmentation), person(2, box(0, 0, 6, 6))]
    source = read(coco_file(tmp_path / "a.json", [image(1), image(2)], annotations))
    damage = source.labels.measure(0, Limits()).unreadable
    assert damage is not None
    assert damage.startswith("segmentation: ")
    with pytest.raises(FormatError, match=words):
        source.labels.draw(0)
    assert source.labels.measure(1, Limits()).people == 1


def test_a_damaged_outline_of_another_object_costs_only_its_name(tmp_path: Path) -> None:
    broken = {**person(1, {"size": [1, 1], "counts": [1]}), "category_id": 18}
    assert one(tmp_path, person(1, box(0, 0, 6, 6)), broken).labels.draw(0).touching == ()


@pytest.mark.parametrize(
    ("part", "record", "place"),
    [
        ("images", {"id": 2}, "images[1]"),
        ("images", {"file_name": "x.jpg", "height": 4, "width": 4}, "images[1]"),
        ("images", {"id": 2, "file_name": "x.jpg", "height": "40", "width": 60}, "images[1]"),
        ("annotations", {"category_id": 1, "segmentation": []}, "annotations[1]"),
        ("annotations", {"image_id": [], "category_id": 1}, "annotations[1]"),
        ("annotations", "text", "annotations[1]"),
        ("categories", {"id": 3}, "categories[1]"),
    ],
    ids=["no name", "no id", "text size", "no image", "list id", "no object", "nameless"],
)
def test_a_damaged_record_is_left_out_and_noted(tmp_path: Path, part: str, record: Any, place: str) -> None:
    content: dict[str, Any] = {
        "images": [image(1)],
        "annotations": [person(1, box(0, 0, 6, 6))],
        "categories": [CATEGORIES[0]],
    }
    content[part].append(record)
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    source = read(path)
    assert source.candidates["people"].to_list() == [1]
    assert [note.what for note in source.notes] == [f"records of `{part}` are damaged and were left out"]
    assert place in source.notes[0].where


@pytest.mark.parametrize(
    ("annotation", "what"),
    [
        (person(99, box(0, 0, 6, 6)), "annotations name an image that is not there; left out"),
        ({**person(1, []), "category_id": 44}, "annotations name a category that is not there; left out"),
    ],
    ids=["image", "category"],
)
def test_an_annotation_of_nothing_is_noted(tmp_path: Path, annotation: dict[str, Any], what: str) -> None:
    assert [note.what for note in one(tmp_path, annotation).notes] == [what]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"images": [], "categories": [', r"a\.json at byte 30: Input data was truncated"),
        (b'{"images": [}', r"malformed.*\(byte 12\)"),
        (b"", "at byte 0"),
        (b"[]", "Expected a COCO instance file"),
        (b"{}", "Expected a COCO instance file"),
        (b'{"images": 5, "categories": []}', "Expected a COCO instance file"),
        (b"\xff\xfe{", "malformed"),
        (b'{"images": [{}], "categories": [', "at byte 32: Input data was truncated"),
        (b'{"images": [{"id": 1, "file_name": "\xff"}], "categories": []}', "Expected a whole COCO"),
        (b"[" * 100_000, "at byte|malformed|recursion|Expected"),
    ],
    ids=["cut", "malformed", "empty", "list", "nothing", "number", "utf-16", "damaged and cut", "bytes", "deep"],
)
def test_a_damaged_file_is_one_clear_error(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(FormatError, match=words):
        read(tmp_path / "a.json")


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = coco_file(tmp_path / "a.json", [image(1)], [])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read(path).candidates.height == 1


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"none\.json: no such file"):
        read(tmp_path / "none.json")


def test_damage_to_one_of_several_crowds_makes_the_image_unreadable_whatever_is_asked(tmp_path: Path) -> None:
    crowd = person(1, box(0, 0, 6, 6), iscrowd=1)
    torn = person(1, {"size": [3, 3], "counts": [9]}, iscrowd=1)
    source = one(tmp_path, person(1, box(9, 0, 15, 6)), crowd, torn)
    for most in (None, 1):
        assert "the RLE is 3x3" in str(source.labels.measure(0, Limits(most_people=most)).unreadable)


def test_a_file_that_is_no_utf8_is_refused_even_where_the_decoder_passes_over_it(tmp_path: Path) -> None:
    """A crowd whose key `iscrowd` is damaged would be a person."""
    path = coco_file(tmp_path / "a.json", [image(1, file_name="ä.jpg")], [person(1, box(0, 0, 30, 40), iscrowd=1)])
    data = json.dumps(json.loads(path.read_text()), ensure_ascii=False).encode()
    path.write_bytes(data)
    assert read(path).labels.measure(0, Limits()).crowd
    path.write_bytes(data.replace(b'"iscrowd"', b'"isc\xd8owd"'))
    with pytest.raises(FormatError, match=r"a\.json at byte \d+: is no UTF-8"):
        read(path)


def test_images_that_share_an_id_are_not_known_to_show_anything(tmp_path: Path) -> None:
    """The annotations may be of either; the other one would pass for an empty scene."""
    records = [image(1, file_name="a.jpg"), image(1, file_name="b.jpg"), image(2), image(2)]
    source = read(coco_file(tmp_path / "a.json", records, [person(1, box(0, 0, 30, 40)), person(2, box(0, 0, 9, 9))]))
    told = "another file has its id in the JSON, so it is not known what it shows"
    assert source.candidates["unreadable"].to_list() == [told, told, None]
    assert source.candidates["people"].to_list()[2] == 1


def test_a_crowd_whose_flag_is_no_number_is_no_person(tmp_path: Path) -> None:
    path = coco_file(tmp_path / "a.json", [image(1)], [person(1, box(0, 0, 30, 40), iscrowd="HERE")])
    path.write_text(path.read_text().replace('"HERE"', "-Infinity"))
    told = "an annotation of it is damaged, so it is not known what it shows"
    assert read(path).candidates["unreadable"].to_list() == [told]
