"""Score predictions that lie on the disk, image by image."""

import json
import sys
import time
from pathlib import Path
from typing import Any

from curate.dataset import open_dataset
from curate.images import read_grey
from curate.threads import map_threads
from train.scoring.metrics import score_image


def main(folder: Path) -> None:
    """Print the seconds it took and the pixels of all images together."""
    dataset = open_dataset(folder / "people")
    rows = dataset.rows()

    def score(row: dict[str, Any]) -> dict[str, Any]:
        prediction = read_grey(folder / "predictions" / f"{row['sample_id']}.png", (row["height"], row["width"]))
        return score_image(dataset.target(row), prediction)

    begun, worked = time.perf_counter(), time.process_time()
    figures = map_threads(score, rows)
    seconds = {"wall_s": time.perf_counter() - begun, "cpu_s": time.process_time() - worked}
    pixels = {name: sum(figure[name] for figure in figures) for name in ("tp", "fp", "fn", "tn")}
    print(json.dumps({"images": len(rows)} | seconds | pixels))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
