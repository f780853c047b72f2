"""`curate label import` from end to end: what comes in, what is left out and named, what never changes."""

from __future__ import annotations

import base64
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from curate import schema
from curate.checks.version import verify
from curate.dataset import Dataset, open_dataset, read_table
from curate.errors import FormatError, MissingError, UsageError
from curate.images import png_bytes, read_size_hw
from label.importing import Request, import_labels
from label.merge import RESTORED
from tests.drawing import target
from tests.label.making import NEW, OLD, Photo, box, make_dataset, picture, shape, write_labelme, write_png


def bytes_of(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_masks_come_in_and_the_rest_is_named(curate: Any, tmp_path: Path) -> None:
    before = bytes_of(tmp_path / "one")
    write_png(tmp_path / "masks" / "1.png", NEW)
    write_png(tmp_path / "masks" / "2.png", OLD)
    write_png(tmp_path / "masks" / "3.png", np.zeros((4, 4), np.uint8))
    write_png(tmp_path / "masks" / "9.png", NEW)
    write_png(tmp_path / "masks" / "x" / "pairs-2.png", target("###.\n...."))
    (tmp_path / "masks" / "torn.png").write_bytes(png_bytes(NEW)[:20])
    (tmp_path / "masks" / "notes.txt").write_text("")
    result = curate("label", "import", "one", "masks", "--out", "two", "--author", "anna")
    assert result.code == 0
    assert result.out == (
        "imported   1\n"
        "unchanged  1\n"
        "left out   4\n"
        "median IoU of old and new masks 0.333\n"
        "two: version 2 of people, 3 images\n"
    )
    assert result.err.splitlines() == [
        "left out: masks/3.png: shows no person (values 0); expected at least one pixel. Say with --person which is, "
        "or leave it out",
        "left out: masks/9.png: no sample is called 9, nor holds its image. Name it by its sample_id, or add its "
        "photograph: --add-images --images DIR",
        "left out: masks/torn.png: is not an image Pillow can read (Truncated File Read). Export this mask again as a "
        "PNG",
        "left out: masks/x/pairs-2.png: was drawn on 2x4 (HxW), but pairs-2 has 4x4; expected that size or the same "
        "aspect ratio: it belongs to another image or another crop; mend it or leave it out",
        "note: 1 .txt file beside the labels not read",
    ]
    assert bytes_of(tmp_path / "one") == before
    assert list(verify(open_dataset(tmp_path / "two"))) == []


def test_the_new_version_says_where_it_comes_from(curate: Any, tmp_path: Path) -> None:
    write_labelme(tmp_path / "labels" / "a.json", [box("person", 1, 0, 3, 2)], (4, 4), "../photos/3.png")
    assert curate("label", "import", "one", "labels", "--out", "two", "--author", "anna").code == 0
    one, two = open_dataset(tmp_path / "one"), open_dataset(tmp_path / "two")
    assert (two.header.name, two.header.version, two.header.parent) == ("people", 2, one.header.digest)
    assert two.header.recipe == {
        "command": "label import",
        "labels": "labels",
        "format": "labelme",
        "person": None,
        "ignore": None,
        "colours": None,
        "image_list": None,
        "on_conflict": "replace",
        "author": "anna",
        "add_images": False,
        "confirmed": False,
        "images": [],
        "seed": 0,
        "rules": {"min_people": 1},
    }
    assert [(source.kind, source.name, list(source.sha256)) for source in two.header.sources] == [
        ("labels", "labels", ["."])
    ]
    (edit,) = read_table(two.root / "edits.parquet", schema.EDITS).to_dicts()
    old, new = one.rows()[2], two.rows()[2]
    assert edit == {
        "sample_id": "pairs-3",
        "version": 2,
        "tool": "labelme 5.2.1",
        "author": "anna",
        "time": None,
        "iou_old_new": 1 / 3,
        "old_mask_sha256": old["mask_sha256"],
        "new_mask_sha256": new["mask_sha256"],
        "old_row": edit["old_row"],
    }
    assert json.loads(edit["old_row"]) == {column: old[column] for column in RESTORED}
    assert (two.root / "replaced" / "pairs-3.png").read_bytes() == (one.root / "masks" / "pairs-3.png").read_bytes()
    np.testing.assert_array_equal(two.target(new), NEW)
    assert {key: new[key] for key in new if new[key] != old[key]} == {
        "people": 1,
        "edges": "T",
        "origin": "hand",
        "mask_sha256": new["mask_sha256"],
        "tags": [],
        "weight": 1.0,
    }
    assert two.rows()[:2] == one.rows()[:2]


def test_a_person_that_is_a_line_is_told_as_such(curate: Any, tmp_path: Path) -> None:
    write_labelme(tmp_path / "1.json", [shape("person", [(0, 0), (3, 3)], "line"), box("bus", 0, 0, 2, 2)], (4, 4), "")
    result = curate("label", "import", "one", "1.json", "--dry-run")
    assert result.err.splitlines()[0] == (
        "left out: 1.json: shows no person (shapes person 1, bus 1: a line encloses nothing); expected at least one "
        "pixel. Draw it anew, or leave it out"
    )


def test_a_reason_is_told_of_twenty_labels_and_then_counted(curate: Any, tmp_path: Path) -> None:
    for number in range(4, 30):
        write_png(tmp_path / "masks" / f"{number}.png", NEW)
    write_png(tmp_path / "masks" / "3.png", np.zeros((4, 4), np.uint8))
    result = curate("label", "import", "one", "masks", "--dry-run", "--json")
    told = result.err.splitlines()
    assert [sum(reason in line for line in told) for reason in ("no sample is called", "shows no person")] == [20, 1]
    assert "left out: and 6 more for the same reason as masks/10.png; --json lists all" in told
    assert len(json.loads(result.out)["left_out"]) == 27


def test_the_same_export_twice_changes_nothing(curate: Any, tmp_path: Path) -> None:
    write_png(tmp_path / "masks" / "1.png", NEW)
    assert curate("label", "import", "one", "masks", "--out", "two").code == 0
    before = bytes_of(tmp_path / "two")
    again = curate("label", "import", "one", "masks", "--out", "two")
    assert (again.code, again.out.splitlines()[-1]) == (0, "two: holds this import already; nothing was written")
    further = curate("label", "import", "two", "masks", "--out", "three")
    assert further.code == 0
    assert further.out == (
        "imported   0\nunchanged  1\nleft out   0\n"
        "nothing changes: every label equals the mask that is there; go on with two\n"
    )
    assert bytes_of(tmp_path / "two") == before
    assert not (tmp_path / "three").exists()


def test_masks_wait_beside_the_new_version_and_leave_nothing(curate: Any, tmp_path: Path) -> None:
    write_png(tmp_path / "masks" / "1.png", NEW)
    write_png(tmp_path / ".two.masks" / "0.png", OLD)  # left by an import that was killed
    assert curate("label", "import", "one", "masks", "--out", "two").code == 0
    np.testing.assert_array_equal(open_dataset(tmp_path / "two").target(open_dataset(tmp_path / "two").rows()[0]), NEW)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["masks", "one", "two"]
    assert list(verify(open_dataset(tmp_path / "two"))) == []


def test_a_damaged_mask_of_the_dataset_costs_one_label(curate: Any, tmp_path: Path) -> None:
    for name in ("1", "2"):
        write_png(tmp_path / "labels" / f"pairs-{name}.png", NEW)
    mask = tmp_path / "one" / "masks" / "pairs-1.png"
    mask.write_bytes(b"torn")
    result = curate("label", "import", "one", "labels", "--out", "two")
    assert (result.code, result.out.splitlines()[0]) == (0, "imported   1")
    assert result.err == (
        "left out: labels/pairs-1.png: the mask of its sample pairs-1 cannot be read: one/masks/pairs-1.png: "
        "is not an image Pillow can read. `curate check one` says what else is wrong\n"
    )
    mask.unlink()
    result = curate("label", "import", "one", "labels", "--out", "three")
    assert (result.code, result.err.splitlines()[-1]) == (
        1,
        "error: one/masks/pairs-1.png: is missing, so that no version can be made of one. "
        "`curate check one` lists what else is",
    )


def test_other_content_at_out_needs_force(curate: Any, tmp_path: Path) -> None:
    write_png(tmp_path / "masks" / "1.png", NEW)
    assert curate("label", "import", "one", "masks", "--out", "two").code == 0
    write_png(tmp_path / "masks" / "2.png", NEW)
    refused = curate("label", "import", "one", "masks", "--out", "two")
    assert (refused.code, refused.err) == (
        1,
        "error: two: exists already. Choose another --out, or pass --force to replace it\n",
    )
    assert curate("label", "import", "one", "masks", "--out", "two", "--force").code == 0
    assert read_table(tmp_path / "two" / "edits.parquet", schema.EDITS).height == 2
    in_place = curate("label", "import", "one", "masks", "--out", "one", "--force")
    assert (in_place.code, "a version never changes" in in_place.err) == (2, True)


def test_nothing_that_could_be_imported_writes_nothing(curate: Any, tmp_path: Path) -> None:
    write_png(tmp_path / "masks" / "9.png", NEW)
    result = curate("label", "import", "one", "masks", "--out", "two")
    assert result.code == 1
    assert result.err.splitlines()[-1] == (
        "error: masks: none of 1 labels could be imported, for the reasons above; nothing was written"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["masks", "one"]


def test_a_dry_run_writes_nothing(curate: Any, tmp_path: Path) -> None:
    write_png(tmp_path / "masks" / "1.png", NEW)
    result = curate("label", "import", "one", "masks", "--dry-run")
    assert (result.code, result.out.splitlines()[0]) == (0, "imported   1")
    assert result.out.splitlines()[-1] == "dry run: nothing was written"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["masks", "one"]


def test_json_is_one_object_on_stdout(curate: Any, tmp_path: Path) -> None:
    write_png(tmp_path / "masks" / "1.png", NEW)
    write_png(tmp_path / "masks" / "9.png", NEW)
    written = json.loads(curate("label", "import", "one", "masks", "--out", "two", "--json").out)
    header = open_dataset(tmp_path / "two").header
    assert written == {
        "status": "written",
        "format": "png",
        "imported": ["pairs-1"],
        "added": [],
        "dropped": [],
        "unchanged": [],
        "left_out": [{"file": "masks/9.png", "reason": written["left_out"][0]["reason"]}],
        "notes": [],
        "median_iou": 1 / 3,
        "out": "two",
        "version": 2,
        "digest": header.digest,
        "parent": header.parent,
    }
    (tmp_path / "masks" / "1.png").unlink()
    nothing = curate("label", "import", "one", "masks", "--out", "three", "--json")
    assert (nothing.code, json.loads(nothing.out)["status"], json.loads(nothing.out)["out"]) == (1, "nothing", None)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["one", "masks"], 2, "--out NEW is missing"),
        (["one", "gone", "--out", "two"], 1, "gone: no such file or folder"),
        (["gone", "masks", "--out", "two"], 1, "gone: is not a dataset"),
        (["one", "masks", "--out", "two", "--person", "anna"], 2, "PNG masks hold values from 0 to 65535 and no names"),
        (["one", "masks", "--out", "two", "--person", " , "], 2, "--person: names or values are missing"),
        (["one", "masks", "--out", "two", "--format", "labelme"], 1, "masks: holds no .json file"),
        (["one", "masks", "--out", "two", "--format", "psd"], 2, "Invalid value for '--format'"),
        (["one", "masks", "--out", "two", "--on-conflict", "latest"], 2, "Invalid value for '--on-conflict'"),
        (
            ["one", "one", "--out", "two"],
            1,
            "one: is a dataset version, and no export of a tool. Its own masks lie in one/masks",
        ),
        (["one", "empty", "--out", "two"], 1, "empty: holds nothing, and no label of a format known: png, matlab"),
        (["one", "text", "--out", "two"], 1, "text: holds 1 suffixless, 1 .jpg and 1 .txt files, and no label"),
        (["one", "torn.json", "--out", "two"], 1, "torn.json at line 1, byte 12: is no whole JSON"),
        (["one", "mixed", "--out", "two"], 1, "mixed: holds 1 .json and 1 .png files: more than one kind of label"),
        (["one", "mixed-2", "--out", "two"], 1, "Choose one with --format png"),
    ],
)
def test_a_wrong_command_is_one_line(
    curate: Any, arguments: list[str], code: int, message: str, tmp_path: Path
) -> None:
    write_png(tmp_path / "masks" / "1.png", NEW)
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    for name in ("a.txt", "b", "c.JPG"):
        (tmp_path / "text" / name).write_text("")
    (tmp_path / "torn.json").write_text('{"shapes": [')
    write_png(tmp_path / "mixed" / "1.png", NEW)
    write_labelme(tmp_path / "mixed" / "2.json", [box("person", 0, 0, 1, 1)], (4, 4), None)
    write_png(tmp_path / "mixed-2" / "1.png", NEW)
    (tmp_path / "mixed-2" / "classes.json").write_text("{}")
    before = sorted(path.name for path in tmp_path.iterdir())
    result = curate("label", "import", *arguments)
    assert (result.code, result.out) == (code, "")
    assert message in result.err
    assert "Traceback" not in result.err
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_png_photographs_beside_their_json_are_not_masks(curate: Any, tmp_path: Path) -> None:
    write_labelme(tmp_path / "labels" / "1.json", [box("person", 1, 0, 3, 2)], (4, 4), "1.png")
    Image.fromarray(picture("1", (4, 4))).save(tmp_path / "labels" / "1.png")
    assert curate("label", "import", "one", "labels", "--out", "two").code == 0


