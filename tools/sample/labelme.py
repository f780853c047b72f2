"""True outlines of some COCO images as LabelMe files: the corrections a reviewer would have made."""

from typing import Any

from tools.sample.drawing import Drawn
from tools.sample.errors import people_of

INNOCENT = 8
"""How many rightly labelled images are among the corrected ones."""


def document(drawn: Drawn, photo: str) -> dict[str, Any]:
    """A LabelMe 5 document of the people alone.

    Args:
        photo: path of the photo as seen from the folder of the JSON.
    """
    h, w = drawn.size_hw
    people = [label.polygons for label in people_of(drawn.labels) if label.polygons]
    shapes: list[dict[str, Any]] = [
        {
            "description": "",
            "flags": {},
            "group_id": number if len(polygons) > 1 else None,
            "label": "person",
            "points": [list(point) for point in polygon],
            "shape_type": "polygon",
        }
        for number, polygons in enumerate(people, 1)
        for polygon in polygons
    ]
    return {
        "flags": {}, "imageData": None, "imageHeight": h, "imagePath": photo, "imageWidth": w, "shapes": shapes,
        "version": "5.5.0",
    }  # fmt: skip


def corrected(drawn: list[Drawn], wrong: set[str]) -> list[Drawn]:
    """The COCO images that were looked at again: the wrong ones and some innocent, each with its true labels."""
    coco = [d for d in drawn if d.spec.source == "coco"]
    innocent = [d for d in coco if d.spec.file not in wrong and d.spec.recipe.intent == "fit" and not d.spec.twin_of]
    spread = innocent[:: max(len(innocent) // INNOCENT, 1)][:INNOCENT]
    return [d for d in coco if d.spec.file in wrong or d in spread]
