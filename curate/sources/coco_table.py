"""The annotations of COCO files, sorted by image, and the images they belong to.

A file of COCO holds a million annotations. They are sorted as columns, once, and stay where the decoder put them:
nothing is made for an annotation nobody asks for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from curate.images import MAX_PIXELS
from curate.masks import SizeHW
from curate.sources import Note
from curate.sources.coco_json import Annotation, CocoFile, Id, ImageRecord, Number
from curate.sources.lookup import ImageFinder

MOST_PEOPLE = 32767
"""As many as the column `people` holds."""
OTHER, PERSON, CROWD = range(3)
"""What an annotation is of: anything else, a person, or more people than can be counted."""


@dataclass(frozen=True)
class Categories:
    """The categories of one file: id -> name, and the ids that are a person; of a panoptic file they are segments'."""

    names: dict[Number, str]
    people: frozenset[Number]
    panoptic: bool = False

    def kind(self, annotation: Annotation) -> int:
        """OTHER, PERSON or CROWD."""
        if annotation.category_id not in self.people:
            return OTHER
        return CROWD if annotation.iscrowd else PERSON


@dataclass(frozen=True)
class Sorted:
    """Annotations of one kind: those of image `i` are the file's at `order[starts[i] : starts[i + 1]]`."""

    file: Sequence[Annotation]
    order: NDArray[np.int64]
    starts: NDArray[np.int64]

    @cached_property
    def annotations(self) -> list[Annotation]:
        """The annotations in the order of their images."""
        return [self.file[at] for at in self.order.tolist()]

    @cached_property
    def bounds(self) -> list[int]:
        """`starts` as Python's own integers, which are quicker to index with."""
        return self.starts.tolist()  # type: ignore[no-any-return]

    def of(self, index: int) -> list[Annotation]:
        """The annotations of one image."""
        return self.annotations[self.bounds[index] : self.bounds[index + 1]]


@dataclass(frozen=True)
class Table:
    """The annotations of one file, by kind and image.

    Attributes:
        categories: Of the file.
        by_kind: The annotations of each kind.
        stated: Number of people each image states.
        groups: Whether an annotation anywhere says for how many people it stands.
    """

    categories: Categories
    by_kind: tuple[Sorted, Sorted, Sorted]
    stated: list[int]
    groups: bool


@dataclass(frozen=True, slots=True)
class Part:
    """Some annotations of an image, with the categories of the file they stand in."""

    categories: Categories
    annotations: list[Annotation]

    def of_kind(self, kind: int) -> list[Annotation]:
        """Those of one kind."""
        return [annotation for annotation in self.annotations if self.categories.kind(annotation) == kind]


class CocoImage(msgspec.Struct, gc=False):
    """One image: its record, where its photograph may lie, and its annotations.

    Most images have those of one file, `index` in `table`; what further files brought stands in `more`.
    """

    source: str
    record: ImageRecord
    licence: str | None
    finder: ImageFinder
    table: Table
    index: int
    more: list[Part] | None = None
    damaged: str | None = None
    """Why it is not known what it shows, or None."""

    def people(self, *, crowd: bool = False) -> list[Annotation]:
        """The annotations of people, or those of crowds of them."""
        kind = CROWD if crowd else PERSON
        found = self.table.by_kind[kind].of(self.index)
        return found + [one for part in self.more for one in part.of_kind(kind)] if self.more else found

    def others(self) -> Iterator[tuple[str, Annotation]]:
        """The annotations of anything else, each with its category."""
        for annotation in self.table.by_kind[OTHER].of(self.index):
            yield self.table.categories.names[annotation.category_id], annotation
        for part in self.more or ():
            for annotation in part.of_kind(OTHER):
                yield part.categories.names[annotation.category_id], annotation

    def known_names(self) -> frozenset[str]:
        """The categories, in lower case, that the files speak for which list the image and are not panoptic."""
        listing = [self.table.categories, *(part.categories for part in self.more or ())]
        return frozenset(name.casefold() for one in listing if not one.panoptic for name in one.names.values())

    def stated_people(self) -> int:
        """Number of people annotated, crowds aside."""
        stated = self.table.stated[self.index]
        if not self.more:
            return stated
        return stated + sum(stands_for(one) for part in self.more for one in part.of_kind(PERSON))

    def has_crowds_or_groups(self) -> bool:
        """Whether an annotation is of a crowd or stands for several people."""
        if not self.more and not self.table.groups:
            return bool(self.table.by_kind[CROWD].of(self.index))
        return bool(self.people(crowd=True)) or any(one.people is not None for one in self.people())

    def parts(self) -> list[Part]:
        """All annotations, file by file."""
        own = [annotation for found in self.table.by_kind for annotation in found.of(self.index)]
        return [Part(self.table.categories, own), *(self.more or ())]

    def add(self, parts: Iterable[Part]) -> None:
        """Take in what a further record of the image brings: annotations that are not there yet, and keypoints."""
        for part in parts:
            known = [one for there in self.parts() for one in there.annotations]
            self.more = [*(self.more or ()), Part(part.categories, not_yet_known(part.annotations, known))]


def size_problem(size_hw: SizeHW) -> str | None:
    """What is wrong with an image record's size, or None."""
    height, width = size_hw
    if height > 0 and width > 0 and height * width <= MAX_PIXELS:
        return None
    return f"the image record states the size {height}x{width} (HxW); between 1 and {MAX_PIXELS} px are read"


