"""Arms that are trained several times: how they are judged, which of them is promoted, how they go on."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest

import review.loop.round
from curate.dataset import Dataset
from curate.errors import ExistsError, UsageError
from review.loop.ahead import loop_bytes
from review.loop.card import CARD
from review.loop.gate import Check, Verdict, choose, decide, typical
from review.loop.report import loop_curves, write_report
from review.loop.round import RoundResult
from review.loop.run import read_loop, run_loop
from review.loop.status import loop_status
from review.loop.steps import scores_of
from tests.review.loop.making import configure, of_split, quiet, write_labels
from tests.review.loop.test_gate import NO_SLICES, scores
from train.config import read_config
from train.scoring.figures import number
from train.scoring.metrics import mean_of, mean_summary, summarise


def waved_through(*arguments: Any) -> tuple[str, Mapping[str, Verdict]]:
    """The gate's answer, but that all checks hold."""
    _, verdicts = choose(*arguments)
    passed = {
        name: msgspec.structs.replace(one, checks=[Check(True, "waved through")]) for name, one in verdicts.items()
    }
    return "after", passed


@pytest.fixture(scope="module")
def twice(pooled: Dataset, run: Path) -> tuple[Path, list[RoundResult], list[str]]:
    """A promoted round, and a second one with corrected labels and the ensemble; each arm trained twice."""
    out, said = run.parent / "twice", list[str]()
    labels = write_labels(pooled, run.parent / "labels-of-twice", of_split(pooled, "train")[:2])
    options = {"start": run, "repeats": 2, "ensemble": True}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(review.loop.round, "choose", waved_through)
        run_loop(pooled, out, configure(pooled, out, **options), said.append)
    results = run_loop(pooled, out, configure(pooled, out, **options, rounds=2), said.append, labels=labels)
    return out, results, said


def trainings(out: Path, arm: str, number: int = 1) -> list[Path]:
    return [out / f"round-{number}" / name for name in (arm, f"{arm}-2")]


def val_iou(run: Path) -> float:
    return mean_of(scores_of(run, "val")["iou"]) or 0.0


def test_each_training_has_a_seed_and_all_arms_have_the_same(twice: tuple[Path, list[RoundResult], list[str]]) -> None:
    out, _, said = twice
    seeds = [[read_config(run).seed for run in trainings(out, arm)] for arm in ("control", "candidate")]
    assert seeds[0] == seeds[1]
    assert len(set(seeds[0])) == 2
    assert any(
        re.search(r"round 2: 1 epoch at a learning rate of \S+ with 2 new or corrected labels.*, training 2 of 2", line)
        for line in said
    )


def test_figures_are_means_over_the_trainings(twice: tuple[Path, list[RoundResult], list[str]]) -> None:
    out, (first, second), _ = twice
    assert (first.repeats, second.repeats) == (2, 2)
    for name, arm in (("control", "control"), ("after", "candidate")):
        both = [summarise(scores_of(run, "test")).mean_iou for run in trainings(out, arm)]
        assert first.table[name].mean_iou == pytest.approx(np.mean(both))  # type: ignore[arg-type]
    by_arm = [np.mean([val_iou(run) for run in trainings(out, arm)]) for arm in ("control", "candidate")]
    assert [first.validation[0].first, first.validation[0].second] == pytest.approx(by_arm)
    assert list(second.table) == ["before", "control", "labels", "after", "ensemble"]


def test_the_lower_of_two_is_promoted_with_its_own_figures(
    twice: tuple[Path, list[RoundResult], list[str]], pooled: Dataset
) -> None:
    out, (first, second), _ = twice
    lower = min(trainings(out, "candidate"), key=val_iou)
    assert first.promotes == second.base == f"round-1/{lower.name}"
    own = number(summarise(scores_of(lower, "test")).mean_iou)
    card = (lower / CARD).read_text()
    assert "Each was trained 2 times, and the figures are means over these; this run is the middle one" in card
    assert f"Its own image mean IoU is {own}" in card
    alone = Path(shutil.copytree(out, out.with_name("twice-first")))
    shutil.rmtree(alone / "round-2")
    html = write_report(pooled, alone).read_text()
    assert f"Image mean IoU {own}," in html
    assert "Each arm was trained 2 times" in html


