"""`curate review failures`: what stands in failures.parquet and suspects.parquet, and what the command says."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest

from curate import schema
from curate.cli import main
from curate.dataset import Dataset, read_table, write_table
from curate.errors import CurateError, FormatError, MismatchError, MissingError, UsageError, VersionError
from curate.threads import Tick
from review.cli import notes_on
from review.failures import bring_up_to_date, find_failures
from review.label_check import findings_of
from review.layers import errors_path, prediction_path, write_layers
from review.runs import open_run
from tests.review.making import Drawn, as_target, body, make_dataset, make_run, photograph, sure_of

PERSON, NOBODY = body(), np.zeros((120, 160), bool)
HOLE = PERSON.copy()
HOLE[70:96, 60:86] = False
HEADLESS = PERSON.copy()
HEADLESS[:46] = False

SCENES = [
    Drawn("a-right", as_target(PERSON), sure_of(PERSON), photograph(PERSON, 1)),
    Drawn("b-bitten", as_target(PERSON), sure_of(HOLE), photograph(PERSON, 2)),
    Drawn("c-missed", as_target(PERSON), sure_of(NOBODY), photograph(PERSON, 3), split="val"),
    Drawn("d-bad-label", as_target(HEADLESS), sure_of(PERSON), photograph(PERSON, 4)),
    Drawn("e-nobody", as_target(NOBODY), sure_of(NOBODY), photograph(NOBODY, 5), split="background"),
    Drawn("f-not-scored", as_target(PERSON), None, photograph(PERSON, 6), split="test"),
    Drawn("g-exact", as_target(PERSON), as_target(PERSON), photograph(PERSON, 7)),
    Drawn("h-held", as_target(HEADLESS), sure_of(PERSON), photograph(HEADLESS, 8), split="test", touching=("kite",)),
]


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return make_dataset(tmp_path / "people", SCENES)


@pytest.fixture
def run(tmp_path: Path, dataset: Dataset) -> Path:
    return make_run(tmp_path / "runs" / "first", dataset, SCENES)


@pytest.fixture
def folded(tmp_path: Path, dataset: Dataset) -> Path:
    """A run that says the same of images it did not learn from."""
    return make_run(tmp_path / "runs" / "folded", dataset, [replace(one, fold=0) for one in SCENES])


def test_every_scored_image_has_one_row(run: Path, dataset: Dataset) -> None:
    found = find_failures(open_run(run))
    assert found.equals(read_table(run / "failures.parquet", schema.FAILURES))
    assert dict(found.select("sample_id", "kind").iter_rows()) == {
        "a-right": "ragged-boundary",
        "b-bitten": "bite",
        "c-missed": "missed-person",
        "d-bad-label": "extension",
        "e-nobody": "other",
        "g-exact": "other",
        "h-held": "merged-object",
    }
    assert dict(found.select("sample_id", "triage").iter_rows()) == {
        "a-right": "ok",
        "b-bitten": "augment",
        "c-missed": "augment",
        "d-bad-label": "relabel",
        "e-nobody": "ok",
        "g-exact": "ok",
        "h-held": "augment",
    }


def test_where_nothing_is_wrong_severity_is_zero(run: Path, dataset: Dataset) -> None:
    right = find_failures(open_run(run)).filter(pl.col("sample_id") == "g-exact").to_dicts()[0]
    assert right == {
        "sample_id": "g-exact",
        "kind": "other",
        "severity": 0.0,
        "area": 0.0,
        "bbox_xywh": [0, 0, 0, 0],
        "triage": "ok",
        "suspicion": right["suspicion"],
        "reason": "the label check: it is the same to the pixel as masks/a-right.png",
    }


def test_severity_is_one_minus_the_scored_iou(run: Path, dataset: Dataset) -> None:
    found = find_failures(open_run(run))
    scores = read_table(run / "scores.parquet", schema.SCORES).filter(pl.col("iou").is_not_null())
    both = found.join(scores, on="sample_id").select("severity", "iou")
    assert both.height == 6
    for severity, iou in both.iter_rows():
        assert severity == pytest.approx(1 - iou)


def test_suspects_are_the_training_images_most_suspect_first(run: Path, dataset: Dataset) -> None:
    find_failures(open_run(run))
    suspects = read_table(run / "suspects.parquet", schema.SUSPECTS)
    assert set(suspects["sample_id"]) == {"a-right", "b-bitten", "d-bad-label", "e-nobody", "g-exact"}
    assert suspects["suspicion"].is_sorted(descending=True)
    assert suspects.row(0)[0] == "d-bad-label"
    assert suspects.row(0)[2].startswith("the model is sure of a person where the label has none")


def test_made_again_gives_the_same_bytes(run: Path, dataset: Dataset) -> None:
    find_failures(open_run(run))
    before = (run / "failures.parquet").read_bytes(), (run / "suspects.parquet").read_bytes()
    find_failures(open_run(run))
    assert before == ((run / "failures.parquet").read_bytes(), (run / "suspects.parquet").read_bytes())


def test_a_prediction_that_is_not_there_counts_as_empty(run: Path, dataset: Dataset) -> None:
    (run / "predictions" / "a-right.png").unlink()
    found = find_failures(open_run(run)).filter(pl.col("sample_id") == "a-right")
    assert found["kind"].to_list() == ["missed-person"]
    assert found["severity"].to_list() == [1.0]


def test_no_scored_image_gives_empty_tables(run: Path, dataset: Dataset) -> None:
    write_table(run / "scores.parquet", pl.DataFrame(schema=schema.SCORES))
    assert find_failures(open_run(run)).is_empty()
    assert read_table(run / "suspects.parquet", schema.SUSPECTS).is_empty()


def test_progress_is_told(run: Path, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "cache"))
    told: dict[str, list[int]] = {}

    def watch(what: str, total: int) -> Tick:
        assert total == 7 or what == "checking labels", "the labels of the test split are checked by themselves"
        return told.setdefault(what, []).append

    find_failures(open_run(run), watch=watch)
    assert {what: sum(steps) for what, steps in told.items()} == {"checking labels": 7, "failures": 7}
    told.clear()
    find_failures(open_run(run), watch=watch)
    assert list(told) == ["failures"], "labels are checked once for each dataset version"


def suspects_of(run: Path) -> dict[str, tuple[float, str]]:
    table = read_table(run / "suspects.parquet", schema.SUSPECTS)
    return {name: (suspicion, reason) for name, suspicion, reason in table.iter_rows()}


def siding(**changes: Any) -> list[Drawn]:
    """What a run says that takes every label's side."""
    return [replace(one, prediction=sure_of(one.target == 255), **changes) for one in SCENES]


