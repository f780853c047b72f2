"""The loop on drawn people: fair arms, a test split nobody peeks at, and a kill that costs nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import msgspec
import polars as pl
import pytest
import yaml
from click.testing import CliRunner

from curate import schema
from curate.cli import cli, main
from curate.dataset import Dataset, open_dataset, read_table, write_table
from curate.errors import ExistsError, MissingError, UsageError
from review.compare import table_rows
from review.loop.card import CARD, write_card
from review.loop.config import arm_config, loop_config
from review.loop.mine import Mining
from review.loop.report import write_report
from review.loop.round import RoundResult
from review.loop.run import read_loop, run_loop
from review.loop.status import loop_status
from review.loop.steps import Told, epochs_in_minutes
from tests.conftest import REPOSITORY
from tests.review.loop.making import SPLITS, configure, quiet
from tests.train.making import make_dataset, quick
from train.config import FitConfig, read_config
from train.monitoring.log import read_log
from train.scoring.metrics import summarise

OPTIONS = [
    "--model",
    "pspnet",
    "--encoder",
    "mobilenet_v2",
    "--weights",
    "none",
    "--size",
    "32",
    "--batch-size",
    "4",
    "--folds",
    "2",
]
OPTIONS += ["--lr", "0.001"]


def test_arms_have_all_their_epochs_and_nothing_that_only_a_beginning_needs() -> None:
    trained = quick(
        lr=0.02, lr_from="range test", lr_min=0.001, schedule="triangular", cycle_epochs=3, epochs=6, freeze_epochs=2
    )
    arms = arm_config(trained, 0.25, Path("base"), epochs=1, number=1, images=8)
    assert (arms.lr, arms.lr_min) == (0.02 * 0.25, 0.001 * 0.25)
    assert (arms.lr_from, arms.cycle_epochs, arms.freeze_epochs, arms.epochs) == ("", 1, 0, 1)
    patient = arm_config(quick(epochs=6, patience=2), 0.25, Path("base"), epochs=1, number=1, images=8)
    growing = arm_config(
        quick(epochs=6, size=64, earlier_sizes=(32,)), 0.25, Path("base"), epochs=1, number=1, images=8
    )
    assert (patient.patience, growing.size, growing.earlier_sizes) == (None, 64, ())


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_dataset(tmp_path_factory.mktemp("people") / "people", SPLITS)


@pytest.fixture(scope="module")
def finished(people: Dataset) -> tuple[Path, RoundResult]:
    """A loop of one round, with its report."""
    out = people.root.parent / "loop"
    (result,) = run_loop(people, out, configure(people, out), quiet)
    write_report(people, out)
    return out, result


def scores(run: Path, split: str) -> pl.DataFrame:
    return read_table(run / "scores.parquet", schema.SCORES).filter(pl.col("split") == split)


def test_both_arms_start_from_the_same_base_and_draw_as_many_images(finished: tuple[Path, RoundResult]) -> None:
    out, result = finished
    control, candidate = out / "round-1" / "control", out / "round-1" / "candidate"
    assert read_config(control) == read_config(candidate)
    assert (control / read_config(control).weights).resolve() == (out / "base" / "best.safetensors").resolve()
    assert [line.images for line in read_log(control)] == [line.images for line in read_log(candidate)]
    assert len(read_log(control)) == result.epochs == 1
    assert not (control / "mined.parquet").exists()
    assert read_table(candidate / "mined.parquet", schema.MINED).equals(
        read_table(out / "round-1" / "mined.parquet", schema.MINED)
    )


def test_mining_weights_up_the_worst_out_of_fold_images(finished: tuple[Path, RoundResult]) -> None:
    out, result = finished
    assert result.out_of_fold
    mined = read_table(out / "round-1" / "mined.parquet", schema.MINED)
    training = scores(out / "base", "train")
    assert set(training["fold"]) == {0, 1}
    hard = set(mined.filter(pl.col("reason").str.starts_with("hard"))["sample_id"])
    left = training.filter(~pl.col("sample_id").is_in(mined.filter(pl.col("weight") == 0)["sample_id"].implode()))
    assert hard == set(left.sort("iou", "sample_id").head(len(hard))["sample_id"])
    assert result.mined["hard"] == len(hard) > 0


def test_the_table_is_recomputed_from_the_runs(finished: tuple[Path, RoundResult]) -> None:
    out, result = finished
    runs = {"before": out / "base", "control": out / "round-1/control", "after": out / "round-1/candidate"}
    assert result.table == {name: summarise(scores(run, "test")) for name, run in runs.items()}
    assert result.test_images == SPLITS.count("test")
    assert msgspec.json.decode((out / "round-1" / "verdict.json").read_bytes(), type=RoundResult) == result


def test_a_finished_loop_is_left_as_it_is(people: Dataset, finished: tuple[Path, RoundResult]) -> None:
    out, result = finished
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    assert run_loop(people, out, configure(people, out), quiet) == [result]
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()} == before


def test_what_is_trained_is_not_told_again(people: Dataset, finished: tuple[Path, RoundResult]) -> None:
    out, said = Path(shutil.copytree(finished[0], people.root.parent / "again")), list[str]()
    (out / "round-1/verdict.json").unlink()
    assert run_loop(people, out, configure(people, out), said.append) == [finished[1]]
    assert not [line for line in said if "control" in line or "candidate" in line]
    assert any("now the test split" in line for line in said)


def test_the_test_split_decides_nothing(people: Dataset, finished: tuple[Path, RoundResult], tmp_path: Path) -> None:
    other = make_dataset(tmp_path / "people", SPLITS[:-3] + ("background",) * 3)
    assert other.samples.filter(pl.col("split") == "train").equals(people.samples.filter(pl.col("split") == "train"))
    renamed = other.samples.with_columns(split=pl.col("split").replace("background", "test"))
    blind = replace(other, scan=renamed.lazy())
    (result,) = run_loop(blind, tmp_path / "loop", configure(blind, tmp_path / "loop"), quiet)
    assert (result.validation, result.promoted) == (finished[1].validation, finished[1].promoted)
    assert result.table["after"].empty == 3, "its test labels show nobody"
    assert (tmp_path / "loop/round-1/mined.parquet").read_bytes() == (
        finished[0] / "round-1/mined.parquet"
    ).read_bytes()


def test_another_loop_is_not_overwritten(people: Dataset, finished: tuple[Path, RoundResult]) -> None:
    with pytest.raises(
        ExistsError, match=r"begun with --budget 1, not 2\. Repeat .* from its base: --from .*/base --out NEW"
    ):
        run_loop(people, finished[0], configure(people, finished[0], budget="2"), quiet)


def test_every_scored_image_of_every_arm_has_its_failure(finished: tuple[Path, RoundResult]) -> None:
    for run in (finished[0] / "base", finished[0] / "round-1/control", finished[0] / "round-1/candidate"):
        scored = read_table(run / "scores.parquet", schema.SCORES)["sample_id"]
        failed = read_table(run / "failures.parquet", schema.FAILURES)["sample_id"]
        assert sorted(failed) == sorted(scored)


def test_decisions_that_change_nothing_are_named(people: Dataset, tmp_path: Path) -> None:
    (tmp_path / "decisions.jsonl").write_text('{"sample_id": "nobody", "verdict": "hard"}\n')
    command = ["loop", str(people.root), "--out", str(tmp_path / "loop"), "--weights", "typo.safetensors"]
    result = CliRunner().invoke(cli, [*command, "--decisions", str(tmp_path / "decisions.jsonl")])
    told = f"not learnt from change nothing here; the first: nobody is no sample of {people.root}"
    assert f"note: 1 decision of images that are {told}\n" in result.stderr


def start(arguments: list[str], folder: Path) -> subprocess.Popen[str]:
    """The program in a process of its own."""
    code = "import sys; from curate.cli import main; main(sys.argv[1:])"
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(command, cwd=folder, env=environment, text=True, stdout=-1, stderr=-1)


def test_a_killed_loop_goes_on_and_ends_as_if_nothing_had_happened(
    people: Dataset, finished: tuple[Path, RoundResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["loop", str(people.root), "--out", "loop", *OPTIONS, "--epochs", "2", "--budget", "1"]
    process = start(command, tmp_path)
    deadline = time.monotonic() + 120
    while not (tmp_path / "loop/round-1/control/config.json").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    steps = dict(loop_status(tmp_path / "loop"))
    assert steps["base"] == "done"
    assert (steps["round 1: given"], steps["round 1: verdict"]) == ("nothing", "to do")
    assert "next" in (steps["round 1: control"].split(",")[0], steps["round 1: candidate"].split(",")[0])
    monkeypatch.chdir(tmp_path)
    again = CliRunner().invoke(cli, [*command, "--json"])
    assert again.exit_code == 0, again.stderr
    (result,) = json.loads(again.stdout)["rounds"]
    assert result == msgspec.to_builtins(finished[1])


def test_two_processes_do_not_work_in_one_loop(
    people: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["loop", str(people.root), "--out", "loop", *OPTIONS, "--epochs", "30", "--budget", "1"]
    first = start(command, tmp_path)
    deadline = time.monotonic() + 120
    while not (tmp_path / "loop/loop.json").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    first.send_signal(signal.SIGSTOP)  # it keeps the loop, and no core
    monkeypatch.chdir(tmp_path)
    try:
        with pytest.raises(SystemExit) as second:
            main(command)
        assert dict(loop_status(tmp_path / "loop"))["base"].startswith("running")
    finally:
        first.kill()
        first.communicate()
    assert second.value.code == 1
    told = "error: loop: another process is writing it. Wait, or choose another --out\n"
    assert capsys.readouterr().err == told


def test_the_report_is_one_self_contained_file(finished: tuple[Path, RoundResult]) -> None:
    html = (finished[0] / "report.html").read_text()
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", html)
    assert "url(" not in html
    assert html.count("data:image/jpeg;base64,") >= 3
    for word in ("before", "control", "after", "What was chosen", "How it learned", "Labels to look at next"):
        assert word in html


def test_what_is_promoted_has_a_card(people: Dataset, finished: tuple[Path, RoundResult], tmp_path: Path) -> None:
    out, mining = Path(shutil.copytree(finished[0], tmp_path / "loop")), Mining(hard_share=0.3)
    write_card(people, out, finished[1], mining)
    assert not [*out.rglob(CARD)], "nothing was promoted"
    promoted = msgspec.structs.replace(finished[1], promoted=True, promotes="round-1/candidate")
    write_card(people, out, promoted, mining)
    (card,) = out.rglob(CARD)
    assert card.parent == out / "round-1/candidate"
    _, head, text = card.read_text().split("---\n", 2)
    assert yaml.safe_load(head)["pipeline_tag"] == "image-segmentation"
    for row in table_rows(promoted.table, promoted.test):
        assert f"| {' | '.join(row)} |" in text
    for told in (
        people.header.digest,
        "`--hard-share 0.3`",
        "3 test images",
        "| 12 | not stated (12) |",
    ):
        assert told in text


def test_status_says_what_is_done_and_how_long_it_took(finished: tuple[Path, RoundResult]) -> None:
    out, result = finished
    shown = CliRunner().invoke(cli, ["loop", "status", str(out)]).output.splitlines()
    to_label = f"1 image, {out / 'round-1/to-label.zip'}" if result.offered else "nothing"
    states = {
        "base": "done, 1 s",
        "round 1: given": "nothing",
        "round 1: mined": "done",
        "round 1: to label": to_label,
        "round 1: control": "done, 1 s",
        "round 1: candidate": "done, 1 s",
        "round 1: scored": "done",
        "round 1: verdict": "promoted" if result.promoted else "not promoted",
        "report": "done",
    }
    assert [re.sub(r"\d+ s$", "1 s", line) for line in shown] == [
        f"{step:<18}  {told}" for step, told in states.items()
    ]
    found = json.loads(CliRunner().invoke(cli, ["loop", "status", str(out), "--json"]).output)
    assert list(found) == list(states)
    control = sum(line.seconds for line in read_log(out / "round-1/control"))
    assert found["round 1: control"] == {"state": "done", "seconds": round(control, 1)}
    logs = [out / "base", out / "base/fold-0", out / "base/fold-1"]
    base = sum(line.seconds for log in logs for line in read_log(log))
    assert found["base"] == {"state": "done", "seconds": round(base, 1)}, "its fold models count"
    assert found["report"] == {"state": "done"}


def test_a_damaged_verdict_is_one_row(people: Dataset, finished: tuple[Path, RoundResult], tmp_path: Path) -> None:
    out = Path(shutil.copytree(finished[0], tmp_path / "loop"))
    (out / "round-1/verdict.json").write_text("{")
    steps = dict(loop_status(out))
    assert steps["round 1: verdict"].startswith(f"damaged. Delete {out}/round-1/verdict.json and run the loop again")
    assert steps["round 1: control"] == "done"
    assert steps["round 1: scored"] == "done"
    assert steps["report"] == "to do"
    scores = out / "round-1/candidate/scores.parquet"
    write_table(scores, read_table(scores, schema.SCORES).filter(pl.col("split") != "test"))
    assert dict(loop_status(out))["round 1: scored"] == "next, begun, 1 of 2 arms"


def test_a_reviewers_verdicts_reach_the_mining(people: Dataset, finished: tuple[Path, RoundResult]) -> None:
    out = people.root.parent / "decided"
    config = configure(people, out, mining=Mining(hard_weight=3.0))
    run_loop(people, out, config, quiet, verdicts={"drawn-000": "exclude", "drawn-001": "hard"})
    mined = read_table(out / "round-1" / "mined.parquet", schema.MINED)
    weights = dict(mined.select("sample_id", "weight").iter_rows())
    assert (weights["drawn-000"], weights["drawn-001"]) == (0.0, 3.0)


def test_a_budget_in_minutes_buys_the_epochs_that_fit(finished: tuple[Path, RoundResult]) -> None:
    base = finished[0] / "base"
    people, said = open_dataset(finished[0].parent / "people"), list[str]()
    seconds = sorted(line.seconds for line in read_log(base))
    plain, minutes = (configure(people, finished[0], budget=budget) for budget in ("3", "1m"))
    assert epochs_in_minutes(Told(finished[0], plain, quiet, None, None), people) == 0
    found = epochs_in_minutes(Told(finished[0], minutes, said.append, None, None), people)
    assert found == int(60 / ((seconds[0] + seconds[1]) / 2))
    assert said[0].startswith(f"1m are {found} epochs of about ")


def test_minutes_from_a_run_are_those_of_the_arms(
    people: Dataset, finished: tuple[Path, RoundResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    base, asked = finished[0] / "base", list[int]()

    def by_size(dataset: Dataset, config: FitConfig) -> float:
        asked.append(config.size)
        return 7.5

    monkeypatch.setattr("review.loop.steps.epoch_seconds", by_size)
    config = loop_config(people, finished[0].parent / "large", {"size": 64}, rounds=1, budget="1m", start=base)
    assert epochs_in_minutes(Told(finished[0].parent / "large", config, quiet, None, None), people) == 8
    assert asked == [64]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"budget": "0"}, "--budget 0: expected epochs"),
        ({"budget": "4h"}, "--budget 4h: expected epochs"),
        ({"budget": ""}, "--budget : expected epochs"),
        ({"budget": "²"}, "--budget ²: expected epochs"),
    ],
)
def test_a_wrong_budget_is_a_usage_error(people: Dataset, changes: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        configure(people, Path("loop"), **changes)


def test_minutes_say_nothing_of_the_base(people: Dataset) -> None:
    with pytest.raises(UsageError, match="Pass its --epochs"):
        loop_config(people, Path("loop"), {"epochs": None}, rounds=1, budget="5m")


def test_without_folds_the_datasets_own_are_taken(people: Dataset, tmp_path: Path) -> None:
    def folds(dataset: Dataset) -> int:
        return loop_config(dataset, Path("loop"), {}, rounds=1, budget="1").fit.folds

    assert folds(people) == 3
    assert folds(make_dataset(tmp_path / "folded", SPLITS, folds=4)) == 4


def test_a_folder_that_is_no_loop(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="is not a loop"):
        read_loop(tmp_path)


def test_the_dataset_stays_as_it_was(people: Dataset, finished: tuple[Path, RoundResult]) -> None:
    assert open_dataset(people.root).header == people.header
