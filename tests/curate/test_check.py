"""`curate check`: a sound dataset passes, and every way to be unsound is found, named and never followed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from PIL import Image

from curate import schema
from curate.build import build_dataset
from curate.check import Report, check_dataset, verify
from curate.checks import SHOWN, Finding, kinds_of, lines_of
from curate.cli import main
from curate.dataset import counts_of, digest_of, open_dataset, read_header, read_table, write_table
from curate.errors import MissingError
from curate.files import sha256_file
from curate.images import target_png
from curate.recipe import make_recipe
from tests.curate.scenes import SIZE_HW, box, coco_file, image, person, photo
from tests.drawing import target
from tests.label.making import Photo, make_dataset

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
    samples = read_table(path, schema.SAMPLES)
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
    samples = read_table(root / "samples.parquet", schema.SAMPLES)
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


def test_a_sound_dataset_passes_and_nothing_is_written(copy: Path) -> None:
    before = snapshot(copy.parent)
    report = check_dataset(copy)
    assert (report.findings, report.remarks) == ([], [])
    assert list(verify(open_dataset(copy))) == []
    assert {*open_dataset(copy).samples["split"]} >= {"train", "pool", "background"}
    assert snapshot(copy.parent) == before


def test_what_is_no_dataset_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="is not a dataset"):
        check_dataset(tmp_path)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"people": -1}, {"people", "nobody there", "rule people"}),
        ({"people": 3}, {"rule crowd"}),
        ({"people": 0}, {"nobody there", "rule people"}),
        ({"people": pl.when(pl.col("split") == "pool").then(1).otherwise("people")}, {"somebody there"}),
        ({"area": 0.123}, {"mask area"}),
        ({"area": 7.0}, {"area", "rule area", "mask area"}),
        ({"area": float("nan")}, {"area", "rule area", "mask area"}),
        ({"width": 59}, {"image size", "mask size"}),
        ({"height": 0}, {"size", "image size", "mask size"}),
        ({"edges": "TL"}, {"edges", "mask edges"}),
        ({"edges": ""}, {"mask edges"}),
        ({"split": "exam"}, {"split", "fold outside train"}),
        ({"fold": -1}, {"fold"}),
        ({"fold": -7}, {"fold"}),
        ({"fold": 9}, {"fold"}),
        ({"fold": pl.lit(0)}, {"fold outside train"}),
        ({"weight": -1.0}, {"weight", "weight and verdict"}),
        ({"weight": float("inf")}, {"weight"}),
        ({"weight": 0.0}, {"weight and verdict"}),
        ({"tags": ["relabel"]}, {"weight and verdict"}),
        ({"tags": ["hard"]}, {"weight and verdict"}),
        ({"tags": ["hard"], "weight": 2.0}, set()),
        ({"tags": ["relabel"], "weight": 0.0}, set()),
        ({"tags": ["crowd"]}, {"rule crowd"}),
        ({"tags": ["exclude"]}, {"excluded"}),
        ({"group": ""}, {"group"}),
        ({"source": None}, {"empty cell", "source"}),
        ({"licence": None, "head_visible": None}, set()),
        ({"origin": ""}, {"origin"}),
        ({"image_sha256": "0" * 64}, {"image hash"}),
        ({"mask_sha256": "words"}, {"mask_sha256", "mask hash"}),
        ({"mask": "masks/other.png"}, {"mask path", "orphan"}),
        ({"image": "images/other.jpg"}, {"image path", "orphan"}),
        ({"image": "../secret.jpg"}, {"image path", "orphan"}),
        ({"image": "/etc/hostname"}, {"image path", "orphan"}),
        ({"sample_id": "../x", "image": "images/../x.jpg", "mask": "masks/../x.png"}, {"sample_id", "orphan"}),
        ({"sample_id": "a\0b"}, {"sample_id", "image path", "mask path", "orphan"}),
        ({"sample_id": ".."}, {"sample_id", "image path", "mask path", "orphan"}),
        ({"sample_id": None}, {"empty cell", "sample_id", "image path", "mask path", "orphan"}),
    ],
    ids=str,
)
def test_a_row_that_is_not_as_it_should_be_is_found(copy: Path, columns: dict[str, Any], expected: set[str]) -> None:
    change_samples(copy, **columns)
    assert set(kinds(copy)) == expected


def test_a_finding_says_where_what_and_what_to_do(copy: Path) -> None:
    name = row(copy)["sample_id"]
    change_samples(copy, area=0.123)
    assert str(only(copy)) == (
        f"{copy}/masks/{name}.png: its area is 0.2; expected 0.123 as in samples.parquet. "
        "Put the old file back, or build again with --force"
    )


def test_a_group_over_splits_or_folds_is_found(copy: Path) -> None:
    samples = open_dataset(copy).samples
    twin = samples.filter(pl.col("image_sha256").is_duplicated())
    assert twin.height == 2
    change_samples(copy, group=pl.when(pl.col("split") == "pool").then("group").otherwise(pl.lit("g")))
    assert set(kinds(copy)) == {"group over splits", "group over folds"}


def test_an_empty_scene_counts_as_trained_on(copy: Path) -> None:
    scene, test = row(copy, "background"), open_dataset(copy).samples.filter(pl.col("split").is_in(["val", "test"]))
    group = test["group"][0]
    change_samples(
        copy, group=pl.when(pl.col("sample_id") == scene["sample_id"]).then(pl.lit(group)).otherwise("group")
    )
    assert "group over splits" in kinds(copy)


def test_rows_in_another_order_or_twice_are_found(copy: Path) -> None:
    path = copy / "samples.parquet"
    samples = read_table(path, schema.SAMPLES)
    write_table(path, samples.reverse())
    assert kinds(copy) == {"order": 1}
    write_table(path, pl.concat([samples.head(1), samples]))
    assert set(kinds(copy)) >= {"digest", "counts", "funnel", "twice"}


def test_a_table_changed_after_the_header_is_found(copy: Path) -> None:
    change_samples(copy, header=False, touching=pl.lit(["dog"], pl.List(pl.String)))
    finding = only(copy)
    assert (finding.kind, finding.where) == ("digest", f"{copy}/dataset.json")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"digest": "0" * 64}, {"digest": 1}),
        ({"counts": {"images": 3}}, {"counts": 1}),
        ({"version": 2}, {"version": 1}),
        ({"parent": "0" * 64}, {"version": 1}),
        ({"version": 0}, {"version": 1}),
        ({"funnel": []}, {"funnel": 3}),
        ({"recipe": {"min-area": 5}}, {"recipe": 1}),
        ({"recipe": {"colour": "blue"}}, {"recipe": 1}),
        ({"recipe": {"where": "secret > 1"}}, {"recipe": 1}),
    ],
    ids=str,
)
def test_a_header_that_disagrees_is_found(copy: Path, changes: dict[str, Any], expected: dict[str, int]) -> None:
    rewrite_header(copy, **changes)
    assert kinds(copy) == expected


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda left: [left[0] + 1, *left[1:]], "begins with"),
        (lambda left: [*left[:-1], left[-1] + 1], "ends with"),
        (lambda left: [left[0], left[1] - 9, *left[2:]], "rises"),
        (lambda left: [left[0], left[2], *left[2:]], "took"),
    ],
    ids=["begin", "end", "rise", "rule"],
)
def test_a_funnel_that_does_not_add_up_is_found(
    copy: Path, change: Callable[[list[int]], list[int]], words: str
) -> None:
    funnel = read_header(copy).funnel
    left = change([step.remaining for step in funnel])
    steps = [{"rule": step.rule, "label": step.label, "remaining": n} for step, n in zip(funnel, left, strict=True)]
    rewrite_header(copy, funnel=steps)
    findings = check_dataset(copy).findings
    assert {finding.kind for finding in findings} == {"funnel"}
    assert any(words in finding.found for finding in findings)


def test_drops_that_do_not_add_up_are_found(copy: Path) -> None:
    path = copy / "drops.parquet"
    drops = read_table(path, schema.DROPS)
    write_table(path, drops.head(1))
    assert set(kinds(copy)) == {"funnel"}
    write_table(path, drops.reverse())
    assert kinds(copy) == {"order": 1}
    write_table(path, drops.with_columns(rule=pl.lit("mood")))
    assert set(kinds(copy)) == {"funnel", "drop rule"}
    kept = row(copy)["sample_id"]
    write_table(path, drops.with_columns(sample_id=pl.lit(kept)))
    assert set(kinds(copy)) == {"twice", "dropped and kept"}


def replace_file(path: Path, data: bytes) -> None:
    """Other bytes at a path, without changing the file it was linked to."""
    path.unlink()
    path.write_bytes(data)


def with_hash(root: Path, column: str) -> None:
    """Take the hash of the first training row's file into the table, so that only its content is wrong."""
    change_samples(root, **{f"{column}_sha256": sha256_file(root / row(root)[column])})


