"""The only image reader. Annotations speak of the stored raster: nothing is rotated, resized or recoloured silently."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from curate.errors import CurateError, FormatError, MismatchError, MissingError
from curate.files import check_regular
from curate.masks import SizeHW, Target, value_counts

Pixel = TypeVar("Pixel", bound=np.generic)

MAX_PIXELS = 200_000_000
"""Images with more pixels are refused from their header alone, before anything is decoded."""

MOST_OF_SMALL = 64_000_000
"""Pixels of an image in colour that a small file may unfold to: at 14 bytes each while it is decoded, under 1 GiB."""
MOST_FROM_BYTE = 100
"""Pixels for each byte of a file, from which it is a small one. Photographs have up to 20; flat masks a thousand."""

JPEG_LUMA_SUM = 3688
"""Of the 64 numbers of the standard luma quantisation table."""

THUMBNAIL_PX = 32
"""Height and width of what `examine_image` gives."""

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "AVIF", "JPEG2000")
"""What is read, whatever a file is called. Pillow knows more: it would run Ghostscript on an EPS named `a.jpg`."""

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"})
"""What counts as an image in a folder; a file that is named itself may be called anything."""

Image.MAX_IMAGE_PIXELS = None  # the cap above is checked here, on the header, with a message of our own

UNDECODABLE = "the pixels cannot be decoded"

_PHOTO_MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "YCbCr")

FLAT = ("1", "L", "P")
"""Modes of one byte a pixel."""

_EXIF_ORIENTATION = 0x0112


def read_header(path: Path) -> Image.Image:
    """The opened, not yet decoded image.

    Raises:
        MissingError: No regular file stands there.
        FormatError: The file is no image, has no pixels, or more than MAX_PIXELS.
    """
    check_regular(path)
    with _damage_told(path, "is not an image Pillow can read"):
        image = Image.open(path, formats=FORMATS)
    width, height = image.size
    if not 0 < width * height <= MAX_PIXELS:
        image.close()
        raise FormatError(path, f"has {width}x{height} pixels; between 1 and {MAX_PIXELS} are read")
    return image


@contextmanager
def _damage_told(path: Path | str, problem: str) -> Iterator[None]:
    """Turn whatever Pillow raises into a FormatError of `problem`, and keep its warnings to ourselves.

    Pillow documents a handful of exceptions, but damaged files make it raise nearly every built-in one; a list of
    those seen so far would let the next one end a build of 100,000 images.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd EXIF and palettes; the pixels are what counts
            yield
    except PermissionError as error:
        raise MissingError(f"{path}: cannot be opened ({error.strerror})") from error
    except UnidentifiedImageError as error:
        raise FormatError(path, problem) from error  # its text is the path again
    except Exception as error:  # a damaged file makes Pillow's decoders raise whatever they stumble over
        raise FormatError(path, f"{problem} ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    """An exception's text on one line, with its type where the text was not written for people."""
    text = shorten(str(error), 120, placeholder="...")
    return text if text and isinstance(error, OSError | ValueError | SyntaxError) else f"{type(error).__name__} {text}"


def read_mask_bytes(data: bytes, size_hw: SizeHW, where: str) -> NDArray[np.bool_]:
    """A PNG held in memory as a mask (H, W): set where its first channel is not 0.

    Args:
        data: The PNG's bytes.
        size_hw: The size it must have; checked on the header, before anything is decoded.
        where: File and place, for the error.

    Raises:
        FormatError: The bytes are no PNG, or cut off.
        MismatchError: It has another size.
    """
    with _damage_told(where, "is not a PNG that can be decoded"):
        image = Image.open(io.BytesIO(data), formats=["PNG"])
    found = (image.height, image.width)
    if found != size_hw:
        raise MismatchError(where, f"{size_hw[0]}x{size_hw[1]} (HxW)", f"{found[0]}x{found[1]}")
    with _damage_told(where, "is not a PNG that can be decoded"):
        image.load()
        values = np.array(image)
    mask: NDArray[np.bool_] = (values if values.ndim == 2 else values[..., 0]) != 0
    return mask


def read_size_hw(path: Path) -> SizeHW:
    """(height, width) in px of the stored raster, from the header alone."""
    with read_header(path) as image:
        return image.height, image.width


def exif_orientation(path: Path) -> int:
    """The EXIF orientation an image file carries, 1 (as stored) where it carries none or none that can be read."""
    with read_header(path) as image:
        return _orientation(image)


def _orientation(image: Image.Image) -> int:
    try:
        with _damage_told("", "damaged EXIF"):
            turn = image.getexif().get(_EXIF_ORIENTATION, 1)
    except CurateError:
        return 1
    return turn if isinstance(turn, int) else 1


def read_image(path: Path, size_hw: SizeHW | None = None) -> NDArray[np.uint8]:
    """The stored raster as (H, W, 3) uint8 RGB.

    Args:
        path: Image file of any mode Pillow reads; converted to RGB.
        size_hw: The size the annotation states, if there is one.

    Raises:
        MissingError, FormatError: As `read_header`; also where the pixels are cut off.
        MismatchError: The raster has another size than `size_hw`.
    """
    with read_header(path) as image:
        if size_hw is not None:
            check_size(path, image, size_hw)
        return _decoded(path, image, "RGB")


def read_thumbnail(path: Path, height_px: int) -> NDArray[np.uint8]:
    """A photograph to look at, (H, W, 3) uint8 RGB: a JPEG is decoded at the smallest scale not below `height_px`."""
    with read_header(path) as image:
        scale = max(1, image.height // height_px)
        image.draft("RGB", (max(1, image.width // scale), max(1, image.height // scale)))
        return _decoded(path, image, "RGB")


def jpeg_quality(path: Path) -> int | None:
    """The quality, 1 to 100, that libjpeg would have been asked for to store a JPEG so coarsely; None of other files.

    Told from the sum of its luma quantisation table: libjpeg scales one standard table (ITU-T T.81, annex K), but no
    entry above 255, so that what is below 10 is told as about 10.

    Raises:
        FormatError: The file is no image.
    """
    with read_header(path) as image:
        tables: dict[int, list[int]] = getattr(image, "quantization", {})
        if 0 not in tables:
            return None
        percent = 100 * sum(tables[0]) / JPEG_LUMA_SUM
    return max(1, min(100, round(100 - percent / 2 if percent <= 100 else 5000 / percent)))


def examine_image(path: Path, size_hw: SizeHW) -> NDArray[np.uint8]:
    """A photograph read to its end: its brightness as a (THUMBNAIL_PX, THUMBNAIL_PX) uint8 thumbnail.

    The aspect ratio is given up and alpha ignored, so that copies of other sizes, formats and qualities give nearly
    the same thumbnail. A JPEG is decoded at a scale of down to an eighth and without its colours: all of its data is
    read and so checked, at half the cost. What a decoder does not notice is not noticed here: a flipped bit in a JPEG
    often is only a smear.

    Args:
        path: Image file.
        size_hw: The size the annotation states.

    Raises:
        MissingError, FormatError: As `read_header` and `check_photograph`; also where the pixels cannot be decoded.
        MismatchError: The raster has another size than `size_hw`.
    """
    with read_header(path) as image:
        check_photograph(path, image)
        check_size(path, image, size_hw)
        check_unfolding(path, image)
        with _damage_told(path, UNDECODABLE):
            drafted = image.draft("L", (2 * THUMBNAIL_PX, 2 * THUMBNAIL_PX))
            # A drafted raster ends in a part of a pixel; leaving it out keeps the copies in register.
            box = drafted[1] if drafted else None
            grey = image.convert("L").resize((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.BILINEAR, box=box)
            return np.array(grey)


def check_photograph(path: Path, image: Image.Image) -> None:
    """Raise FormatError where a header is not that of one still picture in RGB or grey of 8 bits a channel.

    Colours of 16 bits a channel, which Pillow reads as their upper 8, pass; grey of 16 bits would be clipped.
    """
    if image.mode == "CMYK":
        raise FormatError(path, "is a CMYK image, made for print; convert it to RGB")
    if image.mode.startswith(("I", "F")):
        raise FormatError(path, f"has more than 8 bits a channel (mode {image.mode}); convert it to 8 bits")
    if image.mode not in _PHOTO_MODES:
        raise FormatError(path, f"has the colour mode {image.mode}; convert it to RGB")
    with _damage_told(path, "its frames cannot be counted"):
        animated = image.format != "MPO" and getattr(image, "is_animated", False)
    if animated:
        raise FormatError(path, f"is animated or has several pages ({image.format}); save the picture that is meant")


def check_unfolding(path: Path, image: Image.Image) -> None:
    """Raise FormatError where a small file would take the machine's memory. Grey and palettes take little enough."""
    pixels = image.width * image.height
    if pixels > max(MOST_OF_SMALL, MOST_FROM_BYTE * path.stat().st_size):
        told = f"has {image.width}x{image.height} pixels in {path.stat().st_size} bytes, as no photograph has"
        raise FormatError(path, f"{told}. Scale it down, or save it in grey where it is a mask")


def check_size(path: Path, image: Image.Image, size_hw: SizeHW) -> None:
    """Raise MismatchError where the stored raster's size is not the annotation's, naming EXIF where it may be why."""
    found = (image.height, image.width)
    if found != size_hw:
        turn = _orientation(image)
        hint = f"The file carries EXIF orientation {turn}; annotations speak of the stored raster" if turn != 1 else ""
        raise MismatchError(
            path, f"{size_hw[0]}x{size_hw[1]} (HxW) from the annotation", f"{found[0]}x{found[1]}", hint
        )


def read_indices(path: Path) -> NDArray[np.integer]:
    """A label image as its stored values (H, W): palette indices, grey levels or 16-bit ids, no colour conversion.

    An image with colour or alpha is returned as (H, W, C) uint8.

    Raises:
        FormatError: As `read_header`; also where values would be lost: colours of 16 bits, and fractions.
    """
    with read_header(path) as image:
        tiles = getattr(image, "tile", ())
        deep = image.mode in ("RGB", "RGBA") and any(str(tile[3]).endswith(";16B") for tile in tiles)
        if image.mode == "F":
            return _whole_numbers(path, _decoded(path, image, None))
        keep = image.mode in ("P", "L", "1", "I;16", "I", "RGB", "RGBA", "LA")
        values = _decoded(path, image, "I" if image.mode == "I;16B" else None if keep else "RGB")
    if deep and (values.shape[2] == 3 or values[..., 3].min() == 255):
        raise FormatError(path, "has colours of 16 bits, of which 8 are read. Save it as a grey image")
    return values


def _whole_numbers(path: Path, values: NDArray[np.generic]) -> NDArray[np.int32]:
    with np.errstate(invalid="ignore"):
        whole = values.astype(np.int32)
    if (whole != values).any():
        raise FormatError(path, "holds fractions. Save it with whole numbers, such as 0 and 255")
    return whole


def is_inverted_palette(path: Path) -> bool:
    """Whether an image has a palette that begins with white and black: its first index is the lighter one.

    Programs that make a palette of a black and white picture number the colours as they come.
    """
    with read_header(path) as image:
        return image.mode == "P" and (image.getpalette("RGB") or [])[:6] == [255, 255, 255, 0, 0, 0]


def _decoded(path: Path, image: Image.Image, mode: str | None) -> NDArray[np.uint8]:
    """The pixels; any way a damaged file can fail is a FormatError."""
    if mode is not None or image.mode not in FLAT:
        check_unfolding(path, image)
    with _damage_told(path, UNDECODABLE):
        image.load()  # not left to numpy, which takes an AttributeError for an object that is no array
    with _damage_told(path, f"the pixels cannot be read as {mode}"):
        return np.array(image.convert(mode) if mode else image)


def read_grey(path: Path, size_hw: SizeHW | None = None) -> NDArray[np.uint8]:
    """An 8-bit single-channel PNG of ours (a target or a prediction), (H, W) uint8.

    Raises:
        FormatError: It has another mode than 8-bit grey.
        MismatchError: It has another size than `size_hw`.
    """
    with read_header(path) as image:
        if image.mode != "L":
            raise FormatError(path, f"has mode {image.mode}, expected an 8-bit single-channel PNG")
        if size_hw is not None:
            check_size(path, image, size_hw)
        return _decoded(path, image, None)


def read_target(path: Path, size_hw: SizeHW | None = None) -> Target:
    """A target (H, W) of 0, 128 and 255; any other value is a FormatError."""
    target = read_grey(path, size_hw)
    if not ((target == 0) | (target == 128) | (target == 255)).all():
        strange = value_counts(target).keys() - {0, 128, 255}
        told = f"holds the value {min(strange)}; a mask holds 0 background, 255 person, 128 not counted"
        raise FormatError(path, told)
    return target


def png_bytes(grey: NDArray[np.uint8]) -> bytes:
    """An (H, W) uint8 array as an 8-bit grey PNG; the same array gives the same bytes."""
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def prediction_png(prediction: NDArray[np.uint8]) -> bytes:
    """A prediction (H, W) as an 8-bit grey PNG; the same prediction gives the same bytes.

    It is a small map enlarged smoothly, so each row is nearly the one above: run lengths of the differences take a
    tenth more than zlib's level 6, in a sixth of the time.
    """
    flags = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
    flags += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]
    return cv2.imencode(".png", prediction, flags)[1].tobytes()


def target_png(target: Target) -> bytes:
    """A target (H, W) as an 8-bit grey PNG; the same target gives the same bytes.

    Run lengths are all there is to compress in three flat values: this is smaller than zlib's level 6 makes it, in a
    fifth of the time.
    """
    flags = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
    flags += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE]
    return cv2.imencode(".png", target, flags)[1].tobytes()


def same_aspect(old_hw: SizeHW, new_hw: SizeHW) -> bool:
    """Whether a raster of one size, scaled to the other's height or width, has its other side within one pixel."""
    (old_height, old_width), (height, width) = old_hw, new_hw
    return abs(old_height * width / old_width - height) <= 1 or abs(old_width * height / old_height - width) <= 1


def fit_mask(mask: NDArray[Pixel], size_hw: SizeHW, where: Path | str) -> NDArray[Pixel]:
    """The mask at the image's size: itself, or resized (nearest, as Pillow does it) where the aspect ratio is the same.

    Same means that the sides agree within one pixel after scaling. The caller reports the resizing.

    Raises:
        MismatchError: The aspect ratio differs, so the mask belongs to another image or another crop.
    """
    if mask.shape[:2] == size_hw:
        return mask
    (height, width), (old_height, old_width) = size_hw, mask.shape[:2]
    if not same_aspect((old_height, old_width), size_hw):
        raise MismatchError(
            where,
            f"a mask of {height}x{width} (HxW) or the same aspect ratio",
            f"{old_height}x{old_width}",
            "It belongs to another image or another crop; mend the mask or leave it out",
        )
    return np.array(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))
