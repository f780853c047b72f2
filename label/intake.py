"""Labels into a dataset: each is matched, drawn and merged; what cannot be used is named, the rest comes in."""

from __future__ import annotations

import hashlib
import statistics
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import polars as pl

from curate import schema
from curate.dataset import Dataset, Source, read_edits
from curate.errors import CurateError
from curate.files import sha256_file, sha256_files
from curate.images import exif_orientation, same_aspect, target_png
from curate.masks import PERSON, SizeHW, Target, iou
from curate.processes import map_processes
from curate.splits import RATIOS
from curate.threads import Watch, unwatched
from label.formats.record import HandLabel, Maker, Refusal
from label.match import ROBOFLOW, NoMatch, SampleIndex, index_samples, match
from label.merge import (
    MERGES,
    edit_row,
    lost_regions,
    merge_targets,
    placed_row,
    relabelled_row,
    released_row,
)
from label.rules import build_recipe, split_ratios


@dataclass(frozen=True)
class Change:
    """A sample's new row, with its mask's PNG where that changes; `edit` is None where nothing does."""

    label: HandLabel
    drawn_sha256: str
    """Digest of the label as drawn, before it met the sample's mask; tells two labels of one sample apart."""
    row: dict[str, Any]
    png: bytes | None
    edit: dict[str, Any] | None
    notes: tuple[str, ...]


MOST_PIXELS, MOST_TIMES_PIXELS = 50_000_000, 4
"""A label of more pixels than any photograph that was scaled down has, and of so many times those of its own image, is
damaged, and drawing it would take gigabytes."""

PART = 32
"""Labels a process takes in at once."""


class Made(NamedTuple):
    """What one label makes of its sample, as a process that is forked for it sends it: a Change without the label."""

    drawn_sha256: str
    row: dict[str, Any]
    png: bytes | None
    edit: dict[str, Any] | None
    notes: tuple[str, ...]


Ask = Callable[[HandLabel, dict[str, Any], float | None], str | None]
"""From a label, its sample's row and the IoU with the mask that is there to one of MERGES, None to keep that mask."""


@dataclass(frozen=True)
class Meeting:
    """How labels meet a dataset.

    Attributes:
        dataset: The version.
        policy: One of label.merge.POLICIES.
        author: Who labelled, as the user says it.
        ask: For the policy `ask`.
        times: When labels that are there were made, by sample_id.
    """

    dataset: Dataset
    policy: str
    author: str | None
    ask: Ask | None
    times: Mapping[str, str]

    def how(self, label: HandLabel, row: dict[str, Any], old: Target | None, new: Target) -> str | None:
        """One of MERGES; None where the mask that is there shall stay."""
        if self.policy == "ask" and self.ask is not None and old is not None and not np.array_equal(old, new):
            return self.ask(label, row, iou(old == PERSON, new == PERSON))
        return self.policy if self.policy in MERGES else "replace"


@dataclass
class Intake:
    """What an export comes to. Every file of it is in exactly one of `changes` and `refusals`, or repeats another.

    Attributes:
        changes: By sample_id, the unchanged ones among them.
        refusals: What was left out.
        notes: What came in in a way the user should know of, one line each.
    """

    changes: dict[str, Change] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def edited(self) -> dict[str, Change]:
        """The changes that change something."""
        return {name: change for name, change in self.changes.items() if change.edit is not None}

    def told_of(self, folder: Path, path: Path) -> Intake:
        """The same with every message about `folder` telling of `path`, the zip it was unpacked from."""

        def told(text: str) -> str:
            return text.replace(str(folder), str(path))

        refusals = [Refusal(Path(told(str(one.file))), told(one.message)) for one in self.refusals]
        return Intake(self.changes, refusals, list(map(told, self.notes)))

    @property
    def median_iou(self) -> float | None:
        """Median IoU of the old and the new masks of what was edited; None where there was no old one."""
        edits = [change.edit for change in self.changes.values() if change.edit is not None]
        found = [edit["iou_old_new"] for edit in edits if edit["iou_old_new"] is not None]
        return statistics.median(found) if found else None