@pytest.mark.parametrize("column", ["image", "mask"])
def test_a_file_that_is_gone_or_changed_is_found(copy: Path, column: str) -> None:
    path = copy / row(copy)[column]
    data = path.read_bytes()
    replace_file(path, data + b"\0")
    assert kinds(copy) == {f"{column} hash": 1}
    replace_file(path, data[:40])
    assert kinds(copy) == {f"{column} hash": 1, f"{column} unreadable": 1}
    with_hash(copy, column)
    assert kinds(copy) == {f"{column} unreadable": 1}
    path.unlink()
    assert kinds(copy) == {f"{column} missing": 1}
    path.mkdir()
    assert kinds(copy) == {f"{column} no file": 1}
    path.rmdir()
    os.mkfifo(path)
    assert kinds(copy) == {f"{column} no file": 1}


@pytest.mark.parametrize("column", ["image", "mask"])
def test_a_link_that_leads_out_is_found_and_never_followed(copy: Path, tmp_path: Path, column: str) -> None:
    path, outside = copy / row(copy)[column], tmp_path / "outside"
    os.mkfifo(outside)  # whoever opens it waits for ever
    path.unlink()
    path.symlink_to(outside)
    finding = only(copy)
    assert (finding.kind, finding.found) == (f"{column} outside", f"leads out of the dataset, to {outside}")


