"""A COCO instance file's records, typed, with the segmentations left as the bytes they are.

Building Python floats for polygons nobody looks at is nearly all of the cost of reading COCO.
"""

from __future__ import annotations

import codecs
import gc
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from mmap import mmap
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np

from curate.errors import FormatError
from curate.masks import SizeHW
from curate.sources import Note

NO_NUMBER = re.compile(rb'"(?:[^"\\]|\\.)*+"|(-?(?:NaN|Infinity))')
"""A text, which is passed over, or what stands for a number and is none."""

CHUNK, ASCII = 2**24, 128
Number = int | float
"""Ids and sizes: some tools write 5.0, which equals 5."""
Id = Number | str | None


class Category(msgspec.Struct, gc=False):
    """`categories[]`."""

    id: Number
    name: str


class Licence(msgspec.Struct, gc=False):
    """`licenses[]`."""

    id: Id = None
    name: str | None = None
    url: str | None = None


class ImageRecord(msgspec.Struct, gc=False):
    """`images[]`; a size of 0 stands for a missing one."""

    id: Number | str
    file_name: str
    width: Number = 0
    height: Number = 0
    license: Id = None

    @property
    def size_hw(self) -> SizeHW:
        """(height, width) in px; a size that is no whole number counts as missing."""
        height, width = self.height, self.width
        if type(height) is int and type(width) is int:
            return height, width
        return (int(height), int(width)) if height % 1 == width % 1 == 0 else (0, 0)


NO_KEYPOINTS = msgspec.Raw(b"")
"""The very object that stands where an annotation has none."""


class Annotation(msgspec.Struct, gc=False):
    """`annotations[]`; the segmentation stays as it stands in the file until a mask is asked for."""

    image_id: Number | str
    category_id: Number
    id: Id = None
    iscrowd: Number | bool | None = 0
    segmentation: msgspec.Raw = msgspec.Raw(b"[]")
    keypoints: msgspec.Raw = NO_KEYPOINTS
    people: Number | None = None
    """How many people one annotation stands for; our own exports say so, where only their union is known."""


class CocoFile(msgspec.Struct):
    """The parts of a COCO instance file that are read."""

    images: list[ImageRecord]
    categories: list[Category]
    annotations: list[Annotation] = []
    licenses: list[Licence] = []
    damaged: list[Id] = msgspec.field(default_factory=list, name="(damaged)")
    """Images of which an annotation is damaged. Nothing of the file: found out while it is read."""


class Segment(msgspec.Struct, gc=False):
    """`annotations[].segments_info[]` of a panoptic file: `id` is the colour of its pixels."""

    id: Number
    category_id: Number
    iscrowd: Number | bool | None = 0


class PanopticRecord(msgspec.Struct, gc=False):
    """`annotations[]` of a panoptic file: the PNG of an image and the segments in it."""

    image_id: Number | str
    file_name: str
    segments_info: list[Segment]


class PanopticFile(msgspec.Struct):
    """The parts of a COCO panoptic file that are read."""

    images: list[ImageRecord]
    categories: list[Category]
    annotations: list[PanopticRecord]
    licenses: list[Licence] = []


class RawCocoFile(msgspec.Struct):
    """The same with every record undecoded, to read on past damaged ones."""

    images: list[msgspec.Raw]
    categories: list[msgspec.Raw]
    annotations: list[msgspec.Raw] = []
    licenses: list[msgspec.Raw] = []


class RawPanopticRecord(msgspec.Struct):
    """What tells the annotations of a panoptic file from others."""

    segments_info: msgspec.Raw


Buffer = bytes | mmap
"""A file's bytes: read, or mapped."""
Record = TypeVar("Record", ImageRecord, Annotation, PanopticRecord, Category, Licence)


@contextmanager
def collection_paused() -> Iterator[None]:
    """No garbage is collected: in the midst of a million new records a collection finds none and doubles the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def check_text(path: Path, data: Buffer) -> None:
    """Raise FormatError where a file is no UTF-8: the decoder passes over keys it does not know, and damaged ones.

    A crowd whose `iscrowd` is damaged would be a person.
    """
    size = len(data)
    for start in range(0, size, CHUNK):
        part = np.frombuffer(data, np.uint8, min(CHUNK, size - start), start)
        if part.max() >= ASCII:
            _check_utf8(path, data, start)
            return


def _check_utf8(path: Path, data: Buffer, start: int) -> None:
    """Raise FormatError where the bytes from `start` on are no UTF-8; those before are ASCII."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    for at in range(start, len(data), CHUNK):
        try:
            decoder.decode(data[at : at + CHUNK], final=at + CHUNK >= len(data))
        except UnicodeDecodeError as error:
            place = f"byte {at + error.start}"
            raise FormatError(
                path, f"is no UTF-8 ({error.reason}). Fetch it again, or save it as UTF-8", place
            ) from error


