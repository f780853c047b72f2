"""What `curate label check` says of the labels of a dataset version, as a table."""

from __future__ import annotations

import polars as pl

from curate import schema
from curate.dataset import Dataset
from curate.threads import Watch, unwatched
from label.check import Finding, check_labels
from label.pictures import pictures_of
from review.measured import kept

FINDINGS = pl.Schema(
    {
        "sample_id": pl.String,
        "kind": pl.String,
        "severity": pl.Float64,
        "found": pl.String,
        "advice": pl.String,
        "bbox_xywh": schema.BOX,
    }
)
"""A row per finding of label.check, its fields; the box is null where it is about the whole image."""


def findings_of(dataset: Dataset, watch: Watch = unwatched) -> pl.DataFrame:
    """FINDINGS of a dataset version, the most severe first; looked for once and kept in the user's cache."""
    return kept(dataset, "findings-1", FINDINGS, lambda: measured(dataset, watch))


def measured(dataset: Dataset, watch: Watch) -> pl.DataFrame:
    """FINDINGS, looked for now."""
    report = check_labels(dataset.root, pictures_of(dataset), watch=watch)
    return schema.table([row_of(finding) for finding in report.findings], FINDINGS)


def row_of(finding: Finding) -> dict[str, object]:
    """A row of FINDINGS."""
    box = None if finding.bbox_xywh is None else list(finding.bbox_xywh)
    told = {name: getattr(finding, name) for name in ("kind", "severity", "found", "advice")}
    return {"sample_id": finding.picture, "bbox_xywh": box} | told
