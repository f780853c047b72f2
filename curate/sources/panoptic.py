"""Panoptic labels of COCO: each pixel of a PNG is of one segment, and the JSON lists the segments and their categories.

Where instances or keypoints files list an image as well, those speak for the categories they have, and above all for
people: nobody is counted twice. The PNG then adds what their categories lack (wall, grass, table) to `touching` and to
what `--held` and `--animals` paint; without a PNG that can be read the image is used all the same. Where no other file
lists an image, its segments are its annotations, and an image whose PNG cannot be read is unreadable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate import masks
from curate.errors import CurateError, FormatError
from curate.foreground import Foreground
from curate.images import check_size, read_header, read_image
from curate.masks import SizeHW
from curate.sources import CANDIDATES, Label, Limits, Measure, Note
from curate.sources.coco_json import Annotation, Number, PanopticFile, PanopticRecord, Segment
from curate.sources.coco_labels import CocoLabels
from curate.sources.coco_objects import REACH_PX
from curate.sources.coco_shapes import rle_of
from curate.sources.coco_table import Categories, CocoImage, Part
from curate.sources.lookup import ImageFinder

UNLABELLED = 0
"""The id of pixels that belong to no segment; they are background."""
LARGEST = 256**3 - 1
"""The largest id that three bytes hold."""
WITHOUT = "no-panoptic"
"""The tag of an image whose panoptic PNG could not be read and was left out."""


class PanopticLabel(msgspec.Struct, frozen=True, gc=False):
    """The segments of one image, the categories of their file, and where its PNGs lie."""

    categories: Categories
    record: PanopticRecord
    finder: ImageFinder

    def stated_people(self) -> int:
        """Number of people listed, crowds aside."""
        people = self.categories.people
        return sum(segment.category_id in people and not segment.iscrowd for segment in self.record.segments_info)


def png_finder(path: Path, image_roots: Sequence[Path]) -> ImageFinder:
    """Finds the PNGs of a panoptic file: for `X/annotations/panoptic_val2017.json` in `X/annotations/panoptic_val2017`.

    After that in `X/panoptic_val2017`, in the folders the user named and beside the file.
    """
    beside = png_folders(path)
    # The folder of the file's name first: photographs may be PNGs of the same names.
    return ImageFinder([*beside, *(root / path.stem for root in image_roots), *image_roots, path.parent])


def png_folders(path: Path) -> list[Path]:
    """Where the PNGs of a panoptic file usually lie."""
    above = path.parent.parent if path.parent.name == "annotations" else path.parent
    return [path.parent / path.stem, above / path.stem]


def label_images(
    path: Path,
    file: PanopticFile,
    categories: Categories,
    images: Mapping[Number | str, CocoImage],
    finder: ImageFinder,
    labels: dict[int, PanopticLabel],
    notes: list[Note],
) -> None:
    """Add the label of each image that a panoptic file lists.

    What names an image or a category that is not there is left out and noted, and so is a second label of an image.

    Args:
        path: The file.
        file: Its records.
        categories: Its categories.
        images: Image id in the file -> the image.
        finder: Finds its PNGs.
        labels: Where labels are added, by `id()` of their image.
        notes: Where notes are appended.
    """
    for index, record in enumerate(file.annotations):
        where = f"{path} at annotations[{index}]"
        image = images.get(record.image_id)
        if image is None:
            notes.append(Note("annotations name an image that is not there; left out", where))
            continue
        record.segments_info = sound_segments(record.segments_info, categories, where, notes)
        label = PanopticLabel(categories, record, finder)
        if labels.setdefault(id(image), label) is not label:
            notes.append(Note("panoptic annotations are the second of their image; left out", where))


def sound_segments(segments: Sequence[Segment], categories: Categories, where: str, notes: list[Note]) -> list[Segment]:
    """The segments of known categories, each id once; what is left out is noted."""
    known = [segment for segment in segments if segment.category_id in categories.names]
    if len(known) < len(segments):
        notes.append(Note("annotations name a category that is not there; left out", where))
    first: dict[Number, Segment] = {}
    for segment in known:
        first.setdefault(segment.id, segment)
    if len(first) < len(known):
        notes.append(Note("panoptic segments are listed twice; the first counts", where))
    return list(first.values())


def is_led(image: CocoImage) -> bool:
    """Whether only panoptic files list an image."""
    return image.table.categories.panoptic and all(part.categories.panoptic for part in image.more or ())


def read_segment_ids(path: Path, size_hw: SizeHW) -> NDArray[np.int32]:
    """The id of each pixel's segment, R + 256 G + 65536 B; (H, W) int32, 0 where there is none.

    Raises:
        MissingError, FormatError: There is no such file, or it is no colour image that can be decoded.
        MismatchError: It has another size than its image.
    """
    check_png(path, size_hw)
    red, green, blue = np.moveaxis(read_image(path, size_hw).astype(np.int32), -1, 0)
    ids: NDArray[np.int32] = red + 256 * green + 65536 * blue
    return ids


def check_png(path: Path, size_hw: SizeHW) -> None:
    """Raise CurateError where a file's header is not that of a colour image of this size."""
    with read_header(path) as image:
        if image.mode not in ("RGB", "RGBA", "P"):
            raise FormatError(path, f"has mode {image.mode}; expected the colours of a panoptic PNG, which are ids")
        check_size(path, image, size_hw)


