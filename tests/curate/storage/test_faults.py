"""What goes wrong between here and a bucket: one clear line each, and nothing half taken for whole."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from curate.errors import MachineError
from curate.files import cache_folder
from curate.storage import listing, remote, stored
from curate.storage.urls import copy_home, parse_url
from tests.conftest import REPOSITORY
from tests.curate.conftest import Run
from tests.curate.exporting import tree
from tests.curate.storage.between import Between, Request
from tests.curate.storage.buckets import Bucket
from tests.curate.storage.machines import copy_of


def refused(run: Run, *words: str, code: int = 1) -> str:
    """The one line with which the program ends."""
    got, out, err = run(*words)
    assert (got, out) == (code, ""), err
    *notes, last = err.splitlines()
    assert last.startswith("error: "), err
    assert not any("Traceback" in note for note in notes)
    return last.removeprefix("error: ")


def test_a_bucket_that_is_not_there(bucket: Bucket, run: Run) -> None:
    told = "there is no bucket nowhere. Check its name and the server's address"
    assert refused(run, "show", "s3://nowhere/people").endswith(told)
    assert refused(run, "build", "--pool", "s3://nowhere/photos").endswith(told)
    words = ("build", "--pool", "s3://nowhere/photos", "--images", "s3://nowhere/photos")
    assert refused(run, *words).endswith(told)


def test_a_key_that_is_not_there(bucket: Bucket, run: Run) -> None:
    people, photos = bucket.url("people"), bucket.url("photos")
    assert refused(run, "show", people).startswith(f"{people}: is not a dataset (no dataset.json in it)")
    for words in (("--pool", photos), ("--coco", photos), ("--coco", "a.json", "--images", photos)):
        assert refused(run, "build", *words) == f"{photos}: no such file or folder in the bucket. Check the name"


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_no_right_to_read(people: str, run: Run, between: Between, elsewhere: Path, method: str) -> None:
    between.harm = lambda request: "refuse" if request.method == method else ""
    told = refused(run, "show", people)
    assert told.startswith(people)
    assert "permission denied (" in told
    assert told.endswith("Ask for the right to it, or log in anew")


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        pytest.param("refuse", "permission denied (AccessDenied). Ask for the right to it", id="no right"),
        pytest.param("cut", "the connection failed (", id="never gets through"),
    ],
)
def test_what_cannot_be_sent_changes_nothing_and_waits(
    people: str, bucket: Bucket, run: Run, between: Between, monkeypatch: pytest.MonkeyPatch, harm: str, told: str
) -> None:
    monkeypatch.setattr(remote, "TRIES", 1)
    (copy_of(people) / "note.txt").write_text("mine" * 1000)
    before = bucket.listed()
    between.harm = lambda request: harm if request.method == "PUT" else ""
    code, _, err = run("show", people)
    assert code == 1
    assert told in err
    assert bucket.listed() == before
    between.harm = lambda request: ""
    assert "1 new object" in run("show", people)[2], "what was not sent is sent the next time"


def test_no_credentials(people: str, run: Run, anew: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    told = refused(run, "show", people)
    assert "no credentials are found" in told
    assert told.endswith("Log in as for `aws s3 ls`, or set them in the environment")


def test_no_server(people: str, run: Run, anew: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "TRIES", 2)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{taken.getsockname()[1]}")
        started = time.monotonic()
        told = refused(run, "show", people)
    assert time.monotonic() - started < 20
    assert told.startswith(f"{people}/files.parquet: the connection failed (")
    assert told.endswith("Check the network and the server's address, and run it again: what came through is kept")


def test_a_server_that_says_nothing(people: str, run: Run, between: Between, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "READ_S", 0.2)
    monkeypatch.setattr(remote, "TRIES", 1)
    between.harm = lambda request: "hold"
    assert "the connection failed (" in refused(run, "show", people)


def is_object(request: Request) -> bool:
    """Whether the bytes of a file are asked for or sent."""
    return "/objects/" in request.path


def test_a_download_that_breaks_off_is_tried_again(people: str, run: Run, between: Between, elsewhere: Path) -> None:
    between.harm = lambda request: "cut" if is_object(request) and not request.number else ""
    code, _, err = run("check", people)
    assert (code, err) == (0, "")
    assert {request.number for request in between.seen if is_object(request)} == {0, 1}


def test_what_came_through_is_not_fetched_twice(people: str, run: Run, between: Between, elsewhere: Path) -> None:
    some = [path for path in sorted(stored_paths(people)) if path[-1] in "0123"]
    between.harm = lambda request: "cut" if request.method == "GET" and request.path in some else ""
    told = refused(run, "show", people)
    assert "the connection failed (" in told
    assert not copy_of(people).exists(), "nothing is half there"
    came = {request.path for request in between.seen if is_object(request)} - set(some)
    between.harm, between.seen = lambda request: "", []
    code, _, err = run("check", people)
    assert (code, err) == (0, "")
    again = {request.path for request in between.seen if is_object(request)}
    assert set(some) <= again
    assert len(again & came) <= remote.AT_ONCE, "those alone that were on their way"


def stored_paths(people: str) -> set[str]:
    """The paths of the objects that a stored folder has, as the server sees them."""
    url = parse_url(people)
    known = stored.read_known(url)
    here = copy_home(url)
    if not known.files:  # of the machine that sent it
        state = next((here.parents[2] / "cache" / "stored").glob("*/state.json"))
        known = msgspec.json.decode(state.read_bytes(), type=listing.Known)
    return {f"/{url.bucket}/objects/{one.sha256[:2]}/{one.sha256}" for one in known.files.values()}


def test_an_upload_that_breaks_off_is_tried_again(people: str, bucket: Bucket, run: Run, between: Between) -> None:
    (copy_of(people) / "note.txt").write_text("mine" * 1000)
    between.harm = lambda request: "cut" if request.method == "PUT" and not request.number else ""
    code, _, err = run("show", people)
    assert (code, "1 new object" in err) == (0, True), err
    assert sum(request.method == "PUT" for request in between.seen) > 2


def test_an_answer_that_is_lost(people: str, bucket: Bucket, run: Run, between: Between) -> None:
    (copy_of(people) / "note.txt").write_text("mine")
    between.harm = lambda request: "swallow" if request.method == "PUT" and not request.number else ""
    code, _, err = run("show", people)
    assert (code, "1 new object" in err) == (0, True), err
    assert run("show", people)[2] == ""


@pytest.mark.parametrize("harm", ["shorten", "alter"])
def test_an_object_of_other_bytes_is_not_taken(
    people: str, run: Run, between: Between, elsewhere: Path, harm: str
) -> None:
    path = min(stored_paths(people))
    sha256 = path.rpartition("/")[2]
    between.harm = lambda request: harm if request.method == "GET" and request.path == path else ""
    line = refused(run, "show", people)
    assert line.startswith(f"s3:/{path}: expected ")
    assert ("It is cut off" in line) if harm == "shorten" else (f"SHA-256 {sha256[:12]}" in line)
    assert not copy_of(people).exists()
    between.harm = lambda request: ""
    assert run("check", people)[0] == 0


def test_a_photograph_that_is_cut_off_is_not_taken(bucket: Bucket, run: Run, made: Path, between: Between) -> None:
    bucket.upload(made / "images", "photos")
    between.harm = lambda request: "shorten" if request.path.endswith(".jpg") and request.method == "GET" else ""
    told = refused(run, "build", "--pool", bucket.url("photos"))
    assert told.endswith("It is cut off, or was replaced just now. Run it again")
    between.harm = lambda request: ""
    assert run("build", "--pool", bucket.url("photos"), "--out", "pool")[0] == 0


@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_a_package_that_is_not_installed(
    bucket: Bucket, run: Run, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setitem(sys.modules, {"s3": "s3fs", "gs": "gcsfs"}[scheme], None)
    package = {"s3": "s3fs", "gs": "gcsfs"}[scheme]
    told = f"{scheme}://: {package} is not installed. pip install 'silhouette-curate[{scheme}]'"
    assert refused(run, "show", f"{scheme}://bucket/people") == told


def test_too_little_room_is_said_before_anything_is_fetched(
    people: str, run: Run, between: Between, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    told = refused(run, "show", people)
    assert "no space left on the disk (" in told
    assert told.endswith("Free some, or set CURATE_CACHE elsewhere")
    assert not any(is_object(request) for request in between.seen)


def test_a_full_disk(people: str, bucket: Bucket) -> None:
    key = bucket.listed("objects/")[0]
    with pytest.raises(MachineError, match=f"{cache_folder()}: no space left on the disk"):
        remote.fetch(parse_url(bucket.url(key)), len(bucket.read(key)), Path("/dev/full"))


def start(*words: str) -> subprocess.Popen[str]:
    """The program in a process of its own."""
    told = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-m", "curate", *words], env=told, stdout=pipe, stderr=pipe, text=True)


def kill_when_held(process: subprocess.Popen[str], between: Between) -> None:
    """Kill the program, once what it asked for is held up."""
    assert between.holding.wait(30), process.communicate(timeout=1)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    between.harm = lambda request: ""


@pytest.mark.parametrize("where", ["objects", "table"])
def test_killed_while_it_sends(people: str, bucket: Bucket, run: Run, between: Between, where: str) -> None:
    before = bucket.read("people/files.parquet")
    for number in range(20):
        (copy_of(people) / f"note-{number}.txt").write_text(f"{number}")
    sent = "objects" if where == "objects" else "files.parquet"

    def hold(request: Request) -> str:
        held = request.method == "PUT" and sent in request.path
        return "hold" if held and (where == "table" or request.path[-1] in "01234567") else ""

    between.harm = hold
    kill_when_held(start("show", people), between)
    assert bucket.read("people/files.parquet") == before, "the folder is what it was"
    code, _, err = run("show", people)
    assert (code, "new object" in err) == (0, True), err
    Path("table").write_bytes(bucket.read("people/files.parquet"))
    assert listing.decode_table(Path("table"), parse_url(people)).keys() == tree(copy_of(people)).keys()
    assert run("show", people)[2] == ""


def test_killed_between_the_table_and_its_note(
    people: str, run: Run, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    (copy_of(people) / "note.txt").write_text("mine")
    plain = remote.replace_bytes

    def killed(*told: object) -> str:
        plain(*told)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(remote, "replace_bytes", killed)
        assert run("show", people)[0] == 130
    code, _, err = run("show", people)
    assert (code, err) == (0, ""), "it is known to have been sent"


def test_killed_while_it_fetches(people: str, run: Run, made: Path, between: Between, elsewhere: Path) -> None:
    between.harm = lambda request: "hold" if is_object(request) and request.path[-1] in "01234567" else ""
    kill_when_held(start("show", people), between)
    assert not copy_of(people).exists()
    code, _, err = run("check", people)
    assert (code, err) == (0, "")
    assert tree(copy_of(people)) == tree(made)


def test_killed_between_the_copy_and_its_note(
    people: str, run: Run, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(url: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stored, "_settle", killed)
        assert run("show", people)[0] == 130
    monkeypatch.setattr(remote, "many_at_once", None)
    code, _, err = run("show", people)
    assert (code, err) == (0, ""), "it is known to be here"


def test_a_damaged_note_is_none(people: str, run: Run, made: Path, elsewhere: Path) -> None:
    assert run("show", people)[0] == 0
    (copy_home(parse_url(people)) / "state.json").write_text("{")
    code, _, err = run("show", people)
    assert (code, err) == (0, ""), "the copy holds what the bucket holds"
    assert tree(copy_of(people)) == tree(made)
