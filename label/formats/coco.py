"""COCO JSON: instances with their images and categories, and bare results, as models and SAM-style tools write them.

Format: https://cocodataset.org/#format-data, https://cocodataset.org/#format-results
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec

from curate.errors import FormatError
from curate.masks import Rle, SizeHW, union_rle
from curate.sources import Note
from curate.sources.coco_json import Annotation, CocoFile, ImageRecord, PanopticFile, decode_coco
from curate.sources.coco_shapes import RunLengths, rles_of, shape_of
from label.formats.reading import (
    Peek,
    checked_size,
    each_file,
    first_image,
    label_files,
    or_refusal,
    peek,
    read_json,
    read_text,
    some_of,
)
from label.formats.record import Drawing, HandLabel, Options, Refusal
from label.regions import Classes, Region, draw_regions

SUFFIXES = (".json",)
TOOL = "COCO"
MOST_BYTES = 2**31
PERSON_ID = 1
"""The category of a person in COCO, for results, which do not name their categories."""


class Result(msgspec.Struct, frozen=True):
    """An entry of a results file."""

    image_id: int | str
    category_id: int
    segmentation: msgspec.Raw
    score: float | None = None


def detect(path: Path) -> bool:
    """Whether one JSON file at `path` holds instances or results."""
    return any((top := peek(file)) and (has_instances(top) or has_results(top)) for file in some_of(path, *SUFFIXES))


def has_instances(top: Peek) -> bool:
    """Whether a file is an object of images, annotations and categories."""
    return not top.listed and top.has(images="[", annotations="[", categories="[")


def has_results(top: Peek) -> bool:
    """Whether a file is a list of results."""
    return top.listed and top.has(image_id="", category_id="", segmentation="")


def read(path: Path, options: Options) -> Iterator[HandLabel | Refusal]:
    """A label for each image in the JSON files at `path`; raises as `Format.read` does."""
    classes = Classes.of(options)
    return each_file(label_files(path, SUFFIXES, "Name the COCO file"), lambda file: _labels(file, classes))


def _labels(file: Path, classes: Classes) -> Iterator[HandLabel | Refusal]:
    top = peek(file)
    if top is not None and has_results(top):
        yield from labels_of_results(file, read_json(file, list[Result], TOOL, most=MOST_BYTES), classes)
        return
    notes: list[Note] = []
    coco = decode_coco(file, read_text(file, MOST_BYTES), notes)
    if isinstance(coco, PanopticFile):
        raise FormatError(file, "is a panoptic file. Build a dataset from it: curate build --coco")
    yield from (Refusal(file, f"{note.where}: {note.what}") for note in notes)
    yield from labels_of(file, coco, classes)


def labels_of(file: Path, coco: CocoFile, classes: Classes) -> Iterator[HandLabel | Refusal]:
    """A label for each image of an instances file."""
    names = {int(category.id): category.name for category in coco.categories}
    known = classes.among(names)
    by_image: dict[object, list[tuple[int, Annotation]]] = defaultdict(list)
    for number, annotation in enumerate(coco.annotations):
        by_image[annotation.image_id].append((number, annotation))
    damaged = set(coco.damaged)
    for record in coco.images:
        found = by_image.pop(record.id, [])
        make = partial(label_of, file, record, found, names, known, whole=record.id not in damaged)
        yield or_refusal(file, make)
    for image_id, orphans in by_image.items():
        told = f"{len(orphans)} annotations of image {image_id}, which `images` does not list"
        yield Refusal(file, f"{file} at annotations[{orphans[0][0]}]: {told}. Add the image")


def label_of(
    file: Path,
    record: ImageRecord,
    annotations: Sequence[tuple[int, Annotation]],
    names: Mapping[int, str],
    classes: Classes,
    *,
    whole: bool,
) -> HandLabel:
    """One image's label.

    Raises:
        FormatError: One of its annotations could not be read (`whole` is false), or its size is impossible.
    """
    place = f"image {record.id}"
    if not whole:
        raise FormatError(file, "an annotation of it is damaged. Mend it, or leave the image out", place)
    stated = checked_size(record.height or None, record.width or None, file, place, TOOL)
    name = record.file_name.replace("\\", "/")
    draw = partial(draw_annotations, annotations, stated, names, classes, file)
    return HandLabel(file, (name,), "coco", stated, draw, partial(image_of, file.parent, name), place)


def image_of(folder: Path, name: str) -> Path | None:
    """An image beside the JSON, or in the `data` folder that FiftyOne writes."""
    return first_image((folder, folder / "data", folder / "images"), name)


def draw_annotations(
    annotations: Sequence[tuple[int, Annotation]],
    stated: SizeHW | None,
    names: Mapping[int, str],
    classes: Classes,
    file: Path,
    size_hw: SizeHW,
) -> Drawing:
    """An image's annotations at `size_hw`, each a person by itself. Raises as `draw_regions` does."""
    regions = [
        region_of(
            annotation.segmentation,
            names.get(int(annotation.category_id), str(annotation.category_id)),
            classes,
            file,
            f"annotations[{number}]",
            crowd=bool(annotation.iscrowd),
        )
        for number, annotation in annotations
    ]
    return draw_regions(regions, classes, stated, size_hw, file, TOOL)


def region_of(
    segmentation: msgspec.Raw, name: str, classes: Classes, file: Path, place: str, *, crowd: bool = False
) -> Region:
    """One segmentation as a region.

    Raises:
        FormatError: It is neither polygons nor run lengths.
    """
    if not classes.wants(name):
        return Region(name, partial(union_rle, []), place)
    try:
        shape = shape_of(segmentation)
    except msgspec.DecodeError as error:
        raise FormatError(file, f"its segmentation is damaged ({error}). Write it again", place) from error
    flat = [] if isinstance(shape, RunLengths) else [value for outline in shape for value in outline]
    points = list(zip(flat[0::2], flat[1::2], strict=False))
    return Region(name, partial(rle_of_shape, shape, file, place), place, points, crowd=crowd)


def rle_of_shape(shape: list[list[float]] | RunLengths, file: Path, place: str, size_hw: SizeHW) -> Rle:
    """A segmentation's pixels; FormatError where it does not fit the image."""
    try:
        return union_rle(rles_of(shape, size_hw), size_hw)
    except (ValueError, MemoryError) as error:
        raise FormatError(file, f"segmentation: {error}. Write it again", place) from error


def labels_of_results(file: Path, results: Sequence[Result], classes: Classes) -> Iterator[HandLabel]:
    """A label for each image of a results file, whose images have only numbers: COCO's file names are made of them."""
    by_image: dict[int | str, list[tuple[int, Annotation]]] = defaultdict(list)
    for number, result in enumerate(results):
        annotation = Annotation(result.image_id, result.category_id, segmentation=result.segmentation)
        by_image[result.image_id].append((number, annotation))
    names = {result.category_id: str(result.category_id) for result in results} | {PERSON_ID: "person"}
    known = classes.among(names)
    for image_id, found in by_image.items():
        called = (str(image_id), f"{image_id:012d}") if isinstance(image_id, int) else (str(image_id),)
        draw = partial(draw_annotations, found, None, names, known, file)
        yield HandLabel(file, called, "coco results", None, draw, lambda: None, f"image {image_id}")