def ids_present(ids: NDArray[np.int32]) -> set[int]:
    """The ids some pixel has.

    >>> sorted(ids_present(np.array([[7, 7, 0], [7, 9, 9]], np.int32)))
    [0, 7, 9]
    """
    flat = ids.ravel()
    starts = flat[1:][flat[1:] != flat[:-1]]  # far fewer than pixels, which would have to be sorted
    return {int(value) for value in np.unique(np.append(flat[:1], starts))}


def annotation_of(segment: Segment, ids: NDArray[np.int32]) -> Annotation:
    """A segment as an annotation; its raster is empty where no pixel has its id, as none has that of no segment."""
    mask = ids == segment.id if segment.id != UNLABELLED else np.zeros(ids.shape, bool)
    shape = msgspec.json.encode({"size": ids.shape, "counts": run_lengths(mask)})
    return Annotation(0, segment.category_id, segment.id, segment.iscrowd, msgspec.Raw(shape))


def run_lengths(mask: masks.Mask) -> list[int]:
    """A mask as an uncompressed RLE of COCO: lengths of runs down the columns, background first.

    >>> run_lengths(np.array([[1, 0], [1, 1]], bool))
    [0, 2, 1, 1]
    """
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    lengths: list[int] = np.diff(edges, prepend=0, append=flat.size).tolist()
    return [0, *lengths] if flat[0] else lengths


def oddities(label: PanopticLabel, ids: NDArray[np.int32]) -> tuple[Note, ...]:
    """What the PNG and the list of segments do not agree in."""
    present = ids_present(ids) - {UNLABELLED}
    listed = {segment.id for segment in label.record.segments_info}
    others = {one.id for one in label.record.segments_info if one.category_id not in label.categories.people}
    where = label.record.file_name
    notes = []
    if present - listed:
        notes.append(Note("panoptic PNGs hold ids that no segment lists; those pixels are background", where))
    if others - present:
        notes.append(Note("panoptic PNGs lack segments that are listed", where))
    return tuple(notes)


