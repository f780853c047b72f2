"""A dataset version as COCO instance files.

    DIR/annotations/instances_<split>.json    DIR/<split>/<sample_id>.<ext>

A dataset knows the union of the people in an image, not each of them. So an image has one annotation for all of its
people, with their number, and one crowd annotation for the pixels that do not count.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import count
from pathlib import Path

import msgspec

from curate import masks
from curate.classes import is_class_tag
from curate.dataset import Dataset
from curate.exports import (
    Exported,
    Splits,
    lay_image,
    licences_of,
    samples_in,
    split_rows,
    write_export,
)
from curate.masks import Mask, Target, bbox_xywh
from curate.rows import Row
from curate.sources import Note
from curate.threads import Watch, map_threads, unwatched

PERSON_CATEGORY = 1
ID_BITS = 30
"""Image ids are below 2**30: annotation ids are twice as large, and some tools hold them as int32."""


class Info(msgspec.Struct, frozen=True):
    """`info`: what the file was made from. No clock: the same dataset gives the same bytes."""

    description: str
    dataset: str
    version: str
    digest: str
    split: str


class LicenceRecord(msgspec.Struct, frozen=True):
    """`licenses[]`; a licence stated as an address is that address, too."""

    id: int
    name: str
    url: str


class Category(msgspec.Struct, frozen=True):
    """`categories[]`."""

    id: int
    name: str
    supercategory: str


class ImageRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """`images[]`, with columns of samples.parquet as keys of their own; without a stated licence there is no key."""

    id: int
    file_name: str
    width: int
    height: int
    sample_id: str
    source: str
    people: int
    group: str
    fold: int
    weight: float
    tags: list[str]
    license: int | None = None


class RunLengths(msgspec.Struct, frozen=True):
    """A compressed RLE."""

    size: tuple[int, int]
    counts: str


class Annotation(msgspec.Struct, frozen=True, omit_defaults=True):
    """`annotations[]`; `people` is how many people it stands for, absent where they cannot be counted."""

    id: int
    image_id: int
    category_id: int
    iscrowd: int
    area: int
    bbox: tuple[int, int, int, int]
    segmentation: RunLengths
    people: int | None = None


class InstanceFile(msgspec.Struct, frozen=True):
    """A COCO instance file."""

    info: Info
    licenses: list[LicenceRecord]
    categories: list[Category]
    images: list[ImageRecord]
    annotations: list[Annotation]


def export_coco(
    dataset: Dataset, out: Path | str, splits: Sequence[str] = (), *, force: bool = False, watch: Watch = unwatched
) -> Exported:
    """Write a dataset version as COCO instance files and folders of photographs; whole or not at all.

    Args:
        dataset: What `open_dataset` returns.
        out: The folder to write.
        splits: Names of splits; none means all that hold images.
        force: Replace the export that stands at `out`.
        watch: Told of the progress.

    Raises:
        CurateError: As `curate.exports.write_export`.
    """
    return write_export(dataset, Path(out), "coco", split_rows(dataset, splits), fill, force=force, watch=watch)


def fill(staging: Path, dataset: Dataset, splits: Splits, watch: Watch) -> list[Note]:
    """Write the files of all splits into a staged folder."""
    ids = image_ids(dataset.samples["sample_id"])
    licences = {licence: number for number, licence in enumerate(licences_of(dataset), 1)}
    tick = watch("exporting", samples_in(splits))
    (staging / "annotations").mkdir()
    for split, rows in splits.items():
        (staging / split).mkdir()
        labelled = split != "pool"  # their masks say only that nothing is known
        found = map_threads(partial(write_sample, staging / split, dataset, ids, labelled), rows, tick)
        file = InstanceFile(
            info=info_of(dataset, split),
            licenses=[licence_record(number, licence) for licence, number in licences.items()],
            categories=[Category(PERSON_CATEGORY, "person", "person")],
            images=[image_record(row, ids[row["sample_id"]], licences.get(row["licence"])) for row in rows],
            annotations=[annotation for annotations in found for annotation in annotations],
        )
        (staging / "annotations" / f"instances_{split}.json").write_bytes(msgspec.json.encode(file))
    return []


def write_sample(folder: Path, dataset: Dataset, ids: dict[str, int], labelled: bool, row: Row) -> list[Annotation]:
    """A sample's photograph in the split's folder; its annotations, none where it has no label."""
    lay_image(dataset, row, folder / file_name(row))
    if not labelled:
        return []
    return annotations_of(dataset.target(row), ids[row["sample_id"]], row["people"], crowd="crowd" in row["tags"])


def file_name(row: Row) -> str:
    """The photograph's name inside its split's folder."""
    return f"{row['sample_id']}{Path(row['image']).suffix}"


def annotations_of(target: Target, image_id: int, people: int, *, crowd: bool) -> list[Annotation]:
    """The annotations of an image: one for the people, one for the pixels that do not count; none where both are empty.

    Args:
        target: (H, W) uint8 of 0, 128, 255.
        image_id: Its id; those of the annotations are twice that, and one more.
        people: How many people the label counts.
        crowd: Whether people that cannot be counted are among the pixels that do not count. Where they are not, as in a
            void border, that annotation stands for 0 people.
    """
    person = annotation_of(target == masks.PERSON, 2 * image_id, image_id, 0, people)
    ignored = annotation_of(target == masks.IGNORE, 2 * image_id + 1, image_id, 1, None if crowd else 0)
    return [annotation for annotation in (person, ignored) if annotation.area]


def annotation_of(mask: Mask, annotation_id: int, image_id: int, iscrowd: int, people: int | None) -> Annotation:
    """A mask as an annotation, with its exact area and box."""
    rle = masks.encode(mask)
    height, width = mask.shape
    return Annotation(
        id=annotation_id,
        image_id=image_id,
        category_id=PERSON_CATEGORY,
        iscrowd=iscrowd,
        area=masks.area_px(rle),
        bbox=bbox_xywh(mask),
        segmentation=RunLengths((height, width), rle["counts"].decode("ascii")),
        people=people,
    )


def image_record(row: Row, image_id: int, licence: int | None) -> ImageRecord:
    """A row of samples.parquet as an image record."""
    return ImageRecord(
        id=image_id,
        file_name=file_name(row),
        width=row["width"],
        height=row["height"],
        sample_id=row["sample_id"],
        source=row["source"],
        people=row["people"],
        group=row["group"],
        fold=row["fold"],
        weight=row["weight"],
        tags=[tag for tag in row["tags"] if not is_class_tag(tag)],
        license=licence,
    )


def licence_record(number: int, licence: str) -> LicenceRecord:
    """A licence as it was stated.

    >>> licence_record(1, "CC BY 4.0")
    LicenceRecord(id=1, name='CC BY 4.0', url='')
    """
    return LicenceRecord(number, licence, licence if licence.startswith(("http://", "https://")) else "")


def info_of(dataset: Dataset, split: str) -> Info:
    """The `info` of a split's file."""
    header = dataset.header
    told = "photographs without labels" if split == "pool" else "one annotation for all people of an image"
    return Info(f"{header.name}, {split}: {told}", header.name, str(header.version), header.digest, split)


def image_ids(sample_ids: Iterable[str], bits: int = ID_BITS) -> dict[str, int]:
    """A number for each sample, from 1 to 2**bits - 1, taken from a hash of its sample_id.

    So an image keeps its id in every split, export and version. Of two samples with one hash, the one that sorts later
    takes its next hash.
    """
    ids: dict[str, int] = {}
    taken = {0}  # pycocotools takes an annotation of id 0 for none
    for sample_id in sorted(sample_ids):
        hashes = (hash_number(f"{sample_id}\0{attempt}", bits) for attempt in count())
        ids[sample_id] = next(number for number in hashes if number not in taken)
        taken.add(ids[sample_id])
    return ids


def hash_number(text: str, bits: int) -> int:
    """The first `bits` bits of a text's SHA-256."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> (64 - bits)