def test_a_folder_that_leads_out_is_found_and_never_followed(copy: Path, tmp_path: Path) -> None:
    (copy / "masks").rename(tmp_path / "elsewhere")
    (copy / "masks").symlink_to(tmp_path / "elsewhere")
    assert kinds(copy) == {"mask outside": open_dataset(copy).samples.height}


def test_a_link_inside_the_dataset_is_followed(copy: Path) -> None:
    one, other = (
        copy / path for path in open_dataset(copy).samples.filter(pl.col("image_sha256").is_duplicated())["image"]
    )
    other.unlink()
    other.symlink_to(one.name)
    assert kinds(copy) == {}


def put_mask(root: Path, grey: np.ndarray[Any, Any], split: str = "train") -> None:
    """Another mask for the first row of a split, with its hash in the table."""
    chosen = row(root, split)
    replace_file(root / chosen["mask"], target_png(grey))
    is_it = pl.col("sample_id") == chosen["sample_id"]
    digest = pl.lit(sha256_file(root / chosen["mask"]))
    change_samples(root, mask_sha256=pl.when(is_it).then(digest).otherwise("mask_sha256"))


def test_a_mask_of_other_values_size_or_mode_is_found(copy: Path) -> None:
    grey = np.zeros(SIZE_HW, np.uint8)
    grey[0, 0] = 7
    put_mask(copy, grey)
    assert only(copy).found.startswith("holds the value 7")
    put_mask(copy, np.zeros((4, 6), np.uint8))
    assert (only(copy).found, only(copy).expected) == ("is 4x6", "40x60 (HxW) from the annotation")
    path = copy / row(copy)["mask"]
    Image.fromarray(np.zeros((*SIZE_HW, 3), np.uint8)).save(path)
    with_hash(copy, "mask")
    assert "has mode RGB" in only(copy).found


@pytest.mark.parametrize(("split", "value"), [("pool", 0), ("pool", 255), ("background", 128), ("background", 255)])
def test_a_mask_without_a_label_holds_one_value(copy: Path, split: str, value: int) -> None:
    grey = np.full(SIZE_HW, 128 if split == "pool" else 0, np.uint8)
    grey[3:5, 3:5] = value
    put_mask(copy, grey, split)
    assert "mask value" in kinds(copy)


def test_a_speck_is_found_by_area_edges_and_parts(copy: Path) -> None:
    grey = np.zeros(SIZE_HW, np.uint8)
    grey[3:20, 3:20] = grey[3:20, 40:50] = 255
    put_mask(copy, grey)
    assert kinds(copy) == {"mask area": 1, "mask edges": 1, "rule parts": 1}


def test_what_no_row_tells_of_is_found(copy: Path) -> None:
    (copy / "images" / "stray.jpg").write_bytes(b"")
    (copy / "masks" / ".hidden").write_bytes(b"")
    (copy / "masks" / "folder").mkdir()
    assert kinds(copy) == {"orphan": 3}


def test_strangers_and_leftovers_are_remarks(copy: Path) -> None:
    (copy / "notes.txt").write_text("mine")
    (copy.parent / ".people.partial").mkdir()
    (copy.parent / ".people.old").mkdir()
    report = check_dataset(copy)
    assert report.findings == []
    assert [remark.removeprefix(f"{copy.parent}/").partition(":")[0] for remark in report.remarks] == [
        "people/notes.txt",
        ".people.partial",
        ".people.old",
    ]


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


