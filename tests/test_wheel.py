"""The wheel alone is enough: recipes and sample travel inside it, and the program starts from it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked wheel, built offline from the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([*command, str(REPOSITORY)], check=True, capture_output=True, text=True)
    (wheel,) = folder.glob("silhouette_curate-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


def test_recipes_presets_and_sample_are_packed_inside_curate(unpacked: Path) -> None:
    for part in ("recipes", "presets", "sample"):
        source = REPOSITORY / "datasets" / part
        wanted = {path.relative_to(source) for path in source.rglob("*") if path.is_file()}
        packed = unpacked / "curate" / "_data" / part
        assert {path.relative_to(packed) for path in packed.rglob("*") if path.is_file()} == wanted


@pytest.mark.parametrize("name", ["templates/loop.html", "templates/run.html", "app/plugin/fiftyone.yml"])
def test_what_is_no_code_is_packed_too(unpacked: Path, name: str) -> None:
    assert (unpacked / "review" / name).is_file()


def test_only_the_four_rooms_are_packed(unpacked: Path) -> None:
    folders = {path.name for path in unpacked.iterdir() if not path.name.endswith(".dist-info")}
    assert folders == {"curate", "label", "train", "review"}


def test_the_program_builds_the_sample_from_the_wheel(unpacked: Path, tmp_path: Path) -> None:
    code = "import curate, sys; from curate.cli import main; print(curate.__file__); main(sys.argv[1:])"
    command = [sys.executable, "-P", "-c", code, "build", "--min-area", "0.2", "--max-people", "2", "--out", "people"]
    environment = os.environ | {"PYTHONPATH": str(unpacked)}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(str(unpacked)), "not the checkout's own packages"
    assert (tmp_path / "people" / "dataset.json").is_file()