def test_other_runs_are_heard_about_labels(folded: Path, dataset: Dataset, tmp_path: Path) -> None:
    """One that sees what the run sees makes the label no less suspect; one that sides with the label does."""
    agreeing = make_run(tmp_path / "runs/agreeing", dataset, [replace(one, fold=0) for one in SCENES])
    found = []
    for others in ([], [agreeing], [make_run(tmp_path / "runs/siding", dataset, siding(fold=0))]):
        find_failures(open_run(folded), [open_run(other) for other in others])
        found.append(suspects_of(folded)["d-bad-label"])
    alone, agreed, sided = found
    assert alone[0] == pytest.approx(agreed[0])
    assert agreed[1].startswith("2 models on the whole are sure of a person where the label has none")
    assert sided[0] < alone[0] / 2


def test_a_run_is_heard_only_where_it_did_not_learn_from_the_label(
    folded: Path, run: Path, dataset: Dataset, tmp_path: Path
) -> None:
    some = [replace(one, fold=0 if one.sample_id == "b-bitten" else -1) for one in siding()]
    find_failures(open_run(folded), [open_run(make_run(tmp_path / "runs/some", dataset, some))])
    assert {name for name, (_, reason) in suspects_of(folded).items() if "2 models" in reason} <= {"b-bitten"}
    with pytest.raises(UsageError, match="can be heard about no training label"):
        find_failures(open_run(folded), [open_run(make_run(tmp_path / "runs/own", dataset, siding()))])
    find_failures(open_run(run), [open_run(folded)])  # the first one learnt from the labels, so the other speaks alone
    assert suspects_of(run)["d-bad-label"][1].startswith("the model is sure")


def test_what_is_not_there_says_nothing(folded: Path, dataset: Dataset, tmp_path: Path) -> None:
    other = make_run(tmp_path / "runs/siding", dataset, siding(fold=0))
    find_failures(open_run(folded))
    alone = suspects_of(folded)["d-bad-label"]
    (other / "predictions/d-bad-label.png").unlink()
    find_failures(open_run(folded), [open_run(other)])
    assert suspects_of(folded)["d-bad-label"][1].split(";")[0] == alone[1].split(";")[0]
    for path in (other / "predictions").iterdir():
        path.unlink()
    with pytest.raises(UsageError, match="its predictions are not there"):
        find_failures(open_run(folded), [open_run(other)])


def test_what_learnt_from_no_label_is_heard_about_all(folded: Path, dataset: Dataset, tmp_path: Path) -> None:
    peer = make_run(tmp_path / "runs/peer", dataset, siding())
    config = msgspec.json.decode((peer / "config.json").read_bytes())
    (peer / "config.json").write_bytes(msgspec.json.encode(config | {"peer": "model.onnx"}))
    find_failures(open_run(folded), [open_run(peer)])
    assert all("2 models" in reason for _, reason in suspects_of(folded).values() if "sure of" in reason)


