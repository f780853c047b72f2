"""One image in full: why it is in a dataset version, or which rule dropped it; behind `curate show DATASET SAMPLE`."""

from __future__ import annotations

import difflib
import heapq
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from curate import schema
from curate.choosing.rules import parse_where
from curate.classes import class_hash, class_path, shown_tag
from curate.dataset import Dataset, read_edits
from curate.errors import MissingError
from curate.files import readable_faults, sha256_file
from curate.looking.show import EDGE_NAMES, Step, funnel_steps
from curate.terminal import Section, paragraph, table, value_words

PASSED, NOT_TRIED, DROPPED = "passed", "not tried", "dropped"
ABOUT_PEOPLE = ("people", "crowd", "area", "intact", "parts", "coarse")
"""Rules that are not asked of an image without a label, or of an empty scene."""
LISTED = 20
"""Members of a group that are listed; the rest is counted."""
SUSPECTS = 500
"""Ids difflib looks at; it takes seconds over 100,000."""


class FileFact(msgspec.Struct, frozen=True):
    """One of a sample's files; `state` is `there`, `missing` or `changed after the build`."""

    what: str
    path: str
    state: str
    bytes: int | None


class RuleFact(msgspec.Struct, frozen=True):
    """What became of an image at one step of the funnel."""

    rule: str
    label: str
    found: str


class Member(msgspec.Struct, frozen=True):
    """Another image of the same group."""

    sample_id: str
    split: str


class Story(msgspec.Struct, frozen=True):
    """All that is known about one image looked at.

    Attributes:
        kept: Whether it stands in `samples.parquet`.
        row: Its row there, every column; or its row in `drops.parquet`.
        rules: What was found at each step of the funnel.
        group: The other members of its group.
        files: Its image, its mask and, where it has one, its class mask.
        edit: How `label import` changed its mask, where it did.
    """

    dataset: str
    sample_id: str
    kept: bool
    row: dict[str, Any]
    rules: list[RuleFact]
    group: list[Member]
    files: list[FileFact]
    edit: dict[str, Any] | None


def explain_sample(dataset: Dataset, name: str) -> Story:
    """The story of the image called `name`: its sample_id, or the name of its image or mask.

    Raises:
        MissingError: No such image was looked at; the message names the closest ids.
    """
    sample_id = find_sample(dataset, name)
    kept = dataset.collect(dataset.scan.filter(sample_id=sample_id))
    if kept.height:
        return kept_story(dataset, kept.row(0, named=True))
    dropped = dataset.collect(dataset.scan_drops.filter(sample_id=sample_id), "drops")
    return dropped_story(dataset, dropped.row(0, named=True))


def find_sample(dataset: Dataset, name: str) -> str:
    """The sample_id meant by `name`; the name of a file may stand for it. Raises MissingError with the closest ids."""
    kept = dataset.collect(dataset.scan.select("sample_id"))
    dropped = dataset.collect(dataset.scan_drops.select("sample_id"), "drops")
    ids = pl.concat([kept, dropped])["sample_id"]
    for known in (name, Path(name).stem):
        if (ids == known).any():
            return known
    near = closest(Path(name).stem, ids.to_list())
    advice = f"Did you mean {', '.join(near)}?" if near else f"An id looks like {ids[0]}" if ids.len() else ""
    parent = dataset.header.recipe.get("from")
    earlier = f". It may have been dropped by an earlier version: curate show {parent} {name}" if parent else ""
    looked_at = f"{kept.height} images kept and {dropped.height} dropped"
    raise MissingError(f"{name}: is not among the {looked_at} in {dataset.root}. {advice}{earlier}")


