"""Opening again changes only what changed, and keeps datasets and runs apart."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from curate.dataset import open_dataset
from curate.decisions import Decision, read_decisions
from curate.errors import ExistsError, UsageError
from review import cli
from review.decisions import write_decisions
from review.runs import open_run
from tests.review.app.looking import RUN_VIEWS, VIEWS, command, ids_of, opened
from tests.review.making import make_run
from tests.review.test_failures import SCENES

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("emptied")]


def test_opening_again_keeps_tags_and_adds_no_sample(app: ModuleType, place: Path) -> None:
    shown = opened(app, place, "first run")
    shown.match(app.views.F("sample_id") == "c-missed").tag_samples(["hard", "ask Ann"])
    label_ids = shown.values("first_run_errors.id")
    again = opened(app, place, "first run")
    assert app.dataset.fo.list_datasets() == [shown.name]
    assert again.count() == len(SCENES)
    assert again.one(app.views.F("sample_id") == "c-missed").tags == ["hard", "ask Ann"]
    assert again.values("first_run_errors.id") == label_ids
    assert sorted(again.list_saved_views()) == sorted(VIEWS)


def test_a_run_scored_anew_is_brought_up_to_date(app: ModuleType, place: Path) -> None:
    opened(app, place, "first run")
    shutil.rmtree(place / "runs/first run")
    fewer = [one for one in SCENES if one.sample_id != "c-missed"]
    cli.prepare(open_run(make_run(place / "runs/first run", open_dataset(place / "people"), fewer)))
    shown = opened(app, place, "first run")
    assert shown.one(app.views.F("sample_id") == "c-missed").first_run_iou is None
    assert ids_of(shown, "missed person") == []
    assert ids_of(shown, "worst tenth") == ["b-bitten"]


def test_two_runs_stand_side_by_side_and_the_first_leads(app: ModuleType, place: Path) -> None:
    shown = opened(app, place, "2nd", "first run")
    bitten = shown.one(app.views.F("sample_id") == "b-bitten")
    assert bitten.run_2nd_iou > bitten.first_run_iou
    assert ids_of(shown, "bite") == []
    assert [group.name for group in shown.app_config.sidebar_groups][:3] == ["tags", "run_2nd", "first_run"]


def test_without_a_run_the_dataset_is_shown_and_every_view_is_there(app: ModuleType, place: Path) -> None:
    shown = opened(app, place)
    assert shown.count() == len(SCENES)
    assert sorted(shown.list_saved_views()) == sorted(VIEWS)
    assert [ids_of(shown, view) for view in RUN_VIEWS] == [[]] * len(RUN_VIEWS)
    assert ids_of(shown, "held object") == ["h-held"]


def test_opening_the_dataset_alone_keeps_the_views_of_the_run_before(app: ModuleType, place: Path) -> None:
    opened(app, place, "first run")
    assert ids_of(opened(app, place), "bite") == ["b-bitten"]


def test_the_fields_of_a_run_that_is_gone_go_too(app: ModuleType, place: Path) -> None:
    opened(app, place, "first run", "2nd")
    shutil.rmtree(place / "runs/first run")
    shown = opened(app, place, "2nd")
    assert not [name for name in shown.get_field_schema() if name.startswith("first_run")]
    assert ids_of(shown, "worst tenth") == ["c-missed"]


def test_a_moved_dataset_is_followed(app: ModuleType, place: Path, tmp_path: Path) -> None:
    opened(app, place, "first run")
    moved = shutil.move(place, tmp_path / "moved")
    shown = opened(app, Path(moved), "first run")
    assert shown.count() == len(SCENES)
    assert all(path.startswith(f"{tmp_path}/moved/people/") for path in shown.values("filepath"))
    assert all(path.startswith(f"{tmp_path}/moved/people/") for path in shown.values("ground_truth.mask_path"))
    assert shown.first().first_run_errors.mask_path.startswith(f"{tmp_path}/moved/runs/")


def test_another_dataset_of_that_name_is_left_alone(app: ModuleType, place: Path) -> None:
    name = app.fiftyone_name(open_dataset(place / "people"))
    app.dataset.fo.Dataset(name).add_sample(app.dataset.fo.Sample(filepath="/theirs.png"))
    with pytest.raises(ExistsError, match="is not of this program"):
        opened(app, place, "first run")
    with pytest.raises(ExistsError, match="is not of this program"):
        app.read_marks(open_dataset(place / "people"))
    assert app.dataset.fo.load_dataset(name).values("filepath") == ["/theirs.png"]


@pytest.mark.parametrize(
    ("roots", "prefixes"),
    [
        (["runs/first-run.v2"], ["first_run_v2"]),
        (["runs/01"], ["run_01"]),
        (["runs/--"], ["run"]),
        (["runs/Übung"], ["bung"]),
        (["round-1/candidate", "round-2/candidate"], ["round_1_candidate", "round_2_candidate"]),
        ([], []),
    ],
    ids=["punctuation", "digit-first", "nothing-left", "not-ascii", "same-folder-name", "none"],
)
def test_prefixes(app: ModuleType, roots: list[str], prefixes: list[str]) -> None:
    assert app.fields.run_prefixes([Path(root) for root in roots], {}) == prefixes


def test_the_same_run_twice_is_refused(app: ModuleType) -> None:
    with pytest.raises(UsageError, match="given twice"):
        app.fields.run_prefixes([Path("runs/a"), Path("runs/a")], {})


def test_names_that_are_taken_are_told_apart(app: ModuleType, tmp_path: Path) -> None:
    old, of = tmp_path / "old/first", app.fields.run_prefixes
    old.mkdir(parents=True)
    known = {"first": str(old)}
    assert of([old], known) == ["first"]
    [new] = of([tmp_path / "new/first"], known)
    assert re.fullmatch(r"first_[0-9a-f]{6}", new)
    old.rmdir()
    assert of([tmp_path / "new/first"], known, {"first_iou"}) == ["first"]
    assert len(set(of([Path("runs/my run"), Path("runs/my-run")], {}))) == 2
    [clash] = of([Path("runs/label")], {}, {"label_severity"})
    assert re.fullmatch(r"label_[0-9a-f]{6}", clash)


def test_a_dataset_opened_first_loses_no_decision(
    app: ModuleType, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = place / "runs/first run"
    decisions = [Decision("a-right", "ok", "asked Ann", "older"), Decision("b-bitten", "exclude", "", "first run")]
    write_decisions(run / "decisions.jsonl", decisions)
    command(capsys, "review", "open", place / "people", "--no-launch")
    shown = app.dataset.fo.load_dataset(app.fiftyone_name(open_dataset(place / "people")))
    shown.match(app.views.F("sample_id") == "b-bitten").tag_samples("hard")
    command(capsys, "review", "open", run, "--no-launch")
    command(capsys, "review", "pull", run)
    assert list(read_decisions(run / "decisions.jsonl").values()) == [
        decisions[0],
        Decision("b-bitten", "hard", "", "first run"),
    ]


def test_the_run_that_led_leads_on_where_the_dataset_alone_is_opened(app: ModuleType, place: Path) -> None:
    opened(app, place, "first run")
    opened(app, place, "2nd")
    shown = opened(app, place)
    assert shown.info["silhouette"]["lead"] == "run_2nd"  # type: ignore[attr-defined]
    assert ids_of(shown, "bite") == []
