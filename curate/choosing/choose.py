"""From what the labels say to what is kept: photographs, masks, duplicates, groups and splits, then the last rules.

Each step takes a Selection and returns one with more columns and fewer rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from curate import schema
from curate.choosing.arrange import with_order, with_places, with_splits
from curate.choosing.examine import DRAWN, draw_masks, read_photos
from curate.choosing.recipe import Recipe
from curate.choosing.rules import (
    Rule,
    body_part_rule,
    capped_by,
    decision_rule,
    intact_rule,
    parse_where,
    parts_rule,
    people_rule,
    spacing_rule,
    stairs_rule,
    take_rule,
    unreadable_rule,
    where_rule,
)
from curate.choosing.selection import Selection
from curate.choosing.splits import parse_split, place
from curate.classes import class_hash, renewed_tags
from curate.dataset import FunnelStep
from curate.decisions import WEIGHTS
from curate.errors import UsageError
from curate.rows import Rows
from curate.schema import UNLABELLED
from curate.sources import Note
from curate.sources.lookup import rival_of
from curate.storage.copies import photos_at
from curate.threads import Watch


def choose(selection: Selection, folder: Path, watch: Watch) -> Selection:
    """The selection after every rule, its kept rows with all columns of `samples.parquet` and the `path` of the photo.

    Args:
        selection: What the labels let through.
        folder: Where masks are written, into its `masks`; those of images dropped later are among them.
        watch: Told of progress.
    """
    selection = with_photos(selection, watch)
    selection = with_masks(selection, folder, watch)
    selection = with_carried(selection)
    selection, seen = with_order(selection, watch)
    selection = with_places(selection, seen)
    selection = last_rules(selection, last_rules_of(selection.recipe))
    selection = with_splits(selection)
    return with_unknown_told(with_enough_backgrounds(selection))


def preview(selection: Selection, watch: Watch) -> Selection:
    """What a dry run can tell: the rules that need no photograph's pixels, and the notes of what it leaves out."""
    asked = columns_of(selection.recipe.where)
    if drawn_rules(selection.recipe) or asked & set(DRAWN):
        selection = with_masks(selection, None, watch)
    selection = with_carried(selection)
    if selection.recipe.resplits:
        selection = replace(selection, kept=selection.kept.drop("group", "split", "fold", strict=False))
    missing = sorted(asked - (set(selection.kept.columns) - {"mask_sha256"}))
    left_out = [f"where ({missing[0]})"] if missing else []
    left_out += [f"split {selection.recipe.split}"] if parse_split(selection.recipe.split).counts else []
    notes = [Note("rules are left out of a dry run, which reads no photograph", what) for what in left_out]
    rules = [rule for rule in last_rules_of(selection.recipe) if rule.name != "where" or not missing]
    selection = last_rules(selection, rules)
    return with_enough_backgrounds(replace(selection, notes=selection.notes + notes))


def columns_of(where: str | None) -> set[str]:
    """The columns a condition asks for."""
    return set(parse_where(where).meta.root_names()) if where is not None else set()


def with_photos(selection: Selection, watch: Watch) -> Selection:
    """Every photograph found, read to its end and hashed; those that cannot be are dropped."""
    for index, source in enumerate(selection.reads):
        if source.fetch is not None:
            source.fetch(selection.kept.filter(read=index)["row"].to_list(), watch)
    tick = watch("reading photos", selection.kept.height)
    read = read_photos(selection.kept, selection.reads, tick).with_columns(unreadable=pl.col("damage"))
    notes = [*selection.notes, *rivals(read["path"].drop_nulls(), selection.recipe.images)]
    selection = replace(selection, kept=read.drop("damage"), notes=notes)
    return selection.apply([unreadable_rule("readable image")], exempt=())


def rivals(paths: Iterable[str], folders: Sequence[str]) -> Iterator[Note]:
    """A Note for each photograph of which another `--images` folder holds a different one; the first folder counts."""
    roots = [photos_at(folder) for folder in folders]
    for path in paths if len(roots) > 1 else ():
        if other := rival_of(Path(path), roots):
            told = "photographs differ from one of their name in another --images folder; the first folder's is taken"
            yield Note(told, f"{path}, not {other}")


def with_masks(selection: Selection, folder: Path | None, watch: Watch) -> Selection:
    """Every mask drawn and, with a folder, written; then the rules that need them drawn."""
    tick = watch("drawing masks", selection.kept.height)
    drawn = draw_masks(selection.kept, selection.reads, folder, traits_of(selection.recipe), tick)
    drawn = drawn.with_columns(unreadable=pl.col("damage"))
    selection = replace(selection, kept=drawn.drop("damage"))
    if drawn["damage"].count():
        selection = selection.apply([unreadable_rule("readable label")], exempt=())
    return selection.apply(drawn_rules(selection.recipe))


