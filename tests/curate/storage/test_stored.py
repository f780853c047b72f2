"""Folders in a bucket and their working copies, by the program: one machine sends, another one fetches."""

from __future__ import annotations

import io
import json
import os
import shutil
from pathlib import Path

import polars as pl
import pytest

from curate import schema
from curate.dataset import open_dataset
from curate.files import cache_folder, sha256_bytes
from curate.storage import listing, remote, stored
from curate.storage.copies import copies_taken, leave_sending, located, send_back
from curate.storage.urls import copy_home, copy_path, kept_object, parse_url
from curate.threads import unwatched
from tests.curate.conftest import Run
from tests.curate.exporting import tree
from tests.curate.storage.buckets import Bucket
from tests.curate.storage.machines import copy_of, move_to

TINY = "--model pspnet --encoder mobilenet_v2 --weights none --size 32 --batch-size 4 --lr 0.001"


def test_a_build_into_a_bucket_is_the_build_into_a_folder(
    bucket: Bucket, run: Run, sample: Path, tmp_path: Path
) -> None:
    words, people = ("build", "--voc", str(sample / "VOC2012"), "--take", "voc=6", "--out"), bucket.url("people")
    code, out, err = run(*words, people)
    assert (code, "sent to" in err) == (0, True), err
    told = run(*words, "here")
    assert (code, out) == (0, told[1].replace("here", people))
    assert tree(copy_of(people)) == tree(tmp_path / "here")
    code, out, err = run(*words, people)
    assert (code, "sent" in err) == (0, False), "it is done"


def test_another_machine_gets_the_same_bytes(people: str, run: Run, elsewhere: Path) -> None:
    here = tree(elsewhere.parent / "cache" / copy_of(people).relative_to(elsewhere))
    code, out, err = run("check", people)
    assert (code, err) == (0, "")
    assert out.startswith(f"{people}: sound, 10 images")
    assert tree(copy_of(people)) == here
    masks = list((copy_of(people) / "masks").iterdir())
    assert all(kept_object(sha256_bytes(mask.read_bytes())).samefile(mask) for mask in masks), "shared by hardlink"
    assert not (copy_home(parse_url(people)) / "incoming").exists()


