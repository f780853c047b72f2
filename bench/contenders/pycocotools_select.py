"""The straightforward choice with pycocotools: its index, its getters, a union of run lengths for each image."""

import json
import sys
from contextlib import redirect_stdout
from pathlib import Path

from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from bench.contenders.sentence import MAX_AREA, MAX_PEOPLE, MIN_AREA


def select(path: Path) -> list[str]:
    """File stems of the images that are kept, sorted."""
    with redirect_stdout(sys.stderr):  # it reports its progress
        coco = COCO(str(path))
    person = coco.getCatIds(catNms=["person"])
    kept = []
    for image in coco.loadImgs(coco.getImgIds(catIds=person)):
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=image["id"], catIds=person))
        if len(annotations) > MAX_PEOPLE or any(annotation["iscrowd"] for annotation in annotations):
            continue
        union = coco_mask.merge([coco.annToRLE(annotation) for annotation in annotations])
        area = coco_mask.area(union) / (image["height"] * image["width"])
        if MIN_AREA <= area <= MAX_AREA:
            kept.append(Path(image["file_name"]).stem)
    return sorted(kept)


if __name__ == "__main__":
    print(json.dumps({"kept": select(Path(sys.argv[1]))}))
