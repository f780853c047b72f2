"""Images decoded and resized once, kept beside the datasets of this user and opened without being read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from curate.classes import class_hash
from curate.dataset import Dataset
from curate.errors import ExistsError
from curate.files import staged_folder
from curate.threads import Watch, map_threads
from train.targets import resize_target

KEEP_BYTES = 50 * 10**9
"""What caches take of the disk in all, at most; those that were not used for longest go first."""
SPARE_BYTES = 10**9
"""What a cache leaves free on the disk."""
MADE_BY = 1
"""Changes with the way images are resized, so that older caches are not taken for what is wanted."""


@dataclass(frozen=True)
class Cache:
    """Images at training size.

    `images` is (N, S, S, 3) uint8 RGB, `targets` (N, S, S) uint8 of train.targets, `place` sample_id -> row.
    """

    images: NDArray[np.uint8]
    targets: NDArray[np.uint8]
    place: dict[str, int]


class _Header(msgspec.Struct, frozen=True):
    made_by: int
    digest: str
    size: int
    sample_ids: list[str]


def cache_folder() -> Path:
    """Where caches lie: $CURATE_CACHE, else `curate` in $XDG_CACHE_HOME, else ~/.cache/curate."""
    if own := os.environ.get("CURATE_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "curate"


def open_cache(dataset: Dataset, size: int, watch: Watch) -> Cache:
    """All images that are learnt from or judged by, at training size, memory-mapped.

    They are decoded and resized where no run did that before for the same digest and size. Where the disk has no place
    for them, or another process is writing the very same, they are held in memory instead, and the stage says why.
    """
    rows = dataset.rows("train", "background", "val")
    folder, header = _place(dataset, size)
    cache = _opened(folder, header)
    if cache is not None:
        return cache
    why = _no_place(folder, len(rows) * size * size * 4)
    if why is None:
        try:
            with staged_folder(folder, force=True) as staging:
                _write(staging, dataset, rows, header, watch)
            _forget_oldest(folder)
            cache = _opened(folder, header)
        except (ExistsError, OSError) as error:
            why = str(error)
    return cache or fill_memory(dataset, rows, size, watch, why)


def is_cached(dataset: Dataset, size: int) -> bool:
    """Whether `open_cache` would find the images there."""
    return _opened(*_place(dataset, size)) is not None


def _place(dataset: Dataset, size: int) -> tuple[Path, _Header]:
    """The folder of a cache, and what it must hold."""
    names = [row["sample_id"] for row in dataset.rows("train", "background", "val")]
    header = _Header(MADE_BY, dataset.header.digest, size, names)
    return cache_folder() / f"{header.digest[:24]}-{size}", header


def fill_memory(
    dataset: Dataset, rows: Sequence[dict[str, Any]], size: int, watch: Watch, why: str | None = None
) -> Cache:
    """A cache of some rows in memory alone; `why` is told by the stage."""
    images = np.empty((len(rows), size, size, 3), np.uint8)
    targets = np.empty((len(rows), size, size), np.uint8)
    _fill(images, targets, dataset, rows, watch, f"read images into memory: {why}" if why else "read images")
    return Cache(images, targets, {row["sample_id"]: place for place, row in enumerate(rows)})


def _opened(folder: Path, wanted: _Header) -> Cache | None:
    """The cache in a folder where it is whole and what is wanted."""
    path = folder / "header.json"
    try:
        if msgspec.json.decode(path.read_bytes(), type=_Header) != wanted:
            return None
        images, targets = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("images", "targets"))
    except (OSError, ValueError, EOFError, msgspec.DecodeError):
        return None
    count, size = len(wanted.sample_ids), wanted.size
    if images.shape != (count, size, size, 3) or targets.shape != (count, size, size):
        return None
    with suppress(OSError):
        os.utime(path)  # used now
    return Cache(images, targets, {sample_id: place for place, sample_id in enumerate(wanted.sample_ids)})


def _no_place(folder: Path, needed: int) -> str | None:
    """Why a cache of so many bytes cannot be written, or None."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder.parent).free
    except OSError as error:
        return f"{folder.parent}: {error.strerror}"
    if free < needed + SPARE_BYTES:
        return f"{folder.parent}: {needed / 1e9:.1f} GB are needed, {free / 1e9:.1f} are free"
    return None


def _write(folder: Path, dataset: Dataset, rows: Sequence[dict[str, Any]], header: _Header, watch: Watch) -> None:
    shape = (len(rows), header.size, header.size)
    images = open_memmap(folder / "images.npy", "w+", np.uint8, (*shape, 3))
    targets = open_memmap(folder / "targets.npy", "w+", np.uint8, shape)
    _fill(images, targets, dataset, rows, watch, "read images")
    images.flush()
    targets.flush()
    (folder / "header.json").write_bytes(msgspec.json.encode(header))


def _fill(
    images: NDArray[np.uint8],
    targets: NDArray[np.uint8],
    dataset: Dataset,
    rows: Sequence[dict[str, Any]],
    watch: Watch,
    stage: str,
) -> None:
    size, named = images.shape[1], names_classes(dataset)

    def fill(place: int) -> None:
        row = rows[place]
        images[place] = resize_image(dataset.image(row), size)
        targets[place] = resize_target(dataset.target(row), size, dataset.classes(row) if named else None, named=named)

    map_threads(fill, range(len(rows)), watch(stage, len(rows)))


def names_classes(dataset: Dataset) -> bool:
    """Whether it says of some images where held objects and animals are."""
    return any(class_hash(tags) is not None for tags in dataset.samples["tags"])


def _forget_oldest(folder: Path) -> None:
    """Remove what was not used for longest beside `folder` until the rest is small enough.

    A run that still reads what is removed goes on: its files stay on the disk until it closes them.
    """
    known = sorted(folder.parent.glob("*/header.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    total = 0
    for other in [folder, *(path.parent for path in known if path.parent != folder)]:
        total += sum(path.stat().st_size for path in other.iterdir())
        if total > KEEP_BYTES and other != folder:
            shutil.rmtree(other, ignore_errors=True)


def resize_image(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """An image (H, W, 3) as (size, size, 3): by area average where it shrinks, bilinearly where it grows."""
    shrinks = image.shape[0] * image.shape[1] > size * size
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)  # type: ignore[return-value]
