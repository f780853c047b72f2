"""A stored folder: a dataset, run, loop or sweep in a bucket, and its working copy here.

`URL/files.parquet` (schema.FILES) lists the files; it is the header, put last and at once, and a folder without it is
none. The bytes of each file lie beside the folder, as `<parent of URL>/objects/<first two digits>/<sha256>`, so that
versions of a dataset share their photographs there as hardlinks do here.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeVar

import msgspec
import polars as pl

from curate import schema
from curate.dataset import SAMPLE_FOLDERS, read_columns
from curate.errors import JSON_ERRORS, FormatError, MachineError, MismatchError, VersionError
from curate.files import is_held, link_or_copy, readable_faults, sha256_bytes, sha256_file, staged_folder, write_atomic
from curate.storage import remote
from curate.storage.urls import OBJECTS, Url, copy_home, copy_path, kept_object, object_url, problem_of
from curate.terminal import counted
from curate.threads import Tick, Watch, map_threads

TABLE = "files.parquet"
"""The header of a stored folder."""
HEADERS = ("dataset.json", "config.json", "loop.json", "sweep.json")
"""By one of these a folder is known that another tool copied into a bucket file by file."""
MOST_IN_MEMORY = 2 * remote.PART_BYTES
"""Files that are smaller are read at once, and many are on their way; a larger one goes in parts, and by itself."""
PLAIN = "plain-"
"""What versions begin with of folders that were copied into the bucket file by file."""

Item = TypeVar("Item")


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
            if _only_lacks(here, known.files):
                _fill(url, _read_remote(url, Known(str(url))), known, watch)
        elif there.version and here and _holds(here, there.files):
            _keep_known(url, Known(str(url), there.version, there.tag, here))
        elif here and not (_same(here, known.files) or _only_lacks(here, known.files)):
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
        if _same(files, known.files):
            return None
        there = _read_remote(url, known)
        if there.version != known.version:
            raise _conflict(url)
        told = _send_objects(url, copy, files, known, watch)
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
        _keep_objects(copy, files)
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


def _same(one: Mapping[str, File], other: Mapping[str, File]) -> bool:
    """Whether two folders hold the same bytes under the same names."""
    return one.keys() == other.keys() and all(one[name].sha256 == other[name].sha256 for name in one)


def _holds(here: Mapping[str, File], there: Mapping[str, Listed]) -> bool:
    """Whether the copy is what the bucket holds, whoever made it that."""
    return here.keys() == there.keys() and all(here[name].sha256 == one.sha256 for name, one in there.items())


def _only_lacks(here: Mapping[str, File], known: Mapping[str, File]) -> bool:
    """Whether files are gone and nothing else has changed: somebody cleared the cache, no command did that."""
    return here.keys() < known.keys() and all(here[name].sha256 == known[name].sha256 for name in here)


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
    if pending.version == there.version and _same(scan(copy_path(url), pending.files), pending.files):
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
    _check_room(copy_home(url), table.size)
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
    _check_paths(list(found), str(url))
    names = "".join(f"{name}\0{one.size}\0{one.tag}\n" for name, one in found.items())
    version = PLAIN + hashlib.sha256(names.encode("utf-8", "surrogateescape")).hexdigest()
    files = {name: Listed(url.below(name), one.size, "", one.tag, one.time_ns) for name, one in found.items()}
    return Remote(version, "", files)


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
    _check_paths(frame["path"].to_list(), str(where))
    return {
        name: Listed(object_url(url, sha256), size, sha256, "", time_ns)
        for name, sha256, size, time_ns in frame.iter_rows()
    }


def _check_paths(paths: list[str | None], where: str) -> None:
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


def _fill(url: Url, there: Remote, known: Known, watch: Watch) -> None:
    """Make the working copy what the bucket holds: a new folder that trades places with it."""
    home, copy = copy_home(url), copy_path(url)
    here = scan(copy, known.files) if copy.is_dir() else {}
    old = {name: here[name] for name, one in there.files.items() if name in here and _is_same(here[name], one)}
    lacking = [name for name in there.files if name not in old]
    objects = {_key(one): one for name in lacking for one in [there.files[name]] if not _is_kept(one)}
    _check_room(home, sum(one.size for one in objects.values()))
    incoming = home / "incoming"
    incoming.mkdir(exist_ok=True)
    _receive(list(objects.values()), incoming, watch(f"fetching {url.name}", len(objects)))
    with staged_folder(copy, force=True) as staging:
        for folder in {(staging / name).parent for name in there.files}:
            folder.mkdir(parents=True, exist_ok=True)
        files: dict[str, File] = {}
        for name, one in there.files.items():
            if name in old:
                link_or_copy(copy / name, staging / name)
            else:
                _place(one, incoming, staging / name, shared=_is_shared(name))
            stat = (staging / name).stat()
            sha256 = one.sha256 or (old[name].sha256 if name in old else sha256_file(staging / name))
            files[name] = File(sha256, stat.st_size, stat.st_mtime_ns, one.tag)
        _keep_known(url, Known(str(url), there.version, there.tag, files), pending=True)
    _settle(url)
    shutil.rmtree(incoming, ignore_errors=True)


def _is_same(file: File, listed: Listed) -> bool:
    """Whether a file of the copy holds the bytes that are listed."""
    return file.sha256 == listed.sha256 if listed.sha256 else bool(file.tag) and file.tag == listed.tag


def _is_shared(name: str) -> bool:
    """Whether a file is one of a dataset's samples: written once, and never into, so that copies can share it."""
    return name.partition("/")[0] in SAMPLE_FOLDERS


