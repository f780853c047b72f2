"""The columns of every table on disk, in one place. Contracts: docs/formats.md."""

from __future__ import annotations

from typing import Any

import polars as pl

FORMAT = 1
"""Number of the on-disk format, in every file that heads a folder; a reader refuses a newer one.

It rises where files of before could be misread. What is only added, a reader fills in where it is not there.
"""

SPLITS = ("train", "val", "test", "pool", "background")
LABELLED = ("train", "val", "test")
"""Splits of images with a label that shows people."""
UNLABELLED = ("pool", "background")
"""Splits of images that have no label yet, or show nobody on purpose: they would bend every figure about people."""
LEARNT = ("train", "background")
"""Splits that a model learns from."""
SCORED = (*LABELLED, "background")
"""Splits that predictions are scored on: in `background` nobody is right."""
RULES = (
    "unreadable",
    "people",
    "crowd",
    "area",
    "side",
    "intact",
    "parts",
    "coarse",
    "duplicate",
    "leak",
    "where",
    "take",
    "decision",
)
FAILURE_KINDS = (
    "missed-person",
    "bite",
    "cut-part",
    "extension",
    "extra-region",
    "merged-object",
    "ragged-boundary",
    "other",
)
VERDICTS = ("relabel", "exclude", "hard", "ok")

STRINGS: Any = pl.List(pl.String)
BOX: Any = pl.List(pl.Int32)

SAMPLES = pl.Schema(
    {
        "sample_id": pl.String,
        "image": pl.String,
        "mask": pl.String,
        "width": pl.Int32,
        "height": pl.Int32,
        "people": pl.Int16,
        "area": pl.Float64,
        "split": pl.String,
        "fold": pl.Int8,
        "group": pl.String,
        "source": pl.String,
        "licence": pl.String,
        "origin": pl.String,
        "edges": pl.String,
        "touching": STRINGS,
        "head_visible": pl.Boolean,
        "image_sha256": pl.String,
        "mask_sha256": pl.String,
        "weight": pl.Float32,
        "tags": STRINGS,
    }
)

OPTIONAL = ("licence", "head_visible")
"""Columns of SAMPLES that may be null."""

DROPS = pl.Schema(
    {
        "sample_id": pl.String,
        "source": pl.String,
        "rule": pl.String,
        "value": pl.Float64,
        "limit": pl.Float64,
        "detail": pl.String,
    }
)

EDITS = pl.Schema(
    {
        "sample_id": pl.String,
        "version": pl.Int32,
        "tool": pl.String,
        "author": pl.String,
        "time": pl.String,
        "iou_old_new": pl.Float64,
        "old_mask_sha256": pl.String,
        "new_mask_sha256": pl.String,
        "old_row": pl.String,
    }
)
EDITS_LATER = ("version", "time", "old_row")
"""Columns that the first tables of edits were without."""

REGIONS: Any = pl.List(pl.Struct({"bbox_xywh": BOX, "area_px": pl.Int64, "confidence": pl.Float64}))

PRELABELS = pl.Schema(
    {
        "sample_id": pl.String,
        "mask_sha256": pl.String,
        "model": pl.String,
        "confidence": pl.Float64,
        "regions": REGIONS,
    }
)

SCORES = pl.Schema(
    {
        "sample_id": pl.String,
        "split": pl.String,
        "fold": pl.Int8,
        "tp": pl.Int64,
        "fp": pl.Int64,
        "fn": pl.Int64,
        "tn": pl.Int64,
        "ignored": pl.Int64,
        "iou": pl.Float64,
        "dice": pl.Float64,
        "accuracy": pl.Float64,
        "sensitivity": pl.Float64,
        "specificity": pl.Float64,
        "boundary_iou": pl.Float64,
        "bce": pl.Float64,
        "label_quality": pl.Float64,
    }
)

FAILURES = pl.Schema(
    {
        "sample_id": pl.String,
        "kind": pl.String,
        "severity": pl.Float64,
        "area": pl.Float64,
        "bbox_xywh": BOX,
        "triage": pl.String,
        "suspicion": pl.Float64,
        "reason": pl.String,
    }
)

SUSPECTS = pl.Schema({"sample_id": pl.String, "suspicion": pl.Float64, "reason": pl.String})

FILES = pl.Schema({"path": pl.String, "sha256": pl.String, "bytes": pl.Int64, "modified_ns": pl.Int64})

MINED = pl.Schema({"sample_id": pl.String, "weight": pl.Float32, "recipe": pl.String, "reason": pl.String})

ONE_ROW_EACH = (SAMPLES, SCORES, FAILURES, SUSPECTS, MINED)
"""Tables in which a sample has one row at most."""
SHARES = (
    "area",
    "iou",
    "dice",
    "accuracy",
    "sensitivity",
    "specificity",
    "boundary_iou",
    "label_quality",
    "iou_old_new",
    "confidence",
    "severity",
    "suspicion",
)
"""Columns, of any table, of numbers from 0 to 1; null where there is none to give."""
COUNTS = ("width", "height", "people", "tp", "fp", "fn", "tn", "ignored")
"""Columns, of any table, of numbers from 0 up, which every row has."""
AMOUNTS = ("weight", "bce")
"""Columns, of any table, of numbers from 0 up that need not be whole; null where there is none to give."""
MOST = 2**31 - 1
"""More than any count or amount."""


def table(rows: list[dict[str, object]], schema: pl.Schema) -> pl.DataFrame:
    """Rows as a frame with exactly the schema's columns; a key that is missing or unknown raises ValueError."""
    for row in rows:
        if row.keys() != schema.keys():
            raise ValueError(f"row has columns {sorted(row)}, the table has {sorted(schema)}")
    return pl.DataFrame(rows, schema=schema, orient="row")
