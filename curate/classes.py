"""Held objects and animals as classes of their own: a mask beside the target, and the tag that speaks for it.

A target knows a person, what is none, and what does not count. Where `--held` or `--animals` say `class`, each image
whose source names its objects gets a second mask, `classes/<sample_id>.png`, of the values of CLASS_VALUES in
`curate/foreground.py`. The hash of its bytes stands among the tags of its row, so that a dataset's digest covers it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from curate.foreground import CLASS_VALUES

if TYPE_CHECKING:  # tags are told apart without what decodes pixels
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from curate.masks import Mask, SizeHW, Target

FOLDER = "classes"
"""The folder of a dataset that holds the class masks."""
PREFIX = "classes:"
DIGITS = 16
"""Hex digits of the file's SHA-256 behind the prefix."""
SHOWN = 6
"""Of them, those that are shown."""


def class_tag(png: bytes) -> str:
    """The tag of a class mask's file.

    >>> class_tag(b"")
    'classes:e3b0c44298fc1c14'
    """
    return PREFIX + hashlib.sha256(png).hexdigest()[:DIGITS]


def is_class_tag(tag: str) -> bool:
    """Whether a tag is that of a class mask."""
    return tag.startswith(PREFIX)


def is_class_tags() -> pl.Expr:
    """The same as an expression over the elements of a list of tags."""
    import polars as pl

    return pl.element().str.starts_with(PREFIX)


def class_hash(tags: Iterable[str | None] | None) -> str | None:
    """The first DIGITS hex digits of the hash of a row's class mask; None where the row has none.

    A damaged table may hold nulls.

    >>> class_hash(["crowd", "classes:e3b0c44298fc1c14"]), class_hash(["crowd"])
    ('e3b0c44298fc1c14', None)
    """
    return next((tag.removeprefix(PREFIX) for tag in (() if tags is None else tags) if tag and is_class_tag(tag)), None)


def class_path(row: dict[str, Any]) -> str | None:
    """Where the class mask of a row lies inside its dataset, called as its mask is; None where it has none."""
    return f"{FOLDER}/{PurePosixPath(row['mask']).name}" if class_hash(row["tags"]) is not None else None


def renewed_tags(tags: Sequence[str], drawn: Iterable[str]) -> list[str]:
    """The tags with that of a class mask as it stands in `drawn`, where it is in both.

    >>> renewed_tags(["hard", "classes:e3b0c44298fc1c14", "rule:area"], ["classes:2c26b46b68ffc68f"])
    ['hard', 'classes:2c26b46b68ffc68f', 'rule:area']
    """
    now = class_hash(drawn)
    return [PREFIX + now if now is not None and is_class_tag(tag) else tag for tag in tags]


def shown_tag(tag: str) -> str:
    """A tag as a reader is shown it.

    >>> shown_tag("classes:e3b0c44298fc1c14"), shown_tag("crowd")
    ('classes:e3b0c4', 'crowd')
    """
    return tag[: len(PREFIX) + SHOWN] if is_class_tag(tag) else tag


def without_hashes(tags: pl.Series) -> pl.Series:
    """Lists of tags, all class masks under one name, since nobody counts hashes.

    >>> import polars as pl
    >>> without_hashes(pl.Series([["crowd", "classes:e3b0c44298fc1c14"], []])).to_list()
    [['crowd', 'classes'], []]
    """
    import polars as pl

    return tags.list.eval(pl.element().str.replace(f"^{PREFIX}.*$", FOLDER))


def draw_classes(size_hw: SizeHW, objects: Iterable[tuple[Mask, str]]) -> NDArray[np.uint8]:
    """The class of each pixel, (H, W) uint8 of CLASS_VALUES, 0 where nothing is of one.

    Where an animal and a held object overlap, the held one wins: it is mostly the smaller, and lies before the animal.

    >>> import numpy as np
    >>> dog, leash = np.array([[False, True, True]]), np.array([[True, True, False]])
    >>> draw_classes((1, 3), [(leash, "held"), (dog, "animal")]).tolist()
    [[1, 1, 2]]
    """
    import numpy as np

    classes = np.zeros(size_hw, np.uint8)
    for mask, name in sorted(objects, key=lambda one: CLASS_VALUES[one[1]], reverse=True):
        classes[mask] = CLASS_VALUES[name]
    return classes


def beside(classes: NDArray[np.uint8], target: Target) -> NDArray[np.uint8]:
    """The classes where the target is background: a person wins, and what does not count is of no class.

    >>> import numpy as np
    >>> beside(np.array([[1, 2, 2]], np.uint8), np.array([[255, 128, 0]], np.uint8)).tolist()
    [[0, 0, 2]]
    """
    import numpy as np

    from curate.masks import BACKGROUND

    return np.where(target == BACKGROUND, classes, np.uint8(0))


def class_png(classes: NDArray[np.uint8], target: Target) -> bytes:
    """The file of a class mask, given the classes of objects and the target of its image, both (H, W)."""
    from curate.images import target_png

    return target_png(beside(classes, target))


def read_class_mask(path: Path, size_hw: SizeHW) -> NDArray[np.uint8]:
    """A class mask (H, W) uint8 of 0 and CLASS_VALUES.

    Raises:
        MissingError: There is no such file.
        FormatError: It is no 8-bit grey image, cannot be decoded, or holds another value.
        MismatchError: It has another size than its image.
    """
    from curate.errors import FormatError
    from curate.images import read_grey
    from curate.masks import value_counts

    classes = read_grey(path, size_hw)
    if strange := value_counts(classes).keys() - {0, *CLASS_VALUES.values()}:
        known = ", ".join(f"{value} {name}" for name, value in CLASS_VALUES.items())
        raise FormatError(path, f"holds the value {min(strange)}; a class mask holds 0 neither, {known}")
    return classes
