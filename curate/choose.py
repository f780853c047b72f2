"""From what the labels say to what is kept: photographs, masks, duplicates, groups and splits, then the last rules.

Each step takes a Selection and returns one with more columns and fewer rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from curate import schema
from curate.dataset import FunnelStep, open_dataset
from curate.decisions import WEIGHTS
from curate.duplicates import near_pairs, signature
from curate.examine import draw_masks, file_names, read_photos, signatures_of
from curate.images import examine_image
from curate.placing import (
    UNLABELLED,
    Item,
    Placement,
    copies,
    neighbours_of,
    place_images,
    settle_splits,
)
from curate.recipe import Recipe
from curate.rules import (
    Rule,
    body_part_rule,
    decision_rule,
    duplicate_rule,
    intact_rule,
    leak_rule,
    parse_where,
    parts_rule,
    people_rule,
    spacing_rule,
    stairs_rule,
    take_rule,
    unreadable_rule,
    where_rule,
)
from curate.selection import Selection
from curate.sources import Note
from curate.splits import fold_groups, parse_split, place
from curate.threads import Watch, map_threads


def choose(selection: Selection, masks_folder: Path, watch: Watch) -> Selection:
    """The selection after every rule, its kept rows with all columns of `samples.parquet` and the `path` of the photo.

    Args:
        selection: What the labels let through.
        masks_folder: Where the masks are written; those of images dropped later are among them.
        watch: Told of progress.
    """
    selection = with_photos(selection, watch)
    selection = with_masks(selection, masks_folder, watch)
    selection = with_carried(selection)
    selection = with_places(selection, watch)
    selection = last_rules(selection)
    selection = with_splits(selection)
    return with_enough_backgrounds(selection)


def preview(selection: Selection, watch: Watch) -> Selection:
    """What a dry run can tell: the rules that need no photograph's pixels, and the notes of what it leaves out."""
    recipe = selection.recipe
    if drawn_rules(recipe) or recipe.where is not None:
        selection = with_masks(selection, None, watch)
    selection = with_carried(selection)
    rules, notes = last_rules_of(recipe), []
    if recipe.where is not None:
        missing = set(parse_where(recipe.where).meta.root_names()) - set(selection.kept.columns)
        if missing:
            rules = [rule for rule in rules if rule.name != "where"]
            notes = [
                Note("rules are left out of a dry run, which reads no photograph", f"where ({sorted(missing)[0]})")
            ]
    selection = with_over(selection)
    for rule in rules:
        selection = selection.apply([rule], exempt=exempt_of(rule, recipe))
    return with_enough_backgrounds(replace(selection, notes=selection.notes + notes))


def with_photos(selection: Selection, watch: Watch) -> Selection:
    """Every photograph found, read to its end and hashed; those that cannot be are dropped."""
    tick = watch("reading photos", selection.kept.height)
    read = read_photos(selection.kept, selection.reads, tick).with_columns(unreadable=pl.col("damage"))
    return replace(selection, kept=read.drop("damage")).apply([unreadable_rule("readable image")], exempt=())


def with_masks(selection: Selection, folder: Path | None, watch: Watch) -> Selection:
    """Every mask drawn and, with a folder, written; then the rules that need them drawn."""
    tick = watch("drawing masks", selection.kept.height)
    drawn = draw_masks(selection.kept, selection.reads, folder, traits_of(selection.recipe), tick)
    drawn = drawn.with_columns(unreadable=pl.col("damage"))
    selection = replace(selection, kept=drawn.drop("damage"))
    if drawn["damage"].count():
        selection = selection.apply([unreadable_rule("readable label")], exempt=())
    return selection.apply(drawn_rules(selection.recipe))


def traits_of(recipe: Recipe) -> list[str]:
    """The measures of a drawn mask that the recipe's rules ask for."""
    asked = {"parts": recipe.max_parts, "spacing": recipe.max_spacing, "stairs": recipe.max_stairs}
    return [name for name, limit in asked.items() if limit is not None]


