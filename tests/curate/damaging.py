"""A small COCO set, ways to damage it, and what pycocotools makes of its labels: the measure of every kept mask."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from curate.masks import Target
from tests.curate.scenes import CATEGORIES, SIZE_HW, box, image, person, photo

Random = np.random.Generator
HEIGHT, WIDTH = SIZE_HW


def run_lengths(mask: np.ndarray[Any, Any]) -> list[int]:
    """Uncompressed COCO counts: column by column, background first."""
    flat = mask.ravel(order="F").astype(int)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat, [1 - flat[-1]]])))
    return [int(count) for count in np.diff(np.concatenate([[0], edges]))]


def blob(seed: int) -> np.ndarray[Any, Any]:
    """A mask with an odd outline."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return np.asarray((rows - 18) ** 2 + (columns - 20 - 3 * seed) ** 2 < 150 + 20 * seed)


def labels() -> dict[str, Any]:
    """Eight images with every form of a segmentation, crowds, keypoints, other objects, and one of nobody."""
    encoded = coco_mask.encode(np.asfortranarray(blob(4), np.uint8))
    compressed = {"size": [HEIGHT, WIDTH], "counts": encoded["counts"].decode()}
    plain = {"size": [HEIGHT, WIDTH], "counts": run_lengths(blob(3))}
    crowd = {"size": [HEIGHT, WIDTH], "counts": run_lengths(blob(6))}
    keypoints = [20.5, 11.0, 2, *[0, 0, 0] * 15, 30.0, 30.5, 1]
    annotations = [
        person(1, [[5.5, 4.25, 40.0, 6.5, 33.3, 35.0, 8.0, 30.0]], keypoints=keypoints, num_keypoints=2),
        person(2, box(3, 3, 20, 20) + box(30, 10, 50, 38)),
        {**person(2, box(20, 4, 28, 12)), "category_id": 18},
        person(3, plain),
        person(4, compressed),
        person(4, box(0, 0, 9, 9)),
        person(5, crowd, iscrowd=1),
        person(5, box(30, 0, 59, 39)),
        person(6, [[1e1, 2.0e0, 45, 3, 44.125, 39, 12, 38]]),
        person(7, box(10, 10, 30, 30)),
        person(7, box(25, 12, 50, 36)),
    ]
    images = [image(number, license=1) for number in range(1, 9)]
    for number, annotation in enumerate(annotations):
        annotation |= {"id": 100 + number, "area": 12.5, "bbox": [0, 0, 9.5, 9]}
    licences = [{"id": 1, "name": "CC0", "url": "https://example.org"}]
    info = {"description": "drawn", "year": 2024}
    return {"info": info, "licenses": licences, "images": images, "annotations": annotations, "categories": CATEGORIES}


def write_set(root: Path) -> Path:
    """The photographs, and the file of labels whose path is returned."""
    for number in range(1, 9):
        photo(root / "val2017" / f"{number:06d}.jpg", seed=number)
    path = root / "annotations" / "instances_val2017.json"
    path.parent.mkdir()
    path.write_text(json.dumps(labels()))
    return path


# --- what the labels mean -------------------------------------------------------------------------------------------


class MalformedError(Exception):
    """An image has a label of which nobody can say what it means."""


def is_number(value: Any) -> bool:
    """Whether a JSON value is a finite number."""
    return not isinstance(value, bool) and (
        isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
    )


def drawn(shape: Any) -> np.ndarray[Any, Any]:
    """A segmentation as pycocotools draws it, (H, W) bool; none at all is an empty mask."""
    empty = np.zeros(SIZE_HW, bool)
    if shape in (None, []):
        return empty
    if isinstance(shape, dict):
        counts, size = shape.get("counts"), shape.get("size")
        if not isinstance(size, list) or size != [HEIGHT, WIDTH] or not isinstance(counts, str | list):
            raise MalformedError
        if isinstance(counts, str):
            runs = {"size": size, "counts": counts.encode()}
        elif all(type(count) is int and count >= 0 for count in counts) and sum(counts) == HEIGHT * WIDTH:
            runs = coco_mask.frPyObjects({"size": size, "counts": counts}, HEIGHT, WIDTH)
        else:
            raise MalformedError
        return np.asarray(coco_mask.decode(runs), bool)
    if not isinstance(shape, list) or not all(isinstance(polygon, list) for polygon in shape):
        raise MalformedError
    if not all(is_number(value) and abs(value) < 1000 for polygon in shape for value in polygon):
        raise MalformedError
    polygons = [polygon for polygon in shape if len(polygon) >= 6]
    if any(len(polygon) % 2 for polygon in polygons):
        raise MalformedError
    if not polygons:
        return empty
    return np.asarray(coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, HEIGHT, WIDTH))), bool)


