"""What a dataset version holds, at a glance: the figures behind `curate show`. From its tables alone."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import polars as pl

from curate import schema
from curate.classes import without_hashes
from curate.dataset import Dataset, Header
from curate.guesses import is_guessed, is_unlabelled

SIDES_PX = (0, 256, 384, 512, 768, 1024, 2048)
"""Lower ends of the bins of image sides."""
EDGE_NAMES = {"L": "left", "T": "top", "R": "right", "B": "bottom"}
NOT_STATED = "not stated"
UNSEEN = ("sample_id", "image", "mask", "image_sha256", "mask_sha256")
"""Columns that no figure is about; most of the table's bytes are theirs."""


class Step(msgspec.Struct, frozen=True):
    """A line of the funnel; `taken` is what the rule dropped."""

    rule: str
    label: str
    remaining: int
    taken: int


class Part(msgspec.Struct, frozen=True):
    """A split, or a fold of the training split.

    Attributes:
        name: `train`, or `fold 0`.
        images: Number of them.
        share: Of all kept images.
        mean_area: Mean share of the image people cover; None for images without a label, and for none at all.
        people: Number of images by how many people they show.
    """

    name: str
    images: int
    share: float
    mean_area: float | None
    people: dict[str, int]


class SourceFigures(msgspec.Struct, frozen=True):
    """A source's images; `licences` counts the kept ones by the licence they state."""

    name: str
    kind: str
    kept: int
    dropped: int
    licences: dict[str, int]


class Groups(msgspec.Struct, frozen=True):
    """How many kept images share their group with another: near duplicates, and what was grouped on purpose."""

    images: int
    share: float
    groups: int
    largest: int


class Dropped(msgspec.Struct, frozen=True):
    """What a rule dropped, with the first image as an example."""

    rule: str
    images: int
    example: str
    detail: str


class Overview(msgspec.Struct, frozen=True):
    """Everything `curate show DATASET` says.

    Attributes:
        labelled: Images outside the splits `pool` and `background`, a model's guesses aside. `area`, `people`,
            `edges_cut` and `edges` are figures of these alone.
        edges_cut: Images by the number of image edges the person touches.
        edges: Images in which the person touches that edge.
    """

    dataset: str
    name: str
    version: int
    digest: str
    parent: str | None
    looked_at: int
    kept: int
    dropped: int
    funnel: list[Step]
    splits: list[Part]
    folds: list[Part]
    labelled: int
    area: dict[str, int]
    people: dict[str, int]
    edges_cut: dict[str, int]
    edges: dict[str, int]
    shorter_side_px: dict[str, int]
    longer_side_px: dict[str, int]
    shapes: dict[str, int]
    sources: list[SourceFigures]
    origins: dict[str, int]
    touching: dict[str, int]
    tags: dict[str, int]
    weights: dict[str, int]
    near_duplicates: Groups
    drops: list[Dropped]
    recipe: dict[str, Any]


def describe_dataset(dataset: Dataset) -> Overview:
    """The figures of a dataset version; no image is opened."""
    samples, drops, header = dataset.collect(dataset.scan.select(pl.exclude(UNSEEN))), dataset.drops, dataset.header
    labelled = samples.filter(~pl.col("split").is_in(schema.UNLABELLED) & ~is_guessed())
    return Overview(
        dataset=str(dataset.root),
        name=header.name,
        version=header.version,
        digest=header.digest,
        parent=header.parent,
        looked_at=samples.height + drops.height,
        kept=samples.height,
        dropped=drops.height,
        funnel=funnel_steps(header),
        splits=split_parts(samples),
        folds=fold_parts(samples),
        labelled=labelled.height,
        area=area_bins(labelled),
        people=people_bins(labelled),
        edges_cut=edge_numbers(labelled),
        edges=edge_sides(labelled),
        shorter_side_px=side_bins(samples, pl.min_horizontal("width", "height")),
        longer_side_px=side_bins(samples, pl.max_horizontal("width", "height")),
        shapes=shape_counts(samples),
        sources=source_figures(samples, drops, header),
        origins=counted(samples["origin"]),
        touching=counted(samples["touching"].explode().drop_nulls()),
        tags=counted(without_hashes(samples["tags"]).explode().drop_nulls()),
        weights={f"{float(weight):g}": count for weight, count in counted(samples["weight"]).items()},
        near_duplicates=group_figures(samples),
        drops=drop_figures(drops),
        recipe=header.recipe,
    )


def funnel_steps(header: Header) -> list[Step]:
    """The funnel with what each step took; an `unreadable` step that took nothing says nothing and is left out."""
    before = [step.remaining for step in (*header.funnel[:1], *header.funnel)]
    steps = [
        Step(step.rule, step.label, step.remaining, had - step.remaining)
        for step, had in zip(header.funnel, before, strict=False)
    ]
    return [step for step in steps if step.rule != "unreadable" or step.taken]


