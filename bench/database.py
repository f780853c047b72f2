"""A MongoDB of one's own, so that neither a benchmark nor a test ever touches a reviewer's FiftyOne."""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import time
from pathlib import Path

from curate.database import find_mongod, program_fault, server_fault
from curate.errors import MachineError


def start_database(folder: Path) -> str:
    """The address of a fresh MongoDB with its data in `folder`, set for FiftyOne in this process and its children.

    A running FiftyOne would be found and used even with another FIFTYONE_DATABASE_DIR, hence a server by address. It
    ends with this process.

    Raises:
        MachineError: MongoDB is not installed, or does not start.
    """
    mongod = find_mongod()
    if mongod is None or program_fault(mongod):
        raise MachineError("FiftyOne's database is not installed; `curate doctor --fix` mends it")
    uri = f"mongodb://127.0.0.1:{start_server(mongod, folder)}"
    os.environ["FIFTYONE_DATABASE_URI"] = uri
    os.environ["FIFTYONE_DATABASE_DIR"] = str(folder)
    os.environ["FIFTYONE_CONFIG_PATH"] = str(folder / "config.json")
    os.environ["FIFTYONE_DO_NOT_TRACK"] = "1"
    os.environ["FIFTYONE_LOGGING_LEVEL"] = "ERROR"
    return uri


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def start_server(mongod: Path, folder: Path) -> int:
    """Start a server that ends after everything else in this process; the port it listens on."""
    port = free_port()
    place = ["--dbpath", str(folder), "--logpath", str(folder / "mongo.log"), "--nounixsocket"]
    server = subprocess.Popen([mongod, "--port", str(port), "--bind_ip", "127.0.0.1", *place])
    atexit.register(stop, server)  # before FiftyOne registers its own farewell, which needs the server
    deadline = time.monotonic() + 60
    while server_fault(f"mongodb://127.0.0.1:{port}"):
        if server.poll() is not None or time.monotonic() > deadline:
            raise MachineError(f"mongod does not start: {(folder / 'mongo.log').read_text()[-300:]}")
    return port


def stop(server: subprocess.Popen[bytes]) -> None:
    """End the server and wait for it."""
    server.terminate()
    server.wait(30)
