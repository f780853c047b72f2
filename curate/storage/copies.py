"""What the URLs of a command stand for here: brought up to date before it, sent back after it.

The working copies that a command takes are remembered in this module until it ends, since what a run's `config.json`
names is opened far from the command line.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from curate.engine import engine
from curate.errors import UsageError
from curate.storage.urls import OBJECTS, Url, copy_path, file_path, is_url, mirror_path, parse_url
from curate.terminal import shown_as
from curate.threads import Watch, unwatched

_taken: dict[Url, Path] = {}
"""The stored folders of this command, and their working copies."""
_read: dict[str, Path] = {}
"""What of this command is only read, and the mirrors."""
_sends = True
"""Whether this process sends what it changed."""


@contextmanager
def copies_taken() -> Iterator[None]:
    """A command: what it takes is forgotten when it ends."""
    _forget()
    try:
        yield
    finally:
        _forget()


def _forget() -> None:
    if _taken or _read:
        from curate.storage import mirrors, remote

        mirrors.forget()
        remote.disconnect()
    _taken.clear()
    _read.clear()
    leave_sending(to_others=False)


def located(text: str, watch: Watch = unwatched) -> Path:
    """The path that a text names; of a URL the working copy of the stored folder there, or of a file in one.

    Where nothing is in the bucket, there is none at the path; what a command writes there is sent.

    Args:
        text: A path or a URL, of a folder of ours, or of a file that is in one.
        watch: Told of progress.

    Raises:
        UsageError: It is no URL that is read, or of a whole bucket.
        CurateError: As `stored.pull`.
    """
    if not is_url(text):
        return Path(text)
    if (path := file_path(text)) is not None:
        return path
    url = parse_url(text)
    for taken, copy in _taken.items():
        if taken == url or _is_below(url, taken):
            return copy / url.key[len(taken.key) + 1 :] if taken != url else copy
    _check_place(url)
    from curate.storage import stored

    above = _folder_of(url)
    _taken[above] = stored.pull(above, watch)
    shown_as(str(_taken[above]), str(above))
    return _taken[above] if above == url else _taken[above] / url.key[len(above.key) + 1 :]


def source_at(text: str, watch: Watch = unwatched) -> Path:
    """The path that a text names as something to be read only; a URL is mirrored, unless it is a stored folder.

    Args:
        text: A path or a URL, of a file or folder.
        watch: Told of progress.

    Raises:
        UsageError: It is no URL that is read.
        CurateError: As `mirrors.mirror`.
    """
    return _read_from(text, watch, later=False)


def photos_at(text: str) -> Path:
    """As `source_at`, for a folder of photographs of which few may be wanted: `mirrors.mirror_named` fetches those."""
    return _read_from(text, unwatched, later=True)


def _read_from(text: str, watch: Watch, *, later: bool) -> Path:
    if not is_url(text) or file_path(text) is not None:
        return located(text)
    if text in _read:
        return _read[text]
    url = parse_url(text)
    _check_engine(url)
    from curate.storage import mirrors, stored

    if url.key and url.name != OBJECTS and stored.is_ours(_folder_of(url)):
        return located(text, watch)
    _read[text] = mirrors.mirror_later(url) if later else mirrors.mirror(url, watch)
    shown_as(str(_read[text]), str(url))
    return _read[text]


def with_paths(text: str) -> str:
    """A source, `[NAME=]URL`, with the path at which the cache holds what it names; nothing is fetched.

    >>> with_paths("street=data/a.json")
    'street=data/a.json'
    """
    name, separator, place = ("", "", text) if is_url(text) else text.partition("=")
    if not is_url(place):
        return text
    path = file_path(place)
    if path is None:
        url = parse_url(place)
        path = copy_path(url) if copy_path(url).is_dir() else mirror_path(url)
    return f"{name}{separator}{path}"


def leave_sending(*, to_others: bool = True) -> None:
    """Send nothing back from this process: of those that work together, another one writes, and sends."""
    global _sends
    _sends = not to_others


def send_back(watch: Watch) -> Iterator[str]:
    """Send what the command has changed in its working copies; one line for each that was sent.

    Raises:
        CurateError: As `stored.push`.
    """
    for url in _taken if _sends else ():
        from curate.storage import stored

        if (told := stored.push(url, watch)) is not None:
            yield told


def url_from(path: Path, folder: Path) -> str | None:
    """The URL that a path in a working copy has for a folder outside of that copy; None of any other path."""
    place = path.resolve()
    for url, copy in _taken.items():
        if place.is_relative_to(copy.resolve()) and not folder.resolve().is_relative_to(copy.resolve()):
            inside = place.relative_to(copy.resolve()).as_posix()
            return str(url if inside == "." else url.below(inside))
    return None


def _folder_of(url: Url) -> Url:
    """The stored folder at a URL or above it; where there is none, the URL itself."""
    from curate.storage import stored

    above = url
    while above.key:
        if stored.is_stored(above):
            return above
        above = above.parent
    return url


def _is_below(url: Url, above: Url) -> bool:
    return (url.scheme, url.bucket) == (above.scheme, above.bucket) and url.key.startswith(above.key + "/")


def _check_place(url: Url) -> None:
    """Raise UsageError where no stored folder can be at a URL."""
    _check_engine(url)
    if not url.key:
        raise UsageError(f"{url}: is a whole bucket. Name a folder in it, such as {url}/people")
    if url.name == OBJECTS:
        raise UsageError(f"{url}: `{OBJECTS}` is where the contents of the folders beside it lie. Choose another name")


def _check_engine(url: Url) -> None:
    """Raise UsageError where the work is for machines that may not see this one's cache."""
    if engine() == "ray" and not os.environ.get("CURATE_CACHE"):
        told = "the cluster's machines do not see the copies in this one's ~/.cache/curate"
        raise UsageError(f"{url}: {told}. Set CURATE_CACHE to a folder that all of them share, or use --engine local")
