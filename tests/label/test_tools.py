"""Exports as the tools' releases really write them: each comes in, or says why it does not."""

from __future__ import annotations

import base64
import io
import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from curate.dataset import open_dataset
from curate.masks import IGNORE, PERSON
from label.formats.record import Options
from label.importing import Imported, Request, import_labels
from tests.label.exports import png, rle_pack
from tests.label.making import Photo, make_dataset
from tests.label.rich import FLAT, HEIGHT, HOLE, MASK, SQUARE, WIDTH, Files, palette_png, rle, text_of

SHARES = [[100 * x / WIDTH, 100 * y / HEIGHT] for x, y in SQUARE]
LINE = " ".join(f"{x / WIDTH} {y / HEIGHT}" for x, y in SQUARE)
ROBOFLOW = "photo_jpg.rf.0123456789abcdef0123456789abcdef"
SQUARE_PX, MASK_PX = 403, int(MASK.sum())


def labelme(shape: dict[str, Any], **fields: Any) -> Files:
    whole = {"version": "5.5.0", "flags": {}, "imagePath": "photo.jpg", "imageData": None}
    whole |= {"imageHeight": HEIGHT, "imageWidth": WIDTH, "shapes": [{"label": "person"} | shape]}
    return {"photo.json": text_of(whole | fields)}


def coco(file_name: str, segmentation: Any, **fields: Any) -> Files:
    image = {"id": 0, "width": WIDTH, "height": HEIGHT, "file_name": file_name, "license": 0, "date_captured": 0}
    annotation = {"id": 0, "image_id": 0, "category_id": 0, "bbox": [], "area": 1.5, "segmentation": segmentation}
    content = {"images": [image], "categories": [{"id": 0, "name": "person"}], "annotations": [annotation | fields]}
    return {"result.json": text_of({"info": {"year": 2024}, "licenses": [{"name": "", "id": 0, "url": ""}]} | content)}


def yolo(name: str, names: Files, before: str = "") -> Files:
    return names | {f"train/labels/{name}.txt": f"{before}1 {LINE}\r\n".encode()}


def labelstudio(*results: dict[str, Any]) -> Files:
    sized = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0, "from_name": "a", "to_name": "b"}
    annotation = {"id": 1, "completed_by": 1, "was_cancelled": False, "ground_truth": False, "prediction": {}}
    annotation["result"] = [sized | result for result in results]
    task = {"id": 1, "annotations": [annotation], "file_upload": "0123abcd-photo.jpg", "drafts": [], "predictions": []}
    return {"project.json": text_of([task | {"data": {"image": "/data/upload/1/0123abcd-photo.jpg"}, "meta": {}}])}


def supervisely(**geometry: Any) -> Files:
    who = {"id": 1, "classId": 2, "classTitle": "person", "labelerLogin": "anna", "tags": []}
    content = {"description": "", "size": {"height": HEIGHT, "width": WIDTH}, "objects": [who | geometry], "tags": []}
    info = {"id": 1, "name": "photo.jpg", "size": 1234, "height": HEIGHT, "width": WIDTH}
    return {
        "meta.json": text_of({"classes": [], "tags": [], "projectType": "images"}),
        "key_id_map.json": text_of({"tags": {}, "objects": {}, "figures": {}, "videos": {}}),
        "ds0/img_info/photo.jpg.json": text_of(info),
        "ds0/ann/photo.jpg.json": text_of(content),
    }


def grey_png(values: np.ndarray[Any, Any]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values.astype(np.uint8)).save(buffer, "PNG", transparency=0)
    return buffer.getvalue()


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def coloured(colour: list[int]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.where(MASK[..., None], np.uint8([[colour]]), np.uint8(0))).save(buffer, "PNG")
    return buffer.getvalue()


def datumaro(annotation: dict[str, Any], **item: Any) -> Files:
    base = {"id": 0, "attributes": {"occluded": False}, "group": 0, "label_id": 0, "z_order": 0}
    labels = {"labels": [{"name": "person", "parent": "", "attributes": []}], "attributes": ["occluded"]}
    content = {"dm_format_version": "1.0", "media_type": 2, "infos": {}, "categories": {"label": labels}}
    items = [{"id": "photo", "attr": {"frame": 0}, "annotations": [base | annotation]} | item]
    return {"annotations/default.json": text_of(content | {"items": items})}


def cvat(shapes: str, image: str = 'id="0" name="photo.jpg"') -> Files:
    size = f'width="{WIDTH}" height="{HEIGHT}"'
    meta = "<meta><job><id>3</id></job><dumped>2024-07-05 10:10:10.123456+00:00</dumped></meta>"
    text = f"<annotations><version>1.1</version>{meta}<image {image} {size}>{shapes}</image></annotations>"
    return {"annotations.xml": f'<?xml version="1.0" encoding="utf-8"?>\n{text}'.encode()}


