"""Held objects and animals as classes: a mask beside the target, for images whose source names what is in them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from curate.checks.version import verify
from curate.dataset import Dataset, open_dataset
from curate.errors import FormatError, MismatchError, MissingError
from curate.foreground import ANIMALS, CLASS_VALUES, HELD
from curate.images import png_bytes
from curate.masks import grow
from tests.curate.pictures import build, picture, told
from tests.curate.scenes import box, coco_file, image, mask_png, palette_png, person, voc_image
from tests.curate.test_panoptic import areas, panoptic_file, segment

SIZE_HW = (40, 60)
CATEGORIES = [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}, {"id": 37, "name": "cup"}]
DOG, CUP = 18, 37
BOTH: dict[str, Any] = {"held": "class", "animals": "class"}


def thing(category: int, *sides: float, number: int = 1, **more: Any) -> dict[str, Any]:
    """An annotation of an object, a box of left, top, right, bottom."""
    shape = {"segmentation": box(*sides)} if sides else {}
    return {"image_id": number, "category_id": category, "iscrowd": 0, **shape, **more}


def scene(root: Path, *things: dict[str, Any], images: int = 1, seed: int = 0, **more: Any) -> str:
    """A COCO file of images with a person on [0, 20) x [0, 30) each, and other things."""
    for number in range(1, images + 1):
        picture(root / "images" / f"{number}.png", seed + number, 0, SIZE_HW)
    records = [image(number, f"{number}.png", SIZE_HW) for number in range(1, images + 1)]
    people = [person(number, box(0, 0, 20, 30)) for number in range(1, images + 1)]
    return str(coco_file(root / "a.json", records, [*people, *things], **({"categories": CATEGORIES} | more)))


def drawn(*boxes: tuple[int, int, int, int, int]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Boxes of a value and left, top, right, bottom, the later over the earlier."""
    classes = np.zeros(SIZE_HW, np.uint8)
    for value, left, top, right, bottom in boxes:
        classes[top:bottom, left:right] = value
    return classes


def only(root: Path) -> np.ndarray[Any, np.dtype[np.uint8]] | None:
    """The class mask of a version's one image, for which its file stands as it is."""
    dataset = open_dataset(root)
    [row] = dataset.rows()
    classes = dataset.classes(row)
    path = root / "classes" / f"{row['sample_id']}.png"
    assert path.is_file() == (classes is not None)
    if classes is not None:
        assert (np.asarray(Image.open(path)) == classes).all()
        assert [tag for tag in row["tags"] if tag.startswith("classes:")] == [
            f"classes:{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"
        ]
    return classes


def test_held_objects_in_contact_and_animals_anywhere_are_drawn_beside_a_person(tmp_path: Path) -> None:
    things = [
        thing(CUP, 10, 20, 24, 30),  # in the hand: what lies under the person is the person's
        thing(CUP, 50, 0, 56, 6),  # across the room
        thing(DOG, 21, 25, 30, 40),  # at their feet, and under the cup
        thing(DOG, 40, 20, 50, 40),  # across the street
        {"image_id": 1, "category_id": 1, "iscrowd": 1, "segmentation": {"size": SIZE_HW, "counts": [1800, 400, 200]}},
    ]
    path = scene(tmp_path, *things)
    build(tmp_path / "plain", coco=[path])
    at_feet, far = (2, 21, 25, 30, 40), (2, 40, 20, 45, 40)  # the crowd begins at 45
    expected = {
        "both": (BOTH, drawn(at_feet, far, (1, 20, 20, 24, 30))),
        "held": ({"held": "class"}, drawn((1, 20, 20, 24, 30))),
        "animals": ({"animals": "class"}, drawn(at_feet, far)),
        "dogs ignored": (BOTH | {"animals": "ignore"}, drawn((1, 20, 20, 21, 30), (1, 20, 20, 24, 25))),
        "cups included": (
            BOTH | {"held": "include"},
            drawn(at_feet, far, (0, 20, 20, 24, 30)),
        ),
    }
    for name, (policies, classes) in expected.items():
        build(tmp_path / name, coco=[path], **policies)
        assert (only(tmp_path / name) == classes).all(), name
        assert list(verify(open_dataset(tmp_path / name))) == []
    plain, both = open_dataset(tmp_path / "plain"), open_dataset(tmp_path / "both")
    assert both.samples.drop("tags").equals(plain.samples.drop("tags"))
    assert both.header.digest != plain.header.digest
    assert only(tmp_path / "plain") is None
    assert not (tmp_path / "plain" / "classes").exists()