@pytest.mark.parametrize("name", ["dataset.json", "samples.parquet", "drops.parquet"])
def test_damage_of_one_part_is_named_and_the_others_are_checked(copy: Path, tmp_path: Path, name: str) -> None:
    (copy / "images" / "stray.jpg").write_bytes(b"")
    rest = {} if name == "samples.parquet" else {"orphan": 1}
    path = copy / name
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert kinds(copy) == {"damaged": 1} | rest
    path.unlink()
    path.symlink_to(tmp_path / "outside")
    os.mkfifo(tmp_path / "outside")
    assert kinds(copy) == {"damaged": 1} | rest
    path.unlink()
    if name != "dataset.json":
        assert kinds(copy) == {"damaged": 1} | rest


def test_findings_of_one_kind_are_summed_up_after_the_first() -> None:
    findings = [Finding("a", f"{number}", "x", "y", "z") for number in range(SHOWN + 1000)]
    findings.insert(5, Finding("b", "one", "x", "y", "z"))
    lines = lines_of(findings)
    assert len(lines) == SHOWN + 2
    assert lines[5] == "one: x; expected y. z"
    assert lines[-1] == "... and 1,000 more such findings (a)"
    assert len(lines_of(findings, None)) == len(findings)
    assert lines_of(findings[: SHOWN + 1]) == [str(finding) for finding in findings[: SHOWN + 1]]


def test_a_finding_is_one_line_whatever_a_table_holds(copy: Path) -> None:
    change_samples(copy, origin="", sample_id="a\nb\x1b[2J")
    for finding in check_dataset(copy).findings:
        assert str(finding).isprintable()


def run(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """The program's exit code, stdout and stderr."""
    with pytest.raises(SystemExit) as stop:
        main([*words])
    out, err = capfd.readouterr()
    return int(stop.value.code or 0), out, err


def test_the_command_prints_a_line_per_finding(copy: Path, capfd: pytest.CaptureFixture[str]) -> None:
    digest = open_dataset(copy).header.digest[:12]
    assert run(capfd, "check", str(copy)) == (0, f"{copy}: sound, 15 images, digest {digest}\n", "")
    for number in range(30):
        (copy / "images" / f"stray{number:02}.jpg").write_bytes(b"")
    (copy / "mine.txt").write_text("mine")
    code, out, err = run(capfd, "check", str(copy))
    assert (code, len(out.splitlines())) == (1, 22)
    assert out.splitlines()[-2:] == [
        "... and 10 more such findings (orphan)",
        f"{copy}: 30 findings, 15 images, digest {digest}",
    ]
    assert err == f"note: {copy}/mine.txt: is no part of a dataset and was not looked at\n"
    assert len(run(capfd, "check", str(copy), "--all")[1].splitlines()) == 31


def test_json_lists_every_finding(copy: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for number in range(30):
        (copy / "images" / f"stray{number:02}.jpg").write_bytes(b"")
    code, out, err = run(capfd, "check", str(copy), "--json")
    said = json.loads(out)
    assert (code, err, said["sound"], said["counts"], said["images"]) == (1, "", False, {"orphan": 30}, 15)
    assert said["findings"][0] == {
        "kind": "orphan",
        "where": f"{copy}/images/stray00.jpg",
        "found": "stands in no row",
        "expected": "only files of samples",
        "advice": "Remove it, or build again with --force",
    }


def check_damaged(root: Path, seed: int) -> Report | None:
    """Damage one byte, or the end, of one file of a dataset; what the check says of it."""
    random = np.random.default_rng(seed)
    paths = sorted(path for path in root.rglob("*") if path.is_file() and path.name != "sheet.png")
    path = paths[random.integers(len(paths))]
    data = bytearray(path.read_bytes())
    if random.random() < 0.3:
        data = data[: random.integers(len(data))]
    else:
        data[random.integers(len(data))] ^= 1 << random.integers(8)
    replace_file(path, bytes(data))
    report = check_dataset(root)
    if path.parent != root:
        assert report.findings, f"seed {seed}: damage to {path.name} was not found"
    return report


def check_damages(built: Path, tmp_path: Path, seeds: range) -> None:
    """No damage makes the check fail, and none to an image or a mask passes."""
    for seed in seeds:
        root = Path(shutil.copytree(built, tmp_path / str(seed)))
        for finding in check_damaged(root, seed).findings:
            assert str(finding).isprintable()
        shutil.rmtree(root)


def test_random_damage_is_found(built: Path, tmp_path: Path) -> None:
    check_damages(built, tmp_path, range(40))


@pytest.mark.long
def test_much_random_damage_is_found(built: Path, tmp_path: Path) -> None:
    check_damages(built, tmp_path, range(40, 3000))
