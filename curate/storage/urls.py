"""URLs, and where in the cache what they name is kept. Speaks with no server."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import NamedTuple

from curate.errors import UsageError
from curate.files import cache_folder

PACKAGES = {"s3": "s3fs", "gs": "gcsfs"}
"""The scheme of a URL -> the package that speaks with such servers; the scheme is our extra's name, too."""
OBJECTS = "objects"
"""Folder of the contents of stored folders, beside them."""
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_BUCKET = re.compile(r"[A-Za-z0-9._-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Url(NamedTuple):
    """A place in a bucket; `key` has no slash at its ends, and is empty for the bucket itself."""

    scheme: str
    bucket: str
    key: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.key}".rstrip("/")

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rpartition("/")[2]

    @property
    def parent(self) -> Url:
        """The place above; of a bucket, itself."""
        return self._replace(key=self.key.rpartition("/")[0])

    def below(self, path: str) -> Url:
        """The place of a relative path below this one."""
        return self._replace(key=f"{self.key}/{path}".strip("/"))


def is_url(text: str) -> bool:
    """Whether a text is a URL and no path.

    >>> is_url("s3://bucket/people"), is_url("C:/people"), is_url("street=s3://bucket/a.json")
    (True, False, False)
    """
    return _URL.fullmatch(text) is not None


def file_path(text: str) -> Path | None:
    """The path of a `file://` URL; None of any other text.

    >>> print(file_path("file:///data/people"), file_path("data/people"))
    /data/people None

    Raises:
        UsageError: It is of another machine.
    """
    found = _URL.fullmatch(text)
    if found is None or found[1].lower() != "file":
        return None
    host, slash, path = found[2].partition("/")
    if host not in ("", "localhost") or not slash:
        raise UsageError(f"{text}: expected a path of this machine with three slashes, such as file:///data/people")
    return Path("/" + path)


def parse_url(text: str) -> Url:
    """The place that a URL names.

    >>> parse_url("s3://bucket/runs/first/")
    Url(scheme='s3', bucket='bucket', key='runs/first')

    Raises:
        UsageError: The scheme is none of PACKAGES, there is no bucket, or a part of the path is none.
    """
    found = _URL.fullmatch(text)
    scheme = found[1].lower() if found else ""
    if found is None or scheme not in PACKAGES:
        raise UsageError(f"{text}: of URLs, s3://, gs:// and file:// are read. Download it, and name the path")
    bucket, _, key = found[2].partition("/")
    key = key.rstrip("/")
    if not bucket:
        raise UsageError(f"{text}: names no bucket. Expected {scheme}://BUCKET/FOLDER")
    if not _BUCKET.fullmatch(bucket):
        raise UsageError(f"{text}: {bucket!r} is no name of a bucket. Expected letters, digits, '.', '_' and '-'")
    if key and problem_of(key):
        raise UsageError(f"{text}: {problem_of(key)}. Name the folder plainly, as {scheme}://BUCKET/FOLDER")
    return Url(scheme, bucket, key)


def problem_of(path: str) -> str | None:
    """Why a relative path with slashes is no name of a file below a folder; None where it is one.

    >>> problem_of("masks/a.png"), problem_of("../a.png"), problem_of("/etc/passwd")
    (None, "has the part '..'", "has the part ''")
    """
    if _CONTROL.search(path):
        return "has a control character"
    wrong = next((part for part in path.split("/") if part in ("", ".", "..")), None)
    return None if wrong is None else f"has the part {wrong!r}"


def copy_home(url: Url) -> Path:
    """The folder of the cache that is about a stored folder: its working copy, and what is known of it."""
    return cache_folder() / "stored" / hashlib.sha256(str(url).encode()).hexdigest()[:16]


def copy_path(url: Url) -> Path:
    """Where the working copy of a stored folder lies; it is called as the URL is, whatever that is."""
    return copy_home(url) / "copy" / url.name


def mirror_path(url: Url) -> Path:
    """Where a mirror of what lies at a URL lies; mirrors lie to each other as in the bucket."""
    return cache_folder() / "mirrors" / url.scheme / url.bucket / url.key


def mirrored_url(path: Path) -> Url | None:
    """The URL that a path is the mirror of; None of any other path."""
    root = cache_folder() / "mirrors"
    if not path.is_relative_to(root) or len(path.relative_to(root).parts) < 2:
        return None
    scheme, bucket, *rest = path.relative_to(root).parts
    return Url(scheme, bucket, "/".join(rest))


def kept_object(sha256: str) -> Path:
    """Where the cache keeps the bytes of a photograph or mask, which working copies share by hardlink."""
    return cache_folder() / OBJECTS / sha256[:2] / sha256


def object_url(url: Url, sha256: str) -> Url:
    """Where a bucket keeps the bytes of a file of the stored folder at `url`."""
    return url.parent.below(f"{OBJECTS}/{sha256[:2]}/{sha256}")
