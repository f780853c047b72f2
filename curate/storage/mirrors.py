"""What is only read from a bucket: annotations, labels and photographs, mirrored into the cache as they are wanted.

A mirrored file's time says which object it is a copy of, so that what has not changed is not fetched again.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from curate.errors import FormatError, MissingError
from curate.files import cache_folder, readable_faults
from curate.storage import remote
from curate.storage.remote import Found
from curate.storage.urls import Url, mirror_path, problem_of
from curate.threads import Watch

PARTIAL = ".partial"
"""How a file's name ends that is on its way."""


def mirror(url: Url, watch: Watch) -> Path:
    """The file or folder at a URL, mirrored; what is gone in the bucket goes here too.

    Raises:
        MissingError: Nothing is there.
        FormatError: An object's name cannot be that of a file here.
        MismatchError, MachineError: As `remote.fetch`.
    """
    root = mirror_path(url)
    if url.key and (found := remote.look_up(url)) is not None:
        _bring({url: found}, watch)
        return root
    listed = _listed(url)
    _bring({url.below(name): found for name, found in listed.items()}, watch)
    for place, _, names in os.walk(root):
        for path in (Path(place, name) for name in names):
            if path.relative_to(root).as_posix() not in listed and not is_on_its_way(path):
                path.unlink(missing_ok=True)
    return root


def is_on_its_way(path: Path) -> bool:
    """Whether a process of this machine fetches this file now; what a killed one left is nobody's."""
    *_, pid = path.name.removesuffix(PARTIAL).rpartition(".")
    if not (path.name.endswith(PARTIAL) and pid.isdecimal()):
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # somebody else's
        return True
    return True


def mirror_if_there(url: Url, watch: Watch) -> None:
    """Mirror a folder, where there is one.

    Raises:
        FormatError, MismatchError, MachineError: As `mirror`.
    """
    if remote.objects_in(url):
        mirror(url, watch)


def mirror_later(url: Url) -> Path:
    """Where files of a folder will lie that `mirror_named` fetches.

    Raises:
        MissingError: Nothing is there.
    """
    _listed(url)
    root = mirror_path(url)
    root.mkdir(parents=True, exist_ok=True)
    return root


def mirror_named(url: Url, names: Collection[str], watch: Watch) -> None:
    """Mirror the files of these names, wherever they lie in a folder; of names that are not there nothing stays.

    Raises:
        MissingError, FormatError, MismatchError, MachineError: As `mirror`.
    """
    wanted = set(names)
    listed = {path: found for path, found in _listed(url).items() if path.rpartition("/")[2] in wanted}
    _bring({url.below(path): found for path, found in listed.items()}, watch)
    root = mirror_path(url)
    for place, _, files in os.walk(root):
        for path in (Path(place, name) for name in files if name in wanted):
            if path.relative_to(root).as_posix() not in listed:
                path.unlink(missing_ok=True)  # gone in the bucket since it was mirrored


def mirror_these(urls: Collection[Url], watch: Watch) -> None:
    """Mirror those of these objects that are there; of the others nothing stays.

    Raises:
        FormatError, MismatchError, MachineError: As `mirror`.
    """
    folders = sorted({url.parent for url in urls})
    listed = remote.many_at_once(remote.objects_in, folders, lambda steps: None)
    there: dict[Url, Found] = {}
    for folder, objects in zip(folders, listed, strict=True):
        there |= {folder.below(name): found for name, found in objects.items()}
    _bring({url: there[url] for url in urls if url in there}, watch)
    for url in urls:
        if url not in there:
            mirror_path(url).unlink(missing_ok=True)  # gone in the bucket since it was mirrored


@lru_cache(maxsize=8)
def _listed(url: Url) -> Mapping[str, Found]:
    """The objects below a URL, asked for once in a command; MissingError where there are none."""
    listed = remote.objects_below(url)
    if not listed:
        raise MissingError(f"{url}: no such file or folder in the bucket. Check the name")
    return listed


def _bring(objects: Mapping[Url, Found], watch: Watch) -> None:
    """Fetch those objects that the mirror lacks or has otherwise."""
    for url in objects:
        if problem := problem_of(url.key):
            raise FormatError(str(url), f"the object's name {problem}, which no file here can have. Rename it")
    lacking = [(url, found) for url, found in objects.items() if not _is_mirrored(mirror_path(url), found)]

    def bring(one: tuple[Url, Found]) -> None:
        url, found = one
        path = mirror_path(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{sha256(path.name.encode()).hexdigest()[:16]}.{os.getpid()}{PARTIAL}")
        try:
            remote.fetch(url, found.size, partial)
            os.utime(partial, ns=(_stamp_ns(found), _stamp_ns(found)))
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    with readable_faults(cache_folder()):
        tick = watch("fetching", len(lacking))
        for some in remote.small_then_large(lacking, [found.size for _, found in lacking]):
            remote.many_at_once(bring, some, tick)


def _is_mirrored(path: Path, found: Found) -> bool:
    try:
        stat = path.stat()
    except OSError:
        return False
    return (stat.st_size, stat.st_mtime_ns) == (found.size, _stamp_ns(found))


def _stamp_ns(found: Found) -> int:
    """The time of a mirrored file: the second its object was put there, and in place of a fraction, its tag."""
    return found.time_ns + int(sha256(found.tag.encode()).hexdigest()[:12], 16) % 10**9


def forget() -> None:
    """Ask the bucket anew from now on."""
    _listed.cache_clear()
