"""What a mask's values mean: the same in `curate build --pairs` and in `curate label import`."""

from __future__ import annotations

import random
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from curate.errors import CurateError, FormatError
from curate.sources.mask_files import read_mask
from tests.curate.scenes import matrix_file, palette_png
from tests.curate.voc_scenes import damaged

NO_VALUES: frozenset[int] = frozenset()


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
        understood = read_mask(path, NO_VALUES)
        assert understood.people == people
        assert understood.target.tolist() == expected


def test_instances_are_said_to_be_a_guess(tmp_path: Path) -> None:
    assert "each read as one person" in read_mask(png(tmp_path / "a.png", [[0, 1, 2]]), NO_VALUES).reading
    assert read_mask(png(tmp_path / "b.png", [[0, 1]]), NO_VALUES).reading == ""


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
        read_mask(png(tmp_path / "a.png", values), NO_VALUES)


def test_named_values_are_the_person_and_255_is_void(tmp_path: Path) -> None:
    path = palette_png(tmp_path / "a.png", np.array([[0, 12, 15, 255]], np.uint8))
    assert read_mask(path, frozenset({15})).target.tolist() == [[0, 0, 255, 128]]
    assert read_mask(path, frozenset({12, 255})).target.tolist() == [[0, 255, 0, 255]]
    assert read_mask(path, frozenset({99})).people == 0


def test_alpha_counts_from_128_on(tmp_path: Path) -> None:
    alpha = np.array([[0, 127, 128, 255]], np.uint8)
    rgba = np.dstack([np.full((1, 4, 3), 77, np.uint8), alpha])
    assert read_mask(png(tmp_path / "a.png", rgba), NO_VALUES).target.tolist() == [[0, 0, 255, 255]]
    grey_alpha = np.dstack([np.full((1, 4), 9, np.uint8), alpha])
    Image.fromarray(grey_alpha, mode="LA").save(tmp_path / "la.png")
    assert read_mask(tmp_path / "la.png", NO_VALUES).target.tolist() == [[0, 0, 255, 255]]


def test_an_opaque_grey_image_is_read_by_its_grey_and_a_coloured_one_refused(tmp_path: Path) -> None:
    grey = np.repeat(np.array([[0, 255]], np.uint8)[..., None], 3, axis=2)
    opaque = np.dstack([grey, np.full((1, 2), 255, np.uint8)])
    for name, values in (("rgb.png", grey), ("rgba.png", opaque)):
        assert read_mask(png(tmp_path / name, values), NO_VALUES).target.tolist() == [[0, 255]]
    coloured = grey.copy()
    coloured[0, 0, 1] = 40
    with pytest.raises(FormatError, match="is a colour image"):
        read_mask(png(tmp_path / "c.png", coloured), NO_VALUES)


def test_bits_and_sixteen_bits_are_read(tmp_path: Path) -> None:
    Image.fromarray(np.array([[False, True]])).save(tmp_path / "bits.png")
    Image.fromarray(np.array([[0, 1, 2]], np.uint16)).save(tmp_path / "ids.png")
    assert read_mask(tmp_path / "bits.png", NO_VALUES).target.tolist() == [[0, 255]]
    assert read_mask(tmp_path / "ids.png", NO_VALUES).people == 2
    Image.fromarray(np.array([[0, 1000]], np.uint16)).save(tmp_path / "ids.png")
    assert read_mask(tmp_path / "ids.png", frozenset({1000})).target.tolist() == [[0, 255]]


def test_a_matrix_is_one_person_wherever_it_is_set(tmp_path: Path) -> None:
    path = matrix_file(tmp_path / "a.mat", groundtruth=np.array([[0, 3], [58, 0]], np.uint8), other=np.eye(3))
    understood = read_mask(path, NO_VALUES)
    assert (understood.people, understood.target.tolist()) == (1, [[0, 255], [255, 0]])
    assert read_mask(path, frozenset({3})).target.tolist() == [[0, 255], [0, 0]]


