"""Choose images and write a dataset version: sources -> rules -> masks -> splits -> dataset."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from curate import masks, schema
from curate.dataset import FunnelStep, Header, Source, finish_dataset, open_dataset
from curate.decisions import WEIGHTS
from curate.errors import CurateError, ExistsError
from curate.examples import drop_strips, kept_strip, sheet_page
from curate.files import link_or_copy, readable_faults, sha256_bytes, sha256_file, staged_folder
from curate.images import check_image, png_bytes
from curate.recipe import Recipe, recipe_options
from curate.selection import UNLABELLED, Selection, select
from curate.sheet import write_sheet
from curate.sources import Read
from curate.sources.lookup import IMAGE_SUFFIXES
from curate.splits import fold_groups, split_groups
from curate.threads import Watch, map_threads, unwatched


@dataclass(frozen=True)
class Built:
    """A dataset version on disk; `done_before` where it held the same recipe and inputs already."""

    out: Path
    header: Header
    drops: pl.DataFrame
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
        options = recipe_options(recipe)
        other = next(key for key in options if header.recipe.get(key) != options[key])
        found, asked = header.recipe.get(other), options[other]
        raise ExistsError(f"{out}: holds a dataset of another recipe ({other} {found}, not {asked}). {advice}")


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
        header, drops = fill(staging, selection, watch)
        if force or not out.exists() or is_empty_folder(out):
            return Built(out, header, drops)
        if not same_dataset(out, staging):
            raise ExistsError(
                f"{out}: was built by the same recipe from other inputs. Choose another --out, or pass --force"
            )
        lost = sum(not (out / path.relative_to(staging)).is_file() for path in staging.rglob("*.*") if path.is_file())
        if lost:
            raise ExistsError(
                f"{out}: was built by the same recipe and lacks {lost} of its files. Pass --force to mend it"
            )
        shutil.rmtree(staging)
        return Built(out, header, drops, done_before=True)


def explain_empty(selection: Selection) -> str:
    """Which rule took the last images."""
    funnel = selection.funnel
    before = funnel[0]
    if not before.remaining:
        return "the sources hold no image"
    for step in funnel[1:]:
        if not step.remaining and step.rule == "unreadable":
            first = selection.drops.filter(pl.col("rule") == "unreadable").sort("sample_id").row(0, named=True)
            return f"none of {before.remaining} labels can be read; the first: {first['detail']}"
        if not step.remaining:
            return f"the rule {step.label!r} took the last {before.remaining}. Loosen it"
        before = step
    return "no image file could be read"


def same_dataset(one: Path, other: Path) -> bool:
    """Whether two folders hold the same header (so the same samples, recipe, sources) and drops."""
    names = ("dataset.json", "drops.parquet")
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in names)


def fill(staging: Path, selection: Selection, watch: Watch) -> tuple[Header, pl.DataFrame]:
    """Write everything into the staged folder, the header last; returns it with the drops."""
    recipe, parent = selection.recipe, selection.parent
    written, unreadable = write_samples(staging, selection, watch)
    if not written:
        first = unreadable[0]["detail"]
        raise CurateError(f"nothing was written, none of {len(unreadable)} images can be read; the first: {first}")
    samples = schema.table(add_splits(written, selection), schema.SAMPLES)
    drops = pl.concat([selection.drops, schema.table(unreadable, schema.DROPS)])
    funnel = [
        *selection.funnel,
        FunnelStep("unreadable", "readable image", samples.height),
        FunnelStep("kept", "kept", samples.height),
    ]
    strips = [kept_strip(staging, samples), *drop_strips(drops, selection.candidates, selection.reads)]
    write_sheet(staging / "sheet.png", sheet_page(strips, samples.height, drops.height))
    header = finish_dataset(
        staging,
        name=parent.header.name if parent else recipe.name,
        version=parent.header.version + 1 if parent else 1,
        parent=parent.header.digest if parent else None,
        recipe=recipe_options(recipe),
        sources=sources_of(selection),
        funnel=funnel,
        samples=samples,
        drops=drops,
    )
    return header, drops


def sources_of(selection: Selection) -> list[Source]:
    """The sources for the header; with `--from` those of the parent."""
    return selection.parent.header.sources if selection.parent else [read.source for read in selection.reads]


def write_samples(
    staging: Path, selection: Selection, watch: Watch
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Images and masks on disk: the samples' rows, still without their splits, and the drops of what is unreadable."""
    for part in ("images", "masks"):
        (staging / part).mkdir()
    rows = selection.kept.to_dicts()
    tick = watch("writing", len(rows))
    written = map_threads(lambda row: write_sample(staging, row, selection.reads[row["read"]]), rows, tick)
    samples = [one for one in written if "rule" not in one]
    return samples, [one for one in written if "rule" in one]


