"""The image reader: what is read, what is refused, and in which words."""

from __future__ import annotations

import os
import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from curate import images
from curate.errors import CurateError, FormatError, MismatchError, MissingError
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


@pytest.mark.parametrize("check", [images.read_image, images.examine_image], ids=["read", "examine"])
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_cut_off_image_is_refused(tmp_path: Path, suffix: str, check: object) -> None:
    path = photo(tmp_path / f"a{suffix}", (200, 300))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(FormatError, match="pixels cannot be decoded"):
        check(path, (200, 300))  # type: ignore[operator]


def test_a_sound_image_passes_the_check_and_a_wrong_size_does_not(tmp_path: Path) -> None:
    path = photo(tmp_path / "a.jpg")
    images.examine_image(path, (40, 60))
    with pytest.raises(MismatchError, match="got 40x60"):
        images.examine_image(path, (41, 60))


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


def test_a_small_file_that_unfolds_to_gigabytes_is_refused(tmp_path: Path) -> None:
    """24 kB took 2.7 GB: four bytes for each pixel of colour, and as many again for each form it goes through."""
    path = tmp_path / "a.png"
    Image.new("1", (8_001, 8_000)).save(path)
    assert path.stat().st_size < 10_000
    for read in (images.read_image, lambda path: images.examine_image(path, (8_000, 8_001))):
        with pytest.raises(FormatError, match=r"has 8001x8000 pixels in \d+ bytes, as no photograph has"):
            read(path)
    assert images.read_indices(path).shape == (8_000, 8_001), "a mask of one value is no larger"
    path.write_bytes(path.read_bytes() + bytes(8_001 * 8_000 // images.MOST_FROM_BYTE))
    assert images.examine_image(path, (8_000, 8_001)).shape == (32, 32), "a file as long as a photograph's"


def test_a_target_round_trips_and_its_bytes_are_stable(tmp_path: Path) -> None:
    drawing = target("##o\n..#")
    (tmp_path / "a.png").write_bytes(images.png_bytes(drawing))
    assert (images.read_target(tmp_path / "a.png", (2, 3)) == drawing).all()
    assert images.png_bytes(drawing) == images.png_bytes(drawing.copy())


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 7), (5, 1), (31, 40)])
def test_a_prediction_round_trips_and_its_bytes_are_stable(tmp_path: Path, size_hw: tuple[int, int]) -> None:
    prediction = np.random.default_rng(0).integers(0, 256, size_hw, dtype=np.uint8)
    (tmp_path / "a.png").write_bytes(images.prediction_png(prediction))
    assert (images.read_grey(tmp_path / "a.png", size_hw) == prediction).all()
    assert images.prediction_png(prediction) == images.prediction_png(np.asfortranarray(prediction))


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


def picture(size: tuple[int, int] = (300, 200)) -> Image.Image:
    """A drawn photograph without sharp edges, which every format and size keeps alike."""
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)


def turned(count: int) -> list[Image.Image]:
    """Frames that differ."""
    return [Image.fromarray(np.roll(np.asarray(picture((60, 40))), 9 * number, axis=1)) for number in range(count)]


SUFFIXES = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "GIF": "gif", "TIFF": "tif", "BMP": "bmp", "PPM": "ppm"}

STILLS: dict[str, tuple[str, Callable[[], Image.Image], dict[str, Any]]] = {
    "JPEG": ("JPEG", picture, {"quality": 90}),
    "poor JPEG": ("JPEG", picture, {"quality": 40}),
    "progressive JPEG": ("JPEG", picture, {"progressive": True}),
    "grey JPEG": ("JPEG", lambda: picture().convert("L"), {}),
    "PNG": ("PNG", picture, {}),
    "alpha": ("PNG", lambda: picture().convert("RGBA"), {}),
    "grey with alpha": ("PNG", lambda: picture().convert("LA"), {}),
    "palette": ("PNG", lambda: picture().quantize(256), {"transparency": 3}),
    "palette of transparencies": ("PNG", lambda: picture().quantize(256), {"transparency": bytes(range(256))}),
    "WEBP": ("WEBP", picture, {}),
    "GIF": ("GIF", picture, {}),
    "BMP": ("BMP", picture, {}),
    "PPM": ("PPM", picture, {}),
    "TIFF": ("TIFF", picture, {}),
    "packed TIFF": ("TIFF", picture, {"compression": "tiff_lzw"}),
    "larger": ("PNG", lambda: picture().resize((630, 470), Image.Resampling.LANCZOS), {}),
    "smaller": ("JPEG", lambda: picture().resize((97, 61), Image.Resampling.LANCZOS), {"quality": 95}),
    "huge JPEG": ("JPEG", lambda: picture().resize((1531, 1003), Image.Resampling.LANCZOS), {"quality": 90}),
}


