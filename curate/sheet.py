"""Contact sheets: kept images with their masks laid over, and a strip of examples for every rule that dropped some."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from curate import masks
from curate.files import write_atomic
from curate.masks import SizeHW, Target

WIDTH, MARGIN, GAP, ROW_HEIGHT, HEADING, CAPTION = 1560, 40, 12, 190, 64, 18
PAPER, INK, FADED, LINE = (250, 250, 248), (28, 30, 34), (120, 124, 130), (222, 222, 218)
PERSON_TINT, OUTLINE, IGNORE_TINT = (0, 180, 150), (0, 235, 190), (150, 150, 150)

Photo = NDArray[np.uint8]


@dataclass(frozen=True)
class Tile:
    """One picture with its caption; without a picture the caption's text fills the tile."""

    caption: str
    photo: Photo | None
    target: Target | None = None


@dataclass(frozen=True)
class Strip:
    """A titled block of tiles, laid out in at most `rows` rows."""

    title: str
    remark: str
    tiles: Sequence[Tile]
    rows: int
    caption_lines: int = 1


@dataclass(frozen=True)
class Row:
    """Tiles side by side, all of one height."""

    tiles: Sequence[Tile]
    height_px: int


def draw_sheet(title: str, remark: str, strips: Sequence[Strip]) -> Image.Image:
    """A page of strips under a title; the tiles of a row share their height and keep their shape."""
    laid = [lay_out(strip.tiles, strip.rows) for strip in strips]
    heights = [
        HEADING + sum(row.height_px + strip.caption_lines * CAPTION + GAP for row in rows)
        for strip, rows in zip(strips, laid, strict=True)
    ]
    page = Image.new("RGB", (WIDTH, 2 * MARGIN + 60 + sum(heights)), PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((MARGIN, MARGIN - 6), title, INK, font(30))
    draw.text((MARGIN, MARGIN + 34), remark, FADED, font(16))
    top = MARGIN + 70
    for strip, rows, height in zip(strips, laid, heights, strict=True):
        draw_strip(page, draw, strip, rows, top)
        top += height
    return page


def draw_strip(page: Image.Image, draw: ImageDraw.ImageDraw, strip: Strip, rows: Sequence[Row], top: int) -> None:
    """A strip's title line and its rows of tiles onto the page."""
    draw.line((MARGIN, top, WIDTH - MARGIN, top), LINE, 2)
    draw.text((MARGIN, top + 12), strip.title, INK, font(21))
    left = MARGIN + int(draw.textlength(strip.title, font(21))) + 14
    draw.text((left, top + 16), strip.remark, FADED, font(16))
    top += 48
    for row in rows:
        left = MARGIN
        for tile in row.tiles:
            left += draw_tile(page, draw, tile, (left, top), row.height_px, strip.caption_lines) + GAP
        top += row.height_px + strip.caption_lines * CAPTION + GAP


def draw_tile(
    page: Image.Image, draw: ImageDraw.ImageDraw, tile: Tile, at: tuple[int, int], height_px: int, lines: int
) -> int:
    """One tile with its caption below; returns its width in px."""
    width = int(tile_aspect(tile) * height_px)
    if tile.photo is None:
        draw.rectangle((*at, at[0] + width, at[1] + height_px), fill=LINE)
        text = "\n".join(wrap(draw, tile.caption, width - 20, 7))
        draw.multiline_text((at[0] + 10, at[1] + 10), text, INK, font(13), spacing=4)
        return width
    page.paste(Image.fromarray(overlay(tile.photo, tile.target, (height_px, width))), at)
    text = "\n".join(wrap(draw, tile.caption, width, lines))
    draw.multiline_text((at[0], at[1] + height_px + 4), text, FADED, font(13), spacing=3)
    return width


def lay_out(tiles: Sequence[Tile], rows: int) -> list[Row]:
    """Tiles in at most `rows` rows; a full row is made just low enough to fill the page's width exactly."""
    laid: list[Row] = []
    waiting: list[Tile] = []
    for tile in tiles:
        waiting.append(tile)
        room = WIDTH - 2 * MARGIN - GAP * (len(waiting) - 1)
        height = room / sum(map(tile_aspect, waiting))
        if height <= ROW_HEIGHT:
            laid.append(Row(waiting, int(height)))
            waiting = []
        if len(laid) == rows:
            return laid
    return [*laid, Row(waiting, ROW_HEIGHT)] if waiting else laid


def tile_aspect(tile: Tile) -> float:
    """Width / height a tile is shown with; very wide and narrow pictures are squeezed to between 1:2 and 5:2."""
    if tile.photo is None:
        return 1.5
    height, width = tile.photo.shape[:2]
    return float(min(2.5, max(0.5, width / height)))


def overlay(photo: Photo, target: Target | None, size_hw: SizeHW) -> Photo:
    """A photo at another size with the person tinted and outlined, and what is not counted greyed."""
    height, width = size_hw
    small: Photo = cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)
    if target is None:
        return small
    person = cv2.resize((target == masks.PERSON).astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    ignored = cv2.resize((target == masks.IGNORE).astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    tinted = small + 0.25 * person[..., None] * (np.array(PERSON_TINT) - small)
    tinted = tinted + 0.7 * ignored[..., None] * (np.array(IGNORE_TINT) - tinted)
    mask = (person >= 0.5).astype(np.uint8)
    edge = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)).astype(bool)
    tinted[edge] = OUTLINE
    drawn: Photo = np.clip(tinted, 0, 255).astype(np.uint8)
    return drawn


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font, so that a sheet looks the same on every machine."""
    return ImageFont.load_default(size)


def wrap(draw: ImageDraw.ImageDraw, text: str, width: int, most: int) -> list[str]:
    """The text in at most `most` lines of `width` px, the last cut off with three dots where it goes on."""
    lines = [""]
    for word in re.findall(r"[^ /]*[ /]|[^ /]+", text):
        if draw.textlength(lines[-1] + word, font(13)) > width and lines[-1]:
            lines.append("")
        lines[-1] += word
    if len(lines) > most:
        lines = [*lines[: most - 1], lines[most - 1] + "..."]
    return [shorten(draw, line, width) for line in lines]


def shorten(draw: ImageDraw.ImageDraw, line: str, width: int) -> str:
    """The line, cut off with three dots where it is wider than `width` px."""
    if draw.textlength(line, font(13)) <= width:
        return line
    while line and draw.textlength(line + "...", font(13)) > width:
        line = line[:-1]
    return line + "..."


def write_sheet(path: Path, page: Image.Image) -> None:
    """The page as a PNG, atomically."""
    buffer = io.BytesIO()
    page.save(buffer, "PNG", compress_level=6)
    write_atomic(path, buffer.getvalue())
