"""Images sent out and taken in again: the same masks, to the pixel or to what was said is lost."""

from __future__ import annotations

import json
import os
import re
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from curate import schema
from curate.cli import main
from curate.dataset import Dataset, write_table
from curate.errors import ExistsError, FormatError, MissingError, UsageError
from curate.masks import PERSON, Mask, SizeHW, iou
from label.formats.labelstudio import pack, unpack
from label.formats.record import Options
from label.importing import Request, import_labels
from label.outlining import TOLERANCE_PX, Points, iou_kept, outlines_by_part
from label.tasks import send
from label.writers import WRITERS
from tests.label.making import Photo, make_dataset

SIZE: SizeHW = (60, 80)
EXACT = ("cvat", "labelstudio", "coco", "png")


def blob(seed: int, share: float = 0.5) -> np.ndarray[Any, Any]:
    """A mask of several parts, some with holes."""
    noise = np.random.default_rng(seed).random((SIZE[0] // 10 + 1, SIZE[1] // 10 + 1))
    smooth = np.asarray(Image.fromarray(noise.astype(np.float32)).resize(SIZE[::-1], Image.Resampling.BICUBIC))
    return smooth > share


def ring() -> np.ndarray[Any, Any]:
    """A ring, whose hole has an island."""
    rows, columns = np.ogrid[: SIZE[0], : SIZE[1]]
    far = np.hypot(rows - 30, columns - 40)
    return ((far < 25) & (far > 12)) | (far < 5)


@pytest.fixture
def one(tmp_path: Path) -> Dataset:
    first = np.where(blob(1), np.uint8(PERSON), np.uint8(0))
    first[:5] = np.where(first[:5] == PERSON, PERSON, 128)
    photos = {
        "pairs-a": Photo(first),
        "pairs-b": Photo(np.where(ring(), np.uint8(PERSON), np.uint8(0)), changes={"tags": ["relabel"], "weight": 0.0}),
        "pairs-c": Photo(np.full(SIZE, 128, np.uint8), changes={"split": "pool", "people": 0, "area": 0.0}),
    }
    return make_dataset(tmp_path / "one", photos)


def as_annotated(path: Path) -> Path:
    """Label Studio's tasks as an annotator hands them in who takes over every prediction."""
    tasks = json.loads((path / "tasks.json").read_text())
    for task in tasks:
        task["annotations"] = [{"result": one["result"], "completed_by": 1} for one in task.pop("predictions")]
    (path / "tasks.json").write_text(json.dumps(tasks))
    return path


@pytest.mark.parametrize("tool", WRITERS)
def test_what_goes_out_and_comes_in_unchanged_changes_nothing(tool: str, one: Dataset, tmp_path: Path) -> None:
    sent = send(one, tmp_path / "out", tool, ["pairs-b", "pairs-a"])
    assert (sent.names, sent.started) == (["pairs-b", "pairs-a"], 2)
    assert sorted(path.suffix for path in (tmp_path / "out" / "images").iterdir())[-2:] == [".png", ".png"]
    path = as_annotated(sent.out) if tool == "labelstudio" else sent.out
    path = path / "masks" if tool == "png" else path
    options = Options(ignore=("__ignore__",)) if tool not in ("png", "coco") else Options()
    intake = import_labels(one, None, Request(path, tool, options)).intake
    assert (set(intake.changes), intake.refusals) == ({"pairs-a", "pairs-b"}, [])
    if tool in EXACT:
        assert (sent.least_iou, [one for one in intake.edited if one != "pairs-b"]) == (1.0, [])
        assert intake.changes["pairs-b"].mask is None, "only the reviewer's tag is taken off"
    else:
        assert sent.least_iou is not None
        assert 0.9 < sent.least_iou < 1
        for change in intake.edited.values():
            assert change.edit is not None
            assert change.edit["iou_old_new"] >= sent.least_iou - 1e-9
        exact = send(one, tmp_path / "exact", tool, ["pairs-a", "pairs-b"], tolerance_px=0)
        assert exact.least_iou == 1.0


def outlines(mask: Mask, tolerance_px: float = TOLERANCE_PX) -> list[Points]:
    return [outline for part in outlines_by_part(mask, tolerance_px) for outline in part]


@given(st.integers(0, 10_000), st.sampled_from([0.3, 0.5, 0.7]))
@settings(derandomize=True, max_examples=40, deadline=None)
def test_outlines_without_tolerance_are_the_mask(seed: int, share: float) -> None:
    mask = blob(seed, share)
    assert iou_kept(mask, outlines(mask, 0)) == 1.0
    noise = np.random.default_rng(seed).random((13, 17)) > share
    assert iou_kept(noise, outlines(noise, 0)) == 1.0


@given(st.integers(0, 10_000), st.sampled_from([1.0, 3.0, 8.0]))
@settings(derandomize=True, max_examples=30, deadline=None)
def test_every_outline_covers_a_pixel(seed: int, tolerance_px: float) -> None:
    noise = np.random.default_rng(seed).random((13, 17)) > 0.6
    for outline in outlines(noise, tolerance_px):
        assert iou_kept(np.zeros_like(noise), [outline]) == 0.0


def test_the_loss_is_told_and_a_tolerance_is_for_polygons(curate: Any) -> None:
    words = ["label", "export", "one", "--ids", "pairs-1"]
    told = "out: 1 image for {}, 1 with a mask to start from, {}\n"
    assert curate(*words, "--to", "cvat", "--out", "out").out == told.format("cvat", "to the pixel")
    shown = curate(*words, "--to", "labelme", "--tolerance", "2", "--out", "out", "--force").out
    assert re.fullmatch(told.format("labelme", r"at a loss of IoU of 0\.\d{4} on average \(most 0\.\d{4}\)"), shown)
    refused = curate(*words, "--to", "cvat", "--tolerance", "5", "--out", "two")
    assert (refused.code, refused.err) == (
        2,
        "error: --tolerance: is for polygons, and cvat gets every pixel. Leave it out\n",
    )


def test_a_hole_stays_a_hole() -> None:
    drawn = outlines(ring())
    assert len(drawn) >= 3
    assert iou_kept(ring(), drawn) > 0.95


@given(st.integers(0, 10_000))
@settings(derandomize=True, max_examples=30, deadline=None)
def test_a_brush_is_packed_to_the_pixel(seed: int) -> None:
    mask = blob(seed)
    values = unpack(pack(mask), mask.size * 4)
    np.testing.assert_array_equal(values.reshape(-1, 4), np.repeat(mask.ravel() * np.uint8(255), 4).reshape(-1, 4))


def test_a_zip_is_what_the_folder_is(one: Dataset, tmp_path: Path) -> None:
    sent = send(one, tmp_path / "out.zip", "cvat", ["pairs-a"])
    with zipfile.ZipFile(sent.out) as archive:
        assert {"annotations.xml", "labels.json", "images/pairs-a.png"} <= set(archive.namelist())
    intake = import_labels(one, None, Request(sent.out)).intake
    assert (set(intake.changes), intake.edited) == ({"pairs-a"}, {})
    with pytest.raises(ExistsError):
        send(one, tmp_path / "out.zip", "cvat", ["pairs-a"])
    send(one, tmp_path / "out.zip", "cvat", ["pairs-b"], force=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "out.zip"]


def test_a_zip_is_the_same_whatever_the_clock_says(one: Dataset, tmp_path: Path) -> None:
    zips = []
    for year in (1970, 2020, 2200):
        for photo in (one.root / "images").iterdir():
            os.utime(photo, ((year - 1970) * 365 * 86400,) * 2)
        zips.append(send(one, tmp_path / f"{year}.zip", "png", ["pairs-a"]).out.read_bytes())
    assert zips[0] == zips[1] == zips[2]


def test_a_zip_that_is_no_export_alone_is_never_replaced(one: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "precious.zip"
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("thesis.tex", "")
    for told in ("exists and is not an export", "holds 'thesis.tex' beside an export"):
        before = out.read_bytes()
        with pytest.raises(ExistsError, match=f"precious.zip: {told}, so it is never replaced"):
            send(one, out, "png", ["pairs-a"], force=True)
        assert out.read_bytes() == before
        send(one, tmp_path / "other.zip", "png", ["pairs-a"], force=True)
        out.write_bytes((tmp_path / "other.zip").read_bytes())
        with zipfile.ZipFile(out, "a") as archive:
            archive.writestr("thesis.tex", "")
    out.write_bytes(b"no zip")
    with pytest.raises(ExistsError, match="not an export"):
        send(one, out, "png", ["pairs-a"], force=True)


def test_where_a_zip_cannot_be_is_told_by_its_own_name(one: Dataset, tmp_path: Path) -> None:
    (tmp_path / "dir.zip").mkdir()
    with pytest.raises(ExistsError, match=r"/dir\.zip: is a folder, and the name of a zip was expected"):
        send(one, tmp_path / "dir.zip", "png", ["pairs-a"], force=True)
    with pytest.raises(UsageError, match=r"/one/a\.zip: is the dataset .*, inside it"):
        send(one, one.root / "a.zip", "png", ["pairs-a"])
    assert send(one, tmp_path / "new" / "a.zip", "png", ["pairs-a"]).out.is_file()


def test_what_a_killed_export_left_is_cleared(one: Dataset, tmp_path: Path) -> None:
    (tmp_path / ".a.zip.partial").mkdir()
    (tmp_path / ".a.zip.partial" / "half").write_text("")
    send(one, tmp_path / "a.zip", "png", ["pairs-a"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "one"]


def test_without_names_those_to_be_relabelled_come_before_the_pool(one: Dataset, tmp_path: Path) -> None:
    sent = send(one, tmp_path / "out", "png")
    assert (sent.names, sent.started) == (["pairs-b", "pairs-c"], 1)
    assert [path.name for path in (tmp_path / "out" / "masks").iterdir()] == ["pairs-b.png"]


def test_a_runs_predictions_are_the_start_and_its_suspects_come_first(one: Dataset, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(MissingError, match="curate train score"):
        send(one, tmp_path / "out", "png", ["pairs-a"], run)
    (run / "predictions").mkdir(parents=True)
    predicted = blob(7)
    for name in ("pairs-a", "pairs-c"):
        Image.fromarray(np.where(predicted, np.uint8(200), np.uint8(90))).save(run / "predictions" / f"{name}.png")
    suspects = [{"sample_id": "pairs-a", "suspicion": 0.9, "reason": "hole"}]
    write_table(run / "suspects.parquet", schema.table(suspects, schema.SUSPECTS))
    sent = send(one, tmp_path / "out", "png", ["pairs-c", "pairs-b", "pairs-a"], run)
    assert (sent.names, sent.started) == (["pairs-a", "pairs-c", "pairs-b"], 2)
    drawn = np.asarray(Image.open(tmp_path / "out" / "masks" / "pairs-c.png")) == PERSON
    assert iou(drawn, predicted) == 1.0


def test_decisions_say_what_goes_out(
    one: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def curate(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stopped:
            main(["label", "export", "one", *words])
        return int(str(stopped.value.code)), *capsys.readouterr()

    lines = [{"sample_id": "pairs-a", "verdict": "relabel"}, {"sample_id": "pairs-b", "verdict": "hard"}]
    (tmp_path / "decisions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    code, out, _ = curate("--ids", "decisions.jsonl", "--to", "labelme", "--out", "out", "--json")
    assert (code, json.loads(out)["names"]) == (0, ["pairs-a"])
    code, _, err = curate("--ids", "pairs-a", "--to", "labelme", "--out", "out")
    assert code == 1
    assert "holds an export already" in err


@pytest.mark.parametrize(
    ("asked", "code", "told"),
    [
        ("pairs-z", 2, "--ids pairs-z: is no sample of one. Did you mean pairs-"),
        ("zebra", 2, "--ids zebra: is no sample of one. Its sample_ids stand in its samples.parquet"),
        (",".join(["pairs-1"] * 99 + ["pairs-z"]), 2, "--ids pairs-z: is no sample of one"),
        ("z" * 9999, 2, f"--ids {'z' * 100}: is no sample of one"),
        ("", 2, "--ids: names no image. Name sample_ids, comma-separated, or a file of them, one a line"),
        ("hard.jsonl", 2, "--ids hard.jsonl: none of its 1 verdicts is relabel, so no image is named"),
        ("strange.jsonl", 2, "strange.jsonl: pairs-z: is no sample of one. Did you"),
        ("gone.txt", 1, "--ids gone.txt: no such file. Check the path"),
        ("lists/gone", 1, "--ids lists/gone: no such file. Check the path"),
        ("ids.txt", 2, "ids.txt line 3: pairs-z: is no sample of one. Did you mean pairs-"),
        ("empty.txt", 2, "--ids: names no image."),
    ],
)
def test_ids_that_cannot_be_followed_are_told(asked: str, code: int, told: str, curate: Any) -> None:
    verdicts = {"hard.jsonl": ("pairs-2", "hard"), "strange.jsonl": ("pairs-z", "relabel")}
    for name, (sample_id, verdict) in verdicts.items():
        Path(name).write_text(json.dumps({"sample_id": sample_id, "verdict": verdict}))
    Path("ids.txt").write_text("pairs-1\n\npairs-z\n")
    Path("empty.txt").write_text("\n")
    for words in (["export", "one", "--to", "png"], ["undo", "one"]):
        result = curate("label", *words, "--ids", asked, "--out", "two")
        assert (result.code, result.out, result.err.count("\n")) == (code, "", 1)
        assert result.err.startswith(f"error: {told}")
        assert len(result.err) < 250


def test_many_ids_are_no_path(curate: Any) -> None:
    result = curate("label", "export", "one", "--ids", ",".join(["pairs-1"] * 99), "--to", "png", "--out", "out")
    assert (result.code, result.err) == (0, "")


def test_what_cannot_be_read_costs_no_other_image(curate: Any, tmp_path: Path) -> None:
    (tmp_path / "one" / "masks" / "pairs-1.png").unlink()
    result = curate("label", "export", "one", "--ids", "pairs-1,pairs-2", "--to", "coco", "--out", "out")
    assert (result.code, result.err) == (
        0,
        "left out: one/masks/pairs-1.png: cannot be opened (No such file or directory)\n"
        "note: `curate check one` says what else is missing or damaged\n",
    )
    assert [path.name for path in (tmp_path / "out" / "images").iterdir()] == ["pairs-2.png"]
    result = curate("label", "export", "one", "--ids", "pairs-1", "--to", "coco", "--out", "two")
    assert (result.code, result.err) == (
        1,
        "error: one: none of these images can be sent: one/masks/pairs-1.png: cannot be opened "
        "(No such file or directory)\n",
    )


def test_what_nobody_has_labelled_yet_is_told(one: Dataset, tmp_path: Path) -> None:
    for names in (["pairs-a", "pairs-c"], ["pairs-c", "pairs-a"]):
        sent = send(one, tmp_path / "out", "labelstudio", names, force=True)
        intake = import_labels(one, None, Request(sent.out)).intake
        assert [refusal.message.partition(": ")[2][:40] for refusal in intake.refusals] == [
            "nobody has annotated this task yet, it h"
        ] * 2
    sent = send(one, tmp_path / "png", "png", ["pairs-c"])
    with pytest.raises(FormatError, match="to which nobody has added a mask yet"):
        import_labels(one, None, Request(sent.out))


def test_nothing_to_send_is_said(one: Dataset, tmp_path: Path) -> None:
    samples = one.samples.filter(pl.col("sample_id") == "pairs-a")
    alone = replace(one, scan=samples.lazy())
    with pytest.raises(UsageError, match="no image is tagged relabel, and the pool is empty"):
        send(alone, tmp_path / "out", "png")
    assert not (tmp_path / "out").exists()
