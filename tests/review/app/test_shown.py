"""What stands in the real FiftyOne."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from curate.choosing.build import build_dataset
from curate.choosing.recipe import make_recipe
from curate.dataset import open_dataset
from review.label_check import findings_of
from review.runs import open_run
from review.slices import conditions_of
from tests.review.app.looking import VIEWS, command, ids_of, opened
from tests.review.making import Drawn, as_target, body, make_dataset, sure_of
from tests.review.test_failures import HOLE, PERSON, SCENES

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("emptied")]


def test_every_sample_is_shown_with_its_masks_scores_and_failure(app: ModuleType, place: Path) -> None:
    shown = opened(app, place, "first run")
    dataset = open_dataset(place / "people")
    assert shown.name == f"silhouette-people-{dataset.header.digest[:8]}"
    assert shown.persistent
    assert shown.media_type == "image"
    assert shown.values("sample_id") == [one.sample_id for one in SCENES]
    bitten = shown.one(app.views.F("sample_id") == "b-bitten")
    assert bitten.filepath == str(place / "people/images/b-bitten.png")
    assert (bitten.ground_truth.get_mask() == np.where(PERSON, 255, 0)).all()
    assert (bitten.first_run_prediction.get_mask() == np.where(sure_of(HOLE) >= 128, 255, 0)).all()
    assert set(np.unique(bitten.first_run_errors.get_mask())) == {0, 1, 2}
    scores = open_run(place / "runs/first run").scores.row(by_predicate=app_is("b-bitten"), named=True)
    for name in ("iou", "dice", "boundary_iou", "bce", "label_quality"):
        assert bitten[f"first_run_{name}"] == pytest.approx(scores[name])
    assert bitten.first_run_failure == "bite"
    assert bitten.first_run_triage == "augment"
    assert bitten.first_run_severity == pytest.approx(1 - scores["iou"])
    assert 0 < bitten.suspicion < 1
    assert (bitten.split, bitten.source, bitten.people) == ("train", "drawn", 1)
    assert (bitten.metadata.width, bitten.metadata.height) == (160, 120)
    unscored = shown.one(app.views.F("sample_id") == "f-not-scored")
    assert unscored.first_run_iou is unscored.first_run_prediction is unscored.first_run_failure is None
    assert shown.mask_targets["ground_truth"] == {255: "person", 128: "not counted"}
    assert shown.mask_targets["first_run_errors"] == {1: "false positive", 2: "false negative"}


def app_is(sample_id: str) -> object:
    import polars as pl

    return pl.col("sample_id") == sample_id


def test_views_are_worst_first_and_present_even_when_empty(app: ModuleType, place: Path) -> None:
    shown = opened(app, place, "first run")
    assert sorted(shown.list_saved_views()) == sorted(VIEWS)
    assert ids_of(shown, "worst tenth") == ["c-missed"]
    assert ids_of(shown, "missed person") == ["c-missed"]
    assert ids_of(shown, "bite") == ["b-bitten"]
    assert ids_of(shown, "suspected labels") == ["d-bad-label"]
    assert ids_of(shown, "cut part") == []
    assert ids_of(shown, "other") == []  # images with nothing wrong are no failures


def test_slices_and_what_they_are_told_by_can_be_filtered_and_sorted(app: ModuleType, place: Path) -> None:
    shown = opened(app, place, "first run")
    held = shown.one(app.views.F("sample_id") == "h-held")
    assert held.slices == ["full body", "held object"]
    assert 0 < held.person_light < 1
    assert held.jpeg_quality is None
    assert shown.one(app.views.F("sample_id") == "e-nobody").slices is None
    assert ids_of(shown, "held object") == ["h-held"]
    assert ids_of(shown, "full body")[:2] == ["c-missed", "b-bitten"]
    assert ids_of(shown, "full body")[-1] == "f-not-scored"
    assert ids_of(shown, "animal") == []


def test_what_the_label_check_finds_is_shown_where_it_is(app: ModuleType, tmp_path: Path) -> None:
    full, speckled = np.ones((480, 640), bool), body(50, (480, 640))
    speckled[6:9, 600:604] = True
    scenes = [Drawn(name, as_target(drawn), None) for name, drawn in (("full", full), ("specks", speckled))]
    dataset = make_dataset(tmp_path / "people", [SCENES[0], *scenes])
    for _ in range(2):
        shown = app.open_review([], dataset, conditions_of(dataset), findings_of(dataset))
        assert ids_of(shown, "label check") == ["full"]
    worst = shown.one(app.views.F("sample_id") == "full")
    assert worst.label_severity == 1
    assert worst.label_check.startswith("full: ")
    assert worst.label_check.endswith(". Draw the person's outline")
    specks = shown.one(app.views.F("sample_id") == "specks").label_findings.detections
    [box] = [one.bounding_box for one in specks if one.label == "specks"]
    assert box == pytest.approx([600 / 640, 6 / 480, 4 / 640, 3 / 480])
    assert shown.app_config.active_fields.paths == ["ground_truth", "label_findings", "label_severity"]


@pytest.fixture
def built(tmp_path: Path, sample: Path) -> Path:
    """A dataset built from copies of the embedded sample's COCO scenes, some of which a rule drops."""
    source = shutil.copytree(sample / "coco", tmp_path / "coco")
    options = {"coco": [str(source / "annotations/instances_val2017.json")], "min_area": 0.2, "max_people": 1}
    build_dataset(make_recipe(options), tmp_path / "built")
    return tmp_path / "built"