def take_in(
    dataset: Dataset,
    labels: Iterable[HandLabel | Refusal],
    policy: str,
    author: str | None,
    ask: Ask | None = None,
    watch: Watch = unwatched,
) -> Intake:
    """What `labels` make of `dataset`; nothing is written.

    Args:
        dataset: The version they are for.
        labels: What a format's `read` yields.
        policy: How a label meets the mask that is there, one of label.merge.POLICIES.
        author: Who labelled, for the record of edits; None: whom the files name.
        ask: Called under the policy `ask`.
        watch: Told of progress.

    Raises:
        FormatError: The version's own record of edits is damaged.
    """
    meeting = Meeting(dataset, policy, author, ask, times_of(dataset))
    index = index_samples(dataset.samples)
    rows = {row["sample_id"]: row for row in dataset.rows()}
    read = list(labels)

    def outcomes(part: Sequence[HandLabel | Refusal]) -> list[Made | Refusal]:
        return [one if isinstance(one, Refusal) else outcome_of(one, rows, index, meeting) for one in part]

    tick = watch("taking in labels", len(read))
    # A forked process has no terminal to ask at.
    made = outcomes(read) if policy == "ask" else map_processes(outcomes, read, tick, PART)
    place = placement(dataset)
    intake, contested = Intake(), set[str]()
    for label, outcome in zip(read, made, strict=True):
        if isinstance(outcome, Refusal):
            intake.refusals.append(outcome)
        else:
            row = place(outcome.row) if outcome.row["split"] == "pool" and outcome.edit is not None else outcome.row
            change = Change(cast(HandLabel, label), outcome.drawn_sha256, row, *outcome[2:])
            _settle(intake, change, contested, newest=policy == "newest")
    intake.notes += [f"{change.label.where}: {note}" for change in intake.changes.values() for note in change.notes]
    return intake


def placement(dataset: Dataset) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """What gives a row of the pool that got a label its split and fold."""
    ratios = split_ratios(build_recipe(dataset.header)) if "pool" in dataset.samples["split"] else RATIOS
    seed = int(dataset.header.recipe.get("seed") or 0)
    return lambda row: placed_row(row, dataset.samples, seed, ratios)


def times_of(dataset: Dataset) -> dict[str, str]:
    """When the labels were made that a version's record of edits tells of, by sample_id."""
    edits = read_edits(dataset.root)
    return {name: time for name, time in edits.select("sample_id", "time").iter_rows() if time is not None}


def _settle(intake: Intake, change: Change, contested: set[str], *, newest: bool) -> None:
    """Add a change, unless another label says something else of the same sample: then none of them comes in.

    With `newest` the later one does.
    """
    sample_id = change.row["sample_id"]
    other = intake.changes.get(sample_id)
    if sample_id in contested:
        intake.refusals.append(change.label.refused(f"is one more label of {sample_id}. Keep one"))
    elif other is None:
        intake.changes[sample_id] = change
    elif newest and other.label.time != change.label.time:
        older, newer = sorted((other, change), key=lambda one: one.label.time or "")
        intake.changes[sample_id] = newer
        intake.refusals.append(older.label.refused(f"is older than {newer.label.where}, the newest of {sample_id}"))
    elif other.drawn_sha256 == change.drawn_sha256:
        intake.notes.append(f"{change.label.where}: says the same of {sample_id} as {other.label.where}")
    else:
        contested.add(sample_id)
        del intake.changes[sample_id]
        for one, two in ((other.label, change.label), (change.label, other.label)):
            problem = f"labels {sample_id}, and {two.where} labels it otherwise. Keep one of the two"
            intake.refusals.append(one.refused(problem))


