"""Tables and bars of text."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.cli import main
from curate.terminal import (
    STEERING,
    bar,
    beside,
    described,
    glued,
    histogram,
    paragraph,
    plain_output,
    printable,
    shorten,
    table,
    words,
)
from tests.conftest import REPOSITORY
from tests.curate.versions import drop, row, write_version


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 40))
def test_bars_grow_with_their_share_and_stay_within_their_width(one: float, other: float, width: int) -> None:
    small, large = sorted((one, other))
    assert len(bar(small, width)) <= len(bar(large, width)) <= width
    assert bool(bar(small, width)) == (small > 0)
    assert bar(1, width) == "█" * width


def test_a_histogram_of_nothing_has_no_bars() -> None:
    assert histogram({"1": 0, "2": 0}, 10) == ["1  0", "2  0"]
    assert histogram({}, 10) == []


def test_a_table_aligns_its_columns() -> None:
    assert table([["a", "10", "x"], ["bcd", "2", ""]], "lrl") == ["a    10  x", "bcd   2"]
    assert table([], "lr") == []


def test_blocks_stand_side_by_side() -> None:
    assert beside(["a", "b", "c"], ["1"], 4) == ["a   1", "b", "c"]
    assert beside([], ["1", "2"], 2) == ["  1", "  2"]


def test_text_is_wrapped_between_words_and_glue_holds() -> None:
    lines = paragraph("label", ", ".join(glued(f"number {number}") for number in range(20)))
    assert max(map(len, lines)) <= 80
    assert all(line.strip().startswith(("label", "number")) for line in lines)
    assert " ".join(" ".join(lines).split()) == "label " + ", ".join(f"number {number}" for number in range(20))
    assert paragraph("label", "") == ["label"]
    assert len(paragraph("label", "x" * 200)) == 1


def test_only_so_many_words_are_listed() -> None:
    assert words("tags", {"a": 3, "b": 2, "c": 1}, 2) == ["tags        a 3, b 2 and 1 more"]
    assert words("tags", {}) == ["tags        none"]


def test_descriptions_wrap_in_their_own_column() -> None:
    lines = described([("one", "1", "word " * 30), ("another", "20", "")])
    assert lines[0].startswith("one       1  word")
    assert lines[1].startswith(" " * 13 + "word")
    assert lines[-1] == "another  20"


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("a b c", "a b c"),
        ("two  spaces", "two spaces"),
        ("one two three four", "one two..."),
        ("x" * 30, "x" * 9 + "..."),
    ],
    ids=["short", "spaces", "cut between words", "one long word"],
)
def test_text_is_cut_between_words(text: str, short: str) -> None:
    assert shorten(text, 12) == short


def test_an_output_without_blocks_gets_signs_it_has() -> None:
    assert printable("██▌ é", "ascii") == "### ?"
    assert printable("██▌ é", "utf-8") == "██▌ é"
    assert printable("██▌", None) == "██▌"


@pytest.mark.parametrize(
    "steering", ["\x1b[2J", "\x1b]0;title\x07", "\x9b31m", "a\rb", "\x08", "\u202e", "\u2028", "\udcff"]
)
def test_what_is_printed_never_steers_the_terminal(steering: str, capsys: pytest.CaptureFixture[str]) -> None:
    with plain_output():
        print("name", steering)
        click.echo(f"name {steering}", err=True, color=True)  # as it does on a terminal
    out, err = capsys.readouterr()
    assert out == err
    assert out.removesuffix("\n").isprintable()
    assert json.loads(f'"{out.strip()}"') == f"name {steering}"


def test_bytes_do_not_pass_by_what_spells_them(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    with plain_output(), pytest.raises(TypeError):
        click.echo(b"name \xc2\x9b31m")
    assert capsysbinary.readouterr().out == b""


def test_bars_headings_and_letters_of_any_script_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    with plain_output():
        for text in ("\r 50 %", "again\r", "\x1b[1mSources\x1b[0m\n", "Zoë 人 🧑\u200d🦱\tا\n"):
            print(text, end="")
    assert capsys.readouterr().out == "\r 50 %again\r\x1b[1mSources\x1b[0m\nZoë 人 🧑\u200d🦱\tا\n"


def test_a_name_from_a_stranger_does_not_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "\x1b]0;title\x07\x1b[2J"
    one = row("coco-1", source=hostile, licence=hostile, origin=hostile, touching=[hostile], tags=[hostile])
    root = write_version(tmp_path / "people", [one], [drop("coco-2", "area", hostile)], name=hostile).root
    for asked in (["show"], ["show", "coco-1"], ["show", "coco-2"], ["diff", str(root)], ["check"], ["show", "--json"]):
        with pytest.raises(SystemExit):
            main([asked[0], str(root), *asked[1:]])
        said = "".join(capsys.readouterr())
        assert "title" in said or asked[0] != "show"
        assert not STEERING.search(said)


@pytest.mark.parametrize("closed", [1, 2])
def test_a_closed_stream_takes_what_is_printed_and_shows_nothing(closed: int) -> None:
    words = [sys.executable, "-m", "curate", "build", "--max-people", "1", "--dry-run"]
    done = subprocess.run(
        words, cwd=REPOSITORY, capture_output=True, text=True, check=False, preexec_fn=lambda: os.close(closed)
    )
    assert done.returncode == 0
    assert "error" not in done.stderr
