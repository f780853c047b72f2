"""The embedded sample's labelled scenes as the first source document would have chosen them."""

from __future__ import annotations

from pathlib import Path

from curate.choosing.build import build_dataset
from curate.choosing.recipe import make_recipe
from curate.dataset import Dataset, open_dataset
from curate.packaged import data_folder


def sample_people(out: Path) -> Dataset:
    """The 190 scenes with one or two people who fill 20 to 70 %, built in `out`."""
    sample = data_folder() / "sample"
    coco = [str(sample / f"coco/annotations/instances_{part}2017.json") for part in ("train", "val")]
    recipe = {"coco": coco, "voc": [str(sample / "VOC2012")], "min_area": 0.2, "max_area": 0.7, "max_people": 2}
    build_dataset(make_recipe(recipe), out)
    return open_dataset(out)
