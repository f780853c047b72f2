"""The loop's options: from the command line, from a recipe file, and both together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from curate.cli import cli
from curate.dataset import Dataset
from curate.errors import CurateError, FormatError, MissingError, UsageError
from label.cli import TOOLS as LABEL_TOOLS
from review.loop.cli import MINING_OPTIONS, TOOLS, loop
from review.loop.config import RETRAIN_LR, LoopConfig, configured, loop_config, read_recipe
from review.loop.mine import Mining
from review.loop.run import encoded, read_loop


def defaults() -> dict[str, Any]:
    """All options of the command at their defaults."""
    return loop.make_context("loop", ["people"]).params


def from_recipe(dataset: Dataset, text: str, folder: Path, **given: Any) -> LoopConfig:
    (folder / "weekly.toml").write_text(text)
    return configured(dataset, folder / "loop", {**defaults(), **given}, given, folder / "weekly.toml")[0]


def test_the_command_has_the_defaults_of_mining() -> None:
    found = defaults()
    assert Mining(**{name: found[name] for name in Mining.__struct_fields__}) == Mining()
    assert len(MINING_OPTIONS) == len(Mining.__struct_fields__)
    assert (TOOLS, found["retrain_lr"]) == (LABEL_TOOLS, RETRAIN_LR)


WEEKLY = """
rounds = 2
budget = 6
retrain-lr = 1
to = "labelstudio"
hard-weight = 2.0
suspects = "halve"
size = [64, 96]
weights = "none"
epochs = 12
"""


def test_a_recipe_sets_the_loop_mining_and_fit(pooled: Dataset, tmp_path: Path) -> None:
    config = from_recipe(pooled, WEEKLY, tmp_path)
    assert (config.rounds, config.budget, config.retrain_lr, config.to) == (2, "6", 1, "labelstudio")
    assert config.mining == Mining(hard_weight=2.0, suspects="halve")
    assert (config.fit.size, config.fit.earlier_sizes, config.fit.epochs, config.fit.weights) == (96, (64,), 12, "none")
    assert config.fit.folds == 3, "what a recipe leaves out is as without one"


def test_what_is_given_beside_a_recipe_wins(pooled: Dataset, tmp_path: Path) -> None:
    config = from_recipe(pooled, WEEKLY, tmp_path, budget="30m", hard_weight=4.0, epochs=5, size=32)
    assert (config.budget, config.mining.hard_weight, config.mining.suspects) == ("30m", 4.0, "halve")
    assert (config.fit.epochs, config.fit.size, config.fit.earlier_sizes) == (5, 32, ())


def test_with_a_run_only_what_is_said_differs_from_it(pooled: Dataset, run: Path, tmp_path: Path) -> None:
    config = from_recipe(pooled, 'augment = "strong"\n', tmp_path, start=run)
    assert (config.fit.augment, config.fit.encoder, config.fit.size) == ("strong", "mobilenet_v2", 32)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hard-wieght = 2", "hard-wieght is no option of a loop. Did you mean hard-weight"),
        ('from = "runs/best"', "from changes from call to call. Pass --from beside --recipe"),
        ("hard-weight = -1", "--hard-weight -1.0: expected a number from 0 to 1000"),
        ('hard-weight = "much"', "hard-weight: expected a number, found a text in"),
        ("budget = 2.5", 'budget: expected a text in "quotes", found a number'),
        ('suspects = "leave"', "--suspects leave: expected"),
        ("rounds = ", "is no recipe of a loop"),
        ('rounds = "two"', "rounds: expected a whole number, found a text in"),
        ("rounds = 0", "--rounds 0: expected 1 to 100"),
        ('budget = "4h"', "--budget 4h: expected epochs"),
        ("retrain-lr = 1.5", "--retrain-lr 1.5: expected more than 0 and at most 1"),
        ("retrain-lr = nan", "--retrain-lr nan: expected more than 0"),
        ('to = "cvatt"', "--to cvatt: expected one of cvat, "),
        ("size = 33", "--size 33"),
        ("\xff", "is no recipe of a loop"),
    ],
    ids=[
        "unknown",
        "of a call",
        "range",
        "type",
        "type of a text",
        "choice",
        "no TOML",
        "loop's type",
        "rounds",
        "budget",
        "share",
        "no number",
        "tool",
        "option of fit",
        "no text",
    ],
)
def test_a_damaged_recipe(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "weekly.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(FormatError, match=message) as raised:
        read_recipe(path)
    assert str(path) in str(raised.value)


def test_a_recipe_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"nowhere\.toml"):
        read_recipe(tmp_path / "nowhere.toml")


@pytest.mark.parametrize("rate", ["auto", "usual", 0.002])
def test_the_rate_of_a_base_is_refused_where_there_is_one(
    pooled: Dataset, run: Path, tmp_path: Path, rate: float | str
) -> None:
    told = rf"--lr {rate}: is that of a base, and --from .* trained at 0.001. .* share of it: --retrain-lr"
    with pytest.raises(UsageError, match=told):
        loop_config(pooled, tmp_path / "loop", {"lr": rate}, rounds=1, budget="1", start=run)


def test_a_loop_from_a_run_by_the_command(pooled: Dataset, run: Path, tmp_path: Path) -> None:
    (tmp_path / "weekly.toml").write_text('budget = 1\nhard-augment = "copy-paste"\noffer = 0\n')
    command = ["loop", str(pooled.root), "--from", str(run), "--out", str(tmp_path / "loop")]
    result = CliRunner().invoke(
        cli, [*command, "--recipe", str(tmp_path / "weekly.toml"), "--hard-share", "0.4", "--ensemble"]
    )
    assert result.exit_code == 0, result.output
    config, (found,) = read_loop(tmp_path / "loop")
    assert config.mining == Mining(hard_augment="copy-paste", hard_share=0.4, offer=0)
    assert found.offered == found.mined["suspected"]
    assert list(found.table) == ["before", "control", "after", "ensemble"]
    assert f"round 1: {'promoted' if found.promoted else 'not promoted'} on 4 validation images" in result.output
    assert "4 validation images are too few to tell" in result.output
    goes_on = CliRunner().invoke(cli, ["loop", str(pooled.root), "--out", str(tmp_path / "loop")])
    assert (goes_on.exit_code, goes_on.stdout) == (0, result.stdout), "what is not said is as the loop has it"
    other = CliRunner().invoke(cli, ["loop", str(pooled.root), "--out", str(tmp_path / "loop"), "--hard-share", "0.3"])
    assert other.exit_code == 1
    assert "holds a loop begun with --hard-share 0.4, not 0.3. Repeat its options or leave them out" in str(
        other.exception
    )


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"budget": "soon"}, "--budget soon: expected epochs"),
        ({"rounds": 0}, "--rounds 0: expected 1 to 100"),
        ({"hard_share": 2.0}, "--hard-share 2.0: expected a share"),
        ({"encoder": "resnet18"}, "--encoder resnet18: .* has mobilenet_v2"),
        ({"folds": 3}, "--folds: is about the base"),
        ({"start": Path("nowhere")}, "--from nowhere: is no run"),
    ],
)
def test_what_is_said_of_a_loop_that_is_there_is_checked_as_of_a_new_one(
    pooled: Dataset, run: Path, tmp_path: Path, said: dict[str, Any], message: str
) -> None:
    begun, _ = configured(pooled, tmp_path, {**defaults(), "start": run}, {"start": run}, None)
    (tmp_path / "loop.json").write_bytes(encoded(begun))
    with pytest.raises(CurateError, match=message):
        configured(pooled, tmp_path, {**defaults(), **said}, said, None)


def test_an_ensemble_of_a_loop_that_is_there_needs_fold_models(pooled: Dataset, tmp_path: Path) -> None:
    begun, _ = configured(pooled, tmp_path, {**defaults(), "folds": 0}, {"folds": 0}, None)
    (tmp_path / "loop.json").write_bytes(encoded(begun))
    with pytest.raises(UsageError, match="--ensemble: is the mean of fold models"):
        configured(pooled, tmp_path, defaults(), {"ensemble": True}, None)


def test_a_loop_that_is_there_keeps_what_is_not_said(pooled: Dataset, tmp_path: Path) -> None:
    options = {"size": 64, "earlier_sizes": (32,), "earlier_batch_sizes": (4,), "epochs": 3, "budget": "2"}
    begun, _ = configured(pooled, tmp_path, {**options, "rounds": None, "offer": 7}, options, None)
    (tmp_path / "loop.json").write_bytes(encoded(begun))
    defaults = {"size": 224, "epochs": 20, "budget": "4", "rounds": None, "offer": 50}
    assert configured(pooled, tmp_path, defaults, {}, None) == (begun, [])
    more, _ = configured(pooled, tmp_path, {**defaults, "rounds": 2}, {"rounds": 2}, None)
    assert more == msgspec.structs.replace(begun, rounds=2)
    anew, _ = configured(pooled, tmp_path, defaults, {}, None, force=True)
    assert (anew.fit.size, anew.fit.epochs, anew.mining.offer) == (224, 20, 50)
