"""The cache of resized images: written once, whole or not used, and never in the way."""

from __future__ import annotations

import os
import shutil
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import train.data.cache
from curate.dataset import Dataset
from curate.errors import MachineError
from curate.files import cache_folder
from curate.threads import Tick
from train.data.cache import fill_memory, open_cache, resize_image
from train.data.targets import resize_target


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of its own."""
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Stages:
    """Remembers what was begun."""

    def __init__(self) -> None:
        self.begun: list[str] = []

    def __call__(self, what: str, total: int) -> Tick:
        self.begun.append(what)
        return lambda steps: None


def check(dataset: Dataset, size: int, stages: Stages) -> bool:
    """Whether the cache that is opened lies on the disk; what it holds is what the dataset says."""
    cache = open_cache(dataset, size, stages)
    rows = dataset.rows("train", "background", "val")
    assert cache.place.keys() == {row["sample_id"] for row in rows}
    for row in rows:
        place = cache.place[row["sample_id"]]
        assert np.array_equal(cache.images[place], resize_image(dataset.image(row), size))
        assert np.array_equal(cache.targets[place], resize_target(dataset.target(row), size))
    return isinstance(cache.images, np.memmap)


def test_images_are_read_once_for_a_digest_and_size(drawn: Dataset, folder: Path) -> None:
    stages = Stages()
    assert all(check(drawn, size, stages) for size in (32, 64, 32, 64))
    assert stages.begun == ["read images"] * 2
    assert sorted(path.name for path in folder.iterdir()) == [f"{drawn.header.digest[:24]}-{size}" for size in (32, 64)]


def test_the_test_split_is_not_in_it(drawn: Dataset) -> None:
    assert not open_cache(drawn, 32, Stages()).place.keys() & {row["sample_id"] for row in drawn.rows("test")}


@pytest.mark.parametrize("damage", ["truncated", "gone", "header", "other"])
def test_what_is_damaged_is_made_again(drawn: Dataset, folder: Path, damage: str) -> None:
    stages = Stages()
    check(drawn, 32, stages)
    own = next(folder.iterdir())
    if damage == "truncated":
        os.truncate(own / "images.npy", 1000)
    elif damage == "gone":
        (own / "targets.npy").unlink()
    else:
        text = (own / "header.json").read_text()
        (own / "header.json").write_text(text[:20] if damage == "header" else text.replace("drawn-000", "drawn-999"))
    assert check(drawn, 32, stages)
    assert stages.begun == ["read images"] * 2


class Meeting(Stages):
    """Stages of a run that reads images until another one waits for it."""

    def __init__(self, gives_up: bool) -> None:
        super().__init__()
        self.writes, self.awaited, self.gives_up = threading.Event(), threading.Event(), gives_up

    def __call__(self, what: str, total: int) -> Tick:
        self.writes.set()
        assert self.awaited.wait(30)
        if self.gives_up:
            raise KeyboardInterrupt
        return super().__call__(what, total)


class Waiting(Stages):
    """Stages of the run that waits."""

    def __init__(self, other: Meeting) -> None:
        super().__init__()
        self.other = other

    def __call__(self, what: str, total: int) -> Tick:
        self.other.awaited.set()
        return super().__call__(what, total)


@pytest.mark.parametrize("gives_up", [False, True])
def test_of_two_at_once_the_second_waits_for_the_first(drawn: Dataset, gives_up: bool) -> None:
    first = Meeting(gives_up)
    second = Waiting(first)

    def read() -> None:
        with suppress(KeyboardInterrupt):
            open_cache(drawn, 32, first)

    thread = threading.Thread(target=read)
    thread.start()
    assert first.writes.wait(30)
    assert check(drawn, 32, second)
    thread.join()
    assert second.begun == ["wait for another run that reads the same images", *["read images"] * gives_up]


def test_what_fits_neither_disk_nor_memory_is_refused(
    drawn: Dataset, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train.data.cache, "SPARE_BYTES", 10**18)
    stages = Stages()
    told = (
        rf"^\d+ images at 200000 px \(not on the disk: {folder}: .* are needed, .* are free\): "
        r"\d+\.0 GB of memory are needed, \d+\.\d are free\. Free disk space, set CURATE_CACHE to a folder with room, "
        r"or take a smaller --size$"
    )
    with pytest.raises(MachineError, match=told):
        open_cache(drawn, 200_000, stages)
    assert not stages.begun


def test_a_full_disk_is_said_and_memory_is_used(drawn: Dataset, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train.data.cache, "SPARE_BYTES", 10**18)
    stages = Stages()
    assert not check(drawn, 32, stages)
    assert stages.begun[0].startswith(f"read images into memory: {folder}: 0.0 GB are needed, ")


def test_a_folder_that_cannot_be_made_is_said_and_memory_is_used(drawn: Dataset, folder: Path) -> None:
    folder.write_text("in the way")
    stages = Stages()
    assert not check(drawn, 32, stages)
    assert stages.begun == [f"read images into memory: {folder}: File exists"]


def test_the_oldest_go_when_they_grow_too_many(drawn: Dataset, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for size in (32, 64):
        open_cache(drawn, size, Stages())
    os.utime(folder / f"{drawn.header.digest[:24]}-64" / "header.json", (1, 1))
    still_open = open_cache(drawn, 32, Stages())
    monkeypatch.setattr(train.data.cache, "KEEP_BYTES", 12 * (96**2 + 32**2 + 500) * 4)
    open_cache(drawn, 96, Stages())
    assert sorted(path.name.split("-")[1] for path in folder.iterdir()) == ["32", "96"]
    monkeypatch.setattr(train.data.cache, "KEEP_BYTES", 0)
    open_cache(drawn, 128, Stages())
    assert [path.name.split("-")[1] for path in folder.iterdir()] == ["128"]
    assert np.array_equal(
        still_open.images[0], resize_image(drawn.image(drawn.rows("train", "background", "val")[0]), 32)
    )


def test_only_caches_are_forgotten(drawn: Dataset, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_cache(drawn, 64, Stages())
    own = folder / f"{drawn.header.digest[:24]}-64"
    names = ("photographs", "0" * 24 + "-64", f".{own.name}.partial", "link-64")
    for name, header in zip(names, (b"{}", b"not a header", (own / "header.json").read_bytes(), None), strict=True):
        if header is None:
            (folder / name).symlink_to(folder / "photographs")
        else:
            (folder / name).mkdir()
            (folder / name / "header.json").write_bytes(header)
    shutil.copytree(own, folder / "kept by hand")
    monkeypatch.setattr(train.data.cache, "KEEP_BYTES", 0)
    open_cache(drawn, 32, Stages())
    assert {path.name for path in folder.iterdir()} == {*names, "kept by hand", own.name.replace("-64", "-32")}


def test_where_it_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder() == Path(os.environ["CURATE_CACHE"])
    monkeypatch.delenv("CURATE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder() == Path("/somewhere/curate")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "curate"


def test_rows_can_be_held_in_memory(drawn: Dataset) -> None:
    rows = drawn.rows("test")
    cache = fill_memory(drawn, rows, 32, Stages())
    assert list(cache.place) == [row["sample_id"] for row in rows]