@pytest.mark.parametrize("name", ["copy", "incoming", "state.json", "pending.json"])
def test_a_folder_may_be_called_as_what_the_cache_keeps_beside_it(
    name: str, made: Path, bucket: Bucket, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = bucket.url(name)
    shutil.copytree(made, copy_of(url))
    stored.push(parse_url(url), unwatched)
    move_to(tmp_path / "another cache", monkeypatch)
    for _ in range(2):
        code, out, err = run("check", url)
        assert (code, err) == (0, "")
        assert out.startswith(f"{url}: sound, 10 images")


def test_what_is_printed_is_the_url(people: str, run: Run, elsewhere: Path) -> None:
    for words in (("show", people), ("show", people, "--json"), ("show", people, "nobody")):
        _, out, err = run(*words)
        assert "cache" not in out + err
    assert run("show", people)[1].startswith(people)


def test_the_table_lists_every_file_with_its_content(people: str, bucket: Bucket) -> None:
    table = pl.read_parquet(io.BytesIO(bucket.read("people/files.parquet")))
    assert table.schema == schema.FILES
    for path, sha256, size, _ in table.iter_rows():
        data = bucket.read(f"objects/{sha256[:2]}/{sha256}")
        assert (sha256_bytes(data), len(data)) == (sha256, size)
        assert data == (copy_of(people) / path).read_bytes()
    assert table["path"].to_list() == sorted(tree(copy_of(people)))
    assert table["modified_ns"].null_count() == table.height, "a dataset holds no clock"
    assert len(bucket.listed()) == table["sha256"].n_unique() + 1


def test_the_same_dataset_has_the_same_table(people: str, bucket: Bucket) -> None:
    again = parse_url(bucket.url("again/people"))
    shutil.copytree(copy_of(people), copy_path(again), copy_function=shutil.copyfile)
    stored.push(again, unwatched)
    assert bucket.read("again/people/files.parquet") == bucket.read("people/files.parquet")


def test_versions_share_their_photographs(people: str, bucket: Bucket, run: Run, elsewhere: Path) -> None:
    before = set(bucket.listed())
    code, _, err = run("build", "--from", people, "--max-people", "1", "--out", bucket.url("alone"))
    assert code == 0, err
    sent = set(bucket.listed()) - before - {"alone/files.parquet"}
    alone = open_dataset(copy_of(bucket.url("alone")))
    files = {sha256_bytes(path.read_bytes()) for path in alone.root.iterdir() if path.is_file()}
    assert 0 < alone.samples.height < 10
    assert {key.rpartition("/")[2] for key in sent} <= files, "tables and sheets alone"
    assert f"{len(sent)} new objects for" in err
    one = alone.rows()[0]["image"]
    assert (alone.root / one).samefile(copy_of(people) / one)
    assert json.loads((alone.root / "dataset.json").read_text())["recipe"]["from"] == people


def test_python_opens_a_dataset_by_url(people: str, elsewhere: Path) -> None:
    dataset = open_dataset(people)
    assert dataset.root == copy_of(people)
    assert dataset.root.is_relative_to(elsewhere)
    assert dataset.image(dataset.rows()[0]).shape[2] == 3


def test_what_has_not_changed_is_neither_fetched_nor_sent(
    people: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("fetch", "send_bytes", "send_file", "replace_bytes"):
        monkeypatch.setattr(remote, name, None)
    code, _, err = run("show", people)
    assert (code, err) == (0, "")


def test_only_what_changed_is_fetched(
    people: str, bucket: Bucket, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = cache_folder()
    move_to(tmp_path / "other cache", monkeypatch)
    run("build", "--from", people, "--min-people", "2", "--out", people, "--force")
    count = open_dataset(copy_of(people)).samples.height
    move_to(here, monkeypatch)
    fetched: list[str] = []
    plain = remote.fetch
    monkeypatch.setattr(remote, "fetch", lambda url, *told: (fetched.append(str(url)), plain(url, *told))[1])
    code, out, _ = run("show", people)
    assert code == 0
    assert f"kept        {count} of" in out
    assert len(list((copy_of(people) / "images").iterdir())) == count
    objects = {bucket.name + "/" + key for key in bucket.listed("objects/")}
    assert 0 < len([url for url in fetched if url.removeprefix("s3://") in objects]) < 8, "no image and no mask"


def test_a_run_says_by_url_what_it_was_trained_on(people: str, bucket: Bucket, run: Run, tmp_path: Path) -> None:
    tiny = f"{TINY} --epochs 1".split()
    first = bucket.url("runs/first")
    with pytest.MonkeyPatch.context() as monkeypatch:
        code, out, err = run("train", "fit", people, "--out", first, *tiny)
        assert code == 0, err
        assert out.startswith(f"{first}: best epoch 1")
        config = json.loads((copy_of(first) / "config.json").read_text())
        assert config["dataset"] == people
        log = (copy_of(first) / "log.jsonl").read_bytes()

        move_to(tmp_path / "other cache", monkeypatch)
        code, _, err = run("train", "score", first, "--split", "test")
        assert code == 0, err
        assert f"sent to {first}: " in err
        assert (copy_of(first) / "log.jsonl").read_bytes() == log
        assert not any(path.stat().st_nlink > 1 for path in copy_of(first).rglob("*.jsonl")), "they are appended to"
        code, out, err = run("review", "failures", first)
        assert code == 0, err
        assert f"written: {first}/failures.parquet, {first}/suspects.parquet" in out
        code, out, _ = run("train", "runs", first)
        assert "people" in out

        move_to(tmp_path / "third cache", monkeypatch)
        code, _, err = run("review", "failures", first)
        assert (code, "sent" in err) == (0, False), "what is up to date is not made again"
        decisions = {"sample_id": open_dataset(copy_of(people)).rows()[0]["sample_id"], "verdict": "exclude"}
        (copy_of(first) / "decisions.jsonl").write_text(json.dumps(decisions | {"note": "", "run": "first"}) + "\n")
        code, _, err = run("train", "runs", first)
        assert f"sent to {first}: 1 new object" in err
        words = ("--from", people, "--decisions", f"{first}/decisions.jsonl", "--out", bucket.url("people-2"))
        assert run("build", *words)[0] == 0
        assert open_dataset(copy_of(bucket.url("people-2"))).samples.height == 9

        bucket.write("people/files.parquet", bucket.read("people-2/files.parquet"))
        code, _, err = run("train", "score", first, "--split", "test")
        assert code == 1
        assert err.startswith(f"error: {people}: has digest ")


def test_a_run_here_on_a_dataset_there(people: str, run: Run, tmp_path: Path) -> None:
    code, _, err = run("train", "score", "grabcut", people, "--split", "test", "--out", "cut")
    assert code == 0, err
    assert json.loads((tmp_path / "cut" / "config.json").read_text())["dataset"] == people
    code, _out, err = run("review", "failures", "cut")
    assert code == 0, err


def test_a_folder_in_a_stored_folder_is_part_of_it(bucket: Bucket, run: Run, tmp_path: Path) -> None:
    (tmp_path / "sweep" / "one" / "plots").mkdir(parents=True)
    (tmp_path / "sweep" / "one" / "plots" / "a.txt").write_text("a")
    url = parse_url(bucket.url("sweep"))
    shutil.copytree(tmp_path / "sweep", copy_path(url))
    stored.push(url, unwatched)
    code, _, err = run("show", bucket.url("sweep/one"))
    assert code == 1
    assert err.startswith(f"error: {bucket.url('sweep/one')}: is not a dataset")
    assert len(list((cache_folder() / "stored").iterdir())) == 1


def test_a_folder_that_was_copied_file_by_file_is_read(
    copy: Path, bucket: Bucket, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.upload(copy, "copied")
    code, _out, err = run("check", bucket.url("copied"))
    assert code == 0, err
    assert tree(copy_of(bucket.url("copied"))) == tree(copy)
    with monkeypatch.context() as patch:
        patch.setattr(remote, "fetch", None)
        assert run("check", bucket.url("copied"))[0] == 0, "what has not changed is not fetched"
    bucket.remove("copied/sheet.png")
    assert run("show", bucket.url("copied"))[0] == 0
    assert not (copy_of(bucket.url("copied")) / "sheet.png").exists()


def test_a_copied_folder_that_is_changed_becomes_a_stored_one(copy: Path, bucket: Bucket, run: Run) -> None:
    bucket.upload(copy, "copied")
    url = bucket.url("copied")
    code, _, err = run("build", "--from", url, "--max-people", "1", "--out", url, "--force")
    assert code == 0, err
    assert "From now on its files.parquet counts" in err
    assert "copied/files.parquet" in bucket.listed()
    digest = open_dataset(copy_of(url)).header.digest
    shutil.rmtree(cache_folder())
    assert run("show", url)[0] == 0
    assert open_dataset(copy_of(url)).header.digest == digest


def test_two_machines_at_once_lose_nothing(
    people: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = cache_folder()
    (copy_of(people) / "note.txt").write_text("mine")
    move_to(tmp_path / "other cache", monkeypatch)
    run("build", "--from", people, "--max-people", "1", "--out", people, "--force")
    theirs = open_dataset(copy_of(people)).header.digest
    move_to(here, monkeypatch)
    code, _, err = run("show", people)
    home = copy_home(parse_url(people))
    assert (code, err.count("\n")) == (1, 1)
    assert err.startswith(f"error: {people}: somebody else has changed it, and so has a command here")
    assert f"lies in {home}: move it to another place" in err
    assert (copy_of(people) / "note.txt").read_text() == "mine"
    shutil.move(copy_of(people), tmp_path / "mine")
    assert run("show", people)[0] == 0
    assert open_dataset(copy_of(people)).header.digest == theirs


def test_who_comes_second_at_the_last_moment_is_told(
    people: str, bucket: Bucket, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    (copy_of(people) / "note.txt").write_text("mine")
    theirs = listing.encode_table({}, timeless=True)
    plain = remote.replace_bytes

    def overtaken(data: bytes, url: object, tag: str) -> bool:
        bucket.write("people/files.parquet", theirs)
        return plain(data, parse_url(str(url)), tag)

    monkeypatch.setattr(remote, "replace_bytes", overtaken)
    code, _, err = run("show", people)
    assert code == 1
    assert "somebody else has changed it" in err
    assert bucket.read("people/files.parquet") == theirs


def test_what_was_taken_away_there_is_gone_here(people: str, bucket: Bucket, run: Run) -> None:
    bucket.remove("people/files.parquet")
    code, _, err = run("show", people)
    assert (code, copy_of(people).exists()) == (1, False)
    assert err.startswith(f"error: {people}: is not a dataset")


def test_a_cache_that_was_cleared_is_filled_again(people: str, bucket: Bucket, run: Run) -> None:
    before, keys = tree(copy_of(people)), bucket.listed()
    for name in ("masks", "images"):
        shutil.rmtree(copy_of(people) / name)
    (copy_of(people) / "sheet.png").unlink()
    assert run("check", people)[0] == 0
    assert tree(copy_of(people)) == before
    shutil.rmtree(cache_folder() / "objects")
    shutil.rmtree(copy_of(people))
    code, _, err = run("check", people)
    assert (code, err) == (0, "")
    assert tree(copy_of(people)) == before
    assert bucket.listed() == keys


def test_a_large_file_goes_in_parts(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = parse_url(bucket.url("runs/large"))
    copy_path(url).mkdir(parents=True)
    data = os.urandom(2**20) * 33 + b"end"
    (copy_path(url) / "last.ckpt").write_bytes(data)
    assert stored.push(url, unwatched) == f"sent to {url}: 1 new object for 1 file, 34.6 MB"
    key = next(key for key in bucket.listed() if "/objects/" in key)
    assert bucket.tag(key).endswith("-3"), "three parts of 16 MiB"
    move_to(tmp_path / "other cache", monkeypatch)
    stored.pull(url, unwatched)
    assert (copy_path(url) / "last.ckpt").read_bytes() == data


def test_what_another_process_works_in_is_left_to_it(people: str, run: Run) -> None:
    from curate.files import held_folder

    (copy_of(people) / "note.txt").write_text("half of it")
    with held_folder(copy_of(people)):
        code, _, err = run("show", people)
        assert code == 0
        assert "another process works in it, and sends it when it ends" in err
    assert "1 new object" in run("show", people)[2]


def test_hidden_and_half_written_files_are_not_sent(people: str, bucket: Bucket, run: Run) -> None:
    (copy_of(people) / ".note.txt.partial").write_text("half of it")
    before = bucket.listed()
    assert run("show", people)[2] == ""
    assert bucket.listed() == before


def test_of_several_processes_the_one_that_writes_sends(people: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    (copy_of(people) / "note.txt").write_text("mine")
    with copies_taken():
        located(people)
        leave_sending()
        assert [*send_back(unwatched)] == []
    monkeypatch.setenv("RANK", "1")  # as a cluster names its machines, one process on each
    assert "1 new object" in run("show", people)[2], "a command of its own"


def test_a_table_of_any_size_replaces_only_what_was_seen(bucket: Bucket) -> None:
    url, data = parse_url(bucket.url("people/files.parquet")), bytes(101 * 2**20)
    bucket.write("people/files.parquet", b"theirs")
    assert remote.replace_bytes(data, url, "") is None, "there is one already"
    assert remote.replace_bytes(data, url, "0" * 32) is None, "it is another one"
    assert bucket.read("people/files.parquet") == b"theirs"
    assert remote.replace_bytes(data, url, bucket.tag("people/files.parquet"))
    assert bucket.read("people/files.parquet") == data


def test_modified_times_keep_their_order(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = parse_url(bucket.url("runs/one"))
    copy_path(url).mkdir(parents=True)
    for number, name in enumerate(("scores.parquet", "failures.parquet")):
        (copy_path(url) / name).write_bytes(b"")
        os.utime(copy_path(url) / name, ns=(10**18 + number, 10**18 + number))
    stored.push(url, unwatched)
    move_to(tmp_path / "other cache", monkeypatch)
    stored.pull(url, unwatched)
    times = [(copy_path(url) / name).stat().st_mtime_ns for name in ("scores.parquet", "failures.parquet")]
    assert times == [10**18, 10**18 + 1]


@pytest.mark.long
def test_a_loop_goes_on_where_another_machine_stopped(
    people: str, bucket: Bucket, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = TINY.split()
    first, loop = bucket.url("runs/first"), bucket.url("loops/one")
    assert run("train", "fit", people, "--out", first, *tiny, "--epochs", "1")[0] == 0
    words = ("loop", people, "--out", loop, "--from", first, "--budget", "1")
    code, _, err = run(*words)
    assert code == 0, err
    for name in ("loop.json", "round-1/verdict.json", "round-1/candidate/config.json", "report.html"):
        assert str(tmp_path) not in (copy_of(loop) / name).read_text(), "nothing says where the cache lies"
    move_to(tmp_path / "other cache", monkeypatch)
    code, out, err = run("loop", "status", loop)
    assert (code, out.splitlines()[-1].split()) == (0, ["report", "done"]), err
    learnt = open_dataset(copy_of(people)).rows("train")[0]["sample_id"]
    (tmp_path / "decisions.jsonl").write_text(json.dumps({"sample_id": learnt, "verdict": "hard"}))
    code, out, err = run(*words, "--rounds", "2", "--decisions", str(tmp_path / "decisions.jsonl"))
    assert code == 0, err
    assert "round 2: " in out
    move_to(tmp_path / "third cache", monkeypatch)
    code, _, err = run("review", "compare", first, f"{loop}/round-2/candidate", "--split", "val")
    assert code == 0, err
