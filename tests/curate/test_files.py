"""Outputs are whole or absent: kills, two writers, interrupted swaps, full disks."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from curate import files
from curate.errors import CurateError, ExistsError, MachineError, MissingError, UsageError
from curate.exchange import exchange
from tests.conftest import REPOSITORY


def write_version(out: Path, text: str, *, force: bool = False) -> None:
    """A folder with one file through staged_folder."""
    with files.staged_folder(out, force=force) as staging:
        (staging / "part.txt").write_text(text)


def leftovers(folder: Path) -> list[str]:
    """Hidden files and folders, which a finished write leaves none of."""
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def test_a_staged_folder_appears_whole(tmp_path: Path) -> None:
    write_version(tmp_path / "out", "one")
    assert (tmp_path / "out" / "part.txt").read_text() == "one"
    assert leftovers(tmp_path) == []


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), files.staged_folder(tmp_path / "out") as staging:  # noqa: PT012
        (staging / "part.txt").write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_replaced_only_by_force(tmp_path: Path) -> None:
    write_version(tmp_path / "out", "one")
    with pytest.raises(ExistsError, match="exists already"):
        write_version(tmp_path / "out", "two")
    assert (tmp_path / "out" / "part.txt").read_text() == "one"
    write_version(tmp_path / "out", "two", force=True)
    assert (tmp_path / "out" / "part.txt").read_text() == "two"
    assert leftovers(tmp_path) == []


def test_where_folders_cannot_trade_places_they_are_renamed_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "exchange", lambda one, other: False)
    for text in ("one", "two"):
        write_version(tmp_path / "out", text, force=True)
        assert (tmp_path / "out" / "part.txt").read_text() == text
    assert leftovers(tmp_path) == []


def test_a_folder_behind_a_link_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    write_version(tmp_path / "disk" / "out", "one")
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "out")
    for text in ("two", "three"):
        write_version(tmp_path / "link", text, force=True)
        assert (tmp_path / "disk" / "out" / "part.txt").read_text() == text
    assert (tmp_path / "link").is_symlink()
    assert leftovers(tmp_path) == leftovers(tmp_path / "disk") == []


def test_a_link_in_the_place_of_the_staged_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.jpg").write_bytes(b"photo")
    (tmp_path / ".out.partial").symlink_to(tmp_path / "mine")
    with pytest.raises(CurateError, match=r"\.out\.partial"), files.readable_faults("out"):
        write_version(tmp_path / "out", "one")
    assert (tmp_path / "mine" / "photo.jpg").read_bytes() == b"photo"


def test_a_file_in_the_place_of_the_folder_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a letter")
    with pytest.raises(ExistsError, match="exists already and is no folder"):
        write_version(tmp_path / "out", "one", force=True)
    assert (tmp_path / "out").read_text() == "a letter"
    assert leftovers(tmp_path) == []


def test_what_another_process_has_begun_meanwhile_is_left_alone(tmp_path: Path) -> None:
    staging = tmp_path / ".out.partial"
    with pytest.raises(RuntimeError), files.staged_folder(tmp_path / "out"):  # noqa: PT012
        staging.rmdir()
        staging.mkdir()
        (staging / "of-another.txt").write_text("begun")
        raise RuntimeError
    assert (staging / "of-another.txt").exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="renameat2 is Linux's")
def test_two_folders_trade_places(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_version(tmp_path / name, name)
    assert exchange(tmp_path / "one", tmp_path / "two")
    assert (tmp_path / "one" / "part.txt").read_text() == "two"
    assert not exchange(tmp_path / "one", tmp_path / "three")


def test_a_withdrawn_folder_leaves_what_stood_there(tmp_path: Path) -> None:
    write_version(tmp_path / "out", "one")
    with files.staged_folder(tmp_path / "out", force=True) as staging:
        staging.rmdir()
    assert (tmp_path / "out" / "part.txt").read_text() == "one"
    assert leftovers(tmp_path) == []


def test_a_second_writer_is_told_so_and_disturbs_nothing(tmp_path: Path) -> None:
    with files.staged_folder(tmp_path / "out") as staging:
        (staging / "part.txt").write_text("first")
        with pytest.raises(ExistsError, match="another process is writing it"):
            write_version(tmp_path / "out", "second")
    assert (tmp_path / "out" / "part.txt").read_text() == "first"


@pytest.mark.parametrize("finished", [False, True], ids=["before the new one moved in", "after"])
def test_an_interrupted_swap_is_mended_by_the_next_writer(tmp_path: Path, finished: bool) -> None:
    if finished:
        write_version(tmp_path / "out", "new")
    write_version(tmp_path / ".out.old", "old")
    with pytest.raises(ExistsError, match="exists already"):
        write_version(tmp_path / "out", "third")
    assert (tmp_path / "out" / "part.txt").read_text() == ("new" if finished else "old")
    assert leftovers(tmp_path) == []


def test_a_swap_that_fails_puts_the_old_folder_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_version(tmp_path / "out", "old")
    monkeypatch.setattr(files, "exchange", lambda one, other: False)
    rename = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path.name == ".out.partial":
            raise OSError(errno.EIO, "broken disk", str(path))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OSError, match="broken disk"):
        write_version(tmp_path / "out", "new", force=True)
    assert (tmp_path / "out" / "part.txt").read_text() == "old"
    assert leftovers(tmp_path) == []


WRITER = """
import sys, time
from pathlib import Path
from curate.files import staged_folder, write_atomic
out = Path(sys.argv[1])
print("begun", flush=True)
for version in range(10_000):
    with staged_folder(out, force=True) as staging:
        for part in range(5):
            (staging / f"{part}.txt").write_text(str(version))
        time.sleep(0.0005)
        write_atomic(staging / "header.txt", b"whole")
