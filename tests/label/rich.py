"""Exports of three images, a1, b2 and c3, with all that a tool writes into them: the material that is damaged."""

from __future__ import annotations

import base64
import io
import json
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.io
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask

from tests.label.exports import png, rle_pack, run_lengths

Files = dict[str, bytes]
"""The bytes of an export's files, by POSIX path."""
HEIGHT, WIDTH = 30, 40
SQUARE = [[5.0, 5.0], [25.5, 5.0], [25.0, 25.25], [5.0, 25.0]]
HOLE = [[10.0, 10.0], [20.0, 10.0], [20.0, 20.0]]
MASK = np.add.outer((np.arange(HEIGHT) - 12) ** 2, (np.arange(WIDTH) - 20) ** 2) < 90
FLAT = [value for point in SQUARE for value in point]
NAMES = ("a1", "b2", "c3")


def text_of(content: Any) -> bytes:
    """JSON."""
    return json.dumps(content).encode()


def rle(mask: NDArray[np.bool_], plain: bool = False) -> dict[str, Any]:
    """COCO run lengths."""
    if plain:
        return {"size": [HEIGHT, WIDTH], "counts": run_lengths(mask.ravel(order="F"))}
    return {"size": [HEIGHT, WIDTH], "counts": coco_mask.encode(np.asfortranarray(mask, np.uint8))["counts"].decode()}


def palette_png(values: NDArray[Any]) -> bytes:
    """A palette PNG of these indices."""
    image = Image.fromarray(values.astype(np.uint8))
    image.putpalette([level * 37 % 256 for level in range(768)])
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def labelme() -> Files:
    """Polygons, a rectangle, a circle, a mask, groups, an embedded image."""
    part = base64.b64encode(png(MASK[5:20, 10:30])).decode()
    shapes = [
        {"label": "person", "points": SQUARE, "group_id": 1, "shape_type": "polygon", "flags": {}, "mask": None},
        {"label": "Person", "points": [[28, 2], [38.5, 20]], "group_id": 1, "shape_type": "rectangle", "flags": {}},
        {"label": "person", "points": [[20, 12], [20, 17.5]], "group_id": None, "shape_type": "circle", "flags": {}},
        {"label": "person", "points": [[10, 5], [29, 19]], "group_id": 2, "shape_type": "mask", "mask": part},
        {"label": "__ignore__", "points": HOLE, "group_id": None, "shape_type": "polygon", "description": ""},
        {"label": "nose", "points": [[3, 3]], "group_id": None, "shape_type": "point"},
    ]
    files = {}
    for name, some in zip(NAMES, (shapes[:2], shapes[2:], shapes), strict=True):
        content = {"version": "5.4.1", "flags": {}, "shapes": some, "imagePath": f"{name}.jpg", "imageData": None}
        content |= {"imageHeight": HEIGHT, "imageWidth": WIDTH}
        files[f"{name}.json"] = text_of(content | ({"imageData": part} if name == "c3" else {}))
    return files


def cvat() -> Files:
    """Polygons, a mask, an ellipse, a skeleton, a tag, groups."""
    points = ";".join(f"{x},{y}" for x, y in SQUARE)
    runs = ", ".join(map(str, run_lengths(MASK[2:22, 8:32].ravel())))
    shapes = [
        f'<polygon label="person" source="manual" occluded="0" points="{points}" z_order="0" group_id="1"/>',
        f'<mask label="person" occluded="0" rle="{runs}" left="8" top="2" width="24" height="20" z_order="0"/>',
        '<ellipse label="person" cx="30.5" cy="12" rx="7" ry="9.5" rotation="30.0" z_order="1" group_id="1"/>',
        '<skeleton label="person"><points label="nose" points="3,3"/></skeleton>',
        '<tag label="person" source="manual"><attribute name="age">7</attribute></tag>',
        '<box label="dog" xtl="1" ytl="1" xbr="9" ybr="9"/>',
    ]
    images = "".join(
        f'<image id="{number}" name="{name}.jpg" width="{WIDTH}" height="{HEIGHT}">{"".join(some)}</image>'
        for number, (name, some) in enumerate(zip(NAMES, (shapes, shapes[:2], shapes[1:]), strict=True))
    )
    meta = (
        "<meta><task><owner><username>anna</username></owner></task><dumped>2026-01-02 03:04:05+00:00</dumped></meta>"
    )
    content = f'<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version>{meta}{images}</annotations>'
    return {"annotations.xml": content.encode()}


