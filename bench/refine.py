"""What each refinement earns over none: `python -m bench.refine --data ../shared/data`.

The probabilities are PP-HumanSeg-Lite's for `humanseg`, photographs with hand-made masks. Its settings were chosen on
every second photograph (sorted by name), so the other half is told apart. Differences are of the same photographs, with
95 % intervals by paired bootstrap (`review.paired`); seconds are of CPU, for the refinement alone.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from curate.choosing.build import build_dataset
from curate.choosing.recipe import make_recipe
from curate.dataset import Dataset, open_dataset
from curate.person_model import InputSpec, Predict, Probability, open_model
from review.paired import differences
from train.inference.predict import to_bytes
from train.inference.refine import refine
from train.scoring.figures import groups_of
from train.scoring.metrics import score_image

WAYS = ("largest-parts", "guided", "matting", "largest-parts,guided", "largest-parts,matting", "guided,matting")
"""Values of --refine."""
FIGURES = ("image mean IoU", "mean Boundary IoU", "worst tenth IoU")


def predict_all(dataset: Dataset, predict: Predict) -> list[Probability]:
    """The probabilities of every photograph, in the order of the rows."""
    return [predict(dataset.image(row)) for row in dataset.rows()]


def score_way(dataset: Dataset, predicted: Sequence[Probability], names: Sequence[str]) -> tuple[pl.DataFrame, float]:
    """The scores of every photograph after these refinements, and the seconds that they took of each."""
    rows, seconds = [], 0.0
    for row, chances in zip(dataset.rows(), predicted, strict=True):
        image = dataset.image(row)
        start = time.process_time()
        found = refine(image, chances, names)
        seconds += time.process_time() - start
        rows.append({"sample_id": row["sample_id"], **score_image(dataset.target(row), to_bytes(found))})
    return pl.DataFrame(rows), seconds / len(rows)


def table(dataset: Dataset, predicted: Sequence[Probability]) -> Iterator[str]:
    """The lines of the tables: of all photographs, and of the half that no setting was chosen on."""
    plain, _ = score_way(dataset, predicted, ())
    scored = {way: score_way(dataset, predicted, way.split(",")) for way in WAYS}
    for title, half in (("all", slice(None)), ("not chosen on", slice(1, None, 2))):
        ids = sorted(plain["sample_id"])[half]
        own = plain.filter(pl.col("sample_id").is_in(ids))
        yield f"| {title}: {len(ids)} photographs | " + " | ".join(FIGURES) + " | CPU seconds an image |"
        yield "| --- |" + " ---: |" * (len(FIGURES) + 1)
        none = {figure.name: figure for figure in differences(own, own, groups_of(dataset))}
        yield "| none | " + " | ".join(f"{none[name].first:.3f}" for name in FIGURES) + " | |"
        for way, (scores, seconds) in scored.items():
            theirs = scores.filter(pl.col("sample_id").is_in(ids))
            found = {one.name: one for one in differences(own, theirs, groups_of(dataset))}
            cells = [
                f"{found[name].difference:+.4f} [{found[name].low:+.4f}, {found[name].high:+.4f}]" for name in FIGURES
            ]
            yield f"| {way} | " + " | ".join(cells) + f" | {seconds:.2f} |"
        yield ""


def real_set(data: Path, out: Path) -> Dataset:
    """The dataset of `humanseg`."""
    pairs = [["humanseg=" + str(data / "humanseg/images"), str(data / "humanseg/masks")]]
    build_dataset(make_recipe({"name": "refine", "pairs": pairs}), out)
    return open_dataset(out)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.refine", description="Measure each refinement.")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="Folder with humanseg and models.")
    given = parser.parse_args()
    model = open_model(given.data / "models/pp-humanseg-lite.onnx", InputSpec(normalise="signed"))
    with tempfile.TemporaryDirectory() as folder:
        dataset = real_set(given.data, Path(folder, "set"))
        print("\n".join(table(dataset, predict_all(dataset, model.predict))))


if __name__ == "__main__":
    main()
