"""Predict whole splits at native size and score every image from the very PNG that is written."""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import nn

from curate import schema
from curate.dataset import Dataset, open_dataset, read_table, write_table
from curate.engine import map_parts
from curate.errors import MissingError, UsageError, VersionError
from curate.files import held_folder, readable_faults, sha256_file, sync_tree, write_atomic
from curate.images import prediction_png
from curate.rows import Rows
from curate.terminal import counted
from curate.threads import Tick, Watch, unwatched
from train.claim import check_apart, claim_folder, weights_path, weights_paths
from train.config import FitConfig, encode_config, has_named_weights, placed, read_config, relative
from train.data.batches import THREADS
from train.data.cache import resize_image
from train.data.folds import assign_folds
from train.inference.predict import predict_batch, predict_both_views, to_bytes, to_native
from train.inference.refine import refine
from train.models import device, load_weights
from train.models.ensemble import Ensemble
from train.scoring.metrics import score_image
from train.scoring.scored import PLAIN, RUN, Manner, identity_of, read_manner, read_origin, write_origin

BATCH, BATCHES_OF_PART = 16, 16
"""Images that are predicted at once, and how many times as many a machine of a cluster is handed at once: an image so
is in the same batch everywhere, and a batch's size can change the last bit of what is predicted."""


Figures = Mapping[str, int | float | None]


def score(
    run: Path,
    dataset: Dataset | None = None,
    splits: Sequence[str] = schema.LABELLED,
    out: Path | None = None,
    watch: Watch = unwatched,
    *,
    flip: bool = False,
    refinements: Sequence[str] = (),
    ensemble: bool = False,
    other_version: bool = False,
) -> pl.DataFrame:
    """Predict and score splits with the best weights of a run; writes `predictions/` and `scores.parquet`.

    Rows of the training split are out-of-fold where the run has folds (`fold` says which fold model), else in-sample
    with fold -1. Rows of other splits that the same weights scored before in the same manner are kept.

    Args:
        run: The run.
        dataset: The run's dataset, where it is open already or has moved.
        splits: Some of schema.SCORED.
        out: Folder that receives predictions and scores; the run itself by default.
        watch: Shown what is being done and how far it is.
        flip: Predict the mean of each image and its mirror image.
        refinements: Of train.inference.refine, one after the other.
        ensemble: Predict the mean of the run's model and its fold models.
        other_version: Score against the labels of a dataset that is another version than the run's; into another
            folder, since the run's own scores speak of its own labels.

    Returns:
        schema.SCORES, all rows of the written table, sorted by sample_id.

    Raises:
        MissingError: No run, no weights yet, or its dataset is not where it was.
        UsageError: A split that has no labels, or none that an ensemble did not learn from; rows of other splits were
            made in another manner; `out` lies in the dataset; the run learnt from images that another version tests.
        VersionError: The dataset is not the one the run was trained on, and `other_version` is false.
        ExistsError: `out` holds another run or other files, or another process works in it.
    """
    config = read_config(run)
    check_splits(splits)
    manner = Manner(flip, tuple(refinements), ensemble)
    if ensemble:
        _check_ensemble(run, config, splits)
    dataset = dataset_of(run, config) if dataset is None else dataset
    out = run if out is None else out
    if dataset.header.digest == config.digest:
        fold_of = assign_folds(dataset, config.folds, config.seed)
    elif other_version:
        fold_of = _folds_of_other(run, config, dataset, out)
    else:
        raise VersionError(
            f"{dataset.root}: has digest {dataset.header.digest[:12]}, {run} was trained on {config.digest[:12]}. "
            "Pass that dataset, train again on this one, or pass --other-version to score against its labels"
        )
    if out.resolve() != run.resolve():
        check_apart(dataset, out)
    with held_folder(out), readable_faults(out):
        if out.resolve() != run.resolve():
            _claim_other(run, out, config, dataset)
        return score_into(run, config, dataset, splits, out, watch, manner=manner, fold_of=fold_of)


def _check_ensemble(run: Path, config: FitConfig, splits: Sequence[str]) -> None:
    """Raise UsageError where there is no ensemble, or one of its models learnt from what it is to be scored on."""
    if config.folds < 2:
        raise UsageError(f"--ensemble: {run} has no fold models. Train it with: curate train fit --folds 3")
    learnt = [split for split in splits if split in schema.LEARNT]
    if learnt:
        raise UsageError(
            f"--ensemble --split {learnt[0]}: its models learnt from those images. Pass --split val or test"
        )


def _folds_of_other(run: Path, config: FitConfig, dataset: Dataset, out: Path) -> dict[str, int]:
    """sample_id -> fold model that did not learn from it, of the training images of another version of a run's dataset.

    Raises:
        UsageError: `out` is the run, or the run learnt from an image that is held out here.
    """
    if out.resolve() == run.resolve():
        raise UsageError(f"--other-version: the scores in {run} speak of its own labels. Pass --out FOLDER")
    check_unlearnt(run, dataset)
    own = dataset_of(run, config)
    known = assign_folds(own, config.folds, config.seed)
    alike = {row["group"]: known.get(row["sample_id"], -1) for row in own.rows("train")}
    new = 0 if config.folds else -1  # of a new group any fold model: none learnt from what its dataset did not have
    return {
        row["sample_id"]: known.get(row["sample_id"], alike.get(row["group"], new)) for row in dataset.rows("train")
    }


