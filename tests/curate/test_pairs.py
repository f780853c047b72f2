"""Pairs: matching by name, links, and what damage costs. What a mask's values mean: test_mask_files.py."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from curate.errors import MissingError, UsageError
from curate.foreground import Foreground
from curate.sources import Limits, Read
from curate.sources.pairs import match, read_pairs
from tests.curate.scenes import SIZE_HW, mask_png, matrix_file, photo


def left(share: float) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """A mask of the left share of the picture."""
    drawn = np.zeros(SIZE_HW, bool)
    drawn[:, : round(SIZE_HW[1] * share)] = True
    return drawn


def read(root: Path, **foreground: Any) -> Read:
    """The two folders below `root` as a source."""
    return read_pairs("pairs", root / "images", root / "masks", Foreground(**foreground))


def png(path: Path, values: np.ndarray[Any, Any]) -> Path:
    """A grey PNG of these values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


def test_pairs_are_matched_by_path_without_ending(tmp_path: Path) -> None:
    photo(tmp_path / "images" / "1.jpg")
    photo(tmp_path / "images" / "deep" / "2.PNG")
    mask_png(tmp_path / "masks" / "1.png", left(0.5))
    matrix_file(tmp_path / "masks" / "deep" / "2.mat", groundtruth=left(0.25).astype(np.uint8))
    source = read(tmp_path)
    assert source.candidates["sample_id"].to_list() == ["pairs-1", "pairs-2"]
    assert source.candidates["people"].to_list() == [None, None]
    assert [source.labels.measure(row, Limits()).area for row in (0, 1)] == [0.5, 0.25]
    assert source.labels.draw(0).origin == "hand"
    assert sorted(source.source.sha256) == [".", "deep"]


def test_what_has_no_partner_is_reported(tmp_path: Path) -> None:
    for name in ("1", "2"):
        photo(tmp_path / "images" / f"{name}.jpg")
    for name in ("2", "3"):
        mask_png(tmp_path / "masks" / f"{name}.png", left(0.5))
    source = read(tmp_path)
    first, second = source.candidates["unreadable"].to_list()
    assert "no mask" in first
    assert second is None
    assert [(note.what, Path(note.where).name) for note in source.notes] == [
        ("masks have no image of their name and were left out", "3.png")
    ]


def test_what_could_be_two_pairs_is_unreadable(tmp_path: Path) -> None:
    photo(tmp_path / "images" / "1.jpg")
    photo(tmp_path / "images" / "1.png")
    photo(tmp_path / "images" / "2.jpg")
    mask_png(tmp_path / "masks" / "1.png", left(0.5))
    mask_png(tmp_path / "masks" / "2.png", left(0.5))
    matrix_file(tmp_path / "masks" / "2.mat", groundtruth=left(0.5).astype(np.uint8))
    candidates = read(tmp_path).candidates
    assert candidates["sample_id"].n_unique() == 3
    assert candidates["unreadable"].to_list() == [
        "the mask 1.png could also belong to 1.png",
        "the mask 1.png could also belong to 1.jpg",
        "2.mat and 2.png could both be its mask",
    ]


def test_a_mask_of_the_same_shape_is_resized_and_noted_any_other_refused(tmp_path: Path) -> None:
    for name in ("1", "2"):
        photo(tmp_path / "images" / f"{name}.jpg")
    mask_png(tmp_path / "masks" / "1.png", left(0.5)[::2, ::2])
    mask_png(tmp_path / "masks" / "2.png", left(0.5)[:, ::2])
    source = read(tmp_path)
    found = source.labels.measure(0, Limits())
    assert found.area == 0.5
    assert [note.what for note in found.notes] == ["masks were resized to their image (nearest)"]
    assert "expected a mask of 40x60 (HxW) or the same aspect ratio, got 40x30" in (
        source.labels.measure(1, Limits()).unreadable or ""
    )


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"])
def test_damage_costs_one_image(tmp_path: Path, content: bytes) -> None:
    for name in ("1", "2", "3"):
        photo(tmp_path / "images" / f"{name}.jpg")
        mask_png(tmp_path / "masks" / f"{name}.png", left(0.5))
    (tmp_path / "images" / "1.jpg").write_bytes(content)
    (tmp_path / "masks" / "2.png").write_bytes(content)
    source = read(tmp_path)
    assert "not an image" in source.candidates["unreadable"][0]
    assert "not an image" in (source.labels.measure(1, Limits()).unreadable or "")
    assert source.labels.measure(2, None).area == 0.5


def test_wrong_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(MissingError, match="masks: is not a folder"):
        read(tmp_path)
    with pytest.raises(UsageError, match="is given as both"):
        read_pairs("pairs", tmp_path / "images", tmp_path / "images", Foreground())