def with_unknown_told(selection: Selection) -> Selection:
    """The selection with a Note for each labelled image without a class mask, where such masks are drawn."""
    if selection.parent is not None or not selection.recipe.foreground.classes:
        return selection
    told = "images have no mask of classes, for their source names nothing of one, or not where it is"
    rows = Rows(selection.kept.filter(pl.col("kind").ne_missing("pool")).select("sample_id", "tags"))
    unknown = [Note(told, row["sample_id"]) for row in rows if class_hash(row["tags"]) is None]
    return replace(selection, notes=[*selection.notes, *unknown])


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
    drawn = dict(selection.kept.select("sample_id", "tags").iter_rows()) if "tags" in selection.kept.columns else {}
    rows = [
        carry(row, verdicts[name], drawn.get(name, ()))
        for row in Rows(carried)
        if (name := row["sample_id"]) in verdicts
    ]
    columns = ("group", "split", "fold", "tags", "weight")
    table = pl.DataFrame(rows, schema={name: schema.SAMPLES[name] for name in ("sample_id", *columns)})
    kept = selection.kept.drop(name for name in columns if name in selection.kept.columns)
    return replace(selection, kept=kept.join(table, on="sample_id", how="left", maintain_order="left"))


def carry(row: dict[str, Any], verdict: str | None, drawn: Sequence[str] = ()) -> dict[str, Any]:
    """What one row of an earlier version keeps; of the tags as drawn now, that of its class mask counts."""
    tags = [tag for tag in renewed_tags(row["tags"], drawn) if verdict is None or tag not in schema.VERDICTS]
    return {column: row[column] for column in ("sample_id", "group", "split", "fold")} | {
        "tags": tags + [verdict] * (verdict in WEIGHTS),
        "weight": row["weight"] if verdict is None else WEIGHTS.get(verdict, 1.0),
    }


def last_rules(selection: Selection, rules: Sequence[Rule]) -> Selection:
    """The selection after rules over whole rows: an expression, the sample of each source, a reviewer's decisions.

    Raises:
        UsageError: The expression cannot be computed of some image.
    """
    for rule in rules:
        selection = with_over(selection) if rule.name == "take" else selection
        try:
            selection = selection.apply([rule], exempt=exempt_of(rule, selection.recipe))
        except pl.exceptions.PolarsError as error:
            raise UsageError(f"--where {selection.recipe.where!r}: {str(error).splitlines()[0]}") from error
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
    return UNLABELLED if rule.name == "where" and "split" not in columns_of(recipe.where) else ()


def with_over(selection: Selection) -> Selection:
    """The selection with `over`: the cap of the image's source where the seeded sample of it leaves the image out.

    Sources that fall under the name of their kind are sampled together.

    The sample is those with the lowest hashes of seed and name, after the images of an earlier test split that is kept.
    Empty scenes that are kept on purpose do not count.
    """
    seed, over = selection.recipe.seed or 0, {}
    first: set[str] = set()
    if selection.recipe.test_from is not None and "fixed" in selection.kept.columns:
        first = set(selection.kept.filter(pl.col("fixed") == "test")["sample_id"])
    capped = pl.col("source").replace(capped_by(selection.recipe.take, selection.sources))
    for name, most in selection.recipe.take.items():
        mine = pl.col("kind").ne_missing("background") & (capped == name)
        names = sorted(
            selection.kept.filter(mine)["sample_id"], key=lambda name: (name not in first, place(seed, "take", name))
        )
        over.update(dict.fromkeys(names[most:], most))
    values = [over.get(name) for name in selection.kept["sample_id"]]
    return replace(selection, kept=selection.kept.with_columns(over=pl.Series(values, dtype=pl.Int64)))


def with_enough_backgrounds(selection: Selection) -> Selection:
    """The selection with no more empty scenes than asked for: the others are dropped for showing nobody, as all are."""
    recipe, kept = selection.recipe, selection.kept
    mine = kept.filter(pl.col("kind") == "background") if selection.parent is None else kept.clear()
    seed = recipe.seed or 0
    ranked = sorted(mine["sample_id"], key=lambda name: place(seed, "background", name))
    spare = kept.filter(pl.col("sample_id").is_in(ranked[recipe.backgrounds :]))
    if mine.height < recipe.backgrounds:
        told = f"--backgrounds {recipe.backgrounds}: only {mine.height} empty scenes can be used"
        selection = replace(selection, notes=[*selection.notes, Note(told, "")])
    if not spare.height:
        return selection
    rule = people_rule(recipe.min_people)
    dropped = replace(selection, kept=spare, drops=selection.drops.clear()).apply([rule], exempt=()).drops
    first = next(number for number, step in enumerate(selection.funnel) if step.rule == "people")
    funnel = [
        step if number < first else FunnelStep(step.rule, step.label, step.remaining - spare.height)
        for number, step in enumerate(selection.funnel)
    ]
    kept = kept.filter(~pl.col("sample_id").is_in(spare["sample_id"].implode()))
    return replace(selection, kept=kept, drops=pl.concat([selection.drops, dropped]), funnel=funnel)
