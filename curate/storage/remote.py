"""The one place that speaks with servers, through fsspec, and that says in a line what went wrong with them."""

from __future__ import annotations

import errno
import importlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from curate.errors import CurateError, MachineError, MismatchError, MissingError
from curate.files import cache_folder, explain_oserror
from curate.storage.urls import PACKAGES, Url
from curate.threads import Tick

Item = TypeVar("Item")
Result = TypeVar("Result")

AT_ONCE = 16
"""Objects on their way at the same time: a server answers each in some hundredths of a second."""
PART_BYTES = 2**24
"""Large objects go in parts of this size, and one such object after the other; from two parts on, it is large."""
MOST_IN_MEMORY = 2 * PART_BYTES
"""Bytes of an object that is held whole."""
MOST_AT_ONCE = 5 * 2**30
"""Bytes that S3 takes in one request."""
CONNECT_S, READ_S = 10, 30
"""How long a silent server is waited for."""
TRIES = 3
"""How often an object is asked for anew whose bytes broke off; each request is also tried again by what sends it."""

_BROKEN = frozenset(
    {
        *("EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ConnectionClosedError"),
        *("ProxyConnectionError", "SSLError", "HTTPClientError", "ResponseStreamingError", "IncompleteReadError"),
        *("ClientPayloadError", "ClientConnectionError", "ClientOSError", "ServerDisconnectedError"),
        *("ServerTimeoutError", "FSTimeoutError", "TimeoutError", "ConnectionError", "ConnectionResetError"),
        *("ConnectionRefusedError", "BrokenPipeError", "IncompleteRead", "gaierror", "TransportError"),
    }
)
"""Exceptions of botocore, aiohttp, fsspec and Python by which a connection is known to have failed."""
_NO_CREDENTIALS = frozenset(
    {
        *("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "ProfileNotFound"),
        *("TokenRetrievalError", "SSOTokenLoadError", "UnauthorizedSSOTokenError", "NoAuthTokenError"),
        *("DefaultCredentialsError", "RefreshError"),
    }
)
_DENIED = frozenset({"AccessDenied", "403", "Forbidden", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"})
_LOCAL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR)
"""What only this machine's disk says."""


class Found(NamedTuple):
    """An object: its size, what names its present bytes (the server's ETag), and when it was put there."""

    size: int
    tag: str
    time_ns: int


def look_up(url: Url) -> Found | None:
    """The object at a URL; None where there is none.

    Raises:
        MissingError: There is no such bucket.
        MachineError: The server cannot be reached, or refuses.
    """
    with told_in_a_line(url):
        try:
            known = _filesystem(url.scheme).info(_path(url))
        except FileNotFoundError as error:
            if _code(error) == "NoSuchBucket":
                raise
            return None
    return _found(known) if known["type"] == "file" else None


def objects_below(url: Url) -> dict[str, Found]:
    """Every object below a URL by its path relative to it, sorted; an object at the URL itself is none of them.

    Raises:
        MissingError, MachineError: As `look_up`.
    """
    with told_in_a_line(url):
        listed = _filesystem(url.scheme).find(_path(url), detail=True)
    start = _path(url) + "/"
    return {
        name.removeprefix(start): _found(known)
        for name, known in sorted(listed.items())
        if name.startswith(start) and not name.endswith("/") and known["type"] == "file"
    }


def objects_in(url: Url) -> dict[str, Found]:
    """The objects right below a URL by their name, none of those further down.

    Raises:
        MissingError, MachineError: As `look_up`.
    """
    return {name: _found(known) for name, known in _listed(url) if known["type"] == "file" and not name.endswith("/")}


def folders_in(url: Url) -> set[str]:
    """The names right below a URL that objects lie further down at.

    Raises:
        MissingError, MachineError: As `look_up`.
    """
    return {name.rstrip("/") for name, known in _listed(url) if known["type"] == "directory"}


def _listed(url: Url) -> Iterator[tuple[str, dict[str, Any]]]:
    """What is right below a URL, by its name; nothing where the URL is that of an object."""
    with told_in_a_line(url):
        try:
            listed = _filesystem(url.scheme).ls(_path(url), detail=True)
        except FileNotFoundError as error:
            if _code(error) == "NoSuchBucket":
                raise
            return
    start = _path(url) + "/"
    yield from ((one["name"].removeprefix(start), one) for one in listed if one["name"].startswith(start))


def fetch(url: Url, size: int, path: Path) -> None:
    """Write the object at a URL to `path`, all of its bytes or none.

    Args:
        url: The object.
        size: Bytes that it must have.
        path: Where no file is yet, in a folder that is there; half of one may come to lie there on an error.

    Raises:
        MismatchError: It has another number of bytes, whenever it is asked for.
        MissingError, MachineError: As `look_up`.
    """
    for left in reversed(range(TRIES)):
        try:
            with told_in_a_line(url):
                _filesystem(url.scheme).get_file(_path(url), str(path), **_parts(url))
        except BrokenError:
            if not left:
                raise
            continue
        if (got := path.stat().st_size) == size:
            return
    raise MismatchError(str(url), f"{size} bytes", f"{got}", "It is cut off, or was replaced just now. Run it again")


def send_file(path: Path, url: Url) -> None:
    """Put a file's bytes at a URL; whoever looks sees all of them or none.

    Raises:
        MissingError, MachineError: As `look_up`.
    """
    with told_in_a_line(url):
        _filesystem(url.scheme).put_file(str(path), _path(url), **_parts(url))


def send_bytes(data: bytes, url: Url) -> None:
    """Put bytes at a URL; whoever looks sees all of them or none.

    Raises:
        MissingError, MachineError: As `look_up`.
    """
    with told_in_a_line(url):
        _filesystem(url.scheme).pipe_file(_path(url), data)


def replace_bytes(data: bytes, url: Url, tag: str) -> str | None:
    """Put bytes at a URL in place of the object with this tag, or of none where the tag is empty.

    Returns:
        The tag of what is there now, empty where the server does not say it; None where something else was there, and
        nothing is put. Servers that cannot tell put them all the same.

    Raises:
        MissingError, MachineError: As `look_up`.
    """
    condition = {"IfMatch": f'"{tag}"'} if tag else {"IfNoneMatch": "*"}
    with told_in_a_line(url):
        try:
            # In one request: of an upload in parts s3fs leaves the condition out.
            whole = {"chunksize": MOST_AT_ONCE} if url.scheme == "s3" else {}
            answer = _filesystem(url.scheme).pipe_file(
                _path(url), data, **(condition if url.scheme == "s3" else {}), **whole
            )
        except Exception as error:  # each server's library has its own; what it answered tells them apart
            if _code(error) in ("PreconditionFailed", "ConditionalRequestConflict"):
                return None
            if _code(error) != "NotImplemented":
                raise
            answer = _filesystem(url.scheme).pipe_file(_path(url), data)
    return str(answer.get("ETag", "")).strip('"') if isinstance(answer, dict) else ""


def small_then_large(items: Sequence[Item], sizes: Sequence[int]) -> Iterator[list[Item]]:
    """Those below MOST_IN_MEMORY bytes together, then each of the others, since its parts are many at once already."""
    yield [item for item, size in zip(items, sizes, strict=True) if size < MOST_IN_MEMORY]
    yield from ([item] for item, size in zip(items, sizes, strict=True) if size >= MOST_IN_MEMORY)


def many_at_once(function: Callable[[Item], Result], items: Sequence[Item], tick: Tick) -> list[Result]:
    """The results in the order of the items, AT_ONCE on their way at a time; the first error stops the rest."""
    results: list[Result] = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        futures = [pool.submit(function, item) for item in items]
        try:
            for future in futures:
                results.append(future.result())
                tick(1)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return results


@lru_cache(maxsize=len(PACKAGES))
def _filesystem(scheme: str) -> Any:
    """fsspec's view of the servers of a scheme; credentials and address are found as by their own tools.

    Raises:
        MachineError: The package that speaks with them is not installed.
    """
    package = PACKAGES[scheme]
    try:
        importlib.import_module(package)
        import fsspec
    except ModuleNotFoundError as error:
        advice = f"pip install 'silhouette-curate[{scheme}]'"
        raise MachineError(f"{scheme}://: {error.name} is not installed. {advice}") from error
    options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
    if scheme == "s3":
        retries = {"max_attempts": TRIES, "mode": "standard"}
        options["config_kwargs"] = {"connect_timeout": CONNECT_S, "read_timeout": READ_S, "retries": retries}
    filesystem = fsspec.filesystem(scheme, **options)
    filesystem.retries = 2  # on top of botocore's own
    return filesystem


def disconnect() -> None:
    """Find address and credentials anew from now on."""
    _filesystem.cache_clear()


def _path(url: Url) -> str:
    return f"{url.bucket}/{url.key}".rstrip("/")


def _parts(url: Url) -> dict[str, int]:
    """How s3fs cuts up a large object; others do it their own way."""
    return {"chunksize": PART_BYTES, "max_concurrency": 4} if url.scheme == "s3" else {}


def _found(known: dict[str, Any]) -> Found:
    when = known.get("LastModified") or known.get("mtime") or known.get("updated")
    when = datetime.fromisoformat(when) if isinstance(when, str) else when
    time_ns = int(when.timestamp()) * 10**9 if isinstance(when, datetime) else 0
    return Found(int(known["size"] or 0), str(known.get("ETag") or known.get("etag") or time_ns).strip('"'), time_ns)


class BrokenError(MachineError):
    """A connection failed."""


@contextmanager
def told_in_a_line(url: Url) -> Iterator[None]:
    """Whatever fsspec and what lies below it raise becomes one line that names the URL."""
    try:
        yield
    except CurateError:
        raise
    except Exception as error:  # fsspec, aiohttp and botocore have no common class
        raise _explained(error, url) from error


def _explained(error: Exception, url: Url) -> CurateError:
    chain = list(_causes(error))
    names, code = {name for one in chain for name in _names(one)}, _code(error)
    words = " ".join(str(chain[-1] if isinstance(error, OSError) and not str(error) else error).split())[:300]
    if code == "NoSuchBucket":
        return MissingError(f"{url}: there is no bucket {url.bucket}. Check its name and the server's address")
    if names & _NO_CREDENTIALS:
        advice = "Log in as for `aws s3 ls`" if url.scheme == "s3" else "Log in as for `gcloud storage ls`"
        return MachineError(f"{url}: no credentials are found ({words}). {advice}, or set them in the environment")
    if code in _DENIED or (isinstance(error, PermissionError) and error.filename is None):
        return MachineError(f"{url}: permission denied ({code or words}). Ask for the right to it, or log in anew")
    if names & _BROKEN:
        advice = "Check the network and the server's address, and run it again: what came through is kept"
        return BrokenError(f"{url}: the connection failed ({words or type(error).__name__}). {advice}")
    if code == "" and isinstance(error, OSError) and error.errno in _LOCAL:
        return explain_oserror(error, cache_folder())
    if isinstance(error, FileNotFoundError):
        return MissingError(f"{url}: is not there. Check the name; was it taken away just now?")
    if not code and names & {"ValueError", "ParamValidationError"}:
        return MachineError(f"{url}: cannot be asked for ({words}). Check AWS_ENDPOINT_URL and AWS's configuration")
    return MachineError(f"{url}: the server refused it ({code or type(error).__name__}: {words})")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and what it came of."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        yield error
        seen.add(id(error))
        error = error.__cause__ or error.__context__  # type: ignore[assignment]


def _names(error: BaseException) -> list[str]:
    """The names of an exception's classes."""
    return [one.__name__ for one in type(error).__mro__]


def _code(error: BaseException) -> str:
    """What S3 calls an error that it answered with; empty where it did not answer."""
    for one in _causes(error):
        response = getattr(one, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", ""))
    return ""
