"""The axes, runs and names of a sweep."""

from __future__ import annotations

import re

import pytest

from curate.errors import UsageError
from train.presets import load_preset
from train.sweeps.grid import make_runs, parse_axes, preset_notes, table1_axes

TABLE1_NAMES = [
    *("Vgg16-128", "Vgg16-128-pretrain", "Vgg16-512", "Vgg16-512-pretrain"),
    *("Resnet34-128", "Resnet34-128-pretrain", "Resnet34-512", "Resnet34-512-pretrain"),
]
"""As the paper's Table I has them, in its order."""


def test_values_are_read_by_the_kind_of_their_option() -> None:
    words = ["encoder=a,b", "size=32", "lr=0.1,auto", "ema=0.5,null", "position-channels=true,false"]
    words += ["classes=person,person+held", "--seed=0,1"]
    assert parse_axes(words) == {
        "encoder": ["a", "b"],
        "size": [32],
        "lr": [0.1, "auto"],
        "ema": [0.5, None],
        "position_channels": [True, False],
        "classes": [("person",), ("person", "held")],
        "seed": [0, 1],
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sizes=3"], "--over sizes=3: sizes is no option of train fit. There are: model, encoder, "),
        (["dataset=a"], "dataset is no option of train fit"),
        (["epochs=3,ten"], "--over epochs=3,ten: ten is no value of epochs, expected epochs=VALUE,VALUE"),
        (["epochs"], "--over epochs: nothing is no value of epochs"),
        (["epochs=3,"], "nothing is no value of epochs"),
        (["epochs=3", "epochs=4"], "--over epochs=4: epochs is varied already. Name all its values in one --over"),
        (["lr=1e-3,0.001"], "--over lr=1e-3,0.001: names a value twice"),
    ],
)
def test_what_is_no_axis_is_refused(words: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        parse_axes(words)


def test_a_grid_is_all_combinations_named_by_their_values() -> None:
    axes = parse_axes(["encoder=resnet18,vgg16", "batch-size=8,4", "seed=0,1"])
    runs = make_runs(axes, {}, {"size": 64, "weights": "none"}, table1=False)
    assert len(runs) == 8
    assert runs[1].name == "encoder=resnet18,batch-size=8,seed=1"
    assert {run.row for run in runs[:2]} == {"encoder=resnet18,batch-size=8"}
    config = runs[-1].config
    assert (config.encoder, config.batch_size, config.seed, config.size) == ("vgg16", 4, 1, 64)
    assert {run.row for run in make_runs({"seed": [0, 1]}, {}, {}, table1=False)} == {"all"}
    (classes,) = make_runs({"classes": [("person", "held")]}, {}, {}, table1=False)
    assert classes.name == "classes=person+held"


def test_a_value_out_of_range_names_its_run() -> None:
    with pytest.raises(UsageError, match=r"size=32,epochs=0: --epochs 0: expected at least 1"):
        make_runs({"size": [32], "epochs": [1, 0]}, {}, {}, table1=False)


def test_an_option_is_given_or_varied() -> None:
    with pytest.raises(UsageError, match=r"--size: is varied by --over size=... too. Leave one of them out"):
        make_runs({"size": [32]}, {}, {"size": 64}, table1=False)


def test_two_runs_of_one_name_are_refused() -> None:
    files = ["a/b.safetensors", "a_b.safetensors"]
    with pytest.raises(UsageError, match=r"two runs would be called weights=a_b\.safetensors"):
        make_runs({"weights": files}, {}, {}, table1=False)


def test_table1_is_the_papers_eight_models() -> None:
    axes, rest = table1_axes({"epochs": 20}, {})
    runs = make_runs(axes, load_preset("go-selfies"), rest, table1=True)
    assert [run.name for run in runs] == TABLE1_NAMES
    got = [(one.config.batch_size, one.config.freeze_epochs, one.config.epochs) for one in runs[:4]]
    assert got == [(64, 0, 20), (64, 2, 20), (16, 0, 20), (16, 2, 20)]
    assert runs[-1].config.encoder == "resnet34"


def test_what_a_preset_loses_is_told_where_a_run_loses_it() -> None:
    preset = load_preset("go-selfies")
    assert preset_notes({"weights": ["none"]}, preset, {"epochs": 20}) == []
    told = preset_notes({"weights": ["none", "imagenet"], "model": ["unet", "fcn8s"]}, preset, {"epochs": 20})
    assert told == [
        "encoder resnet34 falls away: it goes with model unet",
        "freeze-epochs 5 of 50 epochs becomes 2 of 20",
    ]


def test_table1_takes_what_is_given_of_its_axes() -> None:
    given = {"earlier_sizes": (32,), "size": 64, "encoder": "resnet18", "weights": "none", "epochs": 2}
    axes, rest = table1_axes(given, {"seed": [0, 1]})
    runs = make_runs(axes, load_preset("go-selfies"), rest, table1=True)
    assert rest == {"epochs": 2}
    assert [run.name for run in runs] == [f"Resnet18-{size},seed={seed}" for size in (32, 64) for seed in (0, 1)]
    assert [run.row for run in runs[::2]] == ["Resnet18-32", "Resnet18-64"]