def labelstudio() -> Files:
    """Brushes, polygons, ellipses, turned boxes, key points; several annotators, a skipped task, JSON-MIN."""
    sized = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0, "from_name": "tag"}
    share = [[100 * x / WIDTH, 100 * y / HEIGHT] for x, y in SQUARE]
    values: list[dict[str, Any]] = [
        {"format": "rle", "rle": list(rle_pack(MASK)), "brushlabels": ["person"]},
        {"points": share, "closed": True, "polygonlabels": ["person"]},
        {"x": 50, "y": 40, "radiusX": 20, "radiusY": 25, "rotation": 10, "ellipselabels": ["person"]},
        {"x": 20, "y": 20, "width": 30, "height": 40, "rotation": 350.5, "rectanglelabels": ["person"]},
        {"x": 20, "y": 20, "width": 0.5, "keypointlabels": ["nose"]},
    ]
    results = [
        {"id": f"r{n}", "type": next(key for key in value if key.endswith("labels")), "value": value} | sized
        for n, value in enumerate(values)
    ]
    results.append({"id": "r1", "type": "choices", "value": {"choices": ["good"]}, "from_name": "q", "to_name": "img"})
    done = {"id": 1, "completed_by": {"id": 3, "email": "anna@x.org"}, "was_cancelled": False, "lead_time": 3.5}
    done |= {"created_at": "2026-01-02T03:04:05Z", "updated_at": "2026-01-02T03:04:05.678Z"}
    tasks = [
        {"id": 7 + n, "annotations": [done | {"result": some}], "predictions": [], "drafts": []}
        | {"data": {"image": f"/data/upload/1/0123abcd-{name}.jpg"}, "file_upload": f"0123abcd-{name}.jpg"}
        for n, (name, some) in enumerate(zip(NAMES, (results[:2], results[1:], results), strict=True))
    ]
    tasks[1]["annotations"].append(done | {"was_cancelled": True, "completed_by": 4, "result": []})
    tasks[2]["predictions"] = [{"model_version": "v1", "score": 0.5, "result": results[:1]}]
    small = {"image": "/data/local-files/?d=set/a1.jpg", "id": 3, "annotator": 1, "annotation_id": 4, "lead_time": 1.5}
    small |= {"created_at": "2026-01-02T03:04:05Z", "updated_at": "2026-01-02T03:04:05Z"}
    small["tag"] = [values[0] | {"original_width": WIDTH, "original_height": HEIGHT}]
    return {"project.json": text_of(tasks), "min/small.json": text_of([small])}


def via() -> Files:
    """Every shape, of version 1 (regions by number) and of a project of version 2."""
    outlines: list[dict[str, Any]] = [
        {"name": "polygon", "all_points_x": [x for x, _ in SQUARE], "all_points_y": [y for _, y in SQUARE]},
        {"name": "polyline", "all_points_x": [x for x, _ in HOLE], "all_points_y": [y for _, y in HOLE]},
        {"name": "rect", "x": 2, "y": 3, "width": 9, "height": 12},
        {"name": "circle", "cx": 20, "cy": 12, "r": 7.5},
        {"name": "ellipse", "cx": 20, "cy": 12, "rx": 9, "ry": 5.5, "theta": 0.5},
        {"name": "point", "cx": 20, "cy": 12},
    ]
    kinds: list[dict[str, Any]] = [{"class": "person"}, {"kind": {"person": True}}, {}]
    regions = [{"shape_attributes": one, "region_attributes": kinds[n % 3]} for n, one in enumerate(outlines)]
    entries = {
        f"{name}.jpg1234": {
            "filename": f"{name}.jpg",
            "size": 1234,
            "regions": some,
            "file_attributes": {"caption": ""},
        }
        for name, some in zip(NAMES, (regions, regions[:3], regions[3:]), strict=True)
    }
    settings = {"ui": {"annotator_hotkey": 1}, "core": {"buffer_size": 18}, "project": {"name": "p"}}
    project = {"_via_settings": settings, "_via_img_metadata": entries, "_via_attributes": {"region": {}, "file": {}}}
    old = {"filename": "a1.jpg", "fileref": "", "size": 1, "base64_img_data": "", "file_attributes": {}}
    old["regions"] = {str(number): region for number, region in enumerate(regions)}
    return {"project.json": text_of(project), "one/old.json": text_of({"a1.jpg1": old})}


