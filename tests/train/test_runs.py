"""Runs found below folders, and how they stand beside one another."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import msgspec
import polars as pl
import pytest
from click.testing import CliRunner, Result

from curate import schema
from curate.cli import cli
from curate.dataset import Dataset, read_table, write_table
from curate.errors import MissingError
from curate.files import held_folder
from tests.train.making import make_dataset, quick
from train.commands.runs import group_lines
from train.config import PeerConfig, encode_config, read_config
from train.fit import fit
from train.monitoring.log import encode_lines, read_log
from train.scoring.intervals import figure_intervals
from train.scoring.score import score
from train.scoring.scored import read_origin, write_origin
from train.sweeps.runs import Group, Run, SplitScore, find_runs, group_runs


def shown(*words: object) -> Result:
    return CliRunner().invoke(cli, ["train", "runs", *map(str, words)])


@pytest.fixture
def place(tmp_path: Path, drawn: Dataset, finished: Path, folded: Path) -> Path:
    """A folder of runs, one of them in a loop, one with folds, beside their dataset."""
    shutil.copytree(drawn.root, tmp_path / "people")
    for source, name in ((finished, "runs/first"), (folded, "runs/folded"), (finished, "loops/one/round-1/candidate")):
        own = tmp_path / name
        shutil.copytree(source, own)
        config = msgspec.structs.replace(read_config(own), dataset=os.path.relpath(tmp_path / "people", own))
        (own / "config.json").write_bytes(encode_config(config))
    write_table(tmp_path / "loops/one/round-1/candidate/mined.parquet", schema.table([], schema.MINED))
    return tmp_path


def states(folder: Path) -> dict[str, str]:
    return {Path(run.path).relative_to(folder).as_posix(): run.state for run in find_runs([folder])}


def test_runs_of_loops_are_found_and_fold_models_belong_to_their_run(place: Path) -> None:
    (place / "runs" / "model").mkdir()
    (place / "runs" / "model" / "config.json").write_text('{"architectures": ["Bert"]}')
    (place / "people" / "config.json").write_text("{}")
    assert states(place) == {
        "loops/one/round-1/candidate": "finished",
        "runs/first": "finished",
        "runs/folded": "finished",
    }
    assert [run.path for run in find_runs([place / "runs" / "first", place / "runs" / "first"])] == [
        str(place / "runs" / "first")
    ]


def test_a_run_tells_how_far_it_is(place: Path) -> None:
    run = place / "runs" / "folded"
    (whole,) = find_runs([run])
    assert (whole.epochs_done, whole.epochs) == (3, 3)
    (run / "fold-1" / "log.jsonl").unlink()
    (partly,) = find_runs([run])
    assert (partly.state, partly.epochs_done, partly.epochs) == ("stopped", 2, 3)
    with held_folder(run):
        assert states(place)["runs/folded"] == "running"
    (run / "log.jsonl").unlink()
    (run / "fold-0" / "log.jsonl").unlink()
    assert states(place)["runs/folded"] == "scored"
    (run / "scores.parquet").unlink()
    (begun,) = find_runs([run])
    assert (begun.state, begun.best_epoch, begun.scores) == ("stopped", None, {})


def test_a_run_that_patience_ended_is_finished(place: Path) -> None:
    run = place / "runs" / "first"
    lines = [msgspec.structs.replace(line, best=line.epoch == 1) for line in read_log(run)]
    (run / "log.jsonl").write_bytes(encode_lines(lines))
    (run / "config.json").write_bytes(encode_config(msgspec.structs.replace(read_config(run), epochs=9, patience=1)))
    (found,) = find_runs([run])
    assert (found.state, found.epochs_done, found.epochs, found.best_epoch) == ("finished", 2, 9, 1)


def test_scores_and_intervals_are_those_that_score_prints(place: Path, drawn: Dataset) -> None:
    run = place / "runs" / "folded"
    (found,) = find_runs([run])
    for split in ("train", "val"):
        scores = read_table(run / "scores.parquet", schema.SCORES).filter(pl.col("split") == split)
        groups = dict(drawn.samples.select("sample_id", "group").iter_rows())
        wanted = figure_intervals(scores, [groups[one] for one in scores["sample_id"]])["mean_iou"]
        assert found.scores[split] == SplitScore(
            images=scores.height,
            mean_iou=pytest.approx(scores["iou"].mean()),  # type: ignore[arg-type]
            interval=wanted,
            out_of_fold=split == "train",
        )
    shutil.rmtree(place / "people")
    (orphan,) = find_runs([place / "loops"])
    assert orphan.scores["val"].mean_iou is not None
    assert orphan.scores["val"].interval is None


DAMAGE = {
    "config.json": ("{", "config.json: is damaged"),
    "log.jsonl": ("{}\n", "log.jsonl: is damaged"),
    "scores.parquet": ("no table", "scores.parquet"),
}


@pytest.mark.parametrize(("name", "content", "told"), [(name, *one) for name, one in DAMAGE.items()], ids=DAMAGE)
def test_what_is_damaged_is_named_and_the_others_are_shown(place: Path, name: str, content: str, told: str) -> None:
    (place / "runs" / "first" / name).write_text(content)
    result = shown(place)
    assert result.exit_code == 0, result.exception
    head, _, tail = result.stdout.partition("\n1 run that cannot be read\n")
    assert "runs/folded" in head
    assert "loops/one" in head
    assert tail.startswith(f"{place / 'runs' / 'first'}\n")
    assert told in " ".join(line.strip() for line in tail.splitlines())


def test_a_pipe_in_the_place_of_a_configuration_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.json")
    (found,) = find_runs([tmp_path])
    assert (found.state, found.problem) == ("damaged", f"{tmp_path}/config.json: is not a regular file")


def test_peers_stand_beside_runs(place: Path, drawn: Dataset) -> None:
    own = place / "runs" / "grabcut"
    own.mkdir()
    peer = PeerConfig(
        dataset="../../people", digest=drawn.header.digest, peer="grabcut", settings={"px": 256}, flip=False
    )
    (own / "config.json").write_bytes(encode_config(peer))
    shutil.copy(place / "runs" / "first" / "scores.parquet", own)
    (found,) = find_runs([own])
    assert (found.state, found.epochs, found.best_epoch) == ("scored", 0, None)
    assert found.settings == {"peer": "grabcut", "px": "256", "flip": "no", "refine": "none"}
    (group,) = group_runs(find_runs([place]), "name")
    assert "peer" in group.differing


def test_runs_stand_by_dataset_version_and_settings_that_differ_are_told(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_dataset(place / "others", seed=5)
    fit(other, place / "runs" / "other", quick(lr=0.02))
    monkeypatch.chdir(place)
    result = shown("runs", "loops", "--sort", "name")
    assert result.exit_code == 0, result.exception
    first, second = result.stdout.split("\n\n")
    assert first.startswith(f"others ({other.header.digest[:12]}), 1 run\n")
    assert second.startswith(f"people ({read_config(place / 'runs' / 'first').digest[:12]}), 3 runs\n")
    settings = [line.strip() for line in second.splitlines() if line.startswith("    ") and " IoU " not in line]
    assert "model pspnet, epochs 1, folds 2, mined no" in settings
    assert "model unet, epochs 2, folds 0, mined yes" in settings
    assert "train IoU [95 %]" in second
    assert result.stderr == "scores in different groups are of different dataset versions and cannot be compared\n"
    listed = json.loads(shown(place, "--json").stdout)["runs"]
    assert {Path(run["path"]).name for run in listed} == {"first", "folded", "candidate", "other"}
    assert all(run["settings"]["seed"] == "0" and "val" in run["scores"] for run in listed)


def test_how_predictions_were_made_is_a_setting(place: Path) -> None:
    score(place / "runs" / "first", flip=True, refinements=("largest-parts", "guided"))
    settings = {Path(run.path).name: run.settings for run in find_runs([place])}
    assert (settings["first"]["flip"], settings["first"]["refine"]) == ("yes", "largest-parts,guided")
    assert (settings["folded"]["flip"], settings["folded"]["refine"]) == ("no", "none")
    assert "flip yes, refine largest-parts,guided" in " ".join(shown(place).stdout.split())


def test_an_ensemble_of_all_models_is_told_from_the_model_alone(place: Path) -> None:
    run = place / "runs" / "folded"
    origin = dict.fromkeys(read_origin(run), "ab12 ensemble")
    write_origin(run, origin)
    settings = {Path(run.path).name: run.settings for run in find_runs([place])}
    assert (settings["folded"]["ensemble"], settings["first"]["ensemble"]) == ("yes", "no")
    assert "ensemble yes" in " ".join(shown(place).stdout.split())


def test_a_peer_makes_no_setting_of_runs_a_difference() -> None:
    options = {"model": "unet", "size": "224", "flip": "no", "refine": "none"}
    runs = [run_of("a", 0.5, **options, lr="0.1"), run_of("b", 0.4, **options, lr="0.2")]
    peer = run_of("c", 0.3, peer="person.onnx", sha256="c" * 64, flip="yes", refine="none")
    other = run_of("d", 0.3, peer="person.onnx", sha256="d" * 64, flip="no", refine="none")
    lines = group_lines(group_runs([*runs, peer], "name")[0], 80)
    assert [line.strip() for line in lines if line.startswith("    ") and " IoU " not in line] == [
        "flip no, lr 0.1",
        "flip no, lr 0.2",
        "flip yes, peer person.onnx",
    ]
    lines = group_lines(group_runs([peer, other], "name")[0], 80)
    assert f"peer person.onnx, sha256 {'c' * 12}, flip yes" in "\n".join(lines)


def run_of(name: str, iou: float | None, changed: float = 0.0, digest: str = "a" * 64, **settings: str) -> Run:
    score = SplitScore(9, iou, None, out_of_fold=False)
    return Run(name, "finished", 2, 2, "../people", digest, settings, 1, iou, {"val": score, "test": score}, changed)


def test_order() -> None:
    found = [run_of("b", 0.5, 3), run_of("a", 0.7, 1), run_of("c", None, 2), run_of("d", 0.1, 9, "b" * 64)]
    names = {
        sort: [run.path for group in group_runs(found, sort) for run in group.runs]
        for sort in ("best", "newest", "name")
    }
    assert names == {"best": ["d", "a", "b", "c"], "newest": ["d", "b", "c", "a"], "name": ["d", "a", "b", "c"]}


@pytest.mark.parametrize("width", [80, 120])
def test_lines_fit_the_terminal_and_long_names_keep_their_own(width: int) -> None:
    long = "experiments/2026/loops/the-first-one/round-1/candidate"
    settings = {f"option-{number}": "some value" for number in range(20)}
    found = [run_of("runs/a", 0.5, **settings), run_of(long, 0.25)]
    group = Group("a" * 64, found, list(settings))
    lines = group_lines(group, width)
    assert max(map(len, lines)) <= width
    assert lines[0] == "people (aaaaaaaaaaaa), 2 runs"
    assert lines[1].split("  ")[0].strip() == "run"
    starts = [line.index("finished") for line in lines if "finished" in line]
    assert len(set(starts)) == 1
    assert any(line.startswith(long) for line in lines)
    assert sum(line.count("some value") for line in lines) == 20


def test_nothing_found_and_no_such_folder(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    result = shown(tmp_path / "runs")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.startswith(f"no run below {tmp_path / 'runs'}. Train one with: curate train fit")
    missing = shown(tmp_path / "none")
    assert isinstance(missing.exception, MissingError)
    assert str(missing.exception) == f"{tmp_path / 'none'}: no such folder. Name the folders that runs lie in"
