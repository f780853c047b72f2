"""Contact sheets: pictures with their masks laid over and captions below, in titled strips on one page."""

from __future__ import annotations

import io
import re
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from curate import masks
from curate.errors import UsageError
from curate.files import write_atomic
from curate.masks import SizeHW, Target

WIDTH, MARGIN, GAP, ROW_HEIGHT, HEADING, LINE_HEIGHT = 1560, 40, 14, 200, 64, 18
HELD_HEIGHT = 260
"""Pictures are held at this height until the layout is known: enough for any row, and little memory."""
NARROWEST, WIDEST = 0.62, 2.5
"""Width / height of a tile; a taller or wider picture stands whole in the middle of its tile."""
CAPTION_LINES, NOTE_LINES, LEAST_REMARK = 4, 2, 60
PAPER, GROUND, INK, FADED, LINE = (250, 250, 248), (236, 236, 232), (28, 30, 34), (120, 124, 130), (222, 222, 218)
PERSON_TINT, OUTLINE, HALO = (0, 180, 150), (0, 240, 195), (8, 28, 30)
STRIPES = ((245, 245, 245), (70, 70, 70))
"""What is not counted is striped in these two, so that it stands out from light, dark and grey photographs."""

Photo = NDArray[np.uint8]
Cover = NDArray[np.uint8]


@dataclass(frozen=True)
class Tile:
    """One picture with its caption and a fainter note below; without a picture the caption fills the tile.

    Attributes:
        caption: What the picture stands here for.
        photo: (H, W, 3) uint8.
        cover: (H, W, 2) uint8, how much of each pixel is person and how much is not counted, 0 to 255.
        note: Its sample_id.
    """

    caption: str
    photo: Photo | None
    cover: Cover | None = None
    note: str = ""


@dataclass(frozen=True)
class Strip:
    """A titled block of tiles, laid out in at most `rows` rows."""

    title: str
    remark: str
    tiles: Sequence[Tile]
    rows: int


@dataclass(frozen=True)
class Row:
    """Tiles side by side, all of one height, and the lines of text below them."""

    tiles: Sequence[Tile]
    height_px: int
    widths_px: Sequence[int]

    @property
    def full_height_px(self) -> int:
        """Height with captions and the gap below."""
        lines = max(len(caption) + len(note) for caption, note in self.texts())
        return self.height_px + lines * LINE_HEIGHT + GAP

    def texts(self) -> list[tuple[list[str], list[str]]]:
        """The lines of each tile's caption and of its note; a caption that fills its tile is not repeated below."""
        below = [(tile.caption if tile.photo is not None else "", tile.note) for tile in self.tiles]
        return [
            (wrap(caption, width, CAPTION_LINES), wrap(note, width, NOTE_LINES))
            for (caption, note), width in zip(below, self.widths_px, strict=True)
        ]


def make_tile(caption: str, photo: Photo, target: Target | None = None, note: str = "") -> Tile:
    """A tile of a photograph and its target, made small; the two may differ in size.

    A target in which nothing counts, as that of an image without a label, is not laid over.
    """
    height, width = photo.shape[:2]
    scale = min(1.0, HELD_HEIGHT / height)
    size_hw = (max(1, round(scale * height)), max(1, round(scale * width)))
    labelled = target is not None and bool((target != masks.IGNORE).any())
    return Tile(caption, resize(photo, size_hw), cover_of(target, size_hw) if labelled else None, note)  # type: ignore[arg-type]


def cover_of(target: Target, size_hw: SizeHW) -> Cover:
    """How much of each pixel of a smaller raster is person, and how much is not counted, 0 to 255.

    A trace of either is at least 1, so that the smallest person leaves a mark.
    """
    parts = [(target == value).astype(np.float32) for value in (masks.PERSON, masks.IGNORE)]
    small = np.stack([cv2.resize(part, size_hw[::-1], interpolation=cv2.INTER_AREA) for part in parts], axis=-1)
    cover: Cover = np.ceil(255 * small.clip(0, 1)).astype(np.uint8)
    return cover


def resize(image: NDArray[np.uint8], size_hw: SizeHW) -> NDArray[np.uint8]:
    """An image at another size, (H, W, C) uint8."""
    if image.shape[:2] == size_hw:
        return image
    way = cv2.INTER_AREA if image.shape[0] >= size_hw[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size_hw[::-1], interpolation=way), np.uint8)


