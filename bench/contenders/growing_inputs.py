"""Small photographs with one or two people in a COCO file, all distinct, as many as asked for; and a run over them.

    python -m bench.contenders.growing_inputs sources FOLDER IMAGES
    python -m bench.contenders.growing_inputs run DATASET RUN

Pictures are of 64 px, so that what is measured is what a row costs, not what decoding costs.
"""

import os
import sys
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from curate.dataset import open_dataset
from curate.rows import Row
from curate.threads import map_threads
from train.scoring.metrics import score_image
from train.scoring.score import read_rows, write_scores

SIDE_PX = 64
PART = 10_000
MOST_SCORED = 10_000
"""Naming a failure and checking a label take tens of ms each; so many images of a large dataset are enough to tell."""
VERTICES = 16


def outlines_of(number: int) -> list[NDArray[np.float64]]:
    """One or two people of an image, rounded polygons (V, 2)."""
    rng, turns = np.random.default_rng([1, number]), np.linspace(0, 2 * np.pi, VERTICES, endpoint=False)
    return [
        (
            rng.uniform(20, 44, 2)
            + rng.uniform(8, 19, 2) * rng.uniform(0.8, 1.1, (VERTICES, 1)) * np.stack([np.cos(turns), np.sin(turns)], 1)
        ).round(1)
        for _ in range(int(rng.integers(1, 3)))
    ]


def write_photos(first: int, folder: Path, images: int) -> None:
    """A part of the photographs: people before clouds of eight cells a side, no two alike."""
    rng = np.random.default_rng([0, first])
    for number in range(first, min(first + PART, images)):
        cells = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        photo = cv2.resize(cells, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC)
        for outline in outlines_of(number):
            cv2.fillPoly(photo, [outline.round().astype(np.int32)], rng.integers(0, 256, 3).tolist())
        (folder / f"{number:07d}.jpg").write_bytes(cv2.imencode(".jpg", photo)[1].tobytes())


def people(number: int) -> list[dict[str, object]]:
    """The annotations of an image."""
    found: list[dict[str, object]] = []
    for place, outline in enumerate(outlines_of(number)):
        left_top, extent = outline.min(0), np.ptp(outline, 0)
        found.append(
            {
                "id": 2 * number + place + 1,
                "image_id": number + 1,
                "category_id": 1,
                "iscrowd": 0,
                "area": round(0.7 * float(np.prod(extent)), 1),
                "bbox": [*left_top.tolist(), *extent.round(1).tolist()],
                "segmentation": [outline.ravel().tolist()],
            }
        )
    return found


def write_sources(folder: Path, images: int) -> None:
    """`photos` and `people.json`."""
    (folder / "photos").mkdir(parents=True)
    with get_context("fork").Pool() as pool:
        pool.map(partial(write_photos, folder=folder / "photos", images=images), range(0, images, PART), chunksize=1)
    encode = msgspec.json.encode
    with (folder / "people.json").open("wb") as file:
        file.write(b'{"categories":[{"id":1,"name":"person"}],"images":[')
        for number in range(images):
            record = {"id": number + 1, "file_name": f"{number:07d}.jpg", "width": SIDE_PX, "height": SIDE_PX}
            file.write(b"," * bool(number) + encode(record))
        file.write(b'],"annotations":[')
        for number in range(images):
            file.write(b"," * bool(number) + b",".join(map(encode, people(number))))
        file.write(b"]}")


def write_run(root: Path, run: Path) -> None:
    """A run whose predictions are the masks moved by a few pixels, scored as of the split each is in."""
    dataset = open_dataset(root)
    rows = dataset.rows()
    (run / "predictions").mkdir(parents=True)

    def scored(row: Row) -> dict[str, object]:
        target = dataset.target(row)
        moved = np.roll(target, row["people"] + 1, (0, 1))
        cv2.imwrite(str(run / "predictions" / f"{row['sample_id']}.png"), moved)
        place = {"sample_id": row["sample_id"], "split": row["split"], "fold": row["fold"]}
        return place | score_image(target, moved)

    config = {"dataset": os.path.relpath(root, run), "digest": dataset.header.digest, "peer": "moved"}
    (run / "config.json").write_bytes(msgspec.json.encode(config))
    write_scores(run, read_rows(run), map_threads(scored, rows[:: -(-len(rows) // MOST_SCORED)]))


if __name__ == "__main__":
    if sys.argv[1] == "sources":
        write_sources(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        write_run(Path(sys.argv[2]), Path(sys.argv[3]))
