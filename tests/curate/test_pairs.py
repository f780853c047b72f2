"""Pairs: what a mask's values mean, matching by name, and damage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from curate.errors import FormatError, MissingError, UsageError
from curate.sources import Read
from curate.sources.pairs import read_mask, read_pairs
from tests.curate.scenes import SIZE_HW, mask_png, matrix_file, palette_png, photo

PIXELS = SIZE_HW[0] * SIZE_HW[1]


def left(share: float) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """A mask of the left share of the picture."""
    drawn = np.zeros(SIZE_HW, bool)
    drawn[:, : round(SIZE_HW[1] * share)] = True
    return drawn


def read(root: Path, *person: str) -> Read:
    """The two folders below `root` as a source."""
    return read_pairs("pairs", root / "images", root / "masks", person or ("person",))


def png(path: Path, values: Any, mode: str | None = None) -> Path:
    """An image of these values."""
    Image.fromarray(np.array(values, np.uint8), mode=mode).save(path) if mode else Image.fromarray(
        np.array(values, np.uint8)
    ).save(path)
    return path


@pytest.mark.parametrize(
    ("values", "people", "expected"),
    [
        ([[0, 255]], 1, [[0, 255]]),
        ([[0, 1]], 1, [[0, 255]]),
        ([[0, 0]], 0, [[0, 0]]),
        ([[255, 255]], 1, [[255, 255]]),
        ([[1, 1]], 1, [[255, 255]]),
        ([[0, 128, 255]], 1, [[0, 128, 255]]),
        ([[0, 128]], 0, [[0, 128]]),
        ([[0, 1, 2, 3]], 3, [[0, 255, 255, 255]]),
        ([[0, 1, 2, 255]], 2, [[0, 255, 255, 128]]),
    ],
    ids=["0 255", "0 1", "empty", "full", "full of 1", "target", "void alone", "instances", "instances and void"],
)
def test_values_tell_what_a_mask_means(tmp_path: Path, values: Any, people: int, expected: Any) -> None:
    for path in (png(tmp_path / "a.png", values), palette_png(tmp_path / "p.png", np.array(values, np.uint8))):
        understood = read_mask(path, frozenset())
        assert understood.people == people
        assert understood.target.tolist() == expected


def test_instances_are_said_to_be_a_guess(tmp_path: Path) -> None:
    assert "each read as one person" in read_mask(png(tmp_path / "a.png", [[0, 1, 2]]), frozenset()).reading
    assert read_mask(png(tmp_path / "b.png", [[0, 1]]), frozenset()).reading == ""


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([[0, 2, 3]], "holds the values 0, 2, 3"),
        ([[0, 15, 255]], "holds the values 0, 15, 255"),
        ([list(range(0, 254, 7))], "holds the values 0, 7, 14, 21, 28, 35, ..."),
        ([list(range(120))], "holds the values 0, 1, 2, 3, 4, 5, ..."),
    ],
    ids=["gap", "class", "grey", "too many"],
)
def test_values_that_tell_nothing_are_refused(tmp_path: Path, values: Any, words: str) -> None:
    with pytest.raises(FormatError, match=rf"{words}.*name the person's values with --person"):
        read_mask(png(tmp_path / "a.png", values), frozenset())


def test_named_values_are_the_person_and_255_is_void(tmp_path: Path) -> None:
    path = palette_png(tmp_path / "a.png", np.array([[0, 12, 15, 255]], np.uint8))
    assert read_mask(path, frozenset({15})).target.tolist() == [[0, 0, 255, 128]]
    assert read_mask(path, frozenset({12, 255})).target.tolist() == [[0, 255, 0, 255]]
    assert read_mask(path, frozenset({99})).people == 0


def test_alpha_counts_from_128_on(tmp_path: Path) -> None:
    alpha = np.array([[0, 127, 128, 255]], np.uint8)
    rgba = np.dstack([np.full((1, 4, 3), 77, np.uint8), alpha])
    assert read_mask(png(tmp_path / "a.png", rgba), frozenset()).target.tolist() == [[0, 0, 255, 255]]
    grey_alpha = np.dstack([np.full((1, 4), 9, np.uint8), alpha])
    Image.fromarray(grey_alpha, mode="LA").save(tmp_path / "la.png")
    assert read_mask(tmp_path / "la.png", frozenset()).target.tolist() == [[0, 0, 255, 255]]


def test_an_opaque_grey_image_is_read_by_its_grey_and_a_coloured_one_refused(tmp_path: Path) -> None:
    grey = np.repeat(np.array([[0, 255]], np.uint8)[..., None], 3, axis=2)
    opaque = np.dstack([grey, np.full((1, 2), 255, np.uint8)])
    for name, values in (("rgb.png", grey), ("rgba.png", opaque)):
        assert read_mask(png(tmp_path / name, values), frozenset()).target.tolist() == [[0, 255]]
    coloured = grey.copy()
    coloured[0, 0, 1] = 40
    with pytest.raises(FormatError, match="is a colour image"):
        read_mask(png(tmp_path / "c.png", coloured), frozenset())


def test_bits_and_sixteen_bits_are_read(tmp_path: Path) -> None:
    Image.fromarray(np.array([[False, True]])).save(tmp_path / "bits.png")
    Image.fromarray(np.array([[0, 1, 2]], np.uint16)).save(tmp_path / "ids.png")
    assert read_mask(tmp_path / "bits.png", frozenset()).target.tolist() == [[0, 255]]
    assert read_mask(tmp_path / "ids.png", frozenset()).people == 2
    Image.fromarray(np.array([[0, 1000]], np.uint16)).save(tmp_path / "ids.png")
    assert read_mask(tmp_path / "ids.png", frozenset({1000})).target.tolist() == [[0, 255]]


def test_a_matrix_is_one_person_wherever_it_is_set(tmp_path: Path) -> None:
    path = matrix_file(tmp_path / "a.mat", groundtruth=np.array([[0, 3], [58, 0]], np.uint8), other=np.eye(3))
    understood = read_mask(path, frozenset())
    assert (understood.people, understood.target.tolist()) == (1, [[0, 255], [255, 0]])
    assert read_mask(path, frozenset({3})).target.tolist() == [[0, 255], [0, 0]]


def test_pairs_are_matched_by_path_without_ending(tmp_path: Path) -> None:
    photo(tmp_path / "images" / "1.jpg")
    photo(tmp_path / "images" / "deep" / "2.PNG")
    mask_png(tmp_path / "masks" / "1.png", left(0.5))
    matrix_file(tmp_path / "masks" / "deep" / "2.mat", groundtruth=left(0.25).astype(np.uint8))
    source = read(tmp_path)
    assert source.candidates["sample_id"].to_list() == ["pairs-1", "pairs-2"]
    assert source.candidates["people"].to_list() == [None, None]
    assert [source.labels.measure(row, None).area for row in (0, 1)] == [0.5, 0.25]
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
        None,
        "1.jpg has the same name and takes the mask",
        "2.mat and 2.png could both be its mask",
    ]


def test_a_mask_of_the_same_shape_is_resized_and_noted_any_other_refused(tmp_path: Path) -> None:
    for name in ("1", "2"):
        photo(tmp_path / "images" / f"{name}.jpg")
    mask_png(tmp_path / "masks" / "1.png", left(0.5)[::2, ::2])
    mask_png(tmp_path / "masks" / "2.png", left(0.5)[:, ::2])
    source = read(tmp_path)
    found = source.labels.measure(0, None)
    assert found.area == 0.5
    assert [note.what for note in found.notes] == ["masks were resized to their image (nearest)"]
    assert "expected a mask of 40x60 (HxW) or the same aspect ratio, got 40x30" in (
        source.labels.measure(1, None).unreadable or ""
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
    assert "not an image" in (source.labels.measure(1, None).unreadable or "")
    assert source.labels.measure(2, None).area == 0.5


def test_wrong_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(MissingError, match="masks: is not a folder"):
        read(tmp_path)
    with pytest.raises(UsageError, match="is given as both"):
        read_pairs("pairs", tmp_path / "images", tmp_path / "images", ["person"])
