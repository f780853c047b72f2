"""The App's dataset of many samples: made, brought up to date, and looked through as a reviewer does.

Tables alone are generated: the App asks the database, and opens a photograph when it is seen.
"""

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import fiftyone as fo
import numpy as np
import polars as pl
from fiftyone import ViewField as F

from curate import schema
from curate.dataset import Dataset, Header, digest_of, write_table
from review.app import fiftyone_name, open_review
from review.label_check import FINDINGS
from review.runs import Run
from review.slices import CONDITIONS

PAGE = 50
"""Samples that the App asks for at once."""


def named(count: int) -> pl.DataFrame:
    """The names of so many samples."""
    return pl.DataFrame({"sample_id": [f"coco-{number:012d}" for number in range(count)]})


def samples_of(count: int, rng: np.random.Generator) -> pl.DataFrame:
    """Rows of `samples.parquet`, each photograph a group of its own."""
    name = pl.col("sample_id")
    return (
        named(count)
        .with_columns(
            image=pl.format("images/{}.jpg", name),
            mask=pl.format("masks/{}.png", name),
            width=640,
            height=480,
            people=pl.Series(rng.integers(1, 5, count)),
            area=pl.Series(rng.random(count)),
            split=pl.Series(rng.choice(["train", "val", "test"], count, p=[0.7, 0.2, 0.1])),
            fold=-1,
            group=name.hash().cast(pl.String),
            source=pl.lit("coco"),
            licence=None,
            origin=pl.lit("polygon"),
            edges=pl.lit("B"),
            touching=pl.lit([], schema.STRINGS),
            head_visible=None,
            image_sha256=name,
            mask_sha256=name,
            weight=1.0,
            tags=pl.lit([], schema.STRINGS),
        )
        .select(schema.SAMPLES.names())
        .cast(schema.SAMPLES)
    )


def numbers(columns: pl.Schema, count: int, rng: np.random.Generator) -> dict[str, pl.Series]:
    """A random share for each of the columns that hold numbers."""
    return {name: pl.Series(rng.random(count)).cast(kind) for name, kind in columns.items() if kind.is_numeric()}


def run_of(dataset: Dataset, root: Path, rng: np.random.Generator) -> Run:
    """A run of which every sample is scored, with its tables on disk."""
    count, ids = dataset.samples.height, dataset.samples.select("sample_id", "split")
    scores = ids.with_columns(**numbers(schema.SCORES, count, rng)).select(schema.SCORES.names())
    failures = (
        ids.with_columns(
            **numbers(schema.FAILURES, count, rng),
            kind=pl.Series(rng.choice(schema.FAILURE_KINDS, count)),
            bbox_xywh=pl.lit([0, 0, 9, 9], schema.BOX),
            triage=pl.Series(rng.choice(["augment", "relabel", "ok"], count)),
            reason=pl.lit("the model is sure of background where the label has a person"),
        )
        .select(schema.FAILURES.names())
        .cast(schema.FAILURES)
    )
    root.mkdir(exist_ok=True)
    write_table(root / "scores.parquet", scores)
    write_table(root / "failures.parquet", failures)
    write_table(root / "suspects.parquet", failures.select(schema.SUSPECTS.names()))
    return Run(root, dataset, scores)


def seconds(act: Callable[[], object]) -> float:
    """What an act takes on the clock."""
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


def look_at(view: fo.DatasetView) -> None:
    """What the App asks for when a view is chosen: its first page and how many it has."""
    view.limit(PAGE).values("filepath")
    len(view)


def main(folder: Path, count: int) -> None:
    """Print the seconds of each act as JSON."""
    rng = np.random.default_rng(0)
    samples = samples_of(count, rng)
    header = Header(schema.FORMAT, "many", 1, None, digest_of(samples), {}, [], [], {"images": count})
    dataset = Dataset(folder, header, samples.lazy(), schema.DROPS.to_frame().lazy())
    run = run_of(dataset, folder / "run", rng)
    conditions = samples.select("sample_id").with_columns(**numbers(CONDITIONS, count, rng)).select(CONDITIONS.names())
    found = samples.select("sample_id").head(count // 20)
    findings = found.with_columns(
        kind=pl.lit("cut"),
        severity=pl.Series(rng.random(found.height)),
        found=pl.lit("ends along a straight line"),
        advice=pl.lit("Follow the person"),
        bbox_xywh=pl.lit([0, 0, 9, 9], schema.BOX),
    ).select(FINDINGS.names())

    def brought_up_to_date() -> None:
        open_review([run], dataset, conditions, findings)

    took = {"made": seconds(brought_up_to_date), "opened again": seconds(brought_up_to_date)}
    shown = fo.load_dataset(fiftyone_name(dataset))
    took["first page, worst IoU first"] = seconds(lambda: shown.sort_by("run_iou").limit(PAGE).values("filepath"))
    failing = shown.match(F("run_failure") == "bite").sort_by("run_severity", reverse=True)
    took["first page of a failure, worst first"] = seconds(lambda: failing.limit(PAGE).values("filepath"))
    for name in shown.list_saved_views():
        took[f"{name}, first page and count"] = seconds(partial(look_at, shown.load_saved_view(name)))
    print(json.dumps(took))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
