"""Where images come from: each source yields the same candidate table, and its labels on demand.

A *candidate* is an image looked at. Reading a source opens no photograph of a COCO file and rasterises nothing; what
costs time (the exact union area, the target) is asked for row by row, and only for the rows the cheaper rules keep.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import polars as pl

from curate import dataset
from curate.masks import Target, area_fraction

CANDIDATES = pl.Schema(
    {
        "sample_id": pl.String,
        "source": pl.String,
        "row": pl.Int64,
        "width": pl.Int32,
        "height": pl.Int32,
        "people": pl.Int64,
        "licence": pl.String,
        "unreadable": pl.String,
    }
)
"""One row per image looked at. `row` is what the source's labels are asked with; `width` and `height` are null where
nothing states them; `people` is the number the label states (before empty rasters are found out); `unreadable` says
what is wrong with the label, null where nothing is."""


@dataclass(frozen=True)
class Note:
    """Something done to a label that the user is told about, summed up over all images.

    Attributes:
        what: What happened, ready to stand after a count: "masks were resized to their image (nearest)".
        where: The image or file it happened to.
    """

    what: str
    where: str


@dataclass(frozen=True)
class Measure:
    """What a label shows, exactly.

    Attributes:
        people: People with at least one pixel. Where counting stopped early, the number the label states.
        crowd: Whether a region of more people than can be counted is in it.
        area: Pixels of the union of all people / pixels that count (all but crowd and void); None where counting
            stopped early.
        unreadable: What is wrong with the label, or None.
        notes: What was done to it.
    """

    people: int = 0
    crowd: bool = False
    area: float | None = None
    unreadable: str | None = None
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class Label:
    """A label drawn.

    Attributes:
        target: (H, W) uint8 of 0, 128, 255, the size of its image.
        origin: What it was made from: `polygon`, `rle`, `palette`, `hand`.
        touching: Categories of other objects in contact with a person, sorted.
    """

    target: Target
    origin: str
    touching: tuple[str, ...] = ()


class Labels(Protocol):
    """The labels of one source; `row` is the candidate table's column."""

    def measure(self, row: int, most: int | None) -> Measure:
        """What the label shows; with `most`, an image of more people (or with a crowd) need not be measured."""

    def draw(self, row: int) -> Label:
        """The label as a target. Raises CurateError where it cannot be drawn."""

    def image(self, row: int) -> Path:
        """The photograph's file. Raises MissingError where there is none."""


@dataclass(frozen=True)
class Read:
    """A source that was read: its record for the header, its candidates, its labels, and what was odd in it."""

    source: dataset.Source
    candidates: pl.DataFrame
    labels: Labels
    notes: list[Note] = field(default_factory=list)
    carried: pl.DataFrame | None = None
    """Rows of an earlier dataset version, where the candidates are its samples."""


def measure_target(target: Target, people: int, notes: tuple[Note, ...] = (), where: str = "") -> Measure:
    """The Measure of a drawn target that shows `people`; nobody where no pixel is a person's."""
    area = area_fraction(target)
    if people and not area:
        notes = (*notes, Note("labels name a person without a single pixel; they count as nobody", where))
    return Measure(people if area else 0, area=area, notes=notes)