def check_unlearnt(run: Path, dataset: Dataset) -> None:
    """Raise UsageError where a run learnt from an image, or one like it, that another version holds out."""
    own = dataset_of(run, read_config(run))
    learnt = own.samples.filter(pl.col("split").is_in(schema.LEARNT))
    held_out = dataset.samples.filter(pl.col("split").is_in(["val", "test"]))
    seen = held_out.filter(
        pl.col("image_sha256").is_in(learnt["image_sha256"].implode())
        | pl.col("group").is_in(learnt["group"].implode())
    )
    if seen.height:
        found = f"{seen['sample_id'][0]} is in {seen['split'][0]}, and {run} learnt from it or from one like it"
        raise UsageError(f"{dataset.root}: {found}. Take a version in which such images are not held out")


def check_splits(splits: Sequence[str]) -> None:
    """Raise UsageError where one of the splits has no labels to score against."""
    unknown = [split for split in splits if split not in schema.SCORED]
    if unknown:
        raise UsageError(f"--split {unknown[0]}: expected one of {', '.join(schema.SCORED)}; no other has labels")


def dataset_of(run: Path, config: FitConfig) -> Dataset:
    """The dataset a run was trained on, at the place the run names."""
    place = placed(config.dataset, run)
    if not (place / "dataset.json").is_file():
        raise MissingError(f"{run}: its dataset is not at {os.path.normpath(place)}. Name its folder after the run")
    return open_dataset(place, config.digest)


def _claim_other(run: Path, out: Path, config: FitConfig, dataset: Dataset) -> None:
    """Make `out` a run of its own as far as scores go: a configuration whose files are found from there."""
    weights = config.weights if has_named_weights(config.weights) else relative(placed(config.weights, run), out)
    place = relative(dataset.root, out)
    digest = dataset.header.digest
    claim_folder(out, encode_config(msgspec.structs.replace(config, dataset=place, digest=digest, weights=weights)))


def score_into(
    run: Path,
    config: FitConfig,
    dataset: Dataset,
    splits: Sequence[str],
    out: Path,
    watch: Watch,
    *,
    manner: Manner = PLAIN,
    also: Collection[str] = (),
    fold_of: Mapping[str, int],
) -> pl.DataFrame:
    """`score` while no other process works in `out`.

    `also` are the sample_ids of further images, not out-of-fold; `fold_of` says which model scores a training image.
    """
    wanted = pl.col("split").is_in(splits) | pl.col("sample_id").is_in(list(also))
    asked = dataset.samples.filter(wanted)
    by = pl.Series([fold_of.get(name, -1) if "train" in splits else -1 for name in asked["sample_id"]])
    jobs = {fold: Rows(asked.filter(by == fold)) for fold in by.unique(maintain_order=True)}
    models = {fold: _model_of(run, config, fold, manner) for fold in jobs}
    kept = _forget_other_weights(run, config, out, manner, wanted).filter(~wanted)
    tick = watch("score", sum(map(len, jobs.values())))
    rows: list[dict[str, object]] = []
    for fold, samples in jobs.items():
        predict = partial(
            _predict_and_score_with,
            torch.get_num_threads(),
            model=models[fold],
            size=config.size,
            dataset=dataset,
            folder=out / "predictions",
            manner=manner,
            name=str(weights_path(run, fold)),
            precision=config.precision,
        )
        figures = map_parts(predict, samples, tick, BATCHES_OF_PART * BATCH, gpus=True)
        rows += [
            {"sample_id": sample["sample_id"], "split": sample["split"], "fold": fold, **own}
            for sample, own in zip(samples, figures, strict=True)
        ]
    return write_scores(out, kept, rows)


def _predict_and_score_with(threads: int, rows: Sequence[dict[str, Any]], tick: Tick, **options: Any) -> list[Figures]:
    """`predict_and_score` with so many of torch's threads, on whatever machine: the last bits of sums depend on it."""
    torch.set_num_threads(threads)
    return predict_and_score(rows=rows, tick=tick, **options)


def write_scores(out: Path, kept: pl.DataFrame, rows: list[dict[str, object]]) -> pl.DataFrame:
    """Write `scores.parquet` of rows that were kept and new ones, once their predictions are safely on the disk."""
    scores = pl.concat([kept, schema.table(rows, schema.SCORES)]).sort("sample_id")
    if rows:
        sync_tree(out / "predictions")
    write_table(out / "scores.parquet", scores)
    return scores


def read_rows(out: Path) -> pl.DataFrame:
    """The rows that are scored already; none where there is no table."""
    path = out / "scores.parquet"
    return read_table(path, schema.SCORES) if path.is_file() else schema.table([], schema.SCORES)


