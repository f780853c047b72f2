"""The benchmark's file is COCO, the same from the same seed, and distributed like train2017."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from bench import generate
from bench.categories import OBJECTS
from bench.generate import image_ids, scenes_of, write_coco
from bench.photos import write_photos

IMAGES = 600


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small file."""
    path = tmp_path_factory.mktemp("coco") / "coco.json"
    write_coco(path, IMAGES)
    return path


@pytest.fixture(scope="module")
def coco(path: Path) -> dict[str, Any]:
    """What is in it."""
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


def test_pycocotools_reads_it(path: Path) -> None:
    coco = COCO(str(path))
    annotations = coco.loadAnns(coco.getAnnIds(catIds=coco.getCatIds(catNms=["person"])))
    assert len(coco.imgs) == IMAGES
    assert all(coco_mask.area(coco.annToRLE(annotation)) > 0 for annotation in annotations)


def test_every_record_is_sound(coco: dict[str, Any]) -> None:
    images = {image["id"]: image for image in coco["images"]}
    categories = {category["id"] for category in coco["categories"]}
    assert (len(images), len(categories)) == (IMAGES, 80)
    assert len({annotation["id"] for annotation in coco["annotations"]}) == len(coco["annotations"])
    for annotation in coco["annotations"]:
        assert annotation["category_id"] in categories
        assert (annotation["iscrowd"] == 1) == isinstance(annotation["segmentation"], dict)
        check_shape(annotation, images[annotation["image_id"]])


def check_shape(annotation: dict[str, Any], image: dict[str, Any]) -> None:
    """The outline lies inside its image, and the stated area and box are its own."""
    segmentation = annotation["segmentation"]
    if annotation["iscrowd"]:
        assert segmentation["size"] == [image["height"], image["width"]]
        assert sum(segmentation["counts"]) == image["height"] * image["width"]
        assert min(segmentation["counts"]) >= 0
        assert annotation["area"] == sum(segmentation["counts"][1::2])
        return
    corners = np.concatenate([np.reshape(polygon, (-1, 2)) for polygon in segmentation])
    assert (corners >= 0).all()
    assert (corners <= (image["width"], image["height"])).all()
    low, high = corners.min(axis=0), corners.max(axis=0)
    assert annotation["bbox"] == pytest.approx([*low, *(high - low)], abs=0.006)
    assert annotation["area"] == pytest.approx(sum(map(shoelace, segmentation)), abs=0.01)


def shoelace(polygon: list[float]) -> float:
    """Area of a flat polygon, px."""
    x, y = np.array(polygon[0::2]), np.array(polygon[1::2])
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2


def test_the_same_arguments_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "CHUNK", 32)
    for name, seed, processes in (("one", 0, 1), ("two", 0, 2), ("other", 1, 1)):
        write_coco(tmp_path / name, 80, seed, processes)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert (tmp_path / "one").read_bytes() != (tmp_path / "other").read_bytes()
    assert len(json.loads((tmp_path / "one").read_bytes())["images"]) == 80


def test_a_longer_file_begins_with_the_same_images() -> None:
    short, long = scenes_of(0, 50, seed=0), scenes_of(0, 4000, seed=0)
    assert np.array_equal(short.width, long.width[:50])
    assert np.array_equal(image_ids(50, seed=0), image_ids(200_000, seed=0)[:50])


def test_ids_are_unique_in_files_longer_than_train2017() -> None:
    ids = image_ids(250_000, seed=0)
    assert len(np.unique(ids)) == len(ids) == 250_000


def test_distributions_are_those_of_train2017(path: Path, coco: dict[str, Any]) -> None:
    images = 8192
    figures = scenes_of(0, images, seed=0).figures
    person = figures.category == 1
    people = np.bincount(figures.image[person], minlength=images)
    covered = np.bincount(figures.image[person], figures.share[person], images)
    few = (people == 1) | (people == 2)
    assert len(figures.image) / images == pytest.approx(827_000 / 118_287, rel=0.03)
    assert (people > 0).mean() == pytest.approx(64_115 / 118_287, rel=0.03)
    assert person.sum() / images == pytest.approx(262_465 / 118_287, rel=0.05)
    assert 0.33 < few.mean() < 0.40
    assert 0.17 < ((covered > 0.2) & (covered < 0.7))[few].mean() < 0.25
    assert figures.crowd.mean() == pytest.approx(0.011, abs=0.002)
    assert path.stat().st_size / IMAGES == pytest.approx(640e6 / 118_287, rel=0.1)
    vertices = [sum(map(len, one["segmentation"])) / 2 for one in coco["annotations"] if not one["iscrowd"]]
    assert 20 < np.median(vertices) < 35
    assert [one.id for one in OBJECTS] == sorted({one.id for one in OBJECTS})


def test_photographs_have_the_sizes_of_their_records_and_differ(tmp_path: Path, path: Path) -> None:
    for name in ("once", "again"):
        write_photos(tmp_path / name, 12)
    files = sorted((tmp_path / "once").iterdir())
    assert len({file.read_bytes() for file in files}) == 12
    assert all(file.read_bytes() == (tmp_path / "again" / file.name).read_bytes() for file in files)
    records = {record["file_name"]: record for record in json.loads(path.read_bytes())["images"][:12]}
    for file in files:
        with Image.open(file) as photo:
            assert photo.size == (records[file.name]["width"], records[file.name]["height"])
