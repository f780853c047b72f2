"""The plugin's operators, executed by FiftyOne as the App does it, and what they do."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from curate.cli import main
from curate.dataset import open_dataset
from curate.decisions import Decision, read_decisions
from curate.errors import MachineError
from review import cli
from review.label_check import findings_of
from review.runs import open_run
from review.slices import conditions_of
from tests.review.making import Drawn, as_target, make_dataset, photograph
from tests.review.test_failures import PERSON

pytestmark = pytest.mark.database
PLUGIN = "@silhouette/review"


@pytest.fixture(scope="module")
def app(database: str) -> Iterator[ModuleType]:
    """The package, our plugin found beside the user's own."""
    package = cli.load_app()
    fo, own = package.dataset.fo, os.environ.get("FIFTYONE_PLUGINS_DIR")
    theirs = fo.config.plugins_dir
    package.plugins.add_plugin()
    yield package
    fo.config.plugins_dir = theirs
    os.environ.pop("FIFTYONE_PLUGINS_DIR", None)
    if own is not None:
        os.environ["FIFTYONE_PLUGINS_DIR"] = own


@pytest.fixture
def shown(app: ModuleType, place: Path) -> Iterator[Any]:
    """The FiftyOne dataset of two runs."""
    dataset = open_dataset(place / "people")
    runs = [open_run(place / "runs" / name) for name in ("first run", "2nd")]
    found = app.open_review(runs, dataset, conditions_of(dataset), findings_of(dataset))
    yield found
    found.delete()


def execute(app: ModuleType, name: str, shown: Any, chosen: list[str] = [], **params: Any) -> str:  # noqa: B006
    """What an operator says where these samples are selected."""
    import fiftyone.operators as foo

    ids = [shown.one(app.views.F("sample_id") == one).id for one in chosen]
    ctx = {"dataset": shown, "selected": ids, "params": params}
    said: str = foo.execute_operator(f"{PLUGIN}/{name}", ctx=ctx).result["said"]
    return said


def test_the_plugin_is_found_beside_the_users_own(app: ModuleType, tmp_path: Path) -> None:
    import fiftyone.operators as foo
    import fiftyone.plugins as fop

    theirs = tmp_path / "theirs" / "sorter"
    theirs.mkdir(parents=True)
    (theirs / "fiftyone.yml").write_text("name: their-sorter\n")
    folder = app.plugins.linking_folder(theirs.parent)
    again = app.plugins.linking_folder(theirs.parent)
    assert folder == again
    names = {Path(found).parent.name for found in fop.core._iter_plugin_metadata_files(str(folder))}
    assert names == {"silhouette", "sorter"}
    listed = {operator.uri for operator in foo.list_operators() if operator.uri.startswith(PLUGIN)}
    assert {
        f"{PLUGIN}/{name}" for name in ("mark", "next_worst", "compare", "send", "import_labels", "retrain")
    } <= listed


