"""Which images the labels speak for: read the sources, measure what is open, apply the rules of labels alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from curate import schema
from curate.choosing.recipe import Recipe
from curate.choosing.rules import (
    Rule,
    apply_rules,
    area_rule,
    capped_by,
    crowd_rule,
    people_rule,
    side_rule,
    unreadable_rule,
)
from curate.choosing.splits import place
from curate.dataset import Dataset, FunnelStep, Source, open_dataset
from curate.decisions import Decision, read_decisions
from curate.engine import engine, map_rows
from curate.errors import UsageError
from curate.foreground import ANIMALS, HELD
from curate.schema import UNLABELLED
from curate.sources import Limits, Measure, Note, Read
from curate.sources.coco_json import collection_paused
from curate.sources.reading import read_sources, with_usual_sources
from curate.sources.version import read_versions
from curate.storage.copies import located, source_at
from curate.threads import Watch, unwatched

AT_ONCE = 1024
"""Labels measured together: enough to look at all their corners in one go, few enough to hold them."""

UNMEASURED = (None,) * len(Measure._fields)
MEASURED = pl.Schema(
    {"exact": pl.Int64, "crowd": pl.Boolean, "area": pl.Float64, "damage": pl.String, "doubtful": pl.Boolean}
)
"""The columns of measures, in the order of a Measure's fields."""


@dataclass(frozen=True)
class Selection:
    """Which candidates are still in, and why the others are not.

    Attributes:
        recipe: What was asked for.
        reads: The sources, as they were read.
        parent: The dataset the candidates come from, with `--from`.
        standing: A dataset the candidates are added to: its images keep their place and are none of the candidates.
        candidates: Every image looked at, measured where it had to be. `read` is the index into `reads`; `kind` is
            null, or the split of an image that has no label yet or shows nobody on purpose.
        kept: The rows all rules so far keep.
        drops: The others, in the columns of `drops.parquet`.
        funnel: What was left after each rule.
        notes: What was odd, and what was done about it.
    """

    recipe: Recipe
    reads: list[Read]
    parent: Dataset | None
    candidates: pl.DataFrame
    kept: pl.DataFrame
    drops: pl.DataFrame
    funnel: list[FunnelStep]
    notes: list[Note]
    standing: Dataset | None = None

    @property
    def sources(self) -> list[Source]:
        """The sources for the header; with `--from` those of the parent, and of a dataset that is joined to it."""
        if self.parent is None:
            return [read.source for read in self.reads]
        sources = list(self.parent.header.sources)
        if self.recipe.merge is not None:
            joined = open_dataset(located(self.recipe.merge)).header.sources
            sources += [*(source for source in joined if source not in sources), self.reads[1].source]
        return sources

    def apply(self, rules: Sequence[Rule], exempt: Sequence[str] = UNLABELLED) -> Selection:
        """The selection after further rules; images of the kinds in `exempt` pass them."""
        spared = pl.Series([kind in exempt for kind in self.kept["kind"]], dtype=pl.Boolean)
        kept, drops, steps = apply_rules(self.kept.filter(~spared), rules)
        passed = self.kept.filter(spared)
        funnel = [FunnelStep(step.rule, step.label, step.remaining + passed.height) for step in steps]
        return replace(
            self,
            kept=pl.concat([kept, passed]).sort("sample_id"),
            drops=pl.concat([self.drops, drops]),
            funnel=[*self.funnel, *funnel],
        )


def select(
    recipe: Recipe, watch: Watch = unwatched, *, exact_drops: bool = True, insisted: Collection[str] = ()
) -> Selection:
    """Read the sources, measure what has to be measured, apply the rules that need no photograph. Writes nothing.

    Args:
        recipe: What to choose.
        watch: Told of progress.
        exact_drops: Whether a dropped image's area is exact; else many are dropped by a bound, without drawing them.
            The same images are dropped by the same rules either way.
        insisted: Names in `--take` that must be there; others that are not get a Note.

    Raises:
        UsageError: One of `insisted` names no source and no kind of them.
    """
    recipe = with_usual_sources(recipe)
    parent = open_dataset(located(recipe.from_, watch)) if recipe.from_ is not None else None
    reads = (
        read_versions(parent, recipe.merge, resplit=recipe.resplits)
        if parent
        else read_sources(recipe, watch, mapped=not exact_drops and engine() == "local")
    )
    decisions = read_decisions(source_at(recipe.decisions, watch)) if recipe.decisions is not None else {}
    start = start_with(recipe, reads, parent, decisions)
    start.notes.extend(unknown_takes(start, insisted) + unknown_categories(recipe, reads))
    return judge_labels(start, watch, exact_drops=exact_drops)


