"""`curate label import --add-images`: new photographs come in with their labels, and nothing that was there moves."""

from __future__ import annotations

import base64
import io
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from PIL import Image

from curate.checks.version import check_dataset
from curate.dataset import Dataset, open_dataset, read_edits
from curate.errors import MissingError, UsageError
from curate.masks import PERSON, SizeHW
from label.formats.record import Options
from label.importing import Imported, Request, import_labels
from label.undo import undo
from tests.curate.pictures import build, pairs_of, picture
from tests.label import exports
from tests.label.making import box, write_labelme, write_png

SIZE: SizeHW = (48, 64)
BIG = [("person", [(4.0, 4.0), (44.0, 4.0), (44.0, 44.0), (4.0, 44.0)])]
"""Labels of a person who covers half of the photograph."""


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures 0 to 11 and a dataset of them with folds; a person must cover a tenth. Never written to."""
    root = tmp_path_factory.mktemp("once")
    pairs = pairs_of(root / "built", {f"p{number}": number for number in range(12)})
    build(root / "one", pairs=[pairs], min_area=0.1, max_people=1, folds=2, split="60/20/20", seed=3)
    return root


@pytest.fixture
def one(once: Path, tmp_path: Path) -> Dataset:
    """That dataset, beside a test's own files."""
    shutil.copytree(once, tmp_path, dirs_exist_ok=True)
    return open_dataset(tmp_path / "one")