def disk(size: int = 200, radius: int = 70) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A white disk on black."""
    rows, columns = np.mgrid[:size, :size] - size // 2
    return np.where(rows**2 + columns**2 < radius**2, np.uint8(255), np.uint8(0))


def test_figures_are_told_apart_by_their_ids(tmp_path: Path) -> None:
    understood = read_mask(png(tmp_path / "a.png", [[0, 1, 1, 1, 2, 255]]), NO_VALUES)
    assert (understood.figures_px, understood.people) == ((3, 1), 2)
    assert read_mask(png(tmp_path / "a.png", [[0, 0]]), NO_VALUES).figures_px == ()
    assert read_mask(png(tmp_path / "a.png", [[9, 9, 7]]), frozenset({9, 7})).figures_px == (3,)


def test_scene_parsing_masks_have_no_void(tmp_path: Path) -> None:
    ade = png(tmp_path / "ADE_val_00000001.png", [[0, 13, 150, 13]])
    understood = read_mask(ade, frozenset({13}))
    assert (understood.target.tolist(), understood.figures_px) == ([[0, 255, 0, 255]], (2,))


def test_a_binary_mask_of_sixteen_bits_is_one_person(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 65535]], np.uint16)).save(tmp_path / "a.png")
    assert read_mask(tmp_path / "a.png", NO_VALUES).target.tolist() == [[0, 255]]


def test_colours_of_sixteen_bits_are_refused_but_not_their_alpha(tmp_path: Path) -> None:
    for channels in (3, 4):
        deep = np.full((2, 2, channels), 5, np.uint16)
        deep[..., 3:] = 65535
        cv2.imwrite(str(tmp_path / "a.png"), deep)
        with pytest.raises(FormatError, match="colours of 16 bits"):
            read_mask(tmp_path / "a.png", NO_VALUES)
    deep[0, 0, 3] = 0
    cv2.imwrite(str(tmp_path / "a.png"), deep)
    assert read_mask(tmp_path / "a.png", NO_VALUES).target.tolist() == [[0, 255], [255, 255]]


@pytest.mark.parametrize("ending", ["png", "tif", "bmp", "gif", "webp"])
def test_every_lossless_kind_of_file_is_read(tmp_path: Path, ending: str) -> None:
    options = {"lossless": True} if ending == "webp" else {}
    Image.fromarray(disk()).save(tmp_path / f"a.{ending}", **options)
    assert (read_mask(tmp_path / f"a.{ending}", NO_VALUES).target == disk()).all()


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I", "F"])
def test_tiffs_of_every_depth_are_read(tmp_path: Path, mode: str) -> None:
    kind = {"I;16": "<u2", "I;16B": ">u2", "I": "<i4", "F": "<f4"}[mode]
    Image.frombytes(mode, (3, 1), np.array([0, 1, 2], kind).tobytes()).save(tmp_path / "a.tif")
    assert read_mask(tmp_path / "a.tif", NO_VALUES).figures_px == (1, 1)


def test_fractions_are_refused(tmp_path: Path) -> None:
    for values in ([[0.0, 0.5]], [[0.0, np.nan]], [[0.0, 1e20]]):
        Image.fromarray(np.array(values, np.float32)).save(tmp_path / "a.tif")
        with pytest.raises(FormatError, match="holds fractions"):
            read_mask(tmp_path / "a.tif", NO_VALUES)


def test_a_palette_whose_look_contradicts_its_values_is_refused(tmp_path: Path) -> None:
    stored = Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
    for colours, refused in (([255, 255, 255, 0, 0, 0], True), ([0, 0, 0, 255, 255, 255], False)):
        stored.putpalette(colours)
        stored.save(tmp_path / "a.png")
        if refused:
            with pytest.raises(FormatError, match="white at 0 and black at 1"):
                read_mask(tmp_path / "a.png", NO_VALUES)
        else:
            assert read_mask(tmp_path / "a.png", NO_VALUES).figures_px == (1,)
        assert read_mask(tmp_path / "a.png", frozenset({1})).figures_px == (1,)


def test_soft_edges_are_read_from_half_on_and_said(tmp_path: Path) -> None:
    soft = cv2.GaussianBlur(disk(), (0, 0), 2)
    understood = read_mask(png(tmp_path / "a.png", soft), NO_VALUES)
    assert ((understood.target == 255) == (soft >= 128)).all()
    assert "soft edges" in understood.reading
    assert read_mask(png(tmp_path / "b.png", disk()), NO_VALUES).reading == ""


def test_photographs_and_masks_of_many_classes_are_no_soft_masks(tmp_path: Path) -> None:
    rows, columns = np.mgrid[:100, :256]
    noise = np.random.default_rng(0).integers(0, 256, (100, 256))
    classes = np.where(columns < 200, 0, np.where(columns > 250, 255, 2 * (columns - 200)))
    too_much_grey = np.where(columns < 180, rows * 3 % 256, 255)
    for values in (columns, noise, classes, too_much_grey, np.minimum(columns, 120)):
        with pytest.raises(FormatError, match="holds the values"):
            read_mask(png(tmp_path / "a.png", values.astype(np.uint8)), NO_VALUES)


@pytest.mark.parametrize("quality", [30, 50, 75, 95, 100])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_black_and_white_survives_a_jpeg(tmp_path: Path, quality: int, mode: str) -> None:
    Image.fromarray(disk()).convert(mode).save(tmp_path / "a.jpg", quality=quality)
    understood = read_mask(tmp_path / "a.jpg", NO_VALUES)
    assert (understood.target != disk()).mean() < 0.001
    assert "masks are JPEGs" in understood.reading
    assert (read_mask(tmp_path / "a.jpg", frozenset({255})).target == understood.target).all()


@pytest.mark.parametrize("flat", [0, 255])
def test_a_jpeg_of_nobody_or_of_nothing_else_is_read(tmp_path: Path, flat: int) -> None:
    Image.fromarray(np.full((40, 60), flat, np.uint8)).save(tmp_path / "a.jpg", quality=60)
    assert (read_mask(tmp_path / "a.jpg", NO_VALUES).target == flat).all()


def test_values_that_a_jpeg_loses_are_refused(tmp_path: Path) -> None:
    void = np.where(disk(radius=74) > 0, np.uint8(255), np.uint8(0))
    drawings = [disk() // 60, disk() // 17, np.where(disk() > 0, np.uint8(15), void), disk() // 2]
    for quality in (50, 90):
        for drawing in drawings:
            Image.fromarray(drawing).save(tmp_path / "a.jpg", quality=quality)
            with pytest.raises(FormatError, match="Save masks as PNG"):
                read_mask(tmp_path / "a.jpg", NO_VALUES)
    Image.fromarray(disk()).save(tmp_path / "a.jpg")
    with pytest.raises(FormatError, match="Save masks as PNG"):
        read_mask(tmp_path / "a.jpg", frozenset({15}))


def declared(width: int, height: int) -> bytes:
    """A PNG that declares this size and holds one row."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("width", "height"), [(2**31 - 1, 2**31 - 1), (10**5, 10**5), (0, 5), (5, 5)])
