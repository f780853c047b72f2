"""LabelMe JSON: every kind of shape against an independent rasterisation, and every refusal."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco_mask

from curate.errors import CurateError, FormatError, MismatchError, UsageError
from curate.masks import PERSON, Mask, SizeHW
from label import regions
from label.formats import labelme, reading
from label.formats.labelme import Export, Shape
from label.formats.record import Drawing, HandLabel, Options, Refusal
from label.regions import MAX_OUTLINE_PX, Classes
from tests.drawing import mask, target
from tests.label.making import box, shape, write_labelme, write_png

SIZE: SizeHW = (6, 8)


def label_of(path: Path, person: tuple[str, ...] | None = None, ignore: tuple[str, ...] | None = None) -> HandLabel:
    (label,) = labelme.read(path, Options(person, ignore))
    assert isinstance(label, HandLabel), label
    return label


def draw(
    tmp_path: Path, shapes: list[dict[str, Any]], size_hw: SizeHW = SIZE, person: tuple[str, ...] | None = None
) -> Drawing:
    return label_of(write_labelme(tmp_path / "a.json", shapes, size_hw, "a.jpg"), person).draw(size_hw)


def png_text(part: Mask) -> str:
    buffer = io.BytesIO()
    Image.fromarray(part.astype(np.uint8)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def test_a_polygon_is_what_pycocotools_draws(tmp_path: Path) -> None:
    points = [(1.2, 0.5), (6.7, 1.0), (5.1, 5.9), (0.3, 4.4)]
    drawn = draw(tmp_path, [shape("person", points)])
    expected = coco_mask.decode(coco_mask.frPyObjects([[value for point in points for value in point]], *SIZE))[..., 0]
    np.testing.assert_array_equal(drawn.target == PERSON, expected.astype(bool))
    assert drawn.people == 1


@given(st.lists(st.tuples(st.floats(-3, 40), st.floats(-3, 30)), min_size=3, max_size=9))
@settings(derandomize=True, max_examples=60, deadline=None)
def test_any_polygon_is_what_pycocotools_draws(points: list[tuple[float, float]]) -> None:
    rle = labelme.region_of(Shape("person", points), Path("a.json"), "$").draw((27, 37))
    expected = coco_mask.frPyObjects([[value for point in points for value in point]], 27, 37)
    assert coco_mask.decode(rle).tolist() == coco_mask.decode(expected)[..., 0].tolist()


def test_shapes_unite_and_the_ignored_lies_below(tmp_path: Path) -> None:
    shapes = [
        box("person", 0, 0, 2, 1),
        box("__ignore__", 1, 0, 4, 1),
        box("PERSON ", 5, 0, 6, 1),
        box("dog", 0, 3, 8, 6),
    ]
    drawn = draw(tmp_path, shapes)
    np.testing.assert_array_equal(drawn.target[:1], target("##oo.#.."))
    assert not drawn.target[1:].any()
    assert drawn.people == 2


@pytest.mark.parametrize(
    "points", [[(1, 1), (4, 3)], [(4, 3), (1, 1)], [(4, 1), (1, 3)], [(1, 1), (4, 1), (4, 3), (1, 3)]]
)
def test_a_rectangle_lies_between_its_corners(points: list[tuple[float, float]], tmp_path: Path) -> None:
    drawn = draw(tmp_path, [shape("person", points, "rectangle")], (4, 6))
    np.testing.assert_array_equal(drawn.target, target("......\n.###..\n.###..\n......"))


def test_a_circle_holds_the_pixels_whose_centre_it_holds(tmp_path: Path) -> None:
    drawn = draw(tmp_path, [shape("person", [(3.0, 2.5), (5.0, 2.5)], "circle")], (5, 6))
    np.testing.assert_array_equal(drawn.target == PERSON, mask("......\n.####.\n.####.\n.####.\n......"))


def test_a_mask_lies_in_its_box(tmp_path: Path) -> None:
    part = mask("#.#\n.#.")
    drawn = draw(tmp_path, [shape("person", [(2.0, 1.0), (4.0, 2.0)], "mask", mask=png_text(part))], (4, 6))
    np.testing.assert_array_equal(drawn.target, target("......\n..#.#.\n...#..\n......"))


def test_group_id_makes_one_person_of_two_shapes(tmp_path: Path) -> None:
    boxes = [box("person", x, 0, x + 1, 1, group_id=group) for x, group in ((0, 0), (2, 0), (4, None), (6, None))]
    assert draw(tmp_path, boxes).people == 3


def test_a_person_without_a_pixel_counts_as_nobody_and_is_told(tmp_path: Path) -> None:
    shapes = [box("person", 0, 0, 2, 2), box("person", 3.1, 3.1, 3.2, 3.2), shape("person", [(1, 1), (3, 3)])]
    drawn = draw(tmp_path, [*shapes, shape("person", [(1, 1)], "point"), shape("person", [])])
    assert drawn.people == 1
    assert drawn.notes == (
        "$.shapes[1] (person): this rectangle covers no pixel of the image, passed over",
        "$.shapes[2] (person): a polygon of 2 points encloses nothing, 3 are needed, passed over",
        "$.shapes[3] (person): a point encloses nothing, passed over",
        "$.shapes[4] (person): a polygon of 0 points encloses nothing, 3 are needed, passed over",
    )


def test_person_and_ignore_name_the_classes(tmp_path: Path) -> None:
    path = write_labelme(tmp_path / "a.json", [box("rider", 0, 0, 1, 1), box("crowd", 2, 0, 3, 1)], SIZE, None)
    drawn = label_of(path, ("Rider", "man"), ("CROWD",)).draw(SIZE)
    np.testing.assert_array_equal(drawn.target[:1], target("#.o....."))
    with pytest.raises(UsageError, match="the label rider is both --person and --ignore"):
        labelme.read(path, Options(("rider",), ("Rider",)))


def test_nobody_is_an_empty_drawing_that_says_what_was_found(tmp_path: Path) -> None:
    drawn = draw(tmp_path, [box("bus", 0, 0, 1, 1), box("car", 0, 0, 1, 1), box("bus", 0, 0, 1, 1)])
    assert (drawn.found, drawn.people, drawn.target.any()) == ("shapes bus 2, car 1", 0, False)
    assert draw(tmp_path, []).found == "no shapes"


def test_names_tool_and_size_come_from_the_file(tmp_path: Path) -> None:
    path = write_labelme(tmp_path / "deep" / "b.json", [], SIZE, "..\\photos\\a.jpg")
    (label,) = labelme.read(tmp_path, Options())
    assert isinstance(label, HandLabel)
    assert (label.file, label.names, label.tool, label.size_hw) == (
        path,
        ("../photos/a.jpg", "deep/b"),
        "labelme 5.2.1",
        SIZE,
    )
    old = write_labelme(tmp_path / "old.json", [], None, None, version=None)
    assert (label_of(old).names, label_of(old).tool, label_of(old).size_hw) == (("old",), "labelme", None)


def test_the_image_is_known_by_its_bytes(tmp_path: Path) -> None:
    image = write_png(tmp_path / "photo.png", np.zeros(SIZE, np.uint8))
    digest = hashlib.sha256(image.read_bytes()).hexdigest()
    beside = write_labelme(tmp_path / "a.json", [], SIZE, "../elsewhere/photo.png")
    assert label_of(beside).image_sha256() == digest
    data = base64.b64encode(image.read_bytes()).decode()
    embedded = write_labelme(tmp_path / "b.json", [], SIZE, "gone.png", imageData=data)
    assert label_of(embedded).image_sha256() == digest
    for number, name in enumerate(["gone.png", None, "..", "nul\0", "x" * 5000]):
        assert label_of(write_labelme(tmp_path / f"c{number}.json", [], SIZE, name)).image_sha256() is None
    broken = write_labelme(tmp_path / "d.json", [], SIZE, "photo.png", imageData="*not base64*")
    assert label_of(broken).image_sha256() is None


def test_no_file_outside_the_folder_is_opened(tmp_path: Path) -> None:
    write_png(tmp_path / "secret.png", np.zeros(SIZE, np.uint8))
    path = write_labelme(tmp_path / "labels" / "a.json", [], SIZE, "../secret.png")
    assert label_of(path).image_sha256() is None


def test_another_size_is_drawn_there_and_resized(tmp_path: Path) -> None:
    label = label_of(write_labelme(tmp_path / "a.json", [box("person", 0, 0, 4, 6)], SIZE, None))
    assert (label.draw((12, 16)).target == PERSON).sum() == 12 * 8
    with pytest.raises(MismatchError, match="6x8"):
        label.draw((6, 6))


def refusal_of(path: Path) -> str:
    """The message with which a file is refused, whether when it is read or when it is drawn."""
    (label,) = labelme.read(path, Options())
    if isinstance(label, Refusal):
        return label.message
    with pytest.raises(CurateError) as caught:
        label.draw(label.size_hw or SIZE)
    return str(caught.value)


WHOLE = {"version": "5.2.1", "shapes": [], "imagePath": "a.jpg", "imageHeight": 6, "imageWidth": 8}
PNG_3X2 = png_text(mask("###\n###"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"", "is damaged", id="empty"),
        pytest.param(b"\xff\xfe\x00", "is no UTF-8", id="binary"),
        pytest.param(json.dumps(WHOLE).encode()[:-20], "is damaged", id="truncated"),
        pytest.param(b"[1, 2]", "is not LabelMe's: Expected `object`, got `array`", id="list"),
        pytest.param(b"{}", "missing required field `shapes`", id="no-shapes"),
        pytest.param(b'{"shapes": {"a": 1}}', "Expected `array`, got `object` - at `$.shapes`", id="shapes-object"),
        pytest.param(b'{"shapes": [{"label": "person", "points": [[1, NaN]]}]}', "is damaged", id="nan"),
        pytest.param(b'{"shapes": [{"label": "person", "points": [[1, 1e999]]}]}', "out of range", id="infinity"),
        pytest.param(b'{"shapes": [{"label": "person", "points": [[1, 2, 3]]}]}', "$.shapes[0].points[0]", id="3d"),
        pytest.param(b'{"shapes": [{"label": 5, "points": []}]}', "$.shapes[0].label", id="label-number"),
        pytest.param(b'{"shapes": [], "deep": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", "nested deeper", id="deep"),
        pytest.param(json.dumps(WHOLE | {"imageHeight": 10**12}).encode(), "height 1000000000000", id="giant"),
        pytest.param(json.dumps(WHOLE | {"imageHeight": 10**40}).encode(), "height 1000", id="beyond-int64"),
        pytest.param(json.dumps(WHOLE | {"imageHeight": -6}).encode(), "height -6", id="negative"),
        pytest.param(json.dumps(WHOLE | {"imageWidth": None}).encode(), "width None", id="half-a-size"),
    ],
)
def test_a_malformed_file_is_named(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    message = refusal_of(path)
    assert message.startswith(str(path))
    assert words in message


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        pytest.param(shape("person", [(1e9, 2), (3, 4), (5, 1)]), "point (1e+09, 2) lies far outside", id="far"),
        pytest.param(shape("person", [(1, -1e308), (3, 4), (5, 1)]), "point (1, -1e+308)", id="farther"),
        pytest.param(shape("__ignore__", [(-1e5, 2), (3, 4)], "circle"), "lies far outside", id="circle-far"),
        pytest.param(shape("person", [(1, 2)], "circle"), "a circle of 1 points; expected 2", id="circle"),
        pytest.param(shape("person", [(1, 2)] * 3, "rectangle"), "a rectangle of 3 points", id="rectangle"),
        pytest.param(shape("person", [(1, 2)] * 4, "cuboid"), "shape_type cuboid is not known", id="unknown"),
        pytest.param(shape("person", [(1, 1), (3, 2)], "mask"), "not a PNG", id="mask-absent"),
        pytest.param(shape("person", [(1, 1), (3, 2)], "mask", mask="%%"), "not base64", id="mask-no-base64"),
        pytest.param(shape("person", [(1, 1), (3, 2)], "mask", mask="QUJD"), "not a PNG", id="mask-no-png"),
        pytest.param(
            shape("person", [(1, 1), (4, 2)], "mask", mask=PNG_3X2), "expected 2x4 (HxW), got 2x3", id="mask-size"
        ),
        pytest.param(
            shape("person", [(6, 1), (8, 2)], "mask", mask=PNG_3X2), "(6, 1) to (8, 2) is not inside", id="mask-outside"
        ),
        pytest.param(
            shape("person", [(3, 1), (1, 2)], "mask", mask=PNG_3X2), "is not inside the image", id="mask-inverted"
        ),
    ],
)
def test_a_bad_shape_is_named_with_its_place(bad: dict[str, Any], words: str, tmp_path: Path) -> None:
    path = write_labelme(tmp_path / "a.json", [box("person", 0, 0, 1, 1), bad], SIZE, "a.jpg")
    message = refusal_of(path)
    assert message.startswith(f"{path} at $.shapes[1]")
    assert words in message


def test_a_bad_shape_of_another_class_does_no_harm(tmp_path: Path) -> None:
    assert draw(tmp_path, [box("person", 0, 0, 1, 1), shape("dog", [(1e9, 2)] * 3, "cuboid")]).people == 1


def test_shapes_without_end_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zigzag = [(x % 2 * 8.0, x % 6) for x in range(200)]
    path = write_labelme(tmp_path / "a.json", [shape("person", zigzag)], SIZE, None)
    monkeypatch.setattr(regions, "MAX_OUTLINE_PX", 1000)
    assert "its outlines are" in refusal_of(path)
    monkeypatch.setattr(regions, "MAX_REGIONS", 0)
    assert "has 1 shapes" in refusal_of(path)
    monkeypatch.setattr(reading, "MAX_BYTES", 100)
    assert "has more than 0 MiB" in refusal_of(path)


def test_an_outline_of_the_allowed_length_is_drawn_in_little_memory() -> None:
    size_hw = (2000, 2000)
    turns = int(MAX_OUTLINE_PX / 2100)
    zigzag = [((number % 2) * 2000.0, number % 2000) for number in range(turns)]
    export = Export([Shape("person", zigzag)])
    classes = Classes(frozenset({"person"}), frozenset())
    assert labelme.draw_export(export, size_hw, classes, Path("a.json"), size_hw).people == 1


def test_no_json_at_all(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"holds no \.json file"):
        labelme.read(tmp_path, Options())
