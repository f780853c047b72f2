"""`--engine ray`: on a real cluster of several nodes, the very same bytes as on this machine's cores."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from curate.cli import cli
from curate.engine import ADDRESS
from curate.engine.cluster import _check_reachable, connect
from curate.errors import MachineError, UsageError
from curate.images import target_png
from tests.conftest import REPOSITORY
from tests.curate.exporting import tree
from tests.train.making import make_dataset, quick
from train.fit import fit

NODES = 3


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A cluster of nodes with one core each, on this machine; its programs find the checkout's modules."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(REPOSITORY))
        utils = pytest.importorskip("ray.cluster_utils", reason="Ray is not installed")
        told = {"num_cpus": 1, "object_store_memory": 200 * 2**20, "include_dashboard": False}
        cluster = utils.Cluster(initialize_head=True, head_node_args=told)
        try:
            for _ in range(NODES - 1):
                cluster.add_node(num_cpus=1, object_store_memory=200 * 2**20)
            cluster.wait_for_nodes()
            yield cluster
        finally:
            cluster.shutdown()


def python(*command: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """A finished process of this interpreter, run in the checkout."""
    told = os.environ | {"PYTHONPATH": str(REPOSITORY)} | environment
    arguments = [sys.executable, *map(str, command)]
    return subprocess.run(arguments, cwd=REPOSITORY, env=told, capture_output=True, text=True, check=False)


def curate(*arguments: object, cluster: Any = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """The program, on the cluster where one is given."""
    on = [] if cluster is None else ["--engine", "ray", "--ray-address", cluster.address]
    return python("-m", "curate", *arguments, *on, **environment)


def test_a_build_on_a_cluster_is_the_build_of_this_machine(cluster: Any, sample: Path, tmp_path: Path) -> None:
    told = ["build", "--coco", sample / "coco/annotations/instances_train2017.json", "--voc", sample / "VOC2012"]
    here = curate(*told, "--out", tmp_path / "here")
    there = curate(*told, "--out", tmp_path / "there", cluster=cluster)
    assert there.returncode == 0, there.stderr
    assert there.stderr == here.stderr, "Ray says nothing of its own"
    assert tree(tmp_path / "there") == tree(tmp_path / "here")


def test_what_a_killed_worker_was_at_is_done_again(cluster: Any, tmp_path: Path) -> None:
    done = run_map(cluster, tmp_path, once="os.kill(os.getpid(), signal.SIGKILL)")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "struck").exists()
    assert done.stdout.split() == [str(number * number) for number in range(40)]


@pytest.mark.long
def test_rows_that_kill_their_worker_end_it_in_one_line(cluster: Any, tmp_path: Path) -> None:
    script = map_script(cluster, tmp_path, "pass").replace('(folder / "struck").exists()', "False")
    done = python("-c", script.replace('(folder / "struck").touch()', "os.kill(os.getpid(), signal.SIGKILL)"))
    assert done.returncode == 1
    told = "curate.errors.MachineError: --engine ray: its workers were lost 4 times at the same rows"
    assert done.stderr.rstrip().splitlines()[-1].startswith(told)


@pytest.mark.long
def test_what_a_lost_machine_was_at_is_done_again(cluster: Any, tmp_path: Path) -> None:
    node = cluster.add_node(num_cpus=1, object_store_memory=200 * 2**20)
    cluster.wait_for_nodes()
    script = [sys.executable, "-c", map_script(cluster, tmp_path, "pass", rest_s=0.5)]
    with subprocess.Popen(script, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as work:
        while not list(tmp_path.glob("part-*")):
            time.sleep(0.1)
        cluster.remove_node(node, allow_graceful=False)
        told = work.communicate(timeout=120)[0]
    assert work.returncode == 0
    assert told.split() == [str(number * number) for number in range(40)]


def run_map(cluster: Any, folder: Path, once: str) -> subprocess.CompletedProcess[str]:
    """`map_rows` over 40 numbers in parts of two; one worker does `once` halfway through a part."""
    return python("-c", map_script(cluster, folder, once))


def map_script(cluster: Any, folder: Path, once: str, rest_s: float = 0.0) -> str:
    """The program of `run_map`."""
    return textwrap.dedent(f"""
        import os, signal, time
        from pathlib import Path
        from curate.engine import map_rows
        from curate.errors import FormatError
        os.environ |= {{"CURATE_ENGINE": "ray", "CURATE_RAY_ADDRESS": {cluster.address!r}}}
        folder = Path({str(folder)!r})
        def square(part):
            time.sleep({rest_s})
            (folder / f"part-{{part[0]}}").touch()
            if part[0] == 20 and not (folder / "struck").exists():
                (folder / "struck").touch()
                {once}
            return [number * number for number in part]
        print(*map_rows(square, range(40), lambda steps: None, 2))
    """)


@pytest.mark.long
def test_an_error_on_a_worker_is_the_one_line_it_is_here(cluster: Any, tmp_path: Path) -> None:
    done = run_map(cluster, tmp_path, once='raise FormatError(folder / "a.json", "is cut off", "byte 7")')
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith(f"curate.errors.FormatError: {tmp_path / 'a.json'} at byte 7: is cut off")


@pytest.mark.long
def test_every_command_gives_the_same_bytes_on_a_cluster(cluster: Any, tmp_path: Path) -> None:
    splits = ("train",) * 24 + ("val",) * 5 + ("test",) * 5 + ("background",) * 2
    dataset = make_dataset(tmp_path / "set", splits)
    fit(dataset, tmp_path / "run", quick(epochs=1, folds=2))
    (tmp_path / "labels").mkdir()
    for row in dataset.rows("val"):
        mirrored = np.ascontiguousarray(dataset.target(row)[:, ::-1])
        (tmp_path / "labels" / f"{row['sample_id']}.png").write_bytes(target_png(mirrored))
    for place, on in {"here": None, "there": cluster}.items():
        folder = tmp_path / place
        folder.mkdir()
        commands = [
            ["train", "score", tmp_path / "run", "--split", "val", "--split", "train", "--out", folder / "scored"],
            ["train", "score", "grabcut", dataset.root, "--split", "test", "--out", folder / "grabcut"],
            ["check", dataset.root],
            ["label", "import", dataset.root, tmp_path / "labels", "--out", folder / "labelled"],
            ["label", "check", folder / "labelled", "--fix", "specks,holes", "--out", folder / "mended"],
            ["review", "failures", folder / "scored"],
            ["review", "slices", folder / "scored"],
        ]
        for number, command in enumerate(commands):
            done = curate(*command, cluster=on, CURATE_CACHE=str(folder / "cache"))
            assert "error" not in done.stderr
            (folder / f"{number}.txt").write_text(done.stdout.replace(str(folder), "FOLDER"))
    assert tree(tmp_path / "there") == tree(tmp_path / "here")


def test_a_cluster_that_is_not_there_is_one_clear_line() -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    done = curate("build", "--engine", "ray", "--ray-address", address, "--out", "nowhere")
    assert done.returncode == 1
    assert done.stderr.partition("\n")[2] == (
        f"error: --ray-address {address}: cannot be reached ([Errno 111] Connection refused). "
        "Is the cluster up, and is that the address which `ray start --head` printed?\n"
    )


def test_what_is_no_cluster_is_one_clear_line() -> None:
    """Such as Ray's own dashboard, which speaks HTTP."""
    pytest.importorskip("ray", reason="Ray is not installed")
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        Thread(target=server.handle_request, daemon=True).start()
        with pytest.raises(MachineError, match="something else than Ray answers there"):
            _check_reachable(f"127.0.0.1:{server.server_port}", ADDRESS)


