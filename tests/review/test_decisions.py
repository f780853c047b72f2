"""decisions.jsonl: written by review, read by `curate.decisions`, and the tags they come from."""

from __future__ import annotations

from pathlib import Path

from curate.decisions import Decision, read_decisions
from review.decisions import decisions_of_tags, write_decisions


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
    decisions, conflicts = decisions_of_tags({"b": ["hard"], "a": ["exclude"]}, "first", [])
    assert decisions == [Decision("a", "exclude", "", "first"), Decision("b", "hard", "", "first")]
    assert conflicts == []


def test_contradicting_tags_are_named_and_left_out() -> None:
    before = [Decision("a", "ok", "", "first")]
    decisions, conflicts = decisions_of_tags({"b": ["hard"], "c": ["exclude", "ok"], "a": ["ok", "hard"]}, "", before)
    assert [decision.sample_id for decision in decisions] == ["b"]
    assert conflicts == ["a", "c"]


def test_a_decision_keeps_its_note_and_run_until_its_tag_changes_or_goes() -> None:
    kept, changed = Decision("a", "hard", "at night", "old"), Decision("b", "ok", "fine", "old")
    gone = Decision("c", "exclude", "a statue", "old")
    decisions, _ = decisions_of_tags({"a": ["hard"], "b": ["relabel"]}, "new", [kept, changed, gone])
    assert decisions == [kept, Decision("b", "relabel", "", "new")]