def test_failures_are_the_run_s_own_whoever_is_heard(run: Path, dataset: Dataset, tmp_path: Path) -> None:
    alone = find_failures(open_run(run))
    heard = find_failures(open_run(run), [open_run(make_run(tmp_path / "runs/siding", dataset, siding(fold=0)))])
    assert heard.select("kind", "severity", "area", "bbox_xywh").equals(
        alone.select("kind", "severity", "area", "bbox_xywh")
    )


def test_what_the_label_check_finds_speaks_against_a_label(tmp_path: Path) -> None:
    """The model has taken the moved label for granted: only the photograph and the check of labels know better."""
    large = body(150, (480, 640))
    moved = np.roll(large, 24, axis=1)
    scenes = [Drawn("moved", as_target(moved), sure_of(moved), photograph(large, 1), fold=0)]
    scenes += [Drawn("right", as_target(large), sure_of(large), photograph(large, 2), fold=0)]
    dataset = make_dataset(tmp_path / "people", scenes)
    run = make_run(tmp_path / "runs/first", dataset, scenes)
    find_failures(open_run(run))
    suspects = suspects_of(run)
    assert list(suspects) == ["moved", "right"]
    assert "the label check: it fits the picture" in suspects["moved"][1]
    assert "the label check" not in suspects["right"][1]


def damage_prediction(run: Path) -> None:
    (run / "predictions" / "b-bitten.png").write_bytes(b"\x89PNG\r\n\x1a\n")


def add_unknown_score(run: Path) -> None:
    scores = read_table(run / "scores.parquet", schema.SCORES)
    stranger = scores.head(1).with_columns(sample_id=pl.lit("nobody-knows"))
    write_table(run / "scores.parquet", pl.concat([scores, stranger]))


@pytest.mark.parametrize(
    ("damage", "error", "said"),
    [
        (lambda run: (run / "scores.parquet").unlink(), MissingError, "curate train score"),
        (lambda run: (run / "scores.parquet").write_bytes(b"PAR1"), FormatError, "not a readable Parquet table"),
        (add_unknown_score, MismatchError, "got nobody-knows"),
        (damage_prediction, FormatError, "b-bitten.png"),
    ],
    ids=["no-scores", "damaged-scores", "score-of-a-stranger", "damaged-prediction"],
)
def test_errors(run: Path, dataset: Dataset, damage: object, error: type[CurateError], said: str) -> None:
    damage(run)  # type: ignore[operator]
    with pytest.raises(error, match=said):
        find_failures(open_run(run))
    assert not (run / "failures.parquet").exists()


def change_digest(run: Path) -> None:
    config = msgspec.json.decode((run / "config.json").read_bytes())
    (run / "config.json").write_bytes(msgspec.json.encode(config | {"digest": "0" * 64}))


@pytest.mark.parametrize(
    ("damage", "error", "said"),
    [
        (lambda run: (run / "config.json").unlink(), MissingError, "is not a run"),
        (lambda run: (run / "config.json").write_text('{"dataset": 3}'), FormatError, "is damaged"),
        (lambda run: (run / "config.json").write_bytes(b"\xff"), FormatError, "is damaged"),
        (lambda run: run.parent.parent.joinpath("people").rename(run / "moved"), MissingError, "as --dataset"),
        (change_digest, VersionError, "has digest"),
    ],
    ids=["no-run", "wrong-type", "not-json", "dataset-moved", "other-version"],
)
def test_a_run_that_cannot_be_opened(run: Path, damage: object, error: type[CurateError], said: str) -> None:
    damage(run)  # type: ignore[operator]
    with pytest.raises(error, match=said):
        open_run(run)


def test_a_file_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").touch()
    with pytest.raises(MissingError, match=r"curate train score .*model\.onnx DATASET --out RUN"):
        open_run(tmp_path / "model.onnx")


def test_failures_of_an_earlier_format_are_made_anew(run: Path) -> None:
    bring_up_to_date(open_run(run))
    made = read_table(run / "failures.parquet", schema.FAILURES)
    made.drop("suspicion", "reason").write_parquet(run / "failures.parquet")
    bring_up_to_date(open_run(run))
    assert read_table(run / "failures.parquet", schema.FAILURES).equals(made)


def test_a_label_is_never_held_against_those_of_the_test_split(tmp_path: Path) -> None:
    """Mining reads what is found of training labels, and may know nothing of the test split's."""
    same = as_target(PERSON)
    scenes = [Drawn(name, same, None, photograph(PERSON, n), split=split) for n, (name, split) in enumerate(PLACES)]
    found = findings_of(make_dataset(tmp_path / "people", scenes)).filter(kind="identical")
    assert dict(found.select("sample_id", "found").iter_rows()) == {
        "b": "is the same to the pixel as masks/c.png",
        "c": "is the same to the pixel as masks/b.png",
    }


