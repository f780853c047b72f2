"""Files of the first format open today, and those of a newer one are named.

`first_format/` was written by the first program that had the whole loop (f270c66): `build` of a dozen pairs, `label
import` of one mask, `loop` with one epoch; weights and pictures were left out.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from curate import schema
from curate.cli import cli
from curate.dataset import digest_of, open_dataset, read_edits
from curate.errors import CurateError, ExistsError, VersionError
from review.loop.round import finished_round
from tests.conftest import REPOSITORY
from train.claim import claim_folder
from train.config import PeerConfig, encode_config, read_config


@pytest.fixture
def first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the first format's files, to work in."""
    shutil.copytree(REPOSITORY / "tests" / "first_format", tmp_path / "first")
    monkeypatch.chdir(tmp_path / "first")
    return Path()


def curate(*words: str) -> Result:
    """What a command comes to; its errors are raised."""
    return CliRunner().invoke(cli, words, catch_exceptions=False, standalone_mode=False)


def test_the_digest_of_the_first_datasets_is_still_theirs(first: Path) -> None:
    for name in ("people", "people-2"):
        dataset = open_dataset(first / name)
        assert digest_of(dataset.samples) == dataset.header.digest


@pytest.mark.parametrize("name", ["people", "people-2"])
def test_the_first_datasets_are_sound(name: str, first: Path) -> None:
    assert curate("check", name).stdout.startswith(f"{name}: sound, 12 images")


def test_the_first_recipe_chooses_the_same_images(first: Path) -> None:
    curate("build", "--from", "people", "--out", "again")
    assert (
        open_dataset(first / "again").samples["sample_id"].equals(open_dataset(first / "people").samples["sample_id"])
    )


def test_what_the_first_record_of_edits_did_not_tell_is_null(first: Path) -> None:
    (edit,) = read_edits(first / "people-2").to_dicts()
    assert edit["tool"] == "png"
    assert [edit[name] for name in schema.EDITS_LATER] == [None, None, None]


def test_an_edit_of_the_first_format_is_shown_and_handed_on(first: Path) -> None:
    assert "old_mask_sha256" in curate("show", "people-2", "pairs-p2").stdout
    shutil.copytree(first / "people" / "masks", first / "labels")
    curate("label", "import", "people-2", "labels", "--out", "people-3")
    assert read_edits(first / "people-3")["version"].to_list() == [3]


def test_an_edit_of_the_first_format_cannot_be_taken_back(first: Path) -> None:
    with pytest.raises(CurateError, match="its edit is from before edits could be taken back"):
        curate("label", "undo", "people-2", "--ids", "pairs-p2", "--out", "people-3")


def test_the_first_runs_are_listed_with_their_scores(first: Path) -> None:
    runs = {run["path"]: run for run in msgspec.json.decode(curate("train", "runs", "loop", "--json").stdout)["runs"]}
    assert runs.keys() == {"loop/base", "loop/round-1/control", "loop/round-1/candidate"}
    assert {run["state"] for run in runs.values()} == {"finished"}
    assert set(runs["loop/base"]["scores"]) == {"train", "val", "test"}


def test_what_a_first_run_was_trained_with_is_read_by_todays_names(first: Path) -> None:
    config = read_config(first / "loop" / "base")
    assert (config.encoder, config.size, config.folds, config.lr) == ("mobilenet_v2", 32, 2, 0.001)
    assert config.validation == "auto"
    assert config.classes == ("person",)


def test_failures_of_the_first_format_are_found_anew(first: Path) -> None:
    assert (first / "loop/base/report.html").exists() is False
    curate("review", "report", "loop/base")
    assert "pairs-p2" in (first / "loop/base/report.html").read_text()


def test_the_first_loop_is_finished(first: Path) -> None:
    steps = curate("loop", "status", "loop").stdout
    assert "not promoted" in steps


def test_the_first_verdict_is_told_by_todays_names(first: Path) -> None:
    result = finished_round(first / "loop", 1)
    assert result is not None
    assert (result.promotes, result.proposed) == ("base", "after")
    iou = result.test[0]
    assert iou.name == "image mean IoU"
    assert (iou.first, iou.second) == (result.table["control"].mean_iou, result.table["after"].mean_iou)
    assert all((first / "loop" / run).is_dir() for run in result.runs.values())


NEWER = {
    "people/dataset.json": ("check", "people"),
    "loop/base/config.json": ("review", "failures", "loop/base"),
    "loop/loop.json": ("loop", "status", "loop"),
    "loop/round-1/verdict.json": ("loop", "status", "loop"),
    "sweep/sweep.json": ("train", "sweep", "people", "--out", "sweep", "--over", "seed=0,1"),
}


@pytest.mark.parametrize(("name", "command"), NEWER.items(), ids=NEWER.keys())
def test_a_file_of_a_newer_format_is_named_with_what_to_do(name: str, command: tuple[str, ...], first: Path) -> None:
    path = first / name
    path.parent.mkdir(exist_ok=True)
    path.write_text('{"format": 2, "what": ["was", "not", "there"]}')
    with pytest.raises(VersionError) as caught:
        curate(*command)
    told = "has format 2, this program reads up to 1. Install a newer one: pip install --upgrade silhouette-curate"
    assert str(caught.value) == f"{name}: {told}"


def test_a_loop_of_a_newer_format_is_not_begun_anew(first: Path) -> None:
    path = first / "loop" / "loop.json"
    path.write_text('{"format": 2}')
    with pytest.raises(VersionError, match="has format 2"):
        curate("loop", "people-2", "--out", "loop")
    assert path.read_text() == '{"format": 2}'


def test_scores_of_before_are_scored_again_in_their_folder(tmp_path: Path) -> None:
    config = PeerConfig(dataset="../people", digest="1", peer="grabcut", settings={}, flip=False)
    told = msgspec.json.decode(encode_config(config))
    del told["format"]
    (tmp_path / "config.json").write_bytes(msgspec.json.encode(told))
    with pytest.raises(ExistsError, match="holds another run"):
        claim_folder(tmp_path, encode_config(msgspec.structs.replace(config, digest="2")))
    claim_folder(tmp_path, encode_config(config))


def test_todays_files_tell_their_format(first: Path) -> None:
    config = read_config(first / "loop" / "base")
    assert msgspec.json.decode(encode_config(config))["format"] == schema.FORMAT
