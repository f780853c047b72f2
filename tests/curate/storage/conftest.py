"""Fixtures of the tests of `curate/storage/`: a server that speaks S3, on this machine, and buckets on it."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from curate.choosing.build import build_dataset
from curate.choosing.recipe import make_recipe
from curate.storage import remote, stored
from curate.storage.urls import parse_url
from curate.threads import unwatched
from tests.curate.storage.between import Between
from tests.curate.storage.buckets import Bucket, lay_out, open_bucket
from tests.curate.storage.machines import copy_of, move_to


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The address of a server that speaks S3."""
    moto = pytest.importorskip("moto.server", reason="moto is not installed")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        running.stop()


def told_as_users_do(server: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be a machine with this cache, whose user told the program where the server is."""
    told = {"AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
    told |= {"AWS_ENDPOINT_URL": server, "AWS_EC2_METADATA_DISABLED": "true", "CURATE_CACHE": str(cache)}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setattr(remote, "disconnect", lambda: None)  # a connection costs a quarter of a second; see `anew`


@pytest.fixture(scope="session")
def opened(server: str) -> Bucket:
    """The bucket of all tests."""
    return open_bucket(server)


@pytest.fixture
def bucket(opened: Bucket, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """The bucket, empty, as is the cache."""
    told_as_users_do(server, tmp_path / "cache", monkeypatch)
    lay_out({})
    return opened


@pytest.fixture(scope="session")
def made(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of ten images, in a folder."""
    out = tmp_path_factory.mktemp("made") / "people"
    build_dataset(make_recipe({"voc": [str(sample / "VOC2012")], "take": {"voc": 10}}), out)
    return out


@pytest.fixture(scope="session")
def sent(
    made: Path, opened: Bucket, server: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, bytes]]:
    """The cache of a machine that has sent that dataset, and what is in the bucket then."""
    cache = tmp_path_factory.mktemp("sent") / "cache"
    with pytest.MonkeyPatch.context() as monkeypatch:
        told_as_users_do(server, cache, monkeypatch)
        lay_out({})
        url = opened.url("people")
        shutil.copytree(made, copy_of(url))
        stored.push(parse_url(url), unwatched)
    return cache, {key: opened.read(key) for key in opened.listed()}


@pytest.fixture
def people(bucket: Bucket, sent: tuple[Path, dict[str, bytes]], tmp_path: Path) -> str:
    """The URL of that dataset in the bucket; this machine sent it."""
    cache, objects = sent
    shutil.copytree(cache, tmp_path / "cache")
    lay_out(objects)
    return bucket.url("people")


@pytest.fixture
def elsewhere(people: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another machine from now on; its cache."""
    return move_to(tmp_path / "other cache", monkeypatch)


@pytest.fixture
def anew(bucket: Bucket) -> Iterator[None]:
    """The program connects anew, as each process does: for tests in which the way to the server is another one."""
    remote._filesystem.cache_clear()
    yield
    remote._filesystem.cache_clear()


@pytest.fixture
def between(anew: None, server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Between]:
    """What stands between the program and the server, and does harm when it is told to."""
    with Between(server) as standing:
        monkeypatch.setenv("AWS_ENDPOINT_URL", standing.address)
        yield standing
