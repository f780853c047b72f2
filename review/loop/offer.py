"""What a round makes of images without a label it can trust: offered for labelling, or learnt from by guesses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from curate import schema
from curate.dataset import Dataset, open_dataset, read_table, write_table
from curate.terminal import counted
from curate.threads import map_threads
from label.guessing import guess_of
from label.prelabel import prelabel
from label.rules import build_recipe, split_ratios
from label.tasks import send
from review.loop.mine import doubted_labels, hard_images, most_suspect, with_findings
from review.loop.pool import FAILING_SHARE, POOL, accept_above, guesser, search_pool
from review.loop.steps import Round, scores_of
from review.runs import read_prediction

TO_LABEL = "to-label.zip"
"""What a round offers for labelling, in the round's folder."""


def offer(begun: Round, evidence: Path) -> int:
    """Write what should be labelled next for the labelling tool; how many images that is.

    First what a reviewer asked for, or called hard in the pool, and the labels in doubt, then what of the pool is most
    worth a label; nothing of it that a reviewer excluded.
    """
    place, count = begun.folder / TO_LABEL, begun.told.config.mining.offer
    failures, suspects = (
        read_table(evidence / f"{name}.parquet", columns)
        for name, columns in (("failures", schema.FAILURES), ("suspects", schema.SUSPECTS))
    )
    verdicts = begun.verdicts
    known = with_findings(begun.dataset.samples, scores_of(evidence, "train"), failures)
    there, unlabelled = set(known["sample_id"]), set(begun.dataset.sample_ids("pool"))
    asked = [name for name, verdict in verdicts.items() if verdict == "relabel" and name in there | unlabelled]
    asked += [name for name, verdict in verdicts.items() if verdict == "hard" and name in unlabelled]
    doubted = doubted_labels(known, suspects, verdicts, begun.settled)
    failing = hard_images(known, doubted, verdicts, FAILING_SHARE)
    searched = _searched(begun, sorted(failing), count)["sample_id"]
    pool = [name for name in searched if name not in asked and verdicts.get(name) != "exclude"][:count]
    names = [*dict.fromkeys([*asked, *most_suspect(doubted, known), *pool])]
    if names and not place.is_file():
        begun.say(f"write {counted(len(names), 'image')} to be labelled to {place}")
        send(begun.dataset, place, begun.told.config.to, names)
    return len(names)


def _searched(begun: Round, failing: Sequence[str], count: int) -> pl.DataFrame:
    """The round's pool.parquet, made where it is not there yet."""
    path, told = begun.folder / "pool.parquet", begun.told
    if not path.is_file():
        wanted = count and begun.dataset.rows("pool")
        found = search_pool(begun.dataset, told.base, told.base_config, failing, count) if wanted else POOL.to_frame()
        write_table(path, found)
    return read_table(path, POOL)


def with_guesses(begun: Round, evidence: Path) -> Dataset:
    """The version in which what the model is sure of in the pool is learnt from; the round's own without a pool.

    No image is learnt from that its label, when it comes, would hold out.
    """
    dataset, out = begun.dataset, begun.folder / "guessed"
    if not dataset.rows("pool"):
        begun.say(f"note: --pool learn: {dataset.root} has no pool. Build it with some: curate build --pool DIR")
        return dataset
    threshold = accept_above(*_confidences(dataset, evidence))
    if threshold is None:
        begun.say(
            "note: --pool learn: on training images the model is not right where it is sure; no guess is learnt from"
        )
        return dataset
    model = guesser(begun.told.base, begun.told.base_config, ensemble=begun.told.config.ensemble)
    found = prelabel(dataset, out, model, threshold, ratios=split_ratios(build_recipe(dataset.header)))
    begun.say(f"{counted(len(found.accepted), 'guessed mask')} of the pool to learn from, surer than {threshold:.3f}")
    return dataset if found.status == "unchanged" else open_dataset(out)


def _confidences(dataset: Dataset, evidence: Path) -> tuple[Sequence[float], Sequence[float]]:
    """How sure the model was of each training image, out-of-fold where there are folds, and its IoU."""
    scores = scores_of(evidence, "train").drop_nulls("iou")
    rows = {row["sample_id"]: row for row in dataset.rows("train")}

    def sure(name: str) -> float:
        prediction = read_prediction(evidence, name, (rows[name]["height"], rows[name]["width"]))
        return guess_of(np.asarray(prediction / 255, np.float32)).confidence

    return map_threads(sure, scores["sample_id"].to_list()), scores["iou"].to_list()
