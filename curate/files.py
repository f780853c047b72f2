"""Writing so that an output is whole or absent: atomic files, staged folders, hashing, hardlink-or-copy."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import os
import re
import shutil
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from curate.errors import CurateError, ExistsError, MachineError, MissingError, UsageError
from curate.exchange import exchange
from curate.threads import map_threads


def check_regular(path: Path) -> None:
    """Raise MissingError where no regular file stands: a folder, FIFO or device would hang or break a plain open."""
    try:
        refuse_irregular(path)
    except (OSError, ValueError) as error:
        raise MissingError(f"{path}: cannot be opened ({getattr(error, 'strerror', None) or error})") from error


def refuse_irregular(path: Path) -> None:
    """As `check_regular`, but OSErrors pass: a caller tells of a missing file in its own words."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise MissingError(f"{path}: is not a regular file")


def sha256_file(path: Path) -> str:
    """Hex digest of a regular file's bytes; MissingError where something else stands."""
    refuse_irregular(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def map_file(path: Path) -> bytes | mmap:
    """A file's bytes without copying them; they are what the file holds when they are looked at."""
    with path.open("rb") as file:
        return mmap(file.fileno(), 0, access=ACCESS_READ) if os.fstat(file.fileno()).st_size else b""


def sha256_bytes(data: bytes | mmap) -> str:
    """Hex digest of bytes."""
    return hashlib.sha256(data).hexdigest()


def sha256_files(folder: Path, paths: Iterable[Path]) -> dict[str, str]:
    """Digest of many files by the sub-folder they lie in: of their names and bytes, sorted by name.

    One line in a header stands for thousands of mask files this way; files beside `folder` itself go under ".".
    """
    hashers: dict[str, Any] = {}
    ordered = sorted(paths, key=str)
    for path, digest in zip(ordered, map_threads(sha256_file, ordered), strict=True):
        part, name = path.parent.relative_to(folder).as_posix(), path.name
        hasher = hashers.setdefault(part, hashlib.sha256())
        hasher.update(f"{name}\0{digest}\n".encode("utf-8", "surrogateescape"))
    return {part: hasher.hexdigest() for part, hasher in hashers.items()}


def json_bytes(value: object) -> bytes:
    """A value that msgspec encodes as JSON for people to read, without a newline at its end."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2)


def write_atomic(path: Path, data: bytes, *, synced: bool = True) -> None:
    """Write `data` so that `path` holds either its old bytes or all of the new ones.

    Args:
        path: The file.
        data: Its bytes.
        synced: Wait until they are on the disk, so that this holds after a crash of the machine too. Where many files
            are written, one `sync_tree` after them does the same for all in a fraction of the time.
    """
    partial = path.with_name(f".{path.name}.partial")
    with _open_alone(partial) as file:
        try:
            file.write(data)
            file.flush()
            if synced:
                os.fsync(file.fileno())
            partial.replace(path)
        except BaseException as error:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            if isinstance(error, OSError):
                error.filename = str(path)  # a write names no file
            raise


@contextmanager
def _open_alone(path: Path) -> Iterator[BinaryIO]:
    """A file to write that nobody else writes meanwhile, emptied of what a killed process left in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if _is_at(path, file.fileno()):  # else the one who held it has just put it in its place
                file.truncate(0)
                yield file
                return


def is_outdated(made: Path, source: Path) -> bool:
    """Whether a file is missing, or was made before the one it is made of.

    One from the future is, too, unless its source is as well: the clock was wrong, and the source may be newer.
    """
    if not made.is_file():
        return True
    made_ns, source_ns = made.stat().st_mtime_ns, source.stat().st_mtime_ns
    return made_ns < source_ns or made_ns > time.time_ns() >= source_ns


def link_or_copy(source: Path, target: Path) -> None:
    """Make `target` a hardlink of `source`, or a copy where the file system has no hardlinks between the two.

    Raises:
        MissingError: `source` is no regular file.
    """
    refuse_irregular(source)
    try:
        os.link(source.resolve(), target)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES):
            raise
        shutil.copyfile(source, target)


STAGED = "partial"
"""What the folder that `staged_folder` fills is called for."""
LOCK_TRIES, LOCK_PAUSE_S = 4, 0.05
"""How often a folder that is held is asked for, and the pause after each time."""


