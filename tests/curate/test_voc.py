"""VOC folders: palette indices, people from object masks or XML, lists."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curate.errors import FormatError, MissingError
from curate.sources import Limits
from curate.sources.voc import CLASSES
from tests.curate.scenes import SIZE_HW, palette_png, photo, voc_image, voc_xml
from tests.curate.voc_scenes import an_object, blank, classes, image_set, read, xml_file

PIXELS = SIZE_HW[0] * SIZE_HW[1]


def test_a_mask_is_read_by_index_with_its_void(tmp_path: Path) -> None:
    voc_image(tmp_path, "a", classes(), ["person", "dog"])
    source = read(tmp_path)
    found = source.labels.measure(0, Limits())
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
    voc_image(tmp_path, "a", classes(), ["person", "Person", "dog"])
    source = read(tmp_path)
    assert source.candidates["people"].to_list() == [2]
    assert source.labels.measure(0, Limits()).people == 2


def test_an_object_that_stands_for_several_people_counts_as_so_many(tmp_path: Path) -> None:
    voc_image(tmp_path, "a", classes(), [])
    stated = "<object><name>person</name><people>3</people></object>"
    xml_file(tmp_path / "Annotations" / "a.xml", stated, an_object(box=(10, 0, 20, 1)))
    assert read(tmp_path).candidates["people"].to_list() == [4]
    assert read(tmp_path).labels.measure(0, Limits()).people == 4
    assert read(tmp_path, min_person_area=11 / PIXELS).labels.measure(0, Limits()).people == 3


def test_object_masks_tell_people_apart(tmp_path: Path) -> None:
    voc_image(tmp_path, "a", classes(), ["person"])
    objects = np.zeros(SIZE_HW, np.uint8)
    objects[:20, 10:20], objects[20:, 10:20], objects[:, 22:30], objects[:, 20:22] = 1, 2, 3, 255
    palette_png(tmp_path / "SegmentationObject" / "a.png", objects)
    source = read(tmp_path)
    assert source.candidates["people"].to_list() == [None]
    assert source.labels.measure(0, Limits()).people == 2


def test_images_are_those_of_the_segmentation_sets_where_there_are_any(tmp_path: Path) -> None:
    for key in ("a", "b", "c", "d"):
        voc_image(tmp_path, key, classes(), ["person"])
    (tmp_path / "JPEGImages" / "readme.txt").write_text("no photo")
    source = read(tmp_path)
    assert source.candidates["sample_id"].to_list() == ["voc-a", "voc-b", "voc-c", "voc-d"]
    assert source.notes == []
    image_set(tmp_path, "train.txt", "c\na\n\n")
    image_set(tmp_path, "._train.txt", "b\n")
    image_set(tmp_path, "val.txt", "c -1\n../JPEGImages/d\n")
    source = read(tmp_path)
    assert source.candidates["sample_id"].to_list() == ["voc-d", "voc-a", "voc-c"]
    unreadable = source.candidates["unreadable"].to_list()
    assert unreadable == ["../JPEGImages/d: the image set names a path, not a stem", None, None]
    assert [(note.what, note.where) for note in source.notes] == [
        ("photos stand in no image set and were not looked at", "b"),
        ("photos stand in no image set and were not looked at", "d"),
    ]
    assert "ImageSets/Segmentation" in source.source.sha256


def test_photos_in_no_set_without_a_mask_and_without_a_file_are_told_apart(tmp_path: Path) -> None:
    voc_image(tmp_path, "a", classes(), ["person"])
    for key in ("b", "d"):
        photo(tmp_path / "JPEGImages" / f"{key}.jpg")
        voc_xml(tmp_path / "Annotations" / f"{key}.xml", ["person"])
    palette_png(tmp_path / "SegmentationClass" / "c.png", classes())
    unlisted = read(tmp_path)
    assert unlisted.candidates["unreadable"].to_list() == [
        None,
        "b: has no mask: SegmentationClass holds no b.png",
        "d: has no mask: SegmentationClass holds no d.png",
    ]
    image_set(tmp_path, "all.txt", "a\nb\nc\n")
    listed = read(tmp_path)
    assert listed.candidates["unreadable"].to_list() == [
        None,
        "b: stands in an image set, but has no mask: SegmentationClass holds no b.png",
        "c: stands in an image set, but JPEGImages holds no such photo",
    ]
    assert [note.where for note in listed.notes] == ["d"]


def test_two_photos_of_one_stem_are_never_guessed_between(tmp_path: Path) -> None:
    voc_image(tmp_path, "a", classes(), ["person"])
    photo(tmp_path / "JPEGImages" / "a.png")
    [problem] = read(tmp_path).candidates["unreadable"]
    assert "a.jpg and a.png could both be meant" in problem


@pytest.mark.parametrize(
    "content",
    [b"\xef\xbb\xbfa\r\nmy photo\r\n", "a\nmy photo\n".encode("utf-16"), b"a  1\nmy photo\n", b"\na\n\nmy photo"],
    ids=["marked", "utf-16", "numbers", "blank lines"],
)
def test_lists_in_odd_encodings_are_read(tmp_path: Path, content: bytes) -> None:
    for key in ("a", "my photo"):
        voc_image(tmp_path, key, classes(), ["person"])
    image_set(tmp_path, "all.txt", content)
    candidates = read(tmp_path).candidates
    assert candidates["unreadable"].to_list() == [None, None]
    assert candidates["width"].to_list() == [60, 60]


@pytest.mark.parametrize("content", [b"\xff\xfd", b"\x00\x01\x02", b"\x89PNG\r\n\x1a\n", b"x" * 10_000])
def test_lines_of_rubbish_in_a_list_are_drops(tmp_path: Path, content: bytes) -> None:
    voc_image(tmp_path, "a", classes(), ["person"])
    image_set(tmp_path, "all.txt", content + b"\na\n")
    candidates = read(tmp_path).candidates
    assert candidates.filter(sample_id="voc-a")["unreadable"].to_list() == [None]
    others = candidates.filter(candidates["sample_id"] != "voc-a")["unreadable"]
    assert others.len() > 0
    assert others.str.contains("holds no such photo").all()


def test_lists_and_class_names_that_are_no_files_are_one_error(tmp_path: Path) -> None:
    voc_image(tmp_path, "a", classes(), ["person"])
    os.mkfifo(tmp_path / "class_names.txt")
    with pytest.raises(MissingError, match=r"class_names\.txt: is not a regular file"):
        read(tmp_path)
    (tmp_path / "class_names.txt").unlink()
    (tmp_path / "ImageSets" / "Segmentation" / "all.txt").mkdir(parents=True)
    with pytest.raises(MissingError, match=r"all\.txt: is not a regular file"):
        read(tmp_path)


def test_without_xml_and_object_mask_people_count_as_one(tmp_path: Path) -> None:
    voc_image(tmp_path, "a", classes(), [])
    (tmp_path / "Annotations" / "a.xml").unlink()
    found = read(tmp_path).labels.measure(0, Limits())
    assert found.people == 1
    assert [note.what for note in found.notes] == [
        "images have neither object masks nor XML; their people count as one"
    ]


def test_a_person_the_mask_does_not_show_is_nobody(tmp_path: Path) -> None:
    voc_image(tmp_path, "a", np.zeros(SIZE_HW, np.uint8), ["person"])
    found = read(tmp_path).labels.measure(0, Limits())
    assert (found.people, found.area) == (0, 0.0)
    assert "without a single pixel" in found.notes[0].what


def test_a_mask_of_another_size_is_resized_and_noted_or_refused(tmp_path: Path) -> None:
    voc_image(tmp_path, "a", classes(), ["person"])
    palette_png(tmp_path / "SegmentationClass" / "a.png", classes()[::2, ::2])
    source = read(tmp_path)
    found = source.labels.measure(0, Limits())
    assert [note.what for note in found.notes] == ["masks were resized to their image (nearest)"]
    assert source.labels.draw(0).target.shape == SIZE_HW
    palette_png(tmp_path / "SegmentationClass" / "a.png", classes()[:, :30])
    assert "expected a mask of 40x60" in (read(tmp_path).labels.measure(0, Limits()).unreadable or "")


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
    assert "not an image" in (source.labels.measure(0, Limits()).unreadable or "")
    assert "expected palette indices" in (source.labels.measure(1, Limits()).unreadable or "")


def figures(root: Path) -> None:
    """Two people of 300 and 20 px, with boxes; the first truncated and seen from behind, the second difficult."""
    drawn = blank()
    drawn[10:40, 5:15], drawn[:5, 40:44], drawn[30:, 50:] = 15, 15, 12
    voc_image(root, "a", drawn, [])
    large = an_object(box=(4, 9, 16, 40), truncated=True, parts=("head", "hand"), pose="Rear")
    small = an_object(box=(39, 0, 46, 6), difficult=True, parts=("foot",), pose="Frontal")
    xml_file(root / "Annotations" / "a.xml", large, small, an_object("dog", (50, 30, 60, 40), True, True, pose="Rear"))


@pytest.mark.parametrize("with_objects", [False, True], ids=["boxes", "object mask"])
def test_figures_count_from_a_share_of_the_image_on(tmp_path: Path, with_objects: bool) -> None:
    figures(tmp_path)
    if with_objects:
        objects = blank()
        objects[10:40, 5:15], objects[:5, 40:44], objects[30:, 50:] = 1, 2, 3
        palette_png(tmp_path / "SegmentationObject" / "a.png", objects)
    for share, people, tags, head in (
        (0.0, 2, ("difficult", "truncated", "front", "rear"), False),
        (20 / PIXELS, 2, ("difficult", "truncated", "front", "rear"), False),
        (21 / PIXELS, 1, ("truncated", "rear"), True),
        (300 / PIXELS, 1, ("truncated", "rear"), True),
        (301 / PIXELS, 0, (), None),
    ):
        labels = read(tmp_path, min_person_area=share).labels
        found, label = labels.measure(0, Limits()), labels.draw(0)
        assert (found.people, found.area) == (people, 320 / PIXELS)
        assert (label.tags, label.head_visible) == (tags, head)


def test_too_many_people_by_the_xml_need_no_measuring_where_all_of_them_count(tmp_path: Path) -> None:
    figures(tmp_path)
    assert read(tmp_path).labels.measure(0, Limits(most_people=1)).area is None
    assert read(tmp_path).labels.measure(0, Limits(most_people=2)).area == 320 / PIXELS
    found = read(tmp_path, min_person_area=0.1).labels.measure(0, Limits(most_people=1))
    assert (found.people, found.area) == (1, 320 / PIXELS)


def test_people_whom_the_xml_does_not_name_count_as_one(tmp_path: Path) -> None:
    voc_image(tmp_path, "a", classes(), ["dog"])
    source = read(tmp_path)
    assert source.candidates["people"].to_list() == [None], "the mask has to be looked at"
    found = source.labels.measure(0, Limits())
    assert found.people == 1
    assert "their XML does not name" in found.notes[0].what


@pytest.mark.parametrize("with_objects", [False, True], ids=["regions", "object mask"])
@pytest.mark.parametrize(("policy", "value"), [("include", 255), ("ignore", 128), ("exclude", 0)])
def test_only_the_object_that_touches_is_painted_and_measured(
    tmp_path: Path, policy: str, value: int, with_objects: bool
) -> None:
    drawn, objects = classes(), blank()
    drawn[:, 50:] = 12
    drawn[:, 40:45] = 5
    objects[:, 10:20], objects[:, 22:30], objects[:, 50:], objects[:, 40:45] = 1, 2, 3, 4
    voc_image(tmp_path, "a", drawn, ["person", "dog", "dog", "bottle"])
    if with_objects:
        palette_png(tmp_path / "SegmentationObject" / "a.png", objects)
    labels = read(tmp_path, animals=policy, held="include").labels
    label = labels.draw(0)
    assert (label.target[:, 22:30] == value).all(), "the dog at the person's side"
    assert (label.target[:, 20:22] == 128).all(), "the void border between"
    assert not label.target[:, 40:].any(), "the dog and the bottle far away"
    assert label.touching == ("dog",)
    assert labels.measure(0, Limits()).area == (label.target == 255).sum() / (label.target != 128).sum()


@pytest.mark.parametrize("seed", range(12))
def test_what_is_measured_is_what_is_drawn(tmp_path: Path, seed: int) -> None:
    chance = np.random.default_rng(seed)
    drawn = chance.choice(np.array([0, 0, 5, 12, 13, 15, 255], np.uint8), (8, 12)).repeat(5, 0).repeat(5, 1)
    voc_image(tmp_path, "a", drawn, ["person"])
    if seed % 2:
        palette_png(tmp_path / "SegmentationObject" / "a.png", np.where(drawn == 255, 255, drawn % 7).astype(np.uint8))
    if seed % 3 == 0:
        photo(tmp_path / "JPEGImages" / "a.jpg", (80, 120))
    policies = [("include", "exclude"), ("ignore", "include"), ("exclude", "ignore"), ("ignore", "ignore")]
    held, animals = policies[seed % 4]
    labels = read(tmp_path, held=held, animals=animals, min_person_area=0.01).labels
    target = labels.draw(0).target
    assert labels.measure(0, Limits()).area == (target == 255).sum() / (target != 128).sum()
    assert ((target == 255) >= np.kron(drawn == 15, np.ones(np.array(target.shape) // drawn.shape, bool))).all()


def test_policies_take_the_class_names_of_the_folder(tmp_path: Path) -> None:
    drawn = np.where(classes() == 15, np.uint8(1), np.uint8(0))
    drawn[:, 21:25] = 2
    voc_image(tmp_path, "a", drawn, ["Woman"])
    (tmp_path / "class_names.txt").write_text("none\nWoman\nTeddy Bear\n")
    labels = read(tmp_path, "woman", held="include").labels
    assert (labels.draw(0).target[:, 21:25] == 255).all()
    assert labels.draw(0).touching == ("Teddy Bear",)


def test_a_class_that_has_no_name_is_refused(tmp_path: Path) -> None:
    drawn = classes()
    drawn[0, 59] = 23
    voc_image(tmp_path, "a", drawn, ["person"])
    problem = read(tmp_path).labels.measure(0, Limits()).unreadable or ""
    assert "holds the class 23; known are 1 to 20. List the classes in class_names.txt" in problem


def test_a_resized_mask_is_tagged(tmp_path: Path) -> None:
    voc_image(tmp_path, "a", classes(), ["person"])
    palette_png(tmp_path / "SegmentationClass" / "a.png", classes()[::2, ::2])
    labels = read(tmp_path, animals="include").labels
    label = labels.draw(0)
    assert label.tags == ("difficult", "resized")
    assert labels.measure(0, Limits()).area == (label.target == 255).sum() / (label.target != 128).sum()


def test_object_masks_of_another_size_make_their_image_unreadable(tmp_path: Path) -> None:
    voc_image(tmp_path, "a", classes(), ["person"])
    palette_png(tmp_path / "SegmentationObject" / "a.png", np.ones((4, 4), np.uint8))
    assert "the size of its class mask" in (read(tmp_path).labels.measure(0, Limits()).unreadable or "")


def test_class_names_beside_the_masks_replace_vocs_own(tmp_path: Path) -> None:
    voc_image(tmp_path, "a", np.full(SIZE_HW, 2, np.uint8), ["Woman"])
    (tmp_path / "class_names.txt").write_text("__ignore__\n_background_\ntree\nWoman\n")
    assert read(tmp_path, "woman").labels.measure(0, Limits()).people == 1
    with pytest.raises(FormatError, match="has no class 'person'; it has: tree, Woman"):
        read(tmp_path)


def test_a_class_is_chosen_by_value_too(tmp_path: Path) -> None:
    voc_image(tmp_path, "a", classes(), ["dog"])
    assert read(tmp_path, "12").labels.measure(0, Limits()).people == 1
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
    with pytest.raises(MissingError, match="none: does not exist"):
        read(tmp_path / "none")
