"""What every export keeps to: whole or absent, nothing of the user's replaced, errors that name file and remedy."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from curate.choosing.build import build_dataset
from curate.choosing.recipe import make_recipe
from curate.cli import main
from curate.dataset import Dataset, open_dataset, write_table
from curate.errors import CurateError, ExistsError, FormatError, MachineError, MissingError, UsageError
from curate.exports import MARKER
from curate.exports.coco import export_coco
from curate.exports.voc import export_voc
from curate.files import staged_folder
from tests.curate.exporting import small_dataset, tree

WRITERS = pytest.mark.parametrize("export", [export_coco, export_voc], ids=["coco", "voc"])
Export = Callable[..., object]


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return small_dataset(tmp_path / "people")


@WRITERS
def test_an_export_is_refused_and_with_force_replaced(dataset: Dataset, tmp_path: Path, export: Export) -> None:
    out = tmp_path / "out"
    export(dataset, out)
    before = tree(out)
    with pytest.raises(ExistsError, match=r"holds an export already .* pass --force to replace it"):
        export(dataset, out, ["val"])
    assert tree(out) == before
    export(dataset, out, ["val"], force=True)
    assert json.loads((out / MARKER).read_bytes())["images"] == {"val": 1}
    assert not [name for name in tree(out) if "coco-1" in name]
    assert dataset.image(dataset.rows("train")[0]).shape == (4, 6, 3), "the dataset still has its photographs"


def test_one_format_replaces_the_other(dataset: Dataset, tmp_path: Path) -> None:
    export_coco(dataset, tmp_path / "out")
    export_voc(dataset, tmp_path / "out", force=True)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "Annotations", "ImageSets", "JPEGImages", "SegmentationClass", "curate-export.json",
    ]  # fmt: skip


def foreign_folder(out: Path, dataset: Dataset) -> None:
    """A folder of the user's."""
    out.mkdir()
    (out / "notes.txt").write_text("mine")


def foreign_file(out: Path, dataset: Dataset) -> None:
    """A file of the user's."""
    out.write_text("mine")


def damaged_marker(out: Path, dataset: Dataset) -> None:
    """A folder whose marker says nothing."""
    export_coco(dataset, out)
    (out / MARKER).write_text("{")


def something_added(out: Path, dataset: Dataset) -> None:
    """An export the user put something into."""
    export_coco(dataset, out)
    (out / "weights").mkdir()


@pytest.mark.parametrize("make", [foreign_folder, foreign_file, damaged_marker, something_added])
@WRITERS
def test_what_is_not_an_export_is_never_replaced(
    dataset: Dataset, tmp_path: Path, make: Callable[[Path, Dataset], None], export: Export
) -> None:
    make(tmp_path / "out", dataset)
    before = tree(tmp_path)
    with pytest.raises(ExistsError, match="is never replaced"):
        export(dataset, tmp_path / "out", force=True)
    assert tree(tmp_path) == before


@WRITERS
def test_an_empty_folder_is_filled(dataset: Dataset, tmp_path: Path, export: Export) -> None:
    (tmp_path / "out").mkdir()
    export(dataset, tmp_path / "out")
    assert (tmp_path / "out" / MARKER).is_file()


@pytest.mark.parametrize("place", ["people", "people/coco", "."])
def test_an_export_never_mixes_with_its_dataset(dataset: Dataset, tmp_path: Path, place: str) -> None:
    with pytest.raises(UsageError, match="itself, inside it or around it"):
        export_coco(dataset, tmp_path / place, force=True)


@WRITERS
def test_two_at_once_one_says_why(dataset: Dataset, tmp_path: Path, export: Export) -> None:
    with staged_folder(tmp_path / "out"), pytest.raises(ExistsError, match="another process is writing it now"):
        export(dataset, tmp_path / "out")


def test_of_two_at_once_one_wins(dataset: Dataset, tmp_path: Path) -> None:
    def attempt(export: Export) -> str | None:
        try:
            export(dataset, out)
        except ExistsError as error:
            return str(error)
        return None

    for number in range(8):
        out = tmp_path / str(number)
        with ThreadPoolExecutor(2) as pool:
            said = list(pool.map(attempt, (export_coco, export_voc)))
        [refusal] = [text for text in said if text is not None]
        assert "another process is writing it now" in refusal or "holds an export already" in refusal
        assert json.loads((out / MARKER).read_bytes())["export"] == ["coco", "voc"][said.index(None)]


@pytest.mark.parametrize(
    ("splits", "error", "says"),
    [
        (["tset"], UsageError, "--split tset: there is no such split. There are: train, val, test, pool, background"),
        (
            ["val", "test"],
            MissingError,
            "holds no image of split 'test'; it holds 2 train, 1 val, 1 pool, 1 background",
        ),
    ],
)
@WRITERS
def test_splits_that_are_not_there(
    dataset: Dataset, tmp_path: Path, export: Export, splits: list[str], error: type[CurateError], says: str
) -> None:
    with pytest.raises(error, match=re.escape(says)):
        export(dataset, tmp_path / "out", splits)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["people"]


def test_a_dataset_without_images(dataset: Dataset, tmp_path: Path) -> None:
    empty = replace(dataset, scan=dataset.samples.clear().lazy())
    with pytest.raises(MissingError, match="holds no image at all, so there is nothing to export"):
        export_coco(empty, tmp_path / "out")


