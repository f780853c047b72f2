"""Sending a folder to a bucket and fetching it, beside `s3fs put -r` and `get -r`: `python -m bench.buckets`.

The server is moto on this machine, which takes most of the time: the figures compare, and say nothing of a real bucket.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from bench.database import free_port, stop
from curate.storage import remote, stored
from curate.storage.urls import copy_path, parse_url
from curate.threads import unwatched

SERVER = """
import sys, time
from moto.server import ThreadedMotoServer
ThreadedMotoServer("127.0.0.1", int(sys.argv[1]), verbose=False).start()
time.sleep(3600)
"""
CHANGED = 10
"""Files that are other ones in the second version."""


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.buckets", description="Measure folders in a bucket.")
    parser.add_argument("--files", type=int, default=2000, metavar="N", help="Files of the folder.")
    parser.add_argument("--kib", type=int, default=50, metavar="KIB", help="Size of each.")
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="Runs of each.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as work, server() as files:
        folder = make_folder(Path(work) / "people", given.files, given.kib)
        times: dict[str, list[float]] = {}
        for number in range(given.runs):
            for name, seconds in one_round(Path(work), folder, files, number):
                times.setdefault(name, []).append(seconds)
    amount_mb = given.files * given.kib * 1024 / 1e6
    print(f"{given.files:,} files, {amount_mb:,.0f} MB, medians of {given.runs} runs\n")
    print("| | s | MB/s |\n| --- | ---: | ---: |")
    for name, found in times.items():
        rate = f"{amount_mb / median(found):,.1f}" if name.endswith("all") else ""
        print(f"| {name} | {median(found):.2f} | {rate} |")


def one_round(work: Path, folder: Path, files: Any, number: int) -> Iterator[tuple[str, float]]:
    """What was done, and the seconds it took; on machines and in buckets of its own."""
    files.mkdir(f"round-{number}")
    plain, url = f"round-{number}/plain", parse_url(f"s3://round-{number}/people")
    os.environ["CURATE_CACHE"] = str(work / "here")
    shutil.copytree(folder, copy_path(url))
    yield "s3fs put -r, all", seconds_of(lambda: files.put(f"{folder}/", plain, recursive=True))
    yield "sent, all", seconds_of(lambda: stored.push(url, unwatched))
    os.environ["CURATE_CACHE"] = str(work / "there")
    yield "s3fs get -r, all", seconds_of(lambda: files.get(f"{plain}/", f"{work}/got/", recursive=True))
    yield "fetched, all", seconds_of(lambda: stored.pull(url, unwatched))
    for path in sorted((copy_path(url) / "masks").iterdir())[:CHANGED]:
        path.unlink()
        path.write_bytes(os.urandom(1000))
    yield f"sent, {CHANGED} files changed", seconds_of(lambda: stored.push(url, unwatched))
    os.environ["CURATE_CACHE"] = str(work / "here")
    yield f"fetched, {CHANGED} files changed", seconds_of(lambda: stored.pull(url, unwatched))
    yield "looked at, nothing changed", seconds_of(lambda: stored.pull(url, unwatched))
    for name in ("here", "there", "got"):
        shutil.rmtree(work / name)


def seconds_of(work: Callable[[], object]) -> float:
    """Seconds on the clock."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def make_folder(folder: Path, files: int, kib: int) -> Path:
    """A folder like a dataset's, half photographs and half masks, all of noise."""
    noise = random.Random(0)
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
        for number in range(files // 2):
            (folder / part / f"{number:06d}.png").write_bytes(noise.randbytes(kib * 1024))
    return folder


@contextmanager
def server() -> Iterator[Any]:
    """A server that speaks S3, and s3fs's view of it; the environment names it."""
    port = free_port()
    told = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_DEFAULT_REGION": "us-east-1"}
    os.environ |= told | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
    process = subprocess.Popen([sys.executable, "-c", SERVER, str(port)], stderr=subprocess.DEVNULL)
    try:
        import s3fs

        files = s3fs.S3FileSystem(use_listings_cache=False)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                files.ls("")
                break
            except OSError:
                time.sleep(0.2)
        yield files
    finally:
        remote.disconnect()
        stop(process)


if __name__ == "__main__":
    main()