def outcome_of(
    label: HandLabel, rows: dict[str, dict[str, Any]], index: SampleIndex, meeting: Meeting
) -> Made | Refusal:
    """What one label makes of its sample, or why it was left out."""
    found = match(label, index)
    if isinstance(found, NoMatch):
        return label.refused(why_unmatched(label, found))
    row = rows[found]
    try:
        problem = why_unusable(label, row, meeting.dataset) or why_older(label, row, meeting)
        return label.refused(problem) if problem else changed(label, row, meeting)
    except CurateError as error:
        return Refusal(label.file, str(error))


def changed(label: HandLabel, row: dict[str, Any], meeting: Meeting) -> Made | Refusal:
    """The sample's new mask, row and record of the change; a Refusal where nobody is left in the mask.

    Raises:
        CurateError: The label cannot be drawn, or the sample's own mask cannot be read.
    """
    size_hw: SizeHW = (row["height"], row["width"])
    dataset, maker = meeting.dataset, Maker(label.tool, meeting.author or label.author, label.time)
    version = dataset.header.version + 1
    drawn = label.draw(size_hw)
    drawn_sha256 = hashlib.sha256(drawn.target.tobytes()).hexdigest()
    old = None if row["split"] == "pool" else dataset.target(row)
    how = meeting.how(label, row, old, drawn.target)
    if how is None:
        return label.refused(f"{row['sample_id']} keeps the mask that is there, as was answered")
    new = drawn.target if old is None else merge_targets(old, drawn.target, how)
    if old is not None and np.array_equal(old, new):
        edit = edit_row(row, old, new, maker, version, row["mask_sha256"])
        return confirmed(row, drawn_sha256, drawn.notes, edit)
    if problem := why_empty(drawn.target == PERSON, new == PERSON, drawn.found) or why_fixed(row):
        return label.refused(problem)
    png = target_png(new)
    sha256 = hashlib.sha256(png).hexdigest()
    edit = edit_row(row, old, new, maker, version, sha256)
    new_row = relabelled_row(row, new, sha256, drawn.people if how == "replace" else None)
    notes = (*drawn.notes, *notes_on(label, size_hw, old, new))
    return Made(drawn_sha256, new_row, png, edit, notes)


def confirmed(row: dict[str, Any], drawn_sha256: str, notes: tuple[str, ...], edit: dict[str, Any]) -> Made:
    """A label that equals the mask that is there: it changes nothing, unless a reviewer had asked for one."""
    released = released_row(row)
    if released is row:
        return Made(drawn_sha256, row, None, None, notes)
    told = f"equals the mask of {row['sample_id']}; the reviewer's tag relabel is taken off"
    return Made(drawn_sha256, released, None, edit, (*notes, told))


def notes_on(label: HandLabel, size_hw: SizeHW, old: Target | None, new: Target) -> Iterator[str]:
    """What the user should know of a label that comes in."""
    if label.size_hw not in (None, size_hw):
        yield f"resized from {sized(label.size_hw)} to its image's {sized(size_hw)} (HxW, nearest)"
    if any(ROBOFLOW.search(name) for name in label.names):
        yield "Roboflow's copy of its image; the label fits only where that was neither cropped, turned nor mirrored"
    if old is not None and lost_regions(old, new):
        yield "regions that were not counted (128) are now, because the label has none"


def why_unmatched(label: HandLabel, found: NoMatch) -> str:
    """Found, expected and what to do, for a label whose sample is not known for certain."""
    names = " or ".join(label.names)
    shown = ", ".join(found.candidates[:4]) + (", ..." if len(found.candidates) > 4 else "")
    if label.ends_in is not None:
        ending = f"the number {label.ends_in}"
        said = f"{shown} end in {ending}, and one is meant" if shown else f"no sample's name ends in {ending}"
        return f"{said}. Say which image each label is of: --image-list FILE"
    if not found.candidates:
        return f"no sample is called {names}, nor holds its image. Name it by its sample_id, or add the image first"
    return f"{names} may mean any of {shown}. Rename it to the sample_id that is meant"


