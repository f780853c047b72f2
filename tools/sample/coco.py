"""The COCO half of the sample: instances JSON with polygons, crowds as run lengths."""

from typing import Any

from tools.sample.drawing import Drawn
from tools.sample.labels import Label, Polygon, box_of, run_lengths

CATEGORIES = (
    (1, "person", "person"), (16, "bird", "animal"), (17, "cat", "animal"), (18, "dog", "animal"),
    (19, "horse", "animal"), (28, "umbrella", "accessory"), (31, "handbag", "accessory"),
    (33, "suitcase", "accessory"), (37, "sports ball", "sports"), (39, "baseball bat", "sports"),
    (43, "tennis racket", "sports"), (47, "cup", "kitchen"), (62, "chair", "furniture"),
    (64, "potted plant", "furniture"), (67, "dining table", "furniture"), (77, "cell phone", "electronic"),
    (84, "book", "indoor"),
)  # fmt: skip
"""Id, name and supercategory as COCO 2017 has them."""

CATEGORY_IDS = {name: number for number, name, _ in CATEGORIES}
LICENCE = {"id": 1, "name": "CC0 1.0 Universal", "url": "https://creativecommons.org/publicdomain/zero/1.0/"}


def _number(value: float) -> int | float:
    """Whole numbers without their decimals, to keep the JSON small."""
    return int(value) if value == int(value) else value


def _flat(polygon: Polygon) -> list[int | float]:
    return [_number(value) for point in polygon for value in point]


def _box(label: Label) -> list[int | float]:
    """x, y, width, height around the polygons, or around the px of a crowd."""
    if label.crowd:
        return list(box_of(label.mask))
    xs = [x for polygon in label.polygons for x, _ in polygon]
    ys = [y for polygon in label.polygons for _, y in polygon]
    return [_number(round(v, 2)) for v in (min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))]


def annotation(label: Label, image_id: int, number: int) -> dict[str, Any]:
    """One entry of `annotations`; the area is that of the label's px."""
    h, w = label.mask.shape
    shape: object = [_flat(polygon) for polygon in label.polygons]
    if label.crowd:
        shape = {"counts": run_lengths(label.mask), "size": [h, w]}
    return {
        "area": int(label.mask.sum()),
        "bbox": _box(label),
        "category_id": CATEGORY_IDS[label.category],
        "id": number,
        "image_id": image_id,
        "iscrowd": int(label.crowd),
        "segmentation": shape,
    }


def _image(drawn: Drawn) -> dict[str, Any]:
    h, w = drawn.size_hw
    return {"file_name": f"{drawn.spec.key}.jpg", "height": h, "id": int(drawn.spec.key), "license": 1, "width": w}


def instances(drawn: list[Drawn]) -> dict[str, Any]:
    """The whole instances JSON of one split; annotation ids follow from the image's."""
    annotations = []
    for image in drawn:
        image_id = int(image.spec.key)
        kept = [label for label in image.labels if label.crowd or label.polygons]
        annotations += [annotation(label, image_id, image_id * 100 + n) for n, label in enumerate(kept)]
    return {
        "annotations": annotations,
        "categories": [{"id": i, "name": name, "supercategory": group} for i, name, group in CATEGORIES],
        "images": [_image(image) for image in drawn],
        "info": {"description": "Silhouette's embedded sample: drawn scenes of people", "version": "1"},
        "licenses": [LICENCE],
    }
