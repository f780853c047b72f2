"""What one label makes of its sample: matched, drawn, merged, or refused with the reason."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.choosing.duplicates import near_pairs, signature
from curate.dataset import Dataset
from curate.errors import CurateError
from curate.files import sha256_bytes
from curate.guesses import MODEL
from curate.images import examine_image, read_size_hw, target_png
from curate.masks import PERSON, SizeHW, Target, iou
from label.formats.record import HandLabel, Maker, Refusal, printable
from label.match import ROBOFLOW, NoMatch, SampleIndex, ids_in, match
from label.merge import (
    MERGES,
    edit_row,
    is_unlabelled,
    lost_regions,
    merge_targets,
    new_row,
    relabelled_row,
    released_row,
)
from label.photographs import Photo, Photographs
from label.reasons import advised, sized, why_empty, why_fixed, why_misfit, why_unmatched

SOURCE = "labels"
"""What photographs that an import adds are said to come from."""

UNTOUCHED = "equals the model's guess of {}; not taken for a label. Where it was looked at: --confirmed"
"""Told of a label that nobody may have looked at: tools hand back what they were given."""


class Made(NamedTuple):
    """What one label makes of its sample, as a process that is forked for it sends it: a Change without the label.

    The row of a photograph that is no sample yet has no `sample_id`: what it is called hangs on all the others.
    """

    drawn_sha256: str
    row: dict[str, Any]
    mask: Path | None
    edit: dict[str, Any] | None
    notes: tuple[str, ...]
    photo: Photo | None = None


class Question(NamedTuple):
    """A label that differs from the mask that is there, with the files to judge by, and the IoU of the two."""

    label: HandLabel
    sample_id: str
    image: Path
    old: Path
    new: Path
    agreement: float | None


Ask = Callable[[Question], str | None]
"""From a question to one of MERGES, None to keep the mask that is there."""


@dataclass(frozen=True)
class Meeting:
    """How labels meet a dataset.

    Attributes:
        dataset: The version.
        policy: One of label.merge.POLICIES.
        author: Who labelled, as the user says it.
        ask: For the policy `ask`.
        times: When labels that are there were made, by sample_id.
        spool: The folder that new masks are written to as they are made, so that memory does not grow with them.
        photographs: Of the labels.
        adds: Whether a photograph that is no sample becomes one.
        confirmed: Whether labels that equal a model's guess were looked at, as the user says.
    """

    dataset: Dataset
    policy: str
    author: str | None
    ask: Ask | None
    times: Mapping[str, str]
    spool: Path
    photographs: Photographs
    adds: bool
    confirmed: bool = False

    def how(self, label: HandLabel, row: dict[str, Any], old: Target | None, new: Target) -> str | None:
        """One of MERGES; None where the mask that is there shall stay. Without a label (`old`) the new one stands."""
        if old is None:
            return "replace"
        if self.policy == "ask" and self.ask is not None and not np.array_equal(old, new):
            drawn, _ = write_mask(self.spool / "asked.png", new)
            image, there = (self.dataset.root / row[column] for column in ("image", "mask"))
            agreement = iou(old == PERSON, new == PERSON)
            return self.ask(Question(label, row["sample_id"], image, there, drawn, agreement))
        return self.policy if self.policy in MERGES else "replace"


def maker_of(label: HandLabel, meeting: Meeting) -> Maker:
    """Who made a label, as the user says it, else as the file does."""
    return Maker(label.tool, meeting.author or label.author, label.time)


def outcome_of(number: int, label: HandLabel | Refusal, index: SampleIndex, meeting: Meeting) -> Made | Refusal:
    """What one label, the export's `number`th, makes of its sample, or why it was left out."""
    if isinstance(label, Refusal):
        return label
    try:
        found, photo = match(label, index), None
        if meeting.adds or isinstance(found, NoMatch):
            photo = meeting.photographs.of(label, number)
        if meeting.adds and photo is not None:
            found = match_photo(label, found, photo, index, meeting.dataset)
        if isinstance(found, NoMatch):
            if meeting.adds and photo is not None and not found.candidates:
                return new_sample(number, label, photo, meeting)
            return label.refused(
                why_unmatched(label, found, photo, adds=meeting.adds, named=bool(meeting.photographs.folders))
            )
        row = meeting.dataset.named[found]
        image = meeting.dataset.root / row["image"]
        problem = why_misfit(label, found, image, (row["height"], row["width"])) or why_older(label, row, meeting)
        if problem:
            return label.refused(problem)
        outcome = changed(number, label, row, meeting)
        return outcome._replace(photo=photo) if isinstance(outcome, Made) else outcome
    except CurateError as error:
        told = advised(error)
        return Refusal(label.file, told if told.startswith(printable(str(label.file))) else f"{label.where}: {told}")


