"""Zips in place of folders: read, or refused before a byte is written."""

from __future__ import annotations

import copy
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from curate.errors import FormatError
from curate.images import target_png
from curate.masks import PERSON, SizeHW
from label.importing import Request, import_labels
from tests.label.making import Photo, make_dataset

SIZE: SizeHW = (30, 40)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"../a.json": b"{}"}, "leads out of its folder"),
        ({"/etc/a.json": b"{}"}, "leads out of its folder"),
        ({"a.json": b"0" * 50_000_000}, "looks like a bomb"),
        ({"a/b.json": b"{}", "a\\b.json": b"[]"}, "stands twice"),
    ],
)
def test_a_hostile_zip_is_refused(entries: dict[str, bytes], words: str, tmp_path: Path) -> None:
    parent = make_dataset(tmp_path / "one", {"pairs-photo": Photo(np.full(SIZE, PERSON, np.uint8))})
    archive = tmp_path / "export.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in entries.items():
            opened.writestr(name, content)
    with pytest.raises(FormatError, match=words):
        import_labels(parent, tmp_path / "two", Request(archive))
    assert not (tmp_path / "two").exists()


def test_a_link_in_a_zip_and_a_torn_zip_are_refused(tmp_path: Path) -> None:
    parent = make_dataset(tmp_path / "one", {"pairs-photo": Photo(np.full(SIZE, PERSON, np.uint8))})
    archive = tmp_path / "export.zip"
    link = zipfile.ZipInfo("a.json")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr(link, "/etc/passwd")
    with pytest.raises(FormatError, match="is a link"):
        import_labels(parent, None, Request(archive))
    archive.write_bytes(b"no zip")
    with pytest.raises(FormatError, match="is a damaged zip"):
        import_labels(parent, None, Request(archive))
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("a.json", b"[" * 100)
    torn = bytearray(archive.read_bytes())
    torn[40:60] = b"x" * 20
    archive.write_bytes(bytes(torn))
    with pytest.raises(FormatError, match="is a damaged zip"):
        import_labels(parent, None, Request(archive))


def test_a_zip_is_unpacked_beside_the_new_version_where_the_next_import_clears_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))  # which is not there
    parent = make_dataset(tmp_path / "one", {"pairs-photo": Photo(np.full(SIZE, PERSON, np.uint8))})
    half = np.where(np.arange(SIZE[1]) < 20, np.uint8(255), np.zeros(SIZE, np.uint8))
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as opened:
        opened.writestr("pairs-photo.png", target_png(half))
    (tmp_path / ".two.masks" / "unpacked").mkdir(parents=True)  # left by an import that was killed
    assert list(import_labels(parent, tmp_path / "two", Request(tmp_path / "export.zip")).intake.edited)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["export.zip", "one", "two"]


def test_entries_that_share_their_bytes_count_as_often_as_they_stand(tmp_path: Path) -> None:
    """Overlapping entries: a few kB once, which the directory names a thousand times."""
    parent = make_dataset(tmp_path / "one", {"pairs-photo": Photo(np.full(SIZE, PERSON, np.uint8))})
    archive = tmp_path / "export.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("0.json", b"0" * 1_000_000)
        (entry,) = opened.infolist()
        for number in range(1, 1000):
            again = copy.copy(entry)
            again.filename = f"{number}.json"
            opened.filelist.append(again)
    with pytest.raises(FormatError, match=r"holds 1000 files of 1000000000 bytes in .*, which looks like a bomb"):
        import_labels(parent, None, Request(archive))


def test_a_zip_in_a_zip_stays_one(tmp_path: Path) -> None:
    parent = make_dataset(tmp_path / "one", {"pairs-photo": Photo(np.full(SIZE, PERSON, np.uint8))})
    archive, inner = tmp_path / "export.zip", tmp_path / "inner.zip"
    with zipfile.ZipFile(inner, "w") as opened:
        opened.writestr("photo.png", target_png(np.full(SIZE, PERSON, np.uint8)))
    with zipfile.ZipFile(archive, "w") as opened:
        opened.write(inner, "inner.zip")
    with pytest.raises(FormatError, match="no label"):
        import_labels(parent, None, Request(archive))


def test_entities_in_the_very_first_tag_unfold_to_nothing(tmp_path: Path) -> None:
    """To tell the format, an XML file is opened and read as far as its root."""
    parent = make_dataset(tmp_path / "one", {"pairs-photo": Photo(np.full(SIZE, PERSON, np.uint8))})
    parts = [f'<!ENTITY a{level} "{f"&a{level - 1};" * 10}">' for level in range(1, 10)]
    bomb = f'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a0 "{"a" * 999}">{"".join(parts)}]><annotations v="&a9;"/>'
    (tmp_path / "annotations.xml").write_text(bomb)
    begun = time.process_time()
    with pytest.raises(FormatError):
        import_labels(parent, None, Request(tmp_path / "annotations.xml"))
    assert time.process_time() - begun < 5
