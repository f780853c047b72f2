"""Damaged exports of every tool: one line for each label that does not come in, and nothing else happens."""

from __future__ import annotations

import base64
import json
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curate.dataset import Dataset
from curate.errors import FormatError
from curate.masks import PERSON, SizeHW, area_px
from label.formats import detect_format, read_labels
from label.formats.record import HandLabel, Options, Refusal
from label.formats.yolo import class_names
from label.importing import Request, import_labels
from label.regions import rle_of_ellipse
from tests.conftest import REPOSITORY
from tests.label import exports
from tests.label.making import Photo, make_dataset, outcome, write_png
from tests.label.rich import RICH

SIZE: SizeHW = (30, 40)
SQUARE = [(5.0, 5.0), (25.0, 5.0), (25.0, 25.0), (5.0, 25.0)]


@pytest.fixture
def parent(tmp_path: Path) -> Dataset:
    """A dataset of one photograph."""
    old = np.zeros(SIZE, np.uint8)
    old[3:9, 3:9] = PERSON
    return make_dataset(tmp_path / "one", {"pairs-photo": Photo(old)})


def refused(parent: Dataset, path: Path, tool: str = "auto") -> str:
    """Why the only label was left out."""
    (refusal,) = import_labels(parent, None, Request(path, tool)).intake.refusals
    return refusal.message


def test_a_name_with_a_line_break_stays_in_its_line(parent: Dataset, tmp_path: Path) -> None:
    path = exports.labelme(tmp_path / "in", "pho\nto.jpg", SIZE, [("person", SQUARE), ("person", SQUARE[:2])])
    assert "\n" not in refused(parent, path)
    (path / "label.json").rename(path / "photo\n.json")
    assert "photo?.json" in refused(parent, path)
    shapes = [("person", SQUARE), ("per\nson", SQUARE[:2])]
    path = exports.labelme(tmp_path / "two", "photo.jpg", SIZE, shapes)
    (label,) = read_labels(path, "labelme", Options(("person", "per\nson")))
    assert isinstance(label, HandLabel)
    assert "(per?son)" in label.draw(SIZE).notes[0]


def test_a_file_name_that_is_no_text_can_be_told(curate: Any) -> None:
    exports.text(Path("in", "\udcff.json"), json.dumps({"shapes": []}))
    result = curate("label", "import", "one", "in", "--dry-run", "--json")
    assert (result.code, result.err.count("\n")) == (1, 2)
    assert json.loads(result.out)["left_out"][0]["file"] == "in/?.json"


def test_an_export_without_any_label_says_so(curate: Any) -> None:
    exports.text(Path("in.xml"), "<annotations></annotations>")
    result = curate("label", "import", "one", "in.xml", "--dry-run")
    assert (result.code, result.err) == (1, "error: in.xml: holds no label at all; nothing was written\n")


def test_pipes_are_not_waited_for(parent: Dataset, tmp_path: Path) -> None:
    path = exports.cvat(tmp_path / "in", "photo.jpg", SIZE, [("person", SQUARE)])
    os.mkfifo(path / "a.xml")
    assert detect_format(path) == "cvat"
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FormatError, match="pipe: is neither a file nor a folder"):
        import_labels(parent, None, Request(tmp_path / "pipe"))


@pytest.mark.parametrize(
    "text",
    [
        "names: !!timestamp x",
        "names: [[person]]",
        "a: &a [x, x]\nb: &b [*a, *a]\nnames: [*b, person]",
        "names: {first: person}",
    ],
)
def test_names_of_yolo_that_are_no_names_are_refused(text: str, tmp_path: Path) -> None:
    exports.text(tmp_path / "data.yaml", text)
    exports.text(tmp_path / "labels" / "a.txt", "0 0.1 0.1 0.9 0.1 0.9 0.9\n")
    with pytest.raises(FormatError, match=r"data\.yaml"):
        read_labels(tmp_path, "yolo", Options())


def test_names_of_yolo_are_texts_whatever_yaml_would_make_of_them(tmp_path: Path) -> None:
    exports.text(tmp_path / "data.yaml", "names: {0: !!bool x, 1: no, 2: 2026-01-01, 3: !!int '', 4: person}")
    assert class_names(tmp_path) == {0: "x", 1: "no", 2: "2026-01-01", 3: "", 4: "person"}


def test_a_small_yaml_that_unfolds_to_gigabytes_is_not_unfolded(tmp_path: Path) -> None:
    letters = "bcdefghijk"
    grown = "".join(f"{one}: &{one} {{<<: [{','.join([f'*{chr(ord(one) - 1)}'] * 9)}]}}\n" for one in letters)
    listed = f"a: &a {{x: y}}\n{grown}names: [person]\n"
    exports.text(tmp_path / "data.yaml", listed)
    exports.text(tmp_path / "labels" / "a.txt", "0 0.1 0.1 0.9 0.1 0.9 0.9\n")
    assert len(list(read_labels(tmp_path, "yolo", Options()))) == 1


def test_a_label_far_larger_than_its_photograph_is_refused_unread(parent: Dataset, tmp_path: Path) -> None:
    """The aspect ratio alone would let 192 million pixels be drawn for 1,200."""
    path = exports.labelme(tmp_path / "in", "photo.jpg", (12000, 16000), [("person", SQUARE)])
    assert "was drawn on 12000x16000 (HxW), 160000 times the pixels of pairs-photo" in refused(parent, path)


