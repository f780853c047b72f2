"""`curate label check`: datasets and exports looked at, told, drawn and mended."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from curate.checks.version import verify
from curate.dataset import open_dataset, read_edits
from curate.masks import IGNORE, PERSON, Mask
from label.findings import MENDABLE
from label.mend import mended_target
from tests.drawing import mask as drawn
from tests.label.making import Photo, make_dataset, tree
from tests.label.scenes import SPOILED, moved, person_mask, photograph, spotted, target, with_hole
from tests.onnx_models import brightness


def make_scenes(out: Path, labels: Mapping[str, Mask], splits: Mapping[str, str] | None = None) -> Path:
    """A dataset of photographs of the same person, each a little aside of the last, with these labels."""
    photos = {}
    for number, (name, label) in enumerate(labels.items()):
        image = out.parent / f"{name}.png"
        Image.fromarray(photograph(person_mask(), number)).save(image)
        changes = {"split": (splits or {}).get(name, "train")}
        photos[name] = Photo(target(label), image, changes=changes)
    make_dataset(out, photos)
    return out


def check_json(curate: Any, *arguments: str) -> dict[str, Any]:
    """What `label check --json` prints."""
    result: dict[str, Any] = json.loads(curate("label", "check", *arguments, "--json").out)
    return result


def test_a_sound_dataset_has_no_findings(curate: Any, tmp_path: Path) -> None:
    make_scenes(tmp_path / "set", {"pairs-1": person_mask()})
    result = curate("label", "check", "set")
    assert (result.code, result.out, result.err) == (0, "set: 1 label, nothing found\n", "")


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A dataset with a label of each fault, and one without."""
    labels = {f"pairs-{name.replace(' ', '-')}": spoil(person_mask()) for name, (_, spoil) in SPOILED.items()}
    return str(make_scenes(tmp_path_factory.mktemp("spoiled") / "set", {"pairs-sound": person_mask(), **labels}))


def test_each_fault_is_told_with_its_picture(curate: Any, spoiled: str) -> None:
    result = curate("label", "check", spoiled, "--all")
    assert result.code == 1
    for name, (kind, _) in SPOILED.items():
        assert f"{spoiled}/masks/pairs-{name.replace(' ', '-')}.png: {kind} (" in result.out
    assert "pairs-sound" not in result.out


def test_all_is_told_as_json_and_drawn_on_a_sheet(curate: Any, spoiled: str, tmp_path: Path) -> None:
    before = tree(Path(spoiled))
    told = check_json(curate, spoiled, "--sheet", "sheet.png")
    assert set(told["counts"]) >= {kind for kind, _ in SPOILED.values()}
    assert told["labels"] == len(SPOILED) + 1
    severities = [finding["severity"] for finding in told["findings"]]
    assert severities == sorted(severities, reverse=True)
    assert set(told["suspects"]) == {finding["picture"] for finding in told["findings"] if finding["severity"] >= 0.5}
    with Image.open(tmp_path / "sheet.png") as page:
        assert page.width == 1560
        assert page.height > 200 * len(told["counts"])
    assert tree(Path(spoiled)) == before


def test_findings_below_a_severity_are_left_out(curate: Any, tmp_path: Path) -> None:
    make_scenes(tmp_path / "set", {"pairs-1": spotted(person_mask()), "pairs-2": with_hole(person_mask())})
    assert set(check_json(curate, "set")["counts"]) == {"gap", "specks", "holes"}
    told = check_json(curate, "set", "--min-severity", "0.5")
    assert {finding["kind"] for finding in told["findings"]} == {"gap"}


def test_what_has_no_label_is_not_looked_at(curate: Any, tmp_path: Path) -> None:
    nobody = np.zeros_like(person_mask())
    make_scenes(tmp_path / "set", {"pairs-1": nobody, "pairs-2": nobody}, {"pairs-1": "pool", "pairs-2": "background"})
    assert curate("label", "check", "set").out == "set: 0 labels, nothing found\n"


def test_empty_strange_and_misfitting_masks_are_told(curate: Any, tmp_path: Path) -> None:
    labels = {f"pairs-{number}": person_mask() for number in range(1, 6)}
    folder = make_scenes(tmp_path / "set", labels | {"pairs-6": np.zeros_like(person_mask())}) / "masks"
    full = target(person_mask())
    Image.fromarray(np.where(full > 0, 7, 0).astype(np.uint8)).save(folder / "pairs-1.png")
    Image.fromarray(full.T.copy()).save(folder / "pairs-2.png")
    Image.fromarray(full[:100]).save(folder / "pairs-3.png")
    (folder / "pairs-4.png").write_bytes(b"\x89PNG")
    (folder / "pairs-5.png").unlink()
    (tmp_path / "set" / "images" / "pairs-6.png").write_bytes(b"")
    found = {
        (finding["picture"], finding["kind"]): finding["found"] for finding in check_json(curate, "set")["findings"]
    }
    assert found["pairs-1", "unreadable"].startswith("holds the value 7; a mask holds 0 background")
    assert found["pairs-2", "turned"] == "is 420x320 (HxW) on an image of 320x420: it fits turned by a quarter"
    assert found["pairs-3", "size"] == "is 100x420 (HxW) on an image of 320x420"
    assert ("pairs-4", "unreadable") in found
    assert ("pairs-5", "unreadable") in found
    assert found["pairs-6", "empty"] == "shows no person"
    assert ("pairs-6", "unreadable") in found


