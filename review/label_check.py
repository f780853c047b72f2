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
    return kept(dataset, "findings-2", FINDINGS, lambda: measured(dataset, watch))


def measured(dataset: Dataset, watch: Watch) -> pl.DataFrame:
    """FINDINGS, looked for now; of the test split by itself, since what is found guides training."""
    parts = [pictures_of(dataset, *splits) for splits in (("train", "val"), ("test",))]
    reports = [check_labels(dataset.root, part, watch=watch) for part in parts if part]
    rows = [row_of(finding, dataset) for report in reports for finding in report.findings]
    return schema.table(rows, FINDINGS).sort("severity", descending=True, maintain_order=True)


def row_of(finding: Finding, dataset: Dataset) -> dict[str, object]:
    """A row of FINDINGS, which stays true where the dataset is moved."""
    box = None if finding.bbox_xywh is None else list(finding.bbox_xywh)
    found = finding.found.replace(f"{dataset.root}/", "")
    told = {name: getattr(finding, name) for name in ("kind", "severity", "advice")}
    return {"sample_id": finding.picture, "found": found, "bbox_xywh": box} | told
