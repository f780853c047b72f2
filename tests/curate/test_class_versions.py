"""Class masks in versions of versions, in what `curate check` finds, and in what is shown and exported."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from curate import schema
from curate.checks import kinds_of
from curate.checks.version import check_dataset, verify
from curate.classes import class_tag
from curate.dataset import open_dataset, read_table, write_table
from curate.errors import MissingError, UsageError
from curate.images import png_bytes, read_grey
from curate.revise import revise
from tests.curate.checking import change_samples, kinds, replace_file
from tests.curate.conftest import Run
from tests.curate.pictures import build, coco_of, numbered, reasons
from tests.curate.test_classes import BOTH, DOG, SIZE_HW, drawn, scene, thing

NO_EDITS = schema.table([], schema.EDITS)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version of four images with class masks, a dog in each, ever further to the right."""
    root = tmp_path_factory.mktemp("made")
    dogs = [thing(DOG, 24 + 4 * number, 10, 60, 20, number=number) for number in range(1, 5)]
    build(root / "people", coco=[scene(root, *dogs, images=4)], **BOTH)
    return root / "people"


@pytest.fixture
def version(made: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return Path(shutil.copytree(made, tmp_path / "people"))


def files(root: Path) -> dict[str, bytes]:
    """The class masks of a version by name; none is without a row, and no row without its own."""
    found = {path.name: path.read_bytes() for path in (root / "classes").glob("*")}
    tagged = [row for row in open_dataset(root).rows() if any(tag.startswith("classes:") for tag in row["tags"])]
    assert found.keys() == {f"{row['sample_id']}.png" for row in tagged}
    return found


def test_a_version_chosen_from_another_keeps_files_and_tags(version: Path, tmp_path: Path) -> None:
    old = open_dataset(version)
    assert build(tmp_path / "same", from_=str(version)).header.digest == old.header.digest
    assert files(tmp_path / "same") == files(version)
    verdict = {"sample_id": "coco-1", "verdict": "exclude"}, {"sample_id": "coco-2", "verdict": "hard"}
    (tmp_path / "d.jsonl").write_text("\n".join(map(json.dumps, verdict)))
    build(tmp_path / "fewer", from_=str(version), decisions=str(tmp_path / "d.jsonl"), seed=5)
    assert files(tmp_path / "fewer") == {name: data for name, data in files(version).items() if name != "coco-1.png"}
    fewer = open_dataset(tmp_path / "fewer")
    tags = dict(old.samples.select("sample_id", "tags").iter_rows())
    assert fewer.rows()[0]["tags"] == [*tags["coco-2"], "hard"]
    for out in ("same", "fewer"):
        assert list(verify(open_dataset(tmp_path / out))) == []
    with pytest.raises(UsageError, match=r"--held: the masks of .* are drawn already, with --held class"):
        build(tmp_path / "not", from_=str(version), held="include")
    assert old.class_names == fewer.class_names == ("held", "animal")


def test_a_class_mask_saved_anew_keeps_its_pixels_and_gets_its_own_tag(version: Path, tmp_path: Path) -> None:
    path = version / "classes" / "coco-1.png"
    replace_file(path, png_bytes(read_grey(path)))
    assert kinds(version) == {"classes hash": 1}
    build(tmp_path / "out", from_=str(version))
    assert list(verify(open_dataset(tmp_path / "out"))) == []
    assert files(tmp_path / "out") == files(version)


def test_a_version_whose_class_mask_is_gone_loses_that_image(version: Path, tmp_path: Path) -> None:
    (version / "classes" / "coco-1.png").unlink()
    build(tmp_path / "out", from_=str(version))
    [(name, (rule, detail))] = reasons(tmp_path / "out").items()
    assert (name, rule) == ("coco-1", "unreadable")
    assert "classes/coco-1.png" in detail


def test_joined_versions_bring_their_own_under_their_new_names(version: Path, tmp_path: Path) -> None:
    """The second one's images have the first one's names, and some no class masks."""
    build(tmp_path / "b", coco=[scene(tmp_path / "b-source", thing(DOG, 30, 22, 40, 30), seed=50)], **BOTH)
    build(tmp_path / "plain", coco=[coco_of(tmp_path / "c", numbered(2, 70))])
    for second, more in (("b", 1), ("plain", 0)):
        out = tmp_path / f"with-{second}"
        build(out, from_=str(version), merge=str(tmp_path / second))
        joined = open_dataset(out)
        assert list(verify(joined)) == []
        assert files(version).items() <= files(out).items()
        assert len(files(out)) == 4 + more
    renamed = next(row for row in open_dataset(tmp_path / "with-b").rows() if row["sample_id"].startswith("coco-1-"))
    assert (open_dataset(tmp_path / "with-b").classes(renamed) == drawn((2, 30, 22, 40, 30))).all()


def test_joined_versions_that_draw_fewer_classes_lose_their_masks(version: Path, tmp_path: Path) -> None:
    """Animals would be taken for none in them; masks that tell more than the first ones do stay."""
    dogs = scene(tmp_path / "b-source", thing(DOG, 30, 22, 40, 30), seed=50)
    build(tmp_path / "b", coco=[dogs], held="class")
    told = "class masks are left out: the second dataset draws fewer classes than the first"
    built = build(tmp_path / "one", from_=str(version), merge=str(tmp_path / "b"))
    assert [note.where[:7] for note in built.notes if note.what == told] == ["coco-1-"]
    built = build(tmp_path / "other", from_=str(tmp_path / "b"), merge=str(version))
    assert not built.notes
    assert [len(files(tmp_path / out)) for out in ("one", "other")] == [4, 5]
    assert open_dataset(tmp_path / "other").class_names == ("held",)
    for out in ("one", "other"):
        assert list(verify(open_dataset(tmp_path / out))) == []


def test_a_revision_links_the_class_masks_of_the_rows_that_stay(version: Path, tmp_path: Path) -> None:
    parent = open_dataset(version)
    options: dict[str, Any] = {"masks": {}, "recipe": {}, "sources": [], "edits": NO_EDITS}
    revise(parent, tmp_path / "two", samples=parent.samples.head(2), **options)
    assert sorted(files(tmp_path / "two")) == ["coco-1.png", "coco-2.png"]
    assert (tmp_path / "two" / "classes" / "coco-1.png").samefile(version / "classes" / "coco-1.png")
    untagged = parent.samples.with_columns(tags=pl.lit([], schema.STRINGS))
    revise(parent, tmp_path / "three", samples=untagged, **options)
    assert not (tmp_path / "three" / "classes").exists()
    (version / "classes" / "coco-1.png").unlink()
    with pytest.raises(MissingError, match=r"classes/coco-1.png: is missing, so that no version can be made"):
        revise(parent, tmp_path / "four", samples=parent.samples, **options)


def retag(root: Path, tags: list[str | None] | None) -> None:
    """Other tags in the first training row."""
    samples = read_table(root / "samples.parquet", schema.SAMPLES)
    rows = samples.to_dicts()
    next(row for row in rows if row["split"] == "train")["tags"] = tags
    write_table(root / "samples.parquet", schema.table(rows, schema.SAMPLES))
    change_samples(root)


def first_file(root: Path) -> Path:
    """The class mask of the first training row."""
    return root / "classes" / f"{open_dataset(root).rows('train')[0]['sample_id']}.png"


def with_pixels(root: Path, classes: np.ndarray[Any, Any]) -> None:
    """Other pixels, with their hash in the tags."""
    data = png_bytes(classes)
    replace_file(first_file(root), data)
    retag(root, [class_tag(data)])


DAMAGE: dict[str, tuple[Callable[[Path], Any], dict[str, int]]] = {
    "gone": (lambda root: first_file(root).unlink(), {"classes missing": 1}),
    "all gone": (lambda root: shutil.rmtree(root / "classes"), {"classes missing": 4}),
    "changed": (lambda root: replace_file(first_file(root), png_bytes(drawn())), {"classes hash": 1}),
    "no image": (lambda root: replace_file(first_file(root), b"x"), {"classes hash": 1, "classes unreadable": 1}),
    "other value": (lambda root: with_pixels(root, drawn((3, 0, 0, 9, 9))), {"classes unreadable": 1}),
    "other size": (lambda root: with_pixels(root, drawn()[1:]), {"classes size": 1}),
    "no tag": (lambda root: retag(root, []), {"orphan": 1}),
    "null tags": (lambda root: retag(root, None), {"empty cell": 1, "excluded": 1, "classes tag": 1, "orphan": 1}),
    "null tag": (lambda root: retag(root, [None]), {"orphan": 1}),
    "two tags": (lambda root: retag(root, ["classes:" + 16 * "0"] * 2), {"classes tag": 1, "classes hash": 1}),
    "no hash": (lambda root: retag(root, ["classes:"]), {"classes tag": 1, "classes hash": 1}),
    "stranger": (lambda root: (root / "classes" / "a.png").write_bytes(b""), {"orphan": 1}),
    "leads out": (
        lambda root: (first_file(root).unlink(), (root / "classes" / "coco-1.png").symlink_to(root.parent / "x")),
        {"classes outside": 1},
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_check_finds_where_tag_and_file_disagree(version: Path, damage: str) -> None:
    spoil, expected = DAMAGE[damage]
    assert open_dataset(version).rows("train")[0]["sample_id"] == "coco-1"
    spoil(version)
    report = check_dataset(version)
    found = kinds_of(report.findings)
    assert {kind: count for kind, count in found.items() if kind != "weight and verdict"} == expected
    assert report.remarks == []


def test_nowhere_is_the_long_tag_shown(run: Run, version: Path, tmp_path: Path) -> None:
    retag(version, ["crowd"])
    sheet = run("sheet", str(version), "--by", "tags", "--out", str(tmp_path / "sheet.png"))
    shown, story = run("show", str(version)), run("show", str(version), "coco-2")
    retag(shutil.copytree(version, tmp_path / "other"), [])  # type: ignore[arg-type]
    differ = run("diff", str(version), str(tmp_path / "other"))
    assert "Another tags: 1" in differ[1]
    assert {code for code, _, _ in (sheet, shown, story)} == {0}
    assert "tags        classes 3, crowd 1" in shown[1]
    assert re.search(r"^classes +\S+/classes/coco-2.png +there, \d+ bytes$", story[1], re.MULTILINE)
    long = [tag for tags in open_dataset(version).samples["tags"] for tag in tags if tag.startswith("classes:")]
    assert len(long) == 3
    assert not [tag for tag in long for _, out, _ in (sheet, shown, story, differ) if tag in out]


def test_exports_leave_the_classes_out(run: Run, version: Path, tmp_path: Path) -> None:
    assert run("export", str(version), "--format", "coco", "--out", "exported")[0] == 0
    records = [
        record
        for path in (tmp_path / "exported" / "annotations").iterdir()
        for record in json.loads(path.read_text())["images"]
    ]
    assert [record["tags"] for record in records] == [[]] * 4
    assert (records[0]["height"], records[0]["width"]) == SIZE_HW
