"""Photographs that a perceptual hash tells apart, copies of them that it does not, and sources made of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from PIL import Image

from curate.choosing.build import Built, build_dataset
from curate.choosing.recipe import Recipe, make_recipe
from curate.dataset import open_dataset
from curate.masks import SizeHW
from tests.curate.scenes import box, coco_file, image, mask_png, person

SIZE_HW = (48, 64)


def picture(path: Path, seed: int, copy: int = 0, size_hw: SizeHW = SIZE_HW) -> Path:
    """A PNG of 6x8 coloured fields; another seed is another picture, another copy the same in other bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fields = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    grown = Image.fromarray(fields).resize((size_hw[1], size_hw[0]), Image.Resampling.NEAREST)
    grown.save(path, compress_level=6 if copy == 0 else copy)
    return path


def coco_of(
    root: Path, seeds: Mapping[str, int | tuple[int, int]], share: float | Mapping[str, float] = 0.5, name: str = "a"
) -> str:
    """A COCO file of one person an image; file name -> seed, or seed and copy. Returns its path."""
    images, annotations = [], []
    for number, (file, seed) in enumerate(seeds.items(), 1):
        one, copy = seed if isinstance(seed, tuple) else (seed, 0)
        picture(root / "images" / file, one, copy)
        images.append(image(number, file, SIZE_HW))
        covered = share if isinstance(share, float | int) else share[file]
        if covered:
            annotations.append(person(number, box(0, 0, SIZE_HW[1], SIZE_HW[0] * covered)))
    return str(coco_file(root / f"{name}.json", images, annotations))


def pairs_of(root: Path, seeds: Mapping[str, int | tuple[int, int]]) -> tuple[str, str]:
    """Folders of images and masks, a person on the left half of each; stem -> seed, or seed and copy."""
    mask = np.zeros(SIZE_HW, bool)
    mask[:, :32] = True
    for stem, seed in seeds.items():
        one, copy = seed if isinstance(seed, tuple) else (seed, 0)
        picture(root / "images" / f"{stem}.png", one, copy)
        mask_png(root / "masks" / f"{stem}.png", mask)
    return str(root / "images"), str(root / "masks")


def numbered(count: int, first: int = 0, letter: str = "i") -> dict[str, int]:
    """File name -> seed of so many different pictures."""
    return {f"{letter}{number:03d}.png": number for number in range(first, first + count)}


def recipe(**options: Any) -> Recipe:
    """A recipe by its fields' names."""
    return make_recipe(options)


def build(out: Path, **options: Any) -> Built:
    """A dataset version built by these options."""
    return build_dataset(recipe(**options), out)


def samples(out: Path) -> pl.DataFrame:
    """A version's table of samples."""
    return open_dataset(out).samples


def column(out: Path, name: str) -> dict[str, Any]:
    """sample_id -> the value of a column."""
    return dict(samples(out).select("sample_id", name).iter_rows())


def reasons(out: Path) -> dict[str, tuple[str, str]]:
    """sample_id -> rule and detail of what was dropped."""
    return {row["sample_id"]: (row["rule"], row["detail"]) for row in open_dataset(out).drops.to_dicts()}


def told(built: Built) -> list[str]:
    """What the notes say."""
    return [note.what for note in built.notes]
