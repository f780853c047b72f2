"""Sweeps: many runs and one table, that go on after a kill and are never picked by the test split."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import msgspec
import polars as pl
import pytest

import train.engine.training
from curate import schema
from curate.dataset import Dataset, open_dataset, read_table
from curate.errors import CurateError, DivergedError, ExistsError, FormatError, MissingError, UsageError, VersionError
from tests.conftest import REPOSITORY
from tests.train.making import make_dataset, one_thread, tensors, without_times
from tests.train.test_cli import QUICK, SMALL, run
from train.data.folds import held_out_tenth
from train.fit import fit
from train.monitoring.log import EpochLine, read_log
from train.scoring.figures import groups_of
from train.scoring.intervals import figure_intervals
from train.scoring.metrics import summarise
from train.scoring.score import score
from train.scoring.scored import PLAIN, read_manner
from train.sweeps.grid import make_runs
from train.sweeps.sweep import read_sweep, run_sweep, seconds_left, settle_sweep
from train.sweeps.table import TITLES, Figure, Row, make_rows, run_figures, table_csv, table_markdown

GRID = ["--over", "lr=0.001,0.01", "--over", "seed=0,1", *SMALL, "--epochs", "1", "--freeze-batch-norm"]
NAMES = ["lr=0.001,seed=0", "lr=0.001,seed=1", "lr=0.01,seed=0", "lr=0.01,seed=1"]


@pytest.fixture(scope="module")
def swept(drawn: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two learning rates with two seeds each; never written to."""
    out = tmp_path_factory.mktemp("swept") / "sweep"
    with one_thread():
        result = run("sweep", drawn.root, "--out", out, *GRID)
    assert result.exit_code == 0, result.exception
    (out.parent / "stdout").write_text(result.stdout)
    (out.parent / "stderr").write_text(result.stderr)
    return out


def scores_of(folder: Path, split: str) -> pl.DataFrame:
    return read_table(folder / "scores.parquet", schema.SCORES).filter(pl.col("split") == split)


def test_each_run_is_a_run_like_any_other(drawn: Dataset, swept: Path, tmp_path: Path) -> None:
    assert sorted(path.name for path in swept.iterdir()) == sorted([*NAMES, "sweep.json", "table.csv", "table.md"])
    stored = read_sweep(swept)
    assert stored is not None
    assert [one.name for one in stored.runs] == NAMES
    assert stored.axes == {"lr": [0.001, 0.01], "seed": [0, 1]}
    config = msgspec.structs.replace(stored.runs[3].config, dataset="", digest="")
    alone = fit(drawn, tmp_path / "alone", config)
    assert tensors(alone / "best.safetensors") == tensors(swept / NAMES[3] / "best.safetensors")
    assert set(scores_of(swept / NAMES[0], "test")["sample_id"]) == {row["sample_id"] for row in drawn.rows("test")}


def test_it_says_how_far_it_is(swept: Path) -> None:
    told = (swept.parent / "stderr").read_text().splitlines()
    assert told.pop(0).startswith("training on ")
    assert told[0] == f"run 1 of 4: {NAMES[0]}"
    assert told[1].startswith("  epoch   1  train loss ")
    assert told[2].startswith("about ")
    assert told[2].endswith(" left for the whole sweep")
    assert told[3].startswith(f"run 2 of 4: {NAMES[1]}, about ")
    assert len(told) == 4 * 2 + 1