@pytest.mark.parametrize(
    ("photos", "masks", "expected"),
    [
        (["1.jpg"], ["1.png"], {"1.jpg": ["1.png"]}),
        (["1.jpg"], ["1_mask.png"], {"1.jpg": ["1_mask.png"]}),
        (["1.jpg"], ["1-mask.png"], {"1.jpg": ["1-mask.png"]}),
        (["1.jpg"], ["1_matte.png"], {"1.jpg": ["1_matte.png"]}),
        (["1.jpg"], ["1_SEG.PNG"], {"1.jpg": ["1_SEG.PNG"]}),
        (["1.jpg"], ["1.mask.gif"], {"1.jpg": ["1.mask.gif"]}),
        (["a/1.jpg", "b/1.jpg"], ["b/1_gt.png"], {"a/1.jpg": [], "b/1.jpg": ["b/1_gt.png"]}),
        (["1.jpg", "1.png"], ["1.jpg.png", "1.png.png"], {"1.jpg": ["1.jpg.png"], "1.png": ["1.png.png"]}),
        (["1.jpg", "1_mask.jpg"], ["1_mask.png"], {"1.jpg": [], "1_mask.jpg": ["1_mask.png"]}),
        (["mask.jpg", "_mask.jpg"], ["mask.png", "_mask.png"], {"mask.jpg": ["mask.png"], "_mask.jpg": ["_mask.png"]}),
        (["1.jpg"], ["10_mask.png", "1_masked.png", "1_mask_2.png", "1mask.png"], {"1.jpg": []}),
        (["1.jpg"], ["1_mask_seg.png"], {"1.jpg": []}),
        (["1.jpg"], ["1.png", "1_mask.png"], {"1.jpg": ["1.png", "1_mask.png"]}),
        (["1.jpg"], ["1_mask.png", "1-mask.png"], {"1.jpg": ["1_mask.png", "1-mask.png"]}),
    ],
)
def test_masks_find_their_photo_by_name(photos: list[str], masks: list[str], expected: dict[str, list[str]]) -> None:
    assert {photo: partner.masks for photo, partner in match(photos, masks).items()} == expected


def test_a_mask_named_with_an_ending_is_read_and_two_are_never_guessed_between(tmp_path: Path) -> None:
    for name in ("1", "2"):
        photo(tmp_path / "images" / f"{name}.jpg")
    mask_png(tmp_path / "masks" / "1_mask.png", left(0.5))
    mask_png(tmp_path / "masks" / "2_mask.png", left(0.5))
    mask_png(tmp_path / "masks" / "2.png", left(0.25))
    source = read(tmp_path)
    assert source.candidates["unreadable"].to_list() == [None, "2.png and 2_mask.png could both be its mask"]
    assert source.labels.measure(0, Limits()).area == 0.5
    assert source.notes == []


def test_figures_count_from_a_share_of_the_mask_on(tmp_path: Path) -> None:
    photo(tmp_path / "images" / "1.jpg")
    ids = np.zeros(SIZE_HW, np.uint8)
    ids[:, :30], ids[:, 30:36] = 1, 2
    png(tmp_path / "masks" / "1.png", ids[::2, ::2])
    for share, people in ((0.0, 2), (0.1, 2), (0.11, 1), (0.6, 0)):
        found = read(tmp_path, min_person_area=share).labels.measure(0, Limits())
        assert (found.people, found.area) == (people, 0.6)
    ids[:, 30:36] = 1
    png(tmp_path / "masks" / "1.png", ids * 255)
    assert read(tmp_path, min_person_area=0.6).labels.measure(0, Limits()).people == 1
    assert read(tmp_path, min_person_area=0.61).labels.measure(0, Limits()).people == 0


def test_a_resized_mask_is_tagged(tmp_path: Path) -> None:
    for name, step in (("1", 1), ("2", 2)):
        photo(tmp_path / "images" / f"{name}.jpg")
        mask_png(tmp_path / "masks" / f"{name}.png", left(0.5)[::step, ::step])
    labels = read(tmp_path).labels
    assert [labels.draw(row).tags for row in (0, 1)] == [(), ("resized",)]
    assert labels.draw(1).target.shape == SIZE_HW


@pytest.mark.parametrize("turn", [5, 6, 7, 8])
def test_a_mask_drawn_on_a_photo_that_exif_turns_says_so(tmp_path: Path, turn: int) -> None:
    path = photo(tmp_path / "images" / "1.jpg")
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.open(path).save(path, exif=exif)
    mask_png(tmp_path / "masks" / "1.png", left(0.5).T.copy())
    problem = read(tmp_path).labels.measure(0, Limits()).unreadable or ""
    assert "expected a mask of 40x60 (HxW), the stored raster of its photo, got 60x40" in problem
    assert f"EXIF orientation {turn}" in problem


