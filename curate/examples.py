"""Which images stand on a dataset's contact sheet: a sample of the kept, and of what each rule dropped."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
from PIL import Image

from curate import schema
from curate.dataset import Dataset
from curate.errors import CurateError
from curate.images import read_target, read_thumbnail
from curate.rules import percent
from curate.sheet import ROW_HEIGHT, Strip, Tile, draw_sheet
from curate.sources import Read
from curate.threads import map_threads, unwatched

KEPT_ROWS = 6
MOST_IN_ROW = 17
HEADINGS = {
    "unreadable": "unreadable",
    "people": "too few people",
    "crowd": "too many people",
    "area": "area out of range",
    "decision": "excluded by a reviewer",
}


def sheet_page(strips: Sequence[Strip], kept: int, dropped: int) -> Image.Image:
    """The sheet of a dataset that kept so many images and dropped so many."""
    return draw_sheet(f"{kept} of {kept + dropped} images", "person tinted and outlined, grey is not counted", strips)


def kept_strip(root: Path, samples: pl.DataFrame, rows: int = KEPT_ROWS) -> Strip:
    """A sample of a dataset's images with their masks."""
    chosen = shuffled(samples).head(rows * MOST_IN_ROW).to_dicts()
    tiles = map_threads(lambda row: kept_tile(root, row), chosen, unwatched("", 0))
    splits = [f"{samples.filter(pl.col('split') == split).height} {split}" for split in schema.SPLITS]
    remark = ", ".join(words for words in splits if not words.startswith("0 "))
    return Strip(f"kept: {samples.height}", remark, tiles, rows)


def kept_tile(root: Path, row: dict[str, Any]) -> Tile:
    """One kept image with its figures."""
    people = f"{row['people']} {'person' if row['people'] == 1 else 'people'}"
    caption = f"{percent(round(row['area'], 2))}, {people}"
    try:
        target = read_target(root / row["mask"], (row["height"], row["width"]))
        return Tile(caption, read_thumbnail(root / row["image"], ROW_HEIGHT), target)
    except CurateError as error:
        return Tile(str(error), None)


def drop_strips(drops: pl.DataFrame, candidates: pl.DataFrame, reads: Sequence[Read], rows: int = 1) -> list[Strip]:
    """A strip of examples for every rule that dropped images, in the order of the rules.

    Args:
        drops: As in `drops.parquet`.
        candidates: The candidate table with `read`, the index into `reads`; empty where the sources are not at hand.
        reads: The sources.
        rows: Rows of tiles in each strip.
    """
    strips = []
    for rule in schema.RULES:
        dropped = drops.filter(pl.col("rule") == rule)
        if dropped.height:
            chosen = shuffled(dropped.join(candidates, on="sample_id", how="inner")).head(rows * MOST_IN_ROW)
            tiles = map_threads(lambda row: drop_tile(row, reads[row["read"]]), chosen.to_dicts(), unwatched("", 0))
            remark = f"rule `{rule}`" + ("" if tiles else ": the sources do not lie where they lay at the build")
            strips.append(Strip(f"{HEADINGS.get(rule, rule)}: {dropped.height}", remark, tiles, rows, caption_lines=2))
    return strips


def drop_tile(row: dict[str, Any], read: Read) -> Tile:
    """One dropped image with its reason, folders left out; the reason alone where the picture cannot be shown."""
    caption = re.sub(r"\S*/", "", row["detail"]) or row["sample_id"]
    try:
        photo = read_thumbnail(read.labels.image(row["row"]), ROW_HEIGHT)
    except CurateError:
        return Tile(caption, None)
    try:
        return Tile(caption, photo, read.labels.draw(row["row"]).target)
    except CurateError:
        return Tile(caption, photo)


def redraw_sheet(dataset: Dataset, reads: Sequence[Read], rows: int = KEPT_ROWS) -> Image.Image:
    """The sheet of a dataset version again; what was dropped is shown where its sources are given.

    Args:
        dataset: The version.
        reads: Its sources, read again; may be empty.
        rows: Rows of kept images.
    """
    tables = [read.candidates.select("sample_id", "row", read=pl.lit(index)) for index, read in enumerate(reads)]
    empty = pl.DataFrame(schema={"sample_id": pl.String, "row": pl.Int64, "read": pl.Int32})
    candidates = pl.concat(tables, how="vertical_relaxed") if tables else empty
    strips = [kept_strip(dataset.root, dataset.samples, rows), *drop_strips(dataset.drops, candidates, reads)]
    return sheet_page(strips, dataset.samples.height, dataset.drops.height)


def shuffled(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows in an order that looks random and is always the same: by the hash of their sample_id."""
    keys = [hashlib.sha256(sample_id.encode()).hexdigest() for sample_id in frame["sample_id"]]
    return frame.with_columns(key=pl.Series(keys, dtype=pl.String)).sort("key").drop("key")
