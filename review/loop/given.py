"""What people give a round: corrected labels, which make the next version of the dataset, and their verdicts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec
import polars as pl

from curate import schema
from curate.dataset import Dataset, open_dataset
from curate.errors import JSON_ERRORS, FormatError, MissingError, VersionError
from curate.files import json_bytes, sha256_bytes, sha256_file, write_atomic
from curate.guesses import is_guessed
from curate.revise import revise
from curate.terminal import counted
from curate.threads import Say
from label.importing import Imported, Request, import_labels
from train.claim import weights_paths
from train.config import placed, read_config, relative
from train.scoring.score import check_unlearnt


class Given(msgspec.Struct, frozen=True):
    """`round-N/given.json`: what a round was given when it began; it stays with that."""

    labels: str = ""
    """The corrected labels (--labels), relative to the round's folder; empty where there were none."""
    dataset: str = ""
    """The version with them, relative to the round's folder; empty where they change nothing."""
    digest: str = ""
    """Of that version."""
    corrected: int = 0
    """How many labels they changed or added."""
    verdicts: dict[str, str] = {}
    """sample_id -> a reviewer's verdict (--decisions), those of earlier rounds included."""
    weights: str = ""
    """`weights_digest` of the run that the arms start from; empty in loops of before."""
    epochs: int = 0
    """Epochs of each arm, where the budget is in minutes."""


def read_given(folder: Path) -> Given | None:
    """What the round in `folder` was given; None before it has begun.

    Raises:
        FormatError: The file is damaged.
    """
    path = folder / "given.json"
    if not path.is_file():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Given)
    except JSON_ERRORS as error:
        raise FormatError(path, f"is damaged ({error}). Delete the round's folder and run the loop again") from error


def has_labels(folder: Path) -> bool:
    """Whether the round in `folder` has corrected labels to learn from; of one that has not begun nobody knows: no."""
    given = read_given(folder)
    return given is not None and bool(given.dataset)


def taken_in(
    dataset: Dataset, folder: Path, base: Path, labels: Path | None, verdicts: Mapping[str, str], say: Say
) -> Given:
    """What a round that has not begun would be given.

    Args:
        dataset: The version of the round before.
        folder: The round's.
        base: The run that the round starts from.
        labels: An export of a labelling tool, or a later version of the dataset; None for no labels.
        verdicts: sample_id -> a reviewer's verdict, those in force and new ones.
        say: Told what comes in.

    Raises:
        FormatError: None of the labels can be used.
        VersionError: `labels` is a version of another dataset.
        UsageError: They would hold out what the base has learnt from.
    """
    found = Given(verdicts=dict(sorted(verdicts.items())), weights=weights_digest(base))
    if labels is None:
        return found
    version, corrected = _version_with(dataset, folder, labels, say)
    check_unlearnt(base, version)
    place = relative(version.root, folder) if version is not dataset else ""
    digest = version.header.digest if place else ""
    return msgspec.structs.replace(
        found, labels=relative(labels, folder), dataset=place, digest=digest, corrected=corrected
    )


