"""COCO exports: what stands in them, and that pycocotools and `curate build` get the very masks back."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from curate.choosing.build import build_dataset
from curate.choosing.recipe import make_recipe
from curate.dataset import Dataset, open_dataset
from curate.exports.coco import annotations_of, export_coco, image_ids
from curate.masks import Target
from tests.curate.exporting import BORDER, PEOPLE, small_dataset, tree


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return small_dataset(tmp_path / "people")


def content(out: Path, split: str) -> dict[str, Any]:
    """A split's instance file as plain JSON."""
    return json.loads((out / "annotations" / f"instances_{split}.json").read_bytes())  # type: ignore[no-any-return]


def load(path: Path) -> COCO:
    """The file in pycocotools, which prints as it goes."""
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


def target_in(coco: COCO, image_id: int) -> Target:
    """The target pycocotools finds for an image: crowds 128, people 255 over them."""
    record = coco.imgs[image_id]
    drawn = np.zeros((record["height"], record["width"]), np.uint8)
    annotations = coco.loadAnns(coco.getAnnIds(imgIds=[image_id]))
    for annotation in sorted(annotations, key=lambda one: -one["iscrowd"]):
        drawn[coco.annToMask(annotation) == 1] = 128 if annotation["iscrowd"] else 255
    return drawn


def test_the_files_hold_what_the_rows_say(dataset: Dataset, tmp_path: Path) -> None:
    exported = export_coco(dataset, tmp_path / "out")
    ids = image_ids(dataset.samples["sample_id"])
    assert exported.images == {"train": 2, "val": 1, "pool": 1, "background": 1}
    found = content(tmp_path / "out", "train")
    assert found["info"] == {
        "description": "people, train: one annotation for all people of an image",
        "dataset": "people",
        "version": "1",
        "digest": dataset.header.digest,
        "split": "train",
    }
    assert found["categories"] == [{"id": 1, "name": "person", "supercategory": "person"}]
    assert found["images"][0] == {
        "id": ids["coco-1"], "file_name": "coco-1.png", "width": 6, "height": 4, "license": 1,
        "sample_id": "coco-1", "source": "pairs", "people": 2, "group": "coco-1", "fold": 1, "weight": 1.0,
        "tags": ["crowd", "hard"],
    }  # fmt: skip
    person, crowd, whole = found["annotations"]
    assert {key: person[key] for key in ("image_id", "category_id", "iscrowd", "area", "bbox", "people")} == {
        "image_id": ids["coco-1"], "category_id": 1, "iscrowd": 0, "area": 7, "bbox": [1, 0, 3, 3], "people": 2,
    }  # fmt: skip
    assert (crowd["iscrowd"], crowd["area"], crowd["bbox"]) == (1, 4, [4, 1, 2, 2])
    assert "people" not in crowd, "nobody knows how many they are"
    assert (whole["area"], whole["segmentation"]) == (6, {"size": [2, 3], "counts": "06"})


def test_a_void_border_stands_for_nobody(dataset: Dataset, tmp_path: Path) -> None:
    export_coco(dataset, tmp_path / "out")
    [person, border] = content(tmp_path / "out", "val")["annotations"]
    assert (person["people"], border["iscrowd"], border["people"]) == (1, 1, 0)


def test_photographs_without_people_or_labels_have_no_annotation(dataset: Dataset, tmp_path: Path) -> None:
    export_coco(dataset, tmp_path / "out")
    for split in ("pool", "background"):
        found = content(tmp_path / "out", split)
        assert (len(found["images"]), found["annotations"]) == (1, [])


def test_licences_stand_as_stated_and_none_is_made_up(dataset: Dataset, tmp_path: Path) -> None:
    export_coco(dataset, tmp_path / "out")
    assert content(tmp_path / "out", "train")["licenses"] == [
        {"id": 1, "name": "CC BY 4.0", "url": ""},
        {"id": 2, "name": "https://example.org/l", "url": "https://example.org/l"},
    ]
    assert "license" not in content(tmp_path / "out", "val")["images"][0]


def test_photographs_are_the_datasets_own_bytes(dataset: Dataset, tmp_path: Path) -> None:
    export_coco(dataset, tmp_path / "out")
    assert (tmp_path / "out/train/coco-1.png").samefile(dataset.root / "images/coco-1.png")


