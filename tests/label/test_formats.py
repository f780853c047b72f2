"""Every labelling tool: told by its content, drawn as an independent rasteriser does it, and refused in one line."""

from __future__ import annotations

import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from curate.dataset import open_dataset
from curate.errors import CurateError, FormatError, UsageError
from curate.masks import PERSON, SizeHW
from label.formats import FORMATS, detect_format, read_labels
from label.formats.record import Drawing, HandLabel, Options, Refusal
from label.importing import Request, import_labels
from tests.label import exports
from tests.label.exports import MASKS, POLYGONS, Person
from tests.label.making import Photo, make_dataset, outcome, write_png

SIZE: SizeHW = (30, 40)
few = settings(derandomize=True, max_examples=25, deadline=None)
names = st.sampled_from(["person", "Person", "dog"])
coordinates = st.floats(0, 30, width=16)
polygons = st.tuples(names, st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=7))
masks = st.tuples(names, st.binary(min_size=1200, max_size=1200).map(lambda data: mask_of(data)))


def mask_of(data: bytes) -> NDArray[np.bool_]:
    return np.frombuffer(data, np.uint8).reshape(SIZE) > 127


def drawn_by(tool: str, people: list[Person], options: Options = Options()) -> Drawing:  # noqa: B008
    with tempfile.TemporaryDirectory() as folder:
        path = POLYGONS[tool](Path(folder), "photo.jpg", SIZE, people)
        assert detect_format(path) == tool
        (label,) = read_labels(path, tool, options)
        assert isinstance(label, HandLabel), label
        assert any(Path(name).stem == "photo" for name in label.names)
        return label.draw(SIZE)


def union(people: list[Person]) -> NDArray[np.bool_]:
    """The person's pixels, by pycocotools alone."""
    shown = np.zeros(SIZE, bool)
    for name, where in people:
        if name.casefold() == "person":
            if isinstance(where, np.ndarray):
                shown |= where
            else:
                (rle,) = coco_mask.frPyObjects([[float(v) for point in where for v in point]], *SIZE)
                shown |= coco_mask.decode(rle).astype(bool)
    return shown


@pytest.mark.parametrize("tool", POLYGONS)
@given(st.lists(polygons, min_size=1, max_size=4))
@few
def test_polygons_are_drawn_as_pycocotools_draws_them(tool: str, people: list[Person]) -> None:
    drawn = drawn_by(tool, people)
    expected = union(people)
    if tool in ("labelstudio", "yolo"):  # shares of the image's size, which cost the last bit of a coordinate
        assert np.count_nonzero((drawn.target == PERSON) != expected) <= 2
    else:
        np.testing.assert_array_equal(drawn.target == PERSON, expected)


@pytest.mark.parametrize("tool", MASKS)
@given(st.lists(masks, min_size=1, max_size=3))
@few
def test_masks_come_in_to_the_pixel(tool: str, people: list[Person]) -> None:
    drawn = drawn_by(tool, people)
    np.testing.assert_array_equal(drawn.target == PERSON, union(people))
    assert drawn.people == sum(name.casefold() == "person" and where.any() for name, where in people)  # type: ignore[union-attr]


SQUARE = [(5.0, 5.0), (25.0, 5.0), (25.0, 25.0), (5.0, 25.0)]


@pytest.mark.parametrize("tool", POLYGONS)
def test_classes_are_chosen_by_name(tool: str) -> None:
    people: list[Person] = [("woman", SQUARE), ("void", [(0.0, 0.0), (30.0, 0.0), (30.0, 10.0), (0.0, 10.0)])]
    drawn = drawn_by(tool, people, Options(("man", "Woman"), ("void",)))
    assert set(np.unique(drawn.target)) == {0, 128, 255}
    assert np.count_nonzero(drawn.target == PERSON) == 400
    assert not (drawn_by(tool, people).target).any()


@pytest.mark.parametrize("tool", POLYGONS)
def test_an_export_comes_into_a_dataset_once(tool: str, tmp_path: Path) -> None:
    old = np.zeros(SIZE, np.uint8)
    old[3:9, 3:9] = PERSON
    parent = make_dataset(tmp_path / "one", {"pairs-photo": Photo(old), "pairs-other": Photo(old)})
    path = POLYGONS[tool](tmp_path / "export", "photo.jpg", SIZE, [("person", SQUARE)])
    imported = import_labels(parent, tmp_path / "two", Request(path))
    assert (imported.format, imported.status, imported.intake.refusals) == (tool, "written", [])
    two = open_dataset(tmp_path / "two")
    row = next(row for row in two.rows() if row["sample_id"] == "pairs-photo")
    np.testing.assert_array_equal(two.target(row) == PERSON, union([("person", SQUARE)]))
    assert import_labels(two, tmp_path / "three", Request(path)).status == "unchanged"
    archive = tmp_path / "export.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        for file in sorted(path.rglob("*")):
            if file.is_file():
                opened.write(file, file.relative_to(path))
    zipped = import_labels(parent, tmp_path / "zipped", Request(archive))
    assert (zipped.format, zipped.status) == (tool, "written")
    assert zipped.header is not None
    assert list(zipped.header.sources[-1].sha256) == ["export.zip"]