def drawn_rules(recipe: Recipe) -> list[Rule]:
    """The rules that need a mask drawn, in the order they are applied."""
    rules = [intact_rule(recipe.intact)] if recipe.intact is not None else []
    rules += [body_part_rule(recipe.min_keypoints)] if recipe.min_keypoints else []
    rules += [parts_rule(recipe.max_parts)] if recipe.max_parts is not None else []
    rules += [spacing_rule(recipe.max_spacing)] if recipe.max_spacing is not None else []
    rules += [stairs_rule(recipe.max_stairs)] if recipe.max_stairs is not None else []
    return rules


def with_carried(selection: Selection) -> Selection:
    """What the rows of an earlier version keep: group, split, fold, tags, weight. A new verdict wins over the old."""
    if selection.parent is None:
        return selection
    carried = pl.concat([read.carried for read in selection.reads if read.carried is not None])
    verdicts = dict(selection.kept.select("sample_id", "verdict").iter_rows())
    rows = [carry(row, verdicts[row["sample_id"]]) for row in carried.to_dicts() if row["sample_id"] in verdicts]
    columns = ("group", "split", "fold", "tags", "weight")
    table = pl.DataFrame(rows, schema={name: schema.SAMPLES[name] for name in ("sample_id", *columns)})
    kept = selection.kept.drop(name for name in columns if name in selection.kept.columns)
    return replace(selection, kept=kept.join(table, on="sample_id", how="left", maintain_order="left"))


def carry(row: dict[str, Any], verdict: str | None) -> dict[str, Any]:
    """What one row of an earlier version keeps."""
    tags = [tag for tag in row["tags"] if verdict is None or tag not in schema.VERDICTS]
    return {column: row[column] for column in ("sample_id", "group", "split", "fold")} | {
        "tags": tags + [verdict] * (verdict in WEIGHTS),
        "weight": row["weight"] if verdict is None else WEIGHTS.get(verdict, 1.0),
    }


def with_places(selection: Selection, watch: Watch) -> Selection:
    """Groups and splits, near duplicates together; copies are dropped where asked for, and leaks always."""
    recipe = selection.recipe
    kept = in_order(selection, earlier_test(recipe))
    outside, outside_signatures = outside_test(recipe, kept, watch)
    watch("finding duplicates", 0)
    pairs = near_pairs(np.concatenate([outside_signatures, signatures_of(kept)])) if kept.height else ()
    items = [*outside, *items_of(kept, recipe)]
    near = neighbours_of(map(tuple, pairs), len(items))
    originals = copies(items, near, "near" if recipe.duplicates == "near" else "exact")
    exact = [
        other is not None and items[other].sha256 == one.sha256 for one, other in zip(items, originals, strict=True)
    ]
    names = [None if other is None else items[other].sample_id for other in originals]
    kept = kept.with_columns(
        copy_of=pl.Series(names[len(outside) :], dtype=pl.String),
        copy_exact=pl.Series(exact[len(outside) :], dtype=pl.Boolean),
        index=pl.int_range(len(outside), len(items)),
    )
    selection = replace(selection, kept=kept.sort("sample_id"))
    if recipe.duplicates != "keep":
        selection = selection.apply([duplicate_rule(recipe.duplicates)], exempt=())
    chosen = [*range(len(outside)), *sorted(selection.kept["index"])]
    placements = place_chosen(items, near, chosen, recipe)
    return with_placements(selection, [placements[index] for index in selection.kept["index"]])


def in_order(selection: Selection, test: frozenset[str]) -> pl.DataFrame:
    """The kept rows in the order images look back at one another: those with a split first, then by source and size."""
    recipe = selection.recipe
    kept = (
        selection.kept
        if "group" in selection.kept.columns
        else selection.kept.with_columns(
            group=pl.lit(None, pl.String), split=pl.lit(None, pl.String), fold=pl.lit(-1, pl.Int8)
        )
    )
    labelled = pl.col("split") if not recipe.resplits else pl.lit(None, pl.String)
    tested = pl.when(pl.col("image_sha256").is_in(list(test))).then(pl.lit("test"))
    kept = kept.with_columns(fixed=pl.coalesce("kind", tested, labelled))
    pixels = pl.col("width").cast(pl.Int64) * pl.col("height")
    return kept.sort(pl.col("fixed").is_null(), "read", -pixels, "sample_id")