def test_the_same_input_gives_the_same_bytes_and_another_object_another_digest(tmp_path: Path) -> None:
    path = scene(tmp_path, thing(DOG, 40, 20, 50, 40))
    first = build(tmp_path / "one", coco=[path], **BOTH).header
    assert build(tmp_path / "one", coco=[path], **BOTH).done_before
    build(tmp_path / "two", coco=[path], **BOTH)
    one, two = ({file.name: file.read_bytes() for file in (tmp_path / out).rglob("*.*")} for out in ("one", "two"))
    assert one == two
    scene(tmp_path, thing(DOG, 41, 20, 50, 40))
    assert build(tmp_path / "three", coco=[path], **BOTH).header.digest != first.digest


UNKNOWN = "images have no mask of classes, for their source names nothing of one, or not where it is"


@pytest.mark.parametrize(
    ("things", "more", "known"),
    [
        ([], {}, True),
        ([thing(CUP, 40, 0, 50, 9)], {}, True),
        ([], {"categories": CATEGORIES[:1]}, False),
        ([], {"categories": CATEGORIES[:2]}, False),
        ([thing(DOG)], {}, False),
        ([thing(DOG, segmentation=[[1, 2, 3, 4, 5, 6, 7]])], {}, False),
        ([thing(CUP, segmentation={"size": [1, 1], "counts": [1]})], {}, False),
        ([thing(CUP, segmentation=None)], {}, False),
    ],
    ids=["nothing", "far", "people alone", "no held", "box of a dog", "odd polygon", "odd runs", "null"],
)
def test_without_knowing_what_is_there_no_file_is_written(
    tmp_path: Path, things: list[Any], more: dict[str, Any], known: bool
) -> None:
    """An image that is known to show neither has a mask of zeros."""
    built = build(tmp_path / "out", coco=[scene(tmp_path, *things, **more)], **BOTH)
    classes = only(tmp_path / "out")
    assert (classes is not None) == known
    assert classes is None or not classes.any()
    assert (UNKNOWN in told(built)) != known


def test_one_class_asks_for_its_own_categories_alone(tmp_path: Path) -> None:
    path = scene(tmp_path, thing(DOG, 40, 20, 50, 40), categories=CATEGORIES[:2])
    build(tmp_path / "out", coco=[path], animals="class")
    assert (only(tmp_path / "out") == drawn((2, 40, 20, 50, 40))).all()
    build(tmp_path / "own", coco=[path], held="class", held_categories=["Dog"], animal_categories=[])
    assert not only(tmp_path / "own").any()  # type: ignore[union-attr]


def test_pairs_and_the_pool_have_no_classes_and_empty_scenes_have(tmp_path: Path) -> None:
    path = scene(tmp_path, thing(DOG, 30, 0, 60, 40, number=2), images=2)
    records = [image(number, f"{number}.png", SIZE_HW) for number in (1, 2)]
    annotations = [person(1, box(0, 0, 20, 30)), thing(DOG, 30, 0, 60, 40, number=2)]
    coco_file(tmp_path / "a.json", records, annotations, categories=CATEGORIES)
    picture(tmp_path / "pairs" / "a.png", 8)
    mask_png(tmp_path / "masks" / "a.png", np.eye(48, 64, dtype=bool))
    picture(tmp_path / "pool" / "a.png", 9)
    sources = {"pairs": [(str(tmp_path / "pairs"), str(tmp_path / "masks"))], "pool": [str(tmp_path / "pool")]}
    built = build(tmp_path / "out", coco=[path], **sources, backgrounds=1, **BOTH)
    dataset = open_dataset(tmp_path / "out")
    found = {row["sample_id"]: dataset.classes(row) for row in dataset.rows()}
    assert {name for name, classes in found.items() if classes is None} == {"pairs-a", "pool-a"}
    assert (found["coco-2"] == drawn((2, 30, 0, 60, 40))).all()
    assert dict(dataset.samples.select("sample_id", "split").iter_rows())["coco-2"] == "background"
    assert [note.where for note in built.notes if note.what == UNKNOWN] == ["pairs-a"]
    assert list(verify(dataset)) == []


def test_voc_tells_its_classes_and_a_mask_of_another_size_is_resized(tmp_path: Path) -> None:
    """A bottle in contact and one apart, a horse apart, and a void border around it."""
    classes = np.zeros(SIZE_HW, np.uint8)
    classes[:30, :20], classes[10:20, 20:24], classes[:6, 50:56] = 15, 5, 5
    classes[24:40, 38:52] = 255
    classes[26:38, 40:50] = 13
    wanted = np.where(classes == 13, 2, 0)
    wanted[10:20, 20:24] = 1
    voc_image(tmp_path / "voc", "a", classes, ["person"])
    build(tmp_path / "out", voc=[str(tmp_path / "voc")], **BOTH)
    assert (only(tmp_path / "out") == wanted).all()
    palette_png(tmp_path / "voc" / "SegmentationClass" / "a.png", classes[::2, ::2].copy())
    built = build(tmp_path / "small", voc=[str(tmp_path / "voc")], **BOTH)
    found = only(tmp_path / "small")
    assert found is not None
    assert set(np.unique(found)) == {0, 1, 2}
    assert found.shape == SIZE_HW
    assert any("resized" in what for what in told(built))


