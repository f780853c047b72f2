"""Held objects and animals as classes of their own, beside foreground policies: `python -m bench.policies --data DIR`.

All runs learn from the same photographs of humanseg, ccp, coco-mini and voc2012 (only the last two name objects, so of
the others a model learns the person alone), from random weights, and are scored on the same test photographs by the
person's own mask. What is in `--work` already is not done again, so seeds can be added one by one.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.everyday import paired_table, timed
from bench.measure import ROOT, curate
from curate import schema
from curate.choosing.build import build_dataset
from curate.choosing.recipe import make_recipe
from curate.dataset import Dataset, open_dataset, write_table
from curate.images import read_grey
from curate.threads import map_threads
from train.scoring.metrics import score_image

FIT = ("--encoder", "mobilenet_v2", "--weights", "none", "--size", "96")
ARMS = {
    "exclude": ("class", "person"),
    "class": ("class", "person,held,animal"),
    "ignore": ("ignore", "person"),
    "include": ("include", "person"),
}
"""Arm -> the policy its dataset is built with, and the classes it learns. The policy `class` leaves a person's mask as
`exclude` does, so that the first two learn from the same dataset."""


def build(data: Path, work: Path, policy: str) -> Path:
    """The dataset of a policy."""
    out = work / f"set-{policy}"
    coco = [f"{name}={data}/coco-mini/annotations/instances_{name}2017.json" for name in ("train", "val")]
    pairs = [
        [f"humanseg={data}/humanseg/images", f"{data}/humanseg/masks"],
        [f"ccp={data}/ccp/photos", f"{data}/ccp/pixel-level"],
    ]
    images = [f"{data}/coco-mini/{name}2017" for name in ("train", "val")]
    options = {"name": policy, "coco": coco, "images": images, "voc": [str(data / "voc2012")], "pairs": pairs}
    build_dataset(make_recipe(options | {"held": policy, "animals": policy, "split": "55/15/30"}), out)
    return out


def score_by(labels: Dataset, run: Path, out: Path) -> None:
    """Score a run's predictions of the test split by the masks of another version of the same photographs."""
    rows = labels.rows("test")

    def scored(row: dict[str, Any]) -> dict[str, object]:
        prediction = read_grey(run / "predictions" / f"{row['sample_id']}.png", (row["height"], row["width"]))
        return {"sample_id": row["sample_id"], "split": "test", "fold": -1} | score_image(
            labels.target(row), prediction
        )

    out.mkdir(exist_ok=True)
    write_table(out / "scores.parquet", schema.table(map_threads(scored, rows), schema.SCORES))


def main() -> None:
    """Train every arm with each seed, score them on one dataset, print what each policy differs by from `exclude`."""
    parser = argparse.ArgumentParser(prog="python -m bench.policies", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="Folder of the four collections.")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="Folder for the runs.")
    parser.add_argument("--epochs", type=int, default=40, metavar="N", help="Of each run.  [default: %(default)s]")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], metavar="N", help="Of all arms.  [default: 0]")
    parser.add_argument("--arms", nargs="+", choices=[*ARMS], default=[*ARMS], help="Those to run beside exclude.")
    given = parser.parse_args()
    sets = {policy: build(given.data, given.work, policy) for policy, _ in ARMS.values()}
    labels = open_dataset(sets["class"])
    scored: dict[str, list[Path]] = {arm: [] for arm in ARMS if arm in {"exclude", *given.arms}}
    for seed in given.seeds:
        for arm in scored:
            policy, classes = ARMS[arm]
            run, own = given.work / f"{arm}-{seed}", given.work / f"{arm}-{seed}-scores"
            options = [*FIT, "--classes", classes, "--epochs", str(given.epochs), "--seed", str(seed)]
            timed(curate("train", "fit", sets[policy], *options, "--out", run), run)
            subprocess.run(curate("train", "score", run, "--split", "test"), cwd=ROOT, stdout=sys.stderr, check=True)
            score_by(labels, run, own)
            scored[arm].append(own)
    for arm in [arm for arm in scored if arm != "exclude"]:
        print("\n".join([*paired_table(labels, scored["exclude"], scored[arm], ("exclude", arm)), ""]))


if __name__ == "__main__":
    main()
