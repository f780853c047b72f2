"""Whether header and tables of a dataset version agree with themselves and with one another. Pure; opens nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from curate import schema
from curate.checks import REBUILD, Finding
from curate.checks.rows import check_rows
from curate.dataset import FunnelStep, Header, counts_of, digest_of

LEARNED_FROM = pl.when(pl.col("split") == "background").then(pl.lit("train")).otherwise("split")
"""The split an image counts as: an empty scene is trained on."""


def check_samples(table: Path, samples: pl.DataFrame) -> Iterator[Finding]:
    """Findings about the samples, whose table is the file `table`: rows, order, doubles, groups and folds."""
    yield from check_rows(str(table), samples)
    yield from check_order(table, samples, ["sample_id"])
    yield from check_groups(table, samples)


def check_order(table: Path, frame: pl.DataFrame, keys: list[str]) -> Iterator[Finding]:
    """A Finding where the rows are not sorted by their keys, and for every sample_id that stands twice."""
    if not frame.select(keys).equals(frame.select(keys).sort(keys)):
        yield Finding("order", str(table), "its rows are in another order", f"sorted by {', '.join(keys)}", REBUILD)
    for name in frame.filter(pl.col("sample_id").is_duplicated())["sample_id"].unique().sort():
        yield Finding("twice", f"{table}: {name}", "stands in several rows", "one", REBUILD)


def check_groups(table: Path, samples: pl.DataFrame) -> Iterator[Finding]:
    """A Finding for every group that is spread over train, val and test, or over folds."""
    advice = "What the model learns would be tested: build again with --force"
    placed = samples.filter(pl.col("split") != "pool").with_columns(split=LEARNED_FROM)
    for kind, rows, column in (
        ("group over splits", placed, "split"),
        ("group over folds", placed.filter(pl.col("fold") >= 0), "fold"),
    ):
        spread = rows.group_by("group").agg(pl.col(column).unique().sort().cast(pl.String), pl.col("sample_id").min())
        spread = spread.filter(pl.col(column).list.len() > 1).sort("group")
        for group, parts, name in spread.select("group", pl.col(column).list.join(" and "), "sample_id").iter_rows():
            found = f"group {group} is spread over {column}s {parts}"
            yield Finding(kind, f"{table}: {name}", found, "all of a group in one", advice)


def check_drops(table: Path, drops: pl.DataFrame, samples: pl.DataFrame) -> Iterator[Finding]:
    """Findings about the drops, whose table is the file `table`."""
    yield from check_order(table, drops, ["sample_id", "rule"])
    unknown = drops.filter(~pl.col("rule").is_in(schema.RULES).fill_null(False))
    for name, rule in unknown.select("sample_id", "rule").iter_rows():
        yield Finding("drop rule", f"{table}: {name}", f"rule is {rule}", f"one of {', '.join(schema.RULES)}", REBUILD)
    for name in drops.join(samples, on="sample_id", how="semi")["sample_id"].unique().sort():
        yield Finding(
            "dropped and kept", f"{table}: {name}", "stands in samples.parquet too", "in one of them", REBUILD
        )


def check_edits(table: Path, edits: pl.DataFrame, samples: pl.DataFrame) -> Iterator[Finding]:
    """Findings about the edits of a version that `label import` made, whose table is the file `table`."""
    yield from check_order(table, edits, ["sample_id"])
    joined = edits.join(samples.select("sample_id", "mask_sha256"), on="sample_id", how="left", maintain_order="left")
    for name, edited, mask in joined.select("sample_id", "new_mask_sha256", "mask_sha256").iter_rows():
        if mask is None:
            yield Finding("edit of nothing", f"{table}: {name}", "no sample is called so", "one that is", REBUILD)
        elif edited != mask:
            yield Finding(
                "edited mask", f"{table}: {name}", f"new mask {edited}", f"that of the sample, {mask}", REBUILD
            )


def check_prelabels(table: Path, prelabels: pl.DataFrame, samples: pl.DataFrame) -> Iterator[Finding]:
    """Findings about the record of a model's guesses, which is the file `table`."""
    yield from check_order(table, prelabels, ["sample_id"])
    for name in prelabels.join(samples, on="sample_id", how="anti")["sample_id"]:
        yield Finding("guess of nothing", f"{table}: {name}", "no sample is called so", "one that is", REBUILD)
    odd = prelabels.filter(~pl.col("confidence").is_between(0, 1).fill_null(False))
    for name, confidence in odd.select("sample_id", "confidence").iter_rows():
        yield Finding("confidence", f"{table}: {name}", f"confidence is {confidence}", "a share, 0 to 1", REBUILD)


def check_header(path: Path, header: Header, samples: pl.DataFrame, drops: pl.DataFrame | None) -> Iterator[Finding]:
    """Findings about the header in the file `path`: digest, counts and funnel against the tables it was written after.

    Args:
        path: `dataset.json`.
        header: As read from it.
        samples, drops: The tables; None where that of the drops cannot be read.
    """
    advice = "A table was changed after the header was written: put the old one back, or build again with --force"
    digest, counts = digest_of(samples), counts_of(samples)
    if header.digest != digest:
        yield Finding("digest", str(path), f"digest {header.digest[:12]}", f"that of the table, {digest[:12]}", advice)
    if header.counts != counts:
        yield Finding("counts", str(path), f"counts {header.counts}", f"those of the table, {counts}", advice)
    if header.version < 1 or (header.version == 1) != (header.parent is None):
        found = f"version {header.version} with the parent {header.parent}"
        yield Finding("version", str(path), found, "1 without a parent, more with one", REBUILD)
    yield from check_funnel(path, header.funnel, samples.height, drops)


def check_funnel(path: Path, funnel: Sequence[FunnelStep], kept: int, drops: pl.DataFrame | None) -> Iterator[Finding]:
    """Findings about the funnel: it begins with all images, never rises, ends with the kept, and tells every drop."""
    left = [step.remaining for step in funnel]
    if not left or left[-1] != kept:
        found = f"the funnel ends with {left[-1] if left else 'nothing'}"
        yield Finding("funnel", str(path), found, f"the {kept} rows of samples.parquet", REBUILD)
    for before, step in zip(left, funnel[1:], strict=False):
        if step.remaining > before:
            found = f"the funnel rises from {before} to {step.remaining} at {step.label!r}"
            yield Finding("funnel", str(path), found, "no more than before", REBUILD)
    if drops is None:
        return
    if left and left[0] != kept + drops.height:
        found = f"the funnel begins with {left[0]} images looked at"
        yield Finding("funnel", str(path), found, f"{kept} samples + {drops.height} drops", REBUILD)
    taken: Counter[str] = Counter()
    for before, step in zip(left, funnel[1:], strict=False):
        taken[step.rule] += before - step.remaining
    dropped = Counter(drops["rule"].drop_nulls().to_list())
    for rule in sorted(taken | dropped):
        if taken[rule] != dropped[rule]:
            found = f"the funnel's rule {rule} took {taken[rule]}"
            yield Finding("funnel", str(path), found, f"the {dropped[rule]} of drops.parquet", REBUILD)
