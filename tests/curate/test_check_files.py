"""`curate check` of files: gone, changed, led out of the dataset, of other values than their rows say."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from curate import schema
from curate.checks.version import check_dataset
from curate.dataset import open_dataset, read_columns
from tests.curate.checking import (
    kinds,
    only,
    put_mask,
    replace_file,
    row,
    with_hash,
)
from tests.curate.scenes import SIZE_HW


@pytest.mark.parametrize("column", ["image", "mask"])
def test_a_file_that_is_gone_or_changed_is_found(copy: Path, column: str) -> None:
    path = copy / row(copy)[column]
    data = path.read_bytes()
    replace_file(path, data + b"\0")
    assert kinds(copy) == {f"{column} hash": 1}
    replace_file(path, data[:40])
    assert kinds(copy) == {f"{column} hash": 1, f"{column} unreadable": 1}
    with_hash(copy, column)
    assert kinds(copy) == {f"{column} unreadable": 1}
    path.unlink()
    assert kinds(copy) == {f"{column} missing": 1}
    path.mkdir()
    assert kinds(copy) == {f"{column} no file": 1}
    path.rmdir()
    os.mkfifo(path)
    assert kinds(copy) == {f"{column} no file": 1}


@pytest.mark.parametrize("column", ["image", "mask"])
def test_a_link_that_leads_out_is_found_and_never_followed(copy: Path, tmp_path: Path, column: str) -> None:
    path, outside = copy / row(copy)[column], tmp_path / "outside"
    os.mkfifo(outside)  # whoever opens it waits for ever
    path.unlink()
    path.symlink_to(outside)
    finding = only(copy)
    assert (finding.kind, finding.found) == (f"{column} outside", f"leads out of the dataset, to {outside}")


def test_a_folder_that_leads_out_is_found_and_never_followed(copy: Path, tmp_path: Path) -> None:
    (copy / "masks").rename(tmp_path / "elsewhere")
    (copy / "masks").symlink_to(tmp_path / "elsewhere")
    assert kinds(copy) == {"mask outside": read_columns(copy / "samples.parquet", schema.SAMPLES).height}


def test_a_link_inside_the_dataset_is_followed(copy: Path) -> None:
    one, other = (
        copy / path for path in open_dataset(copy).samples.filter(pl.col("image_sha256").is_duplicated())["image"]
    )
    other.unlink()
    other.symlink_to(one.name)
    assert kinds(copy) == {}


def test_a_mask_of_other_values_size_or_mode_is_found(copy: Path) -> None:
    grey = np.zeros(SIZE_HW, np.uint8)
    grey[0, 0] = 7
    put_mask(copy, grey)
    assert only(copy).found.startswith("holds the value 7")
    put_mask(copy, np.zeros((4, 6), np.uint8))
    assert (only(copy).found, only(copy).expected) == ("is 4x6", "40x60 (HxW) from the annotation")
    path = copy / row(copy)["mask"]
    Image.fromarray(np.zeros((*SIZE_HW, 3), np.uint8)).save(path)
    with_hash(copy, "mask")
    assert "has mode RGB" in only(copy).found


@pytest.mark.parametrize(("split", "value"), [("pool", 0), ("pool", 255), ("background", 128), ("background", 255)])
def test_a_mask_without_a_label_holds_one_value(copy: Path, split: str, value: int) -> None:
    grey = np.full(SIZE_HW, 128 if split == "pool" else 0, np.uint8)
    grey[3:5, 3:5] = value
    put_mask(copy, grey, split)
    assert "mask value" in kinds(copy)


def test_a_speck_is_found_by_area_edges_and_parts(copy: Path) -> None:
    grey = np.zeros(SIZE_HW, np.uint8)
    grey[3:20, 3:20] = grey[3:20, 40:50] = 255
    put_mask(copy, grey)
    assert kinds(copy) == {"mask area": 1, "mask edges": 1, "rule parts": 1}


def test_what_no_row_tells_of_is_found(copy: Path) -> None:
    (copy / "images" / "stray.jpg").write_bytes(b"")
    (copy / "masks" / ".hidden").write_bytes(b"")
    (copy / "masks" / "folder").mkdir()
    assert kinds(copy) == {"orphan": 3}


def test_strangers_and_leftovers_are_remarks(copy: Path) -> None:
    (copy / "notes.txt").write_text("mine")
    (copy.parent / ".people.partial").mkdir()
    (copy.parent / ".people.old").mkdir()
    report = check_dataset(copy)
    assert report.findings == []
    assert [remark.removeprefix(f"{copy.parent}/").partition(":")[0] for remark in report.remarks] == [
        "people/notes.txt",
        ".people.partial",
        ".people.old",
    ]
