"""`curate review slices`: which images are in which slice, and what is printed of a run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from curate import schema
from curate.cli import main
from curate.dataset import Dataset, open_dataset
from curate.files import cache_folder
from review import slices
from review.slices import CONDITIONS, SliceFigures, conditions_of, figures_by_slice, is_worse, slices_of
from tests.review.making import Drawn, as_target, body, make_dataset, make_run, photograph, sure_of
from train.scoring.intervals import Interval

PERSON, NOBODY = body(), np.zeros((120, 160), bool)
HALF = PERSON & (np.arange(160) < 72)

PLAIN: dict[str, object] = {
    "light": 0.5,
    "person_light": 0.4,
    "person_highlight": 0.7,
    "background_highlight": 0.6,
    "blending": 0.05,
    "blur": 0.2,
    "noise": 0.3,
    "clutter": 0.05,
    "jpeg_quality": 95,
}
ORDINARY: dict[str, object] = {
    "area": 0.3,
    "people": 1,
    "edges": "LB",
    "touching": [],
    "head_visible": True,
    "tags": [],
}
IN_NONE = {"truncated body"}
"""Of what is told by PLAIN and ORDINARY."""


def slices_with(**told: object) -> set[str]:
    """The slices of one image of which this is told, all else being ordinary."""
    row = {name: told.get(name, value) for name, value in ORDINARY.items()}
    sample = pl.DataFrame(
        [{"sample_id": "a"} | row], schema={"sample_id": pl.String} | {n: schema.SAMPLES[n] for n in row}
    )
    seen = {"sample_id": "a"} | {name: told.get(name, value) for name, value in PLAIN.items()}
    return set(slices_of(sample, pl.DataFrame([seen], schema=CONDITIONS))["slice"])


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, set()),
        ({"light": 0.2}, {"low light"}),
        ({"person_highlight": 0.3}, {"backlight"}),
        ({"person_highlight": 0.5}, set()),
        ({"blending": 0.5}, {"low contrast"}),
        ({"person_light": 0.1}, {"dark clothing"}),
        ({"person_light": 0.8}, {"light clothing"}),
        ({"blur": 0.5}, {"blurred"}),
        ({"noise": 4.0}, {"noisy"}),
        ({"jpeg_quality": 40}, {"low JPEG quality"}),
        ({"jpeg_quality": None}, set()),
        ({"area": 0.01}, {"small person"}),
        ({"head_visible": False}, {"body part only"}),
        ({"head_visible": None}, set()),
        ({"tags": ["front"]}, {"seen from the front"}),
        ({"tags": ["hard", "rear"]}, {"seen from the rear"}),
        ({"touching": ["Cell Phone"]}, {"held object"}),
        ({"touching": ["chair", "dog"]}, {"animal"}),
        ({"touching": ["chair"]}, set()),
        ({"people": 2}, {"more than one person"}),
        ({"clutter": 0.3}, {"cluttered background"}),
        ({"person_light": None, "blending": None, "person_highlight": None, "clutter": None}, set()),
    ],
)
def test_an_image_is_in_the_slices_of_what_it_shows(told: dict[str, object], expected: set[str]) -> None:
    assert slices_with(**told) == IN_NONE | expected


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"edges": ""}, {"full body"}),
        ({"edges": "B"}, {"half body"}),
        ({"edges": "TB"}, {"truncated body"}),
        ({"edges": "", "tags": ["truncated"]}, {"truncated body"}),
        ({"edges": "B", "head_visible": False}, {"body part only"}),
        ({"edges": "", "head_visible": False}, {"body part only"}),
    ],
)
def test_how_much_of_a_body_is_seen(told: dict[str, object], expected: set[str]) -> None:
    assert slices_with(**told) == expected


SCENES = [
    *(Drawn(f"a{n}", as_target(PERSON), sure_of(PERSON), photograph(PERSON, n), "val", edges="B") for n in range(4)),
    *(
        Drawn(f"b{n}", as_target(PERSON), sure_of(HALF), photograph(PERSON, n), "val", people=2, edges="B")
        for n in range(3)
    ),
    Drawn("c", as_target(PERSON), sure_of(NOBODY), photograph(PERSON, 9), "train", touching=["dog"], edges="B"),
    Drawn("d", as_target(PERSON), sure_of(PERSON), photograph(PERSON, 10), "test", touching=["kite"], edges="B"),
    Drawn("e", as_target(NOBODY), sure_of(NOBODY), photograph(NOBODY, 11), "background"),
]


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return make_dataset(tmp_path / "people", SCENES)


@pytest.fixture
def run(tmp_path: Path, dataset: Dataset) -> Path:
    return make_run(tmp_path / "runs/first", dataset, SCENES)


def printed(capsys: pytest.CaptureFixture[str], run: Path, *options: str) -> str:
    """What the command prints where it ends well."""
    with pytest.raises(SystemExit) as stop:
        main(["review", "slices", str(run), *options])
    assert stop.value.code == 0
    return capsys.readouterr().out


def test_the_worst_slice_comes_first(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, run).splitlines()
    names = [line[:22].rstrip() for line in lines[1:-1]]
    assert names == ["more than one person", "half body", "all"]
    assert [int(line[22:29]) for line in lines[1:-1]] == [3, 7, 7]
    assert not any(line.endswith("worse") for line in lines), "of 3 images nothing is sure"
    assert lines[-1].startswith("no image: low light, ")
    assert "animal" in lines[-1]


@pytest.mark.parametrize(("groups", "high", "worse"), [(10, 0.59, True), (10, 0.61, False), (9, 0.59, False)])
def test_worse_ends_below_the_mean_of_all_and_is_of_enough_groups(groups: int, high: float, worse: bool) -> None:
    whole = SliceFigures("all", 100, 90, 0.6, Interval(0.5, 0.7), None, None)
    assert is_worse(SliceFigures("animal", 20, groups, 0.5, Interval(0.4, high), None, None), whole) is worse


def test_figures_are_the_means_of_the_slices_images(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = json.loads(printed(capsys, run, "--json"))
    scores = pl.read_parquet(run / "scores.parquet").filter(pl.col("split") == "val")
    [several] = [one for one in told["slices"] if one["slice"] == "more than one person"]
    theirs = scores.filter(pl.col("sample_id").str.starts_with("b"))
    assert several["images"] == 3
    assert several["iou"] == pytest.approx(theirs["iou"].mean())
    assert several["boundary_iou"] == pytest.approx(theirs["boundary_iou"].mean())
    assert told["all"]["iou"] == pytest.approx(scores["iou"].mean())
    assert told["all"]["iou_interval"][0] < told["all"]["iou"] < told["all"]["iou_interval"][1]


@pytest.mark.parametrize(
    ("options", "expected"),
    [(["--split", "test"], {"held object"}), (["--split", "train", "--split", "test"], {"animal", "held object"})],
)
def test_other_splits_are_looked_at_where_they_are_asked_for(
    run: Path, options: list[str], expected: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert {one["slice"] for one in json.loads(printed(capsys, run, *options, "--json"))["slices"]} == expected | {
        "half body"
    }


def test_training_images_count_where_they_are_scored_out_of_fold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenes = [Drawn("f", as_target(PERSON), sure_of(HALF), photograph(PERSON, 1), fold=1, touching=["dog"]), *SCENES]
    run = make_run(tmp_path / "runs/first", make_dataset(tmp_path / "people", scenes), scenes)
    assert {one["slice"]: one["images"] for one in json.loads(printed(capsys, run, "--json"))["slices"]}["animal"] == 1


def test_a_run_without_scored_images_to_judge_by_is_told_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path / "runs/first", make_dataset(tmp_path / "people", SCENES), SCENES[7:])
    with pytest.raises(SystemExit, match="1"):
        main(["review", "slices", str(run)])
    error = capsys.readouterr().err
    assert f"{run}: no image of val is scored. Score it with: curate train score {run}" in error


def test_conditions_are_measured_once(dataset: Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "cache"))
    found = conditions_of(dataset)
    assert found["sample_id"].to_list() == [f"a{n}" for n in range(4)] + ["b0", "b1", "b2", "c", "d"]
    [kept] = cache_folder().iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(slices, "look_at", None)
        assert conditions_of(open_dataset(dataset.root)).equals(found)
    kept.write_bytes(b"damaged")
    assert conditions_of(dataset).equals(found)


def test_a_cache_that_cannot_be_written_is_no_matter(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "file/cache"))
    assert conditions_of(dataset).height == 9


def test_an_image_without_a_person_has_no_iou_and_takes_nothing_from_its_slice(dataset: Dataset, run: Path) -> None:
    scores = pl.read_parquet(run / "scores.parquet")
    members = pl.DataFrame({"sample_id": ["a0", "e"], "slice": ["empty or not"] * 2})
    [found] = figures_by_slice(scores, members, dict.fromkeys(scores["sample_id"], "one group"))
    assert found.images == 2
    assert found.iou == scores.filter(pl.col("sample_id") == "a0")["iou"].item()
    assert found.iou_interval is None