def photo(path: Path, seed: int, variant: int = 0) -> Path:
    """The picture of a number, `variant` further grey levels brighter."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(path, seed)
    if variant:
        with Image.open(path) as image:
            Image.fromarray((np.asarray(image).astype(int) + variant).clip(0, 255).astype(np.uint8)).save(path)
    return path


def labelled(folder: Path, photos: dict[str, int], side: float = 40) -> Path:
    """LabelMe files with their photographs beside them; the person is a square of this side."""
    for name, seed in photos.items():
        file = photo(folder / name, seed)
        with Image.open(file) as image:
            size_hw = (image.height, image.width)
        write_labelme(file.with_suffix(".json"), [box("person", 2, 2, 2 + side, 2 + side)], size_hw, file.name)
    return folder


def add(parent: Dataset, out: Path | None, path: Path, images: Sequence[Path] = (), **options: Any) -> Imported:
    return import_labels(parent, out, Request(path, add_images=True, images=tuple(images), **options))


def test_new_photographs_come_in_and_nothing_moves(one: Dataset, tmp_path: Path) -> None:
    imported = add(one, tmp_path / "two", labelled(tmp_path / "x", {"n1.png": 101, "n2.png": 102}))
    assert (imported.status, imported.dropped.height, imported.intake.refusals) == ("written", 0, [])
    two = open_dataset(tmp_path / "two")
    assert two.samples.filter(pl.col("source") == "pairs").equals(one.samples)
    added = two.samples.filter(pl.col("source") == "labels")
    assert added["sample_id"].to_list() == ["labels-n1", "labels-n2"]
    assert (set(added["origin"]), set(added["people"])) == ({"hand"}, {1})
    assert (two.root / "images" / "labels-n1.png").read_bytes() == (tmp_path / "x" / "n1.png").read_bytes()
    assert two.header.counts["images"] == 14
    assert two.header.funnel[0].remaining == one.header.funnel[0].remaining + 2
    edits = read_edits(two.root)
    assert edits.select("sample_id", "iou_old_new", "old_mask_sha256", "old_row", "new_mask_sha256").rows() == [
        (row["sample_id"], None, None, None, row["mask_sha256"]) for row in added.to_dicts()
    ]
    assert [(source.kind, source.name) for source in two.header.sources] == [("pairs", "pairs"), ("labels", "x")]
    assert not (two.root / "replaced").exists()
    assert check_dataset(two.root).findings == []


def test_a_folder_named_twice_holds_each_photograph_once(one: Dataset, tmp_path: Path) -> None:
    folder = labelled(tmp_path / "x", {"n1.png": 101, "in/n2.png": 102})
    for file in folder.rglob("*.json"):
        file.write_text(json.dumps(json.loads(file.read_text()) | {"imagePath": None}))
    for again in (folder, tmp_path / "y" / ".." / "x", folder / "in"):
        (tmp_path / "y").mkdir(exist_ok=True)
        assert sorted(add(one, None, folder, [again]).intake.added) == ["labels-n1", "labels-n2"]


def test_a_label_named_by_itself_finds_the_photograph_beside_it(one: Dataset, tmp_path: Path) -> None:
    folder = labelled(tmp_path / "x", {"n1.png": 101, "n2.png": 102, "in/n1.png": 103})
    file = folder / "n1.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"imagePath": None}))
    assert list(add(one, None, file).intake.added) == ["labels-n1"]


def test_a_label_without_a_photograph_says_what_helps(one: Dataset, tmp_path: Path) -> None:
    results = json.dumps([{"result": [], "model_version": "yolo"}])
    file = exports.text(tmp_path / "x" / "brush.json", results)
    (refusal,) = add(one, None, file).intake.refusals
    rename = "Rename brush.json, so that the two have one name, or name"
    assert f"a photograph is called brush. {rename} the folder of the photograph: --images DIR" in refusal.message
    photo(tmp_path / "photos" / "bus.png", 101)
    (refusal,) = add(one, None, file, [tmp_path / "photos"]).intake.refusals
    assert f"a photograph below --images is called brush. {rename} another folder" in refusal.message
    file = write_labelme(tmp_path / "labels" / "b.json", [], SIZE, "car.jpg")
    (refusal,) = add(one, None, file).intake.refusals
    assert "is called car.jpg or b. Rename the photograph, so that" in refusal.message


def test_splits_and_folds_are_those_of_the_build(one: Dataset, tmp_path: Path) -> None:
    photos = {f"n{number}.png": 100 + number for number in range(30)}
    add(one, tmp_path / "two", labelled(tmp_path / "x", photos))
    two = open_dataset(tmp_path / "two").samples
    build(
        tmp_path / "all",
        pairs=[pairs_of(tmp_path / "again", {name.removesuffix(".png"): seed for name, seed in photos.items()})],
        min_area=0.1,
        folds=2,
        split="60/20/20",
        seed=3,
    )
    both = two.join(open_dataset(tmp_path / "all").samples, on="image_sha256")
    assert both.height == 30
    assert both["split"].equals(both["split_right"], check_names=False)
    assert both["fold"].equals(both["fold_right"], check_names=False)
    assert set(both["split"]) == {"train", "val", "test"}
    assert set(both.filter(pl.col("split") == "train")["fold"]) == {0, 1}


def test_the_rules_of_the_build_drop_and_say_so(one: Dataset, tmp_path: Path) -> None:
    labelled(tmp_path / "x", {"large.png": 101})
    labelled(tmp_path / "x", {"small.png": 102}, side=6)
    two_people = photo(tmp_path / "x" / "two.png", 103)
    with Image.open(two_people) as image:
        size_hw = (image.height, image.width)
    write_labelme(
        two_people.with_suffix(".json"), [box("person", 0, 0, 20, 20), box("person", 30, 0, 60, 30)], size_hw, "two.png"
    )
    torn = photo(tmp_path / "x" / "torn.png", 104)
    write_labelme(torn.with_suffix(".json"), [box("person", 2, 2, 42, 42)], size_hw, "torn.png")
    torn.write_bytes(torn.read_bytes()[:-40])
    imported = add(one, tmp_path / "two", tmp_path / "x")
    assert sorted(imported.intake.added) == ["labels-large"]
    dropped = dict(imported.dropped.select("sample_id", "rule").iter_rows())
    assert dropped == {"labels-small": "area", "labels-two": "crowd", "labels-torn": "unreadable"}
    two = open_dataset(tmp_path / "two")
    assert two.samples.height + two.drops.height == two.header.funnel[0].remaining == 16
    assert check_dataset(two.root).findings == []


def test_the_same_export_twice_changes_nothing(one: Dataset, tmp_path: Path) -> None:
    labelled(tmp_path / "x" / "a", {"1.png": 101, "2.png": 102})
    labelled(tmp_path / "x" / "b", {"1.png": 103}, side=6)
    first = add(one, tmp_path / "two", tmp_path / "x")
    assert sorted(first.intake.added) == ["labels-2", "labels-a-1"]
    assert first.dropped["sample_id"].to_list() == ["labels-b-1"]
    assert add(one, tmp_path / "two", tmp_path / "x").status == "there already"
    two = open_dataset(tmp_path / "two")
    assert add(two, tmp_path / "three", tmp_path / "x").status == "unchanged"
    assert import_labels(two, None, Request(tmp_path / "x")).intake.edited == {}


def test_a_mended_label_of_a_dropped_photograph_comes_in(one: Dataset, tmp_path: Path) -> None:
    only = add(one, tmp_path / "two", labelled(tmp_path / "x", {"n.png": 101}, side=6))
    assert (only.status, only.intake.edited) == ("written", {})
    two = open_dataset(tmp_path / "two")
    assert (two.drops["sample_id"].to_list(), two.samples.height) == (["labels-n"], 12)
    add(two, tmp_path / "three", labelled(tmp_path / "x", {"n.png": 101}))
    three = open_dataset(tmp_path / "three")
    assert (three.drops.height, three.samples.height, three.header.funnel[0].remaining) == (0, 13, 13)
    assert check_dataset(three.root).findings == []


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_photograph_that_looks_like_one_joins_its_group(one: Dataset, tmp_path: Path, split: str) -> None:
    row = one.rows(split)[0]
    seed = int(row["sample_id"].removeprefix("pairs-p"))
    labelled(tmp_path / "x", {"copy.png": seed})
    photo(tmp_path / "x" / "copy.png", seed, variant=3)
    add(one, tmp_path / "two", tmp_path / "x")
    two = open_dataset(tmp_path / "two")
    (new,) = two.samples.filter(pl.col("source") == "labels").to_dicts()
    assert [new[key] for key in ("group", "split", "fold")] == [row[key] for key in ("group", "split", "fold")]
    assert check_dataset(two.root).findings == []


def test_one_that_may_not_be_doubled_is_dropped(one: Dataset, tmp_path: Path) -> None:
    path = one.root / "dataset.json"
    header = json.loads(path.read_text())
    path.write_text(json.dumps(header | {"recipe": header["recipe"] | {"duplicates": "near"}}))
    labelled(tmp_path / "x", {"copy.png": 4})
    photo(tmp_path / "x" / "copy.png", 4, variant=3)
    imported = add(open_dataset(one.root), tmp_path / "two", tmp_path / "x")
    assert imported.dropped.select("sample_id", "rule", "detail").rows() == [
        ("labels-copy", "duplicate", "is nearly the same picture as pairs-p4")
    ]


def test_a_name_that_is_known_means_that_sample_only_where_the_picture_does(one: Dataset, tmp_path: Path) -> None:
    labelled(tmp_path / "x", {"p1.png": 201, "p2.png": 2})
    photo(tmp_path / "x" / "p2.png", 2, variant=3)
    imported = add(one, tmp_path / "two", tmp_path / "x")
    assert sorted(imported.intake.edited) == ["labels-p1", "pairs-p2"]
    assert sorted(imported.intake.added) == ["labels-p1"]
    two = open_dataset(tmp_path / "two")
    assert check_dataset(two.root).findings == []
    other = add(two, tmp_path / "three", labelled(tmp_path / "y", {"p1.png": 202}))
    (name,) = other.intake.added
    assert name == f"labels-p1-{other.intake.added[name].row['image_sha256'][:6]}"
    three = open_dataset(tmp_path / "three")
    assert add(three, None, tmp_path / "y").status == add(three, None, tmp_path / "x").status == "unchanged"


def test_photographs_that_look_alike_stay_together_with_the_pool(tmp_path: Path) -> None:
    pairs = pairs_of(tmp_path / "built", {f"p{number}": number for number in range(6)})
    for number in range(8):
        photo(tmp_path / "pool" / f"q{number}.png", 300 + number)
    build(tmp_path / "one", pairs=[pairs], pool=[str(tmp_path / "pool")], split="40/30/30")
    one = open_dataset(tmp_path / "one")
    for number in range(8):
        labelled(tmp_path / "x", {f"n{number}.png": 300 + number})
        photo(tmp_path / "x" / f"n{number}.png", 300 + number, variant=3)
    add(one, tmp_path / "two", tmp_path / "x")
    two = open_dataset(tmp_path / "two")
    import_labels(two, tmp_path / "three", Request(labelled(tmp_path / "y", {f"q{n}.png": 300 + n for n in range(8)})))
    three = open_dataset(tmp_path / "three")
    splits = dict(three.samples.select("sample_id", "split").iter_rows())
    assert [splits[f"labels-n{number}"] for number in range(8)] == [splits[f"pool-q{number}"] for number in range(8)]
    assert len({splits[f"labels-n{number}"] for number in range(8)}) > 1
    assert check_dataset(three.root).findings == []


def test_counted_splits_take_no_more_than_they_were_asked_for(tmp_path: Path) -> None:
    pairs = pairs_of(tmp_path / "built", {f"p{number}": number for number in range(6)})
    build(tmp_path / "one", pairs=[pairs], split="6/2/2")
    photos = {f"n{number}.png": 100 + number for number in range(9)}
    imported = add(open_dataset(tmp_path / "one"), tmp_path / "two", labelled(tmp_path / "x", photos))
    assert set(imported.dropped["rule"]) == {"take"}
    two = open_dataset(tmp_path / "two")
    assert two.header.counts == {"images": 10, "train": 6, "val": 2, "test": 2}
    assert check_dataset(two.root).findings == []


def test_labels_without_a_photograph_are_left_out_and_told_what_to_do(curate: Any, tmp_path: Path) -> None:
    write_labelme(tmp_path / "x" / "gone.json", [box("person", 0, 0, 2, 2)], (4, 4), "gone.jpg")
    labelled(tmp_path / "x", {"here.png": 7})
    plain = curate("label", "import", "one", "x", "--out", "two")
    assert plain.code == 1
    assert plain.err.splitlines()[:2] == [
        "left out: x/gone.json: no sample is called gone.jpg or gone, nor holds its image. Name it by its sample_id, "
        "or add its photograph: --add-images --images DIR",
        "left out: x/here.json: its photograph here.png is no sample yet. Make it one with --add-images",
    ]
    result = curate("label", "import", "one", "x", "--out", "two", "--add-images")
    assert result.code == 0
    assert result.err.splitlines() == [
        "left out: x/gone.json: neither a sample nor a photograph is called gone.jpg or gone. Rename gone.json, so "
        "that the two have one name, or name the folder of the photograph: --images DIR"
    ]
    assert result.out == (
        "imported   1\n  added    1\ndropped    0\nunchanged  0\nleft out   1\ntwo: version 2 of people, 4 images\n"
    )
    header = open_dataset(tmp_path / "two").header
    assert (header.recipe["add_images"], header.recipe["images"]) == (True, [])
    told = json.loads(curate("label", "import", "one", "x", "--dry-run", "--json", "--add-images").out)
    assert (told["status"], told["added"], told["dropped"]) == ("dry run", ["labels-here"], [])


def test_folders_of_photographs_are_named_beside(one: Dataset, tmp_path: Path) -> None:
    photo(tmp_path / "photos" / "deep" / "n1.png", 101)
    mask = np.zeros(shape_of(tmp_path / "photos" / "deep" / "n1.png"), np.uint8)
    mask[2:42, 2:42] = 255
    write_png(tmp_path / "masks" / "n1.png", mask)
    imported = add(one, tmp_path / "two", tmp_path / "masks", [tmp_path / "photos"])
    assert sorted(imported.intake.added) == ["labels-n1"]
    photo(tmp_path / "more" / "n1.png", 102)
    unclear = add(one, None, tmp_path / "masks", [tmp_path / "photos", tmp_path / "more"])
    assert "its photograph may be" in unclear.intake.refusals[0].message
    with pytest.raises(MissingError, match=r"--images .*gone: is not a folder"):
        add(one, None, tmp_path / "masks", [tmp_path / "gone"])
    with pytest.raises(UsageError, match="Add --add-images"):
        import_labels(one, None, Request(tmp_path / "masks", images=(tmp_path / "photos",)))


def shape_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.height, image.width


def noise(seed: int) -> NDArray[np.uint8]:
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize(SIZE[::-1], Image.Resampling.BICUBIC))


@pytest.mark.parametrize(("tool", "name"), [("coco", "0123abcd-street.jpg"), ("labelstudio", "street.jpg")])
def test_the_photograph_of_an_upload_is_found_by_its_own_name(
    one: Dataset, tmp_path: Path, tool: str, name: str
) -> None:
    path = exports.POLYGONS[tool](tmp_path / "x", name, SIZE, BIG)
    (tmp_path / "photos").mkdir()
    Image.fromarray(noise(1)).save(tmp_path / "photos" / "street.jpg")
    imported = add(one, None, path, [tmp_path / "photos"])
    assert sorted(imported.intake.added) == ["labels-street"]


PLACES = {
    "labelme": "",
    "cvat": "images",
    "labelstudio": "uploads",
    "via": "",
    "yolo": "images/train",
    "coco": "data",
    "supervisely": "ds0/img",
    "datumaro": "images/default",
}
"""Where each tool's exports hold photographs; Label Studio has no place of its own."""


