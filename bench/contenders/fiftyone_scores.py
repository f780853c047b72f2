"""Score the same predictions with FiftyOne's `evaluate_segmentations`, starting up and adding the images aside."""

import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from bench.database import start_database
from curate.errors import MachineError


def main(folder: Path) -> None:
    """Print the seconds it took and the pixels of all images together."""
    place = folder / "mongo"  # FiftyOne looks at it once more when this process ends
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    try:
        start_database(place)
    except MachineError as error:
        print(json.dumps({"left_out": str(error)}))
        return
    os.environ["FIFTYONE_SHOW_PROGRESS_BARS"] = "false"
    found = evaluate(folder)
    print(json.dumps(found))


def evaluate(folder: Path) -> dict[str, Any]:
    """What there is to print."""
    import fiftyone

    dataset = fiftyone.Dataset()
    dataset.add_samples(
        fiftyone.Sample(
            filepath=str(photo),
            label=fiftyone.Segmentation(mask_path=str(folder / "people" / "masks" / f"{photo.stem}.png")),
            prediction=fiftyone.Segmentation(mask_path=str(folder / "thresholded" / f"{photo.stem}.png")),
        )
        for photo in sorted((folder / "people" / "images").iterdir())
    )
    begun, worked = time.perf_counter(), time.process_time()
    results = dataset.evaluate_segmentations(
        "prediction", "label", eval_key="scored", mask_targets={0: "background", 255: "person"}, progress=False
    )
    wall_s, cpu_s = time.perf_counter() - begun, time.process_time() - worked
    (tn, fp), (fn, tp) = results.pixel_confusion_matrix.tolist()
    return {"images": len(dataset), "wall_s": wall_s, "cpu_s": cpu_s, "tp": tp, "fp": fp, "fn": fn, "tn": tn}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