def test_the_mask_of_another_picture_is_told_of_both(curate: Any, tmp_path: Path) -> None:
    make_scenes(
        tmp_path / "set", {"pairs-1": person_mask(), "pairs-2": person_mask(), "pairs-3": spotted(person_mask())}
    )
    findings = [one for one in check_json(curate, "set")["findings"] if one["kind"] == "identical"]
    assert {one["picture"]: one["found"] for one in findings} == {
        "pairs-1": "is the same to the pixel as set/masks/pairs-2.png",
        "pairs-2": "is the same to the pixel as set/masks/pairs-1.png",
    }


def test_copies_of_one_picture_may_have_one_mask(curate: Any, tmp_path: Path) -> None:
    image = tmp_path / "photo.png"
    Image.fromarray(photograph(person_mask())).save(image)
    same = {f"pairs-{number}": Photo(target(person_mask()), image, changes={"group": "pairs-1"}) for number in (1, 2)}
    make_dataset(tmp_path / "set", same)
    assert curate("label", "check", "set").code == 0


def test_a_model_gives_a_second_opinion(curate: Any, tmp_path: Path) -> None:
    one, other = moved(person_mask(), -100, 0), moved(person_mask(), 110, 0)
    image = tmp_path / "photo.png"
    Image.fromarray(np.where((one | other)[..., None], np.uint8(240), np.uint8(20)).repeat(3, axis=2)).save(image)
    make_dataset(tmp_path / "set", {"pairs-1": Photo(target(one), image), "pairs-2": Photo(target(one | other), image)})
    brightness(tmp_path / "model.onnx", (1, 3, 80, 105), 1)
    assert curate("label", "check", "set").code == 0
    told = check_json(curate, "set", "--model", "model.onnx", "--normalise", "unit")
    found = {(finding["picture"], finding["kind"]): finding["bbox_xywh"] for finding in told["findings"]}
    assert found.keys() == {("pairs-1", "missed-person"), ("pairs-1", "unlike-model")}
    assert found["pairs-1", "missed-person"][0] > 210


def write_export(folder: Path, labels: Mapping[str, Mask]) -> Path:
    """Photographs and PNG masks of the same names, in two folders."""
    for number, (name, label) in enumerate(labels.items()):
        for kind, raster, suffix in (
            ("photos", photograph(person_mask(), number), "jpg"),
            ("masks", target(label), "png"),
        ):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(raster).save(folder / kind / f"{name}.{suffix}", quality=95)
    return folder


def test_an_export_is_looked_at_beside_its_photographs(curate: Any, tmp_path: Path) -> None:
    write_export(tmp_path / "export", {"1": person_mask(), "2": moved(person_mask(), 12, 9)})
    told = check_json(curate, "export")
    assert told["labels"] == 2
    suspected = {(finding["where"], finding["kind"]) for finding in told["findings"] if finding["severity"] >= 0.5}
    assert ("export/masks/2.png", "shifted") in suspected
    assert {where for where, _ in suspected} == {"export/masks/2.png"}
    away = tmp_path / "elsewhere"
    (tmp_path / "export" / "photos").rename(away)
    assert check_json(curate, "export", "--min-severity", "0.5")["findings"] == []
    assert "shifted" in check_json(curate, "export", "--min-severity", "0.5", "--images", "elsewhere")["counts"]


def test_a_zip_is_told_of_by_its_own_name(curate: Any, tmp_path: Path) -> None:
    write_export(tmp_path / "export", {"1": moved(person_mask(), 12, 9)})
    (tmp_path / "export" / "masks" / "2.png").write_bytes(b"\x89PNG broken")
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        for file in sorted((tmp_path / "export").rglob("*.*")):
            archive.write(file, file.relative_to(tmp_path / "export"))
    found = {(finding["where"], finding["kind"]) for finding in check_json(curate, "export.zip")["findings"]}
    assert ("export.zip/masks/1.png", "shifted") in found
    assert ("export.zip/masks/2.png", "refused") in found


def test_photographs_that_are_not_at_hand_are_told(curate: Any, tmp_path: Path) -> None:
    write_export(tmp_path / "export", {"1": person_mask(), "2": person_mask()})
    (tmp_path / "export" / "photos" / "2.jpg").unlink()
    told = "note: 1 of 2 pictures: the photograph is not at hand; only the labels themselves were looked at"
    assert told in curate("label", "check", "export").err
    assert check_json(curate, "export")["without_photograph"] == 1