def earlier_test(recipe: Recipe) -> frozenset[str]:
    """The hashes of the photographs in the test split of `--test-from`."""
    if recipe.test_from is None:
        return frozenset()
    samples = open_dataset(Path(recipe.test_from)).samples
    return frozenset(samples.filter(pl.col("split") == "test")["image_sha256"])


def outside_test(recipe: Recipe, kept: pl.DataFrame, watch: Watch) -> tuple[list[Item], np.ndarray[Any, Any]]:
    """The images of an earlier test split that are not among those kept, with their signatures."""
    empty = np.zeros((0, signature(np.zeros((32, 32), np.uint8)).size), np.uint8)
    if recipe.test_from is None:
        return [], empty
    earlier = open_dataset(Path(recipe.test_from))
    here = set(kept["image_sha256"])
    rows = [row for row in earlier.rows("test") if row["image_sha256"] not in here]
    tick = watch("reading the earlier test split", len(rows))
    found = map_threads(
        lambda row: signature(examine_image(earlier.root / row["image"], (row["height"], row["width"]))), rows, tick
    )
    items = [
        Item(row["sample_id"], row["image_sha256"][:16], row["image_sha256"], "test", outside=True) for row in rows
    ]
    return items, np.stack(found) if found else empty


def items_of(kept: pl.DataFrame, recipe: Recipe) -> list[Item]:
    """The rows as they are placed."""
    return [
        Item(row["sample_id"], unit_of(row, recipe), row["image_sha256"], row["fixed"], row["area"], row["people"])
        for row in kept.to_dicts()
    ]