def write_sample(staging: Path, candidate: dict[str, Any], read: Read) -> dict[str, Any]:
    """One image and its mask on disk; the sample's row, or the row of its drop where the image cannot be used."""
    sample_id, size_hw = candidate["sample_id"], (candidate["height"], candidate["width"])
    try:
        path = read.labels.image(candidate["row"])
        check_image(path, size_hw)
        label = read.labels.draw(candidate["row"])
    except CurateError as error:
        return {
            "sample_id": sample_id,
            "source": candidate["source"],
            "rule": "unreadable",
            "value": None,
            "limit": None,
            "detail": str(error),
        }
    suffix = path.suffix.lower() if path.suffix.lower() in IMAGE_SUFFIXES else ".img"
    image, mask = f"images/{sample_id}{suffix}", f"masks/{sample_id}.png"
    link_or_copy(path, staging / image)
    encoded = png_bytes(label.target)
    (staging / mask).write_bytes(encoded)
    verdict = candidate["verdict"]
    return {
        "sample_id": sample_id,
        "image": image,
        "mask": mask,
        "width": candidate["width"],
        "height": candidate["height"],
        "people": candidate["people"],
        "area": masks.area_fraction(label.target),
        "source": candidate["source"],
        "licence": candidate["licence"],
        "origin": label.origin,
        "edges": masks.touched_edges(label.target == masks.PERSON),
        "touching": list(label.touching),
        "head_visible": None,
        "image_sha256": sha256_file(staging / image),
        "mask_sha256": sha256_bytes(encoded),
        "weight": WEIGHTS.get(verdict, 1.0),
        "tags": ["crowd"] * candidate["crowd"] + [verdict] * (verdict in WEIGHTS),
    }


def add_splits(rows: Sequence[dict[str, Any]], selection: Selection) -> list[dict[str, Any]]:
    """The rows with `group`, `split` and `fold`, and with what an earlier version says of them."""
    carried = carried_rows(selection)
    recipe, seed = selection.recipe, selection.recipe.seed or 0
    rows = [{**row, "group": row["image_sha256"][:16], **carried.get(row["sample_id"], {})} for row in rows]
    resplit = not carried or recipe.seed is not None
    if resplit:
        splits = split_groups({row["group"] for row in rows if row.get("split") not in UNLABELLED}, seed)
        rows = [row if row.get("split") in UNLABELLED else {**row, "split": splits[row["group"]]} for row in rows]
    if resplit or recipe.folds:
        folds = {}
        if recipe.folds:
            folds = fold_groups({row["group"] for row in rows if row["split"] == "train"}, recipe.folds, seed)
        rows = [{**row, "fold": folds.get(row["group"], -1) if row["split"] == "train" else -1} for row in rows]
    return rows


def carried_rows(selection: Selection) -> dict[str, dict[str, Any]]:
    """What the rows of an earlier version keep, by sample_id; a new verdict wins over the old tags and weight."""
    if selection.parent is None:
        return {}
    verdicts = dict(selection.kept.select("sample_id", "verdict").iter_rows())
    columns = ("group", "split", "fold", "head_visible")
    carried = {}
    for row in selection.parent.rows():
        verdict = verdicts.get(row["sample_id"])
        tags = [tag for tag in row["tags"] if verdict is None or tag not in schema.VERDICTS]
        carried[row["sample_id"]] = {column: row[column] for column in columns} | {
            "tags": tags + [verdict] * (verdict in WEIGHTS),
            "weight": row["weight"] if verdict is None else WEIGHTS.get(verdict, 1.0),
        }
    return carried