def test_a_cluster_behind_tls_is_not_judged_by_its_greeting(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    monkeypatch.setenv("RAY_USE_TLS", "1")
    with socket.create_server(("127.0.0.1", 0)) as server:
        _check_reachable(f"127.0.0.1:{server.getsockname()[1]}", ADDRESS)


@pytest.mark.parametrize(
    "address", ["cluster", "ray://127.0.0.1:10001", "127.0.0.1:99999", "127.0.0.1:0", "127.0.0.1:\u00b2", ":6379"]
)
def test_an_address_that_is_none_is_refused(address: str) -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    for told, name in ((["--ray-address", address], "--ray-address "), ([], "RAY_ADDRESS=")):
        environment = {"CURATE_ENGINE": None, "CURATE_RAY_ADDRESS": None, "RAY_ADDRESS": None if told else address}
        done = CliRunner().invoke(cli, ["build", "--engine", "ray", *told], env=environment)
        assert isinstance(done.exception, UsageError)
        assert f"{name}{address}: expected HOST:PORT, as `ray start --head` printed it" in str(done.exception)


@pytest.mark.parametrize("host", ["n" * 70, ".."])
def test_a_host_that_is_none_is_refused(host: str) -> None:
    with pytest.raises(UsageError, match=rf"--ray-address {re.escape(host)}:6379: .* is no name of a machine"):
        _check_reachable(f"{host}:6379", ADDRESS)


def test_no_cluster_on_this_machine_is_one_line_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    monkeypatch.setenv(ADDRESS, "auto")

    def nobody(**options: object) -> None:
        raise ConnectionError("Could not find any running Ray instance. Please specify the one to connect to")

    monkeypatch.setattr(ray, "init", nobody)
    with pytest.raises(MachineError, match=r"--ray-address auto: no cluster runs on this machine\. Start one with"):
        connect()


def test_without_ray_the_line_says_how_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "ray.py").write_text("raise ModuleNotFoundError('No module named ray', name='ray')\n")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from curate.cli import main; main(sys.argv[1:])"
    done = python("-c", code, "build", "--out", tmp_path / "people", CURATE_ENGINE="ray")
    assert done.returncode == 1
    assert (
        done.stderr.partition("\n")[2]
        == "error: --engine ray: Ray is not installed. pip install 'silhouette-curate[ray]'\n"
    )


def test_an_engine_that_is_none_is_refused() -> None:
    done = curate("build", CURATE_ENGINE="spark")
    assert done.returncode == 2
    assert "'spark' is not one of 'local', 'ray'" in done.stderr