def start_with(
    recipe: Recipe,
    reads: list[Read],
    parent: Dataset | None = None,
    decisions: Mapping[str, Decision] | None = None,
    standing: Dataset | None = None,
) -> Selection:
    """The selection of all candidates of some sources, before any rule."""
    decisions = decisions or {}
    candidates = join_decisions(gather(reads), decisions)
    notes = [note for read in reads for note in read.notes] + unknown_decisions(candidates, decisions)
    start = FunnelStep("looked at", "looked at", candidates.height)
    drops = schema.DROPS.to_frame()
    return Selection(recipe, reads, parent, candidates, candidates, drops, [start], notes, standing)


def judge_labels(selection: Selection, watch: Watch, *, exact_drops: bool = True) -> Selection:
    """The selection with what has to be measured, after the rules that need no photograph."""
    recipe = selection.recipe
    measured, found = measure(selection.candidates, selection.reads, recipe, watch, exact_drops=exact_drops)
    measured = choose_backgrounds(measured, recipe)
    selection = replace(selection, candidates=measured, kept=measured, notes=selection.notes + found)
    selection = selection.apply([unreadable_rule("readable label")], exempt=())
    selection = selection.apply(people_rules(recipe, beside=selection.kept["kind"].drop_nulls().unique().to_list()))
    return selection.apply([side_rule(recipe.min_side)], exempt=()) if recipe.min_side else selection


def people_rules(recipe: Recipe, beside: Sequence[str] = ()) -> list[Rule]:
    """The rules about people that need no photograph, in the order they are applied; `beside` as people_rule has it."""
    rules = [people_rule(recipe.min_people, beside)]
    rules += [crowd_rule(recipe.max_people)] if recipe.max_people is not None else []
    return [*rules, area_rule(recipe.min_area, recipe.max_area)]


def gather(reads: Sequence[Read]) -> pl.DataFrame:
    """All candidates in one table.

    Raises:
        UsageError: Two sources give one sample_id.
    """
    tables = [
        read.candidates.with_columns(read=pl.lit(index, pl.Int64), kind=kind_of(read))
        for index, read in enumerate(reads)
    ]
    candidates = pl.concat(tables).sort("sample_id")
    twice = candidates.filter(pl.col("sample_id").is_duplicated())
    if twice.height:
        first = twice.row(0, named=True)["sample_id"]
        raise UsageError(
            f"two sources call an image {first!r}. Give one another name: --coco NAME=JSON, --voc NAME=ROOT"
        )
    return candidates


def kind_of(read: Read) -> pl.Series:
    """The split of the candidates that have no label yet, or show nobody on purpose; null for all others."""
    if read.carried is not None:
        return pl.select(pl.when(read.carried["split"].is_in(UNLABELLED)).then(read.carried["split"])).to_series()
    return pl.Series(["pool" if read.source.kind == "pool" else None], dtype=pl.String).new_from_index(
        0, read.candidates.height
    )


def join_decisions(candidates: pl.DataFrame, decisions: Mapping[str, Decision]) -> pl.DataFrame:
    """The candidates with a reviewer's verdict and note, null where there is none."""
    table = pl.DataFrame(
        {
            "sample_id": list(decisions),
            "verdict": [decision.verdict for decision in decisions.values()],
            "verdict_note": [decision.note for decision in decisions.values()],
        },
        schema={"sample_id": pl.String, "verdict": pl.String, "verdict_note": pl.String},
    )
    return candidates.join(table, on="sample_id", how="left", maintain_order="left")


def unknown_decisions(candidates: pl.DataFrame, decisions: Mapping[str, Decision]) -> list[Note]:
    """A Note for each decision about an image that was not looked at."""
    unknown = sorted(decisions.keys() - set(candidates["sample_id"]))
    return [Note("decisions are about images that were not looked at", sample_id) for sample_id in unknown]


