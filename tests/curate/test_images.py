"""The image reader: what is read, what is refused, and in which words."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curate import images
from curate.errors import FormatError, MismatchError, MissingError
from tests.curate.scenes import palette_png, photo
from tests.drawing import target


def test_palette_masks_are_read_by_index(tmp_path: Path) -> None:
    indices = np.array([[0, 15], [255, 1]], np.uint8)
    assert (images.read_indices(palette_png(tmp_path / "a.png", indices)) == indices).all()


def test_exif_orientation_turns_nothing_and_is_named_where_sizes_disagree(tmp_path: Path) -> None:
    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (60, 40), "red").save(path, exif=exif)
    assert images.read_image(path, (40, 60)).shape == (40, 60, 3)
    with pytest.raises(MismatchError, match=r"expected 60x40 \(HxW\) from the annotation, got 40x60.*orientation 6"):
        images.read_image(path, (60, 40))


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "P", "1", "LA", "I;16"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    Image.new(mode, (4, 3)).save(path)
    read = images.read_image(path)
    assert (read.shape, read.dtype) == ((3, 4, 3), np.uint8)


@pytest.mark.parametrize("check", [images.read_image, images.check_image], ids=["read", "check"])
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_cut_off_image_is_refused(tmp_path: Path, suffix: str, check: object) -> None:
    path = photo(tmp_path / f"a{suffix}", (200, 300))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(FormatError, match="pixels cannot be decoded"):
        check(path, (200, 300))  # type: ignore[operator]


def test_a_sound_image_passes_the_check_and_a_wrong_size_does_not(tmp_path: Path) -> None:
    path = photo(tmp_path / "a.jpg")
    images.check_image(path, (40, 60))
    with pytest.raises(MismatchError, match="got 40x60"):
        images.check_image(path, (41, 60))


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "not an image"), (b"hello", "not an image"), (b"\x89PNG\r\n\x1a\n", "not an image")],
    ids=["empty", "text", "signature"],
)
def test_what_is_no_image_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(FormatError, match=words):
        images.read_size_hw(tmp_path / "a.png")


def test_what_is_no_file_is_refused_without_hanging(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in (tmp_path / "pipe.jpg", tmp_path, Path("/dev/zero")):
        with pytest.raises(MissingError, match="is not a regular file"):
            images.read_image(path)
    with pytest.raises(MissingError, match="No such file"):
        images.read_image(tmp_path / "none.jpg")


def test_too_many_pixels_are_refused_on_the_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = photo(tmp_path / "a.png")
    monkeypatch.setattr(images, "MAX_PIXELS", 2399)
    with pytest.raises(FormatError, match="has 60x40 pixels; between 1 and 2399 are read"):
        images.read_size_hw(path)


def test_a_target_round_trips_and_its_bytes_are_stable(tmp_path: Path) -> None:
    drawing = target("##o\n..#")
    (tmp_path / "a.png").write_bytes(images.png_bytes(drawing))
    assert (images.read_target(tmp_path / "a.png", (2, 3)) == drawing).all()
    assert images.png_bytes(drawing) == images.png_bytes(drawing.copy())


def test_a_target_of_other_values_or_mode_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(images.png_bytes(np.array([[0, 7]], np.uint8)))
    with pytest.raises(FormatError, match="holds the value 7"):
        images.read_target(tmp_path / "a.png")
    Image.new("RGB", (2, 2)).save(tmp_path / "b.png")
    with pytest.raises(FormatError, match="has mode RGB"):
        images.read_target(tmp_path / "b.png")


@pytest.mark.parametrize("size_hw", [(4, 6), (8, 12), (2, 3), (5, 8)])
def test_a_mask_of_the_same_shape_is_resized_as_pillow_does_it(size_hw: tuple[int, int]) -> None:
    drawing = target("##....\n##....\n...ooo\n......")
    fitted = images.fit_mask(drawing, size_hw, "a.png")
    height, width = size_hw
    expected = np.array(Image.fromarray(drawing).resize((width, height), Image.Resampling.NEAREST))
    assert fitted.shape == size_hw
    assert (fitted == expected).all()


def test_a_mask_of_another_shape_is_refused() -> None:
    with pytest.raises(MismatchError, match="a mask of 40x60"):
        images.fit_mask(np.zeros((40, 30), np.uint8), (40, 60), "a.png")


@pytest.mark.parametrize("size_hw", [(900, 1), (1, 900), (1, 1)])
def test_a_thumbnail_of_a_thin_photo_is_no_trouble(tmp_path: Path, size_hw: tuple[int, int]) -> None:
    assert images.read_thumbnail(photo(tmp_path / "a.jpg", size_hw), 100).size > 0


def test_a_thumbnail_is_not_below_the_height_asked_for(tmp_path: Path) -> None:
    read = images.read_thumbnail(photo(tmp_path / "a.jpg", (900, 1200)), 100)
    assert 100 <= read.shape[0] < 900
    assert read.shape[1] / read.shape[0] == pytest.approx(4 / 3, rel=0.02)