def draw_sheet(title: str, remark: str, strips: Sequence[Strip]) -> Image.Image:
    """A page of strips under a title; the tiles of a row share their height, and every picture keeps its shape."""
    laid = [lay_out(strip.tiles, strip.rows) for strip in strips]
    heights = [HEADING + sum(row.full_height_px for row in rows) for rows in laid]
    page = Image.new("RGB", (WIDTH, 2 * MARGIN + 60 + sum(heights)), PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((MARGIN, MARGIN - 6), shorten(title, WIDTH - 2 * MARGIN, 30), INK, font(30))
    draw.text((MARGIN, MARGIN + 34), shorten(remark, WIDTH - 2 * MARGIN, 16), FADED, font(16))
    top = MARGIN + 70
    for strip, rows, height in zip(strips, laid, heights, strict=True):
        draw_strip(page, draw, strip, rows, top)
        top += height
    return page


def draw_strip(page: Image.Image, draw: ImageDraw.ImageDraw, strip: Strip, rows: Sequence[Row], top: int) -> None:
    """A strip's title line and its rows of tiles onto the page."""
    draw.line((MARGIN, top, WIDTH - MARGIN, top), LINE, 2)
    title = shorten(strip.title, WIDTH - 2 * MARGIN, 21)
    draw.text((MARGIN, top + 12), title, INK, font(21))
    left = MARGIN + int(draw.textlength(title, font(21))) + 14
    if (room := WIDTH - MARGIN - left) > LEAST_REMARK:
        draw.text((left, top + 16), shorten(strip.remark, room, 16), FADED, font(16))
    top += 48
    for row in rows:
        left = MARGIN
        for tile, width, (caption, note) in zip(row.tiles, row.widths_px, row.texts(), strict=True):
            draw_tile(page, draw, tile, (left, top), (row.height_px, width))
            below = top + row.height_px + 4
            draw_lines(draw, (left, below), caption, INK)
            draw_lines(draw, (left, below + len(caption) * LINE_HEIGHT), note, FADED)
            left += width + GAP
        top += row.full_height_px


def draw_tile(page: Image.Image, draw: ImageDraw.ImageDraw, tile: Tile, at: tuple[int, int], box_hw: SizeHW) -> None:
    """One tile into its box: the picture as large as fits, or the caption where there is none."""
    size_hw = fit_inside(tile.photo.shape[:2], box_hw) if tile.photo is not None else (0, 0)
    if size_hw != box_hw:
        draw.rectangle((*at, at[0] + box_hw[1] - 1, at[1] + box_hw[0] - 1), fill=GROUND)
    if tile.photo is None:
        lines = wrap(tile.caption, box_hw[1] - 20, (box_hw[0] - 20) // LINE_HEIGHT)
        draw_lines(draw, (at[0] + 10, at[1] + 10), lines, INK)
        return
    corner = (at[0] + (box_hw[1] - size_hw[1]) // 2, at[1] + (box_hw[0] - size_hw[0]) // 2)
    page.paste(Image.fromarray(overlay(tile.photo, tile.cover, size_hw)), corner)


def draw_lines(draw: ImageDraw.ImageDraw, at: tuple[int, int], lines: Sequence[str], colour: tuple[int, ...]) -> None:
    """Lines of small text, LINE_HEIGHT apart."""
    for number, line in enumerate(lines):
        draw.text((at[0], at[1] + number * LINE_HEIGHT), line, colour, font(14))


def fit_inside(size_hw: tuple[int, ...], box_hw: SizeHW) -> SizeHW:
    """The largest size of the same shape inside a box; within two pixels of it, the box itself.

    >>> fit_inside((100, 400), (200, 500)), fit_inside((400, 100), (200, 124)), fit_inside((40, 60), (200, 300))
    ((125, 500), (200, 50), (200, 300))
    """
    scale = min(box_hw[0] / size_hw[0], box_hw[1] / size_hw[1])
    height, width = (max(1, round(scale * side)) for side in size_hw)
    return box_hw if abs(height - box_hw[0]) <= 2 and abs(width - box_hw[1]) <= 2 else (height, width)


def lay_out(tiles: Sequence[Tile], rows: int) -> list[Row]:
    """Tiles in at most `rows` rows; a full row is made just low enough to fill the page's width exactly."""
    laid: list[Row] = []
    waiting: list[Tile] = []
    for tile in tiles:
        waiting.append(tile)
        room = WIDTH - 2 * MARGIN - GAP * (len(waiting) - 1)
        height = room / sum(map(tile_aspect, waiting))
        if height <= ROW_HEIGHT:
            laid.append(row_of(waiting, height))
            waiting = []
        if len(laid) == rows:
            return laid
    return [*laid, row_of(waiting, ROW_HEIGHT)] if waiting else laid


def row_of(tiles: Sequence[Tile], height: float) -> Row:
    """A row of this height; widths are rounded so that they add up."""
    ends = [round(end) for end in accumulate(height * tile_aspect(tile) for tile in tiles)]
    return Row(tiles, int(height), [end - start for start, end in pairwise([0, *ends])])


def tile_aspect(tile: Tile) -> float:
    """Width / height of a tile, between NARROWEST and WIDEST."""
    if tile.photo is None:
        return 1.5
    height, width = tile.photo.shape[:2]
    return float(min(WIDEST, max(NARROWEST, width / height)))


def overlay(photo: Photo, cover: Cover | None, size_hw: SizeHW) -> Photo:
    """A photo at another size with the person tinted and outlined, and what is not counted striped.

    The outline is light with a dark rim, so that it shows on any background.
    """
    small = resize(photo, size_hw)
    if cover is None:
        return small
    person, ignored = np.moveaxis(resize(cover, size_hw), -1, 0)
    drawn = blend(small.astype(np.float32), PERSON_TINT, 0.2 * (person / 255))
    drawn = blend(drawn, stripes(size_hw), 0.55 * (ignored / 255))
    mask = (person >= 128) if (person >= 128).any() else person > 0
    inside, line, rim = (grown(mask, step) for step in (-1, 1, 2))
    drawn = blend(drawn, HALO, 0.75 * (rim & ~line))
    drawn[line & ~inside] = OUTLINE
    return drawn.clip(0, 255).astype(np.uint8)


def blend(image: NDArray[np.float32], colour: object, weight: NDArray[np.floating]) -> NDArray[np.float32]:
    """An image mixed with a colour, or with another image, by a weight for each pixel."""
    mixed: NDArray[np.float32] = image + weight[..., None] * (np.asarray(colour, np.float32) - image)
    return mixed.astype(np.float32)


def stripes(size_hw: SizeHW) -> NDArray[np.float32]:
    """An image of diagonal stripes."""
    rows, columns = np.indices(size_hw)
    image: NDArray[np.float32] = np.asarray(STRIPES, np.float32)[((rows + columns) // 5) % 2]
    return image


def grown(mask: masks.Mask, steps: int) -> masks.Mask:
    """A mask grown by so many pixels (chessboard distance), or shrunk; the image's edge does not shrink it."""
    kernel = np.ones((3, 3), np.uint8)
    change = cv2.dilate if steps > 0 else cv2.erode
    return change(mask.astype(np.uint8), kernel, iterations=abs(steps)).astype(bool)


@lru_cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font, so that a sheet looks the same on every machine."""
    return ImageFont.load_default(size)


def wrap(text: str, width: int, most: int) -> list[str]:
    """The text in at most `most` lines of `width` px, broken between words; three dots where more would follow."""
    lines: list[str] = []
    for word in re.findall(r"[^ /_-]*(?: %|[ /_-])+|[^ /_-]+", text[: (most + 1) * width]):
        if lines and font(14).getlength((lines[-1] + word).rstrip()) <= width:
            lines[-1] += word
        else:
            lines.append(word)
    if len(lines) > most:
        lines = [*lines[: most - 1], lines[most - 1] + lines[most]]
    return [shorten(line.rstrip(), width, 14) for line in lines]


def shorten(line: str, width: int, size: int) -> str:
    """The line, cut off with three dots where it is wider than `width` px: between words where it has several."""
    if len(line) <= width and font(size).getlength(line) <= width:
        return line
    line = line[:width]  # no letter is narrower than a pixel
    words = [found.start() for found in re.finditer(r"(?<=[^ /_-])[ /_-]", line)]
    for ends in (words, range(1, len(line))):
        fitting = bisect(ends, float(width), key=lambda end: float(font(size).getlength(line[:end] + "...")))
        if fitting:
            return line[: ends[fitting - 1]] + "..."
    return "..."


FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}


def sheet_format(path: Path, option: str = "--out") -> str:
    """The format a sheet is written in, by the ending of its name. Raises UsageError, of `option`, for any other."""
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"{option} {path}: a sheet is a .png or a .jpg. Give it a name that ends so")
    return FORMATS[path.suffix.lower()]


def write_sheet(path: Path, page: Image.Image) -> None:
    """The page as a PNG or a JPEG, as the name says, atomically."""
    buffer = io.BytesIO()
    page.save(buffer, sheet_format(path), compress_level=1, quality=90)  # PNG: twice as fast, and a seventh larger
    write_atomic(path, buffer.getvalue())
