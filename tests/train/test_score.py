"""Scores on disk: recomputable from predictions and masks, merged by split, honest about folds."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest
import safetensors.torch
import torch
from PIL import Image

from curate import schema
from curate.dataset import Dataset, open_dataset, read_table
from curate.errors import CurateError, ExistsError, FormatError, MissingError, UsageError, VersionError
from curate.files import held_folder
from curate.images import read_grey
from curate.person_model import InputSpec
from label.importing import Request, import_labels
from tests.train.conftest import Trained
from tests.train.making import make_dataset, quick
from train.config import encode_config, read_config
from train.data.folds import assign_folds
from train.fit import fit
from train.inference.predict import predict_image, to_bytes
from train.models import Loaded, load, load_weights
from train.scoring.metrics import score_image
from train.scoring.peers import open_peer, score_peer
from train.scoring.score import score
from train.scoring.scored import Manner, read_manner, run_of


def scores_of(run: Path) -> pl.DataFrame:
    return read_table(run / "scores.parquet", schema.SCORES)


def test_every_score_is_recomputed_from_predictions_and_masks(copied: Callable[[Path], Trained], folded: Path) -> None:
    trained = copied(folded)
    scores = score(trained.run, splits=("train", "val", "test", "background"))
    assert scores.equals(scores_of(trained.run))
    assert scores.height == trained.dataset.samples.height
    rows = {row["sample_id"]: row for row in trained.dataset.rows()}
    for scored in scores.to_dicts():
        row = rows[scored["sample_id"]]
        prediction = read_grey(trained.run / "predictions" / f"{row['sample_id']}.png", (row["height"], row["width"]))
        place = {"sample_id": row["sample_id"], "split": row["split"], "fold": scored["fold"]}
        assert place | score_image(trained.dataset.target(row), prediction) == scored


def test_a_prediction_is_the_best_models(finished: Path, drawn: Dataset) -> None:
    loaded = load(finished)
    for row in drawn.rows("val"):
        chances = predict_image(loaded, drawn.image(row))
        assert chances.shape == (row["height"], row["width"])
        assert chances.dtype == np.float32
        written = read_grey(finished / "predictions" / f"{row['sample_id']}.png")
        # A batch of another size may add up in another order.
        assert np.abs(written.astype(int) - to_bytes(chances).astype(int)).max() <= 1


def test_training_rows_are_out_of_fold(copied: Callable[[Path], Trained], folded: Path) -> None:
    trained = copied(folded)
    fold_of = assign_folds(trained.dataset, 2, 0)
    training = scores_of(trained.run).filter(pl.col("split") == "train")
    assert dict(training.select("sample_id", "fold").iter_rows()) == fold_of
    config = load(trained.run).config
    models = {fold: load_weights(config, trained.run / f"fold-{fold}" / "best.safetensors") for fold in (0, 1)}
    apart = 0
    for row in trained.dataset.rows("train"):
        written = read_grey(trained.run / "predictions" / f"{row['sample_id']}.png").astype(int)
        image = trained.dataset.image(row)
        differences = {
            fold: np.abs(written - to_bytes(predict_image(Loaded(model, config), image))).max()
            for fold, model in models.items()
        }
        assert differences[fold_of[row["sample_id"]]] <= 1
        apart += differences[1 - fold_of[row["sample_id"]]] > 1
    assert apart > 0
    assert scores_of(trained.run).filter(pl.col("split") == "val")["fold"].unique().to_list() == [-1]


def test_without_folds_training_rows_are_in_sample(copied: Callable[[Path], Trained], finished: Path) -> None:
    scores = score(copied(finished).run)
    assert scores.filter(pl.col("split") == "train")["fold"].unique().to_list() == [-1]


def test_splits_are_merged(copied: Callable[[Path], Trained], finished: Path) -> None:
    trained = copied(finished)
    before = scores_of(trained.run)
    assert set(before["split"]) == {"val"}
    merged = score(trained.run, splits=["test"])
    assert merged.filter(pl.col("split") == "val").equals(before)
    assert merged["sample_id"].to_list() == sorted(merged["sample_id"])
    assert score(trained.run, splits=["test"]).equals(merged)
    in_one = score(trained.run, splits=["val", "test"])
    assert (
        in_one.drop("bce", "label_quality").equals(merged.drop("bce", "label_quality")) or in_one.shape == merged.shape
    )


def test_flipped_is_the_mean_of_both_views(copied: Callable[[Path], Trained], finished: Path, tmp_path: Path) -> None:
    trained = copied(finished)
    out = tmp_path / "flipped"
    flipped = score(trained.run, splits=["test"], flip=True, out=out)
    assert set(flipped["split"]) == {"test"}
    assert read_manner(out) == Manner(flip=True)
    loaded = load(trained.run)
    for row in trained.dataset.rows("test"):
        image = trained.dataset.image(row)
        mirrored = predict_image(loaded, np.ascontiguousarray(image[:, ::-1]))[:, ::-1]
        expected = to_bytes((predict_image(loaded, image) + mirrored) / 2)
        written = read_grey(out / "predictions" / f"{row['sample_id']}.png")
        assert np.abs(written.astype(int) - expected.astype(int)).max() <= 1


def test_an_ensemble_is_the_mean_of_all_models(copied: Callable[[Path], Trained], folded: Path, tmp_path: Path) -> None:
    trained, out = copied(folded), tmp_path / "ensemble"
    scores = score(trained.run, splits=["val"], ensemble=True, out=out)
    assert set(scores["fold"]) == {-1}
    assert read_manner(out) == Manner(ensemble=True)
    config = load(trained.run).config
    models = [load_weights(config, trained.run / place / "best.safetensors") for place in ("", "fold-0", "fold-1")]
    for row in trained.dataset.rows("val"):
        image = trained.dataset.image(row)
        expected = to_bytes(np.mean([predict_image(Loaded(model, config), image) for model in models], axis=0))
        written = read_grey(out / "predictions" / f"{row['sample_id']}.png")
        assert np.abs(written.astype(int) - expected.astype(int)).max() <= 1
    shutil.copy(trained.run / "fold-0/best.safetensors", trained.run / "fold-1/best.safetensors")
    assert set(score(trained.run, splits=["test"], ensemble=True, out=out)["split"]) == {"test"}, "val is forgotten"


def test_an_ensemble_is_not_asked_about_what_its_models_learnt(
    copied: Callable[[Path], Trained], folded: Path, finished: Path, tmp_path: Path
) -> None:
    trained = copied(folded)
    for split in ("train", "background"):
        with pytest.raises(UsageError, match=f"--ensemble --split {split}: its models learnt from those images"):
            score(trained.run, splits=["val", split], ensemble=True, out=tmp_path / "out")
    with pytest.raises(UsageError, match=r"--ensemble: .*run has no fold models. Train it with"):
        score(finished, splits=["val"], ensemble=True, out=tmp_path / "out")


def relabelled(dataset: Dataset, out: Path) -> Dataset:
    """The next version of a dataset, in the first image of each split another person."""
    first = {split: dataset.rows(split)[0]["sample_id"] for split in ("train", "val", "test")}
    folder = out.parent / f"{out.name}-labels"
    folder.mkdir()
    for row in dataset.rows():
        if row["sample_id"] in first.values():
            corner = np.zeros((row["height"], row["width"]), np.uint8)
            corner[:9, :9] = 255
            Image.fromarray(corner).save(folder / f"{row['sample_id']}.png")
    import_labels(dataset, out, Request(folder))
    return open_dataset(out)


def test_a_run_is_scored_against_the_labels_of_another_version(
    copied: Callable[[Path], Trained], folded: Path, tmp_path: Path
) -> None:
    trained = copied(folded)
    own, newer = score(trained.run), relabelled(trained.dataset, tmp_path / "newer")
    out = tmp_path / "judged"
    scores = score(trained.run, newer, out=out, other_version=True)
    assert read_config(out).digest == newer.header.digest
    assert scores.select("sample_id", "split", "fold").equals(own.select("sample_id", "split", "fold"))
    for row in newer.rows("train", "val", "test"):
        prediction = read_grey(out / "predictions" / f"{row['sample_id']}.png", (row["height"], row["width"]))
        assert (
            scores.row(by_predicate=pl.col("sample_id") == row["sample_id"], named=True)["iou"]
            == (score_image(newer.target(row), prediction)["iou"])
        )
    labelled = own.select(pl.col("tp") + pl.col("fn")) != scores.select(pl.col("tp") + pl.col("fn"))
    assert labelled["tp"].sum() == 3, "three labels are other ones"
    with pytest.raises(VersionError, match="or pass --other-version to score against its labels"):
        score(trained.run, newer, out=tmp_path / "other")
    with pytest.raises(UsageError, match=r"--other-version: the scores in .*run speak of its own labels. Pass --out"):
        score(trained.run, newer, other_version=True)


def test_no_run_is_tested_on_what_it_learnt_from(
    copied: Callable[[Path], Trained], finished: Path, tmp_path: Path
) -> None:
    trained = copied(finished)
    newer = relabelled(trained.dataset, tmp_path / "newer")
    moved = newer.samples.with_columns(
        split=pl.when(pl.col("sample_id") == newer.rows("train")[2]["sample_id"])
        .then(pl.lit("test"))
        .otherwise("split")
    )
    other = replace(newer, scan=moved.lazy())
    with pytest.raises(UsageError, match=r"is in test, and .*run learnt from it or from one like it"):
        score(trained.run, other, ["test"], tmp_path / "out", other_version=True)


def test_scores_are_never_mixed_with_those_of_another_manner_nor_lost_to_it(
    copied: Callable[[Path], Trained], folded: Path
) -> None:
    trained = copied(folded)
    plain = {path: path.read_bytes() for path in trained.run.rglob("*") if path.is_file()}
    told = r"run: 11 rows of train and val, made with neither --flip nor --refine, would go. Pass --out FOLDER, or "
    with pytest.raises(UsageError, match=told + "--split train --split val beside the others"):
        score(trained.run, splits=["test"], flip=True)
    assert {path: path.read_bytes() for path in trained.run.rglob("*") if path.is_file()} == plain
    flipped = score(trained.run, flip=True)
    assert set(flipped["split"]) == {"train", "val", "test"}
    assert read_manner(trained.run) == Manner(flip=True)
    with pytest.raises(UsageError, match=r"run: 10 rows of train and test, made with --flip, would go"):
        score(trained.run, splits=["val"], refinements=["guided"])
    score(trained.run, refinements=["largest-parts", "guided"])
    assert read_manner(trained.run) == Manner(refinements=("largest-parts", "guided"))


def test_rows_of_other_weights_are_forgotten(
    copied: Callable[[Path], Trained], finished: Path, drawn: Dataset, tmp_path: Path
) -> None:
    trained = copied(finished)
    score(trained.run)
    other = fit(drawn, tmp_path / "other", quick(model="unet", epochs=2, seed=3))
    shutil.copy(other / "best.safetensors", trained.run)
    again = score(trained.run, splits=["test"])
    assert set(again["split"]) == {"test"}
    left = {path.stem for path in (trained.run / "predictions").glob("*.png")}
    assert left == set(again["sample_id"])


def test_scoring_into_another_folder(copied: Callable[[Path], Trained], finished: Path, tmp_path: Path) -> None:
    trained = copied(finished)
    before = {path: path.stat().st_mtime_ns for path in trained.run.rglob("*")}
    out = tmp_path / "far" / "away" / "scored"
    scores = score(trained.run, splits=["test"], out=out)
    assert scores.equals(scores_of(out))
    assert len(list((out / "predictions").glob("*.png"))) == 2
    place = run_of(out)
    assert place is not None
    assert place.resolve() == trained.run.resolve()
    assert (out / read_config(out).dataset).resolve() == (tmp_path / "drawn" / "people").resolve()
    assert before == {path: path.stat().st_mtime_ns for path in trained.run.rglob("*")}


def test_scoring_into_another_runs_folder_is_refused(finished: Path, folded: Path) -> None:
    with pytest.raises(ExistsError, match=r"holds another run. Choose another --out"):
        score(finished, out=folded)


def test_a_folder_scored_elsewhere_names_the_weight_file_from_there(
    copied: Callable[[Path], Trained], finished: Path, tmp_path: Path
) -> None:
    trained = copied(finished)
    config = msgspec.structs.replace(read_config(trained.run), weights="../start.safetensors")
    (trained.run / "config.json").write_bytes(encode_config(config))
    out = tmp_path / "far" / "away" / "scored"
    score(trained.run, splits=["test"], out=out)
    assert (out / read_config(out).weights).resolve() == tmp_path / "copy" / "start.safetensors"
    score(trained.run, splits=["test"], out=out)


def test_where_scores_may_not_go(finished: Path, drawn: Dataset, tmp_path: Path) -> None:
    (tmp_path / "full" / "predictions").mkdir(parents=True)
    (tmp_path / "full" / "predictions" / "holiday.png").write_text("mine")
    other = make_dataset(tmp_path / "other")
    (tmp_path / "file").write_text("")
    grabcut = open_peer("grabcut", InputSpec())
    for out, error, message in (
        (tmp_path / "full", ExistsError, r"full: holds predictions and is no run. Choose another --out"),
        (other.root, ExistsError, r"other: is a dataset and no run. Choose another --out"),
        (tmp_path / "file", ExistsError, r"file: is a file. Choose another --out"),
        (drawn.root / "scored", UsageError, r"scored: lies in or around the dataset"),
        (drawn.root, UsageError, r"lies in or around the dataset"),
    ):
        before = {path: path.stat().st_mtime_ns for path in (*drawn.root.rglob("*"), *tmp_path.rglob("*"))}
        with pytest.raises(error, match=message):
            score(finished, splits=["test"], out=out)
        with pytest.raises(error, match=message):
            score_peer(grabcut, drawn, out, ["test"])
        assert before == {path: path.stat().st_mtime_ns for path in (*drawn.root.rglob("*"), *tmp_path.rglob("*"))}


def test_a_moved_dataset_is_named_and_can_be_passed(
    copied: Callable[[Path], Trained], finished: Path, tmp_path: Path
) -> None:
    trained = copied(finished)
    (tmp_path / "drawn" / "people").rename(tmp_path / "moved")
    with pytest.raises(MissingError, match=r"its dataset is not at .*people. Name its folder after the run"):
        score(trained.run)
    assert score(trained.run, open_dataset(tmp_path / "moved"), ["test"]).height == 5


def test_another_version_of_the_dataset_is_refused(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(VersionError, match=r"was trained on"):
        score(finished, make_dataset(tmp_path / "people", seed=4))


def test_a_split_without_labels_is_refused(finished: Path) -> None:
    with pytest.raises(UsageError, match=r"--split pool: expected one of train, val, test, background"):
        score(finished, splits=["pool"])


def test_no_run_and_no_weights(tmp_path: Path, copied: Callable[[Path], Trained], finished: Path) -> None:
    with pytest.raises(MissingError, match=r"no such run"):
        score(tmp_path / "none")
    trained = copied(finished)
    (trained.run / "best.safetensors").unlink()
    with pytest.raises(MissingError, match=r"best\.safetensors: no such weights. A run has them once its first"):
        score(trained.run)


def test_a_folder_of_scores_says_which_run_has_the_weights(finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "scored"
    score(finished, splits=["test"], out=out)
    with pytest.raises(MissingError, match=rf"no such weights. Only scores of {finished} are here. Name that run"):
        load(out)


def test_scoring_while_another_process_works_there(copied: Callable[[Path], Trained], finished: Path) -> None:
    trained = copied(finished)
    with held_folder(trained.run), pytest.raises(ExistsError, match=r"another process is writing it"):
        score(trained.run)


def test_a_model_that_predicts_no_numbers_is_named(copied: Callable[[Path], Trained], finished: Path) -> None:
    trained = copied(finished)
    weights = trained.run / "best.safetensors"
    tensors = safetensors.torch.load_file(weights)
    tensors["segmentation_head.0.bias"][:] = torch.nan
    safetensors.torch.save_file(tensors, weights)
    with pytest.raises(
        CurateError, match=rf"^{weights}: what it predicts is no number at ([\d,]+) pixels of \1; its weights"
    ):
        score(trained.run, splits=["test"])


def test_a_damaged_identity_is_named(copied: Callable[[Path], Trained], finished: Path) -> None:
    trained = copied(finished)
    (trained.run / "predictions" / "weights.json").write_text("{")
    with pytest.raises(FormatError, match=r"weights\.json: is damaged"):
        score(trained.run)


def test_a_split_without_images_scores_nothing(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "people", ("train",) * 4)
    run = fit(dataset, tmp_path / "run", quick(validation="none"))
    assert score(run, splits=["test"]).is_empty()


def test_a_missing_photo_stops_scoring_and_is_named(
    copied: Callable[[Path], Trained], finished: Path, tmp_path: Path
) -> None:
    trained = copied(finished)
    before = scores_of(trained.run)
    gone = tmp_path / "drawn" / "people" / trained.dataset.rows("test")[0]["image"]
    gone.unlink()
    with pytest.raises(MissingError, match=gone.name):
        score(trained.run, splits=["test"])
    assert scores_of(trained.run).equals(before)
