"""The same images, masks and table with pycocotools and Pillow, on two cores, as one would write it by hand."""

import csv
import json
import multiprocessing
import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools.coco import COCO

from bench.contenders.sentence import MAX_AREA, MAX_PEOPLE, MIN_AREA

PROCESSES = 2

coco: Any = None
"""Read before the processes fork, which share it."""


def build_one(job: tuple[int, list[int], Path, Path]) -> list[Any] | None:
    """Write one image and its mask where it is kept; its row of the table."""
    image_id, person, photos, out = job
    image = coco.loadImgs(image_id)[0]
    annotations = coco.loadAnns(coco.getAnnIds(imgIds=image_id, catIds=person))
    people = [annotation for annotation in annotations if not annotation["iscrowd"]]
    if len(people) > MAX_PEOPLE or len(people) < len(annotations):
        return None
    mask = np.zeros((image["height"], image["width"]), np.uint8)
    for annotation in people:
        mask |= coco.annToMask(annotation)
    area = np.count_nonzero(mask) / mask.size
    if not MIN_AREA <= area <= MAX_AREA:
        return None
    stem = Path(image["file_name"]).stem
    Image.fromarray(mask * 255).save(out / "masks" / f"{stem}.png")
    os.link(photos / image["file_name"], out / "images" / image["file_name"])
    return [stem, image["width"], image["height"], len(people), area]


def main(path: Path, photos: Path, out: Path) -> None:
    """Build the folder; print how many images it holds."""
    global coco
    for part in ("images", "masks"):
        (out / part).mkdir(parents=True)
    with redirect_stdout(sys.stderr):
        coco = COCO(str(path))
    person = coco.getCatIds(catNms=["person"])
    jobs = [(image_id, person, photos, out) for image_id in sorted(coco.getImgIds(catIds=person))]
    with multiprocessing.get_context("fork").Pool(PROCESSES) as pool:
        rows = [row for row in pool.imap(build_one, jobs, chunksize=64) if row is not None]
    with (out / "samples.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["sample_id", "width", "height", "people", "area"], *rows])
    print(json.dumps({"kept": len(rows)}))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
