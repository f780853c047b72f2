"""What only pixels tell: photographs read to their end, and masks drawn, measured and written."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate import masks, schema
from curate.choosing.duplicates import SIGNATURE_BYTES, signature
from curate.classes import FOLDER, class_tag
from curate.decisions import WEIGHTS
from curate.engine import map_table
from curate.errors import CurateError
from curate.files import sha256_bytes, sha256_file
from curate.images import IMAGE_SUFFIXES, examine_image, target_png
from curate.masks import Mask
from curate.sources import Label, Read
from curate.sources.outlines import spacing_px
from curate.threads import Tick

PHOTO = pl.Schema({"path": pl.String, "image_sha256": pl.String, "signature": pl.Binary, "damage": pl.String})
"""What reading a photograph gives; `damage` says why it cannot be used."""
DRAWN = pl.Schema(
    {
        "area": pl.Float64,
        "origin": pl.String,
        "edges": pl.String,
        "touching": schema.STRINGS,
        "head_visible": pl.Boolean,
        "mask_sha256": pl.String,
        "weight": pl.Float32,
        "tags": schema.STRINGS,
        "keypoints": pl.Int64,
        "parts": pl.Int64,
        "spacing": pl.Float64,
        "stairs": pl.Float64,
        "damage": pl.String,
    }
)
"""What drawing a label gives: columns of `samples.parquet`, and what rules ask for (`spacing` and `stairs` in px)."""


def read_photos(frame: pl.DataFrame, reads: Sequence[Read], tick: Tick) -> pl.DataFrame:
    """The frame with the columns of PHOTO: every photograph found, read to its end and hashed."""
    asked = frame.select("read", "row", "height", "width")
    return frame.hstack(
        map_table(lambda part: [read_photo(row, reads[row["read"]]) for row in part], asked, PHOTO, tick)
    )


def read_photo(row: dict[str, Any], read: Read) -> dict[str, Any]:
    """One photograph's file, hash and signature, or what is wrong with it."""
    try:
        path = read.labels.image(row["row"])
        thumbnail = examine_image(path, (row["height"], row["width"]))
        digest = sha256_file(path)
    except (CurateError, OSError) as error:
        return {"path": None, "image_sha256": None, "signature": None, "damage": str(error)}
    return {
        "path": str(path),
        "image_sha256": digest,
        "signature": signature(thumbnail).tobytes(),
        "damage": None,
    }


def signatures_of(frame: pl.DataFrame) -> NDArray[np.uint8]:
    """The signatures of a frame's photographs, (N, K) uint8."""
    found = np.empty((frame.height, SIGNATURE_BYTES), np.uint8)
    for place, stored in enumerate(frame["signature"]):
        found[place] = np.frombuffer(stored, np.uint8)
    return found


TRAITS: dict[str, Callable[[Label, Mask], float | None]] = {
    "parts": lambda label, person: masks.count_parts(person),
    "spacing": lambda label, person: spacing_px(label.outlines_px),
    "stairs": lambda label, person: masks.stairs_px(person),
}
"""Measures that only some rules ask for, and that cost more than all the rest."""


def draw_masks(
    frame: pl.DataFrame, reads: Sequence[Read], folder: Path | None, traits: Collection[str], tick: Tick
) -> pl.DataFrame:
    """The frame with the columns of DRAWN; with a `folder` every mask is written there as `masks/<sample_id>.png`.

    Beside it goes the class mask, where there is one, as `classes/<sample_id>.png`.

    Args:
        frame: Candidates with `read`, `row`, `kind`, `verdict` and `crowd`.
        reads: The sources.
        folder: Where masks are written, which has a folder `masks`; or None.
        traits: The names of TRAITS that are measured; the others stay null.
        tick: Told of progress.
    """
    asked = frame.select("sample_id", "read", "row", "kind", "verdict", "crowd")
    drawn = map_table(
        lambda part: [draw_mask(row, reads[row["read"]], folder, traits) for row in part], asked, DRAWN, tick
    )
    return frame.drop(column for column in DRAWN if column in frame.columns).hstack(drawn)


def draw_mask(row: dict[str, Any], read: Read, folder: Path | None, traits: Collection[str] = ()) -> dict[str, Any]:
    """One label drawn, measured and, where there is a folder, written."""
    try:
        label = read.labels.draw(row["row"])
    except CurateError as error:
        return dict.fromkeys(DRAWN, None) | {"damage": str(error)}
    target = np.zeros_like(label.target) if row["kind"] == "background" else label.target
    person = target == masks.PERSON
    edges = masks.touched_edges(person)
    sha256 = None
    if folder is not None:
        encoded = label.png if label.png is not None else target_png(target)
        (folder / "masks" / f"{row['sample_id']}.png").write_bytes(encoded)
        sha256 = sha256_bytes(encoded)
        if label.classes is not None:
            (folder / FOLDER).mkdir(exist_ok=True)
            (folder / FOLDER / f"{row['sample_id']}.png").write_bytes(label.classes)
    return {
        "area": masks.area_fraction(target),
        "origin": label.origin,
        "edges": edges if label.edges is None else "".join(edge for edge in edges if edge in label.edges),
        "touching": list(label.touching),
        "head_visible": label.head_visible,
        "mask_sha256": sha256,
        "weight": WEIGHTS.get(row["verdict"], 1.0),
        "tags": tags_of(row, label),
        "keypoints": label.keypoints,
        "damage": None,
        **{name: measure(label, person) if name in traits else None for name, measure in TRAITS.items()},
    }


def tags_of(row: dict[str, Any], label: Label) -> list[str]:
    """The words for the `tags` column: what the label says, its class mask's hash, and a reviewer's verdict."""
    verdict = row["verdict"]
    classes = [class_tag(label.classes)] if label.classes is not None else []
    return ["crowd"] * row["crowd"] + list(label.tags) + classes + [verdict] * (verdict in WEIGHTS)


def file_names(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with the columns `image` and `mask`: where its files lie inside the dataset."""
    suffixes = [Path(path).suffix.lower() for path in frame["path"]]
    known = [suffix if suffix in IMAGE_SUFFIXES else ".img" for suffix in suffixes]
    return frame.with_columns(
        image=pl.concat_str(pl.lit("images/"), "sample_id", pl.Series(known, dtype=pl.String)),
        mask=pl.concat_str(pl.lit("masks/"), "sample_id", pl.lit(".png")),
    )
