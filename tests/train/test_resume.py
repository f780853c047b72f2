"""Runs that were stopped, wherever that was, go on to the bit."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
import torch

import train.engine.checkpoint
from curate.dataset import Dataset
from curate.errors import (
    ExistsError,
    FormatError,
    MissingError,
    UsageError,
    VersionError,
)
from tests.train.making import THREE, fit_until_killed, make_dataset, mined_of, quick, stop_in, tensors, without_times
from train.config import FitConfig
from train.fit import fit, is_finished
from train.inference.predict import predict_image
from train.models import build_model
from train.monitoring.log import read_log


def test_the_same_twice_is_the_same(straight: Path, drawn: Dataset, tmp_path: Path) -> None:
    again = fit(drawn, tmp_path / "elsewhere" / "run", THREE)
    assert tensors(again / "best.safetensors") == tensors(straight / "best.safetensors")
    assert (again / "scores.parquet").read_bytes() == (straight / "scores.parquet").read_bytes()
    other = fit(drawn, tmp_path / "other", quick(seed=1))
    assert tensors(other / "best.safetensors") != tensors(straight / "best.safetensors")


def test_a_kill_loses_one_epoch_and_resuming_gives_the_same_weights(
    straight: Path, drawn: Dataset, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    fit_until_killed(drawn.root, run, epochs=3)
    assert [line.epoch for line in read_log(run)] == [1]
    assert not is_finished(run)
    with pytest.raises(
        ExistsError, match=r"stopped after 1 of 3 epochs. Pass --resume to go on, --force to replace it"
    ):
        fit(drawn, run, THREE)
    fit(drawn, run, THREE, resume=True)
    assert tensors(run / "last.ckpt") == tensors(straight / "last.ckpt")
    assert tensors(run / "best.safetensors") == tensors(straight / "best.safetensors")
    assert without_times(run) == without_times(straight)
    assert (run / "scores.parquet").read_bytes() == (straight / "scores.parquet").read_bytes()


GOING_ON: dict[str, dict[str, object]] = {
    "sgd triangular": {"optimizer": "sgd", "schedule": "triangular", "lr_min": 1e-4, "cycle_epochs": 2, "ema": 0.9},
    "rmsprop exponential": {"optimizer": "rmsprop", "schedule": "exponential", "lr_decay": 0.5, "clip_norm": 0.5},
    "frozen first": {"freeze_epochs": 2, "encoder_lr_scale": 0.1, "loss": "lovasz", "schedule": "polynomial"},
    "frozen norms": {"freeze_batch_norm": True, "optimizer": "adam", "loss": "focal", "schedule": "step"},
    "growing": {"size": 64, "earlier_sizes": (32,), "batch_size": 3, "earlier_batch_sizes": (4,), "ema": 0.5},
    "bf16": {"precision": "bf16", "ema": 0.9},
    "patience": {"patience": 2, "lr": 1e-5},
}


ALWAYS = ("sgd triangular", "frozen first", "growing")
"""Those that between them change the most; the others by `make long`."""


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(options, id=name, marks=() if name in ALWAYS else pytest.mark.long)
        for name, options in GOING_ON.items()
    ],
)
def test_every_option_goes_on_to_the_bit(options: dict[str, object], drawn: Dataset, tmp_path: Path) -> None:
    config = quick(epochs=4, **options)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    fit(drawn, whole, config)
    for epoch in (2, 3):
        with suppress(KeyboardInterrupt):
            fit(drawn, stopped, config, resume=epoch > 2, watch=stop_in(f"epoch {epoch}/4"))
        assert len(read_log(stopped)) == epoch - 1
    fit(drawn, stopped, config, resume=True)
    assert tensors(stopped / "last.ckpt") == tensors(whole / "last.ckpt")
    assert tensors(stopped / "best.safetensors") == tensors(whole / "best.safetensors")
    assert without_times(stopped) == without_times(whole)
    assert tensors(whole / "last.ckpt") != {}


@pytest.mark.parametrize("stop", ["read images", "epoch 1/1", "epoch 1/1, fold 1", "score"])
def test_a_run_goes_on_from_wherever_it_stopped(
    stop: str, drawn: Dataset, folded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "cache"))  # images are yet to be read
    with pytest.raises(KeyboardInterrupt):
        fit(drawn, run, quick(folds=2), watch=stop_in(stop))
    assert not is_finished(run)
    fit(drawn, run, quick(folds=2), resume=True)
    assert is_finished(run)
    for part in (".", "fold-0", "fold-1"):
        assert tensors(run / part / "best.safetensors") == tensors(folded / part / "best.safetensors")
    assert (run / "scores.parquet").read_bytes() == (folded / "scores.parquet").read_bytes()


@pytest.mark.usefixtures("narrow_fcn")
@pytest.mark.parametrize(
    "config",
    [
        pytest.param(quick(model="fcn8s", epochs=2), marks=pytest.mark.long),
        quick(model="tiramisu56", epochs=2),
        quick(model="unet", epochs=2, position_channels=True),
    ],
    ids=["fcn8s", "tiramisu56", "position channels"],
)
def test_other_models_learn_resume_and_load(config: FitConfig, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "people", ("train",) * 4 + ("val",) * 2)
    straight = fit(dataset, tmp_path / "straight", config)
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        fit(dataset, run, config, watch=stop_in("epoch 2/2"))
    fit(dataset, run, config, resume=True)
    assert tensors(run / "last.ckpt") == tensors(straight / "last.ckpt")
    assert tensors(run / "best.safetensors") == tensors(straight / "best.safetensors")
    assert (run / "scores.parquet").read_bytes() == (straight / "scores.parquet").read_bytes()
    started, loaded = build_model(config).state_dict(), train.load(run)
    assert loaded.config.model == config.model
    learnt = [name for name, tensor in loaded.model.named_parameters() if not torch.equal(tensor, started[name])]
    assert len(learnt) > 0.9 * len(list(loaded.model.named_parameters()))
    assert predict_image(loaded, dataset.image(dataset.rows("val")[0])).shape == (48, 56)


def test_best_weights_lost_between_two_writes_are_mended(drawn: Dataset, straight: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        fit(drawn, run, THREE, watch=stop_in("epoch 2/3"))
    (run / "best.safetensors").unlink()
    (run / "log.jsonl").unlink()
    fit(drawn, run, THREE, resume=True)
    assert tensors(run / "best.safetensors") == tensors(straight / "best.safetensors")
    assert without_times(run) == without_times(straight)


def test_resuming_what_was_killed_before_it_began(drawn: Dataset, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    assert is_finished(fit(drawn, run, quick(), resume=True))


def test_resuming_nothing(drawn: Dataset, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"no such run, nothing to resume. Leave --resume out to start it"):
        fit(drawn, tmp_path / "run", quick(), resume=True)
    assert not (tmp_path / "run").exists()


def test_resuming_a_finished_run_changes_nothing(drawn: Dataset, straight: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in straight.rglob("*")}
    fit(drawn, straight, THREE, resume=True)
    assert before == {path: path.stat().st_mtime_ns for path in straight.rglob("*")}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 4}, "begun with --epochs 3, not 4"),
        ({"lr": 0.5}, "begun with --lr 0.001, not 0.5"),
        ({"epoch_images": 5}, "begun with --epoch-images None, not 5"),
    ],
)
def test_resuming_otherwise_is_refused(
    drawn: Dataset, straight: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        fit(drawn, straight, msgspec.structs.replace(THREE, **changes), resume=True)


def test_resuming_with_another_dataset_is_refused(straight: Path, tmp_path: Path) -> None:
    with pytest.raises(VersionError, match=r"the run was begun with"):
        fit(make_dataset(tmp_path / "people", seed=9), straight, THREE, resume=True)


def test_resuming_with_other_mined_weights_is_refused(drawn: Dataset, straight: Path) -> None:
    with pytest.raises(UsageError, match=r"was begun with no mined weights"):
        fit(drawn, straight, THREE, mined=mined_of(("drawn-000", 2.0, "dark")), resume=True)


def test_a_damaged_checkpoint_is_named(drawn: Dataset, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        fit(drawn, run, THREE, watch=stop_in("epoch 2/3"))
    content = (run / "last.ckpt").read_bytes()
    for damaged in (content[: len(content) // 2], b"", (run / "best.safetensors").read_bytes()):
        (run / "last.ckpt").write_bytes(damaged)
        with pytest.raises(
            FormatError, match=r"last\.ckpt: cannot be resumed from .* Train again with --force"
        ) as caught:
            fit(drawn, run, THREE, resume=True)
        assert "\n" not in str(caught.value)
