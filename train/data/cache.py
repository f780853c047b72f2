"""Images decoded and resized once, kept beside the datasets of this user and opened without being read."""

from __future__ import annotations

import os
import re
import shutil
import time
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

from curate import schema
from curate.classes import class_hash
from curate.dataset import Dataset
from curate.errors import JSON_ERRORS, ExistsError, MachineError
from curate.files import cache_folder, is_staged, staged_folder
from curate.threads import Watch, map_threads
from train.data.targets import resize_target

KEEP_BYTES = 50 * 10**9
"""What caches take of the disk in all, at most; those that were not used for longest go first."""
SPARE_BYTES = 10**9
"""What a cache leaves free on the disk."""
MEMORY_SHARE = 0.75
"""How much of the memory that is free images may take where the disk has no place for them."""
POLL_S = 0.2
"""How often to look whether another run is done with the images that both want."""
MADE_BY = 1
"""Changes with the way images are resized, so that older caches are not taken for what is wanted."""


@dataclass(frozen=True)
class Cache:
    """Images at training size.

    `images` is (N, S, S, 3) uint8 RGB, `targets` (N, S, S) uint8 of train.data.targets, `place` sample_id -> row.
    """

    images: NDArray[np.uint8]
    targets: NDArray[np.uint8]
    place: dict[str, int]


class _Header(msgspec.Struct, frozen=True):
    made_by: int
    digest: str
    size: int
    sample_ids: list[str]


def open_cache(dataset: Dataset, size: int, watch: Watch) -> Cache:
    """All images that are learnt from or judged by, at training size, memory-mapped.

    They are decoded and resized where no run did that before for the same digest and size; another run that does so now
    is waited for. Where the disk has no place for them they are held in memory instead, and the stage says why.

    Raises:
        MachineError: Neither the disk nor the memory has a place for them.
    """
    rows = dataset.rows(*schema.LEARNT, "val")
    folder, header = _place(dataset, size)
    while (cache := _opened(folder, header)) is None:
        if why := _no_place(folder, _bytes(len(rows), size)):
            return fill_memory(dataset, rows, size, watch, why)
        try:
            with staged_folder(folder, force=True) as staging:
                _write(staging, dataset, rows, header, watch)
        except ExistsError:
            _wait_for_writer(folder, watch)
        except OSError as error:
            return fill_memory(dataset, rows, size, watch, str(error))
        else:
            _forget_oldest(folder)
    return cache


def _wait_for_writer(folder: Path, watch: Watch) -> None:
    """Wait while another process writes a cache: until it is there, or that process has ended without it."""
    tick = watch("wait for another run that reads the same images", 1)
    while is_staged(folder):
        time.sleep(POLL_S)
    tick(1)


def is_cached(dataset: Dataset, size: int) -> bool:
    """Whether `open_cache` would find the images there."""
    return _opened(*_place(dataset, size)) is not None


def _place(dataset: Dataset, size: int) -> tuple[Path, _Header]:
    """The folder of a cache, and what it must hold."""
    names = dataset.sample_ids(*schema.LEARNT, "val")
    header = _Header(MADE_BY, dataset.header.digest, size, names)
    return cache_folder() / _folder_name(header), header


def fill_memory(
    dataset: Dataset, rows: Sequence[dict[str, Any]], size: int, watch: Watch, why: str | None = None
) -> Cache:
    """A cache of some rows in memory alone; `why` is told by the stage.

    Raises:
        MachineError: They would take more than MEMORY_SHARE of the memory that is free.
    """
    _check_memory(len(rows), size, why)
    images = np.empty((len(rows), size, size, 3), np.uint8)
    targets = np.empty((len(rows), size, size), np.uint8)
    _fill(images, targets, dataset, rows, watch, f"read images into memory: {why}" if why else "read images")
    return Cache(images, targets, {row["sample_id"]: place for place, row in enumerate(rows)})


def _bytes(count: int, size: int) -> int:
    """What so many images and targets of a size take."""
    return count * size * size * 4


def _check_memory(count: int, size: int, why: str | None) -> None:
    needed, free = _bytes(count, size), _free_memory()
    if free is not None and needed > MEMORY_SHARE * free:
        cause = f" (not on the disk: {why})" if why else ""
        raise MachineError(
            f"{count} images at {size} px{cause}: {needed / 1e9:.1f} GB of memory are needed, "
            f"{free / 1e9:.1f} are free. Free disk space, set CURATE_CACHE to a folder with room, "
            "or take a smaller --size"
        )


def _free_memory() -> int | None:
    """The bytes that can be taken before the machine swaps; None where the system does not say."""
    with suppress(OSError):
        found = re.search(r"MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text())
        return 1024 * int(found[1]) if found else None
    return None


def _opened(folder: Path, wanted: _Header) -> Cache | None:
    """The cache in a folder where it is whole and what is wanted."""
    path = folder / "header.json"
    try:
        if msgspec.json.decode(path.read_bytes(), type=_Header) != wanted:
            return None
        images, targets = (open_memmap(folder / f"{name}.npy", "r") for name in ("images", "targets"))
    except (OSError, ValueError, EOFError, *JSON_ERRORS):
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
    if folder.exists() and not folder.is_dir():
        return f"{folder}: is no folder"
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
    """Remove caches that were not used for longest beside `folder` until the rest is small enough, and nothing else.

    A run that still reads what is removed goes on: its files stay on the disk until it closes them. What another
    process removes meanwhile is no matter.
    """
    used = {other: used_at for other in folder.parent.iterdir() if (used_at := _used_at(other)) is not None}
    total = 0
    for other in [folder, *(other for other in sorted(used, key=used.__getitem__, reverse=True) if other != folder)]:
        with suppress(FileNotFoundError):
            total += sum(path.stat().st_size for path in other.iterdir())
        if total > KEEP_BYTES and other != folder:
            shutil.rmtree(other, ignore_errors=True)


def _used_at(folder: Path) -> float | None:
    """When the cache in a folder was last used; None of a folder that is none."""
    header = folder / "header.json"
    if folder.is_symlink():
        return None
    with suppress(OSError, *JSON_ERRORS):
        found = msgspec.json.decode(header.read_bytes(), type=_Header)
        return header.stat().st_mtime if folder.name == _folder_name(found) else None
    return None


def _folder_name(header: _Header) -> str:
    return f"{header.digest[:24]}-{header.size}"


def resize_image(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """An image (H, W, 3) as (size, size, 3): by area average where it shrinks, bilinearly where it grows."""
    shrinks = image.shape[0] * image.shape[1] > size * size
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)  # type: ignore[return-value]
