"""Files of labelling tools, read with a bound on their size and their types checked."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from curate import images
from curate.errors import CurateError, FormatError
from curate.masks import SizeHW
from label.formats.record import files_under

MAX_BYTES = 256 * 2**20
"""Of one label file; a COCO file of a whole data set has more and is read by `label.formats.coco` itself."""
LOOKED_AT = 50
"""Files looked into to tell a format; another one can always be named."""
T = TypeVar("T")


def read_bytes(file: Path, most: int | None = None) -> bytes:
    """A file's bytes.

    Raises:
        FormatError: It is no regular file, cannot be read, or has more than `most` bytes; None: MAX_BYTES.
    """
    most = most or MAX_BYTES
    if not file.is_file():
        raise FormatError(file, "is not a regular file")
    try:
        if file.stat().st_size > most:
            raise FormatError(file, f"has more than {most >> 20} MiB. Save it without image data")
        return file.read_bytes()
    except OSError as error:
        raise FormatError(file, f"cannot be read ({error.strerror})") from error


def read_json(file: Path, kind: type[T], tool: str, *, strict: bool = True, most: int | None = None) -> T:
    """A JSON file's content, its types checked.

    Args:
        file: The file.
        kind: What it is to hold.
        tool: Whose file it is, for messages.
        strict: Whether numbers in quotes are refused.
        most: Largest number of bytes; None: MAX_BYTES.

    Raises:
        FormatError: It is too large, no JSON, or a field is not what the tool writes there.
    """
    data = read_bytes(file, most)
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        return msgspec.json.decode(data, type=kind, strict=strict)
    except msgspec.ValidationError as error:
        raise FormatError(file, f"is not {tool}'s: {error}. Save it again in {tool}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FormatError(file, f"is damaged ({error}). Save it again in {tool}") from error
    except RecursionError as error:
        raise FormatError(file, f"is nested deeper than any label file. Save it again in {tool}") from error


def holds(file: Path, kind: type[object], most: int | None = None) -> bool:
    """Whether a JSON file holds something of this kind."""
    try:
        msgspec.json.decode(read_bytes(file, most).removeprefix(b"\xef\xbb\xbf"), type=kind)
    except (CurateError, msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return False
    return True


def files_of(path: Path, *suffixes: str) -> list[Path]:
    """The files at `path` with one of these suffixes (lower case); `path` itself where it is a file."""
    return [path] if path.is_file() else [file for file in files_under(path) if file.suffix.lower() in suffixes]


def some_of(path: Path, *suffixes: str) -> list[Path]:
    """At most LOOKED_AT of the files at `path` with one of these suffixes, evenly spread: enough to tell a format."""
    files = files_of(path, *suffixes) if path.is_dir() or path.suffix.lower() in suffixes else []
    return files[:: 1 + len(files) // LOOKED_AT]


def utc_time(text: str | None) -> str | None:
    """A time as ISO 8601 in UTC, to the second; None where it is none. A time without a zone is taken as UTC.

    >>> utc_time("2026-01-02 03:04:05.678+01:00"), utc_time("2026-01-02T03:04:05Z"), utc_time("yesterday")
    ('2026-01-02T02:04:05Z', '2026-01-02T03:04:05Z', None)
    """
    try:
        time = datetime.fromisoformat((text or "").strip())
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError):
        return None


def checked_size(height: object, width: object, file: Path, place: str, tool: str) -> SizeHW | None:
    """(height, width) px of the image a label was drawn on; None where the file states neither.

    Raises:
        FormatError: Only one side is stated, or there are no pixels, or more than images.MAX_PIXELS.
    """
    if height is None and width is None:
        return None
    whole = isinstance(height, int) and isinstance(width, int)
    if whole and height >= 1 and width >= 1 and height * width <= images.MAX_PIXELS:  # type: ignore[operator]
        return height, width  # type: ignore[return-value]
    problem = f"height {height} and width {width}; expected the image's size in px"
    raise FormatError(file, f"{problem}, at most {images.MAX_PIXELS} in all. Save it again in {tool}", place)


def image_digest(folder: Path, name: str) -> str | None:
    """Digest of the image of that name in a folder, None where there is none.

    Only the name's last part is used: nothing outside the folder is opened.
    """
    last = Path(name.replace("\\", "/")).name
    try:
        if not last or not (folder / last).is_file():
            return None
        with (folder / last).open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except (OSError, ValueError):
        return None