def test_one_file_is_enough(curate: Any, tmp_path: Path) -> None:
    path = write_png(tmp_path / "pairs-1.png", NEW)
    assert curate("label", "import", "one", path.name, "--out", "two").code == 0
    path = write_labelme(tmp_path / "pairs-1.json", [box("person", 0, 0, 1, 1)], (4, 4), None)
    assert curate("label", "import", "one", path.name, "--out", "three").code == 0


def test_many_notes_are_counted(curate: Any, tmp_path: Path) -> None:
    dots = [shape("person", [(1, 1)], "point")] * 12
    write_labelme(tmp_path / "1.json", [box("person", 0, 0, 1, 1), *dots], (4, 4), None)
    result = curate("label", "import", "one", "1.json", "--out", "two")
    assert len(result.err.splitlines()) == 11
    assert result.err.splitlines()[-1] == "note: and 2 more of the kind; --json lists all"


def test_names_in_files_do_not_reach_the_terminal_as_they_are(curate: Any, tmp_path: Path) -> None:
    write_labelme(tmp_path / "labels" / "9.json", [], (4, 4), "\x1b[2J\nerror: all is lost\x07.jpg")
    result = curate("label", "import", "one", "labels", "--out", "two")
    assert result.code == 1
    assert "\x1b" not in result.err
    assert "\x07" not in result.err
    assert len(result.err.splitlines()) == 2


