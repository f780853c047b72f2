"""Walking folders and reading lists: links, hidden files, odd names and odd encodings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from curate.errors import FormatError, MissingError
from curate.sources.folders import files_below, files_in, name_problem, printable, read_lines, read_text_bytes

JPG = frozenset({".jpg"})


def touch(path: Path) -> Path:
    """An empty file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_files_come_sorted_with_their_relative_paths_and_hidden_ones_are_passed_over(tmp_path: Path) -> None:
    for name in ("b.jpg", "a/2.JPG", "a/1.jpg", "a/1.txt", "._1.jpg", ".cache/3.jpg", "noending"):
        touch(tmp_path / name)
    assert files_below(tmp_path, JPG).files == ["a/1.jpg", "a/2.JPG", "b.jpg"]
    assert files_in(tmp_path / "a", JPG) == {"1": ["1.jpg"], "2": ["2.JPG"]}
    assert files_in(tmp_path / "none", JPG) == {}


def test_files_of_other_kinds_are_noted(tmp_path: Path) -> None:
    for name in ("1.jpg", "a/2.heic", "3.avif", ".DS_Store", "a/Thumbs.db", "desktop.ini", ".cache/4.heic"):
        touch(tmp_path / name)
    notes = files_below(tmp_path, JPG).notes
    assert {note.what for note in notes} == {"files are of other kinds and were not looked at"}
    assert sorted(note.where for note in notes) == [str(tmp_path / name) for name in ("3.avif", "a/2.heic")]


def test_linked_folders_are_named_and_not_searched(tmp_path: Path) -> None:
    touch(tmp_path / "in" / "1.jpg")
    (tmp_path / "in" / "again").symlink_to(".")
    (tmp_path / "in" / "out").symlink_to("..")
    walk = files_below(tmp_path / "in", JPG)
    assert walk.files == ["1.jpg"]
    assert sorted(Path(note.where).name for note in walk.notes) == ["again", "out"]
    assert "not searched" in walk.notes[0].what


def test_a_folder_called_like_a_file_is_a_file_that_is_looked_at(tmp_path: Path) -> None:
    touch(tmp_path / "1.jpg" / "2.jpg")
    assert files_below(tmp_path, JPG).files == ["1.jpg", "1.jpg/2.jpg"]


def test_a_folder_can_be_left_out(tmp_path: Path) -> None:
    touch(tmp_path / "1.jpg")
    touch(tmp_path / "masks" / "1.jpg")
    assert files_below(tmp_path, JPG, without=tmp_path / "a" / ".." / "masks").files == ["1.jpg"]


def test_a_folder_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    touch(tmp_path / "1.jpg")
    shut = tmp_path / "shut"
    shut.mkdir(mode=0)
    if os.access(shut, os.R_OK):
        pytest.skip("this user opens every folder")
    walk = files_below(tmp_path, JPG)
    assert walk.files == ["1.jpg"]
    assert "cannot be opened" in walk.notes[0].what


def test_where_the_folder_itself_cannot_be_opened_nothing_passes_for_its_files(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="gone"):
        files_below(tmp_path / "gone", JPG)


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"a\r\nb", ["a", "b"]),
        (b"\xef\xbb\xbfa\n", ["a"]),
        ("a\nä\n".encode("utf-16"), ["a", "ä"]),
        (b"\xff\n\x00", ["\ufffd", "\0"]),
    ],
    ids=["empty", "windows", "utf-8 with a mark", "utf-16", "bytes"],
)
def test_lists_are_read_in_any_encoding(tmp_path: Path, content: bytes, lines: list[str]) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    assert read_lines(tmp_path / "a.txt") == lines


def test_pipes_folders_and_endless_files_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(MissingError, match="not a regular file"):
            read_text_bytes(path)
    (tmp_path / "long").write_bytes(b"12345")
    with pytest.raises(FormatError, match="has 5 bytes; no more than 4 are read"):
        read_text_bytes(tmp_path / "long", 4)


def test_a_name_that_no_table_can_hold_is_said(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff.jpg")
    assert printable(name) == r"\udcff.jpg"
    assert name_problem(name) == r"\udcff.jpg: the name is not UTF-8. Rename the file"
    assert name_problem("ä.jpg") is None
