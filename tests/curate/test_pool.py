"""The pool: photographs without labels, links, and what damage costs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from curate.checks.version import verify
from curate.choosing.build import build_dataset
from curate.choosing.recipe import make_recipe
from curate.dataset import open_dataset
from curate.errors import MissingError
from curate.sources import Limits
from curate.sources.pool import read_pool
from tests.curate.scenes import SIZE_HW, coco_set, photo


def test_every_photo_is_a_candidate_without_a_label(tmp_path: Path) -> None:
    for name in ("1.jpg", "deep/2.png", "deep/er/3.JPEG", ".thumbnails/1.jpg", "deep/._2.png"):
        photo(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no photo")
    source = read_pool("pool", tmp_path)
    columns = source.candidates.select("sample_id", "folder", "width", "height", "people", "unreadable")
    assert columns.rows() == [
        ("pool-1", "", 60, 40, 0, None),
        ("pool-2", "deep", 60, 40, 0, None),
        ("pool-3", "deep/er", 60, 40, 0, None),
    ]
    label = source.labels.draw(1)
    assert (label.target.shape, label.origin) == (SIZE_HW, "none")
    assert (label.target == 128).all()
    measured = source.labels.measure(1, Limits())
    assert (measured.people, measured.area) == (0, 0.0)
    assert source.labels.measure_many([0, 1, 2], Limits(1, 1, (0.5, 1))) == [
        source.labels.measure(row, Limits()) for row in range(3)
    ]
    assert source.labels.image(1) == tmp_path / "deep" / "2.png"


def test_gif_and_jfif_are_photographs_and_what_moves_is_not(tmp_path: Path) -> None:
    with Image.open(photo(tmp_path / "1.jpg")) as still:
        still.save(tmp_path / "2.jfif", "JPEG", quality=60)
        still.save(tmp_path / "3.gif")
        still.save(tmp_path / "4.gif", save_all=True, append_images=[still.transpose(Image.Transpose.ROTATE_180)])
    assert read_pool("pool", tmp_path).candidates["sample_id"].to_list() == ["pool-1", "pool-2", "pool-3", "pool-4"]
    build_dataset(make_recipe({"pool": [str(tmp_path)]}), tmp_path / "out")
    dataset = open_dataset(tmp_path / "out")
    assert dataset.samples["image"].to_list() == ["images/pool-1.jpg", "images/pool-2.jfif", "images/pool-3.gif"]
    assert "is animated" in dataset.drops["detail"].item()


def test_a_dataset_in_the_folder_is_not_taken_for_photographs(tmp_path: Path) -> None:
    photo(tmp_path / "1.jpg")
    photo(tmp_path / "nnunet" / "2.jpg")
    (tmp_path / "nnunet" / "dataset.json").write_text("{}")  # another tool's
    build_dataset(make_recipe({"coco": [str(coco_set(tmp_path / ".coco", [0.3]))]}), tmp_path / "deep" / "people")
    source = read_pool("pool", tmp_path)
    assert source.candidates["sample_id"].to_list() == ["pool-1", "pool-2"]
    told = [note.where for note in source.notes if "datasets" in note.what]
    assert told == [str(tmp_path / "deep" / "people")]
    assert read_pool("pool", tmp_path / "deep" / "people").candidates.is_empty()


def test_an_empty_folder_is_an_empty_source_and_no_folder_an_error(tmp_path: Path) -> None:
    assert read_pool("pool", tmp_path).candidates.height == 0
    with pytest.raises(MissingError, match="none: is not a folder"):
        read_pool("pool", tmp_path / "none")


def test_its_record_changes_with_its_names(tmp_path: Path) -> None:
    photo(tmp_path / "1.jpg")
    before = read_pool("pool", tmp_path).source
    assert read_pool("pool", tmp_path).source == before
    photo(tmp_path / "2.jpg")
    assert read_pool("pool", tmp_path).source != before


def test_links_are_followed_inside_the_folder_only(tmp_path: Path) -> None:
    secret = photo(tmp_path / "secret.jpg")
    photo(tmp_path / "pool" / "deep" / "1.jpg")
    (tmp_path / "pool" / "2.jpg").symlink_to("deep/1.jpg")
    (tmp_path / "pool" / "3.jpg").symlink_to("../secret.jpg")
    (tmp_path / "pool" / "4.jpg").symlink_to("4.jpg")
    (tmp_path / "pool" / "all").symlink_to("..")
    source = read_pool("pool", tmp_path / "pool")
    unreadable = dict(source.candidates.select("sample_id", "unreadable").iter_rows())
    assert sorted(unreadable) == ["pool-1", "pool-2", "pool-3", "pool-4"]
    assert unreadable["pool-1"] is None
    assert unreadable["pool-2"] is None
    assert f"is a link that leads out of {tmp_path / 'pool'}, to {secret}" in (unreadable["pool-3"] or "")
    assert "4.jpg" in (unreadable["pool-4"] or "")
    assert [Path(note.where).name for note in source.notes] == ["all"]
    row = source.candidates.filter(sample_id="pool-3")["row"].item()
    with pytest.raises(MissingError, match="leads out"):
        source.labels.image(row)


def test_what_is_no_photo_costs_one_row_each(tmp_path: Path) -> None:
    photo(tmp_path / "1.jpg")
    (tmp_path / "2.jpg").write_bytes(b"")
    (tmp_path / "3.jpg").write_bytes(b"no image")
    os.mkfifo(tmp_path / "4.jpg")
    (tmp_path / "5.jpg").mkdir()
    photo(tmp_path / os.fsdecode(b"\xff.jpg"))
    unreadable = [problem or "" for problem in read_pool("pool", tmp_path).candidates["unreadable"]]
    for words, problem in zip(
        ["", "not an image", "not an image", "not a regular", "not a regular", "not UTF-8"], unreadable, strict=True
    ):
        assert words in problem
    assert unreadable[0] == ""


def test_a_pool_rides_along_through_a_build(tmp_path: Path) -> None:
    labelled = coco_set(tmp_path / "coco", [0.3, 0.5, 0.6])
    for seed in (90, 91):
        photo(tmp_path / "pool" / f"{seed}.jpg", seed=seed)
    (tmp_path / "pool" / "92.jpg").write_bytes(b"no image")
    recipe = make_recipe({"coco": [str(labelled)], "pool": [str(tmp_path / "pool")], "min-area": 0.2})
    build_dataset(recipe, tmp_path / "out")
    dataset = open_dataset(tmp_path / "out")
    assert list(verify(dataset)) == []
    assert dataset.rows("pool")[0]["sample_id"] == "pool-90"
    assert len(dataset.rows("pool")) == 2
    assert dataset.samples.height + dataset.drops.height == 6
    assert dataset.drops.filter(source="pool")["rule"].to_list() == ["unreadable"]