"""


@pytest.mark.parametrize("delay_s", [0.0, 0.003, 0.011, 0.023, 0.047, 0.081])
def test_a_kill_at_any_moment_leaves_a_whole_folder_or_none(tmp_path: Path, delay_s: float) -> None:
    out = tmp_path / "out"
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(out)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    writer.stdout.readline()
    time.sleep(delay_s)
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    if out.exists():
        assert (out / "header.txt").read_bytes() == b"whole"
        assert len({(out / f"{part}.txt").read_text() for part in range(5)}) == 1
    write_version(out, "again", force=True)
    assert (out / "part.txt").read_text() == "again"
    assert leftovers(tmp_path) == []


def test_an_atomic_write_keeps_the_old_bytes_when_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    files.write_atomic(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MachineError, match=r"a\.json: no space left"), files.readable_faults(path):
        files.write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert leftovers(tmp_path) == []


def test_what_a_killed_process_left_of_a_file_is_cleared_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    kill_while_written(path)
    assert [path.name for path in tmp_path.iterdir()] == leftovers(tmp_path) != []
    files.write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert leftovers(tmp_path) == []


def kill_while_written(path: Path) -> None:
    """A process that is killed when it has written a file, before that is in its place."""
    child = os.fork()
    if not child:
        os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
        files.write_atomic(path, b"longer than what comes after it")
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL


def test_of_many_who_write_one_file_at_once_one_stands_whole(tmp_path: Path) -> None:
    path, sizes = tmp_path / "a.json", [1, 5_000, 100_000, 2_000_000]

    def write(number: int) -> None:
        for _ in range(20):
            files.write_atomic(path, bytes([number]) * sizes[number], synced=False)
            data = path.read_bytes()
            assert data == bytes(data[:1]) * sizes[data[0]]

    with ThreadPoolExecutor(len(sizes)) as pool:
        list(pool.map(write, range(len(sizes))))
    assert leftovers(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_device_is_named() -> None:
    with pytest.raises(MachineError, match="no space left on the disk"), files.readable_faults("/dev/full"):
        Path("/dev/full").write_bytes(b"data")


def test_a_copy_that_finds_no_space_names_the_file_it_writes() -> None:
    with pytest.raises(MachineError, match=r"out/b\.jpg: no space left"), files.readable_faults("out"):
        raise OSError(errno.ENOSPC, "No space left on device", "photos/a.jpg", None, "out/b.jpg")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("hidden", [".out.zip.partial/.export.partial/images", ".out.zip.masks/1.png"])
def test_what_is_refused_in_a_staged_folder_is_told_of_what_it_becomes(number: int, hidden: str) -> None:
    with pytest.raises(MachineError, match=r"^a/out\.zip: "), files.readable_faults("there"):
        raise OSError(number, os.strerror(number), f"a/{hidden}")


def test_a_held_folder_refuses_a_second_process(tmp_path: Path) -> None:
    with (
        files.held_folder(tmp_path / "loop"),
        pytest.raises(ExistsError, match="another process"),
        files.held_folder(tmp_path / "loop"),
    ):
        pass
    with files.held_folder(tmp_path / "loop"):
        pass


def test_who_only_asks_keeps_nobody_out(tmp_path: Path) -> None:
    asking = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(asking, fcntl.LOCK_SH)
    over = threading.Timer(0.02, os.close, [asking])
    over.start()
    with files.held_folder(tmp_path):
        assert files.is_held(tmp_path)
    over.join()


def test_a_link_shares_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"photo")
    files.link_or_copy(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").stat().st_ino == (tmp_path / "a").stat().st_ino


def test_a_link_is_of_the_file_behind_a_symlink(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"photo")
    (tmp_path / "s").symlink_to(tmp_path / "a")
    files.link_or_copy(tmp_path / "s", tmp_path / "b")
    assert not (tmp_path / "b").is_symlink()


def test_where_links_are_refused_a_copy_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "a").write_bytes(b"photo")
    files.link_or_copy(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"photo"
    assert (tmp_path / "b").stat().st_ino != (tmp_path / "a").stat().st_ino


def test_hashes_are_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"photo")
    assert files.sha256_file(tmp_path / "a") == files.sha256_bytes(b"photo") == hashlib.sha256(b"photo").hexdigest()


def test_the_hash_of_many_files_changes_with_any_name_or_byte(tmp_path: Path) -> None:
    for part in ("masks", "xml"):
        (tmp_path / part).mkdir()
        for name in ("1", "2"):
            (tmp_path / part / name).write_text(part + name)
    paths = [path for path in tmp_path.rglob("*") if path.is_file()]
    before = files.sha256_files(tmp_path, paths)
    assert sorted(before) == ["masks", "xml"]
    assert files.sha256_files(tmp_path, reversed(paths)) == before
    (tmp_path / "masks" / "1").write_text("other")
    after = files.sha256_files(tmp_path, paths)
    assert after["xml"] == before["xml"]
    assert after["masks"] != before["masks"]


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (errno.ENOSPC, MachineError, "no space left"),
        (errno.EACCES, MachineError, "permission denied"),
        (errno.EROFS, MachineError, "there: the disk can only be read. Choose a place on another one"),
        (errno.ENOENT, MissingError, "no such file"),
        (errno.ENOTDIR, MissingError, "whether a file or a folder"),
        (errno.EEXIST, MissingError, "there: File exists. Check whether a file or a folder"),
        (errno.EIO, MachineError, "Input/output error"),
    ],
)
def test_the_systems_refusals_become_one_line(number: int, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words), files.readable_faults("there"):
        raise OSError(number, os.strerror(number))


@pytest.mark.parametrize("name", [".", "..", "/"])
def test_a_folder_without_a_name_of_its_own_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="Name a folder of its own"), files.staged_folder(Path(name)):
        pass
    assert not list(tmp_path.iterdir())


def test_a_folder_is_not_held_where_one_in_it_leads_out(tmp_path: Path) -> None:
    """Predictions would be written, and old ones removed, among somebody's photographs."""
    (tmp_path / "photographs").mkdir()
    (tmp_path / "run" / "plots").mkdir(parents=True)
    (tmp_path / "run" / "plots" / "epochs").symlink_to("../../photographs")
    with (
        pytest.raises(MissingError, match=r"plots/epochs: is a link that leads out of .*run, to .*photographs"),
        files.held_folder(tmp_path / "run"),
    ):
        pass
    (tmp_path / "run" / "plots" / "epochs").unlink()
    (tmp_path / "run" / "plots" / "epochs").symlink_to("../plots")
    with files.held_folder(tmp_path / "run"):
        pass
