"""What is published is enough: recipes and sample travel inside the wheel, and the program starts from it."""

from __future__ import annotations

import email
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Sequence
from email.message import Message
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

ROOMS = {"curate", "label", "train", "review"}
NOT_IGNORED = [line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line[0] == "!"]
NO_CODE = {".html", ".md", ".typed", ".yml"}
"""What lies in the rooms beside modules."""


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Wheel and sdist as `make wheel` makes them, offline."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True)
    (wheel,), (sdist,) = folder.glob("silhouette_curate-*.whl"), folder.glob("silhouette_curate-*.tar.gz")
    return wheel, sdist


@pytest.fixture(scope="module")
def unpacked(published: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    with zipfile.ZipFile(published[0]) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def metadata(unpacked: Path) -> Message:
    """What a package index is told."""
    (path,) = unpacked.glob("*.dist-info/METADATA")
    return email.message_from_bytes(path.read_bytes())


def test_recipes_presets_and_sample_are_packed_inside_curate(unpacked: Path) -> None:
    for part in ("recipes", "presets", "sample"):
        source = REPOSITORY / "datasets" / part
        wanted = {path.relative_to(source) for path in source.rglob("*") if path.is_file()}
        packed = unpacked / "curate" / "_data" / part
        assert {path.relative_to(packed) for path in packed.rglob("*") if path.is_file()} == wanted


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_all_of_a_room_is_packed_and_nothing_else(unpacked: Path, room: str) -> None:
    in_git = subprocess.check_output(["git", "ls-files", room], cwd=REPOSITORY, text=True).split()
    packed = {path.relative_to(unpacked).as_posix() for path in (unpacked / room).rglob("*") if path.is_file()}
    assert {path for path in packed if not path.startswith("curate/_data/")} == set(in_git)
    assert {Path(path).suffix for path in in_git} - {".py"} <= NO_CODE
    assert f"{room}/py.typed" in packed


def test_only_the_four_rooms_are_packed(unpacked: Path) -> None:
    assert {path.name for path in unpacked.iterdir() if not path.name.endswith(".dist-info")} == ROOMS


def test_the_licence_is_told_and_packed(unpacked: Path, metadata: Message) -> None:
    assert metadata["License-Expression"] == "Apache-2.0"
    (packed,) = unpacked.glob("*.dist-info/licenses/LICENSE")
    assert packed.read_bytes() == (REPOSITORY / "LICENSE").read_bytes()


def test_the_index_shows_the_readme_without_paths_that_lead_nowhere_there(metadata: Message) -> None:
    shown = str(metadata.get_payload())
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert shown.startswith("# Silhouette")
    assert shown.rstrip().endswith("no photograph is redistributed.")
    assert not [target for target in re.findall(r"\]\(([^)]*)\)", shown) if not target.startswith("https://")]


def test_the_sdist_makes_the_same_wheel(published: tuple[Path, Path], tmp_path: Path) -> None:
    wheel, sdist = published
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    assert hashes(built_again(source, wheel.name)) == hashes(wheel)


def test_what_the_container_is_given_makes_the_same_wheel(published: tuple[Path, Path], tmp_path: Path) -> None:
    for name in NOT_IGNORED:
        source, copy = REPOSITORY / name, tmp_path / name
        copy.parent.mkdir(exist_ok=True)
        shutil.copytree(source, copy) if source.is_dir() else shutil.copy(source, copy)
    assert hashes(built_again(tmp_path, published[0].name)) == hashes(published[0])


def test_what_the_container_takes_by_name_is_not_ignored() -> None:
    lines = (REPOSITORY / "Dockerfile").read_text().splitlines()
    named = {word for line in lines if line.startswith("COPY ") for word in line.split()[1:-1]} - {"."}
    assert named
    assert named <= set(NOT_IGNORED)


def built_again(source: Path, name: str) -> Path:
    """The wheel that a folder makes."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "again"]
    subprocess.run(command, cwd=source, check=True, capture_output=True, text=True)
    return source / "again" / name


def hashes(wheel: Path) -> dict[str, int]:
    """Checksum of each file in a wheel, by name."""
    with zipfile.ZipFile(wheel) as archive:
        return {member.filename: member.CRC for member in archive.infolist()}


def test_the_program_builds_the_sample_from_the_wheel(unpacked: Path, tmp_path: Path) -> None:
    code = "import curate, sys; from curate.cli import main; print(curate.__file__); main(sys.argv[1:])"
    command = [sys.executable, "-P", "-c", code, "build", "--min-area", "0.2", "--max-people", "2", "--out", "people"]
    environment = os.environ | {"PYTHONPATH": str(unpacked)}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(str(unpacked)), "not the checkout's own packages"
    assert (tmp_path / "people" / "dataset.json").is_file()


@pytest.fixture(params=["wheel", "sdist"])
def installed(request: pytest.FixtureRequest, published: tuple[Path, Path], tmp_path: Path) -> Path:
    """A fresh environment with the program from wheel or sdist, and the packages of this one, 6 GB, lent to it."""
    environment = tmp_path / "environment"
    run([sys.executable, "-m", "venv", "--without-pip", str(environment)], tmp_path)
    python = environment / "bin" / "python"
    (site,) = environment.glob("lib/python3.*/site-packages")
    (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    # This environment has the program already; what is asked for by file is installed in any case, beside that.
    options = ["--no-deps", "--no-build-isolation", "--ignore-installed", "--quiet"]
    chosen = published[request.param == "sdist"]
    run([sys.executable, "-m", "pip", "--python", str(python), "install", *options, str(chosen)], tmp_path)
    return environment


def run(command: Sequence[str], folder: Path) -> str:
    """What a command that ends well prints; it hears of this checkout from nobody."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.long
def test_what_is_installed_works_and_is_typed(installed: Path, tmp_path: Path) -> None:
    program = str(installed / "bin" / "curate")
    assert run([program, "--version"], tmp_path) == f"curate, version {version()}\n"
    run([program, "build", "--min-area", "0.2", "--max-area", "0.7", "--max-people", "2", "--out", "people"], tmp_path)
    assert run([program, "check", "people"], tmp_path)
    python = str(installed / "bin" / "python")
    assert run([python, "-c", "import curate; print(curate.__file__)"], tmp_path).startswith(str(installed))
    (tmp_path / "user.py").write_text(USER)
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", python, "user.py"]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stdout
    assert 'Revealed type is "curate.dataset.Dataset"' in told
    assert "error" not in told


@pytest.mark.long
@pytest.mark.parametrize("python", os.environ.get("PYTHONS", "").split())
def test_an_empty_environment_of_each_python_named_runs_it(
    python: str, published: tuple[Path, Path], tmp_path: Path
) -> None:
    run([python, "-m", "venv", "empty"], tmp_path)
    pip = [str(tmp_path / "empty" / "bin" / "python"), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    run([*pip, "-c", str(REPOSITORY / "constraints.txt"), str(published[0])], tmp_path)
    program = str(tmp_path / "empty" / "bin" / "curate")
    assert run([program, "--version"], tmp_path) == f"curate, version {version()}\n"
    run([program, "build", "--min-area", "0.2", "--max-people", "2", "--out", "people"], tmp_path)
    small = ["--model", "linknet", "--encoder", "mobilenet_v2", "--weights", "none", "--size", "64", "--lr", "0.01"]
    run([program, "train", "fit", "people", "--out", "run", "--epochs", "1", *small], tmp_path)
    run([program, "review", "failures", "run"], tmp_path)
    run([program, "review", "report", "run"], tmp_path)
    assert (tmp_path / "run" / "report.html").is_file()


USER = """\
import curate

people = curate.open_dataset("people")
reveal_type(people)
"""


def version() -> str:
    """The checkout's own."""
    (found,) = re.findall(r'^__version__ = "(.*)"$', (REPOSITORY / "curate" / "__init__.py").read_text(), re.M)
    return found
