"""FiftyOne's own score of each image of a run: the dice of `evaluate_segmentations(compute_dice=True)`."""

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np

from bench.database import start_database
from curate.dataset import open_dataset
from curate.images import read_grey, target_png


def main(dataset: Path, run: Path, out: Path) -> None:
    """Write sample_id -> dice of the training images as JSON; what it needs on the way lies in a folder beside it."""
    folder = out.with_name("fiftyone")  # FiftyOne looks at its database once more when this process ends
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    start_database(folder)
    os.environ["FIFTYONE_SHOW_PROGRESS_BARS"] = "false"
    out.write_text(json.dumps(dice_of(dataset, run, folder)))


def dice_of(dataset: Path, run: Path, folder: Path) -> dict[str, float]:
    """sample_id -> dice."""
    import fiftyone

    opened, shown = open_dataset(dataset), fiftyone.Dataset()
    samples = []
    for row in opened.rows("train"):
        person = folder / f"{row['sample_id']}.png"
        prediction = read_grey(run / "predictions" / person.name, (row["height"], row["width"]))
        person.write_bytes(target_png(np.where(prediction >= 128, np.uint8(255), np.uint8(0))))
        sample = fiftyone.Sample(filepath=str(dataset / row["image"]), sample_id=row["sample_id"])
        sample["label"] = fiftyone.Segmentation(mask_path=str(dataset / row["mask"]))
        sample["prediction"] = fiftyone.Segmentation(mask_path=str(person))
        samples.append(sample)
    shown.add_samples(samples)
    targets = {0: "background", 255: "person"}
    shown.evaluate_segmentations(
        "prediction", "label", eval_key="scored", mask_targets=targets, compute_dice=True, progress=False
    )
    ids, dice = shown.values(["sample_id", "scored_dice"])
    return dict(zip(ids, dice, strict=True))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