def begin(folder: Path, given: Given) -> None:
    """Write down what a round is given, from then on."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / "given.json", json_bytes(given))


def weights_digest(run: Path) -> str:
    """SHA-256 over a run's weights, those of its fold models included.

    Raises:
        MissingError: A file of weights is not there.
    """
    paths = weights_paths(run, read_config(run))
    if gone := [path for path in paths if not path.is_file()]:
        raise MissingError(f"{gone[0]}: is missing, and the loop starts from it. Put it back, or train the run again")
    return sha256_bytes("".join(map(sha256_file, paths)).encode())


def check_base(base: Path, folder: Path, given: Given) -> None:
    """Raise VersionError where a run has other weights than when the round in `folder` began: its arms would differ."""
    if given.weights and weights_digest(base) != given.weights:
        told = f"has other weights than when {folder} began, so that its arms would not start from one model"
        raise VersionError(f"{base}: {told}. Put the old ones back, or begin another loop: --out NEW")


def heeded(dataset: Dataset, verdicts: Mapping[str, str]) -> dict[str, str]:
    """Those of the verdicts that change something: of images that are learnt from or wait for a label."""
    heard = dataset.samples.filter(pl.col("split").is_in([*schema.LEARNT, "pool"]))["sample_id"]
    return {name: verdicts[name] for name in heard if name in verdicts}


def tell_idle(dataset: Dataset, verdicts: Mapping[str, str], say: Say) -> None:
    """Say which verdicts change nothing: of images that are neither learnt from nor wait for a label."""
    splits = dict(dataset.samples.select("sample_id", "split").iter_rows())
    if idle := sorted(verdicts.keys() - heeded(dataset, verdicts)):
        where = f"is in {splits[idle[0]]}" if idle[0] in splits else f"is no sample of {dataset.root}"
        told = f"{counted(len(idle), 'decision')} of images that are not learnt from change nothing here"
        say(f"note: {told}; the first: {idle[0]} {where}")


def version_of(dataset: Dataset, folder: Path, given: Given) -> Dataset:
    """The version of the dataset that a round works on, from that of the round before."""
    return (
        open_dataset(Path(os.path.normpath(placed(given.dataset, folder))), given.digest) if given.dataset else dataset
    )


def check_labels(dataset: Dataset, labels: Path) -> None:
    """Raise what `taken_in` would of labels that cannot be used, before hours of training that nobody wants then."""
    if _later_version(dataset, labels) is None:
        _imported(dataset, None, labels)


def _later_version(dataset: Dataset, labels: Path) -> Dataset | None:
    """The dataset version that `labels` is; None where it is an export of a tool."""
    if not labels.exists():
        raise MissingError(f"--labels {labels}: no such file or folder. Check the path")
    if not (labels / "dataset.json").is_file():
        return None
    version = open_dataset(labels)
    mend = f"Make one with: curate label import {dataset.root} EXPORT --out NEW"
    if missing := sorted(set(dataset.samples["sample_id"]) - set(version.samples["sample_id"])):
        raise VersionError(f"--labels {labels}: is no later version of {dataset.root}: it lacks {missing[0]}. {mend}")
    now, then = dataset.header, version.header
    if then.digest != now.digest and then.parent != now.digest and then.version <= now.version:
        found = f"is version {then.version}, and the labels of version {now.version} ({dataset.root}) would be lost"
        raise VersionError(f"--labels {labels}: {found}. {mend}")
    return version


def _imported(dataset: Dataset, out: Path | None, labels: Path) -> Imported:
    """What came of an export; with `out` the next version is there."""
    made = import_labels(dataset, out, Request(labels), force=True)
    if made.status == "nothing":
        refused = made.intake.refusals
        reason = refused[0].message if refused else "it holds no label at all"
        raise FormatError(labels, f"none of its labels can be used: {reason}. See: curate label import --dry-run")
    return made


def _version_with(dataset: Dataset, folder: Path, labels: Path, say: Say) -> tuple[Dataset, int]:
    """The version with the labels, and how many are new; the dataset itself where none is."""
    unchanged = f"note: --labels {labels}: every label equals the mask that is there; the round goes on without"
    version = _later_version(dataset, labels)
    if version is not None:
        if version.header.digest != dataset.header.digest:
            return version, len(other_labels(dataset, version))
        say(unchanged)
        return dataset, 0
    made = _imported(dataset, folder / "dataset", labels)
    refused = made.intake.refusals
    if refused:
        say(f"note: {counted(len(refused), 'label')} left out; the first: {refused[0].message}")
    if made.status == "unchanged":
        say(unchanged)
        return dataset, 0
    return open_dataset(folder / "dataset"), len(made.intake.edited)


def learnt_before(before: Dataset, newer: Dataset, out: Path) -> Dataset:
    """A later version with the training images and labels of the one before, made in `out` where it is not there.

    The control learns from it: nothing of what came in, but its epochs are judged by the images that judge the others'.
    """
    if before is newer:
        return before
    if not (out / "dataset.json").is_file():
        learnt = pl.col("split").is_in(schema.LEARNT)
        own = before.samples.filter(learnt)
        others = newer.samples.filter(~learnt).join(own, on="sample_id", how="anti")
        changed = own.join(newer.samples, on=["sample_id", "mask_sha256"], how="anti")
        masks = {name: before.root / mask for name, mask in changed.select("sample_id", "mask").iter_rows()}
        samples, edits = pl.concat([own, others]).sort("sample_id"), schema.EDITS.to_frame()
        revise(newer, out, samples=samples, masks=masks, recipe={}, sources=[], edits=edits)
    return open_dataset(out)


def other_labels(before: Dataset, after: Dataset) -> frozenset[str]:
    """The images of a later version that have another mask than before, or were not there."""
    own = ["sample_id", "mask_sha256"]
    return frozenset(after.samples.join(before.samples, on=own, how="anti")["sample_id"])


def replaced_labels(before: Dataset, after: Dataset) -> frozenset[str]:
    """Those of `other_labels` that had a label of people before: who made the new one has looked at it again."""
    people = before.samples.filter((pl.col("split") != "pool") & ~is_guessed())["sample_id"]
    return other_labels(before, after) & frozenset(people)
