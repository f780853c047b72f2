"""Names of sources and samples."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import UsageError
from curate.sources import names


@pytest.mark.parametrize(
    ("text", "name", "path"),
    [
        ("a.json", None, "a.json"),
        ("street=a.json", "street", "a.json"),
        ("street=x/k=v/a.json", "street", "x/k=v/a.json"),
        ("x/k=v/a.json", None, "x/k=v/a.json"),
        ("../k=v", None, "../k=v"),
        ("two words=a", None, "two words=a"),
    ],
)
def test_a_name_is_split_off(text: str, name: str | None, path: str) -> None:
    assert names.split_name(text) == (name, path)


def test_a_path_that_exists_with_an_equals_sign_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "k=v").mkdir()
    assert names.split_name("k=v") == (None, "k=v")


def test_sources_of_a_kind_are_numbered_from_the_second_on() -> None:
    assert names.source_names("voc", [None, None, "mine", None]) == ["voc", "voc-2", "mine", "voc-4"]


@pytest.mark.parametrize(
    ("file_names", "keys"),
    [
        (["1.jpg", "2.jpg"], ["1", "2"]),
        (["a/1.jpg", "b/2.jpg"], ["1", "2"]),
        (["a/1.jpg", "b/1.jpg", "2.jpg"], ["a-1", "b-1", "2"]),
        (["a.b.jpg"], ["a.b"]),
        ([], []),
    ],
    ids=["plain", "folders", "stem twice", "dots", "none"],
)
def test_keys_are_stems_or_paths(file_names: list[str], keys: list[str]) -> None:
    assert names.sample_keys(file_names) == keys


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.lists(st.text(max_size=12) | st.sampled_from(["1.jpg", "a/1.jpg", "a-1.jpg", "1.png", "..", "/", ""])))
def test_keys_are_unique_and_safe_on_disk(file_names: list[str]) -> None:
    keys = names.sample_keys(file_names)
    assert len(set(keys)) == len(keys) == len(file_names)
    for key in keys:
        assert len(key.encode()) < 160
        assert all(letter.isalnum() or letter in "._-" for letter in key)


def test_a_long_name_is_cut_and_told_apart() -> None:
    one, other = names.safe_name("é" * 300 + "1"), names.safe_name("é" * 300 + "2")
    assert one != other
    assert len(one.encode()) < 140


def test_person_is_found_by_name_in_any_case_and_by_value() -> None:
    classes = {1: "Person", 15: "rider", 3: "dog"}
    assert names.person_classes(["person"], classes) == {1: "Person"}
    assert names.person_classes(["15", "PERSON"], classes) == {1: "Person", 15: "rider"}
    assert names.person_classes(["cat"], classes) == {}


def test_an_empty_list_of_words_is_refused() -> None:
    with pytest.raises(UsageError, match="--person: names or values are missing"):
        names.split_words(" , ")


def test_two_sources_of_one_name_are_refused() -> None:
    with pytest.raises(UsageError, match="2 sources are called 'mine'"):
        names.check_unique(["mine", "coco", "mine"])
