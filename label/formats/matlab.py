"""MATLAB: the Image Labeler's `PixelLabelData/Label_N.png`, and label matrices in `.mat` files.

`Label_N.png` belongs to the one image whose name ends in the number N; nothing else links the two, since the `gTruth`
object beside it can be read by MATLAB alone. A list of images in the order of the labels settles it where names do not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from curate import images
from curate.errors import FormatError, MissingError, UsageError
from curate.masks import SizeHW
from curate.sources.mask_files import read_mask
from label.formats.png import SUFFIXES as PNG
from label.formats.png import Values, draw_png, values_named
from label.formats.reading import each_file, files_of, mask_size, read_bytes
from label.formats.record import Drawing, HandLabel, Options, Refusal, relative_name

SUFFIXES = (".png", ".mat")
LABEL = re.compile(r"Label_(\d+)\.png", re.IGNORECASE)
OPAQUE = b"MCOS"
"""Marks an object of a class in a MATLAB file."""
OBJECT_ADVICE = (
    "holds an object that MATLAB alone can read. Name the folder PixelLabelData beside it; for the order of the "
    "images, in MATLAB: writelines(string(gTruth.DataSource.Source), 'images.txt'), then --image-list images.txt"
)


def detect(path: Path) -> bool:
    """Whether the Image Labeler's masks, or MATLAB files, lie at `path`."""
    return any(LABEL.fullmatch(file.name) or file.suffix.lower() == ".mat" for file in _files(path))


def _files(path: Path) -> list[Path]:
    return [
        file
        for file in files_of(path, *SUFFIXES)
        if file == path or file.suffix.lower() not in PNG or LABEL.fullmatch(file.name)
    ]


def read(path: Path, options: Options) -> Iterator[HandLabel | Refusal]:
    """A label for each mask and matrix at `path`; raises as `Format.read` does."""
    person, ignore = values_named(options.person, "--person", 1), values_named(options.ignore, "--ignore", 2)
    files = _files(path)
    if not files:
        raise FormatError(path, "holds no Label_N.png and no .mat file. Name the Image Labeler's folder")
    if person is None and any(LABEL.fullmatch(file.name) for file in files):
        raise UsageError("--person is missing: the Image Labeler's masks hold class ids. Say which: --person 1")
    listed = read_list(options.image_list) if options.image_list is not None else None
    return each_file(files, lambda file: [_label(file, path, person, ignore, listed)])


def read_list(path: Path) -> list[str]:
    """The names in a list of images, one in each line.

    Raises:
        MissingError: It cannot be read.
    """
    try:
        text = path.read_text("utf-8-sig", errors="replace")
    except OSError as error:
        raise MissingError(f"{path}: cannot be read ({error.strerror}). Check the path of --image-list") from error
    return [line.strip().replace("\\", "/") for line in text.rstrip().split("\n")]


def _label(
    file: Path, root: Path, person: Values | None, ignore: Values | None, listed: Sequence[str] | None
) -> HandLabel:
    numbered = LABEL.fullmatch(file.name)
    if numbered is None:
        return matrix_label(file, root, person)
    number = int(numbered[1])
    if listed is not None and not 1 <= number <= len(listed):
        raise FormatError(file, f"is label {number}, but --image-list names {len(listed)} images")
    names, ending = ((listed[number - 1],), None) if listed is not None else ((), number)
    draw = partial(draw_png, file, person, ignore)
    return HandLabel(file, names, "matlab image labeler", mask_size(file), draw, lambda: None, ends_in=ending)


def matrix_label(file: Path, root: Path, person: Values | None) -> HandLabel:
    """A label matrix, known by the name of its file.

    Raises:
        FormatError: It is a ground truth object, or cannot be read.
    """
    if OPAQUE in read_bytes(file):
        raise FormatError(file, OBJECT_ADVICE)
    return HandLabel(file, (relative_name(file, root),), "mat", None, partial(draw_matrix, file, person), lambda: None)


def draw_matrix(file: Path, person: Values | None, size_hw: SizeHW) -> Drawing:
    """A matrix at `size_hw`: without `--person` one person where any pixel is set.

    Raises:
        FormatError: It is damaged, or does not hold one numeric matrix.
        MismatchError: It has another aspect ratio.
    """
    read = read_mask(file, frozenset(person or ()))
    fitted = images.fit_mask(read.target, size_hw, file).astype(np.uint8, copy=False)
    return Drawing(fitted, None, "a matrix without such a value")