def test_an_author_and_the_tool_are_kept(tmp_path: Path) -> None:
    parent = make_dataset(tmp_path / "one", {"pairs-photo": Photo(np.full(SIZE, PERSON, np.uint8))})
    for tool in ("cvat", "labelstudio", "supervisely"):
        square = np.zeros(SIZE, bool)
        square[2:9, 2:9] = True
        path = MASKS[tool](tmp_path / tool, "photo.jpg", SIZE, [("person", square)])
        (edit,) = import_labels(parent, None, Request(path)).intake.edited.values()
        assert edit.edit is not None
        assert edit.edit["author"].startswith("anna")
        assert edit.edit["tool"].startswith(tool.replace("labelstudio", "label-studio"))


@pytest.mark.parametrize("tool", POLYGONS)
@given(st.data())
@settings(derandomize=True, max_examples=40, deadline=None)
def test_damage_is_one_line_and_changes_nothing(tool: str, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = POLYGONS[tool](Path(folder), "photo.jpg", SIZE, [("person", SQUARE), ("dog", SQUARE)])
        files = [file for file in sorted(path.rglob("*")) if file.suffix in FORMATS[tool].SUFFIXES]
        file = data.draw(st.sampled_from(files))
        content = bytearray(file.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, len(content) - 1))
            kind = data.draw(st.sampled_from(["flip", "cut", "repeat"]))
            if kind == "flip":
                content[at] = data.draw(st.integers(0, 255))
            elif kind == "cut":
                del content[at : at + data.draw(st.integers(1, 40))]
            else:
                content[at:at] = content[at : at + 20]
            if not content:
                break
        file.write_bytes(bytes(content))
        try:
            for label in read_labels(path, tool, Options()):
                if isinstance(label, HandLabel):
                    label.draw(SIZE)
                    label.image_sha256()
                else:
                    assert "\n" not in label.message
        except CurateError as error:
            assert "\n" not in str(error)  # noqa: PT017 (whichever way it fails)


def test_a_person_who_is_only_a_box_is_refused(tmp_path: Path) -> None:
    size = f'width="{SIZE[1]}" height="{SIZE[0]}"'
    box = '<box label="person" xtl="1" ytl="1" xbr="5" ybr="5"/>'
    xml = f'<annotations><image id="0" name="a.jpg" {size}>{box}</image></annotations>'
    told = outcome(exports.text(tmp_path / "a.xml", xml), "cvat")
    assert "image 0 (a.jpg), box 1: person is a box, which is no outline. Draw a polygon" in told
    told = outcome(exports.text(tmp_path / "labels" / "a.txt", "0 0.5 0.5 0.2 0.2\n"), "yolo", Options(("0",)))
    assert "line 1: 0 is a box; expected an outline" in told


