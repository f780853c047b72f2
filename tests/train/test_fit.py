"""Runs as wholes: what they leave on disk, and what they refuse."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import msgspec
import polars as pl
import pytest
import safetensors.torch
import torch

import train.engine.checkpoint
from curate import schema
from curate.dataset import Dataset, open_dataset, read_table
from curate.errors import (
    CurateError,
    DivergedError,
    ExistsError,
    FormatError,
    MachineError,
    MismatchError,
    MissingError,
    UsageError,
    VersionError,
)
from curate.files import held_folder, write_atomic
from tests.train.conftest import Trained
from tests.train.making import THREE, make_dataset, mined_of, quick, stop_in, tensors
from train.config import FitConfig, encode_config, read_config
from train.data.folds import held_out_tenth
from train.data.material import check_mined, weights_and_recipes
from train.fit import fit, is_finished
from train.monitoring.log import EpochLine, encode_lines, read_log


def test_a_run_is_all_there(drawn: Dataset, finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    assert names == {
        "config.json",
        "log.jsonl",
        "steps.jsonl",
        "best.safetensors",
        "last.ckpt",
        "plots",
        "predictions",
        "scores.parquet",
    }
    config = read_config(finished)
    assert (finished / config.dataset / "dataset.json").is_file()
    assert not Path(config.dataset).is_absolute()
    assert config.digest == drawn.header.digest
    assert [line.epoch for line in read_log(finished)] == [1, 2]
    assert is_finished(finished)
    assert (finished / "plots" / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_fit_scores_validation_and_never_opens_test(drawn: Dataset, tmp_path: Path) -> None:
    own = make_dataset(tmp_path / "people")
    for row in own.rows("test"):
        (own.root / row["image"]).unlink()
        (own.root / row["mask"]).unlink()
    run = fit(own, tmp_path / "run", quick(folds=2))
    scores = read_table(run / "scores.parquet", schema.SCORES)
    assert set(scores["split"]) == {"train", "val"}


def test_a_model_learns(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "people", ("train",) * 16 + ("val",) * 4)
    run = fit(dataset, tmp_path / "run", quick(model="unet", epochs=7, lr=0.003))
    lines = read_log(run)
    assert lines[-1].train_loss < 0.6 * lines[0].train_loss
    assert max(line.val_iou or 0 for line in lines) > 0.4
    assert [line.best for line in lines].count(True) >= 2
    best = [line for line in lines if line.best][-1]
    assert best.val_iou == max(line.val_iou or 0 for line in lines)


def test_a_finished_run_is_not_overwritten_without_force(drawn: Dataset, tmp_path: Path) -> None:
    run = fit(drawn, tmp_path / "run", quick())
    with pytest.raises(ExistsError, match=r"holds a finished run. Choose another --out, or pass --force"):
        fit(drawn, run, quick())
    (run / "decisions.jsonl").write_text("kept\n")
    (run / "failures.parquet").write_text("old")
    fit(drawn, run, quick(seed=1), force=True)
    assert read_config(run).seed == 1
    assert is_finished(run)
    assert (run / "decisions.jsonl").read_text() == "kept\n"
    assert not (run / "failures.parquet").exists()


def test_force_never_clears_a_folder_that_is_no_run(drawn: Dataset, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("dear")
    with pytest.raises(ExistsError, match=r"holds thesis\.txt and is no run. Choose another --out"):
        fit(drawn, tmp_path, quick(), force=True)
    assert (tmp_path / "thesis.txt").read_text() == "dear"


def test_a_file_is_no_run(drawn: Dataset, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(ExistsError, match=r"run: is a file, a run is a folder. Choose another --out"):
        fit(drawn, tmp_path / "run", quick())


def test_a_model_that_the_last_step_broke_is_not_saved(drawn: Dataset, tmp_path: Path) -> None:
    config = quick(lr=1e30, schedule="constant", batch_size=16)  # one step: its loss is from before it
    told = "after epoch 1, which is not kept. Begin anew with --force and a lower --lr, or --clip-norm 1$"
    with pytest.raises(DivergedError, match=rf"^--lr 1e\+30: .* {told}"):
        fit(drawn, tmp_path / "run", config)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"config.json"}


def test_a_broken_epoch_leaves_the_last_sound_state(
    copied: Callable[[Path], Trained], finished: Path, drawn: Dataset
) -> None:
    run = copied(finished).run
    log = [msgspec.structs.replace(line, best=line.epoch == 1) for line in read_log(run)]
    (run / "log.jsonl").write_bytes(encode_lines(log))
    with safetensors.safe_open(run / "last.ckpt", "pt") as file:
        metadata, state = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    running = next(name for name in state if name.endswith("running_mean"))
    state[running][:] = torch.nan  # of no consequence while the model learns
    # Were epoch 2 the best one, its weights would be written anew from the state, spoiled as it is.
    metadata["history"] = msgspec.json.encode(log).decode()
    safetensors.torch.save_file(state, run / "last.ckpt", metadata)
    config = msgspec.structs.replace(read_config(run), epochs=3)
    (run / "config.json").write_bytes(encode_config(config))
    before = {name: (run / name).read_bytes() for name in ("last.ckpt", "best.safetensors", "log.jsonl")}
    with pytest.raises(DivergedError, match="weights were no numbers after epoch 3"):
        fit(drawn, run, msgspec.structs.replace(config, dataset="", digest=""), resume=True)
    assert before == {name: (run / name).read_bytes() for name in before}
    assert read_log(run) == log


def test_a_run_may_not_lie_in_its_dataset(drawn: Dataset) -> None:
    with pytest.raises(UsageError, match=r"--out \S+: lies in or around the dataset \S+. Choose a folder of its own"):
        fit(drawn, drawn.root / "run", quick())
    assert not (drawn.root / "run").exists()


def test_a_dataset_that_moved_before_the_run_is_resumed(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "people")
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        fit(dataset, run, quick(), watch=stop_in("epoch 1/1"))
    dataset.root.rename(tmp_path / "moved")
    (run / ".last.ckpt.1.partial").write_bytes(b"half")
    fit(open_dataset(tmp_path / "moved"), run, quick(), resume=True)
    assert read_config(run).dataset == "../moved"
    assert not list(run.rglob("*.partial"))


def test_a_full_disk_names_the_run_and_keeps_what_was_finished(
    drawn: Dataset, straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> None:
        if path.name == "last.ckpt" and path.exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        write_atomic(path, data)

    run = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(train.engine.checkpoint, "write_atomic", full)
        with pytest.raises(MachineError, match=rf"{run}: no space left on the disk"):
            fit(drawn, run, THREE)
    assert [line.epoch for line in read_log(run)] == [1]
    fit(drawn, run, THREE, resume=True)
    assert tensors(run / "best.safetensors") == tensors(straight / "best.safetensors")


def test_two_fits_at_once(drawn: Dataset, tmp_path: Path) -> None:
    with held_folder(tmp_path / "run"), pytest.raises(ExistsError, match=r"another process is writing it"):
        fit(drawn, tmp_path / "run", quick())


REFUSED: list[tuple[FitConfig, type[CurateError], str]] = [
    (quick(weights="nowhere.safetensors"), MissingError, "no such weights"),
    (quick(encoder="resnet43"), UsageError, "--encoder resnet43"),
    (quick(folds=50), UsageError, "--folds 50"),
    (quick(digest="0" * 64), VersionError, "has digest"),
]


@pytest.mark.parametrize(("config", "error", "message"), REFUSED, ids=["weights", "encoder", "folds", "digest"])
def test_what_is_refused_leaves_nothing_behind(
    drawn: Dataset, tmp_path: Path, config: FitConfig, error: type[CurateError], message: str
) -> None:
    with pytest.raises(error, match=message):
        fit(drawn, tmp_path / "run", config)
    assert not (tmp_path / "run").exists()


def test_what_is_refused_leaves_the_old_run_alone(drawn: Dataset, straight: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in straight.rglob("*")}
    with pytest.raises(UsageError):
        fit(drawn, straight, quick(encoder="resnet43"), force=True)
    assert before == {path: path.stat().st_mtime_ns for path in straight.rglob("*")}


def test_resume_and_force_contradict_each_other(drawn: Dataset, straight: Path) -> None:
    with pytest.raises(UsageError, match=r"--resume and --force contradict each other"):
        fit(drawn, straight, THREE, resume=True, force=True)


def test_a_dataset_without_training_images(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "people", ("val", "test"))
    with pytest.raises(MissingError, match=r"has 0 training images. Build a dataset with a train split"):
        fit(dataset, tmp_path / "run", quick())
    assert not (tmp_path / "run").exists()


def test_a_dataset_without_validation_images_holds_a_tenth_of_train_out(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "people", ("train",) * 12)
    config = quick(epochs=2)
    with pytest.raises(KeyboardInterrupt):
        fit(dataset, tmp_path / "run", config, watch=stop_in("epoch 2/2"))
    run = fit(dataset, tmp_path / "run", config, resume=True)
    tenth = held_out_tenth(dataset, 0)
    assert len(tenth) == 2
    assert read_config(run).validation == "tenth"
    assert [(line.images, line.val_iou is None) for line in read_log(run)] == [(10, False)] * 2
    scores = read_table(run / "scores.parquet", schema.SCORES)
    assert scores.select("sample_id", "split", "fold").rows() == [(each, "train", -1) for each in tenth]


def test_fold_models_can_be_judged_by_their_folds(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "people", ("train",) * 8)
    run = fit(dataset, tmp_path / "run", quick(folds=2, validation="fold"))
    assert read_config(run).validation == "fold"
    assert all(line.val_iou is not None for fold in ("", "fold-0", "fold-1") for line in read_log(run / fold))
    scores = read_table(run / "scores.parquet", schema.SCORES)
    assert scores.height == 8
    assert set(scores["fold"]) == {0, 1}


def test_where_nothing_judges_the_last_epoch_is_kept(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "people", ("train",) * 4)
    run = fit(dataset, tmp_path / "run", quick(epochs=2, validation="none"))
    assert [(line.best, line.val_iou, line.val_loss) for line in read_log(run)] == [(True, None, None)] * 2
    assert is_finished(run)
    assert read_table(run / "scores.parquet", schema.SCORES).is_empty()


def test_a_single_training_image(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "people", ("train", "val"))
    assert is_finished(fit(dataset, tmp_path / "run", quick(model="fpn", size=64)))
    with pytest.raises(UsageError, match=r"--model deeplabv3: needs at least 2 images in an epoch"):
        fit(dataset, tmp_path / "other", quick(model="deeplabv3"))


def test_a_missing_photo_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "cache"))  # photographs that were read before are not needed
    dataset = make_dataset(tmp_path / "people")
    gone = dataset.root / dataset.rows("train")[3]["image"]
    gone.unlink()
    with pytest.raises(MissingError, match=gone.name):
        fit(dataset, tmp_path / "run", quick())


def test_patience_stops_a_run_that_counts_as_finished(drawn: Dataset, tmp_path: Path) -> None:
    run = fit(
        drawn, tmp_path / "run", quick(epochs=30, patience=2, lr=1e-7, schedule="constant", freeze_batch_norm=True)
    )
    lines = read_log(run)
    best = max(line.epoch for line in lines if line.best)
    assert len(lines) == best + 2 < 30
    assert is_finished(run)
    before = (run / "last.ckpt").stat().st_mtime_ns
    fit(drawn, run, read_config(run), resume=True)
    assert (run / "last.ckpt").stat().st_mtime_ns == before


def test_patience_needs_validation_images(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "people", ("train",) * 4)
    with pytest.raises(UsageError, match=r"--patience 1: \S+ has no validation images to judge an epoch by"):
        fit(dataset, tmp_path / "run", quick(epochs=3, patience=1, validation="none"))
    assert not (tmp_path / "run").exists()


def test_growing_images_share_the_epochs_and_only_the_last_size_is_best(drawn: Dataset, tmp_path: Path) -> None:
    config = quick(
        epochs=4, size=64, earlier_sizes=(32,), batch_size=3, earlier_batch_sizes=(9,), schedule="polynomial"
    )
    run = fit(drawn, tmp_path / "run", config)
    lines = read_log(run)
    assert lines[2].best  # the first of its size
    assert lines[1].lr == pytest.approx(1e-3 * (1 - 1 / 2) ** 0.9)  # one step an epoch of 9 images, two epochs
    assert lines[3].lr == pytest.approx(1e-3 * (1 - 5 / 6) ** 0.9)  # three steps an epoch
    assert read_table(run / "scores.parquet", schema.SCORES).height == 3


def test_a_loss_that_is_no_number_stops_before_it_is_saved(drawn: Dataset, tmp_path: Path) -> None:
    names = r"(drawn-0\d\d, ){2,3}drawn-0\d\d"
    told = rf"--lr 1e\+30: the loss was no longer a number in epoch 1, first for a batch of {names}\. Pass a lower --lr"
    with pytest.raises(UsageError, match=told):
        fit(drawn, tmp_path / "run", quick(lr=1e30, schedule="constant", epochs=2))
    assert not (tmp_path / "run" / "last.ckpt").exists()


def test_weights_of_another_run_are_where_training_starts(drawn: Dataset, straight: Path, tmp_path: Path) -> None:
    start = straight / "best.safetensors"
    run = fit(drawn, tmp_path / "deep" / "run", quick(weights=str(start), lr=1e-12))
    assert (run / read_config(run).weights).samefile(start)
    one, other = (safetensors.torch.load_file(path) for path in (start, run / "best.safetensors"))
    trained = [name for name in one if not name.endswith(("running_mean", "running_var", "num_batches_tracked"))]
    assert all(float((one[name] - other[name]).abs().max()) < 1e-6 for name in trained)


def test_mined_weights_decide_what_is_drawn_and_how(drawn: Dataset, tmp_path: Path) -> None:
    mined = mined_of(("drawn-000", 0.0, "standard"), ("drawn-001", 5.0, "crop"))
    weight_of, recipe_of = weights_and_recipes(drawn, mined, "none")
    assert (weight_of["drawn-000"], weight_of["drawn-001"], weight_of["drawn-002"]) == (0.0, 5.0, 1.0)
    assert (recipe_of["drawn-001"], recipe_of["drawn-002"]) == ("crop", "none")
    with pytest.raises(KeyboardInterrupt):
        fit(drawn, tmp_path / "run", quick(epochs=2), mined=mined, watch=stop_in("epoch 2/2"))
    run = fit(drawn, tmp_path / "run", quick(epochs=2), resume=True)
    plain = fit(drawn, tmp_path / "plain", quick(epochs=2))
    assert read_table(run / "mined.parquet", schema.MINED).equals(mined)
    assert [line.images for line in read_log(run)] == [line.images for line in read_log(plain)] == [9, 9]
    assert tensors(run / "best.safetensors") != tensors(plain / "best.safetensors")


def test_mined_weights_that_say_nothing_new_change_nothing(drawn: Dataset, straight: Path, tmp_path: Path) -> None:
    mined = mined_of(*((row["sample_id"], 1.0, "standard") for row in drawn.rows("train", "background")))
    run = fit(drawn, tmp_path / "run", THREE, mined=mined)
    assert tensors(run / "best.safetensors") == tensors(straight / "best.safetensors")


@pytest.mark.parametrize(
    ("mined", "error", "message"),
    [
        (mined_of(("nobody", 1.0, "none")), MismatchError, "expected images of the training split, got nobody"),
        (mined_of(("drawn-009", 1.0, "none")), MismatchError, "expected images of the training split, got drawn-009"),
        (mined_of(("drawn-000", 1.0, "wild")), UsageError, "recipe wild: expected one of none, "),
        (mined_of(("drawn-000", -1.0, "none")), UsageError, "one finite weight of 0 or more"),
        (mined_of(("drawn-000", float("nan"), "none")), UsageError, "one finite weight of 0 or more"),
        (mined_of(("drawn-000", 1.0, "none"), ("drawn-000", 1.0, "none")), UsageError, "one finite weight"),
        (pl.DataFrame({"sample_id": ["drawn-000"]}), MismatchError, "mined: expected"),
    ],
    ids=["unknown", "validation", "recipe", "negative", "nan", "twice", "columns"],
)
def test_bad_mined_tables(drawn: Dataset, mined: pl.DataFrame, error: type[CurateError], message: str) -> None:
    with pytest.raises(error, match=message):
        check_mined(mined, drawn)


def test_leaving_every_image_out(drawn: Dataset, tmp_path: Path) -> None:
    nothing = mined_of(*((row["sample_id"], 0.0, "none") for row in drawn.rows("train", "background")))
    with pytest.raises(MissingError, match=r"has 9 training images, all of weight 0"):
        fit(drawn, tmp_path / "run", quick(), mined=nothing)


def test_epoch_images_sets_the_length_of_an_epoch(drawn: Dataset, tmp_path: Path) -> None:
    assert read_log(fit(drawn, tmp_path / "run", quick(epoch_images=21)))[0].images == 21


def test_fold_models_report_their_epochs(drawn: Dataset, tmp_path: Path) -> None:
    seen: list[EpochLine] = []
    run = fit(drawn, tmp_path / "run", quick(folds=2), report=seen.append)
    assert [line.fold for line in seen] == [-1, 0, 1]
    assert seen[0].images == 9
    assert seen[1].images + seen[2].images == 8 + 2
    assert read_log(run) == seen[:1]
    assert read_log(run / "fold-1") == seen[2:]


def test_a_damaged_log_is_named(copied: Callable[[Path], Trained], finished: Path) -> None:
    run = copied(finished).run
    (run / "log.jsonl").write_text("{}\n")
    with pytest.raises(FormatError, match=r"log\.jsonl: is damaged"):
        read_log(run)


def test_a_strangers_folders_are_not_cleared(drawn: Dataset, tmp_path: Path) -> None:
    (tmp_path / "predictions").mkdir()
    (tmp_path / "predictions" / "important.csv").write_text("mine")
    with pytest.raises(ExistsError, match="holds predictions and is no run"):
        fit(drawn, tmp_path, quick())
    assert (tmp_path / "predictions" / "important.csv").read_text() == "mine"
