"""Small datasets and exports for the tests of this room."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from curate import schema
from curate.dataset import Dataset, FunnelStep, open_dataset
from curate.errors import CurateError
from curate.files import staged_folder
from curate.finish import finish_dataset
from curate.images import read_size_hw, target_png
from curate.masks import PERSON, Target, area_fraction, touched_edges
from label.formats import read_labels
from label.formats.record import Options, Refusal
from tests.drawing import target

OLD = target("##..\n##..\n....\n....")
NEW = target(".##.\n.##.\n....\n....")
"""The mask of a sample, and what a hand label makes of it."""


@dataclass(frozen=True)
class Photo:
    """A sample to be: its target, and its image's file (a drawn one where None)."""

    target: Target
    image: Path | None = None
    source: str = "pairs"
    changes: Mapping[str, Any] | None = None
    """Columns that shall hold something else."""


def tree(root: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def make_dataset(out: Path, photos: Mapping[str, Photo], name: str = "people") -> Dataset:
    """A dataset version at `out`; the keys of `photos` are the sample_ids."""
    with staged_folder(out) as staging:
        (staging / "images").mkdir()
        (staging / "masks").mkdir()
        rows = [_row(staging, sample_id, photo) for sample_id, photo in photos.items()]
        finish_dataset(
            staging,
            name=name,
            version=1,
            parent=None,
            recipe={"min_people": 1},
            sources=[],
            funnel=[FunnelStep("looked at", "looked at", len(rows))],
            samples=schema.table(rows, schema.SAMPLES),
            drops=schema.table([], schema.DROPS),
        )
    return open_dataset(out)


def _row(staging: Path, sample_id: str, photo: Photo) -> dict[str, object]:
    suffix = photo.image.suffix if photo.image else ".png"
    image, mask = f"images/{sample_id}{suffix}", f"masks/{sample_id}.png"
    if photo.image:
        shutil.copyfile(photo.image, staging / image)
    else:
        Image.fromarray(picture(sample_id, photo.target.shape)).save(staging / image)
    (staging / mask).write_bytes(target_png(photo.target))
    height, width = read_size_hw(staging / image)
    row: dict[str, object] = {
        "sample_id": sample_id,
        "image": image,
        "mask": mask,
        "width": width,
        "height": height,
        "people": 1 if (photo.target == PERSON).any() else 0,
        "area": area_fraction(photo.target),
        "split": "train",
        "fold": -1,
        "group": sample_id,
        "source": photo.source,
        "licence": None,
        "origin": "polygon",
        "edges": touched_edges(photo.target == PERSON),
        "touching": [],
        "head_visible": None,
        "image_sha256": hashlib.sha256((staging / image).read_bytes()).hexdigest(),
        "mask_sha256": hashlib.sha256((staging / mask).read_bytes()).hexdigest(),
        "weight": 1.0,
        "tags": [],
    }
    return row | dict(photo.changes or {})


def picture(name: str, size_hw: tuple[int, ...]) -> NDArray[np.uint8]:
    """An image of its own for every name, so that no two share a hash."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    return np.random.default_rng(seed).integers(0, 256, (size_hw[0], size_hw[1], 3), np.uint8)


def write_png(path: Path, values: NDArray[Any], palette: bool = False) -> Path:
    """A PNG of exactly these values; as a palette image where `palette`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values)
    if palette:
        image.putpalette([level for index in range(256) for level in (index * 7 % 256, index * 31 % 256, index)])
        assert image.mode == "P"
    image.save(path)
    return path


def shape(label: str, points: list[tuple[float, float]], kind: str = "polygon", **fields: Any) -> dict[str, Any]:
    """A LabelMe shape."""
    return {"label": label, "points": points, "shape_type": kind, "group_id": None, "flags": {}} | fields


def box(label: str, x0: float, y0: float, x1: float, y1: float, **fields: Any) -> dict[str, Any]:
    """A LabelMe rectangle."""
    return shape(label, [(x0, y0), (x1, y1)], "rectangle", **fields)


def write_labelme(
    path: Path, shapes: list[dict[str, Any]], size_hw: tuple[int, int] | None, image: str | None, **fields: Any
) -> Path:
    """A LabelMe file."""
    height, width = size_hw or (None, None)
    content = {"version": "5.2.1", "flags": {}, "shapes": shapes, "imagePath": image, "imageData": None}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content | {"imageHeight": height, "imageWidth": width} | fields))
    return path


def outcome(path: Path, tool: str, options: Options = Options()) -> str:  # noqa: B008
    """What becomes of the only label: a message, or nothing where it is drawn."""
    (label,) = read_labels(path, tool, options)
    if isinstance(label, Refusal):
        return label.message
    try:
        label.draw((30, 40))
    except CurateError as error:
        return str(error)
    return ""
