"""Where images come from: each source yields the same candidate table, and its labels on demand.

A *candidate* is an image looked at. Reading a source opens no photograph of a COCO file and rasterises nothing; what
costs time (the exact union area, the target) is asked for row by row, and only for the rows the cheaper rules keep.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

import polars as pl

from curate import dataset
from curate.masks import Target, area_fraction
from curate.threads import Watch

Polygons = Sequence[Sequence[float]]

CANDIDATES = pl.Schema(
    {
        "sample_id": pl.String,
        "source": pl.String,
        "row": pl.Int64,
        "folder": pl.String,
        "width": pl.Int32,
        "height": pl.Int32,
        "people": pl.Int64,
        "licence": pl.String,
        "unreadable": pl.String,
    }
)
"""One row per image looked at. `row` is what the source's labels are asked with; `folder` is the image's folder inside
its source ("" at its top); `width` and `height` are null where nothing states them; `people` is the number the label
states (before empty rasters and small figures are found out), null where nothing states one; `unreadable` says what
is wrong with the label, null where nothing is."""


@dataclass(frozen=True)
class Note:
    """Something done to a label that the user is told about, summed up over all images.

    Attributes:
        what: What happened, ready to stand after a count: "masks were resized to their image (nearest)".
        where: The image or file it happened to; empty where it is about no single one, and `what` is a whole sentence.
    """

    what: str
    where: str


@dataclass(frozen=True)
class Limits:
    """What the rules allow, so that a measurement may leave out what cannot matter any more.

    Attributes:
        least_people: An image that shows fewer people is dropped.
        most_people: An image that shows more people, or a crowd, is dropped and need not be measured to the end.
        area: The least and the most of an image that the foreground may cover, where it is enough to know on which side
            of them it lies; None where its area has to be exact.
    """

    least_people: int = 1
    most_people: int | None = None
    area: tuple[float, float] | None = None


class Measure(NamedTuple):
    """What a label shows; a tuple, since a build sends a hundred thousand of them between processes.

    Attributes:
        people: People that count: of at least one pixel and of `Foreground.min_person_area`. Where counting stopped
            early, the number the label states.
        crowd: Whether a region of more people than can be counted is in it.
        area: Foreground pixels / pixels that count (all but crowd, void and what is ignored), of the very target that
            `draw` gives; None where counting stopped early. About that, where `Limits.area` lets a bound stand for it.
        unreadable: What is wrong with the label, or None.
        doubtful: Whether it leaves pixels open that may be a person's; borders drawn between objects are none.
        notes: What was done to it.
    """

    people: int = 0
    crowd: bool = False
    area: float | None = None
    unreadable: str | None = None
    doubtful: bool = False
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class Label:
    """A label drawn.

    Attributes:
        target: (H, W) uint8 of 0, 128, 255, the size of its image.
        origin: What it was made from: `polygon`, `rle`, `palette`, `hand`, `none`.
        touching: Categories of other objects in contact with a person, sorted.
        head_visible: Whether everyone who counts and has labelled keypoints shows a head; None where nobody has.
        keypoints: Fewest visible keypoints of such a person; None where there is none.
        outlines_px: The people's flat polygons [x0, y0, x1, y1, ...]; None where anyone is none.
        tags: Words for the `tags` column, such as `difficult` and `truncated`.
        png: The target as a file of ours, byte for byte, where it was read from one.
        edges: The image edges the person touches, where the target may show held objects and animals as a person too.
        classes: The file of the class mask beside the target (see `curate.classes`); None where none is drawn, and
            where the source does not name what is in the image.
    """

    target: Target
    origin: str
    touching: tuple[str, ...] = ()
    head_visible: bool | None = None
    keypoints: int | None = None
    outlines_px: Polygons | None = None
    tags: tuple[str, ...] = ()
    png: bytes | None = None
    edges: str | None = None
    classes: bytes | None = None


class Labels(Protocol):
    """The labels of one source; `row` is the candidate table's column. Called from several threads."""

    def measure_many(self, rows: Sequence[int], limits: Limits) -> list[Measure | None]:
        """What many labels show; None for one that is surely dropped by the rule `crowd` or `area`, unmeasured."""

    def measure(self, row: int, limits: Limits) -> Measure:
        """What the label shows."""

    def draw(self, row: int) -> Label:
        """The label as a target. Raises CurateError where it cannot be drawn."""

    def image(self, row: int) -> Path:
        """The photograph's file. Raises MissingError where there is none, or a link leads out of the source."""


@dataclass(frozen=True)
class Read:
    """A source that was read: its record for the header, its candidates, its labels, and what was odd in it.

    Attributes:
        carried: Rows of an earlier dataset version by sample_id, where the candidates are its samples.
        categories: The categories the source knows by name.
        fetch: Fetches the photographs of some rows, where not all are here yet; None where they are.
    """

    source: dataset.Source
    candidates: pl.DataFrame
    labels: Labels
    notes: list[Note] = field(default_factory=list)
    carried: pl.DataFrame | None = None
    categories: frozenset[str] = frozenset()
    fetch: Callable[[Sequence[int], Watch], None] | None = None


def measure_target(target: Target, people: int, notes: tuple[Note, ...] = (), where: str = "") -> Measure:
    """The Measure of a drawn target that shows `people`; nobody where no pixel is a person's."""
    area = area_fraction(target)
    if people and not area:
        notes = (*notes, Note("labels name a person without a single pixel; they count as nobody", where))
    return Measure(people if area else 0, area=area, notes=notes)