def yolo() -> Files:
    """Outlines of two classes, an empty file, and the names."""
    line = " ".join(f"{x / WIDTH} {y / HEIGHT}" for x, y in SQUARE)
    hole = " ".join(f"{x / WIDTH} {y / HEIGHT}" for x, y in HOLE)
    names = "path: ../set\ntrain: images/train\nnc: 2\nnames:\n  0: dog\n  1: person\n"
    return {
        "data.yaml": names.encode(),
        "labels/train/a1.txt": f"1 {line}\n1 {hole}\n".encode(),
        "labels/train/b2.txt": f"0 {line}\r\n1 {line}\r\n".encode(),
        "labels/val/c3.txt": f"1 {hole}\n0 0.5 0.5 0.2 0.2\n".encode(),
        "labels/val/none.txt": b"",
    }


def coco() -> Files:
    """Every form of a segmentation, a crowd, another category; and results."""
    shapes: list[Any] = [[FLAT], rle(MASK), rle(MASK, plain=True), [FLAT, [1, 1, 9, 1, 9, 9]]]
    annotations = [
        {"id": n, "image_id": 1 + n % 3, "category_id": 1, "iscrowd": 0, "segmentation": shape, "area": 1.5, "bbox": []}
        for n, shape in enumerate(shapes)
    ]
    annotations.append({"id": 8, "image_id": 2, "category_id": 1, "iscrowd": 1, "segmentation": rle(~MASK)})
    annotations.append({"id": 9, "image_id": 2, "category_id": 2, "iscrowd": 0, "segmentation": [FLAT]})
    images = [
        {"id": n, "file_name": f"{name}.jpg", "height": HEIGHT, "width": WIDTH, "license": 0}
        for n, name in enumerate(NAMES, 1)
    ]
    categories = [{"id": 1, "name": "person", "supercategory": ""}, {"id": 2, "name": "dog"}]
    content = {"info": {}, "licenses": [], "images": images, "annotations": annotations, "categories": categories}
    results = [{"image_id": "c3", "category_id": 1, "segmentation": rle(MASK), "score": 0.9}]
    return {"annotations/instances_default.json": text_of(content), "results/r.json": text_of(results)}


def supervisely() -> Files:
    """Bitmaps, an outline with a hole, a rectangle, a point."""
    image = Image.fromarray(MASK[4:20, 10:30].astype(np.uint8))
    image.putpalette([0, 0, 0, 255, 255, 255])
    buffer = io.BytesIO()
    image.save(buffer, "PNG", transparency=0)
    data = base64.b64encode(zlib.compress(buffer.getvalue())).decode()
    who = {"labelerLogin": "anna", "updatedAt": "2026-01-02T03:04:05.678Z", "classTitle": "person", "tags": []}
    objects = [
        who | {"geometryType": "bitmap", "bitmap": {"data": data, "origin": [10, 4]}},
        who | {"geometryType": "polygon", "points": {"exterior": SQUARE, "interior": [HOLE]}},
        who | {"geometryType": "rectangle", "points": {"exterior": [[1, 1], [12, 9]], "interior": []}},
        who | {"geometryType": "point", "points": {"exterior": [[1, 1]], "interior": []}},
    ]
    files = {"meta.json": text_of({"classes": [{"title": "person", "shape": "any"}], "tags": []})}
    for name, some in zip(NAMES, (objects[:2], objects[1:], objects), strict=True):
        content = {"description": "", "tags": [], "size": {"height": HEIGHT, "width": WIDTH}, "objects": some}
        files[f"ds0/ann/{name}.jpg.json"] = text_of(content)
    return files