def test_a_row_is_the_mean_over_its_seeds_never_the_best(drawn: Dataset, swept: Path) -> None:
    (row, other) = csv.DictReader((swept / "table.csv").read_text().splitlines())
    assert (row["model"], other["model"]) == ("lr=0.001", "lr=0.01")
    assert (row["state"], row["runs"], row["spread"]) == ("done", "2", "seeds")
    folders = [swept / name for name in NAMES[:2]]
    for split, name in (("val", "validation"), ("test", "testing")):
        each = [summarise(scores_of(folder, split)) for folder in folders]
        for title, values in {
            "iou": [one.mean_iou for one in each],
            "dice": [one.mean_dice for one in each],
            "loss": [one.mean_bce for one in each],
        }.items():
            known = [value for value in values if value is not None]
            assert float(row[f"{name}_{title}"]) == pytest.approx(statistics.mean(known))
            assert float(row[f"{name}_{title}_deviation"]) == pytest.approx(statistics.stdev(known))
    losses = [[line for line in read_log(folder) if line.best][-1].train_loss for folder in folders]
    assert float(row["training_loss"]) == pytest.approx(statistics.mean(losses))
    accuracies = [float(scores_of(folder, "test")["accuracy"].mean()) for folder in folders]  # type: ignore[arg-type]
    assert float(row["testing_accuracy"]) == pytest.approx(statistics.mean(accuracies))
    best = max((row, other), key=lambda one: (float(one["validation_iou"]), -float(one["validation_loss"])))
    assert [one["best"] for one in (row, other)] == [str(int(one is best)) for one in (row, other)]
    assert f"| **{best['model']}** | " in (swept / "table.md").read_text()
    times = [line.seconds for folder in folders for line in read_log(folder)]
    assert float(row["seconds"]) == pytest.approx(sum(times))


def test_the_interval_of_a_single_run_is_the_printed_one_of_that_run(drawn: Dataset, swept: Path) -> None:
    stored = read_sweep(swept)
    assert stored is not None
    single = msgspec.structs.replace(stored, runs=[msgspec.structs.replace(stored.runs[0], row="single")])
    (row,) = make_rows(drawn, swept, single, {})
    scores, groups = scores_of(swept / NAMES[0], "test"), groups_of(drawn)
    assert (
        row.testing_iou_interval == figure_intervals(scores, [groups[each] for each in scores["sample_id"]])["mean_iou"]
    )
    assert (row.spread, row.figures["testing_iou"].deviation) == ("", None)


def test_the_table_is_printed_as_it_is_written(drawn: Dataset, swept: Path) -> None:
    assert (swept.parent / "stdout").read_text() == (swept / "table.md").read_text()
    before = {path: path.stat().st_mtime_ns for path in swept.rglob("*") if not path.name.startswith("table.")}
    again = run("sweep", drawn.root, "--out", swept, "--csv")
    assert again.stdout == (swept / "table.csv").read_text()
    printed = json.loads(run("sweep", drawn.root, "--out", swept, *GRID, "--json").stdout)
    assert [row["name"] for row in printed["rows"]] == ["lr=0.001", "lr=0.01"]
    assert printed["rows"][0]["runs"] == NAMES[:2]
    after = {path: path.stat().st_mtime_ns for path in swept.rglob("*") if not path.name.startswith("table.")}
    assert after == before


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (
            ["--over", "lr=0.001,0.1", *GRID[2:]],
            UsageError,
            r"was begun with 4 runs, lr=0\.001,seed=0 to lr=0\.01,seed=1, not",
        ),
        ([*GRID, "--loss", "bce"], UsageError, r"was begun with --loss bce-dice, not bce, in lr=0\.001,seed=0"),
        ([*QUICK], UsageError, r"nothing to vary. Pass --over"),
        (["--over", "encoder=resnet43", *QUICK[:2], *QUICK[4:]], UsageError, r"encoder=resnet43: --encoder resnet43: "),
        (["--over", "encoder=dpn107"], UsageError, r"encoder=dpn107: --weights imagenet: encoder dpn107 has none"),
        (["--over", "folds=0,50", *QUICK], UsageError, r"folds=50: --folds 50: the training split has only 8 groups"),
        (["--over", "weights=no.safetensors", *QUICK[:4]], MissingError, r"no\.safetensors: no such weights"),
        (["--over", "classes=person,person+held", *QUICK], MissingError, r"--classes held: \S+ does not label it"),
        (["--preset", "table2"], MissingError, r"--preset table2: is neither .*; for train sweep table1"),
    ],
    ids=["other values", "another option", "nothing", "encoder", "no weights", "folds", "file", "classes", "preset"],
)
def test_what_is_wrong_is_told_before_anything_trains(
    words: list[str], error: type[CurateError], message: str, drawn: Dataset, swept: Path
) -> None:
    before = {path: path.stat().st_mtime_ns for path in swept.rglob("*")}
    with pytest.raises(error, match=message):
        raise run("sweep", drawn.root, "--out", swept, *words).exception or AssertionError
    assert {path: path.stat().st_mtime_ns for path in swept.rglob("*")} == before


