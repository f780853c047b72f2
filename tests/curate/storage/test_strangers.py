"""A bucket of a stranger: nothing in it leads to a file outside of the cache, or past the digest of a run."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from curate import schema
from curate.files import cache_folder, sha256_bytes
from tests.curate.conftest import Run
from tests.curate.storage.buckets import Bucket
from tests.curate.storage.machines import copy_of

GOOD = sha256_bytes(b"good")


def table(*rows: tuple[Any, Any, Any]) -> bytes:
    """A table of files: path, SHA-256, bytes."""
    buffer = io.BytesIO()
    pl.DataFrame([(*row, None) for row in rows], schema=schema.FILES, orient="row").write_parquet(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([("../x", GOOD, 4)], " at row 0: the path '../x' has the part '..'. Take it away"),
        ([("a", GOOD, 4), ("/etc/x", GOOD, 4)], " at row 1: the path '/etc/x' has the part ''"),
        ([("a/../../x", GOOD, 4)], " at row 0: the path 'a/../../x' has the part '..'"),
        ([("./x", GOOD, 4)], " at row 0: the path './x' has the part '.'"),
        ([("a/", GOOD, 4)], " at row 0: the path 'a/' has the part ''"),
        ([("", GOOD, 4)], " at row 0: the path '' has the part ''"),
        ([(".x", GOOD, 4)], " at row 0: the path '.x' is of a hidden file"),
        ([("a\nb", GOOD, 4)], r" at row 0: the path 'a\nb' has a control character"),
        ([(None, GOOD, 4)], " at row 0: the path None has no path"),
        ([("a", GOOD, 4), ("a", GOOD, 4)], " at row 1: the path 'a' stands twice, or is a folder of other files too"),
        ([("a", GOOD, 4), ("a/b", GOOD, 4)], " at row 0: the path 'a' stands twice, or is a folder of other files too"),
        ([("a", "../../x", 4)], ": the row of 'a' has no SHA-256 or no size"),
        ([("a", None, 4)], ": the row of 'a' has no SHA-256 or no size"),
        ([("a", GOOD.upper(), 4)], ": the row of 'a' has no SHA-256 or no size"),
        ([("a", GOOD, -1)], ": the row of 'a' has no SHA-256 or no size"),
        ([("a", GOOD, None)], ": the row of 'a' has no SHA-256 or no size"),
    ],
)
def test_a_table_that_names_a_file_outside_is_refused(
    bucket: Bucket, run: Run, tmp_path: Path, rows: list[tuple[Any, Any, Any]], told: str
) -> None:
    bucket.write("people/files.parquet", table(*rows))
    bucket.write(f"objects/{GOOD[:2]}/{GOOD}", b"good")
    code, out, err = run("show", bucket.url("people"))
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith(f"error: {bucket.url('people')}/files.parquet{told}")
    assert not copy_of(bucket.url("people")).exists()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "is not a readable Parquet table"),
        (b"PAR1 and more", "is not a readable Parquet table"),
        (None, "has other columns than expected"),
    ],
    ids=["empty", "torn", "of something else"],
)
def test_a_table_that_is_none_is_refused(bucket: Bucket, run: Run, data: bytes | None, told: str) -> None:
    buffer = io.BytesIO()
    pl.DataFrame({"path": ["a"]}).write_parquet(buffer)
    bucket.write("people/files.parquet", buffer.getvalue() if data is None else data)
    code, _, err = run("show", bucket.url("people"))
    assert (code, err.count("\n")) == (1, 1)
    assert err.startswith(f"error: {bucket.url('people')}/files.parquet: {told}")


def test_a_table_that_promises_more_than_the_disk_holds_is_refused(bucket: Bucket, run: Run) -> None:
    bucket.write("people/files.parquet", table(("dataset.json", GOOD, 2**62)))
    code, _, err = run("show", bucket.url("people"))
    assert (code, "no space left on the disk" in err) == (1, True)


def test_an_object_of_another_size_than_the_table_says_is_refused(bucket: Bucket, run: Run) -> None:
    bucket.write("people/files.parquet", table(("dataset.json", GOOD, 3)))
    bucket.write(f"objects/{GOOD[:2]}/{GOOD}", b"good")
    code, _, err = run("show", bucket.url("people"))
    assert code == 1
    assert err.startswith(f"error: {bucket.url('objects')}/{GOOD[:2]}/{GOOD}: expected 3 bytes, got 4.")
    bucket.remove(f"objects/{GOOD[:2]}/{GOOD}")
    code, _, err = run("show", bucket.url("people"))
    assert err.startswith(f"error: {bucket.url('objects')}/{GOOD[:2]}/{GOOD}: is not there.")


@pytest.mark.parametrize("key", ["copied/../x", "copied//x", "copied/a\x01b"])
def test_an_object_called_like_one_outside_is_refused(bucket: Bucket, run: Run, tmp_path: Path, key: str) -> None:
    bucket.write("copied/dataset.json", b"{}")
    bucket.write(key, b"x")
    code, _, err = run("show", bucket.url("copied"))
    assert (code, err.count("\n")) == (1, 1)
    assert err.startswith(f"error: {bucket.url('copied')} at row ")
    bucket.remove("copied/dataset.json")
    code, _, err = run("build", "--pool", bucket.url("copied"))
    assert (code, err.count("\n")) == (1, 1)
    assert "which no file here can have. Rename it" in err
    assert not list(cache_folder().rglob("x"))


def test_a_copied_folder_with_files_in_place_of_folders_is_refused(bucket: Bucket, run: Run) -> None:
    for key in ("copied/dataset.json", "copied/masks", "copied/masks/a.png"):
        bucket.write(key, b"{}")
    code, _, err = run("show", bucket.url("copied"))
    assert (code, err.count("\n")) == (1, 1)
    assert "the path 'masks' stands twice, or is a folder of other files too" in err


def test_a_run_that_names_a_url_is_read_only_where_that_has_the_digest_of_the_run(
    people: str, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "first").mkdir()
    config = {"dataset": people, "digest": "0" * 64, "format": 1}
    (tmp_path / "first" / "config.json").write_text(json.dumps(config))
    code, _, err = run("review", "slices", "first")
    assert code == 1
    assert err.startswith(f"error: {people}: has digest ")
