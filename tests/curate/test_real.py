"""Real photographs and the embedded sample: the same masks and the same choice as pycocotools makes."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
import scipy.io
from PIL import Image
from pycocotools.coco import COCO

from curate import masks
from curate.checks.version import verify
from curate.choosing.build import build_dataset
from curate.choosing.recipe import make_recipe
from curate.choosing.selection import select
from curate.dataset import open_dataset
from curate.sources.coco_shapes import rle_of


def instance_files(folder: Path) -> list[Path]:
    """Both instance files of a COCO folder."""
    return [folder / "annotations" / f"instances_{split}2017.json" for split in ("train", "val")]


def load(path: Path) -> COCO:
    """The file in pycocotools, which prints as it goes."""
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


@pytest.fixture(params=["sample", pytest.param("real", marks=pytest.mark.real)])
def coco_folder(request: pytest.FixtureRequest) -> Path:
    """The COCO part of the embedded sample, and the excerpt of COCO 2017."""
    if request.param == "sample":
        return Path(request.getfixturevalue("sample")) / "coco"
    return Path(request.getfixturevalue("real_data")) / "coco-mini"


def test_every_mask_equals_pycocotools_bit_for_bit(coco_folder: Path) -> None:
    compared = 0
    for path in instance_files(coco_folder):
        coco = load(path)
        for annotation in coco.dataset["annotations"]:
            record = coco.imgs[annotation["image_id"]]
            raw = msgspec.Raw(msgspec.json.encode(annotation["segmentation"]))
            ours = masks.decode(rle_of(raw, (record["height"], record["width"])))
            assert (ours == coco.annToMask(annotation).astype(bool)).all(), annotation["id"]
            compared += 1
    assert compared > 300


def kept_by_pycocotools(path: Path, least: float, most: float, people: int) -> Iterator[tuple[str, int, float]]:
    """(file stem, people, area) of what a plain pycocotools script keeps."""
    coco = load(path)
    [category] = coco.getCatIds(catNms=["person"])
    for record in coco.dataset["images"]:
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=record["id"], catIds=[category]))
        drawn = [coco.annToMask(one) for one in annotations if not one["iscrowd"]]
        drawn = [mask for mask in drawn if mask.any()]
        if not 1 <= len(drawn) <= people or any(one["iscrowd"] for one in annotations):
            continue
        area = np.any(drawn, axis=0).mean()
        if least <= area <= most:
            yield Path(record["file_name"]).stem, len(drawn), float(area)


@pytest.mark.parametrize(("least", "most", "people"), [(0.2, 0.7, 2), (0.0, 1.0, 1), (0.05, 1.0, 4), (0.3, 1.0, 2)])
def test_the_kept_set_equals_pycocotools(coco_folder: Path, least: float, most: float, people: int) -> None:
    files = instance_files(coco_folder)
    recipe = make_recipe(
        {"coco": [f"coco={path}" for path in files], "min-area": least, "max-area": most, "max-people": people}
    )
    kept = select(recipe).kept
    ours = sorted(zip(kept["sample_id"].str.strip_prefix("coco-"), kept["people"], kept["area"], strict=True))
    assert ours == sorted(one for path in files for one in kept_by_pycocotools(path, least, most, people))
    assert ours


def test_the_sample_builds_with_the_sentence_the_project_is_known_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    build_dataset(make_recipe({"min-area": 0.2, "max-people": 2}), Path("out"))
    dataset = open_dataset(Path("out"))
    assert list(verify(dataset)) == []
    assert {"train", "val", "test"} <= dataset.header.counts.keys()
    assert {source.kind for source in dataset.header.sources} == {"coco", "voc"}
    for rule in ("people", "crowd", "area"):
        assert rule in dataset.drops["rule"].to_list(), "every rule of the funnel bites"


@pytest.mark.real
def test_voc_masks_are_the_palette_indices(real_data: Path) -> None:
    selection = select(make_recipe({"voc": [str(real_data / "voc2012")]}))
    [read] = selection.reads
    people = 0
    for row in selection.candidates.iter_rows(named=True):
        indices = np.array(Image.open(real_data / "voc2012" / "SegmentationClass" / f"{row['sample_id'][4:]}.png"))
        target = read.labels.draw(row["row"]).target
        assert ((target == 255) == (indices == 15)).all()
        assert ((target == 128) == (indices == 255)).all()
        people += bool((indices == 15).any())
    assert selection.candidates.height == 93
    assert selection.kept.height == people


@pytest.mark.real
def test_hand_made_masks_are_resized_as_pillow_does_it(real_data: Path) -> None:
    folder = real_data / "humanseg"
    selection = select(make_recipe({"pairs": [(str(folder / "images"), str(folder / "masks"))]}))
    [read] = selection.reads
    resized = 0
    for row in selection.kept.iter_rows(named=True):
        stored = Image.open(folder / "masks" / f"{row['sample_id'][6:]}.png").convert("L")
        size = (row["width"], row["height"])
        expected = np.array(stored.resize(size, Image.Resampling.NEAREST)) == 255
        assert ((read.labels.draw(row["row"]).target == 255) == expected).all()
        resized += stored.size != size
    assert sum("resized" in note.what for note in selection.notes) == resized > 50
    assert selection.kept.height + selection.drops.height == 145


@pytest.mark.real
def test_matrices_are_the_person_wherever_they_are_set(real_data: Path) -> None:
    folder = real_data / "ccp"
    selection = select(make_recipe({"pairs": [(str(folder / "photos"), str(folder / "pixel-level"))]}))
    [read] = selection.reads
    for row in selection.kept.head(40).iter_rows(named=True):
        matrix = scipy.io.loadmat(folder / "pixel-level" / f"{row['sample_id'][6:]}.mat")["groundtruth"]
        assert ((read.labels.draw(row["row"]).target == 255) == (matrix > 0)).all()
    assert selection.kept.height == 400
