"""Masks whose values are numbers or colours: MATLAB, VOC, and colours by a table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from curate.errors import FormatError, UsageError
from curate.masks import PERSON, SizeHW
from label.formats import detect_format, read_labels
from label.formats.record import HandLabel, Options
from label.importing import Request, import_labels
from tests.label import exports
from tests.label.making import Photo, make_dataset, outcome, write_png

SIZE: SizeHW = (30, 40)


def test_matlab_labels_go_by_number_never_by_order(tmp_path: Path) -> None:
    values = np.zeros(SIZE, np.uint8)
    values[4:20, 4:20] = 3
    old = np.zeros(SIZE, np.uint8)
    old[3:9, 3:9] = PERSON
    photos = {f"pairs-{name}": Photo(old) for name in ("007", "img_012", "a7b", "9")}
    parent = make_dataset(tmp_path / "one", photos)
    folder = tmp_path / "export" / "PixelLabelData"
    for number in (7, 12, 10):
        write_png(folder / f"Label_{number}.png", values)
    with pytest.raises(UsageError, match="--person 1"):
        import_labels(parent, None, Request(tmp_path / "export"))
    intake = import_labels(parent, None, Request(tmp_path / "export", options=Options(("3",)))).intake
    assert set(intake.edited) == {"pairs-007", "pairs-img_012"}
    assert (
        "no sample's name ends in the number 10. Say which image each label is of: --image-list FILE"
        in intake.refusals[0].message
    )
    listed = exports.text(tmp_path / "images.txt", "\n".join(["x"] * 6 + ["9.jpg"]))
    options = Options(("3",), image_list=listed)
    intake = import_labels(parent, None, Request(tmp_path / "export", options=options)).intake
    assert set(intake.edited) == {"pairs-9"}
    assert len(intake.refusals) == 2


def test_a_ground_truth_object_says_how_to_export_it(tmp_path: Path) -> None:
    file = tmp_path / "gTruth.mat"
    file.write_bytes(b"MATLAB 5.0 MAT-file" + b" " * 105 + b"\x00\x01IM" + b"\x00" * 40 + b"MCOS groundTruth")
    assert "--image-list images.txt" in outcome(file, "matlab", Options(("1",)))


def test_colours_are_classes_by_a_table(tmp_path: Path) -> None:
    colours = np.zeros((*SIZE, 3), np.uint8)
    colours[5:15, 5:15] = (255, 0, 0)
    colours[20:, :] = (0, 0, 255)
    write_png(tmp_path / "masks" / "photo.png", colours)
    table = exports.text(
        tmp_path / "c.json", json.dumps({"background": [0, 0, 0], "person": [255, 0, 0], "sky": [0, 0, 255]})
    )
    (label,) = read_labels(tmp_path / "masks", "png", Options(None, ("sky",), table))
    assert isinstance(label, HandLabel)
    drawn = label.draw(SIZE)
    assert np.count_nonzero(drawn.target == PERSON) == 100
    assert np.count_nonzero(drawn.target == 128) == 400
    short = exports.text(
        tmp_path / "labelmap.txt", "# label:color_rgb:parts:actions\nbackground:0,0,0::\nperson:255,0,0::\n"
    )
    (label,) = read_labels(tmp_path / "masks", "png", Options(colours=short))
    assert isinstance(label, HandLabel)
    with pytest.raises(FormatError, match=r"400 pixels have colours that the table lacks, the first \(0, 0, 255\)"):
        label.draw(SIZE)


def test_voc_counts_people_by_their_objects(tmp_path: Path) -> None:
    values, objects = np.zeros(SIZE, np.uint8), np.zeros(SIZE, np.uint8)
    values[5:25, 5:15], values[5:25, 15:25], values[:2] = 15, 15, 255
    objects[5:25, 5:15], objects[5:25, 15:25] = 1, 2
    write_png(tmp_path / "SegmentationClass" / "photo.png", values, palette=True)
    write_png(tmp_path / "SegmentationObject" / "photo.png", objects, palette=True)
    assert detect_format(tmp_path) == "voc"
    (label,) = read_labels(tmp_path, "voc", Options())
    assert isinstance(label, HandLabel)
    drawn = label.draw(SIZE)
    assert (drawn.people, np.count_nonzero(drawn.target == PERSON), np.count_nonzero(drawn.target == 128)) == (
        2,
        400,
        80,
    )
