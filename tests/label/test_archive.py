"""Zips in place of folders: read, or refused before a byte is written."""

from __future__ import annotations

import tempfile
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
