"""`label check`: what may be wrong with labels, each finding with its picture, and how sure."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from curate import images
from curate.engine import map_rows
from curate.errors import CurateError, FormatError
from curate.masks import PERSON, SizeHW, Target, iou
from curate.threads import Watch, map_threads, unwatched
from label.findings import ADVICE, SUSPECT, Box, Fault, severity
from label.findings.opinion import faults_by_model
from label.findings.outline import faults_beside, working_size
from label.findings.shape import shape_faults, take_apart
from label.formats.record import Drawing, Refusal, printable
from label.pictures import Label, Picture
from label.reasons import sized, why_too_large, why_turned

Opinion = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""A model: from a photograph (H, W, 3) uint8 RGB to the probability of person (H, W) in [0, 1]."""

PART = 16
WHOLE = frozenset({"full", "inverted", "turned", "shifted", "tight", "loose", "misplaced"})
LEAST_AGREEMENT = 0.9
"""IoU of two annotators below which they disagree."""


class Finding(msgspec.Struct, frozen=True):
    """One thing that may be wrong with a label.

    Attributes:
        picture: The image's sample_id, or its name in the export.
        where: The label's file, and the place in it.
        kind: A key of label.findings.ADVICE.
        severity: In [0, 1]; from 0.5 on the label is likely wrong.
        found: What is there.
        advice: What to do about it.
        bbox_xywh: Where in the image, px; None where it is about all of it.
        image: The photograph's path, None where it is not at hand.
    """

    picture: str
    where: str
    kind: str
    severity: float
    found: str
    advice: str
    bbox_xywh: Box | None
    image: str | None

    def __str__(self) -> str:
        of = "" if self.picture in self.where else f" of {self.picture}"
        return f"{self.where}{of}: {self.kind} ({self.severity:.2f}): {self.found}. {self.advice}".rstrip(". ")


@dataclass(frozen=True, slots=True)
class Looked:
    """What looking at a picture gave."""

    findings: list[Finding]
    digests: tuple[bytes | None, ...]
    """Of each label what is drawn; None where nothing is."""
    beside: bool
    """Whether the photograph was at hand."""


@dataclass
class Report:
    """What a check of labels found.

    Attributes:
        place: The dataset or the export.
        looked_at: How many labels.
        pictures: Of how many pictures.
        alone: How many pictures whose photograph was not at hand, so that their labels were looked at by themselves.
        findings: The most severe first.
    """

    place: Path
    looked_at: int
    pictures: int
    alone: int
    findings: list[Finding]

    @property
    def suspects(self) -> set[str]:
        """The pictures whose labels are likely wrong."""
        return {finding.picture for finding in self.findings if finding.severity >= SUSPECT}

    def told_of(self, folder: Path) -> Report:
        """The same with every finding in `folder`, where a zip was unpacked, telling of the zip."""

        def told(text: str) -> str:
            return text.replace(str(folder), printable(str(self.place)))

        findings = [
            msgspec.structs.replace(
                one, where=told(one.where), found=told(one.found), image=one.image and told(one.image)
            )
            for one in self.findings
        ]
        return Report(self.place, self.looked_at, self.pictures, self.alone, findings)


def check_labels(
    place: Path,
    pictures: Sequence[Picture],
    refusals: Sequence[Refusal] = (),
    opinion: Opinion | None = None,
    min_severity: float = 0.0,
    watch: Watch = unwatched,
) -> Report:
    """All that may be wrong with the labels of some pictures.

    Args:
        place: Where they come from.
        pictures: The pictures.
        refusals: Labels of which nothing could be read.
        opinion: A model to compare them with.
        min_severity: Findings below it are left out.
        watch: Told of progress.
    """
    tick = watch("checking labels", len(pictures))
    if opinion is None:
        looked = map_rows(lambda part: [look_at(one, None) for one in part], pictures, tick, PART)
    else:  # a model has threads of its own, which do not live on in a fork, and stays on this machine
        looked = map_threads(lambda one: look_at(one, opinion), pictures, tick)
    findings = [refused(refusal) for refusal in refusals]
    findings += [finding for one in looked for finding in one.findings]
    findings += identical(pictures, looked)
    order = list(ADVICE)
    findings = [one for one in findings if one.severity >= min_severity]
    findings.sort(key=lambda one: (-one.severity, order.index(one.kind), one.where))
    labels = sum(len(one.digests) for one in looked) + len(refusals)
    return Report(place, labels, len(pictures), sum(not one.beside for one in looked), findings)


def refused(refusal: Refusal) -> Finding:
    """The finding of a label that could not be read so far."""
    where, _, found = refusal.message.partition(": ")
    return Finding(where, where, "refused", 1.0, *without_advice(found, "refused"), None, None)


def without_advice(text: str, kind: str) -> tuple[str, str]:
    """A message as what was found and what to do: its own advice where it gives one, else that of the kind."""
    found, _, advice = text.rstrip(".").partition(". ")
    return found, advice or ADVICE[kind]


