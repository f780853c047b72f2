"""What a stored folder holds: the table in the bucket that lists its files, and the files of the working copy."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import msgspec
import polars as pl

from curate import schema
from curate.dataset import read_columns
from curate.errors import FormatError
from curate.files import sha256_file
from curate.storage.urls import Url, object_url, problem_of
from curate.threads import map_threads

TABLE = "files.parquet"
"""The header of a stored folder."""
PLAIN = "plain-"
"""What versions begin with of folders that were copied into the bucket file by file."""


class File(msgspec.Struct, frozen=True, array_like=True):
    """A file of the working copy as it was when the copy equalled the bucket.

    Attributes:
        sha256: Of its bytes.
        size: Of it, in bytes.
        mtime_ns: When it was written; as long as that and the size stay, it counts as unchanged.
        tag: What named its object where the folder was copied into the bucket file by file; else empty.
    """

    sha256: str
    size: int
    mtime_ns: int
    tag: str = ""


class Known(msgspec.Struct, frozen=True):
    """What was in the bucket when the working copy equalled it last.

    Attributes:
        url: Of the stored folder.
        version: Digest of its table; empty where there was no folder.
        tag: What names the table's object.
        files: The copy's files by their path.
    """

    url: str
    version: str = ""
    tag: str = ""
    files: dict[str, File] = {}


class Listed(NamedTuple):
    """A file that is in the bucket.

    Attributes:
        url: Of its bytes.
        size: Of them.
        sha256: Of them; empty where only its object's tag is known.
        tag: Of its object; empty where its hash is known.
        time_ns: When it was written, where that is known.
    """

    url: Url
    size: int
    sha256: str
    tag: str
    time_ns: int | None


class Remote(NamedTuple):
    """What is in the bucket now; the version is empty where no folder is."""

    version: str
    tag: str
    files: Mapping[str, Listed]


def scan(copy: Path, before: Mapping[str, File]) -> dict[str, File]:
    """The files below a folder by their path, sorted; those that are as they were `before` are not hashed again.

    Hidden files, which are half-written ones, are left out.
    """
    stats = dict(sorted(_stats_below(str(copy), "")))
    found = {name: before.get(name) for name in stats}
    new = [name for name, old in found.items() if not _is_as_it_was(stats[name], old)]
    hashed = dict(zip(new, map_threads(lambda name: sha256_file(copy / name), new), strict=True))
    fresh = {name: File(sha256, stats[name].st_size, stats[name].st_mtime_ns) for name, sha256 in hashed.items()}
    return {name: fresh.get(name) or before[name] for name in found}


def _is_as_it_was(stat: os.stat_result, old: File | None) -> bool:
    return old is not None and (old.size, old.mtime_ns) == (stat.st_size, stat.st_mtime_ns)


def _stats_below(folder: str, start: str) -> Iterator[tuple[str, os.stat_result]]:
    """Every file below a folder that is not hidden, by its path from there; none where there is no folder."""
    if not os.path.isdir(folder):  # noqa: PTH112 (a Path for each of 100,000 files would take longer than looking)
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _stats_below(entry.path, f"{start}{entry.name}/")
            elif entry.is_file():
                yield start + entry.name, entry.stat()


def same(one: Mapping[str, File], other: Mapping[str, File]) -> bool:
    """Whether two folders hold the same bytes under the same names."""
    return one.keys() == other.keys() and all(one[name].sha256 == other[name].sha256 for name in one)


def holds(here: Mapping[str, File], there: Mapping[str, Listed]) -> bool:
    """Whether the copy is what the bucket holds, whoever made it that."""
    return here.keys() == there.keys() and all(here[name].sha256 == one.sha256 for name, one in there.items())


def only_lacks(here: Mapping[str, File], known: Mapping[str, File]) -> bool:
    """Whether files are gone and nothing else has changed: somebody cleared the cache, no command did that."""
    return here.keys() < known.keys() and all(here[name].sha256 == known[name].sha256 for name in here)


def encode_table(files: Mapping[str, File], *, timeless: bool) -> bytes:
    """The bytes of a table; of a dataset it is `timeless`, as all in it is."""
    rows = [(name, one.sha256, one.size, None if timeless else one.mtime_ns) for name, one in sorted(files.items())]
    buffer = io.BytesIO()
    pl.DataFrame(rows, schema=schema.FILES, orient="row").write_parquet(buffer, compression="zstd", statistics=False)
    return buffer.getvalue()


def decode_table(path: Path, url: Url) -> dict[str, Listed]:
    """The files that a table lists, of the folder at `url`; it may be a stranger's.

    Raises:
        FormatError: It is none, or a row names a file outside of the folder, or no object.
    """
    where = url.below(TABLE)
    try:
        frame = read_columns(path, schema.FILES)
    except FormatError as error:
        raise FormatError(str(where), error.problem) from error
    wrong = frame.filter(
        ~pl.col("sha256").str.contains("^[0-9a-f]{64}$").fill_null(False) | ~(pl.col("bytes") >= 0).fill_null(False)
    )
    for name in wrong["path"].head(1):
        raise FormatError(str(where), f"the row of {name!r} has no SHA-256 or no size")
    check_paths(frame["path"].to_list(), str(where))
    return {
        name: Listed(object_url(url, sha256), size, sha256, "", time_ns)
        for name, sha256, size, time_ns in frame.iter_rows()
    }


def check_paths(paths: list[str | None], where: str) -> None:
    """Raise FormatError where the files cannot all be written below one folder, and none elsewhere."""
    folders = {parent.as_posix() for path in paths if path for parent in PurePosixPath(path).parents}
    seen: set[str] = set()
    for number, path in enumerate(paths):
        problem = "has no path" if path is None else problem_of(path)
        if path in seen or path in folders:
            problem = "stands twice, or is a folder of other files too"
        if problem or path is None or any(part.startswith(".") for part in path.split("/")):
            told = f"the path {path!r} {problem or 'is of a hidden file'}. Take it away, or get the folder elsewhere"
            raise FormatError(where, told, f"row {number}")
        seen.add(path)