PART = {"shape_type": "mask", "points": [[10.4, 5.4], [29.4, 19.4]], "mask": base64_of(png(MASK[5:20, 10:30]))}
PART_PX = int(MASK[5:20, 10:30].sum())
TURNED = {"shape_type": "oriented_rectangle", "points": [[5, 5], [25, 5], [25, 25], [5, 25]]}
POINTS = ";".join(f"{x:.2f},{y:.2f}" for x, y in SQUARE)
SKELETON = '<skeleton label="person" z_order="0"><points label="1" outside="0" points="3,3"></points></skeleton>'
LABELMAP = b"# label:color_rgb:parts:actions\nbackground:0,0,0::\ncar:10,20,30::\nperson:250,50,83::\n"
CVAT_MASKS = {
    "labelmap.txt": LABELMAP,
    "ImageSets/Segmentation/default.txt": b"photo\n",
    "SegmentationClass/photo.png": coloured([250, 50, 83]),
    "SegmentationObject/photo.png": coloured([128, 0, 0]),
}
LIST, NOTES = {"classes.txt": b"dog\r\nperson"}, {"notes.json": b'{"categories": [], "info": {}}'}
YAML = {"data.yaml": b"nc: 2\nnames: ['dog', 'person']\nroboflow:\n  version: 1\n"}
README = {"README.dataset.txt": b"# people\n", "README.roboflow.txt": b"\npeople - v1\n"}
OUTLINE = {"type": "polygonlabels", "value": {"points": SHARES, "closed": True, "polygonlabels": ["person"]}, "id": "a"}
BRUSH = {"type": "brush", "id": "b", "value": {"format": "rle", "rle": list(rle_pack(MASK))}}
CHOSEN = {"type": "labels", "id": "b", "value": BRUSH["value"] | {"labels": ["person"]}}
OTHERS = [
    {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right", "labels": []},
    {"type": "taxonomy", "id": "c", "value": {"taxonomy": [["a", "b"]]}},
    {"type": "keypointlabels", "id": "d", "value": {"x": 10, "y": 10, "width": 0.5, "keypointlabels": ["person"]}},
]
VIA_OLD = {"name": "polygon", "all_points_x": [5, 25, 25, 5, 5], "all_points_y": [5, 5, 25, 25, 5]}
VIA_1 = {
    "photo.jpg1": {"fileref": "", "size": 1, "filename": "photo.jpg", "base64_img_data": "", "file_attributes": {}}
}
VIA_1["photo.jpg1"]["regions"] = {"0": {"shape_attributes": VIA_OLD, "region_attributes": {"name": "person"}}}
HARD, SOFT = base64_of(zlib.compress(grey_png(MASK))), base64_of(zlib.compress(grey_png(MASK * 128 + ~MASK * 127)))


@pytest.mark.parametrize(
    ("files", "person_px"),
    [
        (
            labelme({"points": SQUARE, "line_color": None}, version="3.16.7", imageHeight=None, imageWidth=None),
            SQUARE_PX,
        ),
        (labelme({"points": SQUARE, "shape_type": "polygon", "mask": None, "description": None}), SQUARE_PX),
        (labelme(TURNED), 400),
        (labelme(PART), PART_PX),
        (cvat(f'<polygon label="person" source="file" points="{POINTS}" z_order="0"/>{SKELETON}'), SQUARE_PX),
        (CVAT_MASKS, MASK_PX),
        (coco("photo.jpg", [FLAT], iscrowd=0, attributes={"occluded": False}), SQUARE_PX),
        (coco("images\\0123abcd-photo.jpg", [FLAT], ignore=0, iscrowd=0), SQUARE_PX),
        (coco(f"{ROBOFLOW}.jpg", rle(MASK, plain=True), iscrowd=0), MASK_PX),
        (yolo("photo", {"data.yaml": b"\xef\xbb\xbfnames:\r\n- dog\r\n- person\r\n"}, "\ufeff"), SQUARE_PX),
        (yolo(ROBOFLOW, YAML | README), SQUARE_PX),
        (yolo("0123abcd-photo", LIST | NOTES), SQUARE_PX),
        (labelstudio(OUTLINE, *OTHERS), SQUARE_PX),
        (labelstudio(BRUSH, CHOSEN), MASK_PX),
        ({"via_region_data.json": text_of(VIA_1)}, 400),
        (supervisely(geometryType="polygon", points={"exterior": SQUARE, "interior": [HOLE]}), 358),
        (supervisely(geometryType="bitmap", bitmap={"data": HARD, "origin": [0, 0]}), MASK_PX),
        (supervisely(geometryType="bitmap", bitmap={"data": base64_of(png(MASK)), "origin": [0, 0]}), MASK_PX),
        (supervisely(geometryType="alpha_mask", bitmap={"data": SOFT, "origin": [0, 0]}), MASK_PX),
        (
            datumaro({"type": "polygon", "points": FLAT}, image={"path": "photo.jpg", "size": [HEIGHT, WIDTH]}),
            SQUARE_PX,
        ),
        (datumaro({"type": "mask", "rle": rle(MASK), "group": 3}, media={"path": "photo.jpg"}), MASK_PX),
        (datumaro({"type": "ellipse", "points": [10.0, 5.0, 30.0, 25.0]}), 316),
        ({"PixelLabelData_1/Label_7.png": palette_png(MASK * 1)}, MASK_PX),
    ],
    ids=[
        *("labelme 3", "labelme 5", "labelme turned", "labelme moved mask", "cvat job", "cvat masks", "coco of cvat"),
        *("coco of label studio", "coco of roboflow", "yolo with marks", "yolo of roboflow", "yolo of label studio"),
        *("label studio", "label studio brush", "via 1", "supervisely", "supervisely bitmap", "supervisely plain png"),
        *("supervisely alpha", "datumaro", "datumaro of media", "datumaro ellipse", "image labeler"),
    ],
)
def test_an_export_comes_in_whole(files: Files, person_px: int, tmp_path: Path) -> None:
    imported = imported_from(tmp_path, files)
    assert [refusal.message for refusal in imported.intake.refusals] == []
    (row,) = (new := open_dataset(tmp_path / "two")).rows()
    target = new.target(row)
    assert np.count_nonzero(target == PERSON) == person_px
    assert not (target == IGNORE).any()


def imported_from(tmp_path: Path, files: Files) -> Imported:
    """What comes of an export as a zip, for a dataset of one photograph, in `two`."""
    old = np.zeros((HEIGHT, WIDTH), np.uint8)
    old[3:9, 3:9] = PERSON
    numbered = any("Label_7" in name for name in files)
    parent = make_dataset(tmp_path / "one", {"pairs-photo7" if numbered else "pairs-photo": Photo(old)})
    archive = tmp_path / "export.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        for name, data in files.items():
            opened.writestr(name, data)
    return import_labels(parent, tmp_path / "two", Request(archive, options=Options(("1",) if numbered else None)))


VECTOR = {"vertices": [{"id": "0", "x": 1, "y": 1, "isBezier": False}], "closed": True, "vectorlabels": ["person"]}
BITMASK = {"imageDataURL": f"data:image/png;base64,{base64_of(png(MASK))}", "bitmasklabels": ["person"]}


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (labelstudio(OUTLINE, {"type": "vectorlabels", "value": VECTOR}), "person is a vector, which is not read"),
        (labelstudio(OUTLINE, {"type": "bitmasklabels", "value": BITMASK}), "person is a bitmask, which is not read"),
        (coco("photo.jpg", rle(MASK, plain=True), iscrowd=1), "shows no person (shapes crowd of person 1)"),
        (supervisely(geometryType="cuboid_2d"), "person is a cuboid_2d, of which no pixels are known"),
        (cvat("<box label='person' xtl='1' ytl='1' xbr='5' ybr='5'/>"), "person is a box, which is no outline"),
    ],
    ids=["vector", "bitmask", "crowd", "cuboid", "box"],
)
def test_what_is_not_read_is_told_and_costs_no_person(files: Files, words: str, tmp_path: Path) -> None:
    """A person who is passed over would be background."""
    imported = imported_from(tmp_path, files)
    assert imported.status == "nothing"
    (refusal,) = imported.intake.refusals
    assert words in refusal.message


def test_other_classes_may_be_shapes_that_are_not_read(tmp_path: Path) -> None:
    vector = json.loads(json.dumps(VECTOR).replace("person", "dog"))
    imported = imported_from(tmp_path, labelstudio(OUTLINE, {"type": "vectorlabels", "value": vector}))
    assert list(imported.intake.edited) == ["pairs-photo"]


def test_the_copies_of_roboflow_are_told(tmp_path: Path) -> None:
    imported = imported_from(tmp_path, coco(f"{ROBOFLOW}.jpg", [FLAT]))
    assert (
        "Roboflow's copy of its image; the label fits only where that was neither cropped" in imported.intake.notes[0]
    )
