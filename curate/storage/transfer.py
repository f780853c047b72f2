"""The bytes of a stored folder's files on their way: objects that are fetched, put in place, and sent."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

from curate.dataset import SAMPLE_FOLDERS
from curate.errors import MachineError, MismatchError
from curate.files import link_or_copy, sha256_bytes, sha256_file
from curate.storage import remote
from curate.storage.listing import PLAIN, TABLE, File, Known, Listed
from curate.storage.urls import OBJECTS, Url, kept_object, object_url
from curate.terminal import counted
from curate.threads import Tick, Watch


def is_same(file: File, listed: Listed) -> bool:
    """Whether a file of the copy holds the bytes that are listed."""
    return file.sha256 == listed.sha256 if listed.sha256 else bool(file.tag) and file.tag == listed.tag


def is_shared(name: str) -> bool:
    """Whether a file is one of a dataset's samples: written once, and never into, so that copies can share it."""
    return name.partition("/")[0] in SAMPLE_FOLDERS


def key_of(one: Listed) -> str:
    """The file name of its bytes on the way."""
    return one.sha256 or hashlib.sha256(f"{one.url}\0{one.tag}\0{one.size}".encode()).hexdigest()


def is_kept(one: Listed) -> bool:
    """Whether the cache holds the bytes, of another working copy."""
    try:
        return bool(one.sha256) and kept_object(one.sha256).stat().st_size == one.size
    except OSError:
        return False


def check_room(home: Path, needed: int) -> None:
    free = shutil.disk_usage(home).free
    if needed > free:
        told = f"{needed / 1e6:,.1f} MB are to come, and {free / 1e6:,.1f} MB are free"
        raise MachineError(f"{home}: no space left on the disk ({told}). Free some, or set CURATE_CACHE elsewhere")


def receive_all(objects: list[Listed], incoming: Path, tick: Tick) -> None:
    """Write the objects into a folder, each under its name once its bytes are known to be right."""

    def receive(one: Listed) -> None:
        path, partial = incoming / key_of(one), incoming / f"{key_of(one)}.partial"
        if path.is_file() and path.stat().st_size == one.size:  # of a process that was killed
            return
        remote.fetch(one.url, one.size, partial)
        if one.sha256 and (got := sha256_file(partial)) != one.sha256:
            partial.unlink()
            advice = "The object is damaged. Put the right bytes there, from a copy of the folder that is whole"
            raise MismatchError(str(one.url), f"SHA-256 {one.sha256[:12]}", got[:12], advice)
        partial.replace(path)

    for some in remote.small_then_large(objects, [one.size for one in objects]):
        remote.many_at_once(receive, some, tick)


def put_in_place(one: Listed, incoming: Path, path: Path, *, shared: bool) -> None:
    """Give bytes that came in, or that the cache holds, their name in the copy."""
    source, kept = incoming / key_of(one), kept_object(one.sha256) if one.sha256 else None
    if shared and kept is not None:
        if source.is_file() and not is_kept(one):
            kept.parent.mkdir(parents=True, exist_ok=True)
            source.replace(kept)
        link_or_copy(kept, path)
        return
    shutil.copyfile(source if source.is_file() or kept is None else kept, path)
    if one.time_ns is not None:
        os.utime(path, ns=(one.time_ns, one.time_ns))


def keep_objects(copy: Path, files: Mapping[str, File]) -> None:
    """Let further working copies share the samples' files."""
    for name, one in files.items():
        if is_shared(name) and not (kept := kept_object(one.sha256)).exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(copy / name, kept)
            except OSError:  # a file system without hardlinks: they are fetched where they are wanted
                return


def send_objects(url: Url, copy: Path, files: Mapping[str, File], known: Known, watch: Watch) -> str:
    """Send the objects that the bucket lacks; what was sent, in words."""
    named = {one.sha256: name for name, one in files.items()}
    there = {one.sha256: one.size for one in known.files.values() if not one.tag}
    there |= _objects_there(url, named.keys() - there.keys())
    missing = [name for sha256, name in sorted(named.items()) if there.get(sha256) != files[name].size]
    tick = watch(f"sending {url.name}", len(missing))

    def send(name: str) -> None:
        one, path = files[name], copy / name
        if one.size < remote.MOST_IN_MEMORY:
            data = path.read_bytes()
            whole = sha256_bytes(data) == one.sha256
            if whole:
                remote.send_bytes(data, object_url(url, one.sha256))
        else:
            remote.send_file(path, object_url(url, one.sha256))
            stat = path.stat()
            whole = (stat.st_size, stat.st_mtime_ns) == (one.size, one.mtime_ns)
        if not whole:
            told = "It was changed while it was sent. Run it again"
            raise MismatchError(str(url.below(name)), "one content", "another", told)

    for some in remote.small_then_large(missing, [files[name].size for name in missing]):
        remote.many_at_once(send, some, tick)
    sent_mb = sum(files[name].size for name in missing) / 1e6
    told = f"sent to {url}: {counted(len(missing), 'new object')} for {counted(len(files), 'file')}, {sent_mb:,.1f} MB"
    plain = known.version.startswith(PLAIN)
    return f"{told}. From now on its {TABLE} counts, not the files that were copied there" if plain else told


def _objects_there(url: Url, wanted: Collection[str]) -> dict[str, int]:
    """The sizes of the objects in the bucket, by their hash, in those folders that the wanted ones fall into."""
    if not wanted:
        return {}
    place = url.parent.below(OBJECTS)
    folders = sorted({sha256[:2] for sha256 in wanted} & remote.folders_in(place))
    listed = remote.many_at_once(lambda two: remote.objects_in(place.below(two)), folders, lambda steps: None)
    return {sha256: found.size for objects in listed for sha256, found in objects.items()}