def split_parts(samples: pl.DataFrame) -> list[Part]:
    """A Part for each of train, val and test, empty ones too, and for pool and background where there are any."""
    parts = [part_figures(split, samples.filter(split=split), samples.height) for split in schema.SPLITS]
    return [part for part in parts if part.images or part.name not in schema.UNLABELLED]


def fold_parts(samples: pl.DataFrame) -> list[Part]:
    """A Part for each fold of the training split; none where it has no folds."""
    folds = samples.filter(pl.col("fold") >= 0)["fold"].unique().sort()
    return [part_figures(f"fold {fold}", samples.filter(fold=fold), samples.height) for fold in folds]


def part_figures(name: str, rows: pl.DataFrame, kept: int) -> Part:
    """The figures of some of the `kept` images."""
    labelled = rows.filter(~is_unlabelled())
    mean = labelled["area"].mean()
    return Part(name, rows.height, rows.height / max(kept, 1), mean, people_bins(labelled))  # type: ignore[arg-type]


def area_bins(rows: pl.DataFrame) -> dict[str, int]:
    """Images by the share people cover, in ten bins of 10 %; the last one has both its ends."""
    found = counted((rows["area"] * 10).floor().clip(0, 9).cast(pl.Int64))
    return {f"{10 * start} - {10 * start + 10} %": found.get(str(start), 0) for start in range(10)}


def people_bins(rows: pl.DataFrame) -> dict[str, int]:
    """Images by the number of people: 1, 2, 3, 4+, and 0 where there are any."""
    found = counted(rows["people"].clip(0, 4))
    bins = {name.replace("4", "4+"): found.get(name, 0) for name in ("0", "1", "2", "3", "4")}
    return {name: count for name, count in bins.items() if count or name != "0"}


def edge_numbers(rows: pl.DataFrame) -> dict[str, int]:
    """Images by the number of image edges the person touches, 0 to 4."""
    found = counted(rows["edges"].str.len_chars())
    return {str(number): found.get(str(number), 0) for number in range(5)}


def edge_sides(rows: pl.DataFrame) -> dict[str, int]:
    """Images in which the person touches the edge L, T, R, B."""
    return {letter: int(rows["edges"].str.contains(letter, literal=True).sum()) for letter in EDGE_NAMES}


def side_bins(samples: pl.DataFrame, side: pl.Expr) -> dict[str, int]:
    """Images by the length of a side in px, in the bins of SIDES_PX."""
    sides = samples.select(side).to_series()
    names = [f"{low} - {high - 1}" for low, high in itertools.pairwise(SIDES_PX)]
    names = [f"under {SIDES_PX[1]}", *names[1:], f"from {SIDES_PX[-1]}"]
    ends = [*SIDES_PX, None]
    return {
        name: int((sides >= low).sum()) - (int((sides >= high).sum()) if high else 0)
        for name, low, high in zip(names, ends, ends[1:], strict=False)
    }


def shape_counts(samples: pl.DataFrame) -> dict[str, int]:
    """Images that are wider than high, higher than wide, and neither."""
    wide = int((samples["width"] > samples["height"]).sum())
    high = int((samples["width"] < samples["height"]).sum())
    return {"landscape": wide, "portrait": high, "square": samples.height - wide - high}


def source_figures(samples: pl.DataFrame, drops: pl.DataFrame, header: Header) -> list[SourceFigures]:
    """Each source of the header in its order, then any other the tables name."""
    kept, dropped = counted(samples["source"]), counted(drops["source"])
    kinds: dict[str, str] = {}
    for source in header.sources:
        kinds.setdefault(source.name, source.kind)
    names = [*kinds, *sorted((kept.keys() | dropped.keys()) - kinds.keys())]
    return [
        SourceFigures(
            name,
            kinds.get(name, ""),
            kept.get(name, 0),
            dropped.get(name, 0),
            counted(samples.filter(source=name)["licence"]),
        )
        for name in names
    ]


def group_figures(samples: pl.DataFrame) -> Groups:
    """How many images share their group with another."""
    sizes = samples["group"].value_counts()["count"]
    shared = int(sizes.filter(sizes > 1).sum())
    return Groups(shared, shared / max(samples.height, 1), sizes.len(), int(sizes.max() or 0))  # type: ignore[arg-type]


def drop_figures(drops: pl.DataFrame) -> list[Dropped]:
    """What each rule dropped, in the order of the rules."""
    figures = []
    for rule, count in counted(drops["rule"]).items():
        first = drops.filter(rule=rule).sort("sample_id").row(0, named=True)
        figures.append(Dropped(rule, count, first["sample_id"], first["detail"] or ""))
    order = {rule: place for place, rule in enumerate(schema.RULES)}
    return sorted(figures, key=lambda one: (order.get(one.rule, len(order)), one.rule))


def counted(values: pl.Series) -> dict[str, int]:
    """How often each value stands in a column, the most frequent first; null is NOT_STATED."""
    found = values.cast(pl.String).fill_null(NOT_STATED).alias("value").value_counts()
    return dict(found.sort(["count", "value"], descending=[True, False]).iter_rows())
