"""Labels into a dataset: each is matched, drawn and merged; what cannot be used is named, the rest comes in."""

from __future__ import annotations

import hashlib
import statistics
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate import schema
from curate.choosing.duplicates import near_pairs, signature
from curate.choosing.splits import RATIOS
from curate.dataset import Dataset, Source, read_edits
from curate.engine import map_rows
from curate.errors import CurateError
from curate.files import sha256_bytes, sha256_file, sha256_files
from curate.guesses import MODEL
from curate.images import examine_image, read_size_hw, target_png
from curate.masks import PERSON, SizeHW, Target, iou
from curate.sources.names import sample_keys
from curate.threads import Watch, unwatched
from label.formats.record import HandLabel, Maker, Refusal, printable
from label.match import ROBOFLOW, NoMatch, SampleIndex, ids_in, index_samples, match
from label.merge import (
    MERGES,
    added_edit,
    edit_row,
    is_addition,
    is_unlabelled,
    lost_regions,
    merge_targets,
    new_row,
    placed_row,
    relabelled_row,
    released_row,
)
from label.photographs import Photo, Photographs
from label.reasons import advised, sized, why_empty, why_fixed, why_misfit, why_unmatched
from label.rules import build_recipe, split_ratios


@dataclass(frozen=True)
class Change:
    """A sample's new row, with the file of its mask where that changes; `edit` is None where nothing does.

    In the row of a photograph that becomes a sample, `image` and `mask` are the files it is made from.
    """

    label: HandLabel
    drawn_sha256: str
    """Digest of the label as drawn, before it met the sample's mask; tells two labels of one sample apart."""
    row: dict[str, Any]
    mask: Path | None
    edit: dict[str, Any] | None
    notes: tuple[str, ...]


SOURCE = "labels"
"""What photographs that an import adds are said to come from."""

UNTOUCHED = "equals the model's guess of {}; not taken for a label. Where it was looked at: --confirmed"
"""Told of a label that nobody may have looked at: tools hand back what they were given."""

PART = 32
"""Labels a process takes in at once."""


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
    def added(self) -> dict[str, Change]:
        """Those of the edited that make a photograph a sample."""
        return {name: change for name, change in self.edited.items() if is_addition(change.edit)}

    @property
    def edited(self) -> dict[str, Change]:
        """The changes that change something."""
        return {name: change for name, change in self.changes.items() if change.edit is not None}

    @property
    def masks(self) -> dict[str, Path]:
        """The files of the masks that change, by sample_id."""
        return {name: change.mask for name, change in self.edited.items() if change.mask is not None}

    def told_of(self, folder: Path, path: Path) -> Intake:
        """The same with every message about `folder` telling of `path`, the zip it was unpacked from."""

        def told(text: str) -> str:
            return printable(text.replace(str(folder), str(path)))

        refusals = [
            Refusal(Path(str(one.file).replace(str(folder), str(path))), told(one.message)) for one in self.refusals
        ]
        return Intake(self.changes, refusals, list(map(told, self.notes)))

    def without(self, names: Iterable[str]) -> Intake:
        """The same without the changes of some sample_ids."""
        changes = {name: change for name, change in self.changes.items() if name not in set(names)}
        return Intake(changes, self.refusals, self.notes)

    @property
    def median_iou(self) -> float | None:
        """Median IoU of the old and the new masks of what was edited; None where there was no old one."""
        edits = [change.edit for change in self.changes.values() if change.edit is not None]
        found = [edit["iou_old_new"] for edit in edits if edit["iou_old_new"] is not None]
        return statistics.median(found) if found else None


def take_in(labels: Iterable[HandLabel | Refusal], meeting: Meeting, watch: Watch = unwatched) -> Intake:
    """What `labels` make of a dataset; masks and embedded images are written to the spool, and nothing else is.

    Args:
        labels: What a format's `read` yields.
        meeting: The dataset, and how they meet it.
        watch: Told of progress.
    """
    dataset = meeting.dataset
    index = index_samples(dataset.samples)
    read = list(labels)

    def outcomes(part: Sequence[int]) -> list[Made | Refusal]:
        return [outcome_of(number, read[number], index, meeting) for number in part]

    tick, numbers = watch("taking in labels", len(read)), range(len(read))
    # A forked process has no terminal to ask at.
    outcome = outcomes(numbers) if meeting.policy == "ask" else map_rows(outcomes, numbers, tick, PART)
    names = new_names([one for one in outcome if isinstance(one, Made)], dataset.named)
    place = placement(dataset)
    intake, contested = Intake(), set[str]()
    for label, one in zip(read, outcome, strict=True):
        if isinstance(one, Refusal):
            intake.refusals.append(one)
            continue
        change = Change(cast(HandLabel, label), *one[:5])
        if not one.row["sample_id"]:
            change = named(change, names[one.row["image_sha256"]], meeting)
        elif one.row["split"] == "pool" and one.edit is not None:
            change = replace(change, row=place(one.row))
        _settle(intake, change, contested, newest=meeting.policy == "newest")
    intake.notes += [f"{change.label.where}: {note}" for change in intake.changes.values() for note in change.notes]
    return intake


def new_names(made: Iterable[Made], known: Collection[str]) -> dict[str, str]:
    """What photographs that are no sample yet are called, by the digest of their bytes.

    Their keys are those that `curate build` gives the images of a source, which all photographs of the export are; so
    the same export calls them the same also when some of them have become samples.
    """
    photos = sorted({(one.photo.name, one.photo.sha256): one for one in made if one.photo is not None}.items())
    keys = sample_keys([name for (name, _), _ in photos])
    names: dict[str, str] = {}
    for key, ((_, sha256), one) in zip(keys, photos, strict=True):
        if not one.row["sample_id"]:
            name = f"{SOURCE}-{key}"
            names.setdefault(sha256, f"{name}-{sha256[:6]}" if name in known else name)
    return names


def named(change: Change, sample_id: str, meeting: Meeting) -> Change:
    """The change that makes a photograph the sample of this name."""
    row, version = change.row | {"sample_id": sample_id}, meeting.dataset.header.version + 1
    return replace(change, row=row, edit=added_edit(row, maker_of(change.label, meeting), version))


def maker_of(label: HandLabel, meeting: Meeting) -> Maker:
    """Who made a label, as the user says it, else as the file does."""
    return Maker(label.tool, meeting.author or label.author, label.time)


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
    edits = [change.edit for change in intake.edited.values() if change.edit is not None]
    return schema.table(edits, schema.EDITS)


def source_of(path: Path, intake: Intake) -> Source:
    """The header's entry for an export: digests of the files that changed something, by the folder they lie in.

    A zip stands for all that is in it.
    """
    if zipfile.is_zipfile(path):
        return Source("labels", printable(path.name), None, {printable(path.name): sha256_file(path)})
    folder = path if path.is_dir() else path.parent
    files = [change.label.file for change in intake.edited.values()]
    digests = {printable(part): digest for part, digest in sha256_files(folder, files).items()}
    return Source("labels", printable(path.name), None, digests)
