"""A zip in place of a folder: unpacked where nothing else lies, checked before a byte of it is written."""

from __future__ import annotations

import errno
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from curate.errors import CurateError, FormatError

MOST_ENTRIES = 1_000_000
MOST_BYTES = 2**36
MOST_RATIO = 200
"""How many times larger than the zip its content may be: photographs hardly shrink, masks a hundredfold."""
LONGEST_NAME = 255
CHUNK = 2**20


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """The folder or file itself; of a zip, a folder with its content, which goes again.

    Raises:
        FormatError: It is a zip that is damaged or encrypted, leads out of its folder, holds a link, or is a bomb.
    """
    if not (path.is_file() or path.is_dir()):  # a pipe would be waited for
        raise FormatError(path, "is neither a file nor a folder. Name what the tool exported")
    if path.is_dir() or not zipfile.is_zipfile(path):
        if path.suffix.lower() == ".zip" and path.is_file():
            raise FormatError(path, "is a damaged zip. Export it again")
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="curate-labels-") as folder:
        try:
            with zipfile.ZipFile(path) as archive:
                unpack(archive, path, Path(folder))
        except CurateError:
            raise
        except Exception as error:  # a damaged zip makes zipfile raise whatever it stumbles over
            if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
                raise  # the disk's fault, not the zip's
            raise FormatError(path, f"is a damaged zip ({error}). Export it again") from error
        yield Path(folder)


def unpack(archive: zipfile.ZipFile, path: Path, folder: Path) -> None:
    """Write a zip's files into a folder.

    Raises:
        FormatError: An entry must not be read; nothing has been written then.
    """
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    check(entries, path)
    for entry in entries:
        target = folder.joinpath(*parts_of(entry))
        target.parent.mkdir(parents=True, exist_ok=True)
        left = entry.file_size
        with archive.open(entry) as source, target.open("xb") as file:
            while chunk := source.read(min(CHUNK, left + 1)):
                left -= len(chunk)
                if left < 0:
                    raise FormatError(path, "holds more than it states. Export it again", shown(entry))
                file.write(chunk)


def check(entries: list[zipfile.ZipInfo], path: Path) -> None:
    """Refuse what a zip of labels never holds."""
    size = sum(entry.file_size for entry in entries)
    if len(entries) > MOST_ENTRIES or size > min(MOST_BYTES, MOST_RATIO * path.stat().st_size + 2**20):
        told = f"holds {len(entries)} files of {size} bytes in {path.stat().st_size}"
        raise FormatError(path, f"{told}, which looks like a bomb. Unpack it yourself and name the folder")
    names = set()
    for entry in entries:
        parts = parts_of(entry)
        if not parts or ".." in parts or PurePosixPath(entry.filename).is_absolute() or ":" in parts[0]:
            raise FormatError(path, "leads out of its folder. It may be an attack; nothing was read", shown(entry))
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise FormatError(path, "is a link. Put the file itself into the zip; nothing was read", shown(entry))
        if entry.flag_bits & 1:
            raise FormatError(path, "is encrypted. Unpack it yourself and name the folder", shown(entry))
        if max(len(part.encode("utf-8", "replace")) for part in parts) > LONGEST_NAME:
            raise FormatError(path, "has a name too long for a file. Rename it; nothing was read", shown(entry))
        if parts in names:
            raise FormatError(path, "stands twice. Export it again; nothing was read", shown(entry))
        names.add(parts)
    for entry in entries:
        parts = parts_of(entry)
        if any(parts[:depth] in names for depth in range(1, len(parts))):
            raise FormatError(path, "lies in what is a file. Export it again; nothing was read", shown(entry))


def parts_of(entry: zipfile.ZipInfo) -> tuple[str, ...]:
    """The parts of an entry's path; some programs on Windows write backslashes."""
    return tuple(part for part in entry.filename.replace("\\", "/").split("/") if part not in ("", "."))


def shown(entry: zipfile.ZipInfo) -> str:
    """An entry's name for a message."""
    return repr(entry.filename[:100])