def test_marks_come_back_as_decisions_with_their_notes(
    app: ModuleType, shown: Any, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = execute(app, "mark", shown, ["b-bitten", "c-missed"], verdict="hard", note="at night")
    assert said.startswith("2 images marked **hard**")
    execute(app, "mark", shown, ["c-missed"], verdict="relabel")
    execute(app, "mark", shown, ["d-bad-label"], verdict="exclude", note="a statue")
    with pytest.raises(SystemExit, match="0"):
        main(["review", "pull", str(place / "runs/first run")])
    assert list(read_decisions(place / "runs/first run/decisions.jsonl").values()) == [
        Decision("b-bitten", "hard", "at night", "first run"),
        Decision("c-missed", "relabel", "at night", "first run"),
        Decision("d-bad-label", "exclude", "a statue", "first run"),
    ]
    assert "relabel       1" in capsys.readouterr().out


def test_the_worst_images_without_a_verdict_come_one_after_the_other(app: ModuleType, shown: Any) -> None:
    ids = dict(zip(shown.values("sample_id"), shown.values("id"), strict=True))
    names = {one: name for name, one in ids.items()}
    from review.app.actions import next_worst as step

    order = []
    current = step(shown, "first_run", None)
    while current is not None:
        order.append(names[current])
        current = step(shown, "first_run", current)
    severity = dict(zip(shown.values("sample_id"), shown.values("first_run_severity"), strict=True))
    wrong = [name for name, value in severity.items() if value]
    assert sorted(order) == sorted(wrong)
    assert [severity[name] for name in order] == sorted(map(severity.__getitem__, wrong), reverse=True)
    assert order[0] == "c-missed"
    execute(app, "mark", shown, ["c-missed"], verdict="ok")
    assert names[step(shown, "first_run", None)] == order[1]
    assert execute(app, "next_worst", shown) == f"opened {order[1]}"
    execute(app, "mark", shown, order, verdict="ok")
    assert execute(app, "next_worst", shown) == "Every scored image that is wrong has a verdict."


def test_two_runs_are_compared_on_the_image_at_hand(app: ModuleType, shown: Any) -> None:
    said = execute(app, "compare", shown, ["b-bitten"], a="first_run", b="run_2nd").splitlines()
    assert said[0] == "**b-bitten**"
    assert said[2] == "| | first_run | run_2nd |"
    bitten = shown.one(app.views.F("sample_id") == "b-bitten")
    assert f"| iou | {bitten.first_run_iou:.3f} | {bitten.run_2nd_iou:.3f} |" in said
    assert any(line.startswith("| failure | bite | ") for line in said)


def test_images_go_out_and_their_labels_come_back(app: ModuleType, shown: Any, place: Path) -> None:
    out = place / "to-label"
    said = execute(app, "send", shown, ["b-bitten", "d-bad-label"], tool="png", out=str(out))
    assert "**Not done.**" not in said
    assert {path.name for path in (out / "masks").iterdir()} == {"b-bitten.png", "d-bad-label.png"}
    redrawn = np.roll(np.where(PERSON, np.uint8(255), np.uint8(0)), 9, axis=1)
    Image.fromarray(redrawn).save(out / "masks/b-bitten.png")
    said = execute(app, "import_labels", shown, path=str(out), out=str(place / "people-2"))
    assert "**Not done.**" not in said
    new, old = open_dataset(place / "people-2"), open_dataset(place / "people")
    assert new.header.parent == old.header.digest
    [row] = [row for row in new.rows() if row["sample_id"] == "b-bitten"]
    assert (new.target(row) == redrawn).all()


@pytest.mark.parametrize(
    ("name", "params", "said"),
    [
        ("send", {"tool": "png", "out": "{place}/people"}, "people"),
        ("import_labels", {"path": "{place}/nowhere", "out": "{place}/new"}, "nowhere"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    app: ModuleType, shown: Any, place: Path, name: str, params: dict[str, str], said: str
) -> None:
    filled = {key: value.format(place=place) for key, value in params.items()}
    found = execute(app, name, shown, ["b-bitten"], **filled)
    assert found.startswith("**Not done.** ")
    assert said in found
    assert "\n" not in found


def test_another_dataset_is_left_alone(app: ModuleType) -> None:
    import fiftyone.operators as foo

    theirs = app.dataset.fo.Dataset()
    theirs.add_sample(app.dataset.fo.Sample(filepath="/theirs.png"))
    ctx = {"dataset": theirs, "selected": theirs.values("id"), "params": {"verdict": "ok"}}
    said = foo.execute_operator(f"{PLUGIN}/mark", ctx=ctx).result["said"]
    assert said == "**Not done.** this dataset is none of Silhouette's. Open one with: curate review open"
    assert theirs.count_sample_tags() == {}
    theirs.delete()


def test_the_panel_shows_scores_slices_and_what_changed(app: ModuleType, shown: Any, place: Path) -> None:
    from review.app.actions import review_tables
    from review.app.known import known_of

    said = review_tables(known_of(shown))
    assert "**first_run**" in said
    assert "| image mean IoU | " in said
    assert "**Kinds of photograph, first_run**" in said
    assert "**first_run (A) and run_2nd (B)**" in said
    assert "| all | 1 | " in said  # the one validation image


@pytest.fixture
def trained(tmp_path: Path, app: ModuleType) -> Iterator[tuple[Any, Path]]:
    """A run that was trained here for one short epoch, shown."""
    scenes = [
        Drawn(f"s{n}", as_target(PERSON), None, photograph(PERSON, n), "train" if n < 6 else "val" if n < 8 else "test")
        for n in range(10)
    ]
    dataset = make_dataset(tmp_path / "people", scenes)
    options = [
        "--encoder",
        "resnet18",
        "--weights",
        "none",
        "--size",
        "32",
        "--batch-size",
        "2",
        "--epochs",
        "1",
        "--lr",
        "0.001",
    ]
    for words in (
        ["fit", str(dataset.root), "--out", str(tmp_path / "run"), *options],
        ["score", str(tmp_path / "run")],
    ):
        with pytest.raises(SystemExit, match="0"):
            main(["train", *words])
    run = open_run(tmp_path / "run")
    cli.prepare(run)
    found = app.open_review([run], dataset, conditions_of(dataset), findings_of(dataset))
    yield found, tmp_path
    found.delete()


def test_what_is_started_in_the_background_prints_to_a_file(
    app: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from review.app import actions

    with monkeypatch.context() as patch:
        patch.setattr(actions, "START_S", 60.0)
        assert actions.start_curate(["--version"], tmp_path / "loops" / "one") == tmp_path / "loops" / "one.log"
        assert "curate" in (tmp_path / "loops/one.log").read_text()
        with pytest.raises(MachineError, match="nowhere"):
            actions.start_curate(["loop", "status", str(tmp_path / "nowhere")], tmp_path / "loops" / "two")


def test_paths_are_those_of_the_folder_the_app_was_opened_in(monkeypatch: pytest.MonkeyPatch, app: ModuleType) -> None:
    from review.app.actions import OPENED_IN, placed

    monkeypatch.setenv(OPENED_IN, "/home/ann")
    assert placed("to-cvat.zip") == Path("/home/ann/to-cvat.zip")
    assert placed("/data/x") == Path("/data/x")


@pytest.mark.long
def test_a_retraining_goes_on_by_itself_with_the_verdicts(app: ModuleType, trained: tuple[Any, Path]) -> None:
    shown, place = trained
    execute(app, "mark", shown, ["s0"], verdict="exclude", note="a statue")
    said = execute(app, "retrain", shown, out=str(place / "loop"), budget="1")
    assert said.startswith("Started; it goes on when the App is closed.")
    deadline = time.monotonic() + 240
    while not (place / "loop/report.html").is_file() and time.monotonic() < deadline:
        time.sleep(0.5)
    log = (place / "loop.log").read_text()
    assert (place / "loop/report.html").is_file(), log
    told = json.loads((place / "loop/loop.json").read_bytes())
    assert json.loads((place / "loop/round-1/given.json").read_bytes())["verdicts"] == {"s0": "exclude"}
    assert told["start"]
    assert told["fit"]["size"] == 32
    assert told["fit"]["encoder"] == "resnet18"


def test_a_run_that_was_not_trained_here_cannot_be_retrained(app: ModuleType, shown: Any, place: Path) -> None:
    assert execute(app, "retrain", shown, out=str(place / "loop"), budget="1").startswith("**Not done.** ")
    assert not (place / "loop").exists()


def test_figures_panel_is_registered(app: ModuleType) -> None:
    import fiftyone.operators as foo

    assert f"{PLUGIN}/figures" in {operator.uri for operator in foo.list_operators(type="panel")}
