"""The strips of a contact sheet: a sample of what was kept, of what each rule dropped, or images picked by a column."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from PIL import Image

from curate import schema, terminal
from curate.choosing.rules import percent
from curate.dataset import Dataset
from curate.errors import CurateError
from curate.guesses import MODEL
from curate.images import read_target, read_thumbnail
from curate.looking.picks import NO_VALUE, VALUE, Choice, Part, has_worst, pick, settled_order, shuffled, value_words
from curate.looking.sheet import (
    GAP,
    HELD_HEIGHT,
    MARGIN,
    NARROWEST,
    ROW_HEIGHT,
    WIDTH,
    Strip,
    Tile,
    draw_sheet,
    lay_out,
    make_tile,
)
from curate.sources import Read
from curate.threads import PART, map_threads, unwatched

KEPT_ROWS, DROP_ROWS, CHOSEN_ROWS = 6, 1, 6
MOST_IN_ROW = int((WIDTH - 2 * MARGIN) / (NARROWEST * ROW_HEIGHT + GAP)) + 2
MOST_PARTS = 12
"""A column of more values than this shows the first of them, and says so."""
LEGEND = "person outlined, striped is not counted"
HEADINGS = {
    "unreadable": "unreadable",
    "people": "too few people",
    "crowd": "too many people",
    "area": "area out of range",
    "side": "too small",
    "intact": "person not intact",
    "parts": "in too many parts",
    "coarse": "coarse label",
    "duplicate": "duplicates",
    "leak": "would tie two splits together",
    "where": "fails the condition",
    "take": "not taken",
    "decision": "excluded by a reviewer",
}

Draw = Callable[[dict[str, Any]], Tile]


def sheet_page(version: str, strips: Sequence[Strip], kept: int, dropped: int) -> Image.Image:
    """The sheet of a dataset that kept so many images and dropped so many.

    Args:
        version: Its name and version, as `version_words` gives them.
        strips: What stands on the page.
        kept: Images kept.
        dropped: Images dropped.
    """
    return draw_sheet(f"{version}: {kept:,} of {kept + dropped:,} images", LEGEND, strips)


def version_words(name: str, version: int) -> str:
    """A dataset version for a page's title."""
    return f"{name}, version {version}"


def redraw_sheet(dataset: Dataset, reads: Sequence[Read], rows: int = KEPT_ROWS) -> Image.Image:
    """The sheet of a dataset version again; what was dropped is shown where its sources are given.

    Args:
        dataset: The version.
        reads: Its sources, read again; may be empty.
        rows: Rows of kept images.
    """
    kept = kept_strip(dataset.root, dataset.samples, rows)
    strips = [kept, *drop_strips(dataset.drops, gather_places(reads), reads)]
    words = version_words(dataset.header.name, dataset.header.version)
    return sheet_page(words, strips, dataset.samples.height, dataset.drops.height)


def gather_places(reads: Sequence[Read]) -> pl.DataFrame:
    """Where each candidate's label is found: `sample_id`, `row`, and `read`, the index of its source."""
    tables = [read.candidates.select("sample_id", "row", read=pl.lit(index)) for index, read in enumerate(reads)]
    empty = pl.DataFrame(schema={"sample_id": pl.String, "row": pl.Int64, "read": pl.Int32})
    return pl.concat(tables, how="vertical_relaxed") if tables else empty


def kept_strip(root: Path, samples: pl.DataFrame, rows: int = KEPT_ROWS) -> Strip:
    """A sample of a dataset's images with their masks."""
    tiles = fill_rows(shuffled(samples), lambda row: kept_tile(root, row, figures(row)), rows)
    splits = [f"{samples.filter(split=split).height:,} {split}" for split in schema.SPLITS]
    counts = ", ".join(words for words in splits if not words.startswith("0 "))
    shown = f"; {len(tiles)} of them at random" if len(tiles) < samples.height else ""
    return Strip(f"kept: {samples.height:,}", f"{counts}{shown}", tiles, rows)


def fill_rows(table: pl.DataFrame, draw: Draw, rows: int) -> list[Tile]:
    """Tiles of the table's first rows, as many as fit; no more pictures are read than it takes."""
    table = table.head(rows * MOST_IN_ROW)
    tiles: list[Tile] = []
    for start in range(0, table.height, 2 * PART):
        tiles += map_threads(draw, table.slice(start, 2 * PART).to_dicts(), unwatched("", 0))
        fitting = sum(len(row.tiles) for row in lay_out(tiles, rows))
        if fitting < len(tiles):
            return tiles[:fitting]
    return tiles


def figures(row: dict[str, Any]) -> str:
    """What is known of a kept image at a glance."""
    if row["split"] == "background":
        return "nobody"
    if row["split"] == "pool" and row["origin"] != MODEL:
        return "no label yet"
    area = percent(round(row["area"], 2)) if row["area"] >= 0.005 else "under 1 %"
    if row["origin"] == MODEL:
        return f"{area}, a model's guess"
    return f"{area}, {row['people']} {'person' if row['people'] == 1 else 'people'}"


def kept_tile(root: Path, row: dict[str, Any], caption: str) -> Tile:
    """One kept image with its mask; what is wrong with it where it cannot be shown."""
    try:
        target = read_target(root / row["mask"], (row["height"], row["width"]))
        return make_tile(caption, read_thumbnail(root / row["image"], HELD_HEIGHT), target, row["sample_id"])
    except CurateError as error:
        return Tile(terminal.without_folders(str(error)), None, note=row["sample_id"])


