"""The only image reader. Annotations speak of the stored raster: nothing is rotated, resized or recoloured silently."""

from __future__ import annotations

import io
import stat
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from curate.errors import FormatError, MismatchError, MissingError
from curate.masks import SizeHW, Target

MAX_PIXELS = 200_000_000
"""Images with more pixels are refused from their header alone, before anything is decoded."""

Image.MAX_IMAGE_PIXELS = None  # the cap above is checked here, on the header, with a message of our own

_EXIF_ORIENTATION = 0x0112


def read_header(path: Path) -> Image.Image:
    """The opened, not yet decoded image.

    Raises:
        MissingError: No regular file stands there (a folder, FIFO or device would hang or break a plain open).
        FormatError: The file is no image, has no pixels, or more than MAX_PIXELS.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise MissingError(f"{path}: cannot be opened ({error.strerror})") from error
    if not stat.S_ISREG(mode):
        raise MissingError(f"{path}: is not a regular file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd EXIF and palettes; the pixels are what counts
            image = Image.open(path)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise FormatError(path, "is not an image Pillow can read") from error
    width, height = image.size
    if not 0 < width * height <= MAX_PIXELS:
        raise FormatError(path, f"has {width}x{height} pixels; between 1 and {MAX_PIXELS} are read")
    return image


def read_size_hw(path: Path) -> SizeHW:
    """(height, width) in px of the stored raster, from the header alone."""
    with read_header(path) as image:
        return image.height, image.width


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


def check_size(path: Path, image: Image.Image, size_hw: SizeHW) -> None:
    """Raise MismatchError where the stored raster's size is not the annotation's, naming EXIF where it may be why."""
    found = (image.height, image.width)
    if found != size_hw:
        turn = image.getexif().get(_EXIF_ORIENTATION, 1)
        hint = f"The file carries EXIF orientation {turn}; annotations speak of the stored raster" if turn != 1 else ""
        raise MismatchError(
            path, f"{size_hw[0]}x{size_hw[1]} (HxW) from the annotation", f"{found[0]}x{found[1]}", hint
        )


def read_indices(path: Path) -> NDArray[np.integer]:
    """A label image as its stored values (H, W): palette indices, grey levels or 16-bit ids, no colour conversion.

    An image with colour or alpha is returned as (H, W, C) uint8.
    """
    with read_header(path) as image:
        keep = image.mode in ("P", "L", "1", "I;16", "I", "RGB", "RGBA", "LA")
        return _decoded(path, image, None if keep else "RGB")


def _decoded(path: Path, image: Image.Image, mode: str | None) -> NDArray[np.uint8]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.array(image.convert(mode) if mode else image)
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise FormatError(path, f"the pixels cannot be decoded ({error})") from error


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
    strange = np.setdiff1d(np.unique(target), (0, 128, 255))
    if strange.size:
        raise FormatError(path, f"holds the value {strange[0]}; a mask holds 0 background, 255 person, 128 not counted")
    return target


def png_bytes(grey: NDArray[np.uint8]) -> bytes:
    """An (H, W) uint8 array as an 8-bit grey PNG; the same array gives the same bytes."""
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def fit_mask(mask: NDArray[np.generic], size_hw: SizeHW, where: Path | str) -> NDArray[np.generic]:
    """The mask at the image's size: itself, or resized (nearest, as Pillow does it) where the aspect ratio is the same.

    Same means that the sides agree within one pixel after scaling. The caller reports the resizing.

    Raises:
        MismatchError: The aspect ratio differs, so the mask belongs to another image or another crop.
    """
    if mask.shape[:2] == size_hw:
        return mask
    (height, width), (old_height, old_width) = size_hw, mask.shape[:2]
    if abs(old_height * width / old_width - height) > 1 and abs(old_width * height / old_height - width) > 1:
        raise MismatchError(
            where,
            f"a mask of {height}x{width} (HxW) or the same aspect ratio",
            f"{old_height}x{old_width}",
            "It belongs to another image or another crop; mend the mask or leave it out",
        )
    return np.array(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))
