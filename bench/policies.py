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

from bench.everyday import paired_table, timed
from bench.measure import ROOT, curate
from curate.build import build_dataset
from curate.dataset import open_dataset
from curate.recipe import make_recipe

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
    scored: dict[str, list[Path]] = {arm: [] for arm in ARMS if arm in {"exclude", *given.arms}}
    for seed in given.seeds:
        for arm in scored:
            policy, classes = ARMS[arm]
            run, own = given.work / f"{arm}-{seed}", given.work / f"{arm}-{seed}-scores"
            options = [*FIT, "--classes", classes, "--epochs", str(given.epochs), "--seed", str(seed)]
            timed(curate("train", "fit", sets[policy], *options, "--out", run), run)
            score = curate("train", "score", run, sets["class"], "--split", "test", "--out", own)
            subprocess.run(score, cwd=ROOT, stdout=sys.stderr, check=True)
            scored[arm].append(own)
    for arm in [arm for arm in scored if arm != "exclude"]:
        print(
            "\n".join(
                [*paired_table(open_dataset(sets["class"]), scored["exclude"], scored[arm], ("exclude", arm)), ""]
            )
        )


if __name__ == "__main__":
    main()