@contextmanager
def staged_folder(out: Path, *, force: bool = False) -> Iterator[Path]:
    """A temporary sibling folder that becomes `out` when the block ends well, and vanishes when it does not.

    A block that removes the folder itself withdraws what it made: `out` stays as it is. The folder is locked while it
    is written; what a killed process left of it is cleared by the next one. Where `out` is a link to a folder, that
    folder is the one that is made or replaced.

    Raises:
        ExistsError: `out` exists and `force` is false, or is no folder, or another process is writing it now.
        UsageError: `out` has no name of its own, as `.` and `..` have none.
    """
    out = Path(os.path.realpath(out)) if out.is_symlink() else out
    with scratch_folder(out, STAGED) as staging:
        _restore_interrupted_swap(out)
        if out.exists() and not (force and out.is_dir()):
            advice = "Choose another --out" + (", or pass --force to replace it" if out.is_dir() else "")
            raise ExistsError(f"{out}: exists already{'' if out.is_dir() else ' and is no folder'}. {advice}")
        yield staging
        if staging.exists():
            sync_tree(staging)
            _swap_in(staging, out)


def is_staged(out: Path) -> bool:
    """Whether a process is writing `out` through `staged_folder` now."""
    try:
        return is_held(_scratch(out, STAGED))
    except FileNotFoundError:
        return False


@contextmanager
def scratch_folder(out: Path, purpose: str) -> Iterator[Path]:
    """A hidden, empty sibling of `out` that vanishes when the block ends; it is locked until then.

    What a killed process left of it is cleared by the next one.

    Raises:
        ExistsError: Another process holds it.
        UsageError: `out` has no name of its own, as `.` and `..` have none.
    """
    if out.name in ("", ".."):
        raise UsageError(f"{out or '.'}: is the current folder or one above it. Name a folder of its own")
    folder = _scratch(out, purpose)
    descriptor = _lock_new_folder(folder, out)
    try:
        yield folder
    finally:
        _discard(folder, descriptor)
        os.close(descriptor)


def _scratch(out: Path, purpose: str) -> Path:
    return out.with_name(f".{out.name}.{purpose}")


@contextmanager
def held_folder(folder: Path) -> Iterator[None]:
    """Hold `folder`, made where it is not there, so that no second process works in it at the same time.

    Raises:
        ExistsError: Another process holds it.
        MissingError: As `check_linked_folders`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    _lock(descriptor, folder)
    try:
        check_linked_folders(folder)
        yield
    finally:
        os.close(descriptor)


def check_links(root: Path, folder: Path) -> None:
    """Raise MissingError where `folder`, or anything in it, is a link that leads out of `root`.

    A folder from a stranger may hold links to any file of this machine: what is read through one is sent around with
    what is made of it. A folder that is not there holds none.
    """
    links = [str(folder)] if folder.is_symlink() else []
    if folder.is_dir():
        with os.scandir(folder) as entries:
            links += [entry.path for entry in entries if entry.is_symlink()]
    _check_lead_inside(root, links)


def check_linked_folders(root: Path) -> None:
    """Raise MissingError where a folder below `root` is a link that leads out: what is written in it lands elsewhere.

    A link in place of a file does no harm: files are replaced, not written to.
    """
    for place, folders, _ in os.walk(root):
        paths = [os.path.join(place, name) for name in folders]  # noqa: PTH118 (a Path for each would take longer)
        _check_lead_inside(root, [path for path in paths if os.path.islink(path)])  # noqa: PTH114


def _check_lead_inside(root: Path, links: Iterable[str]) -> None:
    real = os.path.realpath(root).rstrip(os.sep) + os.sep
    for link in sorted(links):
        if not (to := os.path.realpath(link)).startswith(real):
            raise MissingError(f"{link}: is a link that leads out of {root}, to {to}. Put a copy there")


def is_held(folder: Path) -> bool:
    """Whether a process holds the folder now."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _lock(descriptor: int, out: Path) -> None:
    """Lock a folder; who only asks, as `is_held`, has let go of it by the second try."""
    for _ in range(LOCK_TRIES):
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(LOCK_PAUSE_S)
    os.close(descriptor)
    raise ExistsError(f"{out}: another process is writing it. Wait, or choose another --out")