@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize("tool", PLACES)
def test_every_tools_photographs_are_found(one: Dataset, tmp_path: Path, tool: str, zipped: bool) -> None:
    path = exports.POLYGONS[tool](tmp_path / "x", "street.jpg", SIZE, BIG)
    file = path / PLACES[tool] / "street.jpg"
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(1)).save(file)
    data = file.read_bytes()
    if zipped:
        shutil.make_archive(str(path), "zip", path)
        shutil.rmtree(path)
        path = path.with_suffix(".zip")
    imported = add(one, tmp_path / "two", path)
    assert sorted(imported.intake.added) == ["labels-street"]
    two = open_dataset(tmp_path / "two")
    assert (two.root / "images" / "labels-street.jpg").read_bytes() == data
    assert np.count_nonzero(two.target(two.rows()[0]) == PERSON) == 1600
    assert check_dataset(two.root).findings == []
    assert sorted(one.name for one in tmp_path.iterdir() if one.name.startswith(".")) == []


def test_embedded_photographs_come_in(one: Dataset, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(noise(2)).save(buffer, "JPEG")
    data = base64.b64encode(buffer.getvalue()).decode()
    write_labelme(tmp_path / "x" / "a.json", [box("person", 2, 2, 42, 42)], SIZE, "C:\\photos\\a.tif", imageData=data)
    add(one, tmp_path / "two", tmp_path / "x")
    assert (tmp_path / "two" / "images" / "labels-a.jpg").read_bytes() == buffer.getvalue()
    assert check_dataset(tmp_path / "two").findings == []


def test_numbered_masks_find_their_photographs(one: Dataset, tmp_path: Path) -> None:
    mask = np.zeros(SIZE, np.uint8)
    mask[2:42, 2:42] = 3
    for number in (1, 12):
        write_png(tmp_path / "x" / "PixelLabelData" / f"Label_{number}.png", mask)
        photo_file = tmp_path / "x" / "images" / f"image_{number:03d}.jpg"
        photo_file.parent.mkdir(exist_ok=True)
        Image.fromarray(noise(10 + number)).save(photo_file)
    imported = add(one, None, tmp_path / "x", options=Options(person=("3",)))
    assert sorted(imported.intake.added) == ["labels-image_001", "labels-image_012"]


def test_masks_of_voc_are_no_photographs(one: Dataset, tmp_path: Path) -> None:
    mask = np.zeros(SIZE, np.uint8)
    mask[2:42, 2:42] = 15
    for folder in ("SegmentationClass", "SegmentationObject", "SegmentationClassVisualization"):
        write_png(tmp_path / "x" / folder / "n.png", mask, palette=True)
    told = add(one, None, tmp_path / "x").intake.refusals[0].message
    assert "neither a sample nor a photograph is called n" in told


def test_a_link_out_of_the_export_is_not_followed(one: Dataset, tmp_path: Path) -> None:
    labelled(tmp_path / "x", {"n.png": 101})
    secret = photo(tmp_path / "secret" / "n.png", 101)
    (tmp_path / "x" / "n.png").unlink()
    (tmp_path / "x" / "n.png").symlink_to(secret)
    assert "is a link that leads out of" in add(one, None, tmp_path / "x").intake.refusals[0].message


def test_two_labels_of_one_new_photograph_are_settled(one: Dataset, tmp_path: Path) -> None:
    labelled(tmp_path / "x" / "a", {"n.png": 101})
    labelled(tmp_path / "x" / "b", {"m.png": 101})
    same = add(one, None, tmp_path / "x").intake
    assert (sorted(same.added), len(same.notes)) == (["labels-n"], 1)
    labelled(tmp_path / "x" / "b", {"m.png": 101}, side=30)
    both = add(one, None, tmp_path / "x").intake
    assert (both.changes, len(both.refusals)) == ({}, 2)


def test_an_added_photograph_goes_away_again(one: Dataset, tmp_path: Path) -> None:
    labelled(tmp_path / "x", {"n1.png": 101, "n2.png": 102, "p2.png": 2})
    labelled(tmp_path / "x", {"small.png": 103}, side=6)
    add(one, tmp_path / "two", tmp_path / "x")
    two = open_dataset(tmp_path / "two")
    undo(two, tmp_path / "less", ["labels-n1"])
    less = open_dataset(tmp_path / "less")
    assert less.samples.equals(two.samples.filter(pl.col("sample_id") != "labels-n1"))
    assert (read_edits(less.root)["sample_id"].to_list(), less.drops.height) == (["labels-n2", "pairs-p2"], 1)
    undo(two, tmp_path / "none", None)
    assert open_dataset(tmp_path / "none").samples.equals(one.samples)
    add(less, tmp_path / "again", tmp_path / "x")
    assert open_dataset(tmp_path / "again").samples.equals(two.samples)
    for name in ("less", "none", "again"):
        assert check_dataset(tmp_path / name).findings == []


def test_a_later_label_of_an_added_photograph_is_an_edit_like_any(one: Dataset, tmp_path: Path) -> None:
    add(one, tmp_path / "two", labelled(tmp_path / "x", {"n.png": 101}))
    labelled(tmp_path / "x", {"n.png": 101}, side=30)
    import_labels(open_dataset(tmp_path / "two"), tmp_path / "three", Request(tmp_path / "x"))
    assert check_dataset(tmp_path / "three").findings == []
    undo(open_dataset(tmp_path / "three"), tmp_path / "four", None)
    assert open_dataset(tmp_path / "four").samples.equals(open_dataset(tmp_path / "two").samples)
    assert check_dataset(tmp_path / "four").findings == []


def test_forked_processes_add_what_one_adds(one: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labelled(tmp_path / "x", {f"n{number}.png": 100 + number for number in range(6)})
    alone = add(one, tmp_path / "two", tmp_path / "x")
    monkeypatch.setattr("curate.engine.processes.WORTH_FORKING", 2)
    monkeypatch.setattr("label.intake.PART", 1)
    assert add(one, tmp_path / "three", tmp_path / "x").header == alone.header