def decode_coco(path: Path, data: Buffer, notes: list[Note]) -> CocoFile | PanopticFile:
    """A COCO file's records, of whichever kind it is; damaged ones are left out and noted.

    Args:
        path: The file, for errors and notes.
        data: Its bytes; the segmentations stay views of them.
        notes: Where notes are appended.

    Raises:
        FormatError: The JSON is cut off or malformed (with the byte), or it is no COCO instance file.
    """
    if data[:3] == b"\xef\xbb\xbf":
        data = data[3:]
    try:
        return _decode_with_nan(path, data, notes)
    except msgspec.ValidationError as error:
        advice = "Expected a COCO instance file: an object with images, annotations and categories"
        raise FormatError(path, f"{error}. {advice}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        byte = f"byte {len(data)}" if "truncated" in str(error) else ""
        raise FormatError(path, f"{error}. Expected a whole COCO instance JSON; fetch it again", byte) from error


def _decode_with_nan(path: Path, data: Buffer, notes: list[Note]) -> CocoFile | PanopticFile:
    """The records, with a text for the NaN and Infinity that Python writes and JSON does not have.

    What is read from such a place is damaged, then. Null would be a flag that is left out, and make a crowd a person.
    """
    try:
        return _decode_records(path, data, notes)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        if data.find(b"NaN") < 0 and data.find(b"Infinity") < 0:
            raise
    mended = NO_NUMBER.sub(lambda found: b'"NaN"' if found[1] else found[0], data)
    notes.append(Note("files hold NaN or Infinity, which is no JSON; it counts as missing", str(path)))
    return _decode_records(path, mended, notes)


def _decode_records(path: Path, data: Buffer, notes: list[Note]) -> CocoFile | PanopticFile:
    """All records at once or, where one of them is damaged, one by one."""
    with suppress(msgspec.ValidationError):
        return msgspec.json.decode(data, type=CocoFile)
    with suppress(msgspec.ValidationError):  # of a panoptic file the first annotation has failed by now
        return msgspec.json.decode(data, type=PanopticFile)
    raw = msgspec.json.decode(data, type=RawCocoFile)
    images = list(_sound(path, "images", raw.images, ImageRecord, notes))
    categories = list(_sound(path, "categories", raw.categories, Category, notes))
    licences = list(_sound(path, "licenses", raw.licenses, Licence, notes))
    if any(map(_has_segments, raw.annotations)):
        records = list(_sound(path, "annotations", raw.annotations, PanopticRecord, notes))
        return PanopticFile(images, categories, records, licences)
    annotations = list(_sound(path, "annotations", raw.annotations, Annotation, notes))
    damaged = list(_images_of_damaged(raw.annotations)) if len(annotations) < len(raw.annotations) else []
    return CocoFile(images, categories, annotations, licences, damaged)


class RawAnnotation(msgspec.Struct):
    """What tells whose annotation a damaged one is."""

    image_id: Number | str


def _images_of_damaged(raws: list[msgspec.Raw]) -> Iterator[Id]:
    """The images of the annotations that cannot be decoded, as far as they can be told."""
    for raw in raws:
        try:
            msgspec.json.decode(raw, type=Annotation)
        except msgspec.DecodeError:
            with suppress(msgspec.DecodeError, UnicodeDecodeError):
                yield msgspec.json.decode(raw, type=RawAnnotation).image_id


def _has_segments(raw: msgspec.Raw) -> bool:
    try:
        msgspec.json.decode(raw, type=RawPanopticRecord)
    except msgspec.DecodeError:
        return False
    return True


def _sound(path: Path, part: str, raws: list[msgspec.Raw], kind: type[Record], notes: list[Note]) -> Iterator[Record]:
    """The records that can be decoded; each of the others becomes a note."""
    for index, raw in enumerate(raws):
        try:
            yield msgspec.json.decode(raw, type=kind)
        except msgspec.DecodeError as error:
            notes.append(
                Note(f"records of `{part}` are damaged and were left out", f"{path} at {part}[{index}]: {error}")
            )
