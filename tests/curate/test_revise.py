"""A revision changes what it says and nothing else."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from curate import schema
from curate.checks.version import verify
from curate.dataset import Dataset, Header, digest_of, open_dataset, read_table
from curate.errors import ExistsError, MissingError, UsageError
from curate.images import target_png
from curate.masks import PERSON, area_fraction, touched_edges
from curate.revise import check_place, existing_revision, revise
from tests.drawing import target
from tests.label.making import Photo, make_dataset

NO_EDITS = schema.table([], schema.EDITS)


@pytest.fixture
def parent(tmp_path: Path) -> Dataset:
    return make_dataset(tmp_path / "one", {"a-1": Photo(target("##\n..")), "a-2": Photo(target(".#\n.o"))})


def bytes_of(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def revised(parent: Dataset, out: Path, **changes: Any) -> Header:
    options: dict[str, Any] = {"samples": parent.samples, "masks": {}, "recipe": {}, "sources": [], "edits": NO_EDITS}
    return revise(parent, out, **(options | changes))


def with_mask(parent: Dataset, sample_id: str, new: np.ndarray) -> dict[str, Any]:
    data = target_png(new)
    digest = hashlib.sha256(data).hexdigest()
    file = parent.root.parent / f"{digest}.png"
    file.write_bytes(data)
    is_it = pl.col("sample_id") == sample_id
    samples = parent.samples.with_columns(
        mask_sha256=pl.when(is_it).then(pl.lit(digest)).otherwise("mask_sha256"),
        area=pl.when(is_it).then(pl.lit(area_fraction(new))).otherwise("area"),
        edges=pl.when(is_it).then(pl.lit(touched_edges(new == PERSON))).otherwise("edges"),
    )
    return {"samples": samples, "masks": {sample_id: file}}


def test_an_empty_revision_is_the_identity_on_samples(parent: Dataset, tmp_path: Path) -> None:
    header = revised(parent, tmp_path / "two")
    child = open_dataset(tmp_path / "two")
    assert child.samples.equals(parent.samples)
    assert child.drops.equals(parent.drops)
    assert (header.digest, header.parent) == (parent.header.digest, parent.header.digest)
    assert (header.name, header.version) == (parent.header.name, 2)
    assert list(verify(child)) == []


def test_only_the_mask_that_changes_is_written(parent: Dataset, tmp_path: Path) -> None:
    before = bytes_of(parent.root)
    header = revised(parent, tmp_path / "two", **with_mask(parent, "a-2", target("..\n##")))
    child = open_dataset(tmp_path / "two")
    assert header == child.header
    assert header.digest != header.parent == parent.header.digest
    assert list(verify(child)) == []
    assert bytes_of(parent.root) == before
    np.testing.assert_array_equal(child.target(child.rows()[1]), target("..\n##"))
    linked = {name: (child.root / name).samefile(parent.root / name) for name in before if "/" in name}
    assert linked == {"images/a-1.png": True, "images/a-2.png": True, "masks/a-1.png": True, "masks/a-2.png": False}
    assert read_table(child.root / "edits.parquet", schema.EDITS).height == 0


def test_the_same_revision_has_the_same_bytes(parent: Dataset, tmp_path: Path) -> None:
    change = with_mask(parent, "a-1", target("#.\n.."))
    revised(parent, tmp_path / "two", **change)
    revised(parent, tmp_path / "three", **change)
    assert bytes_of(tmp_path / "two") == bytes_of(tmp_path / "three")


def test_rows_may_go_and_drops_then_say_why(parent: Dataset, tmp_path: Path) -> None:
    row = {"sample_id": "a-1", "source": "a", "rule": "decision", "value": None, "limit": None, "detail": "blurred"}
    drops = schema.table([row], schema.DROPS)
    revised(parent, tmp_path / "two", samples=parent.samples.tail(1), drops=drops)
    child = open_dataset(tmp_path / "two")
    assert child.samples["sample_id"].to_list() == ["a-2"]
    assert child.drops.equals(drops)
    assert sorted(path.name for path in (child.root / "images").iterdir()) == ["a-2.png"]


def test_a_revision_that_is_there_is_known(parent: Dataset, tmp_path: Path) -> None:
    change = with_mask(parent, "a-1", target("#.\n.."))
    assert existing_revision(parent, tmp_path / "two", change["samples"], parent.drops) is None
    header = revised(parent, tmp_path / "two", **change)
    assert existing_revision(parent, tmp_path / "two", change["samples"], parent.drops) == header
    assert existing_revision(parent, tmp_path / "two", parent.samples, parent.drops) is None
    assert digest_of(change["samples"]) == header.digest


@pytest.mark.parametrize(
    ("out", "told"), [("one", "is .*one itself"), ("one/inside", "lies inside .*one"), (".", "holds .*one")]
)
def test_a_version_is_never_written_over_into_or_around(parent: Dataset, out: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f": {told}, and a version never changes"):
        revised(parent, tmp_path / out, force=True)
    with pytest.raises(UsageError):
        check_place(parent, tmp_path / "." / "two" / ".." / "one", force=True)


def test_what_is_there_is_only_replaced_where_it_may_be(parent: Dataset, tmp_path: Path) -> None:
    make_dataset(tmp_path / "other", {"b-1": Photo(target("##"))})
    with pytest.raises(ExistsError, match="pass --force"):
        revised(parent, tmp_path / "other")
    revised(parent, tmp_path / "other", force=True)
    assert open_dataset(tmp_path / "other").samples.equals(parent.samples)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    for force in (False, True):
        with pytest.raises(ExistsError, match="is not a dataset, so it is not replaced"):
            revised(parent, tmp_path / "mine", force=force)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years"


def test_a_file_of_the_parent_that_is_gone_leaves_nothing(parent: Dataset, tmp_path: Path) -> None:
    (parent.root / "images" / "a-1.png").unlink()
    with pytest.raises(MissingError, match="a-1"):
        revised(parent, tmp_path / "two")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one"]


def test_a_caller_that_contradicts_itself(parent: Dataset, tmp_path: Path) -> None:
    change = with_mask(parent, "a-1", target("#.\n.."))
    with pytest.raises(ValueError, match="the row of a-1 does not have its new mask's hash"):
        revised(parent, tmp_path / "two", masks=change["masks"])
    stranger = parent.samples.with_columns(sample_id=pl.lit("x-") + pl.col("sample_id"))
    with pytest.raises(ValueError, match="may not add samples"):
        revised(parent, tmp_path / "two", samples=stranger)