def test_where_a_sweep_may_not_stand(drawn: Dataset, swept: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("dear")
    (tmp_path / "file").write_text("")
    for out, error, message in (
        (tmp_path / "full", ExistsError, "holds thesis.txt and is no sweep. Choose another --out"),
        (tmp_path / "file", ExistsError, "is a file. Choose another --out"),
        (drawn.root / "sweep", UsageError, "lies in or around the dataset"),
        (tmp_path / "none", UsageError, "no sweep to go on with. Pass --over OPTION=VALUE,VALUE or --preset table1"),
    ):
        with pytest.raises(error, match=message):
            run_sweep(drawn, out, None)
    with pytest.raises(VersionError, match=r"was begun with \w{12}\. Choose another --out"):
        run_sweep(make_dataset(tmp_path / "people", seed=9), swept, None)
    shutil.copytree(swept, tmp_path / "damaged")
    (tmp_path / "damaged" / "sweep.json").write_text("{}")
    with pytest.raises(FormatError, match=r"sweep\.json: is damaged"):
        run_sweep(drawn, tmp_path / "damaged", None)


def test_force_begins_anew_and_clears_the_old_runs_alone(drawn: Dataset, swept: Path, tmp_path: Path) -> None:
    out = tmp_path / "sweep"
    shutil.copytree(swept, out)
    (out / "notes.txt").write_text("mine")
    result = run("sweep", drawn.root, "--out", out, "--over", "loss=bce", *QUICK, "--epochs", "1", "--force")
    assert result.exit_code == 0, result.exception
    assert {path.name for path in out.iterdir()} == {"loss=bce", "notes.txt", "sweep.json", "table.csv", "table.md"}


def test_ctrl_c_says_how_to_go_on_in_the_run_it_was_in(
    drawn: Dataset, swept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    validate, calls = train.engine.training.validate, []

    def interrupted(*arguments: object) -> object:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return validate(*arguments)  # type: ignore[arg-type]

    two = ["--over", "seed=0,1", *QUICK, "--epochs", "2"]
    with monkeypatch.context() as patched:
        patched.setattr(train.engine.training, "validate", interrupted)
        result = run("sweep", drawn.root, "--out", tmp_path / "my sweep", *two)
    assert result.exit_code == 130
    again = f"curate train sweep {drawn.root} --out '{tmp_path / 'my sweep'}'"
    assert result.stderr.splitlines()[-1] == f"stopped; go on with: {again}"
    assert len(read_log(tmp_path / "my sweep" / "seed=1")) == 1
    assert "| all (to do) | " in (tmp_path / "my sweep" / "table.md").read_text()
    gone_on = run("sweep", drawn.root, "--out", tmp_path / "my sweep")
    assert gone_on.exit_code == 0, gone_on.exception
    assert "run 2 of 2: seed=1" in gone_on.stderr
    assert "run 1 of 2" not in gone_on.stderr
    stored = read_sweep(tmp_path / "my sweep")
    assert stored is not None
    alone = fit(drawn, tmp_path / "alone", msgspec.structs.replace(stored.runs[1].config, dataset="", digest=""))
    assert tensors(alone / "best.safetensors") == tensors(tmp_path / "my sweep" / "seed=1" / "best.safetensors")
    assert without_times(alone) == without_times(tmp_path / "my sweep" / "seed=1")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No pretrained weights, neither from the network nor from what was downloaded before."""
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    ("encoders", "beside"),
    [
        (("Mobilenet_v2", "Resnet18"), ["--over", "encoder=mobilenet_v2,resnet18", "--model", "pspnet"]),
        pytest.param(("Vgg16", "Resnet34"), [], marks=pytest.mark.long),
    ],
    ids=["small encoders", "its own"],
)
def test_table1_trains_its_eight_models_and_says_where_it_has_no_weights(
    encoders: tuple[str, ...], beside: list[str], embedded: Dataset, tmp_path: Path
) -> None:
    dataset = embedded
    out = tmp_path / "table1"
    result = run("sweep", dataset.root, "--out", out, "--preset", "table1", "--size", "32,64", "--epochs", 1, *beside)
    assert result.exit_code == 0, result.exception
    rows = [line.split(" | ")[0].strip("|* ") for line in result.stdout.splitlines() if line.startswith("|")][2:]
    names = [f"{one}-{size}{more}" for one in encoders for size in (32, 64) for more in ("", "-pretrain")]
    assert rows == names
    assert result.stdout.count("| no weights here |") == 4
    assert "--preset table1: freeze-epochs 5 of 50 epochs becomes 0 of 1" in result.stderr
    tenth, training = held_out_tenth(dataset, 0), dataset.rows("train")
    assert f"{len(tenth)} of its {len(training)} training images are held out to pick the best epoch" in result.stderr
    assert f"to try those again: curate train sweep {dataset.root} --out {out}" in result.stderr
    assert {path.name for path in out.iterdir() if path.is_dir()} == set(names[::2])
    figures = run_figures(dataset, out / names[0])
    scores = read_table(out / names[0] / "scores.parquet", schema.SCORES).filter(pl.col("sample_id").is_in(tenth))
    assert figures["validation_iou"] == scores["iou"].to_list()


def test_with_folds_a_row_tells_mean_and_deviation_over_them(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "people", ("train",) * 8 + ("test",) * 2)
    words = ["--over", "loss=bce", *QUICK, "--epochs", "1", "--folds", "2", "--validation", "fold"]
    result = run("sweep", dataset.root, "--out", tmp_path / "sweep", *words)
    assert result.exit_code == 0, result.exception
    assert "over folds." in result.stdout
    (row,) = csv.DictReader((tmp_path / "sweep" / "table.csv").read_text().splitlines())
    folder = tmp_path / "sweep" / "loss=bce"
    train_rows = scores_of(folder, "train")
    assert train_rows.height == 8
    assert all((folder / "predictions" / f"{each}.png").is_file() for each in train_rows["sample_id"])
    each = [summarise(train_rows.filter(pl.col("fold") == fold)).mean_iou for fold in (0, 1)]
    known = [value for value in each if value is not None]
    assert float(row["validation_iou"]) == pytest.approx(statistics.mean(known))
    assert float(row["validation_iou_deviation"]) == pytest.approx(statistics.stdev(known))
    losses = [read_log(folder / f"fold-{fold}")[0].train_loss for fold in (0, 1)]
    assert float(row["training_loss_deviation"]) == pytest.approx(statistics.stdev(losses))
    assert row["testing_iou_deviation"] == ""


def test_a_run_that_diverges_is_a_row_and_the_sweep_goes_on(drawn: Dataset, tmp_path: Path) -> None:
    words = ["--over", "lr=1e30,0.001", *SMALL, "--epochs", "1", "--schedule", "constant"]
    result = run("sweep", drawn.root, "--out", tmp_path / "sweep", *words)
    assert result.exit_code == 0, result.exception
    assert "| lr=1e+30 | diverged |" in result.stdout
    assert "| **lr=0.001** | " in result.stdout
    assert "lr=1e+30: --lr 1e+30: the loss was no longer a number" in result.stderr
    assert issubclass(DivergedError, UsageError)


def test_a_run_that_fails_is_a_row_and_the_sweep_goes_on(drawn: Dataset, swept: Path, tmp_path: Path) -> None:
    out = tmp_path / "sweep"
    shutil.copytree(swept, out)
    for name in NAMES[1:3]:
        (out / name / "scores.parquet").unlink()
    (out / NAMES[1] / "log.jsonl").unlink()
    (out / NAMES[1] / "last.ckpt").write_text("no checkpoint")
    told: list[str] = []
    rows = run_sweep(drawn, out, None, say=told.append)
    assert [(row.state, len(row.runs)) for row in rows] == [("failed", 1), ("done", 2)]
    assert any(line.startswith(f"{NAMES[1]}: ") and "last.ckpt: cannot be resumed from" in line for line in told)


def test_a_dataset_that_is_gone_ends_the_sweep(drawn: Dataset, tmp_path: Path) -> None:
    shutil.copytree(drawn.root, tmp_path / "people")
    dataset, (first, *_) = open_dataset(tmp_path / "people"), drawn.rows("test")
    (dataset.root / first["image"]).unlink()
    result = run("sweep", dataset.root, "--out", tmp_path / "sweep", "--over", "seed=0,1", *QUICK, "--epochs", "1")
    assert isinstance(result.exception, MissingError)
    assert "run 2 of 2" not in result.stderr


def test_runs_scored_otherwise_since_are_scored_plainly_again(drawn: Dataset, swept: Path, tmp_path: Path) -> None:
    out = tmp_path / "sweep"
    shutil.copytree(swept, out)
    score(out / NAMES[1], drawn, flip=True)
    rows = run_sweep(drawn, out, None)
    assert [row.state for row in rows] == ["done", "done"]
    assert read_manner(out / NAMES[1]) == PLAIN
    for split in ("val", "test"):
        assert scores_of(out / NAMES[1], split).equals(scores_of(swept / NAMES[1], split))


def test_without_a_test_split_or_a_judge_there_is_a_table_without_them(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "people", ("train",) * 4)
    runs = make_runs({"loss": ["bce"]}, {}, {"validation": "none"}, table1=False)
    config = msgspec.structs.replace(
        runs[0].config, model="pspnet", encoder="mobilenet_v2", weights="none", size=32, epochs=1
    )
    runs = [msgspec.structs.replace(runs[0], config=config)]
    sweep = settle_sweep(dataset, tmp_path / "sweep", {"loss": ["bce"]}, runs)
    rows = run_sweep(dataset, tmp_path / "sweep", sweep)
    assert (rows[0].state, rows[0].best, rows[0].testing_iou_interval) == ("done", False, None)
    assert "| loss=bce | " in table_markdown(rows)
    assert table_markdown(rows).splitlines()[2].count("| - ") == 7
    assert table_csv(rows).splitlines()[1].startswith("loss=bce,done,0,1,,")


def test_a_name_is_no_formula() -> None:
    """A spreadsheet would run it; numbers below zero stay numbers."""
    figures = dict.fromkeys(TITLES, Figure(-0.5, None))
    row = Row(
        name="=HYPERLINK(A1)", state="done", best=True, runs=["a"], spread="", figures=figures,
        testing_iou_interval=None, seconds=1.0,
    )  # fmt: skip
    assert table_csv([row]).splitlines()[1].startswith("'=HYPERLINK(A1),done,1,1,,-0.5,")


def test_the_time_left_follows_the_pixels(drawn: Dataset, tmp_path: Path) -> None:
    axes = {"size": [32, 64]}
    runs = make_runs(axes, {}, {"epochs": 2, "weights": "none"}, table1=False)
    figures = dict.fromkeys(("train_iou", "train_dice", "val_loss", "val_iou", "val_dice"))
    told = {"epoch": 1, "fold": -1, "train_loss": 0.0, "lr": 0.0, "best": True, "images": 9, "seconds": 9.0}
    line = EpochLine(**figures, **told)  # type: ignore[arg-type]
    learning = 2 * 9 * (1 + 4)  # a second an image at 32 px, four at 64 px
    judging, scoring = 0.3 * 2 * 3 * (1 + 4), 2 * 3 * 0.3 * 4
    judged = 9 + 0.3 * 3  # what the 9 s went to: judging three images is like learning from 0.9
    assert seconds_left(drawn, tmp_path, runs, [(runs[0], line)]) == pytest.approx(
        9 / judged * (learning + judging + scoring), rel=1e-3
    )


@pytest.mark.long
def test_a_killed_sweep_comes_to_the_same_table(drawn: Dataset, tmp_path: Path) -> None:
    words = ["--over", "seed=0,1", *QUICK, "--epochs", "3"]
    assert run("sweep", drawn.root, "--out", tmp_path / "straight", *words).exit_code == 0
    out = tmp_path / "killed"
    code = "from curate.cli import main; import sys; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, "train", "sweep", str(drawn.root), "--out", str(out), *words]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    logs: list[Callable[[], bool]] = [
        lambda: (out / "seed=0" / "log.jsonl").is_file(),
        lambda: (out / "seed=1" / "log.jsonl").is_file(),
        lambda: len(read_log(out / "seed=1")) > 1,
    ]
    for reached in logs:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while not reached() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert run("sweep", drawn.root, "--out", out).exit_code == 0
    one, other = (
        list(csv.DictReader((folder / "table.csv").read_text().splitlines())) for folder in (tmp_path / "straight", out)
    )
    for row in (*one, *other):
        row.pop("seconds")
    assert one == other
    for seed in ("seed=0", "seed=1"):
        assert tensors(out / seed / "best.safetensors") == tensors(tmp_path / "straight" / seed / "best.safetensors")
