"""Folders of photographs without labels, kept for pre-labelling: split `pool`, nothing in their masks counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from curate import dataset, masks
from curate.errors import CurateError, MissingError
from curate.files import readable_faults, sha256_bytes
from curate.images import IMAGE_SUFFIXES, read_size_hw
from curate.masks import SizeHW
from curate.sources import CANDIDATES, Label, Limits, Measure, Read
from curate.sources.folders import files_below, name_problem, printable
from curate.sources.lookup import Inside
from curate.sources.names import sample_keys
from curate.threads import Watch, map_threads, unwatched


@dataclass(frozen=True)
class Photo:
    """A photograph, with its size or with what is wrong with it."""

    path: Path
    size_hw: SizeHW | None
    problem: str | None


def read_pool(name: str, folder: Path, watch: Watch = unwatched) -> Read:
    """Every photograph below a folder as a candidate without a label.

    Args:
        name: The source's name.
        folder: Searched through. Links are followed inside it only.
        watch: Told of progress.

    Raises:
        MissingError: There is no such folder.
    """
    if not folder.is_dir():
        raise MissingError(f"{folder}: is not a folder. --pool takes a folder of photographs without masks")
    with readable_faults(folder):
        found, inside = files_below(folder, IMAGE_SUFFIXES), Inside([folder])
        photos = map_threads(partial(look_at, folder, inside), found.files, watch(f"reading {name}", len(found.files)))
    candidates = pl.DataFrame(
        {
            "sample_id": [f"{name}-{key}" for key in sample_keys(found.files)],
            "source": [name] * len(photos),
            "row": range(len(photos)),
            "folder": [printable(file.rpartition("/")[0]) for file in found.files],
            "width": [photo.size_hw and photo.size_hw[1] for photo in photos],
            "height": [photo.size_hw and photo.size_hw[0] for photo in photos],
            "people": [0] * len(photos),
            "licence": [None] * len(photos),
            "unreadable": [photo.problem for photo in photos],
        },
        schema=CANDIDATES,
    )
    names = sha256_bytes("\n".join(found.files).encode("utf-8", "surrogateescape"))
    source = dataset.Source("pool", name, None, {"names": names})
    return Read(source, candidates, PoolLabels(photos, inside), found.notes)


def look_at(folder: Path, inside: Inside, file: str) -> Photo:
    """A photograph's size from its header."""
    path = folder / file
    if name_problem(file):
        return Photo(path, None, name_problem(file))
    try:
        return Photo(path, read_size_hw(inside.check(path)), None)
    except CurateError as error:
        return Photo(path, None, str(error))


class PoolLabels:
    """No labels: the target counts nothing.

    Args:
        photos: By row.
        inside: Holds photographs to the source's folder.
    """

    def __init__(self, photos: Sequence[Photo], inside: Inside) -> None:
        self._photos, self._inside = photos, inside

    def image(self, row: int) -> Path:
        """The photograph's file."""
        return self._inside.check(self._photos[row].path)

    def measure_many(self, rows: Sequence[int], limits: Limits) -> list[Measure | None]:
        """What many labels show, each measured by itself."""
        return [self.measure(row, limits) for row in rows]

    def measure(self, row: int, limits: Limits) -> Measure:
        """Nobody, as far as is known."""
        return Measure(0, area=0.0)

    def draw(self, row: int) -> Label:
        """A target of which no pixel counts."""
        photo = self._photos[row]
        if photo.size_hw is None:
            raise MissingError(f"{photo.path}: {photo.problem}")
        return Label(np.full(photo.size_hw, masks.IGNORE, np.uint8), "none")