def _lock_new_folder(staging: Path, out: Path) -> int:
    """Create `staging` empty and hold an exclusive lock on it; returns the descriptor that holds the lock."""
    staging.parent.mkdir(parents=True, exist_ok=True)
    while True:
        staging.mkdir(exist_ok=True)
        try:
            descriptor = _open_locked(staging, out)
        except FileNotFoundError:  # the process that made it has just finished
            continue
        # The folder may have been renamed into place between mkdir and flock: then this lock guards nothing.
        if _is_at(staging, descriptor):
            break
        os.close(descriptor)
    for leftover in staging.iterdir():
        shutil.rmtree(leftover) if leftover.is_dir() and not leftover.is_symlink() else leftover.unlink()
    return descriptor


def _open_locked(folder: Path, out: Path) -> int:
    """A descriptor of the folder, never of what a link leads to, that holds an exclusive lock on it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise ExistsError(f"{out}: another process is writing it now. Wait for it, or choose another --out") from None
    return descriptor


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether the path names the very folder of the descriptor."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), path.stat())
    return False


def _discard(staging: Path, descriptor: int) -> None:
    """Remove the staged folder where it is still ours; by then another process may have made one of the same name."""
    if not _is_at(staging, descriptor):
        return
    try:
        shutil.rmtree(staging, ignore_errors=True)
    except KeyboardInterrupt:  # it asks to end, not to leave half a folder behind
        shutil.rmtree(staging, ignore_errors=True)
        raise


def _swap_in(staging: Path, out: Path) -> None:
    """Put the staged folder in the place of `out`, at once where the system can: then no kill leaves it without one."""
    if not out.exists():
        staging.rename(out)
        return
    replaced = _open_locked(out, out)  # it comes to lie where a next process would begin: not before it is gone
    try:
        if not exchange(staging, out):
            _rename_twice(staging, out)
    finally:
        _discard(staging, replaced)
        os.close(replaced)


def _rename_twice(staging: Path, out: Path) -> None:
    old = out.with_name(f".{out.name}.old")
    out.rename(old)
    try:
        staging.rename(out)
    except OSError:
        old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _restore_interrupted_swap(out: Path) -> None:
    """Undo a swap that was killed between its two renames; drop what it replaced where it got through."""
    old = out.with_name(f".{out.name}.old")
    if old.exists():
        shutil.rmtree(old, ignore_errors=True) if out.exists() else old.rename(out)


def sync_tree(root: Path) -> None:
    """Wait until all that was written below `root` is on the disk.

    One syncfs(2) for the whole file system: an fsync for each of 100,000 small masks would take longer than making
    them. Where the C library has none, sync(2) does the same for all disks.
    """
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
        if syncfs is None:
            os.sync()
        elif syncfs(descriptor):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(root))
    finally:
        os.close(descriptor)


@contextmanager
def readable_faults(where: Path | str) -> Iterator[None]:
    """Turn the operating system's refusals into one clear line that names `where`."""
    try:
        yield
    except CurateError:
        raise
    except OSError as error:
        raise explain_oserror(error, where) from error


def explain_oserror(error: OSError, where: Path | str) -> CurateError:
    """The CurateError that says what an OSError means for the user and what to do about it."""
    place = error.filename or where
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            place = error.filename2 or place  # of a copy, the file that is written
            return MachineError(f"{_meant(place)}: no space left on the disk. Free some, or write elsewhere")
        case errno.EROFS:
            return MachineError(f"{_meant(place)}: the disk can only be read. Choose a place on another one")
        case errno.EACCES | errno.EPERM:
            advice = "Check its owner and mode, or choose another folder"
            return MachineError(f"{_meant(place)}: permission denied. {advice}")
        case errno.ENOENT:
            return MissingError(f"{place}: no such file or folder. Check the path")
        case errno.ENOTDIR | errno.EISDIR | errno.EEXIST:
            return MissingError(f"{place}: {error.strerror}. Check whether a file or a folder is wanted here")
        case _:
            return MachineError(f"{_meant(place)}: {error.strerror or error}")


def _meant(place: Path | str) -> Path | str:
    """The place that was named by the user, of one that is staged for it."""
    for path in (*reversed(Path(place).parents), Path(place)):
        if staged := re.fullmatch(r"\.(.+)\.(partial|masks)", path.name):
            return path.with_name(staged[1])
    return place


def cache_folder() -> Path:
    """Where caches lie: $CURATE_CACHE, else `curate` in $XDG_CACHE_HOME, else ~/.cache/curate."""
    if own := os.environ.get("CURATE_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "curate"