def lost_photo(root: Path) -> None:
    (root / "images/voc-1.png").unlink()


def lost_mask(root: Path) -> None:
    (root / "masks/voc-1.png").unlink()


def damaged_mask(root: Path) -> None:
    (root / "masks/voc-1.png").write_bytes(b"none")


def led_astray(root: Path) -> None:
    (root.parent / "secret.png").write_bytes(b"secret")
    (root / "images/voc-1.png").unlink()
    (root / "images/voc-1.png").symlink_to(root.parent / "secret.png")


def renamed(root: Path) -> None:
    samples = open_dataset(root).samples
    name = pl.col("sample_id").replace("voc-1", "../voc-1")
    write_table(root / "samples.parquet", samples.with_columns(sample_id=name))


@pytest.mark.parametrize(
    ("damage", "error", "says"),
    [
        (lost_photo, MissingError, r"images/voc-1\.png: is missing\. `curate check .*people` lists what else is"),
        (lost_mask, MissingError, r"masks/voc-1\.png: cannot be opened"),
        (damaged_mask, FormatError, r"masks/voc-1\.png: is not an image"),
        (led_astray, MissingError, r"images/voc-1\.png: is a link that leads out of .*people, to .*secret\.png"),
        (renamed, FormatError, r"samples\.parquet: the sample_id '\.\./voc-1' is no file name"),
    ],
)
@WRITERS
def test_a_damaged_dataset_gives_one_clear_error_and_no_export(
    dataset: Dataset,
    tmp_path: Path,
    export: Export,
    damage: Callable[[Path], None],
    error: type[CurateError],
    says: str,
) -> None:
    damage(dataset.root)
    before = tree(tmp_path)
    with pytest.raises(error, match=says):
        export(open_dataset(dataset.root), tmp_path / "out")
    assert tree(tmp_path) == before


@WRITERS
def test_a_full_disk_leaves_nothing(
    dataset: Dataset, tmp_path: Path, export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(MachineError, match="no space left on the disk"):
        export(dataset, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["people"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_named(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(MachineError, match="permission denied"):
        export_coco(dataset, tmp_path / "locked" / "out")


@pytest.mark.real
def test_real_photographs_come_back(real_data: Path, tmp_path: Path) -> None:
    coco = real_data / "coco-mini" / "annotations" / "instances_val2017.json"
    recipe = make_recipe({"coco": [str(coco)], "voc": [str(real_data / "voc2012")], "min-area": 0.01})
    build_dataset(recipe, tmp_path / "real")
    dataset = open_dataset(tmp_path / "real")
    splits = [split for split in dataset.header.counts if split != "images"]
    export_coco(dataset, tmp_path / "coco")
    export_voc(dataset, tmp_path / "voc")
    files = [f"coco={tmp_path}/coco/annotations/instances_{split}.json" for split in splits]
    build_dataset(make_recipe({"coco": files}), tmp_path / "from-coco")
    build_dataset(make_recipe({"voc": [str(tmp_path / "voc")]}), tmp_path / "from-voc")
    for source in ("coco", "voc"):
        back = open_dataset(tmp_path / f"from-{source}").samples
        names = back["sample_id"].str.strip_prefix(f"{source}-")
        found = back.select(names, "image_sha256", "mask_sha256", "area")
        assert found.equals(dataset.samples.select("sample_id", "image_sha256", "mask_sha256", "area"))
    assert dataset.samples.height > 50


def call(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """The program's exit code, stdout and stderr."""
    with pytest.raises(SystemExit) as stop:
        main([*words])
    out, err = capfd.readouterr()
    return int(stop.value.code or 0), out, err


def test_the_command_says_what_it_wrote(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(capfd, "export", "people", "--format", "coco", "--out", "coco") == (
        0,
        "2 train, 1 val, 1 pool, 1 background\ncoco (coco), start at coco/annotations/instances_*.json\n",
        "",
    )
    words = ("--split", "val", "--split", "train", "--json")
    code, out, err = call(capfd, "export", "people", "--format", "voc", "--out", "voc", *words)
    note = "3 photographs are no JPEG and keep their suffix; some tools look for .jpg alone; the first: coco-1.png"
    assert (code, err) == (0, f"note: {note}\n")
    assert json.loads(out) == {
        "out": "voc",
        "format": "voc",
        "digest": dataset.header.digest,
        "images": {"train": 2, "val": 1},
        "notes": [note],
    }


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--format", "yolo", "--out", "o"], 2, "'yolo' is not one of 'coco', 'voc'"),
        (["--format", "coco"], 2, "Missing option '--out'"),
        (["--format", "coco", "--out", "o", "--split", "tset"], 2, "error: --split tset: there is no such split"),
        (["--format", "voc", "--out", "people"], 2, "error: people: is the dataset people itself"),
        (["--format", "voc", "--out", "o", "--split", "test"], 1, "error: people: holds no image of split 'test'"),
    ],
)
def test_the_commands_refusals(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
    words: list[str], code: int, says: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    found, out, err = call(capfd, "export", "people", *words)
    assert (found, out) == (code, "")
    assert says in err
    assert not Path("o").exists()