@pytest.mark.parametrize("still", STILLS)
def test_copies_have_nearly_the_same_thumbnail(tmp_path: Path, still: str) -> None:
    format_, draw, options = STILLS[still]
    path = tmp_path / f"a.{SUFFIXES[format_]}"
    drawn = draw()
    drawn.save(path, format_, **options)
    expected = picture().convert("L").resize((images.THUMBNAIL_PX,) * 2, Image.Resampling.BILINEAR)
    found = images.examine_image(path, (drawn.height, drawn.width))
    assert (found.shape, found.dtype) == ((32, 32), np.uint8)
    assert np.abs(found.astype(int) - np.asarray(expected)).mean() < (3 if "GIF" in still or "palette" in still else 1)


def test_what_is_transparent_shows_in_the_thumbnail(tmp_path: Path) -> None:
    see_through = picture().convert("RGBA")
    see_through.putalpha(0)
    see_through.save(tmp_path / "a.png")
    picture().save(tmp_path / "b.png")
    found = [images.examine_image(tmp_path / name, (200, 300)) for name in ("a.png", "b.png")]
    assert (found[0] == found[1]).all()


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 900), (900, 1), (31, 33), (8, 8)])
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_small_and_thin_photographs_have_thumbnails(tmp_path: Path, size_hw: tuple[int, int], suffix: str) -> None:
    assert images.examine_image(photo(tmp_path / f"a{suffix}", size_hw), size_hw).shape == (32, 32)


def test_the_photo_of_a_phone_with_a_preview_is_a_still(tmp_path: Path) -> None:
    first, *others = turned(3)
    first.copy().save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=others)
    first.copy().save(tmp_path / "b.jpg", "JPEG")
    with Image.open(tmp_path / "a.jpg") as stored:
        assert (stored.format, stored.n_frames) == ("MPO", 3)  # type: ignore[attr-defined]
    found = [images.examine_image(tmp_path / name, (40, 60)) for name in ("a.jpg", "b.jpg")]
    assert (found[0] == found[1]).all()


def test_colours_of_16_bits_are_read_by_their_upper_8(tmp_path: Path) -> None:
    wide = (np.asarray(picture()).astype(np.uint16) << 8)[..., ::-1]
    cv2.imwrite(str(tmp_path / "a.png"), wide)
    picture().save(tmp_path / "b.png")
    found = [images.examine_image(tmp_path / name, (200, 300)) for name in ("a.png", "b.png")]
    assert (found[0] == found[1]).all()


def deep(dtype: type[np.generic]) -> Image.Image:
    """A grey image of more than 8 bits."""
    return Image.fromarray(np.arange(2400).reshape(40, 60).astype(dtype))


def printed() -> Image.Image:
    """An image in the colours of print."""
    return picture((60, 40)).convert("CMYK")


REFUSED: dict[str, tuple[str, Callable[[], Image.Image], dict[str, Any], str]] = {
    "CMYK JPEG": ("JPEG", printed, {}, "is a CMYK image, made for print; convert it to RGB"),
    "CMYK TIFF": ("TIFF", printed, {}, "is a CMYK image"),
    "grey of 16 bits": ("PNG", lambda: deep(np.uint16), {}, r"more than 8 bits a channel \(mode I;16\)"),
    "grey of 32 bits": ("TIFF", lambda: deep(np.int32), {}, r"more than 8 bits a channel \(mode I\)"),
    "grey of floats": ("TIFF", lambda: deep(np.float32), {}, r"more than 8 bits a channel \(mode F\)"),
    "LAB": ("TIFF", lambda: Image.new("LAB", (60, 40)), {}, "has the colour mode LAB; convert it to RGB"),
    **{
        f"{format_} of frames": (
            format_,
            lambda: turned(1)[0],
            {"save_all": True, "append_images": turned(3)[1:]},
            rf"is animated or has several pages \({format_}\); save the picture that is meant",
        )
        for format_ in ("GIF", "WEBP", "PNG", "TIFF")
    },
}


@pytest.mark.parametrize("refused", REFUSED)
def test_what_is_no_still_photograph_is_refused(tmp_path: Path, refused: str) -> None:
    format_, draw, options, words = REFUSED[refused]
    path = tmp_path / f"a.{SUFFIXES[format_]}"
    draw().save(path, format_, **options)
    with pytest.raises(FormatError, match=words) as caught:
        images.examine_image(path, (40, 60))
    assert "\n" not in str(caught.value)
    assert caught.value.path == path


def test_inverted_cmyk_of_adobe_is_refused(tmp_path: Path) -> None:
    """YCCK, as Photoshop writes it: the marker APP14 says transform 2."""
    path = tmp_path / "a.jpg"
    printed().save(path)
    plain = path.read_bytes()
    place = plain.index(b"Adobe") + 11
    path.write_bytes(plain[:place] + b"\x02" + plain[place + 1 :])
    with pytest.raises(FormatError, match="CMYK"):
        images.examine_image(path, (40, 60))