def drop_strips(drops: pl.DataFrame, candidates: pl.DataFrame, reads: Sequence[Read]) -> list[Strip]:
    """A strip of examples for every rule that dropped images, in the order of the rules.

    Args:
        drops: As in `drops.parquet`.
        candidates: The candidate table with `read`, the index into `reads`; empty where the sources are not at hand.
        reads: The sources.
    """
    strips = []
    for rule in schema.RULES:
        dropped = drops.filter(rule=rule)
        if dropped.height:
            found = dropped.join(candidates.select("sample_id", "row", "read"), on="sample_id")
            tiles = fill_rows(shuffled(found), lambda row: drop_tile(row, reads, reason(row)), DROP_ROWS)
            remark = f"rule {rule}" + ("" if tiles else ": the sources do not lie where they lay at the build")
            strips.append(Strip(f"{HEADINGS.get(rule, rule)}: {dropped.height:,}", remark, tiles, DROP_ROWS))
    return strips


def reason(row: dict[str, Any]) -> str:
    """Why an image was dropped, folders left out."""
    return terminal.without_folders(row["detail"] or "")


def drop_tile(row: dict[str, Any], reads: Sequence[Read], caption: str) -> Tile:
    """One dropped image with its reason; the reason alone where the picture cannot be shown."""
    note = row["sample_id"]
    try:
        labels = reads[row["read"]].labels if row["read"] is not None else None
        photo = read_thumbnail(labels.image(row["row"]), HELD_HEIGHT) if labels else None
    except CurateError:
        photo = None
    if labels is None or photo is None:
        return Tile(caption, None, note=note)
    try:
        return make_tile(caption, photo, labels.draw(row["row"]).target, note)
    except CurateError:
        return make_tile(caption, photo, note=note)


def chosen_sheet(
    dataset: Dataset, rows: pl.DataFrame, choice: Choice, reads: Sequence[Read], most_rows: int | None = None
) -> Image.Image:
    """A sheet of images picked by a column.

    Args:
        dataset: The version they are of.
        rows: The images to pick from, as picks.chosen_rows gives them.
        choice: By which column, in which order.
        reads: The version's sources, where dropped images are to be shown; may be empty.
        most_rows: Rows of pictures under each heading; None: about CHOSEN_ROWS in all.
    """
    if choice.dropped is not None:
        rows = rows.join(gather_places(reads), on="sample_id", how="left", maintain_order="left")
    parts = pick(rows, choice)
    shown = parts[:MOST_PARTS] + [part for part in parts[MOST_PARTS:] if part.title == NO_VALUE]
    height = most_rows or max(1, CHOSEN_ROWS // len(shown))
    draw = chosen_draw(dataset, choice, reads, titled=bool(parts[0].title))
    strips = [part_strip(part, rows.height, draw, 1 if part.title == NO_VALUE else height) for part in shown]
    more = f"; the first {MOST_PARTS} of {len(parts):,} values" if len(shown) < len(parts) else ""
    heading = version_words(dataset.header.name, dataset.header.version) + scope_words(choice)
    return draw_sheet(f"{heading}: {order_words(choice, rows, parts)}", f"{LEGEND}{source_words(choice)}{more}", strips)


def chosen_draw(dataset: Dataset, choice: Choice, reads: Sequence[Read], *, titled: bool) -> Draw:
    """What makes the tiles of a choice: of dropped images with their reasons, or of kept ones.

    Captions tell the value, unless the images stand under the value as their title.
    """

    def caption(row: dict[str, Any], otherwise: str) -> str:
        if choice.by is None or titled:
            return otherwise
        value = f"{choice.by}{':' if row[VALUE] is None else ''} {value_words(row[VALUE])}"
        return f"{value}: {otherwise}" if choice.dropped is not None else value

    if choice.dropped is not None:
        return lambda row: drop_tile(row, reads, caption(row, reason(row)))
    return lambda row: kept_tile(dataset.root, row, caption(row, figures(row)))


def scope_words(choice: Choice) -> str:
    """Which images a sheet picks from, for its title."""
    if choice.dropped is not None:
        return f", dropped by {choice.dropped}"
    return f", {' and '.join(choice.splits)}" if choice.splits else ""


def source_words(choice: Choice) -> str:
    """Which table a joined column is of."""
    return f"; {choice.by} of {choice.join}" if choice.join is not None else ""


def part_strip(part: Part, of: int, draw: Draw, rows: int) -> Strip:
    """One heading's strip; it says how many of its images are shown, and how many have no value."""
    count = part.rows.height
    tiles = fill_rows(part.rows, draw, rows)
    remark = [f"{len(tiles):,} of them shown"] if len(tiles) < count else []
    if part.title:
        share = f"{terminal.percent(count / of)} of {of:,} images"
        return Strip(f"{part.title}: {count:,}", "; ".join([share, *remark]), tiles, rows)
    missing = part.rows[VALUE].null_count() if VALUE in part.rows.columns else 0  # in an order, they come last
    remark += [f"{missing:,} have no value"] if missing else []
    return Strip(terminal.counted(count, "image"), "; ".join(remark), tiles, rows)


def order_words(choice: Choice, rows: pl.DataFrame, parts: Sequence[Part]) -> str:
    """The order of a sheet for its title."""
    order = settled_order(choice)
    if choice.by is None:
        return "in random order"
    if order == "random":
        return f"{choice.by}, in random order"
    if rows[VALUE].dtype.is_numeric():
        worst = choice.order in (None, "worst") and has_worst(choice.by)
        return f"{choice.by}, {f'worst ({order})' if worst else order} first"
    if not parts[0].title:
        return f"{choice.by}, in alphabetical order"
    return f"by {choice.by}, {'most frequent' if order == 'largest' else 'rarest'} first"
