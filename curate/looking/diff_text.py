"""The text and the JSON of `curate diff`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl

from curate.looking.diff import Difference, MaskChange, Side, leaks
from curate.looking.explain import cell_words
from curate.rows import Row
from curate.terminal import (
    WIDTH,
    Section,
    counted,
    described,
    glued,
    paragraph,
    shorten,
    table,
    value_words,
    without_folders,
    wrapped,
)

MOST = 10
"""Lines of each list without `--all`."""
LEAST_DETAIL = 24
"""A reason is not cut shorter than this."""

Masks = Mapping[str, MaskChange]


def difference_sections(difference: Difference, masks: Masks, most: int | None = MOST) -> list[Section]:
    """What `curate diff` prints: the summary, then up to `most` lines of each list (None: all of them).

    Args:
        difference: What differs.
        masks: The relabelled samples' masks compared, at least of those that are listed.
        most: Lines of each list.
    """
    sides = [*side_lines(difference), difference.kinship]
    if difference.equal:
        return [Section("A and B are equal: the same samples, drops, options and sources", sides)]
    verdict = "A and B hold the same samples, and differ otherwise" if difference.same_samples else "A and B differ"
    lists = [
        listed("Only in B", difference.came, most, lambda row: came_cells(row, "A")),
        listed("Only in A", difference.left, most, lambda row: came_cells(row, "B")),
        listed("Another mask", difference.relabelled, most, lambda row: mask_cells(row, masks.get(row["sample_id"]))),
        listed("Another photograph under the same id", difference.redrawn, most, lambda row: [*row.values()]),
        listed("Another split", difference.moved, most, change_cells),
        *(listed(f"Another {column}", frame, most, change_cells) for column, frame in difference.changed.items()),
        listed("The same photograph under another id", difference.renamed, most, renamed_cells),
        listed("Dropped by another rule", difference.redropped, most, change_cells),
    ]
    return [
        Section(verdict, sides),
        Section("Summary", [*summary_lines(difference), *warning_lines(difference)]),
        *option_sections(difference),
        *(section for section in lists if section.lines),
    ]


def side_lines(difference: Difference) -> list[str]:
    """A line for each version."""

    def cells(letter: str, side: Side) -> list[str]:
        return [
            letter,
            side.path,
            f"{side.name}, version {side.version}",
            counted(side.images, "image"),
            side.digest[:12],
        ]

    return table([cells("A", difference.a), cells("B", difference.b)], "lllrl")


def summary_lines(difference: Difference) -> list[str]:
    """How many rows differ, and in what."""
    parts = [
        ("only in B", difference.came, reason_counts(difference.came, "A")),
        ("only in A", difference.left, reason_counts(difference.left, "B")),
        ("another mask", difference.relabelled, area_change(difference.relabelled)),
        ("another photograph", difference.redrawn, ""),
        ("another split", difference.moved, way_counts(difference.moved)),
        *((f"another {column}", frame, "") for column, frame in difference.changed.items()),
    ]
    seldom = [("same photograph, other id", difference.renamed, ""), ("other rule", difference.redropped, "")]
    parts += [part for part in seldom if part[1].height]
    return described([(label, f"{frame.height:,}", text) for label, frame, text in parts])


def reason_counts(frame: pl.DataFrame, other: str) -> str:
    """`dropped by area 3, people 1, not looked at 2`, of images the version `other` lacks."""
    reasons = frame["rule"].value_counts().sort(["count", "rule"], descending=[True, False])
    dropped = [f"{rule} {number:,}" for rule, number in reasons.iter_rows() if rule is not None]
    unseen = frame["rule"].null_count()
    said = [f"dropped in {other} by {', '.join(dropped)}"] if dropped else []
    return "; ".join([*said, *([f"{unseen:,} not looked at in {other}"] if unseen else [])])


def area_change(relabelled: pl.DataFrame) -> str:
    """The mean change of area in percentage points."""
    if relabelled.is_empty():
        return ""
    change = float((relabelled["area_b"] - relabelled["area_a"]).sum()) / relabelled.height
    return f"area {100 * change:+.2f} points on average"


def way_counts(moved: pl.DataFrame) -> str:
    """`train -> val 3, val -> test 1`."""
    ways = moved.group_by("from", "to").len().sort(["len", "from", "to"], descending=[True, False, False])
    return ", ".join(glued(f"{old} -> {new} {number:,}") for old, new, number in ways.iter_rows())


def warning_lines(difference: Difference) -> list[str]:
    """What to beware of where photographs went between training and test split."""
    sides = {"train -> test": ("A", "B"), "test -> train": ("B", "A")}
    lines = []
    for way, number in leaks(difference).items():
        trained, tested = sides[way]
        advice = f"a model trained on {trained} has seen them, so do not score it on the test split of {tested}"
        lines += paragraph("! LEAK", f"{number:,} {way}: {advice}")
    return ["", *lines] if lines else []


def option_sections(difference: Difference) -> list[Section]:
    """The options and the sources that differ."""
    sources = [[source, file, what] for source, file, what in difference.sources]
    sections = [Section("Options", option_lines(difference)), Section("Annotation files", table(sources, "lll"))]
    return [section for section in sections if section.lines]


def option_lines(difference: Difference) -> list[str]:
    """Each option's old and new value; those that `b` no longer has are only named."""
    gone = [option for option, _, new in difference.options if new is None]
    changed = {
        option: f"{value_words(old)} -> {value_words(new)}"
        for option, old, new in difference.options
        if option not in gone
    }
    changed |= {"left out": ", ".join(gone)} if gone else {}
    width = max(map(len, changed), default=0) + 2
    return [line for option, text in changed.items() for line in wrapped(f"{option:<{width}}", text)]