def match_photo(
    label: HandLabel,
    found: str | NoMatch,
    photo: Photo,
    index: SampleIndex,
    dataset: Dataset,
) -> str | NoMatch:
    """The sample that a label with its photograph belongs to; a NoMatch without candidates where it is a new one.

    A sample_id stands for itself, and so do equal bytes. Else a name that is known means that sample only where the two
    show the same picture: the first photograph of two cameras has one name.

    Raises:
        CurateError: The photograph, or that of a sample it may be, cannot be read.
    """
    if isinstance(found, str) and any(found in ids_in(name, index) for name in label.names):
        return found
    called = (found,) if isinstance(found, str) else found.candidates
    same = index.by_hash.get(photo.sha256, frozenset())
    meant = [name for name in called if name in same] or sorted(same)
    if not meant and called:
        looks = look(photo.file)
        meant = [
            name
            for name in called
            if near_pairs(np.stack([look(dataset.root / dataset.named[name]["image"]), looks])).size
        ]
    return meant[0] if len(meant) == 1 else NoMatch(tuple(meant))


def look(path: Path) -> NDArray[np.uint8]:
    """The signature of a photograph."""
    return signature(examine_image(path, read_size_hw(path)))


def new_sample(number: int, label: HandLabel, photo: Photo, meeting: Meeting) -> Made | Refusal:
    """What makes a photograph a sample: its mask, and its row as far as the label tells it.

    Raises:
        CurateError: The label cannot be drawn, or the photograph cannot be opened.
    """
    size_hw = read_size_hw(photo.file)
    if problem := why_misfit(label, photo.name, photo.file, size_hw):
        return label.refused(problem)
    drawn = label.draw(size_hw)
    if problem := why_empty(drawn, drawn.target == PERSON):
        return label.refused(problem)
    mask, sha256 = write_mask(meeting.spool / f"{number}.png", drawn.target)
    row = new_row(drawn.target, drawn.people, sha256) | {
        "image": str(photo.file),
        "mask": str(mask),
        "source": SOURCE,
        "image_sha256": photo.sha256,
    }
    notes = (*drawn.notes, *notes_on(label, size_hw, None, drawn.target))
    return Made(hashlib.sha256(drawn.target.tobytes()).hexdigest(), row, mask, None, notes, photo)


def changed(number: int, label: HandLabel, row: dict[str, Any], meeting: Meeting) -> Made | Refusal:
    """The sample's new mask, row and record of the change; a Refusal where nobody is left in the mask.

    Raises:
        CurateError: The label cannot be drawn, or the sample's own mask cannot be read.
    """
    size_hw: SizeHW = (row["height"], row["width"])
    dataset, maker = meeting.dataset, maker_of(label, meeting)
    version = dataset.header.version + 1
    drawn = label.draw(size_hw)
    drawn_sha256 = hashlib.sha256(drawn.target.tobytes()).hexdigest()
    there = sample_target(dataset, row) if row["origin"] == MODEL or not is_unlabelled(row) else None
    guessed = there if row["origin"] == MODEL else None
    if guessed is not None and np.array_equal(guessed, drawn.target) and not (meeting.confirmed or label.handed_in):
        return Made(drawn_sha256, row, None, None, (*drawn.notes, UNTOUCHED.format(row["sample_id"])))
    old = None if is_unlabelled(row) else there
    how = meeting.how(label, row, old, drawn.target)
    if how is None:
        return label.refused(f"{row['sample_id']} keeps the mask that is there, as was answered")
    new = drawn.target if old is None else merge_targets(old, drawn.target, how)
    if old is not None and np.array_equal(old, new):
        edit = edit_row(row, old, new, maker, version, row["mask_sha256"])
        return confirmed(row, drawn_sha256, drawn.notes, edit)
    if problem := why_empty(drawn, new == PERSON) or why_fixed(row):
        return label.refused(problem)
    mask, sha256 = write_mask(meeting.spool / f"{number}.png", new)
    edit = edit_row(row, there, new, maker, version, sha256)
    new_row = relabelled_row(row, new, sha256, drawn.people if how == "replace" else None)
    notes = (*drawn.notes, *notes_on(label, size_hw, old, new))
    return Made(drawn_sha256, new_row, mask, edit, notes)


def sample_target(dataset: Dataset, row: dict[str, Any]) -> Target:
    """A sample's target; what a CurateError says of it points to what lists all that is wrong."""
    try:
        return dataset.target(row)
    except CurateError as error:
        told = f"the mask of its sample {row['sample_id']} cannot be read: {error}"
        raise CurateError(f"{told}. `curate check {dataset.root}` says what else is wrong") from error


def write_mask(path: Path, target: Target) -> tuple[Path, str]:
    """Write a target as the PNG at `path`; returns the path and the digest of its bytes."""
    png = target_png(target)
    path.write_bytes(png)
    return path, sha256_bytes(png)


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


def why_older(label: HandLabel, row: dict[str, Any], meeting: Meeting) -> str:
    """Why the policy `newest` leaves a label out, else empty. A mask of no known time is older than any."""
    if meeting.policy != "newest" or is_unlabelled(row):
        return ""
    if label.time is None:
        return "does not say when it was drawn, so it may be the older one. Choose another --on-conflict"
    there = meeting.times.get(row["sample_id"], "")
    return f"is of {label.time}, and {row['sample_id']} has a label of {there}" if label.time < there else ""
