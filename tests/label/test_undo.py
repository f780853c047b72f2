"""Edits through several versions: taken back, older and newer ones, asked for, and rules that a new mask breaks."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from curate.checks.version import check_dataset
from curate.dataset import Dataset, open_dataset, read_edits, write_table
from curate.errors import FormatError, MissingError, UsageError
from curate.masks import PERSON, SizeHW
from label.importing import Request, import_labels
from label.outcome import Question
from label.undo import undo
from tests.label import exports
from tests.label.making import Photo, make_dataset

SIZE: SizeHW = (30, 40)


def square(side: int) -> np.ndarray[Any, Any]:
    mask = np.zeros(SIZE, bool)
    mask[2 : 2 + side, 2 : 2 + side] = True
    return mask


def target_of(side: int) -> np.ndarray[Any, Any]:
    return np.where(square(side), np.uint8(PERSON), np.uint8(0))


@pytest.fixture
def one(tmp_path: Path) -> Dataset:
    pool = {"split": "pool", "people": 0, "area": 0.0, "origin": "none"}
    photos = {
        "pairs-a": Photo(target_of(10)),
        "pairs-b": Photo(target_of(12)),
        "pairs-c": Photo(np.full(SIZE, 128, np.uint8), changes=pool),
    }
    return make_dataset(tmp_path / "one", photos)


def export(folder: Path, name: str, side: int, time: str = "2026-01-02T03:04:05Z", tool: str = "supervisely") -> Path:
    path = exports.MASKS[tool](folder, f"{name}.jpg", SIZE, [("person", square(side))])
    file = path / "ds0" / "ann" / f"{name}.jpg.json"
    content = json.loads(file.read_text())
    content["objects"][0]["updatedAt"] = time
    file.write_text(json.dumps(content))
    return path


def built_by(dataset: Dataset, **recipe: Any) -> Dataset:
    """The dataset with another recipe in its header."""
    path = dataset.root / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"recipe": recipe}))
    return open_dataset(dataset.root)


def sides(dataset: Dataset) -> list[int]:
    """The pixels of the person in each mask, as the side of a square."""
    return [round(np.count_nonzero(dataset.target(row) == PERSON) ** 0.5) for row in dataset.rows()]


def test_an_edit_is_taken_back_in_a_further_version(one: Dataset, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        export(tmp_path / "x", name, 5)
    import_labels(one, tmp_path / "two", Request(tmp_path / "x"))
    two = open_dataset(tmp_path / "two")
    assert sides(two) == [5, 5, 5]
    _, names = undo(two, tmp_path / "three", ["pairs-a"])
    three = open_dataset(tmp_path / "three")
    assert (names, sides(three), three.header.version) == (["pairs-a"], [10, 5, 5], 3)
    assert three.rows()[0] == one.rows()[0]
    assert sides(open_dataset(tmp_path / "two")) == [5, 5, 5]
    assert check_dataset(three.root).findings == []
    undo(two, tmp_path / "all", None)
    assert open_dataset(tmp_path / "all").samples.equals(one.samples)
    assert check_dataset(tmp_path / "all").findings == []


def test_an_edit_can_be_taken_back_versions_later_and_again(one: Dataset, tmp_path: Path) -> None:
    import_labels(one, tmp_path / "two", Request(export(tmp_path / "x", "a", 5)))
    import_labels(open_dataset(tmp_path / "two"), tmp_path / "three", Request(export(tmp_path / "y", "b", 6)))
    three = open_dataset(tmp_path / "three")
    undo(three, tmp_path / "four", ["pairs-a"])
    four = open_dataset(tmp_path / "four")
    assert sides(four) == [10, 6, 0]
    undo(four, tmp_path / "five", ["pairs-a"])
    assert sides(open_dataset(tmp_path / "five")) == [5, 6, 0]


def test_what_cannot_be_taken_back_is_said(one: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="version 1 holds no edit of its own"):
        undo(one, tmp_path / "three", None)
    import_labels(one, tmp_path / "two", Request(export(tmp_path / "x", "a", 5)))
    two = open_dataset(tmp_path / "two")
    with pytest.raises(UsageError, match=r"--ids pairs-b: has no edit in .*Those that have: pairs-a"):
        undo(two, tmp_path / "three", ["pairs-b"])
    (two.root / "replaced" / "pairs-a.png").write_bytes(b"")
    with pytest.raises(FormatError, match="Copy it from the version before"):
        undo(two, tmp_path / "three", ["pairs-a"])
    assert [finding.kind for finding in check_dataset(two.root).findings] == ["replaced mask"]
    assert not (tmp_path / "three").exists()


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("old_row", "{}", "old_row is damaged"),
        ("old_row", '{"people": 1e9, "area": -1}', "old_row is damaged"),
        ("sample_id", "nobody", "tells of nobody, and no sample is called so"),
        ("iou_old_new", float("nan"), "expected 0 to 1"),
    ],
)
def test_a_record_that_no_import_wrote_is_refused(
    one: Dataset, tmp_path: Path, column: str, value: object, told: str
) -> None:
    import_labels(one, tmp_path / "two", Request(export(tmp_path / "x", "a", 5)))
    edits = read_edits(tmp_path / "two").with_columns(pl.lit(value).alias(column))
    write_table(tmp_path / "two" / "edits.parquet", edits)
    with pytest.raises(FormatError, match=told):
        undo(open_dataset(tmp_path / "two"), tmp_path / "three", None)


def test_a_pipe_in_the_place_of_a_replaced_mask_is_not_waited_for(one: Dataset, tmp_path: Path) -> None:
    import_labels(one, tmp_path / "two", Request(export(tmp_path / "x", "a", 5)))
    kept = tmp_path / "two" / "replaced" / "pairs-a.png"
    kept.unlink()
    os.mkfifo(kept)
    with pytest.raises(MissingError, match="is not a regular file"):
        undo(open_dataset(tmp_path / "two"), tmp_path / "three", None)


def test_the_newest_label_stands(one: Dataset, tmp_path: Path) -> None:
    first = export(tmp_path / "first", "a", 5, "2026-03-01T00:00:00Z")
    older = export(tmp_path / "older", "a", 6, "2026-02-01T00:00:00+02:00")
    newer = export(tmp_path / "newer", "a", 7, "2026-03-01T01:00:00Z")
    import_labels(one, tmp_path / "two", Request(first, on_conflict="newest"))
    two = open_dataset(tmp_path / "two")
    imported = import_labels(two, None, Request(older, on_conflict="newest"))
    assert imported.status == "nothing"
    assert "is of 2026-01-31T22:00:00Z, and pairs-a has a label of 2026-03-01T00:00:00Z" in (
        imported.intake.refusals[0].message
    )
    import_labels(two, tmp_path / "three", Request(newer, on_conflict="newest"))
    assert sides(open_dataset(tmp_path / "three"))[0] == 7
    nothing = export(tmp_path / "nothing", "a", 8, "")
    told = import_labels(two, None, Request(nothing, on_conflict="newest")).intake.refusals[0].message
    assert "does not say when it was drawn" in told


def test_of_two_annotators_the_later_one_stands_under_newest(one: Dataset, tmp_path: Path) -> None:
    for folder, side, time in (("x", 5, "2026-03-01T00:00:00Z"), ("y", 6, "2026-03-02T00:00:00Z")):
        export(tmp_path / "all" / folder, "a", side, time)
    imported = import_labels(one, tmp_path / "two", Request(tmp_path / "all", on_conflict="newest"))
    assert sides(open_dataset(tmp_path / "two"))[0] == 6
    assert "is older than" in imported.intake.refusals[0].message
    both = import_labels(one, None, Request(tmp_path / "all")).intake
    assert (both.changes, len(both.refusals)) == ({}, 2)


def test_who_is_asked_decides(one: Dataset, tmp_path: Path) -> None:
    path = export(tmp_path / "x", "a", 5)
    asked: list[tuple[str, float | None]] = []

    def answer(choice: str | None) -> Any:
        def ask(question: Question) -> str | None:
            assert question.image.is_file()
            with Image.open(question.old) as old, Image.open(question.new) as new:
                asked.append((question.sample_id, question.agreement))
                assert (old.size, old.tobytes() == new.tobytes()) == (new.size, False)
            return choice

        return ask

    kept = import_labels(one, None, Request(path, on_conflict="ask"), ask=answer(None))
    assert "keeps the mask that is there, as was answered" in kept.intake.refusals[0].message
    import_labels(one, tmp_path / "two", Request(path, on_conflict="ask"), ask=answer("union"))
    assert (
        "pairs-a" not in import_labels(one, None, Request(path, on_conflict="ask"), ask=answer("union")).intake.edited
    )
    assert asked[0] == ("pairs-a", 0.25)
    again = import_labels(one, tmp_path / "three", Request(path, on_conflict="ask"), ask=answer("replace"))
    assert again.status == "written"


def test_an_image_whose_new_mask_breaks_a_rule_stays_and_is_tagged(one: Dataset, tmp_path: Path) -> None:
    one = built_by(one, min_people=1, min_area=0.05, max_people=1)
    import_labels(one, tmp_path / "two", Request(export(tmp_path / "x", "a", 5)))
    two = open_dataset(tmp_path / "two")
    assert [row["tags"] for row in two.rows()] == [["rule:area"], [], []]
    report = check_dataset(two.root)
    assert report.findings == []
    assert any("1 images break the rule area" in remark for remark in report.remarks)
    import_labels(two, tmp_path / "three", Request(export(tmp_path / "y", "a", 11)))
    assert [row["tags"] for row in open_dataset(tmp_path / "three").rows()] == [[], [], []]


def test_a_label_of_the_pool_is_placed_by_the_builds_own_ratios(one: Dataset, tmp_path: Path) -> None:
    one = built_by(one, min_people=1, split="1/0/99")
    import_labels(one, tmp_path / "two", Request(export(tmp_path / "x", "c", 5)))
    assert open_dataset(tmp_path / "two").rows()[2]["split"] == "test"


def test_forked_processes_make_of_labels_what_one_makes(
    one: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, name in enumerate(("a", "b", "c", "unknown")):
        export(tmp_path / "x", name, 5 + number)
    (tmp_path / "x" / "ds0" / "ann" / "torn.json").write_text('{"size"')
    alone = import_labels(one, tmp_path / "two", Request(tmp_path / "x"))
    monkeypatch.setattr("curate.engine.processes.WORTH_FORKING", 2)
    monkeypatch.setattr("label.intake.PART", 1)
    forked = import_labels(one, tmp_path / "three", Request(tmp_path / "x"))
    assert forked.intake.refusals == alone.intake.refusals
    assert len(forked.intake.refusals) == 2
    assert forked.header == alone.header
    assert open_dataset(tmp_path / "three").samples.equals(open_dataset(tmp_path / "two").samples)