def listed(heading: str, frame: pl.DataFrame, most: int | None, cells: Callable[[Row], Sequence[str]]) -> Section:
    """A list of the first `most` rows, the rest counted; the last cell is cut to the terminal's width."""
    rows = [cells(row) for row in frame.head(frame.height if most is None else most).iter_rows(named=True)]
    if not rows:
        return Section(heading, [])
    fixed = table([row[:-1] for row in rows], "l" * (len(rows[0]) - 1))
    width = max(map(len, fixed)) + 2
    room = max(WIDTH - width, LEAST_DETAIL)
    lines = [f"{line:<{width}}{shorten(row[-1], room)}".rstrip() for line, row in zip(fixed, rows, strict=True)]
    more = frame.height - len(rows)
    return Section(f"{heading}: {frame.height:,}", [*lines, *([f"... and {more:,} more (--all)"] if more else [])])


def came_cells(row: Row, other: str) -> list[str]:
    """An image only one version has, and why the version `other` has it not."""
    if row["rule"] is None:
        return [row["sample_id"], row["split"], f"not looked at in {other}"]
    detail = f": {without_folders(row['detail'])}" if row["detail"] else ""
    return [row["sample_id"], row["split"], f"dropped in {other} by {row['rule']}{detail}"]


def mask_cells(row: Row, change: MaskChange | None) -> list[str]:
    """A relabelled image: its area in both, and how far the masks agree."""
    areas = [f"{100 * row['area_a']:.1f} %", "->", f"{100 * row['area_b']:.1f} %"]
    return [row["sample_id"], row["split"], *areas, mask_words(change) if change else ""]


def mask_words(change: MaskChange) -> str:
    """How two masks differ, in words."""
    if change.pixels is None:
        return f"cannot be compared: {without_folders(change.problem)}"
    if not change.pixels:
        return "the same pixels, encoded otherwise"
    if change.iou is None:
        return f"nobody in either, {change.pixels:,} px differ"
    return f"IoU {change.iou:.3f}" + (", only what is not counted differs" if change.iou == 1 else "")


def change_cells(row: Row) -> list[str]:
    """An image and what changed."""
    return [row["sample_id"], f"{cell_words(row['from'])} -> {cell_words(row['to'])}"]


def renamed_cells(row: Row) -> list[str]:
    """A photograph's two ids."""
    return [row["sample_id"], row["split"], "->", row["sample_id_b"], row["split_b"]]


def difference_json(difference: Difference, masks: Masks) -> dict[str, Any]:
    """All of a difference as one object: counts first, then every row of every list."""
    lists = {
        "only_in_b": difference.came,
        "only_in_a": difference.left,
        "another_mask": difference.relabelled,
        "another_photograph": difference.redrawn,
        "another_split": difference.moved,
        "renamed": difference.renamed,
        "dropped_by_another_rule": difference.redropped,
    }
    rows = {name: frame.to_dicts() for name, frame in lists.items()}
    nothing = MaskChange(None, None)
    for row in rows["another_mask"]:
        change = masks.get(row["sample_id"], nothing)
        row |= {"iou": change.iou, "pixels": change.pixels, "problem": change.problem}
    return {
        "a": difference.a,
        "b": difference.b,
        "kinship": difference.kinship,
        "equal": difference.equal,
        "same_samples": difference.same_samples,
        "counts": {name: frame.height for name, frame in lists.items()},
        "leaks": leaks(difference),
        "changed": {column: frame.to_dicts() for column, frame in difference.changed.items()},
        "options": [{"option": option, "from": old, "to": new} for option, old, new in difference.options],
        "sources": [{"source": source, "file": file, "what": what} for source, file, what in difference.sources],
        **rows,
    }
