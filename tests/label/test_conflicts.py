"""Labels that meet a mask that is there, each other, or an image of the pool."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image

from curate import schema
from curate.dataset import open_dataset, read_table
from label.importing import Request, import_labels
from tests.drawing import target
from tests.label.making import NEW, OLD, Photo, box, make_dataset, picture, write_labelme, write_png


def test_an_unchanged_label_answers_a_reviewer_who_asked_for_one(curate: Any, tmp_path: Path) -> None:
    write_png(tmp_path / "masks" / "3.png", OLD)
    result = curate("label", "import", "one", "masks", "--out", "two")
    assert (result.code, result.out.splitlines()[0]) == (0, "imported   1")
    assert result.err == ("note: masks/3.png: equals the mask of pairs-3; the reviewer's tag relabel is taken off\n")
    two = open_dataset(tmp_path / "two")
    old, new = open_dataset(tmp_path / "one").rows()[2], two.rows()[2]
    assert {key: new[key] for key in new if new[key] != old[key]} == {"tags": [], "weight": 1.0}
    assert read_table(two.root / "edits.parquet", schema.EDITS)["iou_old_new"].to_list() == [1.0]
    assert curate("label", "import", "two", "masks", "--out", "three").out.splitlines()[1] == "unchanged  1"


def test_two_labels_of_one_sample(curate: Any, tmp_path: Path) -> None:
    for name, values in (("a/1", NEW), ("b/1", OLD), ("c/1", NEW), ("a/2", NEW), ("b/2", NEW)):
        write_png(tmp_path / "masks" / f"{name}.png", values)
    result = curate("label", "import", "one", "masks", "--out", "two")
    assert (result.code, result.out.splitlines()[:3]) == (0, ["imported   1", "unchanged  0", "left out   3"])
    assert result.err.splitlines() == [
        "left out: masks/a/1.png: labels pairs-1, and masks/b/1.png labels it otherwise. Keep one of the two",
        "left out: masks/b/1.png: labels pairs-1, and masks/a/1.png labels it otherwise. Keep one of the two",
        "left out: masks/c/1.png: is one more label of pairs-1. Keep one",
        "note: masks/b/2.png: says the same of pairs-2 as masks/a/2.png",
    ]


def test_what_is_resized_or_lost_is_told(curate: Any, tmp_path: Path) -> None:
    make_dataset(tmp_path / "crowded", {"pairs-1": Photo(target("#..o\n...."))})
    write_png(tmp_path / "masks" / "1.png", np.kron(target("##..\n...."), np.ones((2, 2), np.uint8)))
    result = curate("label", "import", "crowded", "masks", "--out", "two")
    assert result.code == 0
    assert result.err.splitlines() == [
        "note: masks/1.png: resized from 4x8 to its image's 2x4 (HxW, nearest)",
        "note: masks/1.png: regions that were not counted (128) are now, because the label has none",
    ]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("replace", ".##."), ("union", "###."), ("intersect", ".#..")],
)
def test_on_conflict(curate: Any, policy: str, expected: str, tmp_path: Path) -> None:
    write_png(tmp_path / "masks" / "3.png", NEW)
    assert curate("label", "import", "one", "masks", "--out", "two", "--on-conflict", policy).code == 0
    two = open_dataset(tmp_path / "two")
    np.testing.assert_array_equal(two.target(two.rows()[2])[:1], target(expected))
    assert two.rows()[2]["people"] == 3


def test_who_is_asked_is_shown_the_files_and_each_choice_once(
    curate: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_png(tmp_path / "masks" / "3.png", NEW)
    terminal = io.StringIO("union\n")
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    result = curate("label", "import", "one", "masks", "--dry-run", "--on-conflict", "ask")
    told = result.err.splitlines()
    assert result.code == 0
    assert told[:3] == [
        "masks/3.png: pairs-3 has a mask already; IoU of the two 0.333",
        "  image      one/images/pairs-3.png",
        "  mask there one/masks/pairs-3.png",
    ]
    assert re.fullmatch(r"  mask drawn .*/asked\.png", told[3])
    assert told[4].startswith("What shall stand (replace, union, intersect, keep): ")


def test_a_label_that_joins_the_old_one_does_not_say_how_many_people(curate: Any, tmp_path: Path) -> None:
    write_labelme(tmp_path / "3.json", [box("person", 1, 0, 3, 2)], (4, 4), None)
    assert curate("label", "import", "one", "3.json", "--out", "two", "--on-conflict", "union").code == 0
    assert open_dataset(tmp_path / "two").rows()[2]["people"] == 3


def test_an_intersection_without_a_pixel_is_left_out(curate: Any, tmp_path: Path) -> None:
    write_png(tmp_path / "masks" / "1.png", target("....\n....\n....\n...#"))
    result = curate("label", "import", "one", "masks", "--out", "two", "--on-conflict", "intersect")
    assert result.code == 1
    assert "masks/1.png: has no pixel in common with the mask that is there" in result.err


def test_a_label_for_background_is_left_out(tmp_path: Path) -> None:
    empty = np.zeros((4, 4), np.uint8)
    parent = make_dataset(tmp_path / "one", {"web-1": Photo(empty, source="web", changes={"split": "background"})})
    write_png(tmp_path / "1.png", NEW)
    imported = import_labels(parent, tmp_path / "two", Request(tmp_path / "1.png"))
    assert imported.status == "nothing"
    assert "web-1 is kept as background, without a person" in imported.intake.refusals[0].message
    write_png(tmp_path / "1.png", empty)
    assert import_labels(parent, tmp_path / "two", Request(tmp_path / "1.png")).status == "unchanged"


def test_a_label_for_the_pool_gives_it_a_split(tmp_path: Path) -> None:
    nobody = np.full((4, 4), 128, np.uint8)
    pool = Photo(nobody, source="pool", changes={"split": "pool", "group": "g", "people": 0})
    parent = make_dataset(tmp_path / "one", {"pool-1": pool, "pool-2": replace(pool, target=nobody.copy())})
    header = msgspec.structs.replace(parent.header, recipe={"seed": None})
    parent = replace(parent, header=header)
    write_png(tmp_path / "1.png", NEW)
    imported = import_labels(parent, tmp_path / "two", Request(tmp_path / "1.png", on_conflict="union"))
    assert (imported.status, imported.intake.median_iou) == ("written", None)
    first, second = open_dataset(tmp_path / "two").rows()
    assert first["split"] in ("train", "val", "test")
    assert (first["people"], first["origin"], second["split"]) == (1, "hand", "pool")
    assert read_table(tmp_path / "two" / "edits.parquet", schema.EDITS)["iou_old_new"].to_list() == [None]


def test_a_damaged_old_mask_is_named(curate: Any, tmp_path: Path) -> None:
    (tmp_path / "one" / "masks" / "pairs-1.png").write_bytes(b"")
    write_png(tmp_path / "masks" / "1.png", NEW)
    write_png(tmp_path / "masks" / "2.png", NEW)
    result = curate("label", "import", "one", "masks", "--out", "two")
    assert (result.code, result.out.splitlines()[0]) == (0, "imported   1")
    assert (
        "left out: masks/1.png: the mask of its sample pairs-1 cannot be read: one/masks/pairs-1.png: is " in result.err
    )


def test_a_label_drawn_on_the_turned_image_is_told_apart(tmp_path: Path) -> None:
    photo = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture("turned", (20, 40))).save(photo, exif=exif)
    parent = make_dataset(tmp_path / "one", {"pairs-turned": Photo(np.full((20, 40), 255, np.uint8), photo)})
    write_labelme(tmp_path / "turned.json", [box("person", 0, 0, 9, 9)], (40, 20), "turned.jpg")
    imported = import_labels(parent, tmp_path / "two", Request(tmp_path / "turned.json"))
    assert (
        "it fits turned by a quarter, as EXIF orientation 6 of the image shows it"
        in imported.intake.refusals[0].message
    )
    Image.fromarray(picture("plain", (20, 40))).save(tmp_path / "plain.png")
    plain = Photo(np.full((20, 40), 255, np.uint8), tmp_path / "plain.png")
    parent = make_dataset(tmp_path / "plain", {"pairs-turned": plain})
    imported = import_labels(parent, None, Request(tmp_path / "turned.json"))
    assert "ratio: it fits turned by a quarter; turn it back" in imported.intake.refusals[0].message
