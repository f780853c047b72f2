"""A dataset version of generated photographs, each with the mask of one person in it."""

import sys
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from bench.contenders.score_inputs import SIZE_HW, draw_person
from bench.photos import QUALITY, canvases, draw_photo
from curate import schema
from curate.files import sha256_file, staged_folder
from curate.finish import finish_dataset
from curate.images import target_png
from curate.masks import PERSON, area_fraction
from curate.threads import map_threads


def main(folder: Path, images: int) -> None:
    """Write the version; every image is one to train on."""
    canvases(0)  # drawn once, before the threads ask for them
    with staged_folder(folder) as staging:
        (staging / "images").mkdir()
        (staging / "masks").mkdir()
        rows = map_threads(partial(write_sample, staging), range(images))
        samples, drops = schema.table(rows, schema.SAMPLES), schema.table([], schema.DROPS)
        finish_dataset(
            staging,
            name="bench",
            version=1,
            parent=None,
            recipe={},
            sources=[],
            funnel=[],
            samples=samples,
            drops=drops,
        )


def write_sample(staging: Path, number: int) -> dict[str, object]:
    """Write a photograph, a person of another colour in it, and its mask; the row of the two."""
    rng, name = np.random.default_rng([0, number]), f"photo-{number:05d}"
    height, width = SIZE_HW
    target = draw_person(rng)
    photo = draw_photo(rng, canvases(0), width, height)
    colour = rng.integers(0, 256, 3)
    person = (target == PERSON)[..., None]
    photo = np.where(person, (photo // 2 + colour // 2).astype(np.uint8), photo)
    image, mask = f"images/{name}.jpg", f"masks/{name}.png"
    cv2.imwrite(str(staging / image), photo, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    (staging / mask).write_bytes(target_png(target))
    hashes = {"image_sha256": sha256_file(staging / image), "mask_sha256": sha256_file(staging / mask)}
    return hashes | {
        "sample_id": name, "image": image, "mask": mask, "width": width, "height": height, "people": 1,
        "area": area_fraction(target), "split": "train", "fold": -1, "group": name, "source": "photo", "licence": None,
        "origin": "hand", "edges": "", "touching": [], "head_visible": None, "weight": 1.0, "tags": [],
    }  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
