"""Tasks as the files labelling tools open: images, a configuration, and masks to start from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import numpy as np

from curate.images import target_png
from curate.masks import Mask, area_px, bbox_xywh, encode, target_of
from label.formats.labelstudio import pack
from label.outlining import iou_kept, outlines_by_part
from label.regions import DEFAULT_IGNORE, DEFAULT_PERSON
from label.tasks import Task

(PERSON,), (IGNORED,) = DEFAULT_PERSON, DEFAULT_IGNORE


def shapes_of(task: Task) -> list[tuple[str, Mask]]:
    """What a task starts from: the person and what is not counted, without the empty ones."""
    found = [(PERSON, task.person), (IGNORED, task.ignored)]
    return [(name, mask) for name, mask in found if mask is not None and mask.any()]


def write_png(folder: Path, tasks: Iterable[Task], tolerance_px: float) -> list[float]:
    """`masks/<sample_id>.png` of 0, 128 and 255, to the pixel."""
    (folder / "masks").mkdir()
    kept = []
    for task in tasks:
        if task.person is not None:
            path = folder / "masks" / f"{task.sample_id}.png"
            path.write_bytes(target_png(target_of(task.person, task.ignored)))
            kept.append(1.0)
    return kept


def write_coco(folder: Path, tasks: Iterable[Task], tolerance_px: float) -> list[float]:
    """`annotations.json`, its segmentations run lengths, to the pixel; what is not counted is a crowd."""
    pictures: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    kept = []
    for number, task in enumerate(tasks, 1):
        height, width = task.row["height"], task.row["width"]
        pictures.append({"id": number, "file_name": task.file_name, "height": height, "width": width})
        for name, mask in shapes_of(task):
            rle = encode(mask)
            one = {"id": len(annotations) + 1, "image_id": number, "category_id": 1, "iscrowd": int(name == IGNORED)}
            shape = {"size": [height, width], "counts": rle["counts"].decode()}
            annotations.append(one | {"segmentation": shape, "area": area_px(rle), "bbox": list(bbox_xywh(mask))})
        kept += [1.0] * (task.person is not None)
    categories = [{"id": 1, "name": PERSON, "supercategory": PERSON}]
    write_json(folder / "annotations.json", {"images": pictures, "annotations": annotations, "categories": categories})
    return kept


def write_labelme(folder: Path, tasks: Iterable[Task], tolerance_px: float) -> list[float]:
    """`images/<sample_id>.json` beside each image, with polygons; those of one part of the mask are one group."""
    kept = []
    for task in tasks:
        shapes: list[dict[str, Any]] = []
        for name, mask in shapes_of(task):
            drawn = outlines_by_part(mask, tolerance_px)
            kept += [iou_kept(mask, [outline for part in drawn for outline in part])] * (name == PERSON)
            shapes += [
                {"label": name, "points": points, "group_id": number, "shape_type": "polygon", "flags": {}}
                for number, part in enumerate(drawn, 1)
                for points in part
            ]
        size = {"imageHeight": task.row["height"], "imageWidth": task.row["width"]}
        content: dict[str, Any] = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imageData": None, **size}
        write_json(folder / "images" / f"{task.sample_id}.json", content | {"imagePath": task.file_name})
    return kept


def write_cvat(folder: Path, tasks: Iterable[Task], tolerance_px: float) -> list[float]:
    """`annotations.xml` of CVAT for images 1.1 with masks, to the pixel, and `labels.json` for the project."""
    kept, lines = [], ['<?xml version="1.0" encoding="utf-8"?>', "<annotations>", "  <version>1.1</version>"]
    for number, task in enumerate(tasks):
        size = f'width="{task.row["width"]}" height="{task.row["height"]}"'
        lines.append(f'  <image id="{number}" name={quoteattr(task.file_name)} {size}>')
        for name, mask in shapes_of(task):
            left, top, width, height = bbox_xywh(mask)
            runs = ", ".join(map(str, runs_of(mask[top : top + height, left : left + width])))
            box = f'left="{left}" top="{top}" width="{width}" height="{height}"'
            lines.append(f'    <mask label="{name}" source="file" occluded="0" rle="{runs}" {box} z_order="0"></mask>')
        lines.append("  </image>")
        kept += [1.0] * (task.person is not None)
    (folder / "annotations.xml").write_text("\n".join([*lines, "</annotations>", ""]), "utf-8")
    labels = [{"name": name, "type": "any", "attributes": []} for name in (PERSON, IGNORED)]
    write_json(folder / "labels.json", labels)
    return kept


def runs_of(mask: Mask) -> list[int]:
    """Run lengths of a mask, row by row, background first.

    >>> runs_of(np.array([[1, 1, 0], [0, 1, 1]], bool))
    [0, 2, 2, 2]
    """
    flat = mask.ravel()
    edges = np.flatnonzero(np.diff(flat.astype(np.int8))) + 1
    runs = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return [0, *runs] if flat[0] else runs


def write_labelstudio(folder: Path, tasks: Iterable[Task], tolerance_px: float) -> list[float]:
    """`tasks.json` with brushes as predictions, to the pixel, and `config.xml`, the labelling interface.

    Label Studio finds the images with its document root at the export's folder.
    """
    found, kept = [], []
    for task in tasks:
        size = {"original_width": task.row["width"], "original_height": task.row["height"], "image_rotation": 0}
        to = {"from_name": "brush", "to_name": "image", "type": "brushlabels"}
        results = [
            {"id": name, **to, **size, "value": {"format": "rle", "rle": list(pack(mask)), "brushlabels": [name]}}
            for name, mask in shapes_of(task)
        ]
        data = {"image": f"/data/local-files/?d=images/{quote(task.file_name)}", "sample_id": task.sample_id}
        predictions = [{"model_version": "curate", "result": results}] if results else []
        found.append({"data": data, "predictions": predictions})
        kept += [1.0] * (task.person is not None)
    write_json(folder / "tasks.json", found)
    labels = "".join(f'<Label value="{name}"/>' for name in (PERSON, IGNORED))
    brush = f'<BrushLabels name="brush" toName="image">{labels}</BrushLabels>'
    (folder / "config.xml").write_text(f'<View><Image name="image" value="$image" zoom="true"/>{brush}</View>\n')
    return kept


def write_json(path: Path, content: object) -> None:
    """A JSON file."""
    path.write_text(json.dumps(content, ensure_ascii=False) + "\n", "utf-8")


Write = Callable[[Path, Iterable[Task], float], list[float]]
"""Writes tasks into a folder, whose `images` are laid as they are gone through; returns the IoU each start keeps."""
WRITERS: dict[str, Write] = {
    "cvat": write_cvat,
    "labelstudio": write_labelstudio,
    "labelme": write_labelme,
    "coco": write_coco,
    "png": write_png,
}