def test_what_was_found_is_told_before_a_sheet_fails(curate: Any, tmp_path: Path) -> None:
    make_scenes(tmp_path / "set", {"pairs-1": with_hole(person_mask())})
    (tmp_path / "file").touch()
    result = curate("label", "check", "set", "--sheet", "file/sheet.png")
    assert result.code == 1
    assert "set/masks/pairs-1.png: gap (" in result.out
    assert "file" in result.err


def test_annotators_who_disagree_are_told(curate: Any, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    folder.mkdir()
    Image.fromarray(photograph(person_mask())).save(folder / "photo.jpg", quality=95)

    def annotation(number: int, left: float) -> dict[str, Any]:
        points = [[left, 10], [left + 40, 10], [left + 40, 90], [left, 90]]
        value = {"points": points, "polygonlabels": ["person"]}
        result = {"type": "polygonlabels", "value": value, "original_width": 420, "original_height": 320}
        return {"id": number, "result": [result], "completed_by": number}

    task = {"data": {"image": "/data/upload/photo.jpg"}, "annotations": [annotation(1, 20.0), annotation(2, 45.0)]}
    (folder / "tasks.json").write_text(json.dumps([task]))
    told = [one for one in check_json(curate, "export")["findings"] if one["kind"] == "annotators"]
    assert len(told) == 1
    assert "has an IoU of 0.23 with" in told[0]["found"]
    assert told[0]["picture"] == "photo.jpg"


def test_specks_and_holes_are_mended_in_a_new_version(curate: Any, tmp_path: Path) -> None:
    make_scenes(tmp_path / "set", {"pairs-1": spotted(person_mask()), "pairs-2": moved(person_mask(), 1, 0)})
    before = tree(tmp_path / "set")
    result = curate("label", "check", "set", "--fix", "specks,holes", "--out", "mended")
    assert result.code == 1
    assert result.out.endswith("mended: version 2 of people, 1 label mended\n")
    assert tree(tmp_path / "set") == before
    mended = open_dataset(tmp_path / "mended")
    assert list(verify(mended)) == []
    rows = mended.rows()
    assert (mended.target(rows[0]) == target(person_mask())).all()
    assert rows[0]["origin"] == open_dataset(tmp_path / "set").rows()[0]["origin"]
    edits = read_edits(mended.root)
    assert edits["tool"].to_list() == ["curate label check --fix"]
    assert 0.99 < edits["iou_old_new"][0] < 1
    assert curate("label", "check", "mended").code == 0
    again = curate("label", "check", "set", "--fix", "specks,holes", "--out", "mended")
    assert again.out == result.out
    undone = curate("label", "undo", "mended", "--out", "undone")
    assert undone.code == 0
    assert (open_dataset(tmp_path / "undone").target(rows[0]) == target(spotted(person_mask()))).all()
    nothing = curate("label", "check", "mended", "--fix", "holes", "--out", "more")
    assert nothing.out.endswith("nothing to mend: no label has what is to be fixed; nothing was written\n")
    assert not (tmp_path / "more").exists()


def test_one_kind_is_mended_without_the_other_and_what_is_not_counted_stays() -> None:
    label = target(spotted(person_mask()))
    label[0:2] = IGNORE
    for kind in MENDABLE:
        mended = mended_target(label, [kind])
        assert mended is not None
        assert ((mended == IGNORE) == (label == IGNORE)).all()
        assert ((mended == PERSON) ^ (label == PERSON)).sum() == {"specks": 5, "holes": 4}[kind]
    assert mended_target(target(drawn("##\n##")), MENDABLE) is None


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere"], "nowhere: no such file or folder. Check the path of the labels"),
        (["one", "--format", "png"], "one: is a dataset; --format"),
        (["one", "--fix", "shifted", "--out", "x"], "--fix shifted: cannot be mended safely. Those that can: specks"),
        (["one", "--fix", "holes"], "--fix and --out go together"),
        (["one", "--out", "x"], "--fix and --out go together"),
        (["one/masks", "--fix", "holes", "--out", "x"], "--fix: mends a dataset, and this is an export"),
        (["nowhere", "--fix", "holes", "--out", "x"], "nowhere: no such file or folder"),
        (["one", "--normalise", "unit"], "Name it: --model FILE.onnx"),
        (["one", "--model", "gone.onnx", "--normalise", "unit"], "gone.onnx: no such model"),
        (["one", "--force"], "--force replaces the dataset at --out"),
        (["one", "--fix", "holes", "--out", "one/new"], "one/new: lies inside"),
        (["one", "--sheet", "x.txt"], "--sheet x.txt: a sheet is a .png or a .jpg"),
        (["one/masks", "--images", "gone"], "--images gone: is not a folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistaken_call_is_told_in_one_line(curate: Any, arguments: list[str], told: str) -> None:
    result = curate("label", "check", *arguments)
    assert result.code in (1, 2)
    assert told in result.err
    assert len(result.err.strip().splitlines()) == 1
