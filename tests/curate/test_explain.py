"""`curate show DATASET SAMPLE`: why an image is in, and why another is out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from curate import schema
from curate.dataset import FunnelStep, Source, write_table
from curate.errors import MissingError
from curate.looking.explain import LISTED, closest, explain_sample, found_by, story_sections
from tests.curate.conftest import Run
from tests.curate.versions import drop, row, write_pictures, write_version

ROWS = [
    row("coco-1", fold=2, group="g", people=2, edges="LB", touching=["dog", "cup"], tags=["crowd", "hard"]),
    row("coco-2", "train", group="g"),
    row("coco-3", "val", licence="CC BY 4.0"),
]
DROPS = [
    drop("coco-4", "area", "people cover 12.3 %, less than 20 %", value=0.123, limit=0.2),
    drop("coco-5", "people", "shows nobody", value=0.0, limit=1.0),
]

KEPT = """\
coco-1: kept, in train, fold 2
group       never split from coco-2 (train)

Rule by rule
with a person      2 people
at most 2 people   2 people, and a crowd
area 20 % to 70 %  people cover 25.0 %

Files
image  out/images/coco-1.png  there, IMAGE bytes
mask   out/masks/coco-1.png   there, MASK bytes

Its row in samples.parquet
sample_id     coco-1
image         images/coco-1.png
mask          masks/coco-1.png
width         40
height        30
people        2
area          0.25
split         train
fold          2
group         g
source        coco
licence       -
origin        polygon
edges         LB
touching      dog, cup
head_visible  -
image_sha256  IMAGE_HASH
mask_sha256   MASK_HASH
weight        1
tags          crowd, hard
"""
DROPPED = """\
coco-4: dropped by the rule `area`
why         people cover 12.3 %, less than 20 %

Rule by rule
with a person      passed
at most 2 people   passed
area 20 % to 70 %  dropped