def why_unusable(label: HandLabel, row: dict[str, Any], dataset: Dataset) -> str:
    """Why a label cannot be for its sample, seen before it is drawn; empty where it can.

    Raises:
        CurateError: The sample's image cannot be opened.
    """
    size_hw: SizeHW = (row["height"], row["width"])
    if label.size_hw is None:
        return ""
    if same_aspect(label.size_hw, size_hw):
        return why_too_large(label.size_hw, row)
    turn = exif_orientation(dataset.root / row["image"])
    turned = turn != 1 and same_aspect((label.size_hw[1], label.size_hw[0]), size_hw)
    advice = (
        f"the image carries EXIF orientation {turn} and was labelled turned; label the stored raster"
        if turned
        else "it belongs to another image or another crop; mend it or leave it out"
    )
    return (
        f"was drawn on {sized(label.size_hw)} (HxW), but {row['sample_id']} has {sized(size_hw)}; "
        f"expected that size or the same aspect ratio: {advice}"
    )


def why_too_large(drawn_hw: SizeHW, row: dict[str, Any]) -> str:
    """Why a label of its sample's aspect ratio is of far too many pixels to be drawn; empty where it is not."""
    times = drawn_hw[0] * drawn_hw[1] // (row["height"] * row["width"])
    if times <= MOST_TIMES_PIXELS or drawn_hw[0] * drawn_hw[1] <= MOST_PIXELS:
        return ""
    told = f"was drawn on {sized(drawn_hw)} (HxW), {times} times the pixels of {row['sample_id']}"
    return f"{told}; expected its size {row['height']}x{row['width']}. Scale the label down, or mend the size it states"


def why_older(label: HandLabel, row: dict[str, Any], meeting: Meeting) -> str:
    """Why the policy `newest` leaves a label out, else empty. A mask of no known time is older than any."""
    if meeting.policy != "newest" or row["split"] == "pool":
        return ""
    if label.time is None:
        return "does not say when it was drawn, so it may be the older one. Choose another --on-conflict"
    there = meeting.times.get(row["sample_id"], "")
    return f"is of {label.time}, and {row['sample_id']} has a label of {there}" if label.time < there else ""


def why_empty(drawn: np.ndarray[Any, Any], merged: np.ndarray[Any, Any], found: str) -> str:
    """Why nobody is left in a mask; empty where somebody is."""
    if not drawn.any():
        return f"shows no person ({found}); expected at least one pixel. Say with --person which is, or leave it out"
    return "" if merged.any() else "has no pixel in common with the mask that is there; nothing is left of the person"


def why_fixed(row: dict[str, Any]) -> str:
    """Why a sample cannot take a label with a person without changing its split; empty where it can."""
    if row["split"] == "background":
        return f"{row['sample_id']} is kept as background, without a person. Build it anew with this label"
    return ""


def sized(size_hw: SizeHW | None) -> str:
    """`480x640`."""
    return "" if size_hw is None else f"{size_hw[0]}x{size_hw[1]}"


def revised_samples(samples: pl.DataFrame, intake: Intake) -> pl.DataFrame:
    """The table with the changed rows in place of the old ones; the same frame where nothing was edited."""
    edited = intake.edited
    if not edited:
        return samples
    rows = [
        edited[row["sample_id"]].row if row["sample_id"] in edited else row for row in samples.iter_rows(named=True)
    ]
    return schema.table(rows, schema.SAMPLES)


def edits_of(intake: Intake) -> pl.DataFrame:
    """`edits.parquet`, a row per edited sample."""
    edits = [change.edit for change in intake.changes.values() if change.edit is not None]
    return schema.table(edits, schema.EDITS)


def source_of(path: Path, intake: Intake) -> Source:
    """The header's entry for an export: digests of the files that changed something, by the folder they lie in.

    A zip stands for all that is in it.
    """
    if zipfile.is_zipfile(path):
        return Source("labels", path.name, None, {path.name: sha256_file(path)})
    folder = path if path.is_dir() else path.parent
    files = [change.label.file for change in intake.edited.values()]
    return Source("labels", path.name, None, sha256_files(folder, files))
