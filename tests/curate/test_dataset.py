"""A dataset version on disk: opening, verifying, digests."""

from __future__ import annotations

import json
import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from curate import schema
from curate.checks.version import verify
from curate.choosing.build import build_dataset
from curate.choosing.recipe import make_recipe
from curate.dataset import counts_of, digest_of, open_dataset, read_table, write_table
from curate.errors import FormatError, MissingError, VersionError
from tests.curate.scenes import coco_set


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of twelve images."""
    root = tmp_path_factory.mktemp("built")
    path = coco_set(root / "coco", [0.5] * 12)
    build_dataset(make_recipe({"coco": [str(path)]}), root / "out")
    return root / "out"


@pytest.fixture
def copy(built: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return Path(shutil.copytree(built, tmp_path / "copy"))


def test_rows_images_and_targets(built: Path) -> None:
    dataset = open_dataset(built)
    rows = dataset.rows()
    assert [row["sample_id"] for row in rows] == sorted(row["sample_id"] for row in rows)
    assert len(dataset.rows("train", "val")) + len(dataset.rows("test")) == len(rows) == 12
    assert dataset.image(rows[0]).shape == (40, 60, 3)
    assert (dataset.target(rows[0]) == 255).mean() == 0.5


def test_a_dataset_may_be_moved_and_is_still_sound(copy: Path, built: Path) -> None:
    assert list(verify(open_dataset(copy))) == []
    assert open_dataset(copy).header == open_dataset(built).header


def test_the_table_is_as_the_schema_says(built: Path) -> None:
    dataset = open_dataset(built)
    assert dataset.samples.schema == schema.SAMPLES
    assert dataset.drops.schema == schema.DROPS


def test_no_header_is_no_dataset(copy: Path) -> None:
    (copy / "dataset.json").unlink()
    with pytest.raises(MissingError, match="is not a dataset"):
        open_dataset(copy)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text[:40], "is damaged"),
        (lambda text: text.replace('"format": 1', '"format": 0'), "is damaged"),
        (lambda text: text.replace('"digest"', '"digset"'), "is damaged"),
        (lambda text: text.replace('"version": 1', '"version": 1000000000000000000000'), "is damaged"),
        (
            lambda text: text.replace('"recipe": {', '"recipe": {"rules": "abc", '),
            "rules of the recipe: expected an object",
        ),
        (lambda text: re.sub('"seed": [0-9]+', '"seed": "abc"', text), "seed of the recipe: expected an integer"),
    ],
    ids=["cut", "format", "key", "version", "rules", "seed"],
)
def test_a_damaged_header_is_named(copy: Path, change: object, words: str) -> None:
    path = copy / "dataset.json"
    path.write_text(change(path.read_text()))  # type: ignore[operator]
    with pytest.raises(FormatError, match=words):
        open_dataset(copy)


def test_another_digest_is_a_version_error(built: Path) -> None:
    with pytest.raises(VersionError, match="expected 0123456789ab"):
        open_dataset(built, "0123456789abcdef")


@pytest.mark.parametrize("name", ["samples.parquet", "drops.parquet"])
def test_a_table_that_is_gone_or_damaged_is_named(copy: Path, name: str) -> None:
    (copy / name).write_bytes(b"PAR1 no table")
    with pytest.raises(FormatError, match=rf"{name}: is not a readable Parquet table"):
        open_dataset(copy)
    pl.DataFrame({"a": [1]}).write_parquet(copy / name)
    with pytest.raises(FormatError, match="has other columns than expected"):
        open_dataset(copy)
    (copy / name).unlink()
    with pytest.raises(MissingError, match=rf"{name}: is missing"):
        open_dataset(copy)


def test_a_small_table_of_very_many_rows_is_refused(copy: Path) -> None:
    """A column of one value takes a few bytes however long it is, and gigabytes when it is read."""
    nobody = pl.select(pl.repeat("", 1_000_001).alias(name) for name in schema.DROPS)
    nobody.write_parquet(copy / "drops.parquet")
    with pytest.raises(FormatError, match=r"drops\.parquet: has 1000001 rows in \d+ bytes, which looks like a bomb"):
        open_dataset(copy)


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("sample_id", "../../x", "the sample_id '../../x' is no file name"),
        ("sample_id", "/etc/x", "the sample_id '/etc/x' is no file name"),
        ("sample_id", "a\nb", r"the sample_id 'a\\nb' is no file name"),
        ("image", "images/../../secret.png", "the image 'images/../../secret.png' is not called after its sample"),
        ("image", "/etc/secret.png", "the image '/etc/secret.png' is not called after its sample"),
        ("mask", "../secret.png", "the mask '../secret.png' is not called after its sample"),
        ("mask", None, "the mask 'None' is not called after its sample"),
    ],
)
def test_a_row_that_names_a_file_outside_is_refused(copy: Path, column: str, value: str | None, says: str) -> None:
    samples = open_dataset(copy).samples
    first = pl.when(pl.int_range(pl.len()) == 0).then(pl.lit(value, pl.String)).otherwise(column)
    write_table(copy / "samples.parquet", samples.with_columns(first.alias(column)))
    with pytest.raises(FormatError, match=rf"samples\.parquet: {says}"):
        open_dataset(copy)


@pytest.mark.parametrize("folder", ["images", "masks", "classes", "replaced"])
@pytest.mark.parametrize("whole", [True, False], ids=["folder", "file"])
def test_a_link_that_leads_out_is_refused(copy: Path, tmp_path: Path, folder: str, whole: bool) -> None:
    (tmp_path / "elsewhere").mkdir()
    place = copy / folder
    if whole:
        shutil.rmtree(place, ignore_errors=True)
        place.symlink_to(tmp_path / "elsewhere")
    else:
        place.mkdir(exist_ok=True)
        (place / "x.png").symlink_to("../../elsewhere")
    with pytest.raises(MissingError, match=rf"{folder}.*: is a link that leads out of .*, to .*elsewhere"):
        open_dataset(copy)


def test_a_link_inside_is_followed(copy: Path) -> None:
    one = next((copy / "images").iterdir())
    one.rename(copy / "images" / "other.png")
    one.symlink_to("other.png")
    assert open_dataset(copy).samples.height == 12


def test_the_name_of_a_folder_is_no_pattern(built: Path, tmp_path: Path) -> None:
    for name in ("a[1]", "a*", "split=val"):
        shutil.copytree(built, tmp_path / name)
        assert open_dataset(tmp_path / name).samples.equals(open_dataset(built).samples)


def test_a_damaged_table_is_one_error_and_no_noise(
    built: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data, path = (built / "samples.parquet").read_bytes(), tmp_path / "samples.parquet"
    refused = 0
    for seed in range(300):
        random = np.random.default_rng(seed)
        damaged = bytearray(data)
        for place in random.integers(len(data) - 3000, len(data), 3):
            damaged[place] = random.integers(256)
        path.write_bytes(damaged)
        try:
            read_table(path, schema.SAMPLES)
        except FormatError:
            refused += 1
    assert refused > 200
    assert capfd.readouterr().err == ""


def test_the_digest_follows_content_not_encoding_or_order(built: Path) -> None:
    samples = open_dataset(built).samples
    assert digest_of(samples.reverse()) == digest_of(samples) == open_dataset(built).header.digest
    assert digest_of(samples.with_columns(split=pl.lit("train"))) != digest_of(samples)


def test_counts_name_only_splits_that_have_images(built: Path) -> None:
    samples = open_dataset(built).samples
    assert counts_of(samples.with_columns(split=pl.lit("val"))) == {"images": 12, "val": 12}
    assert counts_of(samples.head(0)) == {"images": 0}


def test_writing_a_table_twice_gives_the_same_bytes(built: Path, tmp_path: Path) -> None:
    samples = open_dataset(built).samples
    for name in ("a", "b"):
        write_table(tmp_path / name, samples)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_row_with_other_columns_is_refused() -> None:
    with pytest.raises(ValueError, match="row has columns"):
        schema.table([{"sample_id": "a"}], schema.DROPS)


def test_the_header_holds_no_absolute_path_unless_given_one(built: Path) -> None:
    header = json.loads((built / "dataset.json").read_text())
    del header["recipe"]
    assert str(built.parent) not in json.dumps(header)


def test_a_table_is_read_when_it_is_asked_for(copy: Path) -> None:
    """What is damaged within a column shows then, under the table's name."""
    path = copy / "samples.parquet"
    rows = pl.read_parquet(path)
    rows.write_parquet(path, compression="uncompressed", statistics=False)
    data = path.read_bytes()
    path.write_bytes(data.replace(rows["mask_sha256"][0].encode(), b"\xff" * 64))
    dataset = open_dataset(copy)
    assert dataset.height == rows.height
    assert dataset.collect(dataset.scan.select("split"))["split"].equals(rows["split"])
    with pytest.raises(FormatError, match=r"samples\.parquet: is not a readable Parquet table"):
        _ = dataset.samples