def test_cvat_refuses_entities_and_videos(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE a [<!ENTITY b "bbbb">]><annotations>&b;</annotations>'
    assert "declares a document type" in outcome(exports.text(tmp_path / "bomb.xml", bomb), "cvat")
    video = '<annotations><track id="0" label="person"/></annotations>'
    assert "holds tracks of a video" in outcome(exports.text(tmp_path / "video.xml", video), "cvat")


def test_label_studio_tells_annotators_and_skipped_tasks_apart(tmp_path: Path) -> None:
    path = exports.labelstudio(tmp_path, "photo.jpg", SIZE, [("person", SQUARE)])
    (task,) = json.loads((path / "project.json").read_text())
    skipped = task["annotations"][0] | {"was_cancelled": True, "completed_by": 4}
    second = task["annotations"][0] | {"completed_by": 5}
    tasks = [task | {"annotations": [*task["annotations"], skipped, second]}, task | {"annotations": []}]
    (path / "project.json").write_text(json.dumps(tasks))
    found = list(read_labels(path, "labelstudio", Options()))
    authors = [label.author for label in found if isinstance(label, HandLabel)]
    assert authors == ["anna@x.org", "5"]
    refused = [label.message for label in found if isinstance(label, Refusal)]
    assert "was skipped by 4" in refused[0]
    assert "has no annotation" in refused[1]


def test_label_studio_names_images_by_its_data(tmp_path: Path) -> None:
    from label.formats.labelstudio import names_of

    assert names_of({"image": "/data/upload/3/0a1b2c3d-photo.jpg"}) == (
        "data/upload/3/0a1b2c3d-photo.jpg",
        "data/upload/3/photo.jpg",
    )
    assert names_of({"image": "/data/local-files/?d=set/a%20b.png", "text": "no image"}) == ("set/a b.png",)


@pytest.mark.parametrize(
    ("image", "name"),
    [
        pytest.param("/data/upload/1/20240115-photo.jpg", "photo.jpg", id="an-upload-always-has-a-prefix"),
        pytest.param("/data/local-files/?d=set/20240115-photo.jpg", "20240115-photo.jpg", id="a-date"),
        pytest.param("s3://bucket/0a1b2c3d-photo.jpg", "0a1b2c3d-photo.jpg", id="no-upload"),
        pytest.param("/data/upload/1/x-0a1b2c3d-photo.jpg", "x-0a1b2c3d-photo.jpg", id="no-prefix"),
    ],
)
def test_label_studio_takes_nothing_from_a_name_but_the_prefix_of_an_upload(image: str, name: str) -> None:
    from label.formats.labelstudio import names_of

    assert names_of({"image": image})[-1].rpartition("/")[2] == name


def test_a_turned_image_is_refused(tmp_path: Path) -> None:
    path = exports.labelstudio(tmp_path, "photo.jpg", SIZE, [("person", SQUARE)])
    (task,) = json.loads((path / "project.json").read_text())
    task["annotations"][0]["result"][0]["image_rotation"] = 90
    (path / "project.json").write_text(json.dumps([task]))
    assert "turned by 90 degrees" in outcome(path, "labelstudio")


def test_via_takes_polylines_as_outlines_and_nameless_regions_as_the_person(tmp_path: Path) -> None:
    path = exports.via(tmp_path, "photo.jpg", SIZE, [("", SQUARE)])
    content = (path / "via.json").read_text().replace('"polygon"', '"polyline"')
    (path / "via.json").write_text(content)
    (label,) = read_labels(path, "via", Options())
    assert isinstance(label, HandLabel)
    assert np.count_nonzero(label.draw(SIZE).target == PERSON) == 400


def test_holes_of_supervisely_stay(tmp_path: Path) -> None:
    path = exports.supervisely(tmp_path, "photo.jpg", SIZE, [("person", SQUARE)])
    file = path / "ds0" / "ann" / "photo.jpg.json"
    content = json.loads(file.read_text())
    content["objects"][0]["points"]["interior"] = [[[10, 10], [20, 10], [20, 20], [10, 20]]]
    file.write_text(json.dumps(content))
    (label,) = read_labels(path, "supervisely", Options())
    assert isinstance(label, HandLabel)
    assert np.count_nonzero(label.draw(SIZE).target == PERSON) == 300


def test_coco_crowds_are_not_counted_and_results_are_named_by_number(tmp_path: Path) -> None:
    path = exports.coco(tmp_path / "instances", "photo.jpg", SIZE, [("person", SQUARE)])
    content = json.loads((path / "labels.json").read_text())
    content["annotations"][0]["iscrowd"] = 1
    (path / "labels.json").write_text(json.dumps(content))
    (label,) = read_labels(path, "coco", Options())
    assert isinstance(label, HandLabel)
    assert set(np.unique(label.draw(SIZE).target)) == {0, 128}
    rle = coco_mask.encode(np.asfortranarray(union([("person", SQUARE)]).astype(np.uint8)))
    result = {"image_id": 42, "category_id": 1, "score": 0.9}
    result |= {"segmentation": {"size": list(SIZE), "counts": rle["counts"].decode()}}
    results = exports.text(tmp_path / "results.json", json.dumps([result, result | {"category_id": 3}]))
    assert detect_format(results) == "coco"
    (label,) = read_labels(results, "coco", Options())
    assert isinstance(label, HandLabel)
    assert label.names == ("42", "000000000042")
    assert np.count_nonzero(label.draw(SIZE).target == PERSON) == 400


def test_yolo_without_names_needs_a_number(tmp_path: Path) -> None:
    exports.text(tmp_path / "labels" / "a.txt", "2 0.1 0.1 0.9 0.1 0.9 0.9\n")
    with pytest.raises(UsageError, match="Say the class: --person 0"):
        read_labels(tmp_path, "yolo", Options())
    (label,) = read_labels(tmp_path, "yolo", Options(("2",)))
    assert isinstance(label, HandLabel)
    assert (label.draw(SIZE).target == PERSON).any()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("0 0.1 0.1 0.9 abc 0.9 0.9", "a.txt at line 1: holds 'abc', expected a number. Export it again"),
        ("0 4 4 320 4 320 200", "a.txt at line 1: a coordinate lies 319 beyond 0 to 1"),
    ],
)
def test_coordinates_of_yolo_that_are_none_are_refused(line: str, told: str, tmp_path: Path) -> None:
    assert told in outcome(exports.text(tmp_path / "labels" / "a.txt", line), "yolo", Options(("0",)))