class PanopticLabels:
    """The labels of a COCO source some of whose images have panoptic labels, read when asked for."""

    def __init__(
        self, images: Sequence[CocoImage], panoptic: Mapping[int, PanopticLabel], foreground: Foreground
    ) -> None:
        """With the panoptic labels by `id()` of their image."""
        self._images, self._foreground = images, foreground
        self._panoptic = {row: panoptic[id(image)] for row, image in enumerate(images) if id(image) in panoptic}
        self._plain = CocoLabels(images, foreground)

    def restate(self, candidates: pl.DataFrame) -> pl.DataFrame:
        """The candidates with the people that segments state; an image that nothing labels is unreadable."""
        people, problems = candidates["people"].to_list(), candidates["unreadable"].to_list()
        for row, image in enumerate(self._images):
            if is_led(image):
                label = self._panoptic.get(row)
                people[row] = label.stated_people() if label else None
                problems[row] = problems[row] or (None if label else "the panoptic file has no annotation of the image")
        return candidates.with_columns(
            people=pl.Series(people, dtype=CANDIDATES["people"]),
            unreadable=pl.Series(problems, dtype=CANDIDATES["unreadable"]),
        )

    def image(self, row: int) -> Path:
        """The photograph's file."""
        return self._plain.image(row)

    def measure_many(self, rows: Sequence[int], limits: Limits) -> list[Measure | None]:
        """What many labels show, each measured by itself."""
        return [self.measure(row, limits) for row in rows]

    def measure(self, row: int, limits: Limits) -> Measure:
        """The label measured; the PNG is read where people are its segments, or where it can be painted."""
        label, image = self._panoptic.get(row), self._images[row]
        if label is None:
            return self._plain.measure(row, limits)
        notes: tuple[Note, ...] = ()
        try:
            if is_led(image) or self._foreground.paints:
                ids = self._ids(image, label)
                notes = oddities(label, ids) if is_led(image) else ()
                image = with_segments(image, label, ids, self._foreground if self._foreground.paints else None)
            else:
                check_png(label.finder.find(label.record.file_name), image.record.size_hw)
        except CurateError as error:
            if is_led(image):
                return Measure(unreadable=str(error))
            notes = (Note("panoptic PNGs cannot be read; their images are used without", str(error)),)
        found = CocoLabels([image], self._foreground).measure(0, limits)
        return found._replace(notes=(*notes, *found.notes))

    def draw(self, row: int) -> Label:
        """The label drawn; tagged where the PNG cannot be read and instances stand without it."""
        label, image = self._panoptic.get(row), self._images[row]
        if label is None:
            return self._plain.draw(row)
        led = is_led(image)
        try:
            image = with_segments(image, label, self._ids(image, label), self._foreground)
        except CurateError:
            if led:
                raise
            drawn = self._plain.draw(row)
            return replace(drawn, tags=(*drawn.tags, WITHOUT))
        drawn = CocoLabels([image], self._foreground).draw(0)
        return replace(drawn, origin="palette") if led and drawn.origin != "none" else drawn

    def _ids(self, image: CocoImage, label: PanopticLabel) -> NDArray[np.int32]:
        return read_segment_ids(label.finder.find(label.record.file_name), image.record.size_hw)


def with_segments(
    image: CocoImage, label: PanopticLabel, ids: NDArray[np.int32], foreground: Foreground | None
) -> CocoImage:
    """The image with its segments as annotations: people where no other file speaks for them, and other objects.

    These are the objects near people, things or not, and all animals that are drawn as a class, of categories that no
    other file speaks for.

    Args:
        image: An image.
        label: Its segments.
        ids: The segment of each pixel (H, W).
        foreground: What is drawn; None where no objects are wanted.
    """
    people = segments_of_people(image, label)
    known, names = image.known_names(), label.categories.names
    wanted: set[Number] = {*ids_near(image, people, ids)} if foreground is not None else set()
    if foreground is not None and "animal" in foreground.classes:
        listed = label.record.segments_info
        wanted |= {one.id for one in listed if foreground.class_of(names[one.category_id]) == "animal"}
    others = [
        segment
        for segment in label.record.segments_info
        if segment.id in wanted
        and segment.category_id not in label.categories.people
        and names[segment.category_id].casefold() not in known
    ]
    # From here on the PNG has spoken: its categories are those of annotations like any others.
    read = replace(label.categories, panoptic=False)
    part = Part(read, [annotation_of(segment, ids) for segment in (*people, *others)])
    return msgspec.structs.replace(image, more=[*(image.more or ()), part])


def segments_of_people(image: CocoImage, label: PanopticLabel) -> list[Segment]:
    """The segments that are the image's people and crowds; none where other files speak for them."""
    people = label.categories.people
    return [one for one in label.record.segments_info if one.category_id in people] if is_led(image) else []


def ids_near(image: CocoImage, people: Sequence[Segment], ids: NDArray[np.int32]) -> set[int]:
    """The segments within reach of a person: of those among `people`, else of the image's own annotations."""
    person = np.isin(ids, [segment.id for segment in people if not segment.iscrowd and 0 < segment.id <= LARGEST])
    try:
        rles = [rle_of(annotation.segmentation, image.record.size_hw) for annotation in image.people()]
    except (ValueError, msgspec.DecodeError):
        return set()  # the image is unreadable, whatever is near
    if rles:
        person |= masks.decode(masks.union_rle(rles, image.record.size_hw))
    return ids_present(ids[masks.grow(person, REACH_PX)]) if person.any() else set()
