"""The same few validation images predicted after every epoch, so that one sees a model learn."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import nn

from curate.dataset import Dataset
from curate.files import write_atomic
from curate.looking.sheet import FADED, INK, PAPER, Photo, blend, fit_inside, font, resize, shorten, stripes
from curate.masks import IGNORE, Target
from train.config import FitConfig
from train.data.cache import resize_image
from train.data.targets import resize_target
from train.engine.stages import stages
from train.inference.predict import predict_batch, to_bytes
from train.scoring.metrics import score_image

COUNT = 8
TILE, GAP, CAPTION, MARGIN, HEAD = 128, 6, 20, 16, 24
"""Sides in px of a tile, of what lies between, and of the texts below and above."""
MOST_EPOCHS = 10
"""Columns of `progress.png` that show epochs."""
GROUND = (222, 60, 140)
"""What is taken for background is covered with this: neither skin nor clothes nor walls often have it."""
COVERED = 0.82
"""How much: what was cut off can still be made out."""
BEST = (11, 110, 153)


@dataclass(frozen=True)
class Fixed:
    """The images that are looked at, all parallel.

    Attributes:
        sample_ids: Their names.
        photos: (H, W, 3) uint8 each, small enough for a tile.
        labels: (H, W) uint8 targets, of native size.
        inputs: Side in px of a stage -> what the model is shown (K, S, S, 3) uint8.
        targets: Side in px of a stage -> (K, S, S) uint8.
    """

    sample_ids: Sequence[str]
    photos: Sequence[Photo]
    labels: Sequence[Target]
    inputs: Mapping[int, Photo]
    targets: Mapping[int, Target]


def fixed_rows(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Some of the rows that judge epochs: the same in every run on a dataset, of different groups while there are any.

    They are ordered by the hash of their name, so that most stay where images are added.
    """
    ordered = sorted(rows, key=lambda row: hashlib.sha256(row["sample_id"].encode()).digest())
    seen: set[str] = set()
    first: list[dict[str, Any]] = []
    others: list[dict[str, Any]] = []
    for row in ordered:
        (others if row["group"] in seen else first).append(row)
        seen.add(row["group"])
    return [*first, *others][:COUNT]


def read_fixed(dataset: Dataset, config: FitConfig, judges: Collection[str]) -> Fixed:
    """The images to look at, of those that judge epochs, read once for all sizes of a run; none where none do."""
    rows = fixed_rows(dataset.samples.filter(pl.col("sample_id").is_in(list(judges))).to_dicts())
    images, labels = [dataset.image(row) for row in rows], [dataset.target(row) for row in rows]
    sizes = {stage.size for stage in stages(config)} if rows else set()
    return Fixed(
        sample_ids=[row["sample_id"] for row in rows],
        photos=[resize(image, fit_inside(image.shape[:2], (TILE, TILE))) for image in images],
        labels=labels,
        inputs={size: np.stack([resize_image(image, size) for image in images]) for size in sizes},
        targets={size: np.stack([resize_target(label, size) for label in labels]) for size in sizes},
    )


def draw_epoch(fixed: Fixed, model: nn.Module, size: int, precision: str = "auto") -> Image.Image:
    """What a model makes of the images at one size, in a row of tiles, each with its IoU at that size below.

    Args:
        fixed: The images.
        model: In evaluation mode.
        size: Side in px of the stage.
        precision: That of the run.
    """
    tiles = []
    predicted = predict_batch(model, fixed.inputs[size], precision)
    for photo, chances, target in zip(fixed.photos, predicted, fixed.targets[size], strict=True):
        iou = score_image(target, to_bytes(chances))["iou"]
        tiles.append(draw_tile(covered(photo, chances), "nobody, found nobody" if iou is None else f"IoU {iou:.2f}"))
    strip = Image.new("RGB", (len(tiles) * (TILE + GAP) - GAP, TILE + CAPTION), PAPER)
    for number, tile in enumerate(tiles):
        strip.paste(tile, (number * (TILE + GAP), 0))
    return strip


def covered(photo: Photo, chances: NDArray[np.float32], ignored: NDArray[np.float32] | None = None) -> Photo:
    """A photo (H, W, 3), covered by GROUND as far as it shows no person, and striped where that is not counted.

    Args:
        photo: The photograph.
        chances: (h, w) in [0, 1], the probability of person.
        ignored: (h, w) in [0, 1], where the label does not count.
    """
    size_hw = (photo.shape[0], photo.shape[1])
    drawn = blend(photo.astype(np.float32), GROUND, COVERED * (1 - _resized(chances, size_hw)))
    if ignored is not None:
        drawn = blend(drawn, stripes(size_hw), 0.7 * _resized(ignored, size_hw))
    return drawn.clip(0, 255).astype(np.uint8)