def test_the_same_dataset_gives_the_same_bytes(dataset: Dataset, tmp_path: Path) -> None:
    for out in ("one", "deep/er/other"):
        export_coco(dataset, str(tmp_path / out))
    assert tree(tmp_path / "one") == tree(tmp_path / "deep/er/other")


def test_pycocotools_reads_the_masks_and_changes_nothing(dataset: Dataset, tmp_path: Path) -> None:
    export_coco(dataset, tmp_path / "out")
    for split in ("train", "val", "background"):
        coco = load(tmp_path / "out/annotations" / f"instances_{split}.json")
        for row in dataset.rows(split):
            image_id = image_ids(dataset.samples["sample_id"])[row["sample_id"]]
            assert (target_in(coco, image_id) == dataset.target(row)).all()
        for annotation in coco.dataset["annotations"]:
            again = coco_mask.encode(np.asfortranarray(coco.annToMask(annotation)))
            assert again["counts"].decode() == annotation["segmentation"]["counts"]


def test_build_gets_the_masks_back(dataset: Dataset, tmp_path: Path) -> None:
    export_coco(dataset, tmp_path / "out")
    files = [f"coco={tmp_path}/out/annotations/instances_{split}.json" for split in ("train", "val")]
    build_dataset(make_recipe({"coco": files}), tmp_path / "back")
    back = open_dataset(tmp_path / "back")
    rows = {f"coco-{row['sample_id']}": row for row in dataset.rows("train", "val")}
    assert sorted(rows) == back.samples["sample_id"].to_list()
    for row in back.rows():
        assert row["mask_sha256"] == rows[row["sample_id"]]["mask_sha256"]
        assert row["image_sha256"] == rows[row["sample_id"]]["image_sha256"]
        assert row["licence"] == rows[row["sample_id"]]["licence"]


@given(
    drawn=arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.sampled_from([0, 128, 255])),
    crowd=st.booleans(),
)
def test_any_target_can_be_put_together_again(drawn: Target, crowd: bool) -> None:
    again = np.zeros_like(drawn)
    annotations = annotations_of(drawn, 7, 3, crowd=crowd)
    for annotation in annotations:
        rle = {"size": list(annotation.segmentation.size), "counts": annotation.segmentation.counts}
        again[coco_mask.decode(rle) == 1] = 128 if annotation.iscrowd else 255
        assert annotation.area == coco_mask.area(rle) > 0
        assert list(annotation.bbox) == coco_mask.toBbox(rle).tolist()
    assert (again == drawn).all()
    assert [annotation.id for annotation in annotations] == [14 + annotation.iscrowd for annotation in annotations]


def test_a_target_is_not_changed() -> None:
    before = PEOPLE.copy()
    annotations_of(PEOPLE, 1, 2, crowd=True)
    assert (before == PEOPLE).all()
    assert [one.people for one in annotations_of(BORDER, 1, 1, crowd=False)] == [1, 0]


def test_an_image_keeps_its_id_in_every_export(dataset: Dataset, tmp_path: Path) -> None:
    export_coco(dataset, tmp_path / "all")
    export_coco(dataset, tmp_path / "some", ["val"])
    assert [path.name for path in (tmp_path / "some/annotations").iterdir()] == ["instances_val.json"]
    whole, alone = content(tmp_path / "all", "val"), content(tmp_path / "some", "val")
    assert alone["images"] == whole["images"]
    assert alone["annotations"] == whole["annotations"]


def test_ids_hang_on_the_sample_alone() -> None:
    few, many = image_ids(["a-1", "a-2"]), image_ids(f"a-{number}" for number in range(1000))
    assert few == {name: many[name] for name in few}
    assert min(many.values()) > 0
    assert 2 * max(many.values()) + 1 < 2**31


def test_two_samples_with_one_hash_have_two_ids() -> None:
    names = [f"a-{number:02d}" for number in range(15)]
    ids = image_ids(names, bits=4)
    assert sorted(ids.values()) == list(range(1, 16))
    assert image_ids(names[:1], bits=4)["a-00"] == ids["a-00"]
    assert ids == image_ids(reversed(names), bits=4)
