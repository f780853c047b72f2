"""A COCO instances file of any size, drawn from a seed with the distributions of train2017.

    python -m bench.generate --images 118287 coco118k.json

118,287 images give about 827,000 annotations and 640 MB. Sizes, people per image, the share of the image each covers,
vertices per polygon, parts and crowds follow what COCO 2017 shows; the outlines themselves are blobs. A file of other
length has the same distributions, so time and memory over its length mean something. Written in chunks, each from its
own seed, so that memory stays small and every core draws.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from bench.categories import OBJECTS, PERSON_ID
from bench.outlines import Outlines, crowd_counts, draw_outlines
from bench.scenes import Scenes, draw_scenes

CHUNK = 8192
"""Images drawn at once; annotations are shuffled within a chunk, as COCO's do not stand in the order of its images."""
IDS_PER_IMAGE = 64
"""Annotation ids set aside for an image, more than any has on average over a chunk."""
TRAIN_IDS, IDS_PER_BLOCK = 581_930, 118_287
"""Image ids of COCO 2017 lie below the first, and train2017 has so many; longer files go on with as many gaps."""

_LICENCES = (
    ("Attribution-NonCommercial-ShareAlike License", "by-nc-sa/2.0"),
    ("Attribution-NonCommercial License", "by-nc/2.0"),
    ("Attribution-NonCommercial-NoDerivs License", "by-nc-nd/2.0"),
    ("Attribution License", "by/2.0"),
    ("Attribution-ShareAlike License", "by-sa/2.0"),
    ("Attribution-NoDerivs License", "by-nd/2.0"),
    ("No known copyright restrictions", "usage"),
    ("United States Government Work", "copyright"),
)


def write_coco(path: Path, images: int, seed: int = 0, processes: int = 2) -> None:
    """Write an instances file of `images` images; the same arguments give the same bytes."""
    ids = image_ids(images, seed)
    chunks = range(0, images, CHUNK)
    with path.open("w", encoding="ascii") as file:
        file.write(_head())
        _write_joined(file, (image_records(scenes_of(first, images, seed), ids[first:]) for first in chunks))
        file.write('], "annotations": [')
        _write_joined(file, _annotation_texts(chunks, images, seed, ids, processes))
        file.write(f'], "categories": {json.dumps(categories())}}}')


