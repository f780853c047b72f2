"""Whether a dataset version on disk is what it says it is: header, tables, files and rules; nothing is written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import polars as pl

from curate import schema
from curate.checks import REBUILD, Finding
from curate.checks.files import Looked, check_orphans, check_replaced, is_inside, look_at_files, strangers
from curate.checks.rows import orderly
from curate.checks.rules import TRAITS, check_copies, check_counts, check_rules, copies_of
from curate.checks.tables import check_drops, check_edits, check_header, check_prelabels, check_samples
from curate.choosing.choose import traits_of
from curate.choosing.recipe import Recipe, make_recipe
from curate.classes import class_path
from curate.dataset import Dataset, Header, read_columns, read_header
from curate.errors import FormatError, MissingError, UsageError
from curate.guesses import TABLE as PRELABELS
from curate.rows import Rows
from curate.threads import Watch, unwatched

Part = TypeVar("Part")


@dataclass
class Report:
    """What a check found.

    Attributes:
        root: The dataset's folder.
        header: None where it cannot be read.
        samples, drops, edits, prelabels: The tables, None where they cannot be read; the last two also where there
            are none.
        findings: What is not as it should be.
        remarks: What the user should know and is no fault.
    """

    root: Path
    header: Header | None = None
    samples: pl.DataFrame | None = None
    drops: pl.DataFrame | None = None
    edits: pl.DataFrame | None = None
    prelabels: pl.DataFrame | None = None
    findings: list[Finding] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def verify(dataset: Dataset, watch: Watch = unwatched) -> Iterator[str]:
    """What is wrong with an opened dataset on disk, one line each; nothing where it is sound. See `check_dataset`."""
    yield from map(str, check_dataset(dataset.root, watch).findings)


def check_dataset(root: Path | str, watch: Watch = unwatched) -> Report:
    """All that is wrong with the dataset version in a folder, as far as its damage lets one look.

    Args:
        root: The folder with `dataset.json`.
        watch: Told of progress.

    Raises:
        MissingError: No header, so this is no dataset.
    """
    report = Report(Path(root))
    read_parts(report)
    check_parts(report)
    recipe = recipe_of(report, report.header) if report.header is not None else None
    if report.samples is not None:
        check_samples_files(report, report.samples, recipe, watch)
    report.remarks += strangers(report.root)
    return report


def read_parts(report: Report) -> None:
    """Read the header and the tables; what cannot be read becomes a Finding."""
    root = report.root
    if not (root / "dataset.json").exists():
        read_header(root)
    report.header = read_part(report, "dataset.json", lambda path: read_header(path.parent))
    report.samples = read_part(report, "samples.parquet", lambda path: read_columns(path, schema.SAMPLES))
    report.drops = read_part(report, "drops.parquet", lambda path: read_columns(path, schema.DROPS))
    edited = report.header is not None and str(report.header.recipe.get("command")).startswith("label ")
    if edited or os.path.lexists(root / "edits.parquet"):
        report.edits = read_part(
            report, "edits.parquet", lambda path: read_columns(path, schema.EDITS, later=schema.EDITS_LATER)
        )
    if os.path.lexists(root / PRELABELS):
        report.prelabels = read_part(report, PRELABELS, lambda path: read_columns(path, schema.PRELABELS))


def read_part(report: Report, name: str, read: Callable[[Path], Part]) -> Part | None:
    """One file of the dataset as `read` gives it; None, and a Finding, where it is damaged or leads out of it."""
    path, found = report.root / name, ""
    if not is_inside(path, os.path.realpath(report.root)):
        found = f"leads out of the dataset, to {os.path.realpath(path)}"
    else:
        try:
            return read(path)
        except (FormatError, MissingError) as error:
            problem = error.problem if isinstance(error, FormatError) else str(error).removeprefix(f"{path}: ")
            found = problem.split(". ")[0]
    report.findings.append(Finding("damaged", str(path), found, "the file of the build", REBUILD))
    return None


def check_parts(report: Report) -> None:
    """Hold header and tables against themselves and one another."""
    root, header, samples, drops = report.root, report.header, report.samples, report.drops
    if samples is None:
        return
    if header is not None:
        report.findings += check_header(root / "dataset.json", header, samples, drops)
    report.findings += check_samples(root / "samples.parquet", samples)
    if drops is not None:
        report.findings += check_drops(root / "drops.parquet", drops, samples)
    if report.edits is not None:
        report.findings += check_edits(root / "edits.parquet", report.edits, samples)
        report.findings += check_replaced(root, report.edits)
    if report.prelabels is not None:
        report.findings += check_prelabels(root / PRELABELS, report.prelabels, samples)


def recipe_of(report: Report, header: Header) -> Recipe | None:
    """The recipe of the header; None, and a Finding or a remark, where it has none that can be built."""
    options = header.recipe.get("rules") if "command" in header.recipe else header.recipe
    if options is None:
        told = f"was made by {header.recipe['command']}, and the rules stand in the version it came from"
        report.remarks.append(f"{report.root}: {told}; they were not checked")
        return None
    try:
        return make_recipe({"name": header.name, **options}, "recipe")
    except UsageError as error:
        found = str(error).split(". ")[0]
        where = str(report.root / "dataset.json")
        report.findings.append(Finding("recipe", where, found, "a recipe that can be built", REBUILD))
        return None


def check_samples_files(report: Report, samples: pl.DataFrame, recipe: Recipe | None, watch: Watch) -> None:
    """Look at every file, and hold rows, masks and photographs against the rules of the recipe."""
    table, rows = report.root / "samples.parquet", orderly(samples)
    traits = traits_of(recipe) if recipe is not None else []
    looked = look_at_files(report.root, Rows(rows), traits, watch("checking files", rows.height))
    report.findings += [finding for one in looked for finding in one.findings]
    classes = {path for row in Rows(rows.select("mask", "tags")) if (path := class_path(row)) is not None}
    listed = frozenset(rows["image"]) | frozenset(rows["mask"]) | classes
    report.findings += check_orphans(report.root, listed)
    if recipe is not None:
        broken, remarks = check_rules(table, samples, recipe, traits_table(rows["sample_id"], looked))
        report.findings += broken
        sources = report.header.sources if report.header is not None else []
        report.findings += check_counts(table, samples, recipe, sources)
        report.remarks += remarks
    watch("looking for copies", 0)
    seen = [(name, one.signature) for name, one in zip(rows["sample_id"], looked, strict=True) if one.signature]
    pairs = copies_of([name for name, _ in seen], [signature for _, signature in seen])
    report.findings += check_copies(table, samples, recipe.duplicates if recipe is not None else "keep", pairs)


def traits_table(names: pl.Series, looked: list[Looked]) -> pl.DataFrame:
    """The measures of the masks by sample_id, each once."""
    rows = [(name, one.parts, one.stairs) for name, one in zip(names, looked, strict=True)]
    return pl.DataFrame(rows, schema=TRAITS, orient="row").unique("sample_id")
