"""Folders of photographs without labels, kept for pre-labelling: split `pool`, nothing in their masks counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from curate import dataset, masks
from curate.errors import CurateError, MissingError
from curate.files import readable_faults, sha256_bytes
from curate.images import read_size_hw
from curate.masks import SizeHW
from curate.sources import CANDIDATES, Label, Limits, Measure, Read
from curate.sources.lookup import IMAGE_SUFFIXES, check_inside
from curate.sources.names import sample_keys


@dataclass(frozen=True)
class Photo:
    """A photograph, with its size or with what is wrong with it."""

    path: Path
    size_hw: SizeHW | None
    problem: str | None


def read_pool(name: str, folder: Path) -> Read:
    """Every photograph below a folder as a candidate without a label.

    Raises:
        MissingError: There is no such folder.
    """
    if not folder.is_dir():
        raise MissingError(f"{folder}: is not a folder. --pool takes a folder of photographs without masks")
    with readable_faults(folder):
        photos = [look_at(path, folder) for path in photos_below(folder)]
    files = [photo.path.relative_to(folder).as_posix() for photo in photos]
    candidates = pl.DataFrame(
        {
            "sample_id": [f"{name}-{key}" for key in sample_keys(files)],
            "source": [name] * len(photos),
            "row": range(len(photos)),
            "folder": [file.rpartition("/")[0] for file in files],
            "width": [photo.size_hw and photo.size_hw[1] for photo in photos],
            "height": [photo.size_hw and photo.size_hw[0] for photo in photos],
            "people": [0] * len(photos),
            "licence": [None] * len(photos),
            "unreadable": [photo.problem for photo in photos],
        },
        schema=CANDIDATES,
    )
    names = sha256_bytes("\n".join(files).encode("utf-8", "surrogateescape"))
    return Read(dataset.Source("pool", name, None, {"names": names}), candidates, PoolLabels(photos))


def photos_below(folder: Path) -> list[Path]:
    """The image files below a folder, sorted; hidden ones are passed over."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    return sorted(path for path in found if not path.name.startswith("."))


def look_at(path: Path, folder: Path) -> Photo:
    """A photograph's size from its header."""
    try:
        return Photo(path, read_size_hw(check_inside(path, [folder])), None)
    except CurateError as error:
        return Photo(path, None, str(error))


class PoolLabels:
    """No labels: the target counts nothing."""

    def __init__(self, photos: Sequence[Photo]) -> None:
        self._photos = photos

    def image(self, row: int) -> Path:
        """The photograph's file."""
        return self._photos[row].path

    def measure_many(self, rows: Sequence[int], limits: Limits) -> list[Measure | None]:
        """What many labels show, each measured by itself."""
        return [self.measure(row, limits) for row in rows]

    def measure(self, row: int, limits: Limits) -> Measure:
        """Nobody, as far as is known."""
        return Measure(0, area=0.0)

    def draw(self, row: int) -> Label:
        """A target of which no pixel counts."""
        size_hw = self._photos[row].size_hw
        if size_hw is None:
            raise MissingError(f"{self._photos[row].path}: {self._photos[row].problem}")
        return Label(np.full(size_hw, masks.IGNORE, np.uint8), "none")