def target_of(content: dict[str, Any], image_id: Any) -> Target:
    """The target of one image by its labels.

    Raises:
        MalformedError: One of them is damaged.
    """
    people, crowd = np.zeros(SIZE_HW, bool), np.zeros(SIZE_HW, bool)
    names = {one["id"]: one["name"] for one in content["categories"] if is_number(one.get("id"))}
    for annotation in content["annotations"]:
        if not isinstance(annotation, dict):
            continue
        of = annotation.get("image_id")
        if of != image_id and str(of) != str(image_id):  # 5.0 is 5, and "5" may well have been
            continue
        category = annotation.get("category_id")
        if annotation["image_id"] != image_id or not is_number(category):
            raise MalformedError
        if names.get(category) == "person":
            shape = drawn(annotation.get("segmentation"))
            flag = annotation.get("iscrowd")
            if flag is not None and not is_number(flag) and not isinstance(flag, bool):
                raise MalformedError
            if flag:
                crowd |= shape
            else:
                people |= shape
    return np.where(people, 255, np.where(crowd, 128, 0)).astype(np.uint8)


# --- damage ---------------------------------------------------------------------------------------------------------


def damaged_bytes(data: bytes, random: Random) -> bytes:
    """Some bytes changed, cut off, taken out, put in or repeated."""
    ways: list[Callable[[bytes, Random], bytes]] = [changed, changed, cut, taken_out, put_in, repeated]
    return ways[random.integers(len(ways))](data, random)


def changed(data: bytes, random: Random) -> bytes:
    """One to twenty bytes changed."""
    found = bytearray(data)
    for place in random.integers(len(data), size=random.choice([1, 1, 3, 20])):
        found[place] = random.integers(256)
    return bytes(found)


def cut(data: bytes, random: Random) -> bytes:
    """The end cut off."""
    return data[: random.integers(len(data))]


def taken_out(data: bytes, random: Random) -> bytes:
    """A piece taken out of the middle."""
    start = int(random.integers(len(data)))
    return data[:start] + data[start + int(random.integers(1, 60)) :]


def put_in(data: bytes, random: Random) -> bytes:
    """Noise put in."""
    start = int(random.integers(len(data)))
    return data[:start] + random.bytes(int(random.integers(1, 30))) + data[start:]


def repeated(data: bytes, random: Random) -> bytes:
    """A piece repeated."""
    start = int(random.integers(len(data)))
    piece = data[start : start + int(random.integers(1, 200))]
    return data[:start] + piece + data[start:]


def nested(depth: int) -> str:
    """Lists in lists."""
    return "[" * depth + "]" * depth


HOSTILE = [
    *("null", "true", "false", "0", "-1", "0.5", "1e308", "-1e400", "1e-400", "1" + "0" * 30, "-" + "9" * 400),
    *('""', '"1"', '"\\ud800"', '"\\u0000"', '"../x"', '"' + "a" * 5000 + '"', '"NaN"'),
    *("[]", "{}", "[[]]", "[[1]]", "[[1, 2, 3, 4]]", '{"a": 1}', "[null]", "[{}]", "[[[1, 2]]]"),
    *("NaN", "Infinity", "-Infinity", nested(40), nested(500), nested(900), nested(990), nested(2000), nested(100_000)),
    *('{"size": [40, 60], "counts": []}', '{"size": [0, 0], "counts": ""}', '{"size": [40, 60], "counts": "oooo"}'),
    *(
        '{"size": [40, 60], "counts": [2400]}',
        '{"size": [60, 40], "counts": [0, 2400]}',
        "2400",
        "18",
        "1.0",
        "16777217",
    ),
]
"""JSON that stands where something else is wanted."""
MARK = "\x01mark"


def places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Every container and key of a JSON value."""
    for key in list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
        yield node, key
        yield from places(node[key])


def damaged_structure(content: dict[str, Any], random: Random) -> bytes:
    """The labels as JSON, one to three of its values replaced, taken away, doubled or exchanged."""
    content = json.loads(json.dumps(content))
    found: list[str] = []
    for _ in range(random.choice([1, 1, 1, 3])):
        everywhere = list(places(content))
        if not everywhere:
            break
        node, key = everywhere[random.integers(len(everywhere))]
        way = random.random()
        if way < 0.6:
            found.append(HOSTILE[random.integers(len(HOSTILE))])
            node[key] = f"{MARK}{len(found) - 1}"
        elif way < 0.75:
            del node[key]
        elif way < 0.85 and isinstance(node, list):
            node.append(node[key])
        elif way < 0.93 and isinstance(node, dict):
            other = list(node)[random.integers(len(node))]
            found.append(f'{json.dumps(node[key])}, "{other}": {HOSTILE[random.integers(len(HOSTILE))]}')
            node[key] = f"{MARK}{len(found) - 1}"
        else:
            other, name = everywhere[random.integers(len(everywhere))]
            node[key] = json.loads(json.dumps(other[name]))
    text = json.dumps(content)
    for number, value in enumerate(found):
        text = text.replace(json.dumps(f"{MARK}{number}"), value)
    return text.encode()