def _resized(values: NDArray[np.float32], size_hw: tuple[int, int]) -> NDArray[np.float32]:
    return resize(to_bytes(values), size_hw).astype(np.float32) / np.float32(255)


def draw_tile(photo: Photo, caption: str) -> Image.Image:
    """A picture at the top of a tile, its caption below."""
    tile = Image.new("RGB", (TILE, TILE + CAPTION), PAPER)
    height, width = photo.shape[:2]
    tile.paste(Image.fromarray(photo), ((TILE - width) // 2, 0))
    ImageDraw.Draw(tile).text((TILE // 2, height + 2), shorten(caption, TILE, 13), FADED, font(13), anchor="ma")
    return tile


def strip_path(folder: Path, epoch: int) -> Path:
    """Where the pictures of an epoch lie."""
    return folder / "plots" / "epochs" / f"epoch-{epoch:03}.jpg"


def write_strip(path: Path, strip: Image.Image) -> None:
    """Write the pictures of an epoch."""
    buffer = io.BytesIO()
    strip.save(buffer, "JPEG", quality=92, subsampling=0)
    write_atomic(path, buffer.getvalue(), synced=False)


def shown_epochs(epochs: Sequence[int], best: int | None, most: int = MOST_EPOCHS) -> list[int]:
    """At most `most` epochs, evenly spaced, the first and the last among them, and the best one beside those.

    >>> shown_epochs(range(1, 101), best=37, most=4)
    [1, 34, 37, 67, 100]
    """
    last = len(epochs) - 1
    places = range(len(epochs)) if len(epochs) <= most else [round(last * part / (most - 1)) for part in range(most)]
    chosen = {epochs[place] for place in places}
    return sorted(chosen | ({best} if best in epochs and best is not None else set()))


def draw_progress(fixed: Fixed, folder: Path, epochs: int, best: int | None) -> Image.Image | None:
    """A page with a row for each image: photograph, label, and what the model made of it after some of the epochs.

    None where no epoch has left pictures.

    Args:
        fixed: The images.
        folder: Of the model, with the pictures of its epochs.
        epochs: Finished epochs.
        best: The best of them.
    """
    there = [epoch for epoch in range(1, epochs + 1) if strip_path(folder, epoch).is_file()]
    shown = shown_epochs(there, best)
    if not shown or not fixed.sample_ids:
        return None
    columns = [("photo", _photo_tiles(fixed), INK), ("label", _label_tiles(fixed), INK)]
    for epoch in shown:
        with Image.open(strip_path(folder, epoch)) as strip:
            tiles = _cut_apart(strip.convert("RGB"), len(fixed.sample_ids))
        columns.append((f"epoch {epoch}{', best' if epoch == best else ''}", tiles, BEST if epoch == best else INK))
    tops = list(accumulate((photo.shape[0] + CAPTION + GAP for photo in fixed.photos), initial=MARGIN + HEAD))
    page = Image.new("RGB", (2 * MARGIN + len(columns) * (TILE + GAP) - GAP, tops[-1] - GAP + MARGIN), PAPER)
    draw = ImageDraw.Draw(page)
    for number, (title, tiles, colour) in enumerate(columns):
        left = MARGIN + number * (TILE + GAP)
        draw.text((left + TILE // 2, MARGIN), title, colour, font(15), anchor="ma")
        for tile, top in zip(tiles, tops, strict=False):  # the lower part of a low tile goes under the next one
            page.paste(tile, (left, top))
    return page


def _photo_tiles(fixed: Fixed) -> list[Image.Image]:
    return [draw_tile(photo, end_of(name)) for photo, name in zip(fixed.photos, fixed.sample_ids, strict=True)]


def end_of(name: str) -> str:
    """As much of the end of a name as a tile is wide: what tells it from others."""
    ends = [name, *("..." + name[start:] for start in range(1, len(name)))]
    return next((end for end in ends if font(13).getlength(end) <= TILE), "")


def _label_tiles(fixed: Fixed) -> list[Image.Image]:
    return [
        draw_tile(covered(photo, (label > IGNORE).astype(np.float32), (label == IGNORE).astype(np.float32)), "")
        for photo, label in zip(fixed.photos, fixed.labels, strict=True)
    ]


def _cut_apart(strip: Image.Image, count: int) -> list[Image.Image]:
    lefts = [number * (TILE + GAP) for number in range(count)]
    return [strip.crop((left, 0, left + TILE, TILE + CAPTION)) for left in lefts]
