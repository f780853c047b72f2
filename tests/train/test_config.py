"""config.json: what is refused, and what comes back."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from curate.dataset import Dataset
from curate.errors import CurateError, FormatError, MissingError, UsageError
from tests.train.making import quick
from train.config import FitConfig, encode_config, first_difference, read_config

REFUSED = [
    ({"model": "vnet"}, "--model vnet: expected one of unet, "),
    ({"encoder": ""}, "--encoder: is empty"),
    (
        {"model": "fcn8s", "encoder": "resnet34"},
        "--encoder resnet34: --model fcn8s stands on vgg16. Leave --encoder out",
    ),
    ({"model": "tiramisu56", "encoder": "vgg16"}, "--encoder vgg16: --model tiramisu56 has no encoder. Leave"),
    (
        {"model": "tiramisu67", "weights": "imagenet"},
        "--weights imagenet: there are none of tiramisu67. Pass --weights",
    ),
    ({"weights": "coco"}, "--weights coco: expected imagenet, none or a .safetensors file"),
    ({"size": 100}, "--size 100: expected a multiple of 32 from 32 to 4096 px"),
    ({"size": 0}, "--size 0: "),
    ({"size": 8192}, "--size 8192: "),
    ({"epochs": 0}, "--epochs 0: expected at least 1"),
    ({"batch_size": 0}, "--batch-size 0: expected at least 1"),
    ({"batch_size": 1, "model": "deeplabv3"}, "--batch-size 1: expected at least 2"),
    ({"lr": 0.0}, "--lr 0.0: expected a learning rate above 0"),
    ({"lr": float("nan")}, "--lr nan: "),
    ({"schedule": "cosine"}, "--schedule cosine: expected one of one-cycle, constant"),
    ({"loss": "l2"}, "--loss l2: "),
    ({"optimizer": "lion"}, "--optimizer lion: "),
    ({"augment": "wild"}, "--augment wild: expected one of none, standard, "),
    ({"seed": -1}, "--seed -1: expected a whole number from 0 to 9223372036854775807"),
    ({"seed": 2**63}, "--seed 9223372036854775808: expected a whole number from 0 to 9223372036854775807"),
    ({"folds": 1}, "--folds 1: expected 2 to 100, or 0"),
    ({"folds": 101}, "--folds 101: "),
    ({"micro_batch": 0}, "--micro-batch 0: expected at least 1"),
    ({"micro_batch": 1, "model": "deeplabv3"}, "--micro-batch 1: expected at least 2"),
    ({"epoch_images": 0}, "--epoch-images 0: expected at least 1"),
    ({"lr": 0.1, "lr_min": 0.2, "schedule": "triangular"}, "--lr-min 0.2: expected less than --lr 0.1"),
    ({"lr_min": 1e-4}, "--lr-min 0.0001: goes with --schedule triangular or polynomial, not with one-cycle"),
    ({"lr_decay": 0.5}, "--lr-decay 0.5: goes with --schedule step or exponential, not with one-cycle"),
    ({"lr_decay": 1.0, "schedule": "step"}, "--lr-decay 1.0: expected a factor between 0 and 1"),
    ({"cycle_epochs": 1}, "--cycle-epochs 1: goes with --schedule triangular, not with one-cycle"),
    ({"cycle_epochs": 2, "schedule": "triangular"}, "--cycle-epochs 2: expected at most --epochs 1"),
    (
        {"cycle_epochs": 6, "schedule": "triangular", "size": 128, "earlier_sizes": (64,), "epochs": 10},
        "--cycle-epochs 6: expected at most 5, the fewest that a --size has",
    ),
    ({"patience": 0, "epochs": 3}, "--patience 0: expected at least 1"),
    ({"patience": 3, "epochs": 3}, "--patience 3: would never stop a run of --epochs 3"),
    ({"patience": 1, "epochs": 3, "earlier_sizes": (32,)}, "--patience: a run of several sizes"),
    ({"clip_norm": 0.0}, "--clip-norm 0.0: expected a norm above 0"),
    ({"ema": 1.0}, "--ema 1.0: expected a decay between 0 and 1"),
    ({"freeze_epochs": -1}, "--freeze-epochs -1: expected at least 0"),
    ({"freeze_epochs": 2}, "--freeze-epochs 2: expected at most --epochs 1"),
    ({"encoder_lr_scale": 0.0}, "--encoder-lr-scale 0.0: expected a share above 0, up to 1"),
    ({"encoder_lr_scale": 0.5, "freeze_epochs": 1}, "--encoder-lr-scale 0.5: the encoder is frozen in every epoch"),
    ({"precision": "fp8"}, "--precision fp8: expected one of auto, fp32, bf16, fp16"),
    ({"earlier_sizes": (40,), "epochs": 2}, "--size 40: expected a multiple of 32"),
    ({"earlier_sizes": (32,)}, "--size: 2 sizes for 1 epochs. Pass at least as many --epochs"),
    ({"earlier_batch_sizes": (8,)}, "--batch-size: 2 numbers for 1 sizes"),
    ({"earlier_sizes": (32,), "earlier_batch_sizes": (0,), "epochs": 2}, "--batch-size 0: expected at least 1"),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED, ids=[message[:40] for _, message in REFUSED])
def test_a_value_out_of_range_names_its_option(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        quick(**changes)
    assert str(caught.value).startswith(message)
    assert caught.value.exit_code == 2


def test_a_replaced_value_is_checked_too() -> None:
    with pytest.raises(UsageError, match=r"--epochs 0"):
        msgspec.structs.replace(quick(), epochs=0)


def test_a_config_comes_back(tmp_path: Path) -> None:
    config = quick(folds=3, weights="../base/best.safetensors", epoch_images=7)
    (tmp_path / "config.json").write_bytes(encode_config(config))
    assert read_config(tmp_path) == config


@pytest.mark.parametrize(
    ("model", "encoder"), [("unet", "resnet34"), ("fpn", "resnet34"), ("fcn32s", "vgg16"), ("tiramisu103", "none")]
)
def test_config_json_names_the_encoder_that_auto_stands_for(model: str, encoder: str) -> None:
    config = quick(model=model, encoder="auto")
    assert config.encoder == encoder
    assert quick(model=model, encoder=encoder) == config


def test_a_config_from_before_there_were_position_channels(tmp_path: Path) -> None:
    old = b"".join(line for line in encode_config(quick()).splitlines(True) if b"position_channels" not in line)
    (tmp_path / "config.json").write_bytes(old)
    assert old != encode_config(quick())
    assert read_config(tmp_path) == quick()


DAMAGED = [
    b"",
    b"{",
    b"[]",
    b'{"dataset": 3}',
    b"\xff\xfe",
    encode_config(quick()).replace(b'"size": 32', b'"size": 33'),
]


@pytest.mark.parametrize(
    "content", DAMAGED, ids=["empty", "cut off", "a list", "wrong type", "no text", "out of range"]
)
def test_a_damaged_config_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(FormatError, match=r"config\.json: is damaged") as caught:
        read_config(tmp_path)
    assert caught.value.path == tmp_path / "config.json"


@pytest.mark.parametrize("exists", [True, False])
def test_no_run(tmp_path: Path, exists: bool) -> None:
    run = tmp_path if exists else tmp_path / "none"
    with pytest.raises(MissingError, match=r"is not a run" if exists else "no such run") as caught:
        read_config(run)
    assert isinstance(caught.value, CurateError)


def test_a_dataset_is_no_run(drawn: Dataset) -> None:
    with pytest.raises(MissingError, match=r"people: is a dataset, not a run. Name a run; to train one: curate train"):
        read_config(drawn.root)


def test_the_first_difference_is_an_option() -> None:
    moved = msgspec.structs.replace(quick(), dataset="elsewhere")
    assert first_difference(quick(), moved) is None
    assert first_difference(quick(), quick(batch_size=8, seed=1)) == ("--batch-size", 4, 8)


def test_a_run_of_several_sizes_differs_by_the_option(tmp_path: Path) -> None:
    growing = quick(epochs=2, size=64, earlier_sizes=(32,))
    assert first_difference(quick(epochs=2, size=64), growing) == ("--size", 64, "32,64")


def test_a_rate_that_was_found_is_the_one_that_is_wanted() -> None:
    found = quick(lr=0.01, lr_from="a range test")
    assert first_difference(found, quick(lr="auto")) is None
    assert first_difference(found, quick(lr=0.02)) == ("--lr", 0.01, 0.02)
    assert first_difference(quick(lr=0.01), quick(lr="auto")) == ("--lr", 0.01, "auto")


def test_a_config_from_before_these_options_still_reads(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(
        """{"dataset": "../people", "digest": "d", "model": "unet", "encoder": "resnet34", "weights": "none",
        "size": 64, "epochs": 3, "batch_size": 8, "lr": 0.001, "schedule": "constant", "loss": "bce",
        "optimizer": "adam", "augment": "none", "seed": 1, "folds": 0, "epoch_images": null}"""
    )
    config = read_config(tmp_path)
    assert (config.size, config.lr, config.ema, config.precision, config.patience) == (64, 0.001, None, "auto", None)


def test_defaults_are_those_of_the_design() -> None:
    config = FitConfig(dataset="d", digest="x")
    assert (config.model, config.encoder, config.weights) == ("unet", "resnet34", "imagenet")
    assert (config.size, config.epochs, config.batch_size, config.lr) == (224, 20, 16, 1e-3)
    assert [FitConfig(dataset="d", digest="x", weights=name).lr for name in ("none", "own.safetensors")] == [
        "auto",
        1e-3,
    ]
