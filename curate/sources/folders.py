"""The files of a folder by name, found without following a link out of it or round in circles."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from curate.errors import FormatError
from curate.files import check_regular
from curate.sources import Note
from curate.sources.names import without_suffix

MOST_LIST_BYTES = 2**26
"""A list of a million images has a fifth of it; what is longer is something else."""
OTHER = "files are of other kinds and were not looked at"
BY_SYSTEM = frozenset({"thumbs.db", "desktop.ini"})
"""Files that Windows lays into folders of photographs."""
OURS = "folders are datasets of ours and were not searched; choose among their images with --from"
DATASET = frozenset({"dataset.json", "samples.parquet"})
"""Files by which a dataset is known; the first alone may be another tool's."""
LINKED = "folders are links and were not searched; name each as a source of its own"


@dataclass(frozen=True)
class Walk:
    """The files below a folder, sorted, as paths relative to it with slashes; and what was not searched."""

    files: list[str]
    notes: list[Note]

    def note_closed(self, folder: Path, error: OSError) -> None:
        """Note a folder that cannot be opened; `folder` itself is what was asked for."""
        if Path(error.filename) == folder:
            raise error
        self.notes.append(Note("folders cannot be opened and were not searched", printable(str(error.filename))))


def files_below(folder: Path, suffixes: frozenset[str], without: Path | None = None) -> Walk:
    """The files below a folder with one of the suffixes; others are noted, hidden files and folders passed over.

    A folder called like a file (`1.jpg/`) is among them, and searched too; linked folders and datasets of ours, whose
    masks would be taken for photographs, are not searched.

    Args:
        folder: Where to look.
        suffixes: Lower-case endings with their dot.
        without: A folder that is not searched.

    Raises:
        OSError: `folder` itself cannot be opened.
    """
    walk = Walk([], [])
    barred = without.resolve() if without else None
    for place, folders, names in os.walk(folder, onerror=partial(walk.note_closed, folder)):
        at = Path(place).relative_to(folder).as_posix() + "/"
        at = "" if at == "./" else at
        if DATASET.issubset(names):
            walk.notes.append(Note(OURS, printable(place)))
            folders.clear()
            continue
        folders[:] = [name for name in folders if not name.startswith(".") and Path(place, name).resolve() != barred]
        walk.files.extend(f"{at}{name}" for name in (*names, *folders) if is_one_of(name, suffixes))
        others = [name for name in names if not (is_one_of(name, suffixes) or is_by_system(name))]
        walk.notes.extend(Note(OTHER, printable(f"{folder}/{at}{name}")) for name in others)
        linked = [f"{folder}/{at}{name}" for name in folders if Path(place, name).is_symlink()]
        walk.notes.extend(Note(LINKED, printable(path)) for path in linked)
    walk.files.sort()
    return walk


def files_in(folder: Path, suffixes: frozenset[str]) -> dict[str, list[str]]:
    """The names of the files in a folder by their stem, sorted; none where there is no such folder."""
    found: dict[str, list[str]] = {}
    for name in sorted(path.name for path in folder.iterdir()) if folder.exists() else ():
        if is_one_of(name, suffixes):
            found.setdefault(without_suffix(name), []).append(name)
    return found


def is_one_of(name: str, suffixes: frozenset[str]) -> bool:
    """Whether a file name is not hidden and ends like this.

    >>> is_one_of("1.JPG", frozenset({".jpg"})), is_one_of("._1.jpg", frozenset({".jpg"}))
    (True, False)
    """
    return not name.startswith(".") and PurePosixPath(name).suffix.lower() in suffixes


def is_by_system(name: str) -> bool:
    """Whether a file is hidden, or one that no user made."""
    return name.startswith(".") or name.casefold() in BY_SYSTEM


def read_text_bytes(path: Path, most_bytes: int = MOST_LIST_BYTES) -> bytes:
    """The bytes of a list or an annotation.

    Raises:
        MissingError: No regular file stands there.
        FormatError: It has more than `most_bytes`.
    """
    check_regular(path)
    found = path.stat().st_size
    if found > most_bytes:
        raise FormatError(path, f"has {found} bytes; no more than {most_bytes} are read")
    return path.read_bytes()


def read_lines(path: Path) -> list[str]:
    """The lines of a text in UTF-8 or, where its first bytes say so, UTF-16; bytes that are neither become marks.

    Raises:
        MissingError, FormatError: As `read_text_bytes`.
    """
    data = read_text_bytes(path)
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    return data.decode(encoding, "replace").splitlines()


def printable(text: str) -> str:
    r"""The text with those bytes of a file name escaped that are no UTF-8, which no table and no JSON can hold.

    >>> printable("a\udcff")
    'a\\udcff'
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def name_problem(name: str) -> str | None:
    """What is wrong with a file's name itself, or None.

    >>> name_problem("1.jpg") is None
    True
    """
    return None if printable(name) == name else f"{printable(name)}: the name is not UTF-8. Rename the file"