def stands_for(annotation: Annotation) -> int:
    """How many people an annotation of people stands for."""
    return 1 if annotation.people is None else min(max(0, int(annotation.people)), MOST_PEOPLE)


def not_yet_known(annotations: Sequence[Annotation], there: Sequence[Annotation]) -> list[Annotation]:
    """The annotations an image does not have yet; what else is known of one it has goes to the one it has."""
    known: dict[Id, Annotation] = {one.id: one for one in there}
    new = []
    for annotation in annotations:
        old = known.get(annotation.id) if annotation.id is not None else None
        if old is None or not same_object(old, annotation):
            new.append(annotation)
            known.setdefault(annotation.id, annotation)
            continue
        if bytes(annotation.keypoints):
            old.keypoints = annotation.keypoints
        if shape_bytes(old) in NO_SHAPE:
            old.segmentation = annotation.segmentation
    return new


NO_SHAPE = frozenset({b"[]", b"[[]]", b"null"})
"""A segmentation that is left out, as files of boxes and of keypoints do."""


def shape_bytes(annotation: Annotation) -> bytes:
    """A segmentation as it stands in the file, blanks aside."""
    return bytes(annotation.segmentation).translate(None, b" \t\r\n")


def same_object(one: Annotation, other: Annotation) -> bool:
    """Whether two annotations of one image and one id are of one object, as in COCO's instances and keypoints files.

    They are where they have the same segmentation, in whatever spelling, or where one has none.
    """
    shapes = shape_bytes(one), shape_bytes(other)
    if shapes[0] == shapes[1]:
        return True
    if NO_SHAPE & set(shapes):
        return one.category_id == other.category_id
    try:
        return msgspec.json.decode(shapes[0]) == msgspec.json.decode(shapes[1])  # type: ignore[no-any-return]
    except msgspec.DecodeError:
        return False


def table_of(path: Path, file: CocoFile, categories: Categories, notes: list[Note]) -> Table:
    """The annotations of a file, sorted; those of an unknown image or category are left out and noted."""
    position: dict[Id, int] = {}
    for index, record in enumerate(file.images):
        position.setdefault(record.id, index)
    annotations, count, total = file.annotations, len(file.annotations), len(file.images)
    image = positions_of(position, annotations)
    image[left_out(path, image, annotations, categories, notes)] = -1
    image[repeated(annotations, image)] = -1
    person = np.fromiter(map(categories.people.__contains__, map(attrgetter("category_id"), annotations)), bool, count)
    crowd = np.fromiter(map(bool, map(attrgetter("iscrowd"), annotations)), bool, count)
    kind = np.where(person, np.where(crowd, CROWD, PERSON), OTHER)
    other, people, crowds = (sort_by_image(annotations, image, kind == one, total) for one in range(3))
    stated = np.diff(people.starts).tolist()
    groups = any(map(attrgetter("people"), annotations))
    if groups:
        stated = [sum(map(stands_for, people.of(index))) for index in range(total)]
    return Table(categories, (other, people, crowds), stated, groups)


def positions_of(position: Mapping[Id, int], annotations: Sequence[Annotation]) -> NDArray[np.int32]:
    """The position of each annotation's image, -1 where there is none; (N,) int32."""
    ids = map(attrgetter("image_id"), annotations)
    try:
        return np.fromiter(map(position.__getitem__, ids), np.int32, len(annotations))
    except KeyError:
        return np.array([position.get(one.image_id, -1) for one in annotations], np.int32)


def left_out(
    path: Path,
    image: NDArray[np.int32],
    annotations: Sequence[Annotation],
    categories: Categories,
    notes: list[Note],
) -> list[int]:
    """The positions of annotations that name an image or a category that is not there, each with a note."""
    unknown = set(map(attrgetter("category_id"), annotations)) - categories.names.keys()
    if not unknown and (image >= 0).all():
        return []
    lost = [at for at, one in enumerate(annotations) if image[at] < 0 or one.category_id in unknown]
    for at in lost:
        what = f"annotations name {'an image' if image[at] < 0 else 'a category'} that is not there; left out"
        notes.append(Note(what, f"{path} at annotations[{at}]"))
    return lost


def repeated(annotations: Sequence[Annotation], image: NDArray[np.int32]) -> list[int]:
    """The positions of annotations that stand before already: the same image, id and segmentation."""
    ids = map(attrgetter("id"), annotations)
    with suppress(TypeError, ValueError, OverflowError):  # an id that is no whole number
        whole = np.sort(np.fromiter(ids, np.int64, len(annotations)))
        if (whole[1:] != whole[:-1]).all():
            return []
    seen: set[tuple[int, Id, bytes]] = set()
    again = []
    for at, one in enumerate(annotations):
        key = (int(image[at]), one.id, bytes(one.segmentation))
        again += [at] * (key in seen and one.id is not None)
        seen.add(key)
    return again


def sort_by_image(
    annotations: Sequence[Annotation], image: NDArray[np.int32], chosen: NDArray[np.bool_], total: int
) -> Sorted:
    """The chosen annotations in the order of their images, and within an image in that of the file."""
    positions = np.flatnonzero(chosen & (image >= 0))
    order = positions[np.argsort(image[positions], kind="stable")]
    return Sorted(annotations, order, np.searchsorted(image[order], np.arange(total + 1)))
