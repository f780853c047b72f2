"""`curate check` of rules: every rule of the recipe, counts, copies, and what a dataset cannot tell."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from curate import schema
from curate.checks.version import check_dataset
from curate.dataset import open_dataset, read_header, write_table
from tests.curate.checking import (
    change_samples,
    kinds,
    only,
    rewrite_header,
    row,
)
from tests.drawing import target
from tests.label.making import Photo, make_dataset

STRICT = [
    ({"min-people": 2}, "people", 12),
    ({"max-people": 1}, "crowd", 0),
    ({"min-area": 0.4, "max-area": 0.6}, "area", 7),
    ({"min-side": 41}, "side", 15),
    ({"intact": 2}, "intact", 12),
    ({"max-stairs": 0.1}, "coarse", 12),
    ({"where": "area > 0.5 and source = 'coco'"}, "where", 7),
    ({"duplicates": "exact"}, "duplicate", 1),
    ({"duplicates": "near"}, "duplicate", 1),
    ({"take": {"coco": 5}}, "take", 1),
    ({"backgrounds": 1}, "people", 1),
    ({"folds": 3}, "fold", 0),
]


@pytest.mark.parametrize(("options", "rule", "count"), STRICT, ids=str)
def test_every_rule_of_the_recipe_is_held_against_the_rows(
    copy: Path, options: dict[str, Any], rule: str, count: int
) -> None:
    rewrite_header(copy, recipe=read_header(copy).recipe | options)
    expected = {f"rule {rule}": count} if count else {}
    found = kinds(copy)
    if options == {"duplicates": "near"}:
        assert set(found) == set(expected)
    else:
        assert found == expected


def test_a_broken_rule_is_told_in_the_words_of_the_build(copy: Path) -> None:
    rewrite_header(copy, recipe=read_header(copy).recipe | {"min-area": 0.22})
    finding = only(copy)
    assert (finding.found, finding.expected) == ("people cover 20.0 %, less than 22 %", "area 22 % to 90 %")


def test_a_row_may_break_a_rule_on_purpose_and_it_is_said(copy: Path) -> None:
    change_samples(copy, tags=["rule:area"])
    rewrite_header(copy, recipe=read_header(copy).recipe | {"min-area": 0.22})
    report = check_dataset(copy)
    told = "1 images break the rule area (area 22 % to 90 %) and are kept, tagged rule:area; the first: coco-000001"
    assert (report.findings, report.remarks) == ([], [told])


def test_counts_of_splits_are_held_against_the_table(copy: Path) -> None:
    rewrite_header(copy, recipe=read_header(copy).recipe | {"split": "3/2"})
    train = open_dataset(copy).header.counts["train"]
    found = check_dataset(copy).findings
    assert f"holds {train} images of the split train" in [finding.found for finding in found]
    assert {finding.kind for finding in found} == {"rule take"}


def test_rules_that_a_dataset_cannot_tell_are_said(copy: Path) -> None:
    more = {"max-spacing": 0.1, "min-keypoints": 3, "where": "split = 'train'"}
    rewrite_header(copy, recipe=read_header(copy).recipe | more)
    report = check_dataset(copy)
    assert report.findings == []
    assert [remark.split()[3] for remark in report.remarks] == ["--max-spacing", "--min-keypoints", "--where"]


def test_copies_that_are_learned_and_tested_are_found(copy: Path) -> None:
    one, other = open_dataset(copy).samples.filter(pl.col("image_sha256").is_duplicated())["sample_id"]
    split = pl.when(pl.col("sample_id") == one).then(pl.lit("train"))
    split = split.when(pl.col("sample_id") == other).then(pl.lit("test")).otherwise("split")  # type: ignore[assignment]
    group = pl.when(pl.col("sample_id") == one).then(pl.lit("alone")).otherwise("group")
    change_samples(copy, split=split, group=group)
    change_samples(copy, fold=pl.when(pl.col("split") == "train").then(pl.max_horizontal("fold", 0)).otherwise(-1))
    finding = only(copy)
    assert finding.kind == "rule leak"
    assert finding.found == f"is nearly the same picture as {one} (train), in the split test"


def test_a_version_of_label_import_is_checked_without_rules_and_with_its_edits(tmp_path: Path) -> None:
    root = make_dataset(tmp_path / "people", {"a-1": Photo(target("##\n.."))}).root
    rewrite_header(root, recipe={"command": "label import"}, version=2, parent="0" * 64)
    assert only(root).where == f"{root}/edits.parquet"
    mask = row(root)["mask_sha256"]
    edit = {"sample_id": "a-1", "tool": "png", "author": None, "iou_old_new": 0.5, "old_mask_sha256": mask}
    edit |= {"version": 2, "time": None, "old_row": "{}"}
    (root / "replaced").mkdir()
    shutil.copy(root / "masks" / "a-1.png", root / "replaced" / "a-1.png")
    write_table(root / "edits.parquet", schema.table([{**edit, "new_mask_sha256": mask}], schema.EDITS))
    report = check_dataset(root)
    assert report.findings == []
    assert report.remarks == [
        f"{root}: was made by label import, and the rules stand in the version it came from; they were not checked"
    ]
    wrong = [{**edit, "new_mask_sha256": "y"}, {**edit, "sample_id": "b", "new_mask_sha256": mask}]
    write_table(root / "edits.parquet", schema.table(wrong, schema.EDITS))  # type: ignore[arg-type]
    assert kinds(root) == {"edited mask": 1, "edit of nothing": 1, "replaced mask": 1}
    nul = {**edit, "sample_id": "a\0b", "new_mask_sha256": mask}
    write_table(root / "edits.parquet", schema.table([nul], schema.EDITS))  # type: ignore[list-item]
    assert kinds(root) == {"edit of nothing": 1}