def datumaro() -> Files:
    """Polygons and masks, in groups and alone, a box of a group, a point."""
    base = {"attributes": {"occluded": False}, "label_id": 1, "z_order": 0}
    annotations = [
        base | {"id": 0, "type": "polygon", "points": FLAT, "group": 1},
        base | {"id": 1, "type": "bbox", "bbox": [1, 1, 9, 9], "group": 1},
        base | {"id": 2, "type": "mask", "rle": rle(MASK), "group": 0},
        base | {"id": 3, "type": "points", "points": [3, 3, 2], "group": 0, "visibility": [2]},
        base | {"id": 4, "type": "label", "group": 0, "label_id": 0},
    ]
    items = [
        {"id": f"set/{name}", "annotations": some, "attr": {"frame": 0}}
        | {"image": {"path": f"{name}.jpg", "size": [HEIGHT, WIDTH]}}
        for name, some in zip(NAMES, (annotations, annotations[:2], annotations[2:]), strict=True)
    ]
    labels = [{"name": name, "parent": "", "attributes": []} for name in ("dog", "person")]
    content = {"info": {}, "categories": {"label": {"labels": labels, "attributes": []}}, "items": items}
    return {"annotations/default.json": text_of(content)}


def pngs() -> Files:
    """Grey, palette and alpha masks."""
    alpha = np.dstack([np.full((HEIGHT, WIDTH, 3), 90, np.uint8), MASK.astype(np.uint8) * 255])
    buffer = io.BytesIO()
    Image.fromarray(alpha).save(buffer, "PNG")
    return {"masks/a1.png": png(MASK), "masks/b2.png": palette_png(MASK), "masks/c3.png": buffer.getvalue()}


def matlab() -> Files:
    """The Image Labeler's masks, and matrices."""
    files = {f"PixelLabelData/Label_{number}.png": palette_png(MASK * number) for number in (1, 2)}
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, {"mask": MASK.astype(np.uint8)}, do_compression=True)
    files["a1.mat"] = buffer.getvalue()
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, {"groundtruth": MASK.astype(float), "other": {"x": 1.0}, "name": "c3"})
    return files | {"c3.mat": buffer.getvalue()}


def voc() -> Files:
    """Class and object masks: indices, and CVAT's colours with their table."""
    values = np.where(MASK, 15, 0)
    values[:2] = 255
    files = {}
    for name in NAMES[:2]:
        files[f"SegmentationClass/{name}.png"] = palette_png(values)
        files[f"SegmentationObject/{name}.png"] = palette_png(values > 0)
    buffer = io.BytesIO()
    Image.fromarray(np.where(MASK[..., None], np.uint8([[[192, 128, 128]]]), np.uint8(0))).save(buffer, "PNG")
    files |= {f"cvat/{folder}/c3.png": buffer.getvalue() for folder in ("SegmentationClass", "SegmentationObject")}
    files["cvat/labelmap.txt"] = b"# label:color_rgb:parts:actions\nbackground:0,0,0::\nperson:192,128,128::\n"
    return files | {"class_names.txt": b"_background_\n" + b"\n".join(b"c%d" % n for n in range(1, 15)) + b"\nperson\n"}


RICH: dict[str, Callable[[], Files]] = {
    "png": pngs,
    "matlab": matlab,
    "voc": voc,
    "labelme": labelme,
    "cvat": cvat,
    "labelstudio": labelstudio,
    "via": via,
    "yolo": yolo,
    "coco": coco,
    "supervisely": supervisely,
    "datumaro": datumaro,
}
