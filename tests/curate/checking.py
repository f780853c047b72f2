"""A dataset with something of everything, and ways to change it, for the tests of `curate check`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest

from curate import schema
from curate.checks import Finding, kinds_of
from curate.checks.version import check_dataset
from curate.choosing.build import build_dataset
from curate.choosing.recipe import make_recipe
from curate.dataset import counts_of, digest_of, open_dataset, read_columns, read_header, write_table
from curate.files import sha256_file
from curate.images import target_png
from tests.curate.scenes import box, coco_file, image, person, photo

SHARES = [0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.05, 0.95]


RECIPE: dict[str, Any] = {
    "min_area": 0.1,
    "max_area": 0.9,
    "max_people": 2,
    "backgrounds": 2,
    "folds": 2,
    "max_parts": 1,
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset with every split, folds, a crowd that is kept, drops, and a photograph that stands in it twice."""
    root = tmp_path_factory.mktemp("built")
    images, annotations = [], []
    for number, share in enumerate([*SHARES, 0, 0, 0], 1):
        images.append(image(number))
        photo(root / "val2017" / f"{number:06d}.jpg", seed=number)
        if share:
            annotations.append(person(number, box(0, 0, 60, 40 * share)))
    shutil.copyfile(root / "val2017" / "000004.jpg", root / "val2017" / "000005.jpg")
    photo(root / "pool" / "a.jpg", seed=99)
    path = coco_file(root / "annotations" / "instances_val2017.json", images, annotations)
    build_dataset(make_recipe({"coco": [str(path)], "pool": [str(root / "pool")], **RECIPE}), root / "people")
    return root / "people"


@pytest.fixture
def copy(built: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return Path(shutil.copytree(built, tmp_path / "people"))


def change_samples(root: Path, *, header: bool = True, **columns: pl.Expr | str | float) -> None:
    """Overwrite columns of `samples.parquet` in its first training row, or as the expressions say; adapt the header."""
    path = root / "samples.parquet"
    samples = read_columns(path, schema.SAMPLES)
    first = pl.col("sample_id") == samples.filter(pl.col("split") == "train")["sample_id"][0]
    changes = {
        name: value if isinstance(value, pl.Expr) else pl.when(first).then(pl.lit(value)).otherwise(name)
        for name, value in columns.items()
    }
    write_table(path, samples.with_columns(**changes).cast(dict(schema.SAMPLES)))  # type: ignore[arg-type]
    if header:
        rewrite_header(root)


def rewrite_header(root: Path, **changes: Any) -> None:
    """Write the header anew: digest and counts of the table as it is, and what is given."""
    samples = read_columns(root / "samples.parquet", schema.SAMPLES)
    fields = msgspec.structs.asdict(read_header(root)) | {"digest": digest_of(samples), "counts": counts_of(samples)}
    (root / "dataset.json").write_bytes(msgspec.json.encode(fields | changes))


def kinds(root: Path) -> dict[str, int]:
    """How many findings of which kind there are."""
    return kinds_of(check_dataset(root).findings)


def only(root: Path) -> Finding:
    """The one finding there is."""
    [finding] = check_dataset(root).findings
    return finding


def row(root: Path, split: str = "train") -> dict[str, Any]:
    """The first row of a split."""
    return open_dataset(root).rows(split)[0]


def snapshot(root: Path) -> dict[str, tuple[bytes, int]]:
    """Every file's bytes and time."""
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in root.rglob("*") if path.is_file()}


def replace_file(path: Path, data: bytes) -> None:
    """Other bytes at a path, without changing the file it was linked to."""
    path.unlink()
    path.write_bytes(data)


def with_hash(root: Path, column: str) -> None:
    """Take the hash of the first training row's file into the table, so that only its content is wrong."""
    change_samples(root, **{f"{column}_sha256": sha256_file(root / row(root)[column])})


def put_mask(root: Path, grey: np.ndarray[Any, Any], split: str = "train") -> None:
    """Another mask for the first row of a split, with its hash in the table."""
    chosen = row(root, split)
    replace_file(root / chosen["mask"], target_png(grey))
    is_it = pl.col("sample_id") == chosen["sample_id"]
    digest = pl.lit(sha256_file(root / chosen["mask"]))
    change_samples(root, mask_sha256=pl.when(is_it).then(digest).otherwise("mask_sha256"))
