"""Links are followed inside the named folders only, wherever in a path they stand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from curate.errors import MissingError
from curate.sources.lookup import ImageFinder, Inside
from tests.curate.scenes import photo


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with a photo, beside one that nobody named."""
    photo(tmp_path / "root" / "store" / "a.jpg")
    photo(tmp_path / "elsewhere" / "secret.jpg")
    return tmp_path / "root"


def link(path: Path, to: str) -> Path:
    """A link at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(to)
    return path


def test_plain_files_and_links_inside_are_followed(root: Path) -> None:
    inside = Inside([root])
    for path in (
        root / "store" / "a.jpg",
        link(root / "b.jpg", "store/a.jpg"),
        link(root / "c.jpg", "b.jpg"),
        link(root / "d.jpg", str(root / "store" / "a.jpg")),
        link(root / "folder", "store") / "a.jpg",
        root / "not-there.jpg",
    ):
        assert inside.check(path) == path


@pytest.mark.parametrize("steps", ["../elsewhere/secret.jpg", "/etc/hostname", "store/../../elsewhere/secret.jpg"])
def test_a_link_out_is_refused_with_where_it_leads(root: Path, steps: str) -> None:
    path = link(root / "b.jpg", steps)
    leads = os.path.realpath(path)
    with pytest.raises(MissingError, match=rf"b\.jpg: is a link that leads out of .*root, to {leads}\. Copy the file"):
        Inside([root]).check(path)


def test_a_link_through_another_link_and_a_linked_folder_are_refused(root: Path) -> None:
    link(root / "first.jpg", "../elsewhere/secret.jpg")
    with pytest.raises(MissingError, match="leads out"):
        Inside([root]).check(link(root / "second.jpg", "first.jpg"))
    with pytest.raises(MissingError, match="leads out"):
        Inside([root]).check(link(root / "folder", "../elsewhere") / "secret.jpg")
    with pytest.raises(MissingError, match="leads out"):
        Inside([root]).check(root / ".." / "elsewhere" / "secret.jpg")
    with pytest.raises(MissingError, match="leads out"):
        Inside([root]).check(root / "store" / "..")


def test_a_sibling_that_begins_with_the_roots_name_is_outside(root: Path) -> None:
    photo(root.with_name("root-2") / "a.jpg")
    with pytest.raises(MissingError, match="leads out"):
        Inside([root]).check(link(root / "b.jpg", "../root-2/a.jpg"))


def test_any_of_several_roots_will_do_and_a_root_may_be_a_link_itself(root: Path) -> None:
    path = link(root / "b.jpg", "../elsewhere/secret.jpg")
    assert Inside([root, root.parent / "elsewhere"]).check(path) == path
    named = link(root.parent / "named", "root")
    assert Inside([named]).check(named / "store" / "a.jpg")


def test_relative_roots_and_paths_are_understood(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    assert Inside([Path()]).check(Path("store/a.jpg"))
    assert Inside([Path("store")]).check(Path("store/a.jpg"))
    assert Inside([Path("/")]).check(Path("/etc"))
    with pytest.raises(MissingError, match="leads out"):
        Inside([Path("store")]).check(Path("a.jpg"))


def test_the_finder_of_coco_photos_follows_links_inside_only(root: Path) -> None:
    link(root / "in.jpg", "store/a.jpg")
    link(root / "out.jpg", "../elsewhere/secret.jpg")
    finder = ImageFinder([root], walked=[root])
    assert finder.find("in.jpg") == root / "in.jpg"
    for name in ("out.jpg", "somewhere/out.jpg"):
        with pytest.raises(MissingError, match="leads out"):
            finder.find(name)
