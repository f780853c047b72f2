"""Exports of labelling tools, written from people given as polygons or masks; independent of the readers."""

from __future__ import annotations

import base64
import io
import json
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask

from curate.masks import Mask, SizeHW

Points = Sequence[tuple[float, float]]
Shape = Points | Mask
Person = tuple[str, Shape]
"""A class and where it is."""
Writer = Callable[[Path, str, SizeHW, Sequence[Person]], Path]
"""Writes the export of one image, of this name and size, below a folder; returns what is to be imported."""


def text(path: Path, content: str) -> Path:
    """A text file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, "utf-8")
    return path


def png(mask: NDArray[Any]) -> bytes:
    """A mask as the bytes of a grey PNG."""
    buffer = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(buffer, "PNG")
    return buffer.getvalue()


def flat(points: Points) -> list[float]:
    """x, y, x, y, ..."""
    return [value for point in points for value in point]


def run_lengths(values: NDArray[Any]) -> list[int]:
    """Lengths of runs of a flat mask, background first."""
    changes = np.flatnonzero(np.diff(np.concatenate([[0], values.astype(np.int8), [0]])))
    return [int(run) for run in np.diff(np.concatenate([[0], changes, [values.size]]))]


def labelme(folder: Path, name: str, size_hw: SizeHW, people: Sequence[Person]) -> Path:
    """LabelMe."""
    shapes = []
    for label, where in people:
        shape: dict[str, Any] = {"label": label, "shape_type": "polygon", "group_id": None, "flags": {}}
        if isinstance(where, np.ndarray):
            part = base64.b64encode(png(where)).decode()
            shape |= {"shape_type": "mask", "points": [[0, 0], [size_hw[1] - 1, size_hw[0] - 1]], "mask": part}
        else:
            shape["points"] = where
        shapes.append(shape)
    content = {"version": "5.4.1", "shapes": shapes, "imagePath": name, "imageData": None}
    content |= {"imageHeight": size_hw[0], "imageWidth": size_hw[1]}
    text(folder / "label.json", json.dumps(content))
    return folder


def cvat(folder: Path, name: str, size_hw: SizeHW, people: Sequence[Person]) -> Path:
    """CVAT for images 1.1."""
    parts = []
    for label, where in people:
        if isinstance(where, np.ndarray):
            rle = ", ".join(map(str, run_lengths(where.ravel())))
            box = f'left="0" top="0" width="{size_hw[1]}" height="{size_hw[0]}"'
            parts.append(f'<mask label={quoteattr(label)} rle="{rle}" {box} z_order="0"/>')
        else:
            points = ";".join(f"{x!r},{y!r}" for x, y in where)
            parts.append(f'<polygon label={quoteattr(label)} points="{points}" z_order="0"/>')
    size = f'width="{size_hw[1]}" height="{size_hw[0]}"'
    image = f'<image id="0" name={quoteattr(name)} {size}>{"".join(parts)}</image>'
    owner = "<meta><task><owner><username>anna</username></owner></task><dumped>2026-01-02</dumped></meta>"
    content = f"<?xml version='1.0'?><annotations><version>1.1</version>{owner}{image}</annotations>"
    text(folder / "annotations.xml", content)
    return folder


def labelstudio(folder: Path, name: str, size_hw: SizeHW, people: Sequence[Person]) -> Path:
    """Label Studio's JSON."""
    height, width = size_hw
    results = []
    for number, (label, where) in enumerate(people):
        result: dict[str, Any] = {"id": f"r{number}", "original_width": width, "original_height": height}
        if isinstance(where, np.ndarray):
            value: dict[str, Any] = {"format": "rle", "rle": list(rle_pack(where)), "brushlabels": [label]}
            results.append(result | {"type": "brushlabels", "image_rotation": 0, "value": value})
        else:
            points = [[100 * x / width, 100 * y / height] for x, y in where]
            value = {"points": points, "closed": True, "polygonlabels": [label]}
            results.append(result | {"type": "polygonlabels", "image_rotation": 0, "value": value})
    annotation = {"id": 1, "completed_by": {"email": "anna@x.org"}, "was_cancelled": False, "result": results}
    annotation |= {"updated_at": "2026-01-02T03:04:05Z"}
    task = {
        "id": 7,
        "annotations": [annotation],
        "predictions": [],
        "data": {"image": f"/data/upload/1/0123abcd-{name}"},
    }
    text(folder / "project.json", json.dumps([task]))
    return folder


