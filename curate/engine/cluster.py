"""Work spread over the machines of a Ray cluster, as a Ray Data map over parts of the rows.

All machines see the same files under the same paths, and have this program installed. What a lost machine was at is
done again by another.
"""

from __future__ import annotations

import logging
import os
import pickle
import re
import socket
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from curate.engine import ADDRESS
from curate.engine.processes import keep_freed_memory
from curate.errors import MachineError, UsageError
from curate.threads import Tick

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_TRIES = 4
"""A part whose worker was killed as often as that is not tried again: it may be what kills them."""

PATIENCE_S = 10.0
"""A cluster that does not answer within this is not there."""


def ray_parts(
    function: Callable[[Sequence[Item]], list[Result]],
    items: Sequence[Item],
    tick: Tick,
    part: int,
    *,
    spreads: bool = False,
    gpus: bool = False,
) -> Iterator[list[Result]]:
    """The results of each part, in the order of the items; see `curate.engine.map_rows`.

    Args:
        function: From some items to one result for each.
        items: What it is called with.
        tick: Told how many more items are done.
        part: Number of items of a part.
        spreads: The function has threads of its own: it gets the cores of a machine, of the smallest where they differ.
        gpus: The function runs a model: each process that calls it has a GPU to itself, where the cluster has any.

    Raises:
        MachineError: The cluster cannot be reached, is lost, or a part ended its workers again and again.
    """
    if not items:
        return
    ray = connect()
    parts = [items[start : start + part] for start in range(0, len(items), part)]
    with_gpu = gpus and ray.cluster_resources().get("GPU", 0) >= 1
    rows = [{"number": number, "part": _dumped(some)} for number, some in enumerate(parts)]
    shared, folder = ray.put(_dumped(function)), str(Path.cwd())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `max_retries` goes with Ray 2.64, which has no other way yet to say it
        works = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            lambda row: {"number": row["number"], "result": _result(shared, folder, row["part"])},
            num_cpus=0 if with_gpu else cores_of_a_machine(ray) if spreads else 1,
            num_gpus=1 if with_gpu else None,
            max_retries=MOST_TRIES - 1,
        )
    ready: dict[int, list[Result]] = {}
    given = 0
    with redirect_stdout(sys.stderr), losses_told(ray):  # Ray tells of lost processes; stdout is for results
        for row in works.iter_rows():
            result = pickle.loads(row["result"])
            if isinstance(result, BaseException):
                raise result
            ready[row["number"]] = result
            tick(len(result))
            while given in ready:
                yield ready.pop(given)
                given += 1


def cores_of_a_machine(ray: Any) -> float:
    """The cores of the cluster's smallest machine that has any."""
    cores = [node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]]
    return min((found for found in cores if found >= 1), default=1)


@contextmanager
def losses_told(ray: Any) -> Iterator[None]:
    """What Ray cannot mend, in one line."""
    try:
        yield
    except ray.exceptions.RayError as error:
        told = f"its workers were lost {MOST_TRIES} times at the same rows, or the whole cluster was"
        advice = "Out of memory? See `ray status` and Ray's logs, and run it again"
        raise MachineError(f"--engine ray: {told} ({type(error).__name__}). {advice}") from error


def _result(shared: Any, folder: str, part: bytes) -> bytes:
    """On a machine of the cluster: the results of a part, or the error that ended it."""
    try:
        return _dumped(_loaded(shared, folder)(pickle.loads(part)))
    except Exception as error:  # whatever it is, the command that asked raises it
        return _dumped(error)


@lru_cache(maxsize=1)
def _loaded(shared: Any, folder: str) -> Callable[[Any], list[Any]]:
    """The function that all parts are worked on with, once a process; relative paths are from `folder` on.

    Raises:
        MachineError: There is no such folder here.
    """
    import ray

    warnings.simplefilter("ignore")
    keep_freed_memory()
    try:
        os.chdir(folder)
    except OSError as error:
        advice = "All machines of a cluster need the same files under the same paths"
        raise MachineError(f"{folder}: is not there on {socket.gethostname()} ({error.strerror}). {advice}") from error
    function: Callable[[Any], list[Any]] = pickle.loads(ray.get(shared))
    return function


def connect() -> Any:
    """Ray, connected to the cluster that is asked for, or to one of this machine alone.

    Raises:
        MachineError: Ray is not installed, or the cluster cannot be reached.
    """
    try:
        import ray
        import ray.data
    except ModuleNotFoundError as error:
        raise MachineError("--engine ray: Ray is not installed. pip install 'silhouette-curate[ray]'") from error
    if ray.is_initialized():
        return ray
    for name in (ADDRESS, "RAY_ADDRESS"):
        if address := os.environ.get(name):
            _check_reachable(address, name)
            break
    else:
        address = None
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        if address == "auto" and isinstance(error, ConnectionError):
            advice = (
                "Start one with `ray start --head`, name one with --ray-address HOST:PORT, or leave the address out"
            )
            raise MachineError(f"{_named(address, name)}: no cluster runs on this machine. {advice}") from error
        advice = f"It must run Ray {ray.__version__}, as here; if it wants a token, set RAY_AUTH_MODE=token"
        raise MachineError(f"--engine ray: {' '.join(str(error).split())}. {advice}") from error
    return ray


def _named(address: str, origin: str) -> str:
    """An address with where it was said."""
    return f"--ray-address {address}" if origin == ADDRESS else f"{origin}={address}"


def _check_reachable(address: str, origin: str) -> None:
    """Raise an error at once where nobody listens: Ray itself would ask on for minutes.

    Args:
        address: Of the cluster.
        origin: The variable of the environment that names it; the option sets ADDRESS.
    """
    named = _named(address, origin)
    host, _, port = address.rpartition(":")
    if address == "auto":
        return
    if not host or "://" in address or not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) < 2**16:
        expected = "expected HOST:PORT, as `ray start --head` printed it, such as 10.0.0.5:6379"
        raise UsageError(f"{named}: {expected}; Ray's client (ray://) cannot be used")
    advice = "Is the cluster up, and is that the address which `ray start --head` printed?"
    try:
        with socket.create_connection((host.strip("[]"), int(port)), PATIENCE_S) as connection:
            is_ray = os.environ.get("RAY_USE_TLS") == "1" or _speaks_http2(connection)  # TLS greets otherwise
    except UnicodeError as error:
        raise UsageError(
            f"{named}: {host} is no name of a machine. Expected HOST:PORT, such as 10.0.0.5:6379"
        ) from error
    except OSError as error:
        raise MachineError(f"{named}: cannot be reached ({error}). {advice}") from error
    if not is_ray:
        raise MachineError(f"{named}: something else than Ray answers there. {advice}")


def _speaks_http2(connection: socket.socket) -> bool:
    """Whether what listens greets as gRPC does, in which Ray speaks: with a frame of settings (RFC 9113, 3.4)."""
    settings = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])  # without any: a length of 0, type 4, no flags, stream 0
    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings)
    with suppress(TimeoutError):
        return connection.recv(4)[3:] == settings[3:4]
    return False


def _dumped(what: Any) -> bytes:
    """Pickled, functions inside functions too."""
    from ray import cloudpickle

    data: bytes = cloudpickle.dumps(what)
    return data