PERSON, ZEBRA, TEDDY = 7, 8, 9
SEGMENTS = [segment(PERSON), segment(ZEBRA, 24), segment(TEDDY, 88)]
IDS = areas((PERSON, (0, 0, 20, 30)), (ZEBRA, (40, 10, 60, 40)), (TEDDY, (20, 0, 24, 10)))
NAMES = [{"id": 1, "name": "person"}, {"id": 24, "name": "zebra"}, {"id": 88, "name": "teddy bear"}]


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside a file of people"])
def test_segments_are_drawn_wherever_the_animal_is(tmp_path: Path, beside: bool) -> None:
    path = panoptic_file(tmp_path, {1: (IDS, SEGMENTS)}, categories=NAMES)
    picture(tmp_path / "val2017" / "000001.jpg", 1, 0, SIZE_HW)
    files = [f"coco={path}"]
    if beside:
        one = tmp_path / "annotations" / "person_keypoints_val2017.json"
        files += [f"coco={coco_file(one, [image(1)], [person(1, box(0, 0, 20, 30))], categories=NAMES[:1])}"]
    build(tmp_path / "out", coco=files, **BOTH)
    assert (only(tmp_path / "out") == np.select([IDS == ZEBRA, IDS == TEDDY], [2, 1])).all()
    if beside:  # without the PNG nobody says what is there
        (tmp_path / "annotations" / "panoptic_val2017" / "000001.png").unlink()
        for name, order in (("one", files), ("other", files[::-1])):
            build(tmp_path / name, coco=order, **BOTH)
            assert only(tmp_path / name) is None


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        (None, MissingError, "classes/coco-1.png"),
        (b"", FormatError, "is not an image"),
        (
            png_bytes(np.full(SIZE_HW, 3, np.uint8)),
            FormatError,
            "holds the value 3; a class mask holds 0 neither, 1",
        ),
        (png_bytes(np.zeros((40, 61), np.uint8)), MismatchError, "40x61"),
    ],
    ids=["missing", "empty", "value", "size"],
)
def test_a_damaged_class_mask_is_an_error_of_one_line(
    tmp_path: Path, content: bytes | None, error: type[Exception], words: str
) -> None:
    build(tmp_path / "out", coco=[scene(tmp_path)], **BOTH)
    path = tmp_path / "out" / "classes" / "coco-1.png"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    dataset = open_dataset(tmp_path / "out")
    with pytest.raises(error, match=words) as raised:
        dataset.classes(dataset.rows()[0])
    assert "\n" not in str(raised.value)


def expected_of(coco: COCO, dataset: Dataset, row: dict[str, Any]) -> np.ndarray[Any, np.dtype[Any]]:
    """The class mask as a plain script with pycocotools draws it: animals, then held objects near a person."""
    names = {one["id"]: one["name"] for one in coco.dataset["categories"]}
    target = dataset.target(row)
    found = coco.imgToAnns[int(row["sample_id"].rpartition("-")[2])]
    classes = np.zeros(target.shape, np.uint8)
    for names_of, value in ((ANIMALS, 2), (HELD, 1)):
        for one in found:
            mask = coco.annToMask(one).astype(bool)
            if names[one["category_id"]] in names_of and (value == 2 or (mask & grow(target == 255, 2)).any()):
                classes[mask] = value
    return np.where(target == 0, classes, 0)


@pytest.mark.real
def test_real_classes_are_as_pycocotools_draws_them(tmp_path: Path, real_data: Path) -> None:
    path = real_data / "coco-mini" / "annotations" / "instances_train2017.json"
    build(tmp_path / "out", coco=[str(path)], backgrounds=10, **BOTH)
    dataset, coco, shown = open_dataset(tmp_path / "out"), COCO(str(path)), set()
    for row in dataset.rows():
        classes = dataset.classes(row)
        assert (classes == expected_of(coco, dataset, row)).all(), row["sample_id"]
        shown |= set(np.unique(classes))  # type: ignore[arg-type]
    assert shown == {0, *CLASS_VALUES.values()}
    assert list(verify(dataset)) == []


@pytest.mark.real
def test_real_classes_of_voc_are_those_of_its_masks(tmp_path: Path, real_data: Path) -> None:
    voc = real_data / "voc2012"
    build(tmp_path / "out", voc=[str(voc)], **BOTH)
    dataset, animals = open_dataset(tmp_path / "out"), 0
    for row in dataset.rows():
        name = f"{row['sample_id'].removeprefix('voc-')}.png"
        indices = np.asarray(Image.open(voc / "SegmentationClass" / name))
        classes = dataset.classes(row)
        assert classes is not None
        assert ((classes == 2) == np.isin(indices, [3, 8, 10, 12, 13, 17])).all(), name
        assert not (classes[indices != 5] == 1).any()
        animals += int((classes == 2).any())
    assert animals >= 5
