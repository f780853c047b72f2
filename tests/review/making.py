"""Small datasets and runs made by hand, with scores straight from their definitions."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from curate import schema
from curate.dataset import Dataset, open_dataset, write_table
from curate.files import sha256_file, staged_folder
from curate.finish import finish_dataset
from curate.images import png_bytes
from curate.masks import IGNORE, PERSON, Mask, Target, area_fraction, band_width_px, boundary_band

Grey = NDArray[np.uint8]


@dataclass(frozen=True)
class Drawn:
    """One sample: a photograph, its label, and what a model says of it (None = not scored)."""

    sample_id: str
    target: Target
    prediction: Grey | None
    image: NDArray[np.uint8] | None = None
    split: str = "train"
    fold: int = -1
    touching: Sequence[str] = field(default_factory=tuple)
    group: str | None = None
    edges: str = ""
    people: int = 1
    head_visible: bool | None = None
    tags: Sequence[str] = field(default_factory=tuple)


def make_dataset(root: Path, drawn: Sequence[Drawn], name: str = "people") -> Dataset:
    """A dataset version of the drawn samples."""
    with staged_folder(root) as staging:
        (staging / "images").mkdir()
        (staging / "masks").mkdir()
        samples = schema.table([_sample_row(staging, one) for one in drawn], schema.SAMPLES)
        nothing = schema.table([], schema.DROPS)
        finish_dataset(
            staging,
            name=name,
            version=1,
            parent=None,
            recipe={},
            sources=[],
            funnel=[],
            samples=samples,
            drops=nothing,
        )
    return open_dataset(root)


def _sample_row(staging: Path, one: Drawn) -> dict[str, object]:
    image, mask = staging / f"images/{one.sample_id}.png", staging / f"masks/{one.sample_id}.png"
    pixels = one.image if one.image is not None else np.stack([one.target] * 3, axis=-1)
    Image.fromarray(pixels).save(image)
    mask.write_bytes(png_bytes(one.target))
    return {
        "sample_id": one.sample_id,
        "image": f"images/{one.sample_id}.png",
        "mask": f"masks/{one.sample_id}.png",
        "width": one.target.shape[1],
        "height": one.target.shape[0],
        "people": one.people * int((one.target == PERSON).any()),
        "area": area_fraction(one.target),
        "split": one.split,
        "fold": one.fold,
        "group": one.group or one.sample_id,
        "source": "drawn",
        "licence": None,
        "origin": "hand",
        "edges": one.edges,
        "touching": list(one.touching),
        "head_visible": one.head_visible,
        "image_sha256": sha256_file(image),
        "mask_sha256": sha256_file(mask),
        "weight": 1.0,
        "tags": list(one.tags),
    }


def make_run(root: Path, dataset: Dataset, drawn: Sequence[Drawn]) -> Path:
    """A scored run over the samples that have a prediction."""
    (root / "predictions").mkdir(parents=True)
    header = {"dataset": Path(os.path.relpath(dataset.root, root)).as_posix(), "digest": dataset.header.digest}
    (root / "config.json").write_bytes(msgspec.json.encode(header))
    scored = [one for one in drawn if one.prediction is not None]
    for one in scored:
        (root / f"predictions/{one.sample_id}.png").write_bytes(png_bytes(np.asarray(one.prediction)))
    rows = [_score_row(one) for one in scored]
    write_table(root / "scores.parquet", schema.table(rows, schema.SCORES))
    return root


def _score_row(one: Drawn) -> dict[str, object]:
    assert one.prediction is not None
    place = {"sample_id": one.sample_id, "split": one.split, "fold": one.fold}
    return place | score(one.target, one.prediction)


def score(target: Target, prediction: Grey) -> dict[str, object]:
    """The figures of schema.SCORES for one image."""
    counted, person, predicted = target != IGNORE, target == PERSON, prediction >= 128
    tp, fp = int((person & predicted & counted).sum()), int((predicted & ~person & counted).sum())
    fn, tn = int((person & ~predicted).sum()), int((~predicted & ~person & counted).sum())
    chance = np.clip(prediction[counted] / 255, 1e-7, 1 - 1e-7)
    of_label = np.where(person[counted], chance, 1 - chance)
    softmin = np.exp((1 - of_label) / 0.1)
    return {
        "tp": tp,
        "fp": fp,
        "fn": fn,
        "tn": tn,
        "ignored": int((~counted).sum()),
        "iou": _ratio(tp, tp + fp + fn),
        "dice": _ratio(2 * tp, 2 * tp + fp + fn),
        "accuracy": _ratio(tp + tn, tp + tn + fp + fn),
        "sensitivity": _ratio(tp, tp + fn),
        "specificity": _ratio(tn, tn + fp),
        "boundary_iou": _boundary_iou(person, predicted & counted, counted),
        "bce": float(-np.log(of_label).mean()),
        "label_quality": float((of_label * softmin).sum() / softmin.sum()),
    }


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _boundary_iou(person: Mask, predicted: Mask, counted: Mask) -> float | None:
    width_px = band_width_px((person.shape[0], person.shape[1]))
    one, other = boundary_band(person, width_px) & counted, boundary_band(predicted, width_px) & counted
    return _ratio(int((one & other).sum()), int((one | other).sum()))


SIZE_HW = (120, 160)


def body(left: int = 50, size_hw: tuple[int, int] = SIZE_HW) -> Mask:
    """A person of a head and a trunk, standing on the image's lower edge."""
    height, width = size_hw
    rows, columns = np.ogrid[:height, :width]
    unit = height / 120
    head = (rows - 34 * unit) ** 2 + (columns - (left + 22) * unit) ** 2 <= (15 * unit) ** 2
    trunk = (rows >= 46 * unit) & (abs(columns - (left + 22) * unit) <= 22 * unit)
    drawn: Mask = head | trunk
    return drawn


def as_target(person: Mask) -> Target:
    """A target in which every pixel is counted."""
    return np.where(person, np.uint8(PERSON), np.uint8(0))


def photograph(person: Mask, seed: int = 0) -> NDArray[np.uint8]:
    """A reddish person before a greenish background, both with the grain of a photograph."""
    rng = np.random.default_rng(seed)
    colours = np.where(person[..., None], (170, 80, 70), (70, 130, 90)).astype(np.float64)
    grain = cv2.GaussianBlur(rng.normal(0, 40, (*person.shape, 3)), (0, 0), 2.0)
    return np.clip(cv2.GaussianBlur(colours, (0, 0), 0.8) + grain, 0, 255).astype(np.uint8)


def sure_of(person: Mask) -> Grey:
    """What a model says that sees exactly this person: sure inside and outside, in doubt at the outline."""
    return np.rint(255 * cv2.GaussianBlur(person.astype(np.float32), (0, 0), 1.5)).astype(np.uint8)