def image_ids(images: int, seed: int) -> NDArray[np.int64]:
    """A distinct id for each image, in no order, with gaps as COCO's have; (N,)."""
    blocks = [
        TRAIN_IDS * block + np.random.default_rng([seed, 1, block]).permutation(TRAIN_IDS)[:IDS_PER_BLOCK]
        for block in range(-(-images // IDS_PER_BLOCK))
    ]
    return np.concatenate(blocks)[:images] + 1


def file_name(image_id: int) -> str:
    """The photograph's name, as COCO 2017 has it.

    >>> file_name(397133)
    '000000397133.jpg'
    """
    return f"{image_id:012d}.jpg"


def scenes_of(first: int, images: int, seed: int) -> Scenes:
    """The scenes of the chunk that begins with image `first`.

    A chunk is drawn whole and cut, so that a file's images are the first ones of any longer file's.
    """
    return draw_scenes(np.random.default_rng([seed, 2, first]), CHUNK).first(images - first)


def categories() -> list[dict[str, object]]:
    """The `categories` of the file."""
    person = {"supercategory": "person", "id": PERSON_ID, "name": "person"}
    return [person] + [{"supercategory": "object", "id": one.id, "name": one.name} for one in OBJECTS]


def image_records(scenes: Scenes, ids: NDArray[np.int64]) -> list[str]:
    """The `images[]` of a chunk as JSON texts."""
    hosts = "http://images.cocodataset.org/train2017", "http://farm4.staticflickr.com"
    return [
        f'{{"license": {licence}, "file_name": "{image:012d}.jpg", "coco_url": "{hosts[0]}/{image:012d}.jpg", '
        f'"height": {height}, "width": {width}, '
        f'"date_captured": "2013-11-{image % 28 + 1:02d} {image % 24:02d}:46:58", "flickr_url": '
        f'"{hosts[1]}/{image % 9000 + 1000}/{image * 8191 % 10**10:010d}_ba19663418_z.jpg", "id": {image}}}'
        for licence, width, height, image in zip(
            scenes.licence.tolist(), scenes.width.tolist(), scenes.height.tolist(), ids.tolist(), strict=False
        )
    ]


def annotation_records(first: int, *, images: int, seed: int, ids: NDArray[np.int64]) -> str:
    """The `annotations[]` of the chunk that begins with image `first`, joined, in no order."""
    rng = np.random.default_rng([seed, 3, first])
    scenes = scenes_of(first, images, seed)
    figures = scenes.figures
    outlines = draw_outlines(rng, figures, scenes)
    order = rng.permutation(len(figures.image))
    image_of, category = ids[first + figures.image].tolist(), figures.category.tolist()
    segmentations, areas, boxes = _polygon_texts(outlines), outlines.area_px.tolist(), outlines.bbox_xywh.tolist()
    for index in np.flatnonzero(figures.crowd).tolist():
        image = figures.image[index]
        size_hw = int(scenes.height[image]), int(scenes.width[image])
        counts = crowd_counts(rng, size_hw, outlines.bbox_xywh[index])
        areas[index] = sum(counts[1::2])
        segmentations[index] = f'{{"counts": {counts}, "size": [{size_hw[0]}, {size_hw[1]}]}}'
    number = first * IDS_PER_IMAGE
    return ", ".join(
        f'{{"segmentation": {segmentations[index]}, "area": {areas[index]}, "iscrowd": {figures.crowd[index]:d}, '
        f'"image_id": {image_of[index]}, "bbox": {boxes[index]}, "category_id": {category[index]}, '
        f'"id": {number + index + 1}}}'
        for index in order.tolist()
    )


def _annotation_texts(
    chunks: Sequence[int], images: int, seed: int, ids: NDArray[np.int64], processes: int
) -> Iterator[list[str]]:
    """The chunks' annotations in order, drawn on several cores."""
    draw = partial(annotation_records, images=images, seed=seed, ids=ids)
    if len(chunks) == 1 or processes == 1:
        yield from ([draw(first)] for first in chunks)
        return
    with get_context("fork").Pool(processes) as pool:
        yield from ([text] for text in pool.imap(draw, chunks))


def _polygon_texts(outlines: Outlines) -> list[str]:
    """Each figure's polygons as JSON text."""
    numbers = [*map(_hundredths().__getitem__, outlines.hundredths.tolist())]
    ends = (2 * outlines.vertex_ends).tolist()
    polygons = [f"[{', '.join(numbers[start:end])}]" for start, end in zip([0, *ends], ends, strict=False)]
    parts = outlines.part_ends.tolist()
    return [f"[{', '.join(polygons[start:end])}]" for start, end in zip([0, *parts], parts, strict=False)]


@cache
def _hundredths() -> list[str]:
    """The texts of 0, 0.01 ... 640."""
    return [repr(number / 100) for number in range(64_001)]


def _head() -> str:
    licences = [
        {"url": f"http://creativecommons.org/licenses/{url}/", "id": number, "name": name}
        for number, (name, url) in enumerate(_LICENCES, 1)
    ]
    info = {"description": "Generated, in the distributions of COCO 2017", "version": "1.0", "year": 2017}
    return f'{{"info": {json.dumps(info)}, "licenses": {json.dumps(licences)}, "images": ['


def _write_joined(file: TextIO, chunks: Iterable[list[str]]) -> None:
    for number, texts in enumerate(chunks):
        file.write((", " if number else "") + ", ".join(texts))


def main() -> None:
    """Write the file the command line names."""
    parser = argparse.ArgumentParser(description="Write a COCO instances file with the distributions of train2017.")
    parser.add_argument("path", type=Path)
    parser.add_argument("--images", type=int, default=118_287, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--photos", type=Path, metavar="DIR", help="Also write a photograph for each image.")
    given = parser.parse_args()
    if given.photos is not None:
        from bench.photos import write_photos

        write_photos(given.photos, given.images, given.seed)
    partial_path = given.path.with_name(f".{given.path.name}.partial")
    write_coco(partial_path, given.images, given.seed)
    partial_path.replace(given.path)  # a file that is there is whole, and so are its photographs


if __name__ == "__main__":
    main()
