"""The real FiftyOne on a real database: what stands in it, and that opening again changes only what changed."""

from __future__ import annotations

import os
import re
import shutil
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from curate import doctor, schema
from curate.build import build_dataset
from curate.cli import main
from curate.dataset import open_dataset
from curate.decisions import Decision, read_decisions
from curate.doctor import Check
from curate.errors import ExistsError, MachineError, MissingError, UsageError
from curate.recipe import make_recipe
from review import cli
from review.decisions import write_decisions
from review.label_check import findings_of
from review.runs import open_run
from review.slices import SLICES, conditions_of
from tests.review.making import Drawn, as_target, body, make_dataset, make_run, sure_of
from tests.review.test_failures import HOLE, PERSON, SCENES

pytestmark = pytest.mark.database
RUN_VIEWS = ["worst tenth", *(kind.replace("-", " ") for kind in schema.FAILURE_KINDS), "suspected labels"]
VIEWS = [*RUN_VIEWS, *SLICES, "label check", "near duplicates"]


@pytest.fixture(scope="module")
def app(database: str) -> ModuleType:
    return cli.load_app()


@pytest.fixture(autouse=True)
def emptied(app: ModuleType) -> Iterator[None]:
    """Every test finds a FiftyOne without datasets."""
    yield
    for name in app.dataset.fo.list_datasets():
        app.dataset.fo.delete_dataset(name)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset, and two runs that are ready to be shown."""
    root = tmp_path_factory.mktemp("made")
    dataset = make_dataset(root / "people", SCENES)
    better = [
        replace(one, prediction=sure_of(PERSON) if one.sample_id == "b-bitten" else one.prediction) for one in SCENES
    ]
    for name, drawn in (("first run", SCENES), ("2nd", better)):
        cli.prepare(open_run(make_run(root / "runs" / name, dataset, drawn)))
    return root


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    """A copy of the made folder that a test may change."""
    return shutil.copytree(made, tmp_path / "place")


def ids_of(shown: object, view: str) -> list[str]:
    return shown.load_saved_view(view).values("sample_id")  # type: ignore[attr-defined, no-any-return]


def opened(app: ModuleType, place: Path, *names: str) -> object:
    runs = [open_run(place / "runs" / name) for name in names]
    dataset = open_dataset(place / "people")
    return app.open_review(runs, dataset, conditions_of(dataset), findings_of(dataset))


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


def command(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(list(map(str, arguments)))
    printed = capsys.readouterr()
    assert isinstance(stop.value.code, int)
    return stop.value.code, printed.out, printed.err


def test_open_without_launch_and_pull(app: ModuleType, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Tags set in the App come back; contradictions are named; a tag that is taken off takes its decision along."""
    run = place / "runs/first run"
    code, out, err = command(capsys, "review", "open", run, "--no-launch")
    name = app.fiftyone_name(open_dataset(place / "people"))
    assert (code, err) == (0, "")
    assert out == f"{name}: 8 images, 1 runs. See it with: curate review open {run}\n"
    shown = app.dataset.fo.load_dataset(name)
    for sample_id, tags in {
        "b-bitten": ["hard"],
        "c-missed": ["exclude", "ok"],
        "d-bad-label": ["relabel", "x"],
    }.items():
        shown.match(app.views.F("sample_id") == sample_id).tag_samples(tags)
    code, out, err = command(capsys, "review", "pull", run)
    assert code == 0
    assert (
        out
        == f"relabel       1\nexclude       0\nhard          1\nok            0\nwritten: {run / 'decisions.jsonl'}\n"
    )
    assert err == "warning: c-missed is tagged exclude and ok; left out. Leave it one of them\n"
    hard, relabel = Decision("b-bitten", "hard", "", "first run"), Decision("d-bad-label", "relabel", "", "first run")
    assert list(read_decisions(run / "decisions.jsonl").values()) == [hard, relabel]

    shown.match(app.views.F("sample_id") == "b-bitten").untag_samples("hard")
    command(capsys, "review", "pull", run)
    assert list(read_decisions(run / "decisions.jsonl").values()) == [relabel]


def test_a_lost_database_loses_no_decision(app: ModuleType, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = place / "runs/first run"
    decisions = [Decision("a-right", "ok", "asked Ann", "older"), Decision("b-bitten", "exclude", "", "first run")]
    write_decisions(run / "decisions.jsonl", decisions)
    command(capsys, "review", "open", run, "--no-launch")
    command(capsys, "review", "pull", run)
    assert list(read_decisions(run / "decisions.jsonl").values()) == decisions


def test_pull_before_open_says_what_to_do(app: ModuleType, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = command(capsys, "review", "pull", place / "runs/first run")
    assert code == 1
    assert "Open it first: curate review open" in err
    assert not (place / "runs/first run/decisions.jsonl").exists()
    with pytest.raises(MissingError):
        app.read_marks(open_dataset(place / "people"))


def test_open_makes_failures_and_overlays_where_they_are_missing(
    app: ModuleType, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = place / "runs/first run"
    (run / "failures.parquet").unlink()
    shutil.rmtree(run / "overlays")
    assert command(capsys, "review", "open", run, "--no-launch")[0] == 0
    assert (run / "failures.parquet").is_file()
    assert len(list((run / "overlays/errors").iterdir())) == 7


def test_open_a_dataset(app: ModuleType, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = command(capsys, "review", "open", place / "people", "--no-launch")
    assert code == 0
    assert ": 8 images, 0 runs." in out


@pytest.mark.parametrize(
    ("paths", "code", "said"),
    [
        (["people", "other"], 2, "are two datasets"),
        (["nowhere"], 1, "nowhere: no such run"),
        (["runs"], 1, "runs: is not a run"),
        (["runs/first run", "runs/first run"], 2, "given twice"),
        (["other", "runs/first run"], 1, "has digest"),
    ],
    ids=["two-datasets", "nothing-there", "no-run", "run-twice", "another-dataset's-run"],
)
def test_open_what_cannot_be_opened(
    app: ModuleType, place: Path, capsys: pytest.CaptureFixture[str], paths: list[str], code: int, said: str
) -> None:
    make_dataset(place / "other", [Drawn("a", SCENES[0].target, None)])
    found, out, err = command(capsys, "review", "open", *(place / path for path in paths), "--no-launch")
    assert (found, out) == (code, "")
    assert said in err
    assert err.count("\n") == 1


def test_a_port_in_use_is_refused(capsys: pytest.CaptureFixture[str], app: ModuleType, place: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, _, err = command(capsys, "review", "open", place / "people", "--port", port)
    assert code == 1
    assert f"port {port} on 127.0.0.1 cannot be used (Address already in use). Choose another with --port" in err


def test_no_database_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lack = Check("database", "missing", "FiftyOne's database (mongod) is not installed", "curate doctor --fix")
    monkeypatch.setattr(doctor, "check_database", lambda environ: lack)
    with pytest.raises(MachineError, match=r"\(mongod\) is not installed. To mend it: curate doctor --fix"):
        cli.load_app()


def test_telemetry_is_off(app: ModuleType) -> None:
    assert os.environ["FIFTYONE_DO_NOT_TRACK"] == "1"
    assert app.dataset.fo.config.do_not_track


def test_the_dataset_is_not_written_to(app: ModuleType, place: Path) -> None:
    def state() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in sorted((place / "people").rglob("*")) if path.is_file()}

    before = state()
    opened(app, place, "first run")
    assert state() == before
