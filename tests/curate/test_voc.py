"""VOC folders: palette indices, people from object masks or XML, and damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curate.errors import FormatError, MissingError
from curate.sources import Read
from curate.sources.voc import CLASSES, count_objects, people_in_xml, read_voc
from tests.curate.scenes import SIZE_HW, palette_png, photo, voc_image, voc_xml

PIXELS = SIZE_HW[0] * SIZE_HW[1]


def classes() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """A person (15) beside a dog (12), a void border (255) and a boat (4) far away."""
    drawn = np.zeros(SIZE_HW, np.uint8)
    drawn[:, 10:20], drawn[:, 20:22], drawn[:, 22:30], drawn[:, 50:] = 15, 255, 12, 4
    return drawn


def read(root: Path, *person: str) -> Read:
    """The folder as a source."""
    return read_voc("voc", root, person or ("person",))


def test_a_mask_is_read_by_index_with_its_void(tmp_path: Path) -> None:
    voc_image(tmp_path, "a", classes(), ["person", "dog"])
    source = read(tmp_path)
    found = source.labels.measure(0, None)
    assert (found.people, found.area) == (1, 400 / (PIXELS - 80))
    label = source.labels.draw(0)
    assert list(label.target[0, [0, 10, 19, 20, 22, 55]]) == [0, 255, 255, 128, 0, 0]
    assert (label.origin, label.touching) == ("palette", ("dog",))


@pytest.mark.parametrize(("border", "touching"), [(0, ("dog",)), (5, ("dog",)), (7, ())])
def test_touching_reaches_over_vocs_void_border(tmp_path: Path, border: int, touching: tuple[str, ...]) -> None:
    drawn = classes()
    drawn[:, 20:40] = 0
    drawn[:, 20 : 20 + border], drawn[:, 20 + border : 40] = 255, 12
    voc_image(tmp_path, "a", drawn, ["person"])
    assert read(tmp_path).labels.draw(0).touching == touching


def test_difficult_people_count_and_parts_do_not(tmp_path: Path) -> None:
    assert people_in_xml(voc_xml(tmp_path / "a.xml", ["person", "Person", "dog"]), frozenset({"person"})) == 2


def xml_of_people(path: Path, people: str) -> Path:
    """A VOC annotation with one object that says how many people it is, and another one."""
    one, other = (
        f"<object><name>person</name><people>{people}</people></object>",
        "<object><name>person</name></object>",
    )
    path.write_text(f"<annotation>{one}{other}</annotation>")
    return path


@pytest.mark.parametrize(("people", "count"), [("3", 4), (" 0\n", 1), ("32766", 32767)])
def test_an_object_may_say_how_many_people_it_is(tmp_path: Path, people: str, count: int) -> None:
    assert people_in_xml(xml_of_people(tmp_path / "a.xml", people), frozenset({"person"})) == count


@pytest.mark.parametrize("people", ["", "two", "-1", "1.5", "999999", "\u0663", "32767"])
def test_a_number_of_people_that_is_none_is_damage(tmp_path: Path, people: str) -> None:
    with pytest.raises(FormatError, match=r"a\.xml: (has an object of .* people|names 32768 people); expected"):
        people_in_xml(xml_of_people(tmp_path / "a.xml", people), frozenset({"person"}))


def test_object_masks_tell_people_apart(tmp_path: Path) -> None:
    voc_image(tmp_path, "a", classes(), ["person"])
    objects = np.zeros(SIZE_HW, np.uint8)
    objects[:20, 10:20], objects[20:, 10:20], objects[:, 22:30], objects[:, 20:22] = 1, 2, 3, 255
    palette_png(tmp_path / "SegmentationObject" / "a.png", objects)
    source = read(tmp_path)
    assert source.candidates["people"].to_list() == [None]
    assert source.labels.measure(0, None).people == 2


def test_an_object_belongs_to_the_class_of_most_of_its_pixels() -> None:
    objects = np.array([[1, 1, 1, 2, 2, 0, 255]], np.uint8)
    person = np.array([[True, True, False, True, False, True, True]])
    assert count_objects(objects, person) == 1


def test_images_are_those_of_the_segmentation_sets_where_there_are_any(tmp_path: Path) -> None:
    for key in ("a", "b", "c", "d"):
        voc_image(tmp_path, key, classes(), ["person"])
    (tmp_path / "JPEGImages" / "readme.txt").write_text("no photo")
    assert read(tmp_path).candidates["sample_id"].to_list() == ["voc-a", "voc-b", "voc-c", "voc-d"]
    sets = tmp_path / "ImageSets" / "Segmentation"
    sets.mkdir(parents=True)
    (sets / "train.txt").write_text("c\na\n\n")
    (sets / "val.txt").write_text("c -1\n../JPEGImages/d\n")
    source = read(tmp_path)
    assert source.candidates["sample_id"].to_list() == ["voc-d", "voc-a", "voc-c"]
    assert source.candidates["unreadable"].to_list() == ["the image set names a path, not a stem", None, None]


def test_a_photo_without_a_mask_and_one_without_its_file_are_unreadable(tmp_path: Path) -> None:
    voc_image(tmp_path, "a", classes(), ["person"])
    photo(tmp_path / "JPEGImages" / "b.jpg")
    voc_xml(tmp_path / "Annotations" / "b.xml", ["person"])
    sets = tmp_path / "ImageSets" / "Segmentation"
    sets.mkdir(parents=True)
    (sets / "all.txt").write_text("a\nb\nc\n")
    palette_png(tmp_path / "SegmentationClass" / "c.png", classes())
    unreadable = read(tmp_path).candidates["unreadable"].to_list()
    assert unreadable[:2] == [None, "no mask"]
    assert "c.jpg: cannot be opened" in unreadable[2]


def test_without_xml_and_object_mask_people_count_as_one(tmp_path: Path) -> None:
    voc_image(tmp_path, "a", classes(), [])
    (tmp_path / "Annotations" / "a.xml").unlink()
    found = read(tmp_path).labels.measure(0, None)
    assert found.people == 1
    assert [note.what for note in found.notes] == [
        "images have neither object masks nor XML; their people count as one"
    ]


def test_a_person_the_mask_does_not_show_is_nobody(tmp_path: Path) -> None:
    voc_image(tmp_path, "a", np.zeros(SIZE_HW, np.uint8), ["person"])
    found = read(tmp_path).labels.measure(0, None)
    assert (found.people, found.area) == (0, 0.0)
    assert "without a single pixel" in found.notes[0].what


def test_a_mask_of_another_size_is_resized_and_noted_or_refused(tmp_path: Path) -> None:
    voc_image(tmp_path, "a", classes(), ["person"])
    palette_png(tmp_path / "SegmentationClass" / "a.png", classes()[::2, ::2])
    source = read(tmp_path)
    found = source.labels.measure(0, None)
    assert [note.what for note in found.notes] == ["masks were resized to their image (nearest)"]
    assert source.labels.draw(0).target.shape == SIZE_HW
    palette_png(tmp_path / "SegmentationClass" / "a.png", classes()[:, :30])
    assert "expected a mask of 40x60" in (read(tmp_path).labels.measure(0, None).unreadable or "")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<annotation><object>", "is not readable XML"),
        (b"", "is not readable XML"),
        (b"\xff\xfe\x00", "is not readable XML"),
        (b'<!DOCTYPE a [<!ENTITY x "y">]><annotation/>', "declares a document type"),
        (b'<?xml version="1.0" encoding="no-such"?><annotation/>', "is not readable XML"),
    ],
    ids=["cut", "empty", "bytes", "entities", "encoding"],
)
def test_damaged_xml_makes_its_image_unreadable(tmp_path: Path, content: bytes, words: str) -> None:
    for key in ("a", "b"):
        voc_image(tmp_path, key, classes(), ["person"])
    (tmp_path / "Annotations" / "a.xml").write_bytes(content)
    unreadable = read(tmp_path).candidates["unreadable"].to_list()
    assert words in unreadable[0]
    assert unreadable[1] is None


def test_damaged_masks_make_their_image_unreadable(tmp_path: Path) -> None:
    for key in ("a", "b"):
        voc_image(tmp_path, key, classes(), ["person"])
    (tmp_path / "SegmentationClass" / "a.png").write_bytes(b"\x89PNG")
    Image.new("RGB", (60, 40)).save(tmp_path / "SegmentationClass" / "b.png")
    source = read(tmp_path)
    assert "not an image" in (source.labels.measure(0, None).unreadable or "")
    assert "expected palette indices" in (source.labels.measure(1, None).unreadable or "")


def test_object_masks_of_another_size_make_their_image_unreadable(tmp_path: Path) -> None:
    voc_image(tmp_path, "a", classes(), ["person"])
    palette_png(tmp_path / "SegmentationObject" / "a.png", np.ones((4, 4), np.uint8))
    assert "the size of its class mask" in (read(tmp_path).labels.measure(0, None).unreadable or "")


def test_class_names_beside_the_masks_replace_vocs_own(tmp_path: Path) -> None:
    voc_image(tmp_path, "a", np.full(SIZE_HW, 2, np.uint8), ["Woman"])
    (tmp_path / "class_names.txt").write_text("__ignore__\n_background_\ntree\nWoman\n")
    assert read(tmp_path, "woman").labels.measure(0, None).people == 1
    with pytest.raises(FormatError, match="has no class 'person'; it has: tree, Woman"):
        read(tmp_path)


def test_a_class_is_chosen_by_value_too(tmp_path: Path) -> None:
    voc_image(tmp_path, "a", classes(), ["dog"])
    assert read(tmp_path, "12").labels.measure(0, None).people == 1
    assert CLASSES[12] == "dog"


def test_the_folder_is_found_below_the_one_named(tmp_path: Path) -> None:
    voc_image(tmp_path / "VOCdevkit" / "VOC2012", "a", classes(), ["person"])
    assert read(tmp_path).candidates.height == 1
    assert read(tmp_path / "VOCdevkit").candidates.height == 1
    voc_image(tmp_path / "VOCdevkit" / "VOC2007", "a", classes(), ["person"])
    with pytest.raises(MissingError, match=r"holds 2 VOC data sets\. Name one"):
        read(tmp_path)


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="has no JPEGImages folder"):
        read(tmp_path)
    with pytest.raises(MissingError, match="has no JPEGImages folder"):
        read(tmp_path / "none")