def test_what_the_rules_dropped_is_a_dataset_of_its_own(
    app: ModuleType, built: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert command(capsys, "review", "open", built, "--no-launch")[0] == 0
    dataset = open_dataset(built)
    name = app.fiftyone_name(dataset)
    assert sorted(app.dataset.fo.list_datasets()) == [name, f"{name}-dropped"]
    shown = app.dataset.fo.load_dataset(f"{name}-dropped")
    assert sorted(shown.values("sample_id")) == sorted(dataset.drops["sample_id"])
    rules = sorted(dataset.drops["rule"].unique())
    assert len(rules) > 1
    assert sorted(shown.list_saved_views()) == [f"dropped by {rule}" for rule in rules]
    of_area = dataset.drops.filter(rule="area").sort("value")
    assert shown.load_saved_view("dropped by area").values("sample_id") == of_area["sample_id"].to_list()
    assert all(Path(path).is_file() for path in shown.values("filepath"))
    assert app.read_marks(dataset) == {}


def test_drops_whose_sources_are_gone_are_not_shown_and_that_is_said(
    app: ModuleType, built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(tmp_path / "coco")
    code, _, err = command(capsys, "review", "open", built, "--no-launch")
    assert code == 0
    assert err.splitlines()[-1].startswith("note: what the rules dropped is not shown (")
    assert len(app.dataset.fo.list_datasets()) == 1


def test_look_alikes_stand_together(app: ModuleType, tmp_path: Path) -> None:
    scenes = [replace(SCENES[n], group=group) for n, group in enumerate("bacb")]
    dataset = make_dataset(tmp_path / "people", scenes)
    shown = app.open_review([], dataset, conditions_of(dataset), findings_of(dataset))
    assert ids_of(shown, "near duplicates") == ["a-right", "d-bad-label"]
    assert shown.values("look_alikes") == [1, 0, 0, 1]


def test_two_runs_are_compared_both_ways(app: ModuleType, place: Path) -> None:
    shown = opened(app, place, "first run", "2nd")
    assert ids_of(shown, "run_2nd right, first_run wrong") == ["b-bitten"]
    assert ids_of(shown, "first_run right, run_2nd wrong") == []
    alone = opened(app, place, "first run")
    assert sorted(alone.list_saved_views()) == sorted(VIEWS)


def test_indexes_make_the_scores_quick_to_sort_by(app: ModuleType, place: Path) -> None:
    assert {"sample_id", "first_run_iou", "first_run_failure", "suspicion"} <= set(
        opened(app, place, "first run").list_indexes()
    )
