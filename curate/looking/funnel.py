"""What a build prints: the funnel as a table or as JSON, and what was odd on the way."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from curate.dataset import FunnelStep
from curate.files import json_bytes
from curate.sources import Note

if TYPE_CHECKING:
    from curate.choosing.build import Built
    from curate.choosing.selection import Selection


def funnel_table(funnel: Sequence[FunnelStep]) -> str:
    """The funnel as lines of label, images left, and how many the step took; some rules only where they took any.

    >>> steps = [("looked at", "looked at", 159), ("people", "with a person", 80), ("kept", "kept", 80)]
    >>> print(funnel_table([FunnelStep(*step) for step in steps]))
    looked at      159
    with a person   80  -79
    kept            80
    """
    shown = shown_steps(funnel)
    left = [funnel[0].remaining, *(step.remaining for step in shown)]
    lines = [(step.label, step.remaining, before - step.remaining) for step, before in zip(shown, left, strict=False)]
    label_width = max(len(label) for label, _, _ in lines)
    count_width = max(len(str(count)) for _, count, _ in lines)
    taken_width = max(len(str(taken)) for _, _, taken in lines) + 1
    rows = [
        f"{label:<{label_width}}  {count:>{count_width}}" + (f"  {-taken:>{taken_width}}" if taken else "")
        for label, count, taken in lines
    ]
    return "\n".join(rows)


def shown_steps(funnel: Sequence[FunnelStep]) -> list[FunnelStep]:
    """The steps worth a line: all but an `unreadable` or a `leak` that took nothing."""
    before = [step.remaining for step in (*funnel[:1], *funnel)]
    return [
        step
        for step, had in zip(funnel, before, strict=False)
        if step.rule not in ("unreadable", "leak") or had > step.remaining
    ]


def sum_up(notes: Iterable[Note]) -> list[str]:
    """One line for each kind of note: how often, what, and where first; what is about no single place, as it stands."""
    where: dict[str, list[str]] = {}
    for note in notes:
        where.setdefault(note.what, []).append(note.where)
    return [
        f"{len(places)} {what}; the first: {min(places)}" if any(places) else what
        for what, places in sorted(where.items())
    ]


def say_notes(notes: Iterable[Note]) -> None:
    """Print the notes to stderr."""
    for line in sum_up(notes):
        print(f"note: {line}", file=sys.stderr)


def unreadable_notes(drops: pl.DataFrame) -> list[Note]:
    """A Note for each image that was dropped as unreadable."""
    details = drops.filter(pl.col("rule") == "unreadable")["detail"]
    return [Note("images are unreadable and were dropped", detail) for detail in details]


def print_json(value: dict[str, Any]) -> None:
    """One JSON object to stdout."""
    print(json_bytes(value).decode())


def report_selection(selection: Selection, *, as_json: bool) -> None:
    """Print the funnel of what would be kept."""
    kept = selection.kept.height
    funnel = [*selection.funnel, FunnelStep("kept", "kept", kept)]
    if as_json:
        print_json({"kept": kept, "funnel": funnel, "notes": sum_up(selection.notes)})
    else:
        print(funnel_table(funnel))


def report_built(built: Built, *, as_json: bool) -> None:
    """Print the funnel of what was written, its splits and its digest."""
    header = built.header
    if built.done_before:
        print(f"{built.out}: holds this recipe with these inputs already, nothing to do", file=sys.stderr)
    if as_json:
        kept = header.counts["images"]
        counts = {"kept": kept, "funnel": header.funnel, "dataset": str(built.out), "digest": header.digest}
        print_json({**counts, "counts": header.counts, "notes": sum_up(built.notes)})
        return
    splits = [f"{count} {split}" for split, count in header.counts.items() if split != "images"]
    print(funnel_table(header.funnel))
    print(f"\n{', '.join(splits)}\n{built.out} ({header.digest[:12]}), contact sheet {built.out / 'sheet.png'}")
