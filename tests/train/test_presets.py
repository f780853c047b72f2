"""Presets: what the shipped ones are, what is given beside them, and files of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from curate import schema
from curate.cli import cli
from curate.dataset import Dataset, read_table
from curate.errors import CurateError, FormatError, MissingError, UsageError
from tests.conftest import REPOSITORY
from tests.train.test_cli import run
from train.config import read_config
from train.presets import combine, load_preset, make_config

SHIPPED = sorted(path.stem for path in (REPOSITORY / "datasets" / "presets").glob("*.toml"))


def test_the_shipped_presets_are_those_of_both_source_documents() -> None:
    assert SHIPPED == ["go-selfies", "greenscreen"]
    greenscreen = make_config(combine(load_preset("greenscreen"), {})[0])
    assert (greenscreen.model, greenscreen.size, greenscreen.epochs) == ("tiramisu103", 224, 300)
    assert (greenscreen.optimizer, greenscreen.lr, greenscreen.loss) == ("rmsprop", 1e-3, "bce")
    assert (greenscreen.schedule, greenscreen.epoch_images) == ("exponential", 500)
    selfies = make_config(combine(load_preset("go-selfies"), {})[0])
    assert (selfies.model, selfies.encoder, selfies.weights) == ("unet", "resnet34", "imagenet")
    assert (selfies.optimizer, selfies.schedule, selfies.lr, selfies.lr_min) == ("adam", "triangular", 2e-2, None)
    assert (selfies.size, selfies.batch_size, selfies.epochs, selfies.freeze_epochs) == (512, 16, 50, 5)
    assert (selfies.augment, selfies.validation) == ("seed2", "fold")


COMBINED: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = [
    ({"size": 128}, {"size": 128, "batch_size": 64}, []),
    ({"size": 256}, {"batch_size": 16}, []),
    ({"size": 1024}, {"batch_size": 16}, []),
    ({"size": 128, "batch_size": 8}, {"batch_size": 8}, []),
    ({"earlier_sizes": (128,), "size": 512}, {"earlier_batch_sizes": (64,), "batch_size": 16}, []),
    ({"weights": "none"}, {"freeze_epochs": 0}, []),
    ({"weights": "own.safetensors"}, {"freeze_epochs": 5}, []),
    ({"epochs": 20}, {"epochs": 20, "freeze_epochs": 2}, ["freeze-epochs 5 of 50 epochs becomes 2 of 20"]),
    ({"epochs": 1}, {"freeze_epochs": 0}, ["freeze-epochs 5 of 50 epochs becomes 0 of 1"]),
    ({"epochs": 1, "freeze_epochs": 1}, {"freeze_epochs": 1}, []),
    ({"model": "fcn8s"}, {"encoder": "vgg16"}, ["encoder resnet34 falls away: it goes with model unet"]),
    ({"model": "unet"}, {"encoder": "resnet34"}, []),
    ({"schedule": "one-cycle"}, {"schedule": "one-cycle"}, []),
]


@pytest.mark.parametrize(("given", "expected", "notes"), COMBINED, ids=lambda value: str(value)[:40])
def test_what_is_given_beside_go_selfies_wins(
    given: dict[str, Any], expected: dict[str, Any], notes: list[str]
) -> None:
    options, told = combine(load_preset("go-selfies"), given)
    config = make_config(options)
    assert {field: getattr(config, field) for field in expected} == expected
    assert told == notes


def test_what_goes_with_another_schedule_falls_away() -> None:
    options, told = combine(load_preset("greenscreen"), {"schedule": "constant"})
    assert make_config(options).lr_decay is None
    assert told == ["lr-decay 0.995 falls away: it goes with schedule exponential"]


def test_a_list_and_a_whole_number_become_what_the_option_is() -> None:
    options, _ = combine({"classes": ["person", "held"], "lr": 1}, {})
    assert options == {"classes": ("person", "held"), "lr": 1.0}


def test_a_team_keeps_its_options_in_a_file(drawn: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "ours.toml"
    path.write_text(
        'model = "pspnet"\nencoder = "mobilenet_v2"\nweights = "none"\nsize = [32, 64]\nbatch-size = [5, 4]\n'
        'epochs = 2\nschedule = "polynomial"\nlr = 1e-4\n'
    )
    out = tmp_path / "run"
    begun = run("fit", drawn.root, "--out", out, "--preset", path, "--lr", "0.002")
    assert begun.exit_code == 0, begun.exception
    config = read_config(out)
    assert (config.earlier_sizes, config.size, config.earlier_batch_sizes, config.batch_size) == ((32,), 64, (5,), 4)
    assert (config.model, config.lr, config.schedule, config.epochs) == ("pspnet", 0.002, "polynomial", 2)
    again = run("fit", drawn.root, "--out", out, "--preset", path, "--resume")
    assert isinstance(again.exception, UsageError)
    assert "was begun with --lr 0.002, not 0.0001" in str(again.exception)
    assert run("fit", drawn.root, "--out", out, "--resume").exit_code == 0


REFUSED = [
    (
        "sizes = 3",
        FormatError,
        "sizes is no option of train fit. There are: model, ",
    ),
    ("dataset = 'x'", FormatError, "dataset is no option of train fit"),
    ("epochs = 'ten'", FormatError, "is not a preset (epochs: Expected `int`, got `str`)"),
    ("epochs = ", FormatError, "is not a preset ("),
    ("epochs = 0", FormatError, "--epochs 0: expected at least 1"),
    ("[batch-size]\nlarge = 3", FormatError, "is not a preset (Expected `int`"),
    ("[freeze-epochs]\nsome = 3", FormatError, "is not a preset (Object contains unknown field `some`)"),
    ("[lr]\n128 = 3", FormatError, "is not a preset (lr: Expected `float | str`"),
]


@pytest.mark.parametrize(("text", "error", "message"), REFUSED, ids=[text for text, _, _ in REFUSED])
def test_a_bad_file_is_one_line(text: str, error: type[CurateError], message: str, tmp_path: Path) -> None:
    path = tmp_path / "ours.toml"
    path.write_text(text)
    with pytest.raises(error) as caught:
        load_preset(str(path))
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_preset_gets_those_named_that_there_are() -> None:
    with pytest.raises(MissingError, match=r"--preset selfies: is neither .* There are: go-selfies, greenscreen; for"):
        load_preset("selfies")


@pytest.mark.parametrize(
    ("preset", "beside"),
    [
        ("greenscreen", ["--epoch-images", "2", "--batch-size", "2"]),
        ("go-selfies", ["--weights", "none"]),
        ("go-selfies", ["--weights", "none", "--encoder", "mobilenet_v2", "--folds", "2"]),
    ],
    ids=["greenscreen", "go-selfies", "go-selfies with folds"],
)
def test_a_preset_trains_on_the_embedded_sample(
    preset: str, beside: list[str], embedded: Dataset, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    result = run("fit", embedded.root, "--out", out, "--preset", preset, "--size", 32, "--epochs", 1, *beside)
    assert result.exit_code == 0, result.exception
    config, given = read_config(out), {"size": 32, "epochs": 1}
    if preset == "greenscreen":
        given |= {"epoch_images": 2, "batch_size": 2}
    expected = make_config(combine(load_preset(preset), given | ({"weights": "none"} if "none" in beside else {}))[0])
    settled = {"dataset", "digest", "validation"} | ({"encoder", "folds"} if "--folds" in beside else set())
    same = [field for field in config.__struct_fields__ if field not in settled]
    assert [getattr(config, field) for field in same] == [getattr(expected, field) for field in same]
    scores = read_table(out / "scores.parquet", schema.SCORES)
    if config.folds:
        assert set(scores.filter(split="train")["fold"]) == {0, 1}, "out-of-fold predictions of every training image"
        assert scores.filter(split="train").height == len(embedded.rows("train"))


def test_a_range_test_follows_a_preset(drawn: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "ours.toml"
    path.write_text('model = "pspnet"\nencoder = "mobilenet_v2"\nweights = "none"\nsize = 32\nepochs = 9\nfolds = 2\n')
    found = run("lr-find", drawn.root, "--out", tmp_path / "lr", "--preset", path, "--steps", 40, "--batch-size", 2)
    assert found.exit_code == 0, found.exception
    assert found.stdout.startswith("--lr ")


def test_a_loop_takes_presets_too(drawn: Dataset, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="--preset nowhere: is neither a file nor a preset"):
        raise (
            CliRunner()
            .invoke(cli, ["loop", str(drawn.root), "--out", str(tmp_path / "loop"), "--preset", "nowhere"])
            .exception
            or AssertionError
        )
    path = tmp_path / "ours.toml"
    path.write_text("epochs = 3\nschedule = 'triangular'\nlr-min = 1e-5\n")
    found = CliRunner().invoke(
        cli, ["loop", str(drawn.root), "--out", str(tmp_path / "loop"), "--preset", str(path), "--lr", "1e-6"]
    )
    assert str(found.exception) == "--lr-min 1e-05: expected less than --lr 1e-06"