def closest(word: str, ids: Sequence[str], most: int = 3) -> list[str]:
    """Up to `most` ids that look like `word`: those that end with it, then those a few letters away.

    >>> closest("790", ["coco-000000000790", "voc-2008_1"]), closest("voc-208_1", ["coco-1", "voc-2008_1"])
    (['coco-000000000790'], ['voc-2008_1'])
    """
    if not word:
        return []
    ending = sorted((one for one in ids if one.endswith(word)), key=lambda one: (len(one), one))[:most]
    if ending:
        return ending
    near = heapq.nlargest(SUSPECTS, sorted(ids), key=lambda one: shared_ends(word, one))
    return difflib.get_close_matches(word, near, most, 0.6)


def shared_ends(one: str, other: str) -> int:
    """How many letters two words share at their beginning and at their end."""
    return shared_beginning(one, other) + shared_beginning(one[::-1], other[::-1])


def shared_beginning(one: str, other: str) -> int:
    """How many letters two words share before they differ."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def kept_story(dataset: Dataset, row: dict[str, Any]) -> Story:
    """The story of an image that is in."""
    others = dataset.scan.filter((pl.col("group") == row["group"]) & (pl.col("sample_id") != row["sample_id"]))
    members = [
        Member(*pair) for pair in dataset.collect(others.select("sample_id", "split").sort("sample_id")).iter_rows()
    ]
    steps = [step for step in funnel_steps(dataset.header) if step.rule not in ("looked at", "kept")]
    return Story(
        dataset=str(dataset.root),
        sample_id=row["sample_id"],
        kept=True,
        row=row,
        rules=[
            RuleFact(step.rule, step.label, found_by(step.rule, row, len(members), dataset.header.recipe))
            for step in steps
        ],
        group=members,
        files=file_facts(dataset.root, row),
        edit=find_edit(dataset.root, row["sample_id"]),
    )


def dropped_story(dataset: Dataset, row: dict[str, Any]) -> Story:
    """The story of an image that is out: what it passed, what dropped it, and what it was never held against."""
    steps = [step for step in funnel_steps(dataset.header) if step.rule not in ("looked at", "kept")]
    pools = [one.name for one in dataset.header.sources if one.kind == "pool"]
    split = "pool" if dataset.header.parent is None and row["source"] in pools else None
    rules = [
        RuleFact(
            step.rule,
            step.label,
            f"not asked of the split {split}" if spared(step.rule, split, dataset.header.recipe) else word,
        )
        for step, word in zip(steps, fates(steps, row), strict=True)
    ]
    return Story(str(dataset.root), row["sample_id"], False, row, rules, [], [], None)


def fates(steps: Sequence[Step], row: dict[str, Any]) -> list[str]:
    """What became of a dropped image at each step; '' where that is not known, as two steps bear one rule's name."""
    at = [place for place, step in enumerate(steps) if step.rule == row["rule"] and step.taken]
    if not at:
        return [""] * len(steps)
    words = [PASSED if place < at[0] else NOT_TRIED if place > at[-1] else "" for place in range(len(steps))]
    if len(at) == 1:
        words[at[0]] = DROPPED
    return words


def spared(rule: str, split: str | None, recipe: Mapping[str, Any]) -> bool:
    """Whether a rule is not asked of the images of a split."""
    if rule == "where" and recipe.get("where"):
        return split in schema.UNLABELLED and "split" not in parse_where(recipe["where"]).meta.root_names()
    return (split in schema.UNLABELLED and rule in ABOUT_PEOPLE) or (split == "background" and rule == "take")


def found_by(rule: str, row: dict[str, Any], alike: int, recipe: Mapping[str, Any]) -> str:
    """What a rule of the funnel found in a kept image, as far as its row and the recipe tell."""
    if spared(rule, row["split"], recipe):
        return f"not asked of the split {row['split']}"
    people = f"{row['people']} {'person' if row['people'] == 1 else 'people'}"
    match rule:
        case "people":
            return people
        case "crowd":
            return f"{people}, {'and a crowd' if 'crowd' in row['tags'] else 'no crowd'}"
        case "area":
            return f"people cover {100 * row['area']:.1f} %"
        case "side":
            return f"{row['width']}x{row['height']} px"
        case "intact":
            head = {True: "head visible", False: "head not visible", None: "head not known"}[row["head_visible"]]
            return f"{head}, touches {edge_words(row['edges'])}"
        case "duplicate" | "leak":
            return f"{alike} others in its group, {row['split']}" if alike else "alone in its group"
        case "decision":
            return ", ".join(tag for tag in row["tags"] if tag in schema.VERDICTS) or PASSED
        case _:
            return PASSED