def rle_pack(mask: Mask) -> bytes:
    """A mask as Label Studio packs the four channels of its brush: packets of repeated values alone."""
    values = np.repeat(mask.ravel().astype(np.uint8) * 255, 4)
    bits = f"{values.size:032b}{7:05b}" + "".join(f"{width - 1:04b}" for width in (3, 4, 8, 16))
    starts = np.flatnonzero(np.diff(values.astype(int), prepend=-1))
    for start, end in zip(starts, [*starts[1:], values.size], strict=True):
        while start < end:
            length = min(int(end - start), 1 << 16)
            bits += f"1{3:02b}{length - 1:016b}{int(values[start]):08b}"
            start += length
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def via(folder: Path, name: str, size_hw: SizeHW, people: Sequence[Person]) -> Path:
    """VIA 2."""
    regions = []
    for label, where in people:
        assert not isinstance(where, np.ndarray)
        outline = {"name": "polygon", "all_points_x": [x for x, _ in where], "all_points_y": [y for _, y in where]}
        regions.append({"shape_attributes": outline, "region_attributes": {"class": label} if label else {}})
    entry = {"filename": name, "size": 1, "regions": regions, "file_attributes": {}}
    text(folder / "via.json", json.dumps({"_via_settings": {}, "_via_img_metadata": {f"{name}1": entry}}))
    return folder


def yolo(folder: Path, name: str, size_hw: SizeHW, people: Sequence[Person]) -> Path:
    """YOLO segmentation."""
    names = sorted({label for label, _ in people})
    lines = []
    for label, where in people:
        assert not isinstance(where, np.ndarray)
        scaled = [f"{x / size_hw[1]!r} {y / size_hw[0]!r}" for x, y in where]
        lines.append(" ".join([str(names.index(label)), *scaled]))
    text(folder / "data.yaml", "names:\n" + "".join(f"  {number}: {label}\n" for number, label in enumerate(names)))
    text(folder / "labels" / "train" / f"{Path(name).stem}.txt", "\n".join(lines) + "\n")
    return folder


def coco(folder: Path, name: str, size_hw: SizeHW, people: Sequence[Person]) -> Path:
    """COCO instances."""
    height, width = size_hw
    annotations = []
    names = sorted({label for label, _ in people})
    for number, (label, where) in enumerate(people):
        if isinstance(where, np.ndarray):
            rle = coco_mask.encode(np.asfortranarray(where.astype(np.uint8)))
            segmentation: Any = {"size": [height, width], "counts": rle["counts"].decode()}
        else:
            segmentation = [flat(where)]
        one = {"id": number + 1, "image_id": 9, "category_id": names.index(label) + 1, "iscrowd": 0}
        annotations.append(one | {"segmentation": segmentation})
    categories = [{"id": number, "name": label} for number, label in enumerate(names, 1)]
    images = [{"id": 9, "file_name": name, "height": height, "width": width}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    text(folder / "labels.json", json.dumps(content))
    return folder


def supervisely(folder: Path, name: str, size_hw: SizeHW, people: Sequence[Person]) -> Path:
    """Supervisely."""
    objects: list[dict[str, Any]] = []
    for label, where in people:
        if isinstance(where, np.ndarray):
            data = base64.b64encode(zlib.compress(png(where))).decode()
            bitmap = {"data": data, "origin": [0, 0]}
            objects.append({"classTitle": label, "geometryType": "bitmap", "bitmap": bitmap, "labelerLogin": "anna"})
        else:
            points = {"exterior": where, "interior": []}
            objects.append({"classTitle": label, "geometryType": "polygon", "points": points})
    content = {"description": "", "tags": [], "objects": objects}
    content |= {"size": {"height": size_hw[0], "width": size_hw[1]}}
    text(folder / "meta.json", json.dumps({"classes": [], "tags": []}))
    text(folder / "ds0" / "ann" / f"{name}.json", json.dumps(content))
    return folder


def datumaro(folder: Path, name: str, size_hw: SizeHW, people: Sequence[Person]) -> Path:
    """Datumaro."""
    names = sorted({label for label, _ in people})
    annotations: list[dict[str, Any]] = []
    for number, (label, where) in enumerate(people):
        one = {"id": number, "label_id": names.index(label), "group": 0, "z_order": 0, "attributes": {}}
        if isinstance(where, np.ndarray):
            rle = coco_mask.encode(np.asfortranarray(where.astype(np.uint8)))
            annotations.append(one | {"type": "mask", "rle": {"counts": rle["counts"].decode(), "size": list(size_hw)}})
        else:
            annotations.append(one | {"type": "polygon", "points": flat(where)})
    labels = [{"name": label, "parent": "", "attributes": []} for label in names]
    item = {"id": Path(name).stem, "annotations": annotations, "image": {"path": name, "size": list(size_hw)}}
    content = {"info": {}, "categories": {"label": {"labels": labels}}, "items": [item]}
    text(folder / "annotations" / "default.json", json.dumps(content))
    return folder


POLYGONS: dict[str, Writer] = {
    "labelme": labelme,
    "cvat": cvat,
    "labelstudio": labelstudio,
    "via": via,
    "yolo": yolo,
    "coco": coco,
    "supervisely": supervisely,
    "datumaro": datumaro,
}
MASKS: dict[str, Writer] = {
    name: POLYGONS[name] for name in ("labelme", "cvat", "labelstudio", "coco", "supervisely", "datumaro")
}