@given(
    st.lists(hnp.arrays(np.uint8, (5, 6), elements=st.sampled_from([0, 128, 255])), min_size=1, max_size=4),
    st.sampled_from(["replace", "union", "intersect"]),
)
@settings(derandomize=True, max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_datasets_own_masks_change_nothing(
    tmp_path_factory: pytest.TempPathFactory, targets: list[np.ndarray], policy: str
) -> None:
    folder = tmp_path_factory.mktemp("own")
    parent = make_dataset(folder / "one", {f"a-{number}": Photo(drawn) for number, drawn in enumerate(targets)})
    imported = import_labels(parent, folder / "two", Request(parent.root / "masks", on_conflict=policy))
    assert (imported.status, len(imported.intake.changes), imported.intake.refusals) == ("unchanged", len(targets), [])
    assert not (folder / "two").exists()


def test_a_hostile_export_is_refused_quickly_and_the_honest_file_comes_in(curate: Any, tmp_path: Path) -> None:
    folder = tmp_path / "labels"
    person = [box("person", 1, 0, 3, 2)]
    write_labelme(folder / "1.json", person, (4, 4), "1.png")
    write_labelme(folder / "far.json", [shape("person", [(1e300, 0), (0, 1e300), (1, 1)])], (4, 4), "2.png")
    write_labelme(folder / "giant.json", person, (2**31, 2**31), "2.png")
    write_labelme(folder / "up.json", person, (4, 4), "../../../../etc/passwd")
    write_labelme(folder / "bomb.json", [shape("person", [(0, 0), (3, 3)], "mask", mask=bomb())], (4, 4), "2.png")
    (folder / "deep.json").write_text('{"shapes": ' + "[" * 10**6)
    (folder / "nan.json").write_text('{"shapes": [{"label": "person", "points": [[NaN, 1]]}]}')
    before = sorted(path.as_posix() for path in tmp_path.rglob("*"))
    result = curate("label", "import", "one", "labels", "--out", "two")
    assert (result.code, result.out.splitlines()[:3]) == (0, ["imported   1", "unchanged  0", "left out   6"])
    assert [line.split(":")[1].strip().split(" ")[0] for line in result.err.splitlines()] == [
        f"labels/{name}.json" for name in ("bomb", "deep", "far", "giant", "nan", "up")
    ]
    written = sorted(path.as_posix() for path in tmp_path.rglob("*") if not path.is_relative_to(tmp_path / "two"))
    assert written == before


def bomb() -> str:
    """A little base64 that would become 400 megapixels."""
    buffer = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def dataset_of_photos(root: Path, images: Path, source: str) -> Dataset:
    """The photographs of a folder with a placeholder in the corner as their mask."""
    photos = {}
    for path in sorted(images.iterdir()):
        drawn = np.zeros(read_size_hw(path), np.uint8)
        drawn[:2, :2] = 255
        photos[f"{source}-{path.stem}"] = Photo(drawn, path, source)
    return make_dataset(root, photos)


@pytest.mark.real
def test_real_labelme_files_agree_with_labelmes_own_masks(real_data: Path, tmp_path: Path) -> None:
    reference = real_data / "labels" / "labelme-as-voc"
    parent = dataset_of_photos(tmp_path / "one", reference / "JPEGImages", "voc")
    imported = import_labels(parent, tmp_path / "two", Request(real_data / "labels" / "labelme"))
    assert sorted(imported.intake.edited) == ["voc-2011_000003", "voc-2011_000006"]
    assert [refusal.file.name for refusal in imported.intake.refusals] == ["2011_000025.json"]
    two = open_dataset(tmp_path / "two")
    assert two.samples["people"].to_list() == [2, 4, 1]
    for row in two.rows()[:2]:
        with Image.open(reference / "SegmentationClass" / f"{row['sample_id'].removeprefix('voc-')}.png") as image:
            theirs = np.array(image)
        ours = two.target(row)
        for one, other in ((ours == 255, theirs == 15), (ours == 128, theirs == 255)):
            assert np.count_nonzero(one & other) / np.count_nonzero(one | other) > 0.95  # theirs count the outline in


@pytest.mark.real
def test_every_real_mask_comes_in_or_is_named(real_data: Path, tmp_path: Path) -> None:
    masks = real_data / "humanseg" / "masks"
    parent = dataset_of_photos(tmp_path / "one", real_data / "humanseg" / "images", "pairs")
    imported = import_labels(parent, tmp_path / "two", Request(masks))
    assert len(imported.intake.edited) + len(imported.intake.refusals) == len(list(masks.iterdir()))
    assert sorted(refusal.file.name for refusal in imported.intake.refusals) == ["267.png", "79.png"]
    two = open_dataset(tmp_path / "two")
    assert list(verify(two)) == []
    for row in two.rows()[::10]:
        if row["origin"] == "hand":
            with Image.open(masks / f"{row['sample_id'].removeprefix('pairs-')}.png") as image:
                theirs = np.array(image.resize((row["width"], row["height"]), Image.Resampling.NEAREST)) == 255
            np.testing.assert_array_equal(two.target(row) == 255, theirs)


def test_the_samples_labels_come_in_whole(sample: Path, tmp_path: Path) -> None:
    labels = sorted((sample / "labels").glob("*.json"))
    images = tmp_path / "images"
    images.mkdir()
    for path in labels:
        name = Path(json.loads(path.read_bytes())["imagePath"]).name
        shutil.copyfile(next((sample / "coco").glob(f"*2017/{name}")), images / name)
    parent = dataset_of_photos(tmp_path / "one", images, "coco")
    imported = import_labels(parent, tmp_path / "two", Request(sample / "labels"))
    assert (imported.format, imported.intake.refusals) == ("labelme", [])
    assert len(imported.intake.edited) == len(labels) > 0
    assert open_dataset(tmp_path / "two").samples.filter(pl.col("origin") == "hand").height == len(labels)


def test_errors_have_types(tmp_path: Path) -> None:
    parent = make_dataset(tmp_path / "one", {"a-1": Photo(OLD)})
    with pytest.raises(MissingError):
        import_labels(parent, None, Request(tmp_path / "gone"))
    with pytest.raises(MissingError):
        import_labels(parent, None, Request(tmp_path / "gone", format="png"))
    with pytest.raises(FormatError):
        import_labels(parent, None, Request(parent.root))
    with pytest.raises(UsageError):
        import_labels(parent, parent.root, Request(parent.root / "masks"))
