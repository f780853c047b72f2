"""The range test: where its points lie, what it suggests, and how `fit --lr auto` uses it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib.figure import Figure

import train.monitoring.plots
from curate.cli import cli
from curate.dataset import Dataset
from curate.errors import UsageError
from tests.train.making import quick
from tests.train.test_fit import stop_in, tensors
from train.config import read_config
from train.engine.lr_find import RangeTest, is_lost, range_test_steps, smooth, suggest
from train.fit import find_rate, fit
from train.monitoring.plots import range_test_png

RATES = np.geomspace(1e-6, 10, 101).tolist()


def valley(rate: float) -> float:
    """A loss of 1 that falls by a cosine between 1e-4 and 1e-2, and then rises."""
    place = math.log10(rate)
    if place <= -4:
        return 1.0
    return 0.75 + 0.25 * math.cos((place + 4) / 2 * math.pi) if place <= -2 else 0.5 + (place + 2) ** 2


def test_the_suggestion_is_a_tenth_of_the_highest_rate_that_the_loss_stands() -> None:
    found = suggest(RATES, [valley(rate) for rate in RATES])
    assert found.held_to == pytest.approx(2e-2, rel=0.2)  # where the loss has risen by a tenth, a fifth of its fall
    assert found.lr == pytest.approx(found.held_to / 10, rel=0.05)
    assert found.lr_min == pytest.approx(2.6e-4, rel=0.15)  # where a tenth of the fall is done
    assert "stays low up to" in found.explanation
    assert "beyond which it rises" in found.explanation


def test_no_more_than_suits_the_optimizer_is_suggested() -> None:
    losses = np.linspace(2, 1, 101).tolist()
    assert suggest(RATES, losses).lr == pytest.approx(RATES[-1] / 10, rel=0.05)
    bound = suggest(RATES, losses, 0.01)
    assert bound.lr == 0.01
    assert "--lr 0.01 is the most that suits the optimizer" in bound.explanation


def test_where_on_a_plateau_a_noisy_loss_is_lowest_changes_nothing() -> None:
    """As with batch norm: low from 2e-3 to 0.5, and lowest wherever noise has it."""
    falling, low = [1.2] * 30 + np.linspace(1.2, 0.8, 17).tolist(), [0.8] * 34
    losses = [falling + [*low[:dip], *[0.75] * 9, *low[dip + 9 :]] + [2.0] * 20 for dip in (2, 20)]
    first, second = (suggest(RATES, one) for one in losses)
    assert first.lr == second.lr


def test_the_picture_marks_where_the_loss_begins_to_fall_not_what_is_suggested(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where it falls late and steeply, --lr-min lies far below."""
    found = suggest(RATES, [1.0] * 60 + [0.5] + [0.4] * 8 + [2.0] * 32)
    assert found.lr_min == pytest.approx(found.lr / 2, rel=0.05)
    assert found.falls_at > 2 * found.lr_min
    assert f"begins to fall at {found.falls_at:.2g} " in found.explanation
    drawn = list[Figure]()
    monkeypatch.setattr(train.monitoring.plots, "_png", lambda figure: drawn.append(figure) or b"")
    range_test_png(found)
    (axes,) = drawn[0].axes
    marked = {text.get_text().strip(): text.get_position()[0] for text in axes.texts}
    assert marked[f"begins to fall {found.falls_at:.2g}"] == found.falls_at


def test_a_loss_that_hardly_falls_is_said() -> None:
    assert suggest(RATES, np.linspace(1, 0.97, 101).tolist()).explanation.startswith(
        "a guess, since the loss fell by 3% alone: the loss begins to fall at "
    )
    assert suggest(RATES, np.linspace(1, 0.85, 101).tolist()).explanation.startswith("the loss begins to fall at ")


def test_a_loss_that_never_rises_is_said() -> None:
    found = suggest(RATES, np.linspace(2, 1, 101).tolist())
    assert found.held_to == RATES[-1]
    assert "where the test ended" in found.explanation