def test_a_photograph_of_another_size_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = photo(tmp_path / "a.jpg")
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(MismatchError, match=r"expected 60x40 \(HxW\) from the annotation, got 40x60"):
        images.examine_image(path, (60, 40))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 60 40\n%%EndComments\nshowpage\n", "not an image"),
        (b"P6 0 40 255\n", "not an image"),
        (b"BM" + bytes(8) + b"\x36\0\0\0\x28" + bytes(9) + b"\1\0\x18" + bytes(25), "between 1 and|not an image"),
        (b"P6 20000 20000 255\n", "has 20000x20000 pixels; between 1 and 200000000 are read"),
    ],
    ids=["empty", "PostScript", "PPM of no width", "BMP of no size", "bomb"],
)
def test_what_has_no_pixels_or_too_many_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(FormatError, match=words):
        images.examine_image(tmp_path / "a.jpg", (40, 60))


def test_what_is_no_file_is_refused_by_the_examination(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in (tmp_path / "pipe.jpg", tmp_path, tmp_path / "none.jpg"):
        with pytest.raises(MissingError):
            images.examine_image(path, (40, 60))


def test_damaged_exif_turns_nothing(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (60, 40)).save(tmp_path / "a.jpg", exif=exif)
    whole = (tmp_path / "a.jpg").read_bytes()
    place = whole.index(b"Exif\0\0") + 6
    for cut in range(place, place + 16):
        (tmp_path / "a.jpg").write_bytes(whole[:cut] + b"\xff" * 4 + whole[cut + 4 :])
        assert isinstance(images.exif_orientation(tmp_path / "a.jpg"), int)
        with pytest.raises(MismatchError):
            images.examine_image(tmp_path / "a.jpg", (60, 40))


def zoo(folder: Path) -> dict[str, bytes]:
    """Sound files of every format, by name."""
    several = {"save_all": True, "append_images": turned(3)[1:]}
    for name, (format_, draw, options) in STILLS.items():
        if name not in ("larger", "smaller", "huge JPEG"):
            draw().resize((60, 40)).save(folder / name, format_, **options)
    for name, (format_, draw, options, _) in REFUSED.items():
        draw().save(folder / name, format_, **options)
    turned(1)[0].save(folder / "MPO", "MPO", **several)
    for compression in ("jpeg", "tiff_adobe_deflate", "packbits"):
        picture((60, 40)).save(folder / compression, "TIFF", compression=compression)
    for format_ in ("AVIF", "JPEG2000"):
        if format_ in Image.SAVE:
            picture((60, 40)).save(folder / format_, format_)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def damaged(content: bytes, dice: random.Random) -> bytes:
    """The file cut off, with bits and bytes changed anywhere or in its header, or with a part lost or put in."""
    kind, changed = dice.randrange(6), bytearray(content)
    if kind == 0:
        return content[: dice.randrange(len(content))]
    if kind == 1:
        place = dice.randrange(len(content))
        del changed[place : place + dice.randint(1, 40)]
    elif kind == 2:
        place = dice.randrange(len(content))
        changed[place:place] = dice.randbytes(dice.randint(1, 40))
    else:
        reach = len(content) if kind < 5 else min(120, len(content))
        for _ in range(dice.randint(1, 6)):
            place = dice.randrange(reach)
            changed[place] = dice.choice([changed[place] ^ 1 << dice.randrange(8), dice.randrange(256), 0, 127, 255])
    return bytes(changed)


def examine_damaged(folder: Path, rounds: int, seed: int) -> dict[str, int]:
    """How often damaged files were read and refused; any other exception, or a warning, ends the test."""
    (folder / "zoo").mkdir()
    sound, dice, counts = zoo(folder / "zoo"), random.Random(seed), {"read": 0, "refused": 0}
    readers = (images.read_image, images.read_indices, images.exif_orientation)
    for _ in range(rounds):
        for content in sound.values():
            path = folder / "damaged"
            path.write_bytes(damaged(content, dice))
            try:
                assert images.examine_image(path, (40, 60)).shape == (32, 32)
                counts["read"] += 1
            except CurateError as error:
                assert "\n" not in str(error)  # noqa: PT017
                counts["refused"] += 1
            reader = dice.choice(readers)
            try:
                if np.prod(images.read_size_hw(path)) < 1_000_000:
                    reader(path)
            except CurateError:
                pass
    return counts


def test_damaged_files_are_read_or_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        counts = examine_damaged(tmp_path, rounds=12, seed=0)
    assert min(counts.values()) > 50
    assert capfd.readouterr().out == ""


@pytest.mark.long
def test_very_many_damaged_files_are_read_or_refused(tmp_path: Path) -> None:
    assert min(examine_damaged(tmp_path, rounds=1500, seed=1).values()) > 5000
