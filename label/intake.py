"""Labels into a dataset: what each of them makes of its sample, all together; what cannot be used is named."""

from __future__ import annotations

import statistics
import zipfile
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import polars as pl

from curate import schema
from curate.choosing.splits import RATIOS
from curate.dataset import Dataset, Source, read_edits
from curate.engine import map_rows
from curate.files import sha256_file, sha256_files
from curate.sources.names import sample_keys
from curate.threads import Watch, unwatched
from label.formats.record import HandLabel, Refusal, printable
from label.match import index_samples
from label.merge import Place, added_edit, is_addition, placement
from label.outcome import SOURCE, Made, Meeting, maker_of, outcome_of
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


PART = 32
"""Labels a process takes in at once."""


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
        left_out = set(names)
        changes = {name: change for name, change in self.changes.items() if name not in left_out}
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
    place = placement_in(dataset)
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


def placement_in(dataset: Dataset) -> Place:
    """What gives a row of the pool that got a label its split and fold, by the rules of the dataset's build."""
    ratios = split_ratios(build_recipe(dataset.header)) if "pool" in dataset.samples["split"] else RATIOS
    seed = int(dataset.header.recipe.get("seed") or 0)
    return placement(dataset.samples, seed, ratios)


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
