"""Class masks beside hand labels: no edit changes them, and what is drawn over them wins when they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curate.checks.version import check_dataset
from curate.dataset import Dataset, open_dataset
from curate.masks import Mask
from label.importing import Request, import_labels
from label.undo import undo
from tests.curate.pictures import build, picture
from tests.curate.scenes import mask_png
from tests.curate.test_classes import BOTH, DOG, SIZE_HW, drawn, scene, thing

DOGS = {"coco-1": drawn((2, 30, 10, 50, 30)), "coco-2": drawn((2, 30, 10, 50, 30))}


@pytest.fixture
def one(tmp_path: Path) -> Dataset:
    """Two people, each with a dog across the street."""
    dogs = [thing(DOG, 30, 10, 50, 30, number=number) for number in (1, 2)]
    build(tmp_path / "one", coco=[scene(tmp_path / "source", *dogs, images=2)], **BOTH)
    return open_dataset(tmp_path / "one")


def with_label(one: Dataset, mask: Mask, **more: Any) -> Dataset:
    """The next version, with a hand label of the first image."""
    labels = one.root.with_name("labels")
    mask_png(labels / "coco-1.png", mask)
    assert import_labels(one, one.root.with_name("two"), Request(labels, **more)).status == "written"
    return open_dataset(one.root.with_name("two"))


def masks_of(dataset: Dataset) -> dict[str, Any]:
    """The class masks as they are read; the files are those of the first version."""
    rows = {row["sample_id"]: row for row in dataset.rows()}
    for name in DOGS:
        path = f"classes/{name}.png"
        assert (dataset.root / path).read_bytes() == (dataset.root.with_name("one") / path).read_bytes()
    assert check_dataset(dataset.root).findings == []
    return {name: dataset.classes(row) for name, row in rows.items()}


def test_a_hand_label_and_its_undoing_leave_the_class_masks(one: Dataset, tmp_path: Path) -> None:
    mask = np.zeros(SIZE_HW, bool)
    mask[:20, :40] = True  # over the dog, as far as the mask reaches
    two = with_label(one, mask)
    assert two.class_names == ("held", "animal")
    found = masks_of(two)
    assert (found["coco-1"] == np.where(mask, 0, DOGS["coco-1"])).all()
    assert (found["coco-2"] == DOGS["coco-2"]).all()
    undo(two, tmp_path / "three", None)
    three = open_dataset(tmp_path / "three")
    assert three.header.digest == one.header.digest
    assert all((classes == DOGS[name]).all() for name, classes in masks_of(three).items())


def test_an_added_photograph_has_none(one: Dataset, tmp_path: Path) -> None:
    mask = np.zeros(SIZE_HW, bool)
    mask[:30, :20] = True
    picture(tmp_path / "photos" / "new.png", 77, 0, SIZE_HW)
    mask_png(tmp_path / "labels" / "new.png", mask)
    two = with_label(one, mask, add_images=True, images=(tmp_path / "photos",))
    found = masks_of(two)
    assert [name for name, classes in found.items() if classes is None] == ["labels-new"]
