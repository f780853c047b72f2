"""The last step of every new dataset version: its tables, its card and, last, its header."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from curate import schema
from curate.dataset import FunnelStep, Header, Source, counts_of, digest_of, write_table
from curate.files import json_bytes, write_atomic
from curate.looking.card import CARD, dataset_card


def finish_dataset(
    staging: Path,
    *,
    name: str,
    version: int,
    parent: str | None,
    recipe: dict[str, Any],
    sources: list[Source],
    funnel: list[FunnelStep],
    samples: pl.DataFrame,
    drops: pl.DataFrame,
) -> Header:
    """Write tables, card and, last, the header into a staged folder that already holds `images/` and `masks/`."""
    samples, drops = samples.sort("sample_id"), drops.sort("sample_id", "rule")
    write_table(staging / "samples.parquet", samples)
    write_table(staging / "drops.parquet", drops)
    header = Header(
        format=schema.FORMAT,
        name=name,
        version=version,
        parent=parent,
        digest=digest_of(samples),
        recipe=recipe,
        sources=sources,
        funnel=funnel,
        counts=counts_of(samples),
    )
    write_atomic(staging / CARD, dataset_card(header, samples, drops).encode())
    encoded = json_bytes(header)
    write_atomic(staging / "dataset.json", encoded + b"\n")
    return header
