"""`curate doctor`: whether this machine has all the program needs, each lack with the command that mends it.

FiftyOne itself is never imported here: that takes seconds, and a minute where its database is missing.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import click
import msgspec

from curate import database
from curate.errors import MachineError, UsageError

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
    "scikit-learn": "sklearn",
    "scipy": "scipy",
    "shapely": "shapely",
    "torch": "torch",
    "torchvision": "torchvision",
    "segmentation-models-pytorch": "segmentation_models_pytorch",
}
"""Distribution -> the module it is imported as; FiftyOne is looked for without an import."""

NOT_FOR_TRAINING = ("onnx", "onnxruntime", "onnxscript", "pycocotools", "pymatting", "scikit-learn", "scipy", "shapely")
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
    if fix and database.database_fault(os.environ):
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
    click.echo(f"installing {database.PACKAGE} ...", err=True)
    try:
        database.install_database()
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
        check_database_folder(database.database_settings(environ)),
        check_disk([Path.cwd(), database.database_settings(environ).folder]),
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
    return Check(
        "packages", "missing", found, f"{database.pip_command('install')} --force-reinstall {' '.join(faults)}"
    )


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
        return Check("fiftyone", "missing", "is not installed", f"{database.pip_command('install')} fiftyone")
    return Check("fiftyone", "ok", version_of("fiftyone"))


def check_cv2_owner(owners: Sequence[str]) -> Check:
    """Exactly one OpenCV package: they all own the same folder `cv2`, and the last one installed wins it."""
    if len(owners) == 1:
        return Check("opencv", "ok", owners[0])
    install = f"{database.pip_command('install')} 'opencv-python-headless<5'"
    if not owners:
        return Check("opencv", "missing", "no OpenCV package is installed", install)
    mend = f"{database.pip_command('uninstall')} {' '.join(owners)}; {install}"
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
    uri = database.database_settings(environ).uri
    fault = database.database_fault(environ)
    if fault:
        return Check("database", "missing", fault, database.database_advice(uri))
    return Check("database", "ok", database.without_password(uri) if uri else str(database.find_mongod()))


def check_database_folder(settings: database.DatabaseSettings) -> Check:
    """The folder of FiftyOne's database can be written to; of no account where a server is configured."""
    fault = database.folder_fault(settings)
    if fault:
        return Check("folder", "missing", fault, database.FOLDER)
    return Check("folder", "ok", str(settings.folder) if settings.uri is None else "not used (FIFTYONE_DATABASE_URI)")


def check_disk(folders: Sequence[Path]) -> Check:
    """Each of the folders has FREE_GB left on its disk."""
    free = {folder: shutil.disk_usage(database.existing(folder)).free / 1e9 for folder in folders}
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