def test_coordinates_of_yolo_beside_the_image_are_noted(tmp_path: Path) -> None:
    lines = "0 0.1 0.1 0.9 0.1 0.9 1.000001\n0 -0.2 0.1 0.9 0.1 0.9 0.9\n1 -0.2 0.1 0.9 0.1 0.9 0.9\n"
    (label,) = read_labels(exports.text(tmp_path / "labels" / "a.txt", lines), "yolo", Options(("0",)))
    assert isinstance(label, HandLabel)
    assert label.draw(SIZE).notes == ("line 2: coordinates outside 0 to 1, cut at the image's edge",)


def test_images_of_a_project_of_cvat_are_told_apart_by_their_subsets(tmp_path: Path) -> None:
    images = "".join(f'<image id="0" name="a.jpg" subset="{one}" width="4" height="4"/>' for one in ("Train", "Test"))
    labels = read_labels(exports.text(tmp_path / "a.xml", f"<annotations>{images}</annotations>"), "cvat", Options())
    found = [label.place for label in labels if isinstance(label, HandLabel)]
    assert found == ["image 0 (Train/a.jpg)", "image 0 (Test/a.jpg)"]


def test_a_name_is_no_value_of_matlab(tmp_path: Path) -> None:
    write_png(tmp_path / "Label_1.png", np.zeros((4, 4), np.uint8))
    with pytest.raises(UsageError, match=r"--person person: .* no names\. Say --person 1$"):
        read_labels(tmp_path, "matlab", Options(("person",)))


@pytest.mark.parametrize(
    ("tool", "option", "message"),
    [
        ("labelme", "image_list", "--image-list: is for matlab alone, and these labels are labelme. Leave it out"),
        ("coco", "colours", "--colours: is for png and voc alone, and these labels are coco. Leave it out"),
    ],
)
def test_an_option_of_other_formats_is_refused(tool: str, option: str, message: str, tmp_path: Path) -> None:
    path = POLYGONS[tool](tmp_path, "photo.jpg", SIZE, [("person", SQUARE)])
    with pytest.raises(UsageError, match=message):
        read_labels(path, tool, Options(**{option: tmp_path / "list.txt"}))


def test_a_damaged_line_of_yolo_is_told_and_lists_are_no_labels(tmp_path: Path) -> None:
    exports.text(tmp_path / "labels" / "a.txt", "0 0.1 0.1 0.9 0.1 0.9 0.9\n")
    exports.text(tmp_path / "labels" / "b.txt", "0 0.1 0.1 0.9 x 0.9 0.9\n")
    exports.text(tmp_path / "labels" / "c.txt", "")
    exports.text(tmp_path / "train.txt", "images/a.jpg\n")
    found = {label.file.stem: label for label in read_labels(tmp_path, "yolo", Options(("0",)))}
    assert sorted(found) == ["a", "b", "c"]
    damaged, nobody = found["b"], found["c"]
    assert isinstance(damaged, HandLabel)
    assert isinstance(nobody, HandLabel)
    with pytest.raises(FormatError, match=r"b\.txt at line 1: holds 'x', expected a number"):
        damaged.draw(SIZE)
    assert not nobody.draw(SIZE).target.any()


def test_the_real_exports_come_in_or_say_why(real_data: Path) -> None:
    expected: dict[str, tuple[str, Options, int]] = {
        "labelme": ("labelme", Options(), 3),
        "labelme-as-voc": ("voc", Options(), 3),
        "cvat/for_images/export_task": ("cvat", Options(("label1",)), 2),
        "cvat/for_images/export_project": ("cvat", Options(("label1",)), 6),
        "matlab-image-labeler": ("matlab", Options(("2",)), 20),
        "via": ("via", Options(), 5),
        "labelstudio": ("labelstudio", Options(), 2),
    }
    for name, (tool, options, count) in expected.items():
        path = real_data / "labels" / name
        assert detect_format(path) == tool
        assert len(list(read_labels(path, tool, options))) == count


def test_a_real_brush_and_its_polygons_agree(real_data: Path) -> None:
    labels: dict[str, Any] = {
        label.names[0]: label
        for label in read_labels(real_data / "labels" / "labelstudio", "labelstudio", Options())
        if isinstance(label, HandLabel)
    }
    brush, outline = (labels[name].draw((576, 768)) for name in ("brush", "polygon"))
    assert (brush.people, outline.people) == (3, 3)
    one, other = brush.target == PERSON, outline.target == PERSON
    assert np.count_nonzero(one & other) / np.count_nonzero(one | other) > 0.9
