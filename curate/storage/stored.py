"""A stored folder: a dataset, run, loop or sweep in a bucket, and its working copy here.

`URL/files.parquet` (schema.FILES) lists the files; it is the header, put last and at once, and a folder without it is
none. The bytes of each file lie beside the folder, as `<parent of URL>/objects/<first two digits>/<sha256>`, so that
versions of a dataset share their photographs there as hardlinks do here.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from curate.errors import JSON_ERRORS, VersionError
from curate.files import is_held, link_or_copy, readable_faults, sha256_bytes, sha256_file, staged_folder, write_atomic
from curate.storage import remote
from curate.storage.listing import (
    PLAIN,
    TABLE,
    File,
    Known,
    Listed,
    Remote,
    check_paths,
    decode_table,
    encode_table,
    holds,
    only_lacks,
    same,
    scan,
)
from curate.storage.transfer import (
    check_room,
    is_kept,
    is_same,
    is_shared,
    keep_objects,
    key_of,
    put_in_place,
    receive_all,
    send_objects,
)
from curate.storage.urls import Url, copy_home, copy_path
from curate.threads import Watch

HEADERS = ("dataset.json", "config.json", "loop.json", "sweep.json")
"""By one of these a folder is known that another tool copied into a bucket file by file."""


def is_stored(url: Url) -> bool:
    """Whether a stored folder is at a URL."""
    return remote.look_up(url.below(TABLE)) is not None


def is_ours(url: Url) -> bool:
    """Whether a dataset, run, loop or sweep is at a URL, however it came there."""
    return is_stored(url) or any(name in HEADERS for name in remote.objects_in(url))


def pull(url: Url, watch: Watch) -> Path:
    """Bring the working copy of a folder up to date; its path, where nothing is if nothing is in the bucket.

    What a command changed here and could not send stays, as long as the bucket is as it was.

    Raises:
        VersionError: The bucket's folder and the copy have both changed.
        FormatError: The table is damaged, or names a file outside.
        MismatchError: An object is cut off, or holds other bytes than its name says.
        MachineError: The server cannot be reached or refuses, or there is too little room.
    """
    copy = copy_path(url)
    with _held(url), readable_faults(copy_home(url)):
        known = read_known(url)
        there = _read_remote(url, known)
        known = _finished(url, known, there)
        here = scan(copy, known.files)
        if there.version == known.version:
            if only_lacks(here, known.files):
                _fill(url, _read_remote(url, Known(str(url))), known, watch)
        elif there.version and here and holds(here, there.files):
            _keep_known(url, Known(str(url), there.version, there.tag, here))
        elif here and not (same(here, known.files) or only_lacks(here, known.files)):
            raise _conflict(url)
        elif there.version:
            _fill(url, there, known, watch)
        else:
            shutil.rmtree(copy, ignore_errors=True)
            _keep_known(url, Known(str(url)))
        return copy


def push(url: Url, watch: Watch) -> str | None:
    """Send what has changed in the working copy; what was sent, in words, or None where nothing has changed.

    Objects that are in the bucket already are not sent again. The table goes last: until then, whoever looks sees the
    folder as it was.

    Raises:
        VersionError: The bucket's folder was changed by somebody else meanwhile.
        MachineError: The server cannot be reached or refuses.
        MismatchError: A file was changed while it was sent.
    """
    with _held(url), readable_faults(copy_home(url)):
        known, copy = read_known(url), copy_path(url)
        if not copy.is_dir():
            return None
        if is_held(copy):
            return f"not sent to {url}: another process works in it, and sends it when it ends"
        files = scan(copy, known.files)
        if same(files, known.files):
            return None
        there = _read_remote(url, known)
        if there.version != known.version:
            raise _conflict(url)
        told = send_objects(url, copy, files, known, watch)
        table = encode_table(files, timeless="dataset.json" in files)
        version = sha256_bytes(table)
        files = {name: msgspec.structs.replace(one, tag="") for name, one in files.items()}
        _keep_known(url, Known(str(url), version, "", files), pending=True)
        tag = remote.replace_bytes(table, url.below(TABLE), there.tag)
        # Where it is what we put, the answer to a first try was lost.
        if tag is None and _read_remote(url, Known(str(url))).version != version:
            raise _conflict(url)
        _keep_known(url, Known(str(url), version, tag or "", files))
        (copy_home(url) / "pending.json").unlink()
        keep_objects(copy, files)
        return told


@contextmanager
def _held(url: Url) -> Iterator[None]:
    """No second process of this machine brings the copy up to date or sends it meanwhile; it waits."""
    home = copy_home(url)
    home.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _conflict(url: Url) -> VersionError:
    return VersionError(
        f"{url}: somebody else has changed it, and so has a command here that was not sent. The own copy lies in "
        f"{copy_home(url)}: move it to another place, and run the command again"
    )


def read_known(url: Url) -> Known:
    """What was in the bucket when the working copy equalled it last; nothing where that is not known."""
    return _read_state(copy_home(url) / "state.json") or Known(str(url))


def _read_state(path: Path) -> Known | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Known)
    except (OSError, *JSON_ERRORS):
        return None


def _keep_known(url: Url, known: Known, *, pending: bool = False) -> None:
    """Note what copy and bucket have in common; pending, before the one step that makes it so."""
    write_atomic(copy_home(url) / ("pending.json" if pending else "state.json"), msgspec.json.encode(known))


def _settle(url: Url) -> None:
    """That step is done."""
    (copy_home(url) / "pending.json").replace(copy_home(url) / "state.json")


def _finished(url: Url, known: Known, there: Remote) -> Known:
    """What is known, where the process that was about to note it was killed after the step that made it so."""
    pending = _read_state(copy_home(url) / "pending.json")
    if pending is None:
        return known
    if pending.version == there.version and same(scan(copy_path(url), pending.files), pending.files):
        _settle(url)
        return pending
    (copy_home(url) / "pending.json").unlink()
    return known


def _read_remote(url: Url, known: Known) -> Remote:
    """What is in the bucket now; its files are left out where it is what is known already."""
    table = remote.look_up(url.below(TABLE))
    if table is None:
        return _read_plain(url)
    if known.tag == table.tag:
        return Remote(known.version, table.tag, {})
    partial = copy_home(url) / f".{TABLE}.partial"
    check_room(copy_home(url), table.size)
    try:
        remote.fetch(url.below(TABLE), table.size, partial)
        version, files = sha256_file(partial), decode_table(partial, url)
    finally:
        partial.unlink(missing_ok=True)
    if version == known.version:
        _keep_known(url, msgspec.structs.replace(known, tag=table.tag))
    return Remote(version, table.tag, files)


def _read_plain(url: Url) -> Remote:
    """A folder that another tool copied into the bucket file by file; none where it has none of HEADERS."""
    if not any(name in HEADERS for name in remote.objects_in(url)):
        return Remote("", "", {})
    found = remote.objects_below(url)
    check_paths(list(found), str(url))
    names = "".join(f"{name}\0{one.size}\0{one.tag}\n" for name, one in found.items())
    version = PLAIN + hashlib.sha256(names.encode("utf-8", "surrogateescape")).hexdigest()
    files = {name: Listed(url.below(name), one.size, "", one.tag, one.time_ns) for name, one in found.items()}
    return Remote(version, "", files)


def _fill(url: Url, there: Remote, known: Known, watch: Watch) -> None:
    """Make the working copy what the bucket holds: a new folder that trades places with it."""
    home, copy = copy_home(url), copy_path(url)
    copy.parent.mkdir(exist_ok=True)
    here = scan(copy, known.files) if copy.is_dir() else {}
    old = {name: here[name] for name, one in there.files.items() if name in here and is_same(here[name], one)}
    lacking = [name for name in there.files if name not in old]
    objects = {key_of(one): one for name in lacking for one in [there.files[name]] if not is_kept(one)}
    check_room(home, sum(one.size for one in objects.values()))
    incoming = home / "incoming"
    incoming.mkdir(exist_ok=True)
    receive_all(list(objects.values()), incoming, watch(f"fetching {url.name}", len(objects)))
    with staged_folder(copy, force=True) as staging:
        for folder in {(staging / name).parent for name in there.files}:
            folder.mkdir(parents=True, exist_ok=True)
        files: dict[str, File] = {}
        for name, one in there.files.items():
            if name in old:
                link_or_copy(copy / name, staging / name)
            else:
                put_in_place(one, incoming, staging / name, shared=is_shared(name))
            stat = (staging / name).stat()
            sha256 = one.sha256 or (old[name].sha256 if name in old else sha256_file(staging / name))
            files[name] = File(sha256, stat.st_size, stat.st_mtime_ns, one.tag)
        _keep_known(url, Known(str(url), there.version, there.tag, files), pending=True)
    _settle(url)
    shutil.rmtree(incoming, ignore_errors=True)
