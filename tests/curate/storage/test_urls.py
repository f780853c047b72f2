"""What is a URL, what it names, and where the cache keeps that."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from curate.errors import UsageError
from curate.files import cache_folder
from curate.storage.urls import copy_path, file_path, mirror_path, mirrored_url, object_url, parse_url
from tests.conftest import REPOSITORY
from tests.curate.conftest import Run


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("ftp://host/people", "of URLs, s3://, gs:// and file:// are read"),
        ("https://host/people", "of URLs, s3://, gs:// and file:// are read"),
        ("s3://", "names no bucket. Expected s3://BUCKET/FOLDER"),
        ("s3:///people", "names no bucket. Expected s3://BUCKET/FOLDER"),
        ("s3://my bucket/people", "'my bucket' is no name of a bucket"),
        ("s3://bucket/../people", "has the part '..'"),
        ("s3://bucket//people", "has the part ''"),
        ("s3://bucket/a\x1bb", "has a control character"),
    ],
)
def test_what_is_no_url_of_ours_is_refused(text: str, told: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_url(text)
    assert told in str(raised.value)


@pytest.mark.parametrize("text", ["file://host/people", "file://people", "file:people"])
def test_a_file_url_of_another_machine_is_refused(text: str) -> None:
    if text == "file:people":
        assert file_path(text) is None, "it is a path with a colon in it"
        return
    with pytest.raises(UsageError, match="three slashes"):
        file_path(text)


def test_a_slash_at_the_end_changes_nothing() -> None:
    assert parse_url("S3://bucket/runs/first/") == parse_url("s3://bucket/runs/first")


def test_a_copy_is_called_as_its_url_and_none_lies_in_another() -> None:
    loop, run = copy_path(parse_url("s3://bucket/loop")), copy_path(parse_url("s3://bucket/loop/base"))
    assert (loop.name, run.name) == ("loop", "base")
    assert not run.is_relative_to(loop.parent)


def test_mirrors_lie_to_each_other_as_in_the_bucket() -> None:
    annotations, photos = (parse_url(f"s3://bucket/coco/{name}") for name in ("annotations/a.json", "val2017"))
    assert mirror_path(annotations).parents[1] == mirror_path(photos).parent
    assert mirrored_url(mirror_path(photos)) == photos
    assert mirrored_url(cache_folder()) is None
    assert mirrored_url(Path("val2017")) is None


def test_contents_lie_beside_the_folder() -> None:
    url = parse_url("s3://bucket/sets/people")
    assert str(object_url(url, "ab" + "0" * 62)) == "s3://bucket/sets/objects/ab/ab" + "0" * 62


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("show", "s3://bucket"), "error: s3://bucket: is a whole bucket. Name a folder in it"),
        (("show", "s3://bucket/objects"), "error: s3://bucket/objects: `objects` is where the contents"),
        (("show", "ftp://host/people"), "error: ftp://host/people: of URLs, s3://, gs:// and file:// are read"),
        (("build", "--coco", "web=https://host/a.json"), "error: https://host/a.json: of URLs, s3://, gs://"),
        (
            ("sheet", "people", "--out", "s3://b/x.png"),
            "error: --out s3://b/x.png: can be a path of this machine",
        ),
    ],
)
def test_the_program_refuses_it_in_a_line(run: Run, words: tuple[str, ...], told: str) -> None:
    code, out, err = run(*words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(told)


def test_a_file_url_is_the_path(run: Run, copy: Path) -> None:
    assert run("show", f"file://{copy}") == run("show", str(copy))
    assert run("show", f"file://localhost{copy}") == run("show", str(copy))


def test_the_machines_of_a_cluster_do_not_see_the_cache(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CURATE_CACHE")
    by_name = {"CURATE_ENGINE": "ray"}, ("show", "s3://bucket/people"), ("build", "--pool", "s3://bucket/photos")
    by_option = {}, ("build", "--out", "s3://b/x", "--engine", "ray"), ("build", "--engine", "ray", "--out", "s3://b/x")
    for environment, words in [(told, words) for told, *calls in (by_name, by_option) for words in calls]:
        monkeypatch.delenv("CURATE_ENGINE", raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        code, _, err = run(*words)
        assert (code, err.count("\n")) == (2, 1)
        assert "Set CURATE_CACHE to a folder that all of them share, or use --engine local" in err


def test_without_a_url_nothing_that_speaks_with_servers_is_imported(tmp_path: Path) -> None:
    code = f"""
import sys
from curate.cli import main
try:
    main(["build", "--out", {str(tmp_path / "people")!r}])
except SystemExit as stop:
    assert not stop.code
found = {{"fsspec", "s3fs", "botocore", "aiohttp"}} & sys.modules.keys()
assert not found, found
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