PLACES = [("a", "test"), ("b", "train"), ("c", "val")]


def test_what_learnt_from_no_label_is_honest_about_all_but_the_test_split(run: Path) -> None:
    peer = replace(open_run(run), peer="model.onnx")
    honest = peer.scores.filter(peer.is_honest())
    assert set(honest["split"]) == {"train", "val", "background"}
    assert set(open_run(run).scores.filter(open_run(run).is_honest())["split"]) == {"val"}


def test_notes_say_what_the_failures_do_not(run: Path, folded: Path) -> None:
    assert list(notes_on(open_run(folded))) == []
    (run / "predictions/a-right.png").unlink()
    gone, learnt = notes_on(open_run(run))
    assert gone.startswith("1 of 7 predictions are not there and count as empty")
    assert learnt.startswith("the model learnt from 4 labels that it is asked about")


def test_a_run_named_twice(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["review", "failures", str(run), f"{run}/../first"])
    assert stop.value.code == 2
    assert "is named twice" in capsys.readouterr().err


def test_no_such_run(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="no such run"):
        open_run(tmp_path / "nowhere")


def test_a_moved_dataset_is_found_where_the_user_says(run: Path, tmp_path: Path) -> None:
    (tmp_path / "people").rename(tmp_path / "moved")
    assert open_run(run, tmp_path / "moved").scores.height == 7


def test_the_command_prints_kinds_worst_images_and_files(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["review", "failures", str(run)])
    assert stop.value.code == 0
    printed = capsys.readouterr()
    suspicion, reason = suspects_of(run)["d-bad-label"]
    assert printed.out == (
        "kind             images  mean severity\n"
        "bite                  1  0.171\n"
        "extension             1  0.167\n"
        "merged-object         1  0.167\n"
        "missed-person         1  1.000\n"
        "ragged-boundary       1  0.003\n"
        "nothing wrong         2\n"
        "\n"
        "worst images\n"
        "  1.000  missed-person    augment  c-missed\n"
        "  0.171  bite             augment  b-bitten\n"
        "  0.167  extension        relabel  d-bad-label\n"
        "  0.167  merged-object    augment  h-held\n"
        "  0.003  ragged-boundary  ok       a-right\n"
        "\n"
        "labels in doubt\n"
        f"  {suspicion:.3f}  d-bad-label: {reason}\n"
        "\n"
        "triage: 3 augment (hard image), 1 relabel (label in doubt), 3 ok\n"
        f"written: {run / 'failures.parquet'}, {run / 'suspects.parquet'}\n"
    )
    assert printed.err.startswith("note: the model learnt from 4 labels that it is asked about")


def test_the_command_says_in_one_line_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["review", "failures", str(tmp_path)])
    assert stop.value.code == 1
    assert capsys.readouterr().err == (
        f"error: {tmp_path}: is not a run (no config.json in it). "
        f"Train one with: curate train fit DATASET --out {tmp_path}\n"
    )


def test_layers_hold_the_prediction_and_its_errors(run: Path) -> None:
    from curate.images import read_grey

    opened = open_run(run)
    assert write_layers(opened) == 7
    assert (read_grey(prediction_path(run, "b-bitten")) == np.where(sure_of(HOLE) >= 128, 255, 0)).all()
    errors = read_grey(errors_path(run, "b-bitten"))
    assert (
        errors == np.where(PERSON & (sure_of(HOLE) < 128), 2, np.where(~PERSON & (sure_of(HOLE) >= 128), 1, 0))
    ).all()
    assert set(np.unique(errors)) == {0, 1, 2}


def test_what_was_made_by_a_clock_that_was_ahead_does_not_pass_for_newer(run: Path) -> None:
    opened = open_run(run)
    bring_up_to_date(opened)
    write_layers(opened)
    ahead = time.time() + 86400
    for path in [run / "failures.parquet", *(run / "overlays").rglob("*.png")]:
        os.utime(path, (ahead, ahead))
    bring_up_to_date(opened)
    assert (run / "failures.parquet").stat().st_mtime < ahead
    assert write_layers(opened) == opened.scores.height
    for path in [*run.rglob("*"), *opened.dataset.root.rglob("*")]:
        os.utime(path, (ahead, ahead))
    assert write_layers(opened) == 0, "the clock was set back since: all of it has the same age"


def test_layers_are_written_only_where_they_are_older(run: Path) -> None:
    opened = open_run(run)
    write_layers(opened)
    assert write_layers(opened) == 0
    prediction = run / "predictions" / "b-bitten.png"
    prediction.write_bytes((run / "predictions" / "g-exact.png").read_bytes())
    assert write_layers(opened) == 1
    errors_path(run, "c-missed").unlink()
    assert write_layers(opened) == 1