def _model_of(run: Path, config: FitConfig, fold: int, manner: Manner) -> nn.Module:
    """The model of a fold with its best weights, or all of a run's as one."""
    if manner.ensemble:
        return Ensemble(models_of(run, config))
    return load_weights(config, weights_path(run, fold))


def models_of(run: Path, config: FitConfig) -> list[nn.Module]:
    """The model of a run and its fold models with their best weights, in evaluation mode on the CPU."""
    return [load_weights(config, path) for path in weights_paths(run, config)]


def _forget_other_weights(run: Path, config: FitConfig, out: Path, manner: Manner, anew: pl.Expr) -> pl.DataFrame:
    """The rows scored by the weights the run has now, in this manner; others leave the table first, then their
    predictions go.

    Raises:
        UsageError: One that the same weights scored in another manner would go, and is not to be made `anew`.
    """
    paths = weights_paths(run, config)
    digests = {fold: sha256_file(path) for fold, path in enumerate(paths, start=-1) if path.is_file()}
    if manner.ensemble:
        digests = {-1: "+".join(digests.values())}
    current = {str(fold): identity_of(digest, manner) for fold, digest in digests.items()}
    earlier, scored = read_origin(out), read_rows(out)
    same = pl.col("fold").is_in([int(fold) for fold, identity in current.items() if earlier.get(fold) == identity])
    alike = [fold for fold, digest in digests.items() if earlier.get(str(fold), "").split(" ")[0] == digest]
    _refuse_loss(out, scored.filter(pl.col("fold").is_in(alike) & ~same & ~anew))
    kept = scored.filter(same)
    if kept.height != scored.height:
        write_table(out / "scores.parquet", kept)
        for sample_id in scored.filter(~same)["sample_id"]:
            (out / "predictions" / f"{sample_id}.png").unlink(missing_ok=True)
    own = out.resolve() == run.resolve()
    write_origin(out, current if own else current | {RUN: relative(run, out)})
    return kept


def _refuse_loss(out: Path, lost: pl.DataFrame) -> None:
    """Raise UsageError where there are rows that would go."""
    if not lost.height:
        return
    splits = [split for split in schema.SCORED if split in set(lost["split"])]
    rows, too = counted(lost.height, "row"), " ".join(f"--split {split}" for split in splits)
    raise UsageError(
        f"{out}: {rows} of {' and '.join(splits)}, made with {read_manner(out)}, would go. "
        f"Pass --out FOLDER, or {too} beside the others"
    )


def predict_and_score(
    model: nn.Module,
    size: int,
    dataset: Dataset,
    rows: Sequence[dict[str, Any]],
    tick: Tick,
    folder: Path,
    *,
    manner: Manner = PLAIN,
    name: str = "the model",
    precision: str = "auto",
) -> list[Figures]:
    """Write the prediction of every row into `folder` and return its figures, in the order of the rows.

    Reading, resizing, writing and counting run in threads beside the model.
    """
    model = model.to(device())
    finishing: list[Future[Figures]] = []
    predict = partial(predict_both_views if manner.flip else predict_batch, precision=precision)
    # Filters for warnings are global to the process: threads that set and reset them would undo each other.
    with warnings.catch_warnings(), ThreadPoolExecutor(THREADS) as pool:
        warnings.simplefilter("ignore")
        try:
            for batch, images in _read_ahead(dataset, rows, size, pool):
                for row, chances in zip(batch, predict(model, images), strict=True):
                    finishing.append(
                        pool.submit(finish_image, dataset, row, chances, folder, manner.refinements, name=name)
                    )
                for future in finishing[-2 * BATCH : -BATCH]:  # no more than two batches wait at native size
                    future.result()
                tick(len(batch))
            return [future.result() for future in finishing]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _read_ahead(
    dataset: Dataset, rows: Sequence[dict[str, Any]], size: int, pool: ThreadPoolExecutor
) -> Iterator[tuple[Sequence[dict[str, Any]], NDArray[np.uint8]]]:
    """Batches of rows with their images (N, S, S, 3); the next is read while one is predicted."""

    def read(row: dict[str, Any]) -> NDArray[np.uint8]:
        return resize_image(dataset.image(row), size)

    parts = [rows[begin : begin + BATCH] for begin in range(0, len(rows), BATCH)]
    reading = [[pool.submit(read, row) for row in part] for part in parts[:1]]
    for number, part in enumerate(parts):
        reading += [[pool.submit(read, row) for row in following] for following in parts[number + 1 : number + 2]]
        yield part, np.stack([future.result() for future in reading.pop(0)])


def finish_image(
    dataset: Dataset,
    row: dict[str, Any],
    chances: NDArray[np.float32],
    folder: Path,
    refinements: Sequence[str] = (),
    *,
    name: str = "the model",
) -> Figures:
    """Refine, write and score one prediction at native size; `chances` is (S, S) or at native size already.

    Raises:
        CurateError: What the model of this name predicts is no number.
    """
    native = to_native(chances, (row["height"], row["width"]))
    prediction = to_bytes(refine(dataset.image(row), native, refinements) if refinements else native, name)
    write_atomic(folder / f"{row['sample_id']}.png", prediction_png(prediction), synced=False)
    return score_image(dataset.target(row), prediction)