def test_a_size_that_is_not_there_is_refused(tmp_path: Path, width: int, height: int) -> None:
    (tmp_path / "a.png").write_bytes(declared(width, height))
    with pytest.raises(FormatError, match=r"a\.png"):
        read_mask(tmp_path / "a.png", NO_VALUES)


def damage_and_read(content: bytes, seed: int, path: Path, shape: tuple[int, ...]) -> None:
    """Damage a mask; it is refused with a line, or read as a mask of its own size."""
    path.write_bytes(damaged(content, random.Random(seed)))
    try:
        understood = read_mask(path, NO_VALUES)
    except CurateError:
        return
    assert understood.target.ndim == 2
    assert set(np.unique(understood.target)) <= {0, 128, 255}
    assert understood.target.shape == shape or path.suffix != ".png", "a PNG's header has a checksum"


def contents(folder: Path) -> dict[str, bytes]:
    """One mask in each kind of file."""
    mask = disk(40, 12)
    for ending in ("png", "tif", "bmp", "gif", "jpg"):
        Image.fromarray(mask).save(folder / f"a.{ending}")
    palette_png(folder / "p.png", (mask // 255 * 2).astype(np.uint8))
    matrix_file(folder / "a.mat", groundtruth=mask)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_damaged_masks_are_refused_or_read(tmp_path: Path) -> None:
    for name, content in contents(tmp_path).items():
        for seed in range(40):
            damage_and_read(content, seed, tmp_path / f"damaged-{name}", (40, 40))


@pytest.mark.long
def test_much_damage_to_masks_is_refused_or_read(tmp_path: Path) -> None:
    for name, content in contents(tmp_path).items():
        for seed in range(5_000):
            damage_and_read(content, seed, tmp_path / f"damaged-{name}", (40, 40))
