"""Slices: images that have something in common which their labels do not name, and how a run does on each.

A slice is a polars expression over what a dataset says of an image and its CONDITIONS. It depends on the photograph and
its label alone, never on how well a model does, so figures on it can be believed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import polars as pl

from curate import schema
from curate.dataset import Dataset
from curate.engine import map_table
from curate.foreground import ANIMALS, HELD
from curate.images import jpeg_quality
from curate.threads import PART, Watch, unwatched
from review.conditions import Conditions, measure
from review.measured import kept
from train.scoring.figures import with_interval
from train.scoring.intervals import Interval, mean_interval
from train.scoring.metrics import mean_of

CONDITIONS = pl.Schema(
    {"sample_id": pl.String, "jpeg_quality": pl.Int16} | dict.fromkeys(Conditions.__struct_fields__, pl.Float64)
)
"""A row per labelled image of a dataset."""

edges, touching, tags = pl.col("edges"), pl.col("touching").list, pl.col("tags").list
touches_held, touches_animal = (
    touching.eval(pl.element().str.to_lowercase().is_in(names)).list.any() for names in (HELD, ANIMALS)
)
headless = pl.col("head_visible").eq_missing(other=False)
is_cut = edges.str.contains("[LRT]") | tags.contains("truncated")

SLICES: Mapping[str, pl.Expr] = {
    "low light": pl.col("light") < 0.25,
    "backlight": pl.col("background_highlight") - pl.col("person_highlight") > 0.2,
    "low contrast": pl.col("blending") > 0.25,
    "dark clothing": pl.col("person_light") < 0.15,
    "light clothing": pl.col("person_light") > 0.65,
    "blurred": pl.col("blur") > 0.37,
    "noisy": pl.col("noise") > 1.7,
    "low JPEG quality": pl.col("jpeg_quality") < 60,
    "small person": pl.col("area") < 0.05,
    "truncated body": is_cut,
    "body part only": headless,
    "half body": (edges == "B") & ~headless,
    "full body": (edges == "") & ~is_cut & ~headless,
    "seen from the front": tags.contains("front"),
    "seen from the rear": tags.contains("rear"),
    "held object": touches_held,
    "animal": touches_animal,
    "more than one person": pl.col("people") > 1,
    "cluttered background": pl.col("clutter") > 0.15,
}
"""Slice -> which images are in it; null, as false, leaves an image out. The thresholds were set by looking at what they
pick from 610 photographs of four collections (docs/results.md)."""


def conditions_of(dataset: Dataset, watch: Watch = unwatched) -> pl.DataFrame:
    """CONDITIONS of every labelled image of a dataset version, sorted by sample_id; measured once and kept.

    Raises:
        FormatError: A mask or photograph is damaged.
    """
    return kept(dataset, "conditions-1", CONDITIONS, lambda: conditions_now(dataset, watch))


def conditions_now(dataset: Dataset, watch: Watch) -> pl.DataFrame:
    """CONDITIONS, measured now."""
    labelled = dataset.samples.filter(pl.col("split").is_in(schema.LABELLED))
    tick = watch("conditions", labelled.height)
    return map_table(lambda part: [look_at(dataset, row) for row in part], labelled, CONDITIONS, tick, PART)


def look_at(dataset: Dataset, row: dict[str, Any]) -> dict[str, object]:
    """A row of CONDITIONS."""
    seen = measure(dataset.image(row), dataset.target(row))
    known = {"sample_id": row["sample_id"], "jpeg_quality": jpeg_quality(dataset.root / row["image"])}
    return known | msgspec.structs.asdict(seen)


def slices_of(samples: pl.DataFrame, conditions: pl.DataFrame) -> pl.DataFrame:
    """The slices that each image is in: `sample_id`, `slice`, a row for each pair.

    Args:
        samples: schema.SAMPLES.
        conditions: CONDITIONS of its labelled images.
    """
    table = samples.join(conditions, on="sample_id").sort("sample_id")
    members = [table.filter(rule).select("sample_id", slice=pl.lit(name, pl.String)) for name, rule in SLICES.items()]
    return pl.concat(members)


FEWEST_GROUPS = 10
"""Of fewer, the bootstrap's interval is too narrow: of two images it is the two of them."""


class SliceFigures(msgspec.Struct, frozen=True):
    """How a run does on one slice: means over its images, and their 95 % intervals."""

    slice: str
    images: int
    groups: int
    """Of look-alikes, which the images fall into."""
    iou: float | None
    iou_interval: Interval | None
    boundary_iou: float | None
    boundary_iou_interval: Interval | None


def figures_by_slice(scores: pl.DataFrame, slices: pl.DataFrame, groups: Mapping[str, str]) -> list[SliceFigures]:
    """The figures of every slice that has an image, lowest IoU first.

    Args:
        scores: schema.SCORES of the images that count.
        slices: What `slices_of` gives.
        groups: sample_id -> group.
    """
    joined = scores.join(slices, on="sample_id")
    found = [figures_of(str(name), part, groups) for (name,), part in joined.group_by("slice")]
    return sorted(found, key=lambda one: (1.0 if one.iou is None else one.iou, one.slice))


def figures_of(name: str, scores: pl.DataFrame, groups: Mapping[str, str]) -> SliceFigures:
    """The figures of some images under one name."""
    scores = scores.sort("sample_id")
    own = [groups[sample_id] for sample_id in scores["sample_id"]]
    (iou, iou_interval), (boundary, boundary_interval) = (
        (mean_of(scores[column]), mean_interval(scores[column], own)) for column in ("iou", "boundary_iou")
    )
    return SliceFigures(name, scores.height, len(set(own)), iou, iou_interval, boundary, boundary_interval)


def slice_table(found: Sequence[SliceFigures], whole: SliceFigures) -> list[str]:
    """The lines of a table, a slice each, the whole last; what is surely worse than the whole is marked."""
    lines = [f"{'slice':<22}{'images':>7}  {'IoU [95 %]':<22}  Boundary IoU [95 %]"]
    for one in (*found, whole):
        iou = with_interval(one.iou, one.iou_interval)
        line = (
            f"{one.slice:<22}{one.images:>7}  {iou:<22}  {with_interval(one.boundary_iou, one.boundary_iou_interval)}"
        )
        lines.append(line + ("  worse" if is_worse(one, whole) else ""))
    return lines


def is_worse(one: SliceFigures, whole: SliceFigures) -> bool:
    """Whether the interval of a slice's IoU ends below the mean of all images, and is of enough groups."""
    if one.iou_interval is None or whole.iou is None or one.groups < FEWEST_GROUPS:
        return False
    return one.iou_interval.high < whole.iou
