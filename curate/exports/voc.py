"""A dataset version as a PASCAL VOC folder.

    DIR/JPEGImages/<sample_id>.jpg             DIR/Annotations/<sample_id>.xml
    DIR/SegmentationClass/<sample_id>.png      DIR/ImageSets/Segmentation/<split>.txt

A dataset knows the union of the people in an image, not each of them: there is no `SegmentationObject`, and the XML
has one `<object>` around all of them whose `<people>` says how many they are. Boxes nobody drew are not made up.
"""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from curate import masks
from curate.dataset import Dataset
from curate.exports import Exported, Splits, lay_image, samples_in, split_rows, write_export
from curate.images import read_header
from curate.masks import Target
from curate.rows import Row
from curate.sources import Note
from curate.sources.voc import CLASSES
from curate.sources.voc_labels import VOID
from curate.threads import Watch, map_threads, unwatched

PERSON_CLASS = CLASSES.index("person")
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def export_voc(
    dataset: Dataset, out: Path | str, splits: Sequence[str] = (), *, force: bool = False, watch: Watch = unwatched
) -> Exported:
    """Write a dataset version as a PASCAL VOC folder; whole or not at all.

    Args:
        dataset: What `open_dataset` returns.
        out: The folder to write.
        splits: Names of splits; none means all that hold images.
        force: Replace the export that stands at `out`.
        watch: Told of the progress.

    Raises:
        CurateError: As `curate.exports.write_export`.
    """
    return write_export(dataset, Path(out), "voc", split_rows(dataset, splits), fill, force=force, watch=watch)


def fill(staging: Path, dataset: Dataset, splits: Splits, watch: Watch) -> list[Note]:
    """Write the files of all splits into a staged folder."""
    for part in ("JPEGImages", "SegmentationClass", "Annotations", "ImageSets/Segmentation"):
        (staging / part).mkdir(parents=True)
    tick = watch("exporting", samples_in(splits))
    for split, rows in splits.items():
        labelled = split != "pool"  # their masks say only that nothing is known
        map_threads(partial(write_sample, staging, dataset, labelled), rows, tick)
    for name, text in image_sets(splits).items():
        path = staging / "ImageSets" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    named = [file_name(row) for rows in splits.values() for row in rows]
    other = [name for name in named if not name.endswith(".jpg")]
    return [
        Note("photographs are no JPEG and keep their suffix; some tools look for .jpg alone", name) for name in other
    ]


def image_sets(splits: Splits) -> dict[str, str]:
    """The image sets, path below `ImageSets` -> one sample_id a line.

    Photographs without labels stand in no segmentation set; `Main/pool.txt` lists them. `trainval` is train and val.
    """
    keys = {split: [row["sample_id"] for row in rows] for split, rows in splits.items()}
    trainval = sorted(keys.get("train", []) + keys.get("val", []))
    if trainval:
        keys["trainval"] = trainval
    folders = {split: "Main" if split == "pool" else "Segmentation" for split in keys}
    return {f"{folders[split]}/{split}.txt": "".join(f"{key}\n" for key in keys[split]) for split in keys}


def write_sample(staging: Path, dataset: Dataset, labelled: bool, row: Row) -> None:
    """A sample's photograph, its annotation and, where it has a label, its class mask."""
    image = staging / "JPEGImages" / file_name(row)
    lay_image(dataset, row, image)
    target = dataset.target(row) if labelled else None
    if target is not None:
        (staging / "SegmentationClass" / f"{row['sample_id']}.png").write_bytes(class_png(target))
    with read_header(image) as header:
        depth = len(header.getbands())
    annotation = annotation_xml(row, target, depth, dataset.header.name)
    (staging / "Annotations" / f"{row['sample_id']}.xml").write_bytes(annotation)


def file_name(row: Row) -> str:
    """The photograph's name in `JPEGImages`: `.jpeg` becomes `.jpg`, other formats keep theirs.

    >>> file_name({"sample_id": "own-1", "image": "images/own-1.jpeg"})
    'own-1.jpg'
    """
    suffix = Path(row["image"]).suffix
    return f"{row['sample_id']}{'.jpg' if suffix == '.jpeg' else suffix}"


def class_png(target: Target) -> bytes:
    """A target as a palette PNG: 0 background, 15 person, 255 void; the same target gives the same bytes."""
    classes = np.zeros(256, np.uint8)
    classes[[masks.PERSON, masks.IGNORE]] = PERSON_CLASS, VOID
    image = Image.fromarray(classes[target])
    image.putpalette(colour_map().tobytes())
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def colour_map() -> NDArray[np.uint8]:
    """The colours of VOC's class indices, (256, 3) uint8 RGB.

    From the lowest on, the bits of an index go in turn to red, green and blue, where they fill the channel from its
    highest bit downwards (VOCdevkit, VOClabelcolormap.m).

    >>> colour_map()[[1, 15, 255]].tolist()
    [[128, 0, 0], [192, 128, 128], [224, 224, 192]]
    """
    colours = np.zeros((256, 3), np.uint8)
    indices = np.arange(256)
    for bit in range(8):
        colours[:, bit % 3] |= ((indices >> bit & 1) << (7 - bit // 3)).astype(np.uint8)
    return colours


def annotation_xml(row: Row, target: Target | None, depth: int, dataset: str) -> bytes:
    """A sample's annotation.

    Args:
        row: Its row of samples.parquet.
        target: Its target, None where it has no label.
        depth: Channels of its photograph.
        dataset: The dataset's name.
    """
    root = ElementTree.Element("annotation")
    add(root, "folder", dataset)
    add(root, "filename", file_name(row))
    source = add(root, "source")
    add(source, "database", dataset)
    add(source, "annotation", "union of people")
    add(source, "image", row["source"])
    if row["licence"] is not None:
        add(source, "license", row["licence"])
    size = add(root, "size")
    for name, value in (("width", row["width"]), ("height", row["height"]), ("depth", depth)):
        add(size, name, value)
    add(root, "segmented", int(target is not None))
    person = target == masks.PERSON if target is not None else np.zeros((1, 1), bool)
    if person.any():
        add_people(root, row, masks.bbox_xywh(person))
    ElementTree.indent(root, "\t")
    encoded: bytes = ElementTree.tostring(root, "utf-8")
    return encoded + b"\n"


def add_people(root: ElementTree.Element, row: Row, bbox_xywh: tuple[int, int, int, int]) -> None:
    """The `<object>` of all people, its box in VOC's coordinates: the first pixel is 1, the last one belongs to it."""
    left, top, width, height = bbox_xywh
    found = add(root, "object")
    add(found, "name", "person")
    add(found, "people", row["people"])
    add(found, "pose", "Unspecified")
    for flag in ("truncated", "difficult"):
        add(found, flag, int(flag in row["tags"]))
    box = add(found, "bndbox")
    sides = {"xmin": left + 1, "ymin": top + 1, "xmax": left + width, "ymax": top + height}
    for name, value in sides.items():
        add(box, name, value)


def add(parent: ElementTree.Element, name: str, value: str | int | None = None) -> ElementTree.Element:
    """A new element; characters XML cannot hold are written as `?`."""
    element = ElementTree.SubElement(parent, name)
    element.text = None if value is None else _NOT_IN_XML.sub("?", str(value))
    return element