Its row in drops.parquet
sample_id  coco-4
source     coco
rule       area
value      0.123
limit      0.2
detail     people cover 12.3 %, less than 20 %
"""


def test_a_kept_image_is_told_word_for_word(run: Run) -> None:
    rows = write_pictures(Path("out"), ROWS, {})
    write_version(Path("out"), rows, DROPS)
    code, out, err = run("show", "out", "coco-1")
    filled = KEPT.replace("IMAGE_HASH", rows[0]["image_sha256"]).replace("MASK_HASH", rows[0]["mask_sha256"])
    sizes = {what: Path("out", rows[0][what]).stat().st_size for what in ("image", "mask")}
    filled = filled.replace("IMAGE", f"{sizes['image']:,}").replace("MASK", f"{sizes['mask']:,}")
    assert (code, out, err) == (0, filled, "")


def test_a_dropped_image_is_told_word_for_word(run: Run) -> None:
    write_version(Path("out"), ROWS, DROPS)
    assert run("show", "out", "coco-4") == (0, DROPPED, "")
    _, out, _ = run("show", "out", "coco-5")
    assert "with a person      dropped\nat most 2 people   not tried\narea 20 % to 70 %  not tried\n" in out


def test_json_is_one_object(run: Run) -> None:
    write_version(Path("out"), ROWS, DROPS)
    said = json.loads(run("show", "out", "coco-1", "--json")[1])
    assert (said["sample_id"], said["kept"], said["group"]) == (
        "coco-1",
        True,
        [{"sample_id": "coco-2", "split": "train"}],
    )
    assert said["row"] == ROWS[0]
    assert [one["state"] for one in said["files"]] == ["missing", "missing"]
    said = json.loads(run("show", "out", "coco-4", "--json")[1])
    assert (said["kept"], said["row"]) == (False, DROPS[0])
    assert [one["found"] for one in said["rules"]] == ["passed", "passed", "dropped"]


def test_files_are_looked_at(run: Run) -> None:
    write_version(Path("out"), write_pictures(Path("out"), ROWS, {}), DROPS)
    Path("out/images/coco-1.png").unlink()
    Path("out/masks/coco-1.png").write_bytes(b"other")
    _, out, _ = run("show", "out", "coco-1")
    assert "image  out/images/coco-1.png  missing\n" in out
    assert "mask   out/masks/coco-1.png   changed after the build, 5 bytes\n" in out


@pytest.mark.parametrize("name", ["coco-1", "out/images/coco-1.png", "masks/coco-1.png", "coco-1.jpg"])
def test_the_name_of_a_file_stands_for_its_sample(run: Run, name: str) -> None:
    write_version(Path("out"), ROWS, DROPS)
    assert run("show", "out", name)[1].startswith("coco-1: kept")


def test_an_unknown_image_is_an_error_with_the_closest_ids(run: Run) -> None:
    write_version(Path("out"), ROWS, DROPS)
    code, out, err = run("show", "out", "coco-44")
    assert (code, out) == (1, "")
    assert err.startswith("error: coco-44: is not among the 3 images kept and 2 dropped in out. Did you mean coco-4, ")
    _, _, err = run("show", "out", "zebra")
    assert err == "error: zebra: is not among the 3 images kept and 2 dropped in out. An id looks like coco-1\n"


def test_an_image_dropped_by_an_earlier_version_is_looked_for_there(run: Run) -> None:
    write_version(Path("out"), ROWS, DROPS, recipe={"from": "first"})
    _, _, err = run("show", "out", "coco-9")
    assert err.endswith("It may have been dropped by an earlier version: curate show first coco-9\n")


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("790", ["coco-000000000790", "coco-000000100790"]),
        ("coco-000000000791", ["coco-000000000790", "coco-000000100790"]),
        ("coco-000000000700", ["coco-000000000790"]),
        ("voc-2008_00001", ["voc-2008_000001"]),
        ("voc-2008-000001", ["voc-2008_000001"]),
        ("", []),
        ("quite another thing", []),
    ],
    ids=["only the number", "one digit", "another digit", "one less", "another sign", "nothing", "nonsense"],
)
def test_ids_close_to_a_word(word: str, near: list[str]) -> None:
    ids = ["voc-2008_000001", "coco-000000100790", "coco-000000000790"]
    assert closest(word, ids)[: max(len(near), 1)] == near


def test_closest_ids_among_a_hundred_thousand_are_found(run: Run) -> None:
    ids = [f"coco-{number:012d}" for number in range(0, 700_000, 7)]
    assert closest("coco-0000006x9993", ids)[0] in {"coco-000000629993", "coco-000000649993", "coco-000000699993"}


def test_where_two_steps_bear_one_name_nothing_is_claimed(tmp_path: Path) -> None:
    steps = [("looked at", 5), ("unreadable", 4), ("people", 3), ("unreadable", 2), ("kept", 2)]
    funnel = [FunnelStep(rule, f"step {left}", left) for rule, left in steps]
    drops = [drop("coco-7", "unreadable", "cut off"), drop("coco-8", "unreadable", "gone"), DROPS[1]]
    dataset = write_version(tmp_path, ROWS[:2], drops, funnel=funnel)
    assert [rule.found for rule in explain_sample(dataset, "coco-7").rules] == ["", "", ""]
    assert [rule.found for rule in explain_sample(dataset, "coco-5").rules] == ["passed", "dropped", "not tried"]


def test_a_rule_outside_the_funnel_claims_nothing(tmp_path: Path) -> None:
    dataset = write_version(tmp_path, ROWS, [drop("pool-1", "decision")])
    story = explain_sample(dataset, "pool-1")
    assert [rule.found for rule in story.rules] == ["", "", ""]
    assert story_sections(story)[0].lines == ["why         the rule gives no reason in words"]


@pytest.mark.parametrize(
    ("rule", "values", "found"),
    [
        ("people", {}, "1 person"),
        ("crowd", {"people": 2}, "2 people, no crowd"),
        ("area", {"area": 0.123}, "people cover 12.3 %"),
        ("side", {}, "40x30 px"),
        ("intact", {"edges": "LB", "head_visible": True}, "head visible, touches left and bottom"),
        ("intact", {}, "head not known, touches no edge"),
        ("duplicate", {}, "alone in its group"),
        ("decision", {"tags": ["crowd", "hard"]}, "hard"),
        ("decision", {}, "passed"),
        ("where", {}, "passed"),
        ("area", {"split": "pool"}, "not asked of the split pool"),
        ("where", {"split": "pool"}, "not asked of the split pool"),
        ("where", {"split": "train"}, "passed"),
        ("take", {"split": "background"}, "not asked of the split background"),
        ("take", {"split": "pool"}, "passed"),
        ("duplicate", {"split": "background"}, "alone in its group"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_rule_found_in_a_kept_image(rule: str, values: dict[str, Any], found: str) -> None:
    assert found_by(rule, row("coco-1", **values), 0, {"where": "area > 0.3"}) == found


def test_a_group_says_how_many_others_there_are(tmp_path: Path) -> None:
    assert found_by("duplicate", row("coco-1"), 2, {}) == "2 others in its group, train"
    rows = [row(f"coco-{number}", group="g") for number in range(LISTED + 4)]
    story = explain_sample(write_version(tmp_path, rows), "coco-0")
    assert len(story.group) == LISTED + 3
    assert story_sections(story)[0].lines[-1].endswith("and 3 more")


def test_an_edited_mask_tells_by_whom(tmp_path: Path) -> None:
    dataset = write_version(tmp_path, ROWS, DROPS)
    edit = {
        "sample_id": "coco-1",
        "version": 2,
        "tool": "labelme",
        "author": "ada",
        "time": None,
        "iou_old_new": 0.9,
        "old_mask_sha256": "a",
        "new_mask_sha256": "b",
        "old_row": "{}",
    }
    write_table(tmp_path / "edits.parquet", schema.table([edit], schema.EDITS))
    story = explain_sample(dataset, "coco-1")
    assert story.edit == edit
    assert "iou_old_new      0.9" in next(s for s in story_sections(story) if s.heading.startswith("How")).lines
    assert explain_sample(dataset, "coco-2").edit is None


def test_an_empty_dataset_has_no_closest_id(tmp_path: Path) -> None:
    dataset = write_version(tmp_path, ROWS)
    samples, drops = schema.SAMPLES.to_frame().lazy(), schema.DROPS.to_frame().lazy()
    empty = type(dataset)(tmp_path, dataset.header, samples, drops)
    with pytest.raises(MissingError, match="among the 0 images kept and 0 dropped"):
        explain_sample(empty, "coco-1")


def test_an_expression_about_splits_is_asked_of_the_pool_too() -> None:
    assert found_by("where", row("pool-1", "pool"), 0, {"where": "split <> 'test'"}) == "passed"


def test_a_photograph_of_the_pool_that_was_dropped_was_not_asked_about_people(run: Run) -> None:
    write_version(Path("out"), ROWS, [drop("pool-1", "area")], sources=[Source("pool", "pool", None, {})])
    assert "with a person      not asked of the split pool\n" in run("show", "out", "pool-1")[1]
