"""Files of labelling tools, read with a bound on their size and their types checked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TypeVar

import msgspec

from curate import images
from curate.errors import CurateError, FormatError
from curate.masks import SizeHW
from curate.sources.coco_json import check_text
from label.formats.record import HandLabel, Refusal, files_under

MAX_BYTES = 256 * 2**20
"""Of one label file; a COCO file of a whole data set has more and is read by `label.formats.coco` itself."""
LOOKED_AT = 50
"""Files looked into to tell a format; another one can always be named."""
MOST_PEEKED = 2**31
MEMBERS_SEEN = 64
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
NEWLINE = b"\n"
T = TypeVar("T")
_top = msgspec.json.Decoder(dict[str, msgspec.Raw] | list[msgspec.Raw])
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


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


def read_text(file: Path, most: int | None = None) -> bytes:
    """The bytes of a file in UTF-8, without a byte order mark.

    Raises:
        FormatError: As `read_bytes`; also where it is no UTF-8: a damaged key would pass for one that is not known.
    """
    data = read_bytes(file, most).removeprefix(BYTE_ORDER_MARK)
    check_text(file, data)
    return data


def read_json(file: Path, kind: type[T], tool: str, *, most: int | None = None) -> T:
    """A JSON file's content, its types checked.

    Args:
        file: The file.
        kind: What it is to hold.
        tool: Whose file it is, for messages.
        most: Largest number of bytes; None: MAX_BYTES.

    Raises:
        FormatError: It is too large, no UTF-8 or JSON, or a field is not what the tool writes there.
    """
    try:
        return msgspec.json.decode(read_text(file, most), type=kind)
    except msgspec.ValidationError as error:
        raise FormatError(file, f"is not {tool}'s: {error}. Save it again in {tool}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FormatError(file, f"is damaged ({error}). Save it again in {tool}") from error
    except RecursionError as error:
        raise FormatError(file, f"is nested deeper than any label file. Save it again in {tool}") from error


def check_whole(file: Path) -> None:
    """Raise FormatError where a file is no JSON, as one whose copy broke off, which ends before its content does."""
    data = read_bytes(file, MOST_PEEKED).removeprefix(BYTE_ORDER_MARK)
    try:
        _top.decode(data)
    except (msgspec.ValidationError, RecursionError, UnicodeDecodeError):
        return
    except msgspec.DecodeError as error:
        if "truncated" not in str(error) and f"(byte {len(data)})" not in str(error):
            raise FormatError(file, f"is damaged ({error}). Export or copy it again") from error
        place = f"line {data.count(NEWLINE) + 1}, byte {len(data)}"
        told = "is no whole JSON: it ends there, in the midst of its content. Export or copy it again"
        raise FormatError(file, told, place) from error


@dataclass(frozen=True)
class Peek:
    """What a JSON file is at its top, which is what its format is told from.

    Attributes:
        listed: Whether it is a list.
        members: Of the object, or of the list's first one, the first MEMBERS_SEEN keys, each with the first character
            of its value: `[` for a list, `{` for an object.
        first: The same of the object's first value, where that is an object; else empty.
    """

    listed: bool
    members: Mapping[str, str]
    first: Mapping[str, str]

    def has(self, **members: str) -> bool:
        """Whether it has these members, of these kinds; an empty kind is any."""
        return all(self.members.get(key, " ").startswith(kind) and key in self.members for key, kind in members.items())


def peek(file: Path) -> Peek | None:
    """What a JSON file is at its top; None where it is no JSON, or too large. Decoded once, however often it is asked.

    >>> peek(Path("nowhere.json")) is None
    True
    """
    try:
        stat = file.stat()
        return _peek(file, stat.st_mtime_ns, stat.st_size)
    except OSError:
        return None


@lru_cache(maxsize=2 * LOOKED_AT)
def _peek(file: Path, mtime_ns: int, size: int) -> Peek | None:
    try:
        content = _top.decode(read_bytes(file, MOST_PEEKED).removeprefix(BYTE_ORDER_MARK))
        listed = isinstance(content, list)
        members = (_object.decode(content[0]) if content else {}) if isinstance(content, list) else content
        value = next(iter(members.values()), None)
        first = _object.decode(value) if not listed and value is not None and _kind(value) == "{" else {}
        return Peek(listed, _kinds(members), _kinds(first))
    except (CurateError, msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None


def _kinds(members: Mapping[str, msgspec.Raw]) -> dict[str, str]:
    return {key: _kind(value) for key, value in islice(members.items(), MEMBERS_SEEN)}


def _kind(value: msgspec.Raw) -> str:
    return chr(memoryview(value)[0])


def files_of(path: Path, *suffixes: str) -> list[Path]:
    """The files at `path` with one of these suffixes (lower case); `path` itself where it is a file."""
    return [path] if path.is_file() else [file for file in files_under(path) if file.suffix.lower() in suffixes]


def label_files(path: Path, suffixes: Sequence[str], advice: str, passed_over: Collection[str] = ()) -> list[Path]:
    """The files at `path` with one of the suffixes (lower case), those called as in `passed_over` (lower case) aside.

    Raises:
        FormatError: There is none; with the advice.
    """
    files = [file for file in files_of(path, *suffixes) if file == path or file.name.lower() not in passed_over]
    if not files:
        raise FormatError(path, f"holds no {suffixes[0]} file. {advice}")
    return files


def each_file(
    files: Iterable[Path], labels: Callable[[Path], Iterable[HandLabel | Refusal]]
) -> Iterator[HandLabel | Refusal]:
    """The labels of every file; one that cannot be read, where `labels` raises CurateError, becomes a Refusal."""
    for file in files:
        try:
            yield from labels(file)
        except CurateError as error:
            yield Refusal(file, str(error))


def or_refusal(file: Path, make: Callable[[], HandLabel]) -> HandLabel | Refusal:
    """One label of a file that holds several; a Refusal where making it raises CurateError."""
    try:
        return make()
    except CurateError as error:
        return Refusal(file, str(error))


def some_of(path: Path, *suffixes: str) -> list[Path]:
    """At most LOOKED_AT of the files at `path` with one of these suffixes, evenly spread: enough to tell a format."""
    files = files_of(path, *suffixes) if path.is_dir() or path.suffix.lower() in suffixes else []
    return files[:: 1 + len(files) // LOOKED_AT]


def utc_time(text: object) -> str | None:
    """A time as ISO 8601 in UTC, to the second; None where it is none. A time without a zone is taken as UTC.

    >>> utc_time("2026-01-02 03:04:05.678+01:00"), utc_time("2026-01-02T03:04:05Z"), utc_time("yesterday")
    ('2026-01-02T02:04:05Z', '2026-01-02T03:04:05Z', None)
    """
    try:
        time = datetime.fromisoformat(text.strip() if isinstance(text, str) else "")
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


def mask_size(file: Path) -> SizeHW:
    """(height, width) px of a mask file's raster; raises CurateError where it is no image."""
    try:
        return images.read_size_hw(file)
    except CurateError as error:
        advice = "Scale it down" if f"{images.MAX_PIXELS} are read" in str(error) else "Export this mask again as a PNG"
        error.args = (f"{error}. {advice}",)
        raise


def image_file(folder: Path, name: str) -> Path | None:
    """The image of that name in a folder, None where there is none.

    Only the name's last part is used: nothing outside the folder is opened.
    """
    last = Path(name.replace("\\", "/")).name
    try:
        return folder / last if last and (folder / last).is_file() else None
    except (OSError, ValueError):
        return None


def first_image(folders: Iterable[Path], *names: str) -> Path | None:
    """The image of one of the names in the first folder that holds one, None where none does."""
    found = (image_file(folder, name) for folder in folders for name in names)
    return next((file for file in found if file is not None), None)