def _key(one: Listed) -> str:
    """The file name of its bytes on the way."""
    return one.sha256 or hashlib.sha256(f"{one.url}\0{one.tag}\0{one.size}".encode()).hexdigest()


def _is_kept(one: Listed) -> bool:
    """Whether the cache holds the bytes, of another working copy."""
    try:
        return bool(one.sha256) and kept_object(one.sha256).stat().st_size == one.size
    except OSError:
        return False


def _check_room(home: Path, needed: int) -> None:
    free = shutil.disk_usage(home).free
    if needed > free:
        told = f"{needed / 1e6:,.1f} MB are to come, and {free / 1e6:,.1f} MB are free"
        raise MachineError(f"{home}: no space left on the disk ({told}). Free some, or set CURATE_CACHE elsewhere")


def _receive(objects: list[Listed], incoming: Path, tick: Tick) -> None:
    """Write the objects into a folder, each under its name once its bytes are known to be right."""

    def receive(one: Listed) -> None:
        path, partial = incoming / _key(one), incoming / f"{_key(one)}.partial"
        if path.is_file() and path.stat().st_size == one.size:  # of a process that was killed
            return
        remote.fetch(one.url, one.size, partial)
        if one.sha256 and (got := sha256_file(partial)) != one.sha256:
            partial.unlink()
            advice = "The object is damaged. Put the right bytes there, from a copy of the folder that is whole"
            raise MismatchError(str(one.url), f"SHA-256 {one.sha256[:12]}", got[:12], advice)
        partial.replace(path)

    for some in _small_then_large(objects, [one.size for one in objects]):
        remote.many_at_once(receive, some, tick)


def _small_then_large(items: Sequence[Item], sizes: Sequence[int]) -> Iterator[list[Item]]:
    """The small ones together, then each large one by itself, since its parts are many at once already."""
    yield [item for item, size in zip(items, sizes, strict=True) if size < MOST_IN_MEMORY]
    yield from ([item] for item, size in zip(items, sizes, strict=True) if size >= MOST_IN_MEMORY)


def _place(one: Listed, incoming: Path, path: Path, *, shared: bool) -> None:
    """Give bytes that came in, or that the cache holds, their name in the copy."""
    source, kept = incoming / _key(one), kept_object(one.sha256) if one.sha256 else None
    if shared and kept is not None:
        if source.is_file() and not _is_kept(one):
            kept.parent.mkdir(parents=True, exist_ok=True)
            source.replace(kept)
        link_or_copy(kept, path)
        return
    shutil.copyfile(source if source.is_file() or kept is None else kept, path)
    if one.time_ns is not None:
        os.utime(path, ns=(one.time_ns, one.time_ns))


def _keep_objects(copy: Path, files: Mapping[str, File]) -> None:
    """Let further working copies share the samples' files."""
    for name, one in files.items():
        if _is_shared(name) and not (kept := kept_object(one.sha256)).exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(copy / name, kept)
            except OSError:  # a file system without hardlinks: they are fetched where they are wanted
                return


def _send_objects(url: Url, copy: Path, files: Mapping[str, File], known: Known, watch: Watch) -> str:
    """Send the objects that the bucket lacks; what was sent, in words."""
    named = {one.sha256: name for name, one in files.items()}
    there = {one.sha256: one.size for one in known.files.values() if not one.tag}
    there |= _objects_there(url, named.keys() - there.keys())
    missing = [name for sha256, name in sorted(named.items()) if there.get(sha256) != files[name].size]
    tick = watch(f"sending {url.name}", len(missing))

    def send(name: str) -> None:
        one, path = files[name], copy / name
        if one.size < MOST_IN_MEMORY:
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

    for some in _small_then_large(missing, [files[name].size for name in missing]):
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