def unknown_takes(selection: Selection, insisted: Collection[str]) -> list[Note]:
    """A Note for each name in `--take` that is no source and no kind of one; UsageError for one of `insisted`."""
    take = selection.recipe.take
    capped = capped_by(take, selection.sources)
    unknown, known = sorted(take.keys() - set(capped.values())), ", ".join(sorted(capped))
    for name in unknown:
        if name in insisted:
            raise UsageError(f"--take {name}={take[name]}: there is no such source. There are: {known}")
    return [Note(f"sources of --take are not there; there are: {known}", name) for name in unknown]


def unknown_categories(recipe: Recipe, reads: Sequence[Read]) -> list[Note]:
    """A Note for each name in `--held-categories` and `--animal-categories` that no source has and no default is."""
    known = {name.casefold() for read in reads for name in read.categories}
    if not known:
        return []
    usual = {*HELD, *ANIMALS}
    return [
        Note(f"names in --{option} are categories of no source", name)
        for option, names in (
            ("held-categories", recipe.held_categories),
            ("animal-categories", recipe.animal_categories),
        )
        for name in names
        if name not in usual and name.casefold() not in known
    ]


def measure(
    candidates: pl.DataFrame, reads: Sequence[Read], recipe: Recipe, watch: Watch, *, exact_drops: bool
) -> tuple[pl.DataFrame, list[Note]]:
    """The candidates with exact `people`, `crowd` and `area` where the stated number of people leaves it open."""
    enough = pl.col("people").is_null() | (pl.col("people") >= recipe.min_people)
    if recipe.backgrounds:
        enough |= pl.col("people") == 0  # they may yet show a crowd, which is no empty scene
    wanted = candidates.filter(pl.col("unreadable").is_null() & (enough | pl.col("kind").is_not_null()))
    limits = Limits(recipe.min_people, recipe.max_people, None if exact_drops else (recipe.min_area, recipe.max_area))
    rows = list(wanted.select("read", "row").iter_rows())
    tick = watch("measuring", len(rows))
    found = map_rows(lambda part: measure_part(part, reads, limits), rows, tick, AT_ONCE)
    told = dict(zip(MEASURED, zip(*(one or UNMEASURED for one in found), strict=True), strict=False))
    table = wanted.select("sample_id").hstack(pl.DataFrame(told or None, schema=MEASURED))
    joined = candidates.join(table, on="sample_id", how="left", maintain_order="left")
    measured = joined.with_columns(
        stated=pl.col("people"),
        people=pl.coalesce("exact", "people"),
        crowd=pl.col("crowd").fill_null(False),
        doubtful=pl.col("doubtful").fill_null(False),
        unreadable=pl.coalesce("unreadable", "damage"),
    )
    return measured.drop("exact", "damage"), [note for one in found if one for note in one.notes]


def measure_part(rows: Sequence[tuple[int, int]], reads: Sequence[Read], limits: Limits) -> list[Measure | None]:
    """What labels show; None for one that is surely dropped by the rule `crowd` or `area`.

    Args:
        rows: Index into `reads` and the candidate's `row`.
        reads: The sources.
        limits: What the rules allow.
    """
    found: dict[tuple[int, int], Measure | None] = {}
    for index in {read for read, _ in rows}:
        mine = [row for read, row in rows if read == index]
        with collection_paused():
            measured = reads[index].labels.measure_many(mine, limits)
        found.update(zip(((index, row) for row in mine), measured, strict=True))
    return [found[at] for at in rows]


def choose_backgrounds(measured: pl.DataFrame, recipe: Recipe) -> pl.DataFrame:
    """The candidates with `kind` set to `background` for the seeded sample of readable ones that show nobody.

    A few more than asked for are chosen, for those that turn out to be unreadable or copies;
    `choose.with_enough_backgrounds` drops those that are left over.
    """
    if not recipe.backgrounds:
        return measured
    nobody = (pl.col("people") == 0) & (pl.col("stated").fill_null(0) == 0) & (pl.col("area").fill_null(0) == 0)
    sure = pl.col("unreadable").is_null() & ~pl.col("crowd") & ~pl.col("doubtful")
    empty = measured.filter(nobody & sure & pl.col("kind").is_null())
    seed = recipe.seed or 0
    ranked = sorted(empty["sample_id"], key=lambda name: place(seed, "background", name))
    chosen = pl.col("sample_id").is_in(ranked[: spare(recipe.backgrounds)])
    return measured.with_columns(kind=pl.when(chosen).then(pl.lit("background")).otherwise("kind"))


def spare(wanted: int) -> int:
    """How many are chosen for so many wanted."""
    return wanted + wanted // 10 + 20
