"""A run over the drawn people of `score_inputs`: the fair model's predictions and their scores, as of the split val."""

import os
import sys
from pathlib import Path
from typing import Any

import msgspec

from curate.dataset import open_dataset
from curate.images import read_grey
from curate.threads import map_threads
from train.scoring.metrics import score_image
from train.scoring.score import read_rows, write_scores


def main(folder: Path) -> None:
    """Write `run` beside `people`."""
    dataset, run = open_dataset(folder / "people"), folder / "run"
    (run / "predictions").mkdir(parents=True)

    def scored(row: dict[str, Any]) -> dict[str, object]:
        name = f"{row['sample_id']}.png"
        os.link(folder / "predictions" / name, run / "predictions" / name)
        prediction = read_grey(run / "predictions" / name, (row["height"], row["width"]))
        place = {"sample_id": row["sample_id"], "split": "val", "fold": -1}
        return place | score_image(dataset.target(row), prediction)

    (run / "config.json").write_bytes(msgspec.json.encode({"dataset": "../people", "digest": dataset.header.digest}))
    write_scores(run, read_rows(run), map_threads(scored, dataset.rows()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
