"""The text of `curate show DATASET`: its figures as tables and bars for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from curate.choosing.recipe import Recipe, recipe_options
from curate.looking.show import EDGE_NAMES, Dropped, Groups, Overview, Part, SourceFigures
from curate.terminal import (
    WIDTH,
    Section,
    beside,
    histogram,
    paragraph,
    percent,
    shorten,
    table,
    value_words,
    without_folders,
    words,
)

BAR, RIGHT = 20, 42
"""Longest bar, and the column the right of two histograms begins at."""
PEOPLE_HEADS = {"0": "nobody", "1": "1 person", "2": "2", "3": "3", "4+": "4+"}
PLACES = ("coco", "images", "voc", "pairs", "pool")
"""Options that name paths; the table of sources says what came of them."""


def overview_sections(overview: Overview) -> list[Section]:
    """Everything `curate show DATASET` prints, in order."""
    return [
        title(overview),
        funnel(overview),
        splits(overview),
        area_and_people(overview),
        sides_and_edges(overview),
        sources(overview.sources),
        labels(overview),
        *([drops(overview.drops)] if overview.drops else []),
    ]


def title(overview: Overview) -> Section:
    """Name, version, digest, how many images were kept, and by which options."""
    made_from = f", made from {overview.parent[:12]}" if overview.parent else ""
    name = f"{overview.dataset}: {overview.name}, version {overview.version}"
    kept = f"{overview.kept:,} of {overview.looked_at:,} images, {overview.dropped:,} dropped"
    heading = f"{name} ({overview.digest[:12]}{made_from})"
    return Section(heading, [*paragraph("kept", kept), *paragraph("options", option_words(overview.recipe))])


def option_words(recipe: Mapping[str, object]) -> str:
    """The recipe's options that are not the defaults of `curate build`, paths of sources aside."""
    usual = recipe_options(Recipe(seed=0))
    unusual = {key: value for key, value in recipe.items() if key not in PLACES and value != usual.get(key)}
    return ", ".join(f"{key} {value_words(value)}" for key, value in unusual.items()) or "all at their defaults"


def funnel(overview: Overview) -> Section:
    """What was left after each rule, and what it took."""
    most = max(overview.looked_at, 1)
    rows = [
        [step.label, f"{step.remaining:,}", f"-{step.taken:,}" if step.taken else "", percent(step.remaining / most)]
        for step in overview.funnel
    ]
    return Section("Funnel", table(rows, "lrrr"))


def splits(overview: Overview) -> Section:
    """A line for each split and fold: images, share, mean area, and the share of each number of people."""
    train, *others = overview.splits
    parts = [train, *overview.folds, *others]
    columns = {bin_: PEOPLE_HEADS[bin_] for bin_ in PEOPLE_HEADS if any(bin_ in part.people for part in parts)}
    head = ["", "images", "share", "mean area", *columns.values()]
    rows = [part_row(part, [*columns]) for part in parts]
    return Section("Splits", table([head, *rows], "lrrr" + "r" * len(columns)))


def part_row(part: Part, bins: Sequence[str]) -> list[str]:
    """A split's cells; '-' where there is nothing to take a share of."""
    labelled = sum(part.people.values())
    people = [percent(part.people.get(bin_, 0) / labelled) if labelled else "-" for bin_ in bins]
    area = "-" if part.mean_area is None else f"{100 * part.mean_area:.1f} %"
    name = f"  {part.name}" if part.name.startswith("fold") else part.name
    return [name, f"{part.images:,}", percent(part.share), area, *people]


def area_and_people(overview: Overview) -> Section:
    """How much of the image people cover, beside how many there are and how many image edges cut them."""
    left = histogram(overview.area, BAR)
    right = [
        *histogram(overview.people, BAR),
        "",
        "Image edges the person touches",
        *histogram(overview.edges_cut, BAR),
    ]
    unlabelled = overview.kept - overview.labelled
    whose = f" (of {overview.labelled:,} labelled)" if unlabelled else ""
    return Section(f"{f'Area people cover{whose}':<{RIGHT}}People", beside(left, right, RIGHT))


def sides_and_edges(overview: Overview) -> Section:
    """The image's sides in px, and below them shapes and edges in words."""
    left, right = histogram(overview.shorter_side_px, BAR), histogram(overview.longer_side_px, BAR)
    edges = {EDGE_NAMES[letter]: count for letter, count in overview.edges.items()}
    lines = [*beside(left, right, RIGHT), "", *words("shape", overview.shapes), *words("edges", edges)]
    return Section(f"{'Shorter side, px':<{RIGHT}}Longer side, px", lines)


def sources(figures: Sequence[SourceFigures]) -> Section:
    """A line for each source, and one for each further licence its images state."""
    rows = [["", "kind", "kept", "dropped", "licence"]]
    for one in figures:
        licences = [f"{count:,} {licence}" for licence, count in one.licences.items()] or [""]
        rows.append([one.name, one.kind, f"{one.kept:,}", f"{one.dropped:,}", licences[0]])
        rows += [["", "", "", "", licence] for licence in licences[1:]]
    return Section("Sources", table(rows, "llrrl"))


def labels(overview: Overview) -> Section:
    """Where the masks come from, what touches the people, tags, weights, and near duplicates."""
    weights = ", ".join(f"{count:,} of weight {weight}" for weight, count in overview.weights.items())
    lines = [*words("origin", overview.origins), *words("touching", overview.touching), *words("tags", overview.tags)]
    alike = group_words(overview.near_duplicates, overview.kept)
    return Section("Labels", [*lines, *paragraph("weights", weights), *paragraph("duplicates", alike)])


def group_words(groups: Groups, kept: int) -> str:
    """How many images have near duplicates, in words."""
    if not groups.images:
        return f"none, each of the {kept:,} images is a group of its own"
    return (
        f"{groups.images:,} of {kept:,} images ({percent(groups.share)}) share their group with another; "
        f"{groups.groups:,} groups, the largest of {groups.largest:,}"
    )


def drops(dropped: Sequence[Dropped]) -> Section:
    """What each rule dropped, with an example to look at."""
    rows = table([["rule", "images", "for example"], *([one.rule, f"{one.images:,}", ""] for one in dropped)], "lrl")
    examples = [one.example + (f": {without_folders(one.detail)}" if one.detail else "") for one in dropped]
    lines = [f"{row}  {shorten(one, WIDTH - len(row) - 2)}" for row, one in zip(rows[1:], examples, strict=True)]
    return Section("Dropped", [rows[0], *lines])
