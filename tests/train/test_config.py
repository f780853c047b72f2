"""config.json: what is refused, and what comes back."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from curate.errors import CurateError, FormatError, MissingError, UsageError
from tests.train.making import quick
from train.config import FitConfig, encode_config, first_difference, read_config

REFUSED = [
    ({"model": "vnet"}, "--model vnet: expected one of unet, "),
    ({"encoder": ""}, "--encoder: is empty"),
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
    ({"optimizer": "sgd"}, "--optimizer sgd: "),
    ({"augment": "wild"}, "--augment wild: expected one of none, standard, "),
    ({"seed": -1}, "--seed -1: expected at least 0"),
    ({"folds": 1}, "--folds 1: expected 2 to 100, or 0"),
    ({"folds": 101}, "--folds 101: "),
    ({"epoch_images": 0}, "--epoch-images 0: expected at least 1"),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED, ids=[message.split(":")[0] for _, message in REFUSED])
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


def test_the_first_difference_is_an_option() -> None:
    moved = msgspec.structs.replace(quick(), dataset="elsewhere")
    assert first_difference(quick(), moved) is None
    assert first_difference(quick(), quick(batch_size=8, seed=1)) == ("--batch-size", 4, 8)


def test_defaults_are_those_of_the_design() -> None:
    config = FitConfig(dataset="d", digest="x")
    assert (config.model, config.encoder, config.weights) == ("unet", "resnet34", "imagenet")
    assert (config.size, config.epochs, config.batch_size, config.lr) == (224, 20, 16, 1e-3)