@pytest.mark.parametrize(
    "change",
    [
        pl.lit(None, pl.Int32).alias("width"),
        pl.lit(float("nan")).alias("area"),
        pl.lit([None], schema.STRINGS).alias("tags"),
    ],
    ids=["width", "area", "tags"],
)
def test_a_row_that_lacks_a_value_is_refused(copy: Path, change: pl.Expr) -> None:
    path = copy / "samples.parquet"
    pl.read_parquet(path).with_columns(change).write_parquet(path)
    with pytest.raises(FormatError, match=r"samples\.parquet: the row of \S+ lacks a value"):
        _ = open_dataset(copy).samples


@pytest.mark.parametrize("become", ["other columns", "other rows", "moved"])
def test_what_was_replaced_since_it_was_opened_is_told_as_that(copy: Path, tmp_path: Path, become: str) -> None:
    dataset, header = open_dataset(copy), copy / "dataset.json"
    if become == "moved":
        copy.rename(tmp_path / "elsewhere")
    else:
        header.write_text(header.read_text().replace(dataset.header.digest, "0" * 64))
        rows = pl.read_parquet(copy / f"{'drops' if become == 'other columns' else 'samples'}.parquet")
        rows.head(3).write_parquet(copy / "samples.parquet")
    with pytest.raises(VersionError, match="was replaced or moved since it was opened"):
        _ = dataset.samples


def test_a_table_that_leads_out_is_refused(copy: Path, tmp_path: Path) -> None:
    for name in ("samples.parquet", "drops.parquet", "dataset.json"):
        shutil.copy(copy / name, tmp_path / name)
        (copy / name).unlink()
        (copy / name).symlink_to(tmp_path / name)
        with pytest.raises(MissingError, match="is a link that leads out"):
            open_dataset(copy)
        (copy / name).unlink()
        shutil.copy(tmp_path / name, copy / name)


def test_a_dataset_travels_without_its_tables(built: Path) -> None:
    dataset = open_dataset(built)
    light = len(pickle.dumps(dataset))
    assert dataset.samples.height == 12
    assert len(pickle.dumps(dataset)) == light
    assert pickle.loads(pickle.dumps(dataset)).samples.equals(dataset.samples)