def test_policies_that_change_nothing_are_said(tmp_path: Path) -> None:
    photo(tmp_path / "images" / "1.jpg")
    mask_png(tmp_path / "masks" / "1.png", left(0.5))
    notes = read(tmp_path, held="include").notes
    assert [(note.what, note.where) for note in notes] == [
        ("sources of masks know no categories: --held and --animals change nothing in them", "pairs")
    ]
    assert read(tmp_path).notes == []


def test_links_are_followed_inside_their_folder_only(tmp_path: Path) -> None:
    secret = photo(tmp_path / "secret.jpg")
    mask_png(tmp_path / "secret.png", left(0.5))
    photo(tmp_path / "images" / "deep" / "1.jpg")
    mask_png(tmp_path / "masks" / "deep" / "1.png", left(0.5))
    for name, photo_link, mask_link in (
        ("2", "deep/1.jpg", "deep/1.png"),
        ("3", "../secret.jpg", "deep/1.png"),
        ("4", "deep/1.jpg", "../secret.png"),
        ("5", "none.jpg", "deep/1.png"),
        ("6", "deep/1.jpg", "none.png"),
    ):
        (tmp_path / "images" / f"{name}.jpg").symlink_to(photo_link)
        (tmp_path / "masks" / f"{name}.png").symlink_to(mask_link)
    source = read(tmp_path)
    found = dict(source.candidates.select("sample_id", "unreadable").iter_rows())
    assert found["pairs-1"] is None
    assert found["pairs-2"] is None
    assert f"is a link that leads out of {tmp_path / 'images'}, to {secret}" in (found["pairs-3"] or "")
    assert f"is a link that leads out of {tmp_path / 'masks'}, to {tmp_path / 'secret.png'}" in (found["pairs-4"] or "")
    assert "cannot be opened" in (found["pairs-5"] or "")
    assert "cannot be opened" in (found["pairs-6"] or "")
    row = source.candidates.filter(sample_id="pairs-3")["row"].item()
    with pytest.raises(MissingError, match="leads out"):
        source.labels.image(row)


def test_folders_and_pipes_in_place_of_files_cost_one_image_each(tmp_path: Path) -> None:
    for name in ("1", "2", "3", "4", "5"):
        photo(tmp_path / "images" / f"{name}.jpg")
        mask_png(tmp_path / "masks" / f"{name}.png", left(0.5))
    for path in ("images/1.jpg", "images/2.jpg", "masks/3.png", "masks/4.png"):
        (tmp_path / path).unlink()
    for path in ("images/1.jpg", "masks/3.png"):
        os.mkfifo(tmp_path / path)
    for path in ("images/2.jpg", "masks/4.png"):
        (tmp_path / path).mkdir()
    unreadable = read(tmp_path).candidates["unreadable"].to_list()
    assert all("is not a regular file" in problem for problem in unreadable[:4])
    assert unreadable[4] is None


def test_masks_kept_below_the_images_are_no_images(tmp_path: Path) -> None:
    photo(tmp_path / "1.jpg")
    mask_png(tmp_path / "masks" / "1.png", left(0.5))
    source = read_pairs("pairs", tmp_path, tmp_path / "masks", Foreground())
    assert source.candidates.select("sample_id", "unreadable").rows() == [("pairs-1", None)]


def test_a_name_that_is_no_text_costs_one_image(tmp_path: Path) -> None:
    for name in (os.fsdecode(b"\xff/1"), os.fsdecode(b"\xfe"), "2"):
        photo(tmp_path / "images" / f"{name}.jpg")
        mask_png(tmp_path / "masks" / f"{name}.png", left(0.5))
    candidates = read(tmp_path).candidates
    problems = sorted(str(problem) for problem in candidates["unreadable"])
    assert problems[0] == "None"
    assert all("the name is not UTF-8" in problem for problem in problems[1:])
    assert candidates.height == 3


def test_a_scene_parsing_set_is_read_by_the_persons_value(tmp_path: Path) -> None:
    values = np.zeros(SIZE_HW, np.uint8)
    values[:, :15], values[:, 15:] = 13, 5
    values[:4] = 0
    photo(tmp_path / "images" / "validation" / "ADE_val_00000001.jpg")
    png(tmp_path / "masks" / "validation" / "ADE_val_00000001.png", values)
    source = read(tmp_path, person=("13",))
    label = source.labels.draw(0)
    assert source.candidates["folder"].to_list() == ["validation"]
    assert ((label.target == 255) == (values == 13)).all()
    assert not (label.target == 128).any()
    assert source.labels.measure(0, Limits()).area == (values == 13).mean()
