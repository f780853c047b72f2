"""`curate train` as a user sees it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result

import train.engine.training
from curate import schema
from curate.cli import cli
from curate.dataset import Dataset, read_table
from curate.errors import CurateError, ExistsError, UsageError
from curate.files import held_folder
from tests.train.conftest import Trained
from train.config import read_config
from train.monitoring.log import read_log
from train.scoring.figures import groups_of, summary_table
from train.scoring.intervals import figure_intervals

SMALL = ["--model", "pspnet", "--encoder", "mobilenet_v2", "--weights", "none", "--size", "32", "--batch-size", "4"]
QUICK = [*SMALL, "--lr", "0.001"]
"""Options that train in a second; without a rate, a range test would come first."""


def run(*words: object) -> Result:
    return CliRunner().invoke(cli, ["train", *map(str, words)])


def test_fit_says_what_it_does_and_prints_the_result(drawn: Dataset, tmp_path: Path) -> None:
    result = run("fit", drawn.root, "--out", tmp_path / "run", *QUICK, "--epochs", 2, "--folds", 2)
    assert result.exit_code == 0, result.stderr
    notes = result.stderr.splitlines()
    assert notes[0].startswith("training on ")
    starts = ["epoch   1", "epoch   2", "fold 0  epoch", "fold 0  epoch", "fold 1  epoch", "fold 1  epoch"]
    assert len(notes) == 7
    assert all(note.startswith(start) for note, start in zip(notes[1:], starts, strict=True))
    assert all(word in notes[1] for word in ("train loss", "val loss", "IoU", "Dice", "images/s", "best"))
    assert result.stdout.startswith(f"{tmp_path / 'run'}: best epoch ")
    assert "[95 % bootstrap interval]                  train                    val" in result.stdout
    assert "image mean IoU" in result.stdout
    config = read_config(tmp_path / "run")
    assert (config.model, config.size, config.batch_size, config.epochs, config.folds) == ("pspnet", 32, 4, 2, 2)


def test_a_run_that_is_being_trained_is_not_called_stopped(
    drawn: Dataset, copied: Callable[[Path], Trained], finished: Path
) -> None:
    """Who is told that it stopped, and to --force, would lose it."""
    out = copied(finished).run
    (out / "scores.parquet").unlink()
    with held_folder(out):
        result = run("fit", drawn.root, "--out", out, *QUICK)
    assert isinstance(result.exception, ExistsError)
    assert "another process is writing it" in str(result.exception)


def test_ctrl_c_says_how_to_resume_and_resume_needs_no_options(
    drawn: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    validate = train.engine.training.validate
    calls = []

    def interrupted(*arguments: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return validate(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(train.engine.training, "validate", interrupted)
    out = tmp_path / "my run"
    result = run("fit", drawn.root, "--out", out, *QUICK, "--epochs", 3)
    assert result.exit_code == 130
    again = f"curate train fit {drawn.root} --out '{out}' --resume"
    assert result.stderr.splitlines()[-1] == f"stopped after 1 finished epochs; go on with: {again}"
    refused = run("fit", drawn.root, "--out", out, "--resume", "--lr", 0.5)
    assert isinstance(refused.exception, UsageError)
    assert "--lr 0.001, not 0.5" in str(refused.exception)
    assert run("fit", drawn.root, "--out", out, "--resume", "--epochs", 3).exit_code == 0
    assert [line.epoch for line in read_log(out)] == [1, 2, 3]
    done = run("fit", drawn.root, "--out", out, "--resume")
    assert done.exit_code == 0
    assert "is finished already, nothing left to do" in done.stderr
    refused = run("fit", drawn.root, "--out", out, "--resume", "--epochs", 9)
    assert "--epochs 3, not 9" in str(refused.exception)
    assert "nothing left to do" not in refused.stderr


def test_resuming_with_another_model_names_the_model(drawn: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert run("fit", drawn.root, "--out", out, *QUICK, "--epochs", 1, "--position-channels").exit_code == 0
    assert read_config(out).position_channels
    refused = run("fit", drawn.root, "--out", out, "--resume", "--model", "tiramisu56")
    assert isinstance(refused.exception, UsageError)
    assert "was begun with --model pspnet, not tiramisu56" in str(refused.exception)


def test_several_sizes_are_stages(drawn: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "run"
    growing = [*QUICK, "--size", "32,64", "--batch-size", "4,3", "--epochs", "2", "--deterministic"]
    begun = run("fit", drawn.root, "--out", out, *growing)
    assert begun.exit_code == 0, begun.exception
    config = read_config(out)
    assert (config.earlier_sizes, config.size) == ((32,), 64)
    assert (config.earlier_batch_sizes, config.batch_size) == ((4,), 3)
    assert "--deterministic changes nothing here" in begun.stderr
    assert run("fit", drawn.root, "--out", out, "--resume", "--size", "32,64").exit_code == 0
    refused = run("fit", drawn.root, "--out", out, "--resume", "--size", "64", "--batch-size", "3")
    assert "was begun with --size 32,64, not 64" in str(refused.exception)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--size", "32;64"], "32;64: expected a whole number, or several with commas"),
        (["--lr", "fast"], "fast: expected auto, usual or a number"),
    ],
)
def test_what_is_no_number_is_refused(drawn: Dataset, tmp_path: Path, words: list[str], message: str) -> None:
    refused = run("fit", drawn.root, "--out", tmp_path / "run", *words)
    assert refused.exit_code == 2
    assert message in refused.stderr


def test_a_run_begun_with_a_weight_file_resumes_without_options(drawn: Dataset, finished: Path, tmp_path: Path) -> None:
    weights = finished / "best.safetensors"
    begun = run(
        "fit", drawn.root, "--out", tmp_path / "run", *QUICK, "--model", "unet", "--weights", weights, "--epochs", 1
    )
    assert begun.exit_code == 0, begun.exception
    assert run("fit", drawn.root, "--out", tmp_path / "run", "--resume").exit_code == 0


def test_no_validation_images_is_said(tmp_path: Path) -> None:
    from tests.train.making import make_dataset

    dataset = make_dataset(tmp_path / "people", ("train",) * 4)
    result = run("fit", dataset.root, "--out", tmp_path / "run", *QUICK, "--epochs", 1)
    assert result.exit_code == 0
    assert "1 of its 4 training images are held out to pick the best epoch" in result.stderr
    assert result.stderr.splitlines()[-1] == "train: the held-out images alone"
    result = run("fit", dataset.root, "--out", tmp_path / "other", *QUICK, "--epochs", 1, "--validation", "none")
    assert result.exit_code == 0
    assert "no image judges an epoch; the last epoch's weights are kept as the best" in result.stderr
    assert "val loss - IoU - Dice -" in result.stderr


def test_score_prints_a_column_per_split(copied: Callable[[Path], Trained], finished: Path) -> None:
    trained = copied(finished)
    result = run("score", trained.run)
    assert result.exit_code == 0, result.exception
    assert result.stdout.splitlines()[0].split("]")[1].split() == ["train", "val", "test"]
    assert result.stdout.splitlines()[1].split() == ["images", "8", "3", "2"]
    assert "the train split is scored in-sample" in result.stderr
    scores = read_table(trained.run / "scores.parquet", schema.SCORES)
    assert result.stdout == summary_table(scores, groups_of(trained.dataset))
    intervals = figure_intervals(scores.filter(pl.col("split") == "val"), ["a", "b", "c"])["mean_iou"]
    assert intervals is not None
    told = next(line for line in result.stdout.splitlines() if line.startswith("image mean IoU"))
    assert f"[{intervals.low:.3f}, {intervals.high:.3f}]" in told
    assert "was scored" not in result.stderr
    flipped = run("score", trained.run, "--flip")
    assert f"{trained.run}: was scored with neither --flip nor --refine; what is scored now" in flipped.stderr


def test_score_of_a_run_with_folds_has_nothing_to_excuse(copied: Callable[[Path], Trained], folded: Path) -> None:
    result = run("score", copied(folded).run, "--split", "train")
    assert result.exit_code == 0
    assert "in-sample" not in result.stderr
    assert result.stdout.splitlines()[0].split("]")[1].split() == ["train"]


def test_score_as_json(copied: Callable[[Path], Trained], finished: Path, tmp_path: Path) -> None:
    trained = copied(finished)
    out = tmp_path / "out"
    dataset = tmp_path / "drawn" / "people"
    result = run("score", trained.run, dataset, "--split", "val", "--split", "background", "--out", out, "--json")
    assert result.exit_code == 0, result.exception
    printed = json.loads(result.stdout)
    assert list(printed) == ["val", "background"]
    assert printed["background"]["images"] == printed["background"]["empty"] == printed["background"]["groups"] == 1
    assert set(printed["background"]["intervals"].values()) == {None}
    scores = read_table(out / "scores.parquet", schema.SCORES).filter(pl.col("split") == "val")
    assert printed["val"]["mean_iou"] == pytest.approx(scores["iou"].mean())


def test_predict_writes_masks_and_leaves_broken_photos_out(finished: Path, drawn: Dataset, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    result = run(
        "predict", finished, drawn.root / "images", tmp_path / "broken.jpg", "--out", tmp_path / "masks", "--cutout"
    )
    assert result.exit_code == 1
    assert result.stdout == f"14 of 15 masks written to {tmp_path / 'masks'}\n"
    assert f"left out: {tmp_path / 'broken.jpg'}: is not an image" in result.stderr
    assert len(list((tmp_path / "masks").glob("*.png"))) == 28


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fit", "none", "--out", "{run}"], "none: is not a dataset"),
        (["score", "none"], "none: no such run"),
        (["predict", "none", "{data}/images", "--out", "m"], "none: no such run"),
        (["fit", "{data}", "--out", "{run}", "--epochs", "0"], "--epochs 0: expected at least 1"),
        (["fit", "{data}", "--out", "{run}", "--weights", "w.pt"], "--weights w.pt: expected imagenet, none or"),
        (
            ["fit", "{data}", "--out", "{run}", "--model", "tiramisu56"],
            "--weights imagenet: there are none of tiramisu56",
        ),
        (["fit", "{data}", "--out", "{run}", "--resume"], "no such run, nothing to resume"),
    ],
    ids=lambda value: " ".join(value[:3]) if isinstance(value, list) else "",
)
def test_what_is_wrong_is_one_line(drawn: Dataset, tmp_path: Path, words: list[str], message: str) -> None:
    result = run(*(word.format(run=tmp_path / "run", data=drawn.root) for word in words))
    assert isinstance(result.exception, CurateError)
    assert message in str(result.exception)
    assert "\n" not in str(result.exception)
    assert not (tmp_path / "run").exists()