def test_a_bitmap_larger_than_its_image_is_refused_unread(tmp_path: Path) -> None:
    square = np.ones((4, 4), bool)
    path = exports.supervisely(tmp_path, "photo.jpg", SIZE, [("person", square)])
    file = path / "ds0" / "ann" / "photo.jpg.json"
    data = bytearray(exports.png(square))
    data[16:24] = struct.pack(">II", 10_000, 10_000)  # 100 million pixels, if one believes it
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    content = json.loads(file.read_text())
    content["objects"][0]["bitmap"]["data"] = base64.b64encode(zlib.compress(bytes(data))).decode()
    file.write_text(json.dumps(content))
    assert "the bitmap of 10000x10000 (HxW) at (0, 0) leaves the image of 30x40" in outcome(path, "supervisely")


def test_an_ellipse_turned_by_more_than_a_number_holds_is_drawn(tmp_path: Path) -> None:
    outline = {"name": "ellipse", "cx": 20, "cy": 12, "rx": 9, "ry": 5, "theta": 1e308}
    regions = [{"shape_attributes": outline, "region_attributes": {}}]
    path = exports.text(
        tmp_path / "via.json", json.dumps({"photo.jpg1": {"filename": "photo.jpg", "regions": regions}})
    )
    assert outcome(path, "via") == ""


@pytest.mark.filterwarnings("error")
def test_an_ellipse_thinner_than_a_number_holds_covers_nothing() -> None:
    assert area_px(rle_of_ellipse((20.25, 12.25), (1e-320, 5), 0, SIZE)) == 0


def test_folders_of_voc_side_by_side_are_each_read_by_their_own_classes(parent: Dataset, tmp_path: Path) -> None:
    values = np.zeros(SIZE, np.uint8)
    values[5:20, 5:20] = 1
    for folder, names in (("a", "background\nperson\n"), ("b", "background\ndog\nperson\n")):
        write_png(tmp_path / "in" / folder / "SegmentationClass" / "photo.png", values, palette=True)
        exports.text(tmp_path / "in" / folder / "class_names.txt", names)
    one, other = read_labels(tmp_path / "in", "voc", Options())
    assert isinstance(one, HandLabel)
    assert isinstance(other, HandLabel)
    assert [int((label.draw(SIZE).target == PERSON).sum()) for label in (one, other)] == [225, 0]
    assert (one.names, other.names) == (("photo",), ("photo",))


@pytest.mark.parametrize(("tool", "key"), [("supervisely", b'"interior"'), ("labelme", b'"group_id"')])
def test_a_file_that_is_no_utf8_is_refused(tool: str, key: bytes, tmp_path: Path) -> None:
    """A damaged key would be passed over as one that is not known, and a hole be filled."""
    path = exports.POLYGONS[tool](tmp_path, "photo.jpg", SIZE, [("person", SQUARE)])
    (file,) = (file for file in path.rglob("*.json") if file.name != "meta.json")
    file.write_bytes(file.read_bytes().replace(key, key[:3] + b"\xd8" + key[4:]))
    (refusal,) = read_labels(path, tool, Options())
    assert isinstance(refusal, Refusal)
    assert "is no UTF-8" in refusal.message


@pytest.mark.parametrize(
    "entries", [{"a.json": b"{}", "a.json/b.json": b"{}"}, {f"{'x' * 300}.json": b"{}"}, {"a/b/c": b"", "a/b": b""}]
)
def test_a_zip_that_cannot_be_a_folder_is_refused(entries: dict[str, bytes], parent: Dataset, tmp_path: Path) -> None:
    archive = tmp_path / "export.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        for name, content in entries.items():
            opened.writestr(name, content)
    with pytest.raises(FormatError, match=r"export\.zip at '.*nothing was read"):
        import_labels(parent, None, Request(archive))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_damaged_anywhere_is_a_damaged_zip(method: int, parent: Dataset, tmp_path: Path) -> None:
    archive = tmp_path / "export.zip"
    with zipfile.ZipFile(archive, "w", method) as opened:
        opened.writestr("photo.json", b'{"shapes": []}' * 9)
    whole = archive.read_bytes()
    for at in range(0, len(whole), 3):
        archive.write_bytes(whole[:at] + bytes([whole[at] ^ 0x5A]) + whole[at + 1 :])
        with suppress(FormatError):  # nothing else is raised
            assert import_labels(parent, None, Request(archive, "labelme")).status == "nothing"


def test_a_time_that_is_none_counts_as_not_known(tmp_path: Path) -> None:
    small = {"image": "photo.jpg", "annotator": 1, "annotation_id": 2, "updated_at": [], "tag": []}
    (label,) = read_labels(exports.text(tmp_path / "a.json", json.dumps([small])), "labelstudio", Options())
    assert isinstance(label, HandLabel)
    assert label.time is None


def test_coco_that_is_no_utf8_is_refused(tmp_path: Path) -> None:
    path = exports.coco(tmp_path, "photo.jpg", SIZE, [("person", SQUARE)]) / "labels.json"
    path.write_bytes(path.read_bytes().replace(b'"iscrowd"', b'"isc\xd8owd"'))
    assert "is no UTF-8" in outcome(path, "coco")


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("tool", RICH)
def test_a_thousand_damaged_exports(tool: str, tmp_path: Path) -> None:
    """In a process of its own, so that memory is measured, and one that is killed costs no other test."""
    words = [sys.executable, "-m", "tests.label.enduring", tool, "0", "1000", str(tmp_path / "work")]
    ran = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, f"seed {ran.stdout.split()[-1:]}: {ran.stderr[-2000:]}"
