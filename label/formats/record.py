"""What every labelling tool's reader yields: labels by hand, and files it had to refuse."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from curate.checks import one_line
from curate.exports import MARKER
from curate.files import sha256_bytes, sha256_file
from curate.masks import SizeHW, Target


@dataclass(frozen=True)
class Options:
    """What the user says of an export; None: the format's own default.

    Attributes:
        person: Class names or values that are a person.
        ignore: Class names or values that are not counted.
        colours: A table of colours and class names, for masks whose classes are colours.
        image_list: A text file with an image's name in each line, for labels that are numbered.
    """

    person: tuple[str, ...] | None = None
    ignore: tuple[str, ...] | None = None
    colours: Path | None = None
    image_list: Path | None = None


class Maker(NamedTuple):
    """Who made a label: with which tool, by name, and when (ISO 8601, UTC); None where that is not known."""

    tool: str
    author: str | None = None
    time: str | None = None


@dataclass(frozen=True)
class Drawing:
    """A label as pixels.

    Attributes:
        target: (H, W) of 0, 128, 255; may show nobody.
        people: How many people it shows, None where the file cannot tell.
        found: What the file holds, for a message: `values 0, 15` or `shapes bus 2, car 1`.
        notes: What was taken in a way the user should know of, one clause each.
        lost: Why a person's shapes show nobody, where there are any and none does: `a line encloses nothing`.
    """

    target: Target
    people: int | None
    found: str
    notes: tuple[str, ...] = ()
    lost: str = ""


@dataclass(frozen=True)
class HandLabel:
    """One image's label as a tool exported it, not yet read further than its header.

    Attributes:
        file: The file it stands in.
        names: The names its image may be known by, as POSIX paths; every one that is known must mean the same sample.
        tool: What made it, with its version where the file says so.
        size_hw: Size in px of the raster it was drawn on; None where the file does not say.
        draw: The label at a given size. Raises FormatError or MismatchError.
        image: Its photograph where the export holds it at the tool's own place: the file, or the bytes embedded in the
            label; else None.
        place: Where in the file it stands, where that holds several: `image 3`.
        author: Who drew it, where the file says so.
        time: When it was drawn or last changed, as the file says: ISO 8601, UTC.
        ends_in: The number its image's name ends in, where that is all the file says of it.
        handed_in: Whether the file says that a person handed it in, and so looked at it.
    """

    file: Path
    names: tuple[str, ...]
    tool: str
    size_hw: SizeHW | None
    draw: Callable[[SizeHW], Drawing]
    image: Callable[[], Path | bytes | None]
    place: str = ""
    author: str | None = None
    time: str | None = None
    ends_in: int | None = None
    handed_in: bool = False

    @property
    def where(self) -> str:
        """The file and the place in it, for messages."""
        return printable(f"{self.file} at {self.place}" if self.place else str(self.file))

    def image_sha256(self) -> str | None:
        """Digest of its photograph's bytes; None where there is none, or it cannot be read."""
        found = self.image()
        try:
            return sha256_file(found) if isinstance(found, Path) else None if found is None else sha256_bytes(found)
        except OSError:
            return None

    def refused(self, problem: str) -> Refusal:
        """This label left out, and why."""
        return Refusal(self.file, f"{self.where}: {problem}")


@dataclass(frozen=True)
class Refusal:
    """A file, or one of its labels, that was left out; the message names it and says what to do, in one line."""

    file: Path
    message: str

    def __post_init__(self) -> None:
        """Names in files are not trusted."""
        object.__setattr__(self, "message", printable(self.message))


def printable(text: str) -> str:
    r"""The text with what would end the line, move the cursor or colour the terminal, or cannot be encoded, escaped.

    >>> print(printable("a\nb"), printable("\udcff.json"))
    a\nb \udcff.json
    """
    return text if text.isprintable() else one_line(text)


def files_under(path: Path) -> list[Path]:
    """The file `path`, or every file below the folder, sorted; hidden ones, macOS archives' and our marker aside."""
    if not path.is_dir():
        return [path]
    found: list[Path] = []
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__MACOSX")
        found += [Path(folder, name) for name in names if not name.startswith(".") and name != MARKER]
    return sorted(found)


def relative_name(file: Path, root: Path) -> str:
    """The file's POSIX path below `root` without its suffix; its stem where `root` is the file itself."""
    return (Path(file.name) if file == root else file.relative_to(root)).with_suffix("").as_posix()
