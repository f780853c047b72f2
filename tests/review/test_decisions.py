"""decisions.jsonl: written by review, read by `curate.decisions`, and the marks they come from."""

from __future__ import annotations

from pathlib import Path

from curate.decisions import Decision, read_decisions
from review.decisions import Marks, decisions_of_marks, write_decisions


def test_round_trip_is_sorted_and_the_last_decision_wins(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    first, other = Decision("b", "hard", "dark", "run"), Decision("a", "ok", "", "run")
    last = Decision("b", "relabel", "hand lost", "run")
    write_decisions(path, [first, other, last])
    assert list(read_decisions(path).values()) == [other, last]
    assert path.read_text() == (
        '{"sample_id":"a","verdict":"ok","note":"","run":"run"}\n'
        '{"sample_id":"b","verdict":"relabel","note":"hand lost","run":"run"}\n'
    )


def test_none_is_an_empty_file(tmp_path: Path) -> None:
    write_decisions(tmp_path / "decisions.jsonl", [])
    assert (tmp_path / "decisions.jsonl").read_bytes() == b""
    assert read_decisions(tmp_path / "decisions.jsonl") == {}


def test_tags_become_decisions_of_the_run() -> None:
    decisions, conflicts = decisions_of_marks({"b": Marks(["hard"]), "a": Marks(["exclude"])}, "first", [])
    assert decisions == [Decision("a", "exclude", "", "first"), Decision("b", "hard", "", "first")]
    assert conflicts == []


def test_contradicting_tags_are_named_and_left_out() -> None:
    before = [Decision("a", "ok", "", "first")]
    marks = {"b": Marks(["hard"]), "c": Marks(["exclude", "ok"]), "a": Marks(["ok", "hard"])}
    decisions, conflicts = decisions_of_marks(marks, "", before)
    assert [decision.sample_id for decision in decisions] == ["b"]
    assert conflicts == ["a", "c"]


def test_a_decision_keeps_its_note_and_run_until_its_tag_changes_or_goes() -> None:
    kept, changed = Decision("a", "hard", "at night", "old"), Decision("b", "ok", "fine", "old")
    gone = Decision("c", "exclude", "a statue", "old")
    decisions, _ = decisions_of_marks({"a": Marks(["hard"]), "b": Marks(["relabel"])}, "new", [kept, changed, gone])
    assert decisions == [kept, Decision("b", "relabel", "", "new")]


def test_a_note_that_is_set_now_takes_the_place_of_the_old_one() -> None:
    before = [Decision("a", "hard", "at night", "old"), Decision("b", "ok", "fine", "old")]
    marks = {"a": Marks(["hard"], "at dusk"), "b": Marks(["relabel"], "hand lost"), "c": Marks(["ok"], "")}
    decisions, _ = decisions_of_marks(marks, "new", before)
    assert decisions == [
        Decision("a", "hard", "at dusk", "old"),
        Decision("b", "relabel", "hand lost", "new"),
        Decision("c", "ok", "", "new"),
    ]
