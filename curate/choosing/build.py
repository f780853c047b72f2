"""Choose images and write a dataset version: sources -> rules -> masks -> splits -> dataset."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from curate import schema
from curate.choosing.choose import choose
from curate.choosing.recipe import Recipe, option_words, recipe_options
from curate.choosing.selection import Selection, select
from curate.classes import FOLDER as CLASSES
from curate.dataset import Dataset, FunnelStep, Header, open_dataset
from curate.errors import CurateError, ExistsError
from curate.files import link_or_copy, readable_faults, staged_folder
from curate.finish import finish_dataset
from curate.looking.diff import changed_sources
from curate.looking.examples import drop_strips, kept_strip, sheet_page, version_words
from curate.looking.sheet import write_sheet
from curate.revise import lay_prelabels
from curate.sources import Note
from curate.terminal import renamed, shorten
from curate.threads import Watch, map_threads, unwatched

TOLD = 3
"""Options of two recipes that are told in full."""


@dataclass(frozen=True)
class Built:
    """A dataset version on disk; `done_before` where it held the same recipe and inputs already."""

    out: Path
    header: Header
    drops: pl.DataFrame
    notes: list[Note]
    done_before: bool = False


def build_dataset(recipe: Recipe, out: Path | str, *, force: bool = False, watch: Watch = unwatched) -> Built:
    """Choose images as the recipe says and write them as a dataset version into the folder `out`.

    Raises:
        CurateError: Nothing is left, or a source cannot be read.
        ExistsError: `out` holds something else and `force` is false.
    """
    return write_dataset(select(recipe, watch), Path(out), force=force, watch=watch)


def check_out(out: Path, recipe: Recipe, *, force: bool) -> None:
    """Raise ExistsError early, before any work, where `out` cannot become the dataset this recipe builds."""
    if not out.exists():
        return
    if not (out / "dataset.json").is_file() and not is_empty_folder(out):
        raise ExistsError(f"{out}: exists and is not a dataset, so it is never replaced. Choose another --out")
    if force or is_empty_folder(out):
        return
    advice = "Choose another --out, or pass --force to replace it"
    try:
        header = open_dataset(out).header
    except CurateError:
        raise ExistsError(f"{out}: holds a damaged dataset. {advice}") from None
    if header.recipe != recipe_options(recipe):
        told = tell_apart(header.recipe, recipe_options(recipe))
        raise ExistsError(f"{out}: holds a dataset of another recipe ({told}). {advice}")


def tell_apart(there: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """The options in which two recipes differ: a few as the command line has them, the others by name.

    >>> tell_apart({"min-area": 0.0, "take": {}}, {"min-area": 0.3, "take": {"coco": 5}})
    'there: --min-area 0, no --take; asked: --min-area 0.3, --take coco=5'
    """
    names = [name for name in {**asked, **there} if there.get(name) != asked.get(name)]
    full, more = names[:TOLD], [f"--{name}" for name in names[TOLD:]]
    sides = [", ".join(shorten(option_words(name, side.get(name)), 60) for name in full) for side in (there, asked)]
    return f"there: {sides[0]}; asked: {sides[1]}" + (f"; and another {', '.join(more)}" if more else "")


def is_empty_folder(path: Path) -> bool:
    """Whether a folder stands there and holds nothing."""
    return path.is_dir() and not any(path.iterdir())


def write_dataset(selection: Selection, out: Path, *, force: bool = False, watch: Watch = unwatched) -> Built:
    """Write the kept images, their masks, the tables and the contact sheet; whole or not at all.

    Raises:
        CurateError: Nothing is left to write.
        ExistsError: `out` holds another dataset and `force` is false.
    """
    check_out(out, selection.recipe, force=force)
    if selection.kept.is_empty():
        raise CurateError(f"{out}: not written, no image is left: {explain_empty(selection)}")
    with readable_faults(out), staged_folder(out, force=True) as staging:
        check_out(out, selection.recipe, force=force)  # once more, now that nobody else can be writing there
        header, chosen = fill(staging, selection, watch)
        if force or not out.exists() or is_empty_folder(out):
            return Built(out, header, chosen.drops, chosen.notes)
        if not same_dataset(out, staging):
            told = f"was built by the same recipe from other inputs ({tell_inputs_apart(out, staging)})"
            raise ExistsError(f"{out}: {told}. Choose another --out, or pass --force")
        lost = sum(not (out / path.relative_to(staging)).is_file() for path in staging.rglob("*.*") if path.is_file())
        if lost:
            raise ExistsError(
                f"{out}: was built by the same recipe and lacks {lost} of its files. Pass --force to mend it"
            )
        shutil.rmtree(staging)
        return Built(out, header, chosen.drops, chosen.notes, done_before=True)


def explain_empty(selection: Selection) -> str:
    """Which rule took the last images."""
    funnel = selection.funnel
    before = funnel[0]
    if not before.remaining:
        return "the sources hold no image"
    for step in funnel[1:]:
        if not step.remaining and step.rule == "unreadable":
            first = selection.drops.filter(pl.col("rule") == "unreadable").sort("sample_id").row(0, named=True)
            return f"none of {before.remaining} images or labels can be read; the first: {first['detail']}"
        if not step.remaining:
            return f"the rule {step.label!r} took the last {before.remaining}. Loosen it"
        before = step
    return "no image file could be read"


def same_dataset(one: Path, other: Path) -> bool:
    """Whether two folders hold the same header (so the same samples, recipe, sources) and drops."""
    names = ("dataset.json", "drops.parquet")
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in names)


def tell_inputs_apart(out: Path, staging: Path) -> str:
    """What first differs between two versions of one recipe: an annotation file, else an image."""
    one, other = open_dataset(out), open_dataset(staging)
    files = changed_sources(one.header.sources, other.header.sources)
    if files:
        source, file, what = files[0]
        told = {"only in A": "is no longer there", "only in B": "is new"}.get(what, "has changed")
        return f"{file} of the source {source} {told}"
    there, here = rows_of(one), rows_of(other)
    images = sorted(name for name in there.keys() | here.keys() if there.get(name) != here.get(name))
    if not images:
        return "nothing but dataset.json differs"
    told = "is no longer there" if images[0] not in here else "is new" if images[0] not in there else "has changed"
    return f"the image {images[0]} {told}" + (f", the first of {len(images):,}" if len(images) > 1 else "")


def rows_of(dataset: Dataset) -> dict[str, dict[str, Any]]:
    """Every image looked at, by its sample_id: its row in `samples.parquet` or `drops.parquet`."""
    return {row["sample_id"]: row for table in (dataset.samples, dataset.drops) for row in table.to_dicts()}


def fill(staging: Path, selection: Selection, watch: Watch) -> tuple[Header, Selection]:
    """Write everything into the staged folder, the header last; returns it with the final selection."""
    recipe, parent = selection.recipe, selection.parent
    for part in ("images", "masks"):
        (staging / part).mkdir()
    chosen = choose(selection, staging, watch)
    if chosen.kept.is_empty():
        raise CurateError(f"nothing was written, no image is left: {explain_empty(chosen)}")
    lay_files(staging, chosen.kept, watch)
    samples = chosen.kept.select(schema.SAMPLES.names()).cast(schema.SAMPLES)
    if parent is not None:
        lay_prelabels(parent, staging, samples)
    funnel = [*chosen.funnel, FunnelStep("kept", "kept", samples.height)]
    tick = watch("drawing the contact sheet", 1)
    strips = [kept_strip(staging, samples), *drop_strips(chosen.drops, chosen.candidates, chosen.reads)]
    name, version = (parent.header.name, parent.header.version + 1) if parent else (recipe.name, 1)
    page = sheet_page(version_words(name, version), strips, samples.height, chosen.drops.height)
    write_sheet(staging / "sheet.png", page)
    tick(1)
    watch("writing tables", 1)
    header = finish_dataset(
        staging,
        name=name,
        version=version,
        parent=parent.header.digest if parent else None,
        recipe=recipe_options(recipe),
        sources=selection.sources,
        funnel=funnel,
        samples=samples,
        drops=with_names(chosen.drops),
    )
    return header, chosen


def with_names(drops: pl.DataFrame) -> pl.DataFrame:
    """The drops with what was mirrored from a bucket by its URL: where the cache lies is nobody else's business."""
    return drops.with_columns(detail=pl.Series([text and renamed(text) for text in drops["detail"]], dtype=pl.String))


def lay_files(staging: Path, kept: pl.DataFrame, watch: Watch) -> None:
    """Link or copy the kept images; take away the masks of images that were dropped after they were drawn."""
    rows = list(kept.select("path", "image").iter_rows())
    tick = watch("linking images", len(rows))
    map_threads(lambda row: link_or_copy(Path(row[0]), staging / row[1]), rows, tick)
    names = {f"{sample_id}.png" for sample_id in kept["sample_id"]}
    for path in [*(staging / "masks").iterdir(), *(staging / CLASSES).glob("*")]:
        if path.name not in names:
            path.unlink()
    if (staging / CLASSES).is_dir() and not any((staging / CLASSES).iterdir()):
        (staging / CLASSES).rmdir()