@pytest.mark.parametrize("losses", [[], [1.0], [1.0, 1.0, 2.0], np.linspace(1, 2, 50).tolist()])
def test_a_loss_that_never_falls_suggests_nothing(losses: list[float]) -> None:
    with pytest.raises(UsageError, match=r"the range test found no rate at which the loss falls"):
        suggest(RATES[: len(losses)], losses)


def test_smoothing_does_not_lag_behind() -> None:
    line = [float(value) for value in range(30)]
    assert smooth(line) == pytest.approx(line)


@pytest.mark.parametrize(
    ("losses", "lost"),
    [([1.0] * 9, False), ([1.0] * 9 + [math.nan], True), ([1.0] * 9 + [math.inf], True), ([9.0], False)],
)
def test_a_test_ends_where_the_loss_is_lost(losses: list[float], lost: bool) -> None:
    assert is_lost(losses) is lost
    assert is_lost([1.0] * 9 + [5.0] * 5)
    assert not is_lost([1.0] * 9 + [3.9] * 5)


def test_a_range_test_repeats_itself_and_learns(drawn: Dataset) -> None:
    config = quick(model="linknet")
    found = find_rate(drawn, config, steps=30)
    assert found == find_rate(drawn, config, steps=30)
    assert min(found.smoothed) < 0.9 * found.smoothed[0]
    assert 1e-6 < found.lr < 1
    assert found.lr_min < found.lr
    assert len(found.rates) == len(found.losses) == len(found.smoothed) <= 30


def test_a_run_looks_for_its_rate_in_a_tenth_of_its_steps_but_in_40_to_100() -> None:
    assert [range_test_steps(quick(epochs=epochs), 8) for epochs in (1, 300, 9000)] == [40, 60, 100]
    staged = quick(epochs=600, size=64, earlier_sizes=(32,), batch_size=8, earlier_batch_sizes=(4,))
    assert range_test_steps(staged, 8) == 90


def test_auto_trains_with_what_it_found_and_goes_on_with_it(drawn: Dataset, tmp_path: Path) -> None:
    config = quick(lr="auto", schedule="triangular", epochs=2)
    whole = fit(drawn, tmp_path / "whole", config)
    stored = read_config(whole)
    written = msgspec.json.decode((whole / "plots" / "lr-find.json").read_bytes(), type=RangeTest)
    assert (stored.lr, stored.lr_min) == (written.lr, written.lr_min)
    assert stored.lr_from == f"range test: {written.explanation}"
    for stop in ("range test", "epoch 2/2"):
        with pytest.raises(KeyboardInterrupt):
            fit(drawn, tmp_path / "stopped", config, resume=stop != "range test", watch=stop_in(stop))
    assert read_config(fit(drawn, tmp_path / "stopped", config, resume=True)) == stored
    assert tensors(tmp_path / "stopped" / "last.ckpt") == tensors(whole / "last.ckpt")
    with pytest.raises(UsageError, match=r"was begun with --lr \S+, not 0.5"):
        fit(drawn, whole, msgspec.structs.replace(config, lr=0.5), resume=True)


def test_the_command_writes_the_curve_and_says_why(drawn: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "lr"
    options = [
        "--model",
        "linknet",
        "--encoder",
        "mobilenet_v2",
        "--weights",
        "none",
        "--size",
        "32",
        "--batch-size",
        "4",
        "--steps",
        "40",
    ]
    result = CliRunner().invoke(cli, ["train", "lr-find", str(drawn.root), "--out", str(out), *options])
    assert result.exit_code == 0, result.exception
    found = json.loads((out / "lr-find.json").read_bytes())
    assert result.stdout == f"--lr {found['lr']:g}: {found['explanation']}\nthe curve: {out / 'lr-find.png'}\n"
    assert (out / "lr-find.png").read_bytes().startswith(b"\x89PNG")
    refused = CliRunner().invoke(cli, ["train", "lr-find", str(drawn.root), "--out", str(out), "--lr", "1"])
    assert refused.exit_code == 2
    assert "No such option '--lr'" in refused.stderr
