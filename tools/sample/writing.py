"""The sample as files: relative path and bytes of each, and writing them down."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from tools.sample import coco, labelme, voc
from tools.sample.drawing import Drawn
from tools.sample.planting import Planted

OWN_PLACES = ("coco", "VOC2012", "labels", "planted.json")
"""What the program replaces inside its folder; anything else there is left alone."""


def _json(document: object) -> bytes:
    return (json.dumps(document, sort_keys=True, separators=(",", ":")) + "\n").encode()


def coco_files(drawn: list[Drawn]) -> Iterator[tuple[str, bytes]]:
    """Photos and one instances JSON for each split."""
    for split in ("train2017", "val2017"):
        images = [d for d in drawn if d.spec.source == "coco" and d.spec.split == split]
        yield f"coco/annotations/instances_{split}.json", _json(coco.instances(images))
        yield from ((d.spec.file, d.jpeg) for d in images)


def voc_photo_files(drawn: Drawn, with_xml: bool = True) -> Iterator[tuple[str, bytes]]:
    """The files of one photo: an unlisted photo has no masks."""
    key, listed = drawn.spec.key, drawn.spec.split != "unlisted"
    yield drawn.spec.file, drawn.jpeg
    if with_xml:
        yield f"VOC2012/Annotations/{key}.xml", voc.annotation_xml(drawn, listed).encode()
    if listed:
        classes, numbers = voc.index_masks(drawn.labels, drawn.size_hw)
        yield f"VOC2012/SegmentationClass/{key}.png", voc.encode_mask(classes)
        yield f"VOC2012/SegmentationObject/{key}.png", voc.encode_mask(numbers)


def voc_files(drawn: list[Drawn]) -> Iterator[tuple[str, bytes]]:
    """Photos, XML, masks and image sets; every second unlisted photo has no XML either."""
    images = [d for d in drawn if d.spec.source == "voc"]
    bare = {d.spec.key for d in [d for d in images if d.spec.split == "unlisted"][::2]}
    for image in images:
        yield from voc_photo_files(image, image.spec.key not in bare)
    for name, splits in (("train", {"train"}), ("val", {"val"}), ("trainval", {"train", "val"})):
        keys = [d.spec.key for d in images if d.spec.split in splits]
        yield f"VOC2012/ImageSets/Segmentation/{name}.txt", "".join(f"{key}\n" for key in keys).encode()


def labelme_files(drawn: list[Drawn], planted: list[Planted]) -> Iterator[tuple[str, bytes]]:
    """The corrections; `drawn` holds the true labels."""
    for image in labelme.corrected(drawn, {p.file for p in planted}):
        yield f"labels/{image.spec.key}.json", _json(labelme.document(image, f"../{image.spec.file}"))


def sample_files(drawn: list[Drawn], wrong: list[Drawn], planted: list[Planted]) -> Iterator[tuple[str, bytes]]:
    """Every file of the sample.

    Args:
        drawn: all images with their true labels.
        wrong: the same with the planted errors.
        planted: the list of those errors.
    """
    yield from coco_files(wrong)
    yield from voc_files(wrong)
    yield from labelme_files(drawn, planted)
    rows = [{key: value for key, value in asdict(p).items() if value != ""} for p in planted]
    yield "planted.json", (json.dumps(rows, indent=1, sort_keys=True) + "\n").encode()


def write_files(folder: Path, files: Iterator[tuple[str, bytes]]) -> int:
    """Replaces the sample in `folder` and returns its size in bytes."""
    for place in OWN_PLACES:
        target = folder / place
        shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
    total = 0
    for path, content in files:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        total += len(content)
    return total