def edge_words(edges: str) -> str:
    """The edges of an image in words.

    >>> edge_words("LB"), edge_words("")
    ('left and bottom', 'no edge')
    """
    return " and ".join(EDGE_NAMES[letter] for letter in edges) or "no edge"


def file_facts(root: Path, row: dict[str, Any]) -> list[FileFact]:
    """A sample's image, its mask and, where there is one, its class mask."""
    facts = [file_fact(what, root / row[what], row[f"{what}_sha256"]) for what in ("image", "mask")]
    path, sha256 = class_path(row), class_hash(row["tags"])
    return facts if path is None or sha256 is None else [*facts, file_fact("classes", root / path, sha256)]


def file_fact(what: str, path: Path, sha256: str) -> FileFact:
    """Whether a file is there and still the one the table tells of; `sha256` are the first digits of its hash."""
    if not path.is_file():
        return FileFact(what, str(path), "missing", None)
    with readable_faults(path):
        same = sha256_file(path).startswith(sha256)
        return FileFact(what, str(path), "there" if same else "changed after the build", path.stat().st_size)


def find_edit(root: Path, sample_id: str) -> dict[str, Any] | None:
    """The row of `edits.parquet` about an image; None where there is none."""
    found = read_edits(root).filter(sample_id=sample_id)
    return found.row(0, named=True) if found.height else None


def story_sections(story: Story) -> list[Section]:
    """What `curate show DATASET SAMPLE` prints, in order."""
    rules = Section("Rule by rule", table([[rule.label, rule.found] for rule in story.rules], "ll"))
    if not story.kept:
        why = paragraph("why", story.row["detail"] or "the rule gives no reason in words")
        heading = f"{story.sample_id}: dropped by the rule `{story.row['rule']}`"
        return [Section(heading, why), rules, Section("Its row in drops.parquet", row_lines(story.row))]
    fold = f", fold {story.row['fold']}" if story.row["fold"] >= 0 else ""
    files = table([[one.what, one.path, file_words(one)] for one in story.files], "lll")
    edit = [Section("How its mask was edited", row_lines(story.edit))] if story.edit else []
    return [
        Section(f"{story.sample_id}: kept, in {story.row['split']}{fold}", paragraph("group", member_words(story))),
        rules,
        Section("Files", files),
        *edit,
        Section("Its row in samples.parquet", row_lines(story.row)),
    ]


def row_lines(row: dict[str, Any]) -> list[str]:
    """Every column of a row, one a line."""
    return table([[column, cell_words(value)] for column, value in row.items()], "ll")


def cell_words(value: object) -> str:
    """A value of a table's column; '-' where it is null.

    >>> cell_words(["dog", "cup"]), cell_words([]), cell_words(""), cell_words(None), cell_words(0.5)
    ('dog, cup', 'none', 'none', '-', '0.5')
    """
    if isinstance(value, list):
        return ", ".join(shown_tag(str(one)) for one in value) or "none"
    return "-" if value is None else value_words(value) or "none"


def file_words(fact: FileFact) -> str:
    """A file's state and size."""
    return fact.state if fact.bytes is None else f"{fact.state}, {fact.bytes:,} bytes"


def member_words(story: Story) -> str:
    """The other members of an image's group, each with its split."""
    if not story.group:
        return "a group of its own"
    listed = ", ".join(f"{one.sample_id} ({one.split})" for one in story.group[:LISTED])
    more = len(story.group) - LISTED
    return f"never split from {listed}" + (f" and {more} more" if more > 0 else "")
