"""`curate review open` and `pull` on a real database."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path
from types import ModuleType

import pytest

from curate import database
from curate.dataset import open_dataset
from curate.decisions import Decision, read_decisions
from curate.errors import MachineError, MissingError
from review import cli
from review.decisions import write_decisions
from tests.review.app.looking import command, opened
from tests.review.making import Drawn, make_dataset
from tests.review.test_failures import SCENES

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("emptied")]


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
    monkeypatch.setattr(database, "find_mongod", lambda: None)
    monkeypatch.setattr(database, "has_database_package", lambda: True)
    monkeypatch.delenv("FIFTYONE_DATABASE_URI", raising=False)
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
