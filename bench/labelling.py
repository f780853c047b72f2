"""Which images to label next: by the tool against at random: `python -m bench.labelling --data DIR --work DIR`.

Of the training images of humanseg, ccp, coco-mini and voc2012 a tenth is labelled at first, the same for both; then as
many more are as make a quarter and a half of them: at random, or those that a loop would offer, of which the model
trained so far knows least. Each model starts from random weights and sees as many images as any other; empty scenes,
of which there would be more than labels at first, are left out. What is in `--work` is not done again, so seeds can be
added one by one.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from bench.earning import build, gain_of, mean_iou, scores_of
from bench.mending import trained, version
from curate import schema
from curate.dataset import Dataset, open_dataset, read_table
from review.compare import gain_words
from review.loop.pool import FAILING_SHARE, search_pool
from review.paired import differences
from train.config import read_config
from train.scoring.figures import groups_of

SHARES = (0.1, 0.25, 0.5)
FOLDS = ("--folds", "2")
WAYS = ("random", "tool")


def labelled(whole: Dataset, names: Sequence[str], out: Path) -> Dataset:
    """The version in which of the training images only some are labelled, and the others, alone, are the pool."""
    others = (pl.col("split") == "train") & ~pl.col("sample_id").is_in(names)
    kept = whole.samples.filter(~pl.col("split").is_in(["pool", "background"]))
    split = pl.when(others).then(pl.lit("pool")).otherwise("split")
    samples = whole.samples.join(kept, on="sample_id", how="semi", maintain_order="left").with_columns(split=split)
    return open_dataset(version(whole, samples, {}, out))


def offered(dataset: Dataset, run: Path, count: int) -> list[str]:
    """The images of the pool that a loop from this run would offer."""
    scores = read_table(run / "scores.parquet", schema.SCORES).filter(split="train").sort("iou", "sample_id")
    failing = scores["sample_id"].head(math.ceil(FAILING_SHARE * scores.height)).to_list()
    return search_pool(dataset, run, read_config(run), failing, count)["sample_id"].head(count).to_list()


def curve(whole: Dataset, work: Path, seed: int, epochs: int) -> dict[tuple[str, float], Path]:
    """The run for each way and share; all labels are the share 1, by either way."""
    training = [row["sample_id"] for row in whole.rows("train")]
    order = [training[place] for place in np.random.default_rng(seed).permutation(len(training))]
    counts = [round(share * len(order)) for share in SHARES]
    steps = ("--epoch-images", str(len(order)))
    full = trained(labelled(whole, training, work / "set-full").root, work / f"run-full-{seed}", seed, epochs, steps)
    runs: dict[tuple[str, float], Path] = {}
    for way in WAYS:
        names = order[: counts[0]]
        for share, following in zip(SHARES, [*counts[1:], None], strict=True):
            name = f"{'start' if share == SHARES[0] else way}-{share:g}-{seed}"
            dataset = labelled(whole, names, work / f"set-{name}")
            folds = FOLDS if following and (way == "tool" or share == SHARES[0]) else ()
            runs[way, share] = trained(dataset.root, work / f"run-{name}", seed, epochs, [*folds, *steps])
            if following and way == "tool":
                names = names + offered(dataset, runs[way, share], following - len(names))
            elif following:
                names = order[:following]
        runs[way, 1.0] = full
    return runs


def table(dataset: Dataset, runs: Sequence[Mapping[tuple[str, float], Path]]) -> Iterator[str]:
    """Image mean IoU of the test split by share and way, means over the seeds, and their differences.

    The chance of a training is in their intervals.
    """
    groups = groups_of(dataset)
    whole = scores_of([one["tool", 1.0] for one in runs], "test")
    yield (
        "| labelled | random | tool | tool - random [95 %] | by seed | worst tenth: tool - random [95 %] "
        "| random - all labels [95 %] | tool - all labels [95 %] |"
    )
    yield "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for share in (*SHARES, 1.0):
        random, tool = (scores_of([one[way, share] for one in runs], "test") for way in WAYS)
        found = {one.name: one for one in differences(random, tool, groups)}
        mean, worst = found["image mean IoU"], found["worst tenth IoU"]
        by_seed = ", ".join(f"{gain_of(one['random', share], one['tool', share], 'test'):+.3f}" for one in runs)
        gains = ["", "", ""] if share in (SHARES[0], 1.0) else [gain_words(mean), by_seed, gain_words(worst)]
        if share < 1.0:
            gains += [gain_words(differences(whole, some, groups)[0]) for some in (random, tool)]
        yield f"| {share:.0%} | {mean.first:.3f} | {mean.second:.3f} | {' | '.join(gains)} |"


def draw(runs: Sequence[Mapping[tuple[str, float], Path]], path: Path) -> None:
    """The curves as a picture: a thin line for each seed, a thick one for their mean."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 4), layout="constrained")
    shares = (*SHARES, 1.0)
    for way, colour in zip(WAYS, ("#94a3b8", "#e11d48"), strict=True):
        lines = np.array([[mean_iou(one[way, share], "test") for share in shares] for one in runs])
        for line in lines:
            axes.plot(shares, line, color=colour, linewidth=0.7, alpha=0.6)
        axes.plot(shares, lines.mean(0), color=colour, linewidth=2.2, marker="o", label=way)
    axes.set(xlabel="share of the training images that are labelled", ylabel="image mean IoU, test", xticks=shares)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.legend(title="chosen by")
    figure.savefig(path, dpi=110)


def main() -> None:
    """Train what is not there yet, print the table, draw the curves."""
    parser = argparse.ArgumentParser(prog="python -m bench.labelling", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="Folder of the four collections.")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="Folder for the runs.")
    parser.add_argument("--epochs", type=int, default=40, metavar="N", help="Of each run.  [default: %(default)s]")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], metavar="N", help="Of order and runs.")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="Draw the curves.")
    given = parser.parse_args()
    work = given.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    whole = build(given.data.resolve(), work)
    runs = [curve(whole, work, seed, given.epochs) for seed in given.seeds]
    print("\n".join(table(whole, runs)))
    if given.plot:
        draw(runs, given.plot)


if __name__ == "__main__":
    main()