def look_at(picture: Picture, opinion: Opinion | None) -> Looked:
    """All that may be wrong with a picture's labels, as far as it shows in this picture alone."""
    photo, size_hw, findings = None, None, list[Finding]()
    try:
        size_hw = picture.size()
        photo = photo_of(picture, size_hw)
    except CurateError as error:
        findings.append(unreadable(picture, printable(str(picture.image)), error))
    drawn = dict[str, Target]()
    for label in picture.labels:
        try:
            outcome = drawn_at(label, size_hw, picture.image)
        except CurateError as error:
            findings.append(unreadable(picture, label.where, error))
            continue
        if isinstance(outcome, Fault):
            findings.append(finding_of(picture, label.where, outcome))
        elif not (outcome.target == PERSON).any():
            told = f" ({outcome.found})" if outcome.found else ""
            findings.append(finding_of(picture, label.where, Fault("empty", 1.0, f"shows no person{told}")))
        else:
            drawn[label.where] = outcome.target
    chances = opinion(photo) if opinion is not None and photo is not None else None
    for where, target in drawn.items():
        findings += [finding_of(picture, where, fault) for fault in faults_of(target, photo, chances)]
    findings += disagreements(picture, drawn)
    digests = tuple(digest_of(drawn[label.where]) if label.where in drawn else None for label in picture.labels)
    return Looked(findings, digests, photo is not None)


def unreadable(picture: Picture, where: str, error: CurateError) -> Finding:
    """The finding of a file that cannot be read."""
    text = error.problem if isinstance(error, FormatError) else printable(str(error)).removeprefix(f"{where}: ")
    found, advice = without_advice(printable(text), "unreadable")
    return msgspec.structs.replace(finding_of(picture, where, Fault("unreadable", 1.0, found)), advice=advice)


def photo_of(picture: Picture, size_hw: SizeHW | None) -> NDArray[np.uint8] | None:
    """A picture's photograph, no smaller than it is looked at; None where it is not at hand."""
    if picture.image is None or size_hw is None:
        return None
    return images.read_thumbnail(picture.image, working_size(size_hw)[0])


def drawn_at(label: Label, size_hw: SizeHW | None, image: Path | None) -> Drawing | Fault:
    """A label at the size of its picture, where that is known, else at its own; a Fault where it does not fit.

    Raises:
        CurateError: It cannot be read.
    """
    own_hw = label.size()
    if size_hw is not None and own_hw is not None:
        if not images.same_aspect(own_hw, size_hw):
            return misfit(own_hw, size_hw, image)
        if problem := why_too_large(own_hw, "its image", size_hw):
            return Fault("size", 1.0, problem)
    drawn_hw = size_hw or own_hw
    if drawn_hw is None:
        return Fault("unreadable", 1.0, "does not say how large its image is, and that is not at hand")
    return label.draw(drawn_hw)


def misfit(own_hw: SizeHW, size_hw: SizeHW, image: Path | None) -> Fault:
    """The fault of a label of another shape than its image."""
    found = f"is {sized(own_hw)} (HxW) on an image of {sized(size_hw)}"
    turned = why_turned(own_hw, size_hw, image)
    return Fault("turned", 1.0, f"{found}: {turned}") if turned else Fault("size", 1.0, found)


def faults_of(target: Target, photo: NDArray[np.uint8] | None, chances: NDArray[np.float32] | None) -> Iterator[Fault]:
    """What is wrong with one label, beside its photograph and the model's opinion where they are there.

    A label that is wrong as a whole is not told of in parts: where it is inverted or lies elsewhere, that is all.
    """
    shape = take_apart(target)
    found = list(shape_faults(shape))
    if photo is not None and not wrong_as_a_whole(found):
        found += faults_beside(photo, shape)
    if chances is not None and not wrong_as_a_whole(found):
        found += faults_by_model(chances, shape)
    yield from found


def wrong_as_a_whole(faults: Sequence[Fault]) -> bool:
    """Whether one of some faults makes all other ones its consequences."""
    return any(fault.kind in WHOLE for fault in faults)


def disagreements(picture: Picture, drawn: dict[str, Target]) -> Iterator[Finding]:
    """Pairs of labels of one picture that are not the same."""
    for (one, first), (other, second) in combinations(drawn.items(), 2):
        if first.shape != second.shape:
            continue
        agreement = iou(first == PERSON, second == PERSON)
        if agreement is not None and agreement < LEAST_AGREEMENT:
            found = f"has an IoU of {agreement:.2f} with {other}, another label of {picture.name}"
            fault = Fault("annotators", severity(-agreement, -LEAST_AGREEMENT, -0.5), found)
            yield finding_of(picture, one, fault)


def digest_of(target: Target) -> bytes:
    """Digest of a target's size and pixels."""
    return hashlib.sha256(f"{target.shape}".encode() + target.tobytes()).digest()


def identical(pictures: Sequence[Picture], looked: Sequence[Looked]) -> Iterator[Finding]:
    """The labels that are, to the pixel, those of a picture that shows something else."""
    often = Counter(digest for one in looked for digest in one.digests if digest is not None)
    holders: dict[bytes, list[tuple[Picture, str]]] = defaultdict(list)
    for place, one in enumerate(looked):
        for number, digest in enumerate(one.digests):
            if digest is not None and often[digest] > 1:
                picture = pictures[place]
                holders[digest].append((picture, picture.labels[number].where))
    for held in holders.values():
        for picture, where in held:
            other = next((name for one, name in held if one.group != picture.group), None)
            if other is not None:
                yield finding_of(picture, where, Fault("identical", 1.0, f"is the same to the pixel as {other}"))


def finding_of(picture: Picture, where: str, fault: Fault) -> Finding:
    """A fault with its picture."""
    image = None if picture.image is None else printable(str(picture.image))
    return Finding(
        picture.name, where, fault.kind, fault.severity, fault.found, ADVICE[fault.kind], fault.bbox_xywh, image
    )
