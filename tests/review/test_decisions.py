from __future__ import annotations

from pathlib import Path

import pytest

from curate.errors import FormatError, MissingError
from review.decisions import Decision, read_decisions, write_decisions


def test_round_trip_is_sorted_and_the_last_decision_wins(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    first, other = Decision("b", "hard", "dark", "run"), Decision("a", "ok", "", "run")
    write_decisions(path, [first, other, Decision("b", "relabel", "hand lost", "run")])
    assert read_decisions(path) == [other, Decision("b", "relabel", "hand lost", "run")]
    assert path.read_text() == (
        '{"sample_id":"a","verdict":"ok","note":"","run":"run"}\n'
        '{"sample_id":"b","verdict":"relabel","note":"hand lost","run":"run"}\n'
    )


def test_none_is_an_empty_file(tmp_path: Path) -> None:
    write_decisions(tmp_path / "decisions.jsonl", [])
    assert (tmp_path / "decisions.jsonl").read_bytes() == b""
    assert read_decisions(tmp_path / "decisions.jsonl") == []


def test_written_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    path.write_text('\n{"sample_id": "b", "verdict": "exclude"}\r\n\n{"sample_id": "b", "verdict": "ok"}')
    assert read_decisions(path) == [Decision("b", "ok")]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"sample_id": "a", "verdict": "delete"}', 'verdict "delete", expected one of relabel, exclude, hard, ok'),
        ('{"sample_id": "a"', "is not a decision"),
        ('{"sample_id": "a"}', "missing required field `verdict`"),
        ('{"sample_id": "", "verdict": "ok"}', "sample_id is empty"),
        ('{"sample_id": "a", "verdict": "ok", "mask": "x"}', "unknown field `mask`"),
        ('["a", "ok"]', "Expected `object`"),
        ('{"sample_id": "\udcff", "verdict": "ok"}', "is not a decision"),
    ],
    ids=["verdict", "cut-off", "no-verdict", "no-id", "unknown-field", "no-object", "not-utf8"],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "decisions.jsonl"
    path.write_text('{"sample_id": "a", "verdict": "ok"}\n' + line, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(FormatError) as caught:
        read_decisions(path)
    assert caught.value.place == "line 2"
    assert said in str(caught.value)


def test_no_file_names_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="curate review pull RUN"):
        read_decisions(tmp_path / "decisions.jsonl")
