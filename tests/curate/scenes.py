"""Small sources on disk: photographs of noise, and COCO, VOC and pair labels for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from PIL import Image

from curate.masks import Mask, SizeHW

CATEGORIES = [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}]
SIZE_HW = (40, 60)


def photo(path: Path, size_hw: SizeHW = SIZE_HW, seed: int = 0) -> Path:
    """A JPEG or PNG of noise; the same seed gives the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size_hw, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def box(left: float, top: float, right: float, bottom: float) -> list[list[float]]:
    """A segmentation of one rectangle; its raster is exactly its pixels."""
    return [[left, top, right, top, right, bottom, left, bottom]]


def person(image_id: int, segmentation: Any, **more: Any) -> dict[str, Any]:
    """An annotation of a person without an id of its own."""
    return {"image_id": image_id, "category_id": 1, "iscrowd": 0, "segmentation": segmentation, **more}


def image(image_id: int, name: str = "", size_hw: SizeHW = SIZE_HW, **more: Any) -> dict[str, Any]:
    """An image record."""
    named = {"id": image_id, "file_name": name or f"{image_id:06d}.jpg"}
    return {**named, "height": size_hw[0], "width": size_hw[1], **more}


def coco_file(path: Path, images: list[Any], annotations: list[Any], **more: Any) -> Path:
    """A COCO instance file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"images": images, "annotations": annotations, "categories": CATEGORIES, **more}
    path.write_text(json.dumps(content))
    return path


def coco_set(root: Path, shares: list[float], people: int = 1) -> Path:
    """A COCO data set of one image per share: `people` equal boxes side by side that cover that share of it."""
    height, width = SIZE_HW
    images, annotations = [], []
    for number, share in enumerate(shares, 1):
        images.append(image(number))
        photo(root / "val2017" / images[-1]["file_name"], seed=number)
        for part in range(people):
            left, right = width * part / people, width * (part + 1) / people
            annotations.append(person(number, box(left, 0, right, height * share)))
    return coco_file(root / "annotations" / "instances_val2017.json", images, annotations)


def palette_png(path: Path, indices: np.ndarray[Any, np.dtype[np.uint8]]) -> Path:
    """A palette PNG of these indices, with colours that a conversion to grey would betray."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = Image.fromarray(indices).convert("P")
    stored.putdata(indices.ravel().tolist())
    stored.putpalette([value * factor % 256 for value in range(256) for factor in (37, 91, 53)])
    stored.save(path)
    return path


def voc_xml(path: Path, names: list[str], size_hw: SizeHW = SIZE_HW) -> Path:
    """A VOC annotation with one object per name, the first of them difficult."""
    path.parent.mkdir(parents=True, exist_ok=True)
    objects = "".join(
        f"<object><name>{name}</name><difficult>{int(index == 0)}</difficult><part><name>person</name></part></object>"
        for index, name in enumerate(names)
    )
    size = f"<size><width>{size_hw[1]}</width><height>{size_hw[0]}</height></size>"
    path.write_text(f"<annotation>{size}{objects}</annotation>")
    return path


def voc_image(root: Path, key: str, classes: np.ndarray[Any, np.dtype[np.uint8]], names: list[str]) -> None:
    """A photo with its class mask and XML."""
    photo(root / "JPEGImages" / f"{key}.jpg", classes.shape)  # type: ignore[arg-type]
    palette_png(root / "SegmentationClass" / f"{key}.png", classes)
    voc_xml(root / "Annotations" / f"{key}.xml", names, classes.shape)  # type: ignore[arg-type]


def mask_png(path: Path, mask: Mask, value: int = 255) -> Path:
    """A grey PNG of 0 and `value`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.where(mask, np.uint8(value), np.uint8(0))).save(path)
    return path


def matrix_file(path: Path, **matrices: Any) -> Path:
    """A MATLAB file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, matrices)
    return path