def unit_of(row: dict[str, Any], recipe: Recipe) -> str:
    """What a row is never split apart from: its value of `--group-by`, its earlier group, else its own content."""
    value = row[recipe.group_by] if recipe.group_by is not None else None
    if value is not None:
        return hashlib.sha256(f"{recipe.group_by}\0{value}".encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return str(row["group"] or row["image_sha256"][:16])


def place_chosen(
    items: Sequence[Item], near: Sequence[Sequence[int]], chosen: Sequence[int], recipe: Recipe
) -> dict[int, Placement]:
    """The placements of some of the items, by their index; the others do not exist for them."""
    number = {index: position for position, index in enumerate(chosen)}
    around = [[number[other] for other in near[index] if other in number] for index in chosen]
    shares = parse_split(recipe.split)
    placed = place_images([items[index] for index in chosen], around, shares, recipe.seed or 0)
    return dict(zip(chosen, placed, strict=True))


def with_placements(selection: Selection, placements: Sequence[Placement]) -> Selection:
    """The selection with `group`, `split` and `leak`; what leaks is dropped."""
    kept = selection.kept.with_columns(
        group=pl.Series([one.group for one in placements], dtype=pl.String),
        split=pl.Series([one.split for one in placements], dtype=pl.String),
        leak=pl.Series([one.leak for one in placements], dtype=pl.String),
    )
    return replace(selection, kept=file_names(kept)).apply([leak_rule()], exempt=())


def last_rules(selection: Selection) -> Selection:
    """The rules over whole rows: the user's expression, the sample of each source, a reviewer's decisions."""
    for rule in last_rules_of(selection.recipe):
        selection = with_over(selection) if rule.name == "take" else selection
        selection = selection.apply([rule], exempt=exempt_of(rule, selection.recipe))
    return selection


def last_rules_of(recipe: Recipe) -> list[Rule]:
    """The rules over whole rows, in the order they are applied."""
    rules = [where_rule(recipe.where)] if recipe.where is not None else []
    rules += (
        [take_rule("at most " + ", ".join(f"{n} {name}" for name, n in recipe.take.items()))] if recipe.take else []
    )
    rules += [decision_rule()] if recipe.decisions is not None else []
    return rules


def exempt_of(rule: Rule, recipe: Recipe) -> Sequence[str]:
    """The kinds of images a rule passes over: an expression about people does not take the pool away."""
    about_splits = recipe.where is not None and "split" in parse_where(recipe.where).meta.root_names()
    return UNLABELLED if rule.name == "where" and not about_splits else ()


def with_over(selection: Selection) -> Selection:
    """The selection with `over`: the cap of the image's source where the seeded sample of it leaves the image out.

    The sample is those with the lowest hashes of seed and name. Empty scenes that are kept on purpose do not count.
    """
    seed, over = selection.recipe.seed or 0, {}
    for source, most in selection.recipe.take.items():
        mine = pl.col("kind").ne_missing("background") & (pl.col("source") == source)
        names = sorted(selection.kept.filter(mine)["sample_id"], key=lambda name: place(seed, "take", name))
        over.update(dict.fromkeys(names[most:], most))
    values = [over.get(name) for name in selection.kept["sample_id"]]
    return replace(selection, kept=selection.kept.with_columns(over=pl.Series(values, dtype=pl.Int64)))


def with_splits(selection: Selection) -> Selection:
    """The final splits and folds of what is left; what fixed counts leave over is dropped."""
    recipe, seed = selection.recipe, selection.recipe.seed or 0
    shares, kept = parse_split(recipe.split), selection.kept
    if recipe.resplits:
        rows = kept.filter(~pl.col("split").is_in(UNLABELLED)).select("group", "split", "area", "people").to_dicts()
        splits = settle_splits(rows, shares, seed, fixed_test=recipe.test_from is not None)
        found = [split if split in UNLABELLED else splits[group] for group, split in kept["group", "split"].iter_rows()]
        asked = sum((shares.counts or {}).values())
        over = [None if split is not None else asked for split in found]
        kept = kept.with_columns(split=pl.Series(found, dtype=pl.String), over=pl.Series(over, dtype=pl.Int64))
        selection = replace(selection, kept=kept)
        if shares.counts is not None:
            selection = selection.apply([take_rule(f"split {recipe.split}")], exempt=())
    return with_folds(selection, seed)


def with_folds(selection: Selection, seed: int) -> Selection:
    """The selection with the folds of its training split."""
    recipe, kept = selection.recipe, selection.kept
    if not (recipe.resplits or recipe.folds):
        return selection
    folds: dict[str, int] = {}
    if recipe.folds:
        folds = fold_groups(set(kept.filter(pl.col("split") == "train")["group"]), recipe.folds, seed)
    found = [folds.get(group, -1) if split == "train" else -1 for group, split in kept["group", "split"].iter_rows()]
    return replace(selection, kept=kept.with_columns(fold=pl.Series(found, dtype=pl.Int8)))


def with_enough_backgrounds(selection: Selection) -> Selection:
    """The selection with no more empty scenes than asked for: the others are dropped for showing nobody, as all are."""
    recipe, kept = selection.recipe, selection.kept
    mine = kept.filter(pl.col("kind") == "background") if selection.parent is None else kept.clear()
    seed = recipe.seed or 0
    ranked = sorted(mine["sample_id"], key=lambda name: place(seed, "background", name))
    spare = kept.filter(pl.col("sample_id").is_in(ranked[recipe.backgrounds :]))
    if mine.height < recipe.backgrounds:
        told = f"--backgrounds {recipe.backgrounds}: only {mine.height} such images"
        selection = replace(selection, notes=[*selection.notes, Note("kinds of images are too few", told)])
    if not spare.height:
        return selection
    rule = people_rule(recipe.min_people)
    dropped = replace(selection, kept=spare, drops=selection.drops.clear()).apply([rule], exempt=()).drops
    first = next(number for number, step in enumerate(selection.funnel) if step.rule == "people")
    funnel = [
        step if number < first else FunnelStep(step.rule, step.label, step.remaining - spare.height)
        for number, step in enumerate(selection.funnel)
    ]
    kept = kept.filter(~pl.col("sample_id").is_in(spare["sample_id"]))
    return replace(selection, kept=kept, drops=pl.concat([selection.drops, dropped]), funnel=funnel)