def test_every_training_is_told_of(twice: tuple[Path, list[RoundResult], list[str]], pooled: Dataset) -> None:
    out, results, _ = twice
    steps = dict(loop_status(out))
    for name in ("control", "control-2", "labels", "labels-2", "candidate", "candidate-2"):
        assert steps[f"round 2: {name}"] == "done"
    (curves,) = [chapter for chapter in loop_curves(out, out.parent / "first", results, [results]) if chapter]
    labels = [curve.label for curve in curves if curve.label]
    assert labels == ["base", "control 1", "candidate 1", "control 2", "labels 2", "candidate 2"]
    assert len(curves) == 1 + 2 * 2 + 3 * 2


def test_a_loop_goes_on_as_it_was_begun(pooled: Dataset, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "loop"
    config = configure(pooled, out, start=run, repeats=2)
    (whole,) = run_loop(pooled, out, config, quiet)
    (out / "round-1/verdict.json").unlink()
    shutil.rmtree(out / "round-1/candidate-2")
    assert run_loop(pooled, out, config, quiet) == [whole], "what was lost is trained again, to the same weights"
    with pytest.raises(ExistsError, match="a loop begun with --repeats 2, not 3"):
        run_loop(pooled, out, configure(pooled, out, start=run, repeats=3), quiet)
    written = msgspec.json.decode((out / "round-1/verdict.json").read_bytes())
    del written["repeats"]
    (out / "round-1/verdict.json").write_bytes(msgspec.json.encode(written))
    assert read_loop(out)[1][0].repeats == 1, "as all loops of before"


def test_how_often_is_checked(pooled: Dataset, run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--repeats 21: expected 1 to 20"):
        configure(pooled, tmp_path / "loop", start=run, repeats=21)


def test_more_trainings_take_more_room(pooled: Dataset, run: Path, tmp_path: Path) -> None:
    once, thrice = (
        loop_bytes(pooled, configure(pooled, tmp_path / "loop", start=run, repeats=repeats), labels=False)
        for repeats in (1, 3)
    )
    assert thrice == pytest.approx(3 * once)


def test_the_gate_hears_all_trainings_and_judges_the_one_that_would_be_promoted() -> None:
    ious, groups = np.linspace(0.2, 0.8, 60), {f"s-{place:03}": f"s-{place:03}" for place in range(60)}
    control = [scores(list(ious + shift)) for shift in (-0.001, 0.001)]

    def decided(before: pl.DataFrame, *shifts: float) -> Verdict:
        return decide(before, control, [scores(list(ious + shift)) for shift in shifts], NO_SLICES, groups, seed=0)

    assert decided(scores(list(ious)), 0.099, 0.101).promoted
    wide = decided(scores(list(ious)), -0.05, 0.25)
    assert any("does not rise beyond chance" in reason for reason in wide.reasons), "trainings differ as much"
    kept = decided(scores(list(ious + 0.1)), 0.099, 0.2)
    assert any("of the run it would replace" in reason for reason in kept.reasons), "the lower one is worse"


def test_typical_is_the_middle_one_and_of_two_the_lower() -> None:
    runs = [scores([iou]) for iou in (0.7, 0.5, 0.6, 0.9)]
    assert [typical(runs[:count]) for count in (1, 2, 3, 4)] == [0, 1, 2, 2]


def test_a_mean_lacks_what_a_training_lacks() -> None:
    known, nothing = summarise_of(0.5), summarise_of(None)
    assert mean_summary([known, known]) == known
    assert mean_summary([known, nothing]).mean_iou is None


def summarise_of(iou: float | None) -> Any:
    frame = pl.DataFrame(
        {"tp": [1], "fp": [1], "fn": [0], "iou": [iou], "dice": [iou], "boundary_iou": [iou], "bce": [0.1]},
        schema_overrides={"iou": pl.Float64, "dice": pl.Float64, "boundary_iou": pl.Float64},
    )
    return summarise(frame)
