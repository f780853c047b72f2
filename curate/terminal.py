"""Tables and bars of text for a terminal of 80 columns; plain characters, no colours, and none that steer it."""

from __future__ import annotations

import os
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

WIDTH, LABEL = 80, 12
GLUE = "\u00a0"
EIGHTHS = " ▏▎▍▌▋▊▉"
FULL = "█"


@dataclass(frozen=True)
class Section:
    """A heading and the lines below it."""

    heading: str
    lines: Sequence[str]


def table(rows: Sequence[Sequence[str]], align: str) -> list[str]:
    """Rows of cells as lines with two spaces between the columns; none without rows.

    Args:
        rows: Cells, as many in each row as `align` has letters.
        align: `l` or `r` for each column.

    >>> table([["a", "1"], ["bcd", "23"]], "lr")
    ['a     1', 'bcd  23']
    """
    if not rows:
        return []
    widths = [max(len(row[column]) for row in rows) for column in range(len(align))]
    aligned = [
        [f"{cell:{'>' if side == 'r' else '<'}{width}}" for cell, side, width in zip(row, align, widths, strict=True)]
        for row in rows
    ]
    return ["  ".join(cells).rstrip() for cells in aligned]


def bar(share: float, width: int) -> str:
    """A bar of `share` (0 to 1) times `width` characters, in eighths; anything above 0 leaves a trace.

    >>> bar(0.5, 3), bar(0, 3), bar(1e-6, 3)
    ('█▌', '', '▏')
    """
    eighths = max(round(share * width * 8), 1) if share > 0 else 0
    return (FULL * (eighths // 8) + EIGHTHS[eighths % 8]).rstrip()


def histogram(counts: Mapping[str, int], width: int) -> list[str]:
    """A line for each bin: label, count, bar; the largest count has a bar of `width` characters."""
    most = max(counts.values(), default=0)
    rows = [[label, f"{count:,}", bar(count / most if most else 0, width)] for label, count in counts.items()]
    return table(rows, "rrl")


def beside(left: Sequence[str], right: Sequence[str], at: int) -> list[str]:
    """Two blocks of lines side by side, the right one from column `at` on."""
    height = max(len(left), len(right))
    pairs = zip([*left, *[""] * (height - len(left))], [*right, *[""] * (height - len(right))], strict=True)
    return [f"{one:<{at}}{other}".rstrip() for one, other in pairs]


def words(label: str, counts: Mapping[str, int], most: int = 12) -> list[str]:
    """`label  one 3, other 2` in as many lines as it takes; of more than `most` the rest is counted."""
    parts = [glued(f"{name} {count:,}") for name, count in list(counts.items())[:most]]
    more = len(counts) - len(parts)
    text = ", ".join(parts) + (f" and {more} more" if more else "")
    return paragraph(label, text or "none")


def paragraph(label: str, text: str) -> list[str]:
    """A text beside its label, wrapped."""
    return wrapped(f"{label:<{LABEL}}", text)


def described(rows: Sequence[tuple[str, str, str]]) -> list[str]:
    """Label, count and words about them, the words wrapped in a column of their own."""
    heads = table([[label, count] for label, count, _ in rows], "lr")
    indent = max(map(len, heads), default=0) + 2
    return [line for head, row in zip(heads, rows, strict=True) for line in wrapped(f"{head:<{indent}}", row[2])]


def wrapped(head: str, text: str) -> list[str]:
    """A head and the text beside it, wrapped at WIDTH; words longer than a line stay whole."""
    room = max(WIDTH - len(head), LABEL)
    lines = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]
    indents = [head, *[" " * len(head)] * (len(lines) - 1)]
    return [f"{indent}{line}".replace(GLUE, " ").rstrip() for indent, line in zip(indents, lines, strict=True)]


def glued(text: str) -> str:
    """The text with its words kept on one line by `wrapped`."""
    return text.replace(" ", GLUE)


def shorten(text: str, width: int) -> str:
    """The text in one line of at most `width` characters, cut off between words where there are any.

    >>> shorten("shows 5 people, more than 2", 18)
    'shows 5 people,...'
    """
    text = " ".join(text.split())
    if len(text) <= width:
        return text
    cut, after = text[: width - 3], text[width - 3]
    return (cut[: cut.rindex(" ")] if " " in cut and after != " " else cut).rstrip() + "..."


def counted(number: int, noun: str) -> str:
    """A number with its noun.

    >>> counted(1, "image"), counted(1200, "image")
    ('1 image', '1,200 images')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def percent(share: float) -> str:
    """A share for a column of them; what is neither nothing nor all never looks like it.

    >>> percent(0.2), percent(0), percent(0.0001), percent(0.99999)
    ('20.0 %', '0.0 %', '<0.1 %', '>99.9 %')
    """
    if 0 < share < 0.0005:
        return "<0.1 %"
    return ">99.9 %" if 0.9995 <= share < 1 else f"{100 * share:.1f} %"


def value_words(value: object) -> str:
    """A value as a user would write it.

    >>> value_words(["person", "rider"]), value_words({"coco": 10}), value_words(None), value_words(0.2)
    ('person,rider', 'coco=10', 'none', '0.2')
    """
    if isinstance(value, dict):
        value = [f"{key}={value_words(one)}" for key, one in value.items()]
    if isinstance(value, list | tuple):
        return ",".join(map(value_words, value)) or "none"
    return "none" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def without_folders(detail: str) -> str:
    """A reason with the file's name alone.

    >>> without_folders("/data/masks/7.png: expected 3x4 (HxW)")
    '7.png: expected 3x4 (HxW)'
    """
    return re.sub(r"\S*/(?=\S)", "", detail)


def printable(text: str, encoding: str | None) -> str:
    """The text for an output of this encoding: bars of '#' where it has no blocks, '?' for what else it lacks."""
    try:
        text.encode(encoding or "utf-8")
        return text
    except (UnicodeEncodeError, LookupError):
        known = text.translate({ord(block): "#" for block in EIGHTHS[1:] + FULL})
        return known.encode("ascii", "replace").decode()


STEERING = re.compile(
    r"(?!\x1b\[[01]m)" "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""What moves the cursor, colours, sets titles, turns writing round or is no text; tab, line feed and bold aside."""


def spelt(text: str) -> str:
    r"""The text with what would steer a terminal spelt out, as JSON spells it, so that JSON stays what it is.

    >>> print(spelt("a\x1b[2Jb"), spelt("\udcff.jpg"))
    a\u001b[2Jb \udcff.jpg
    """
    return STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


_shown: dict[str, str] = {}


def shown_as(path: str, name: str) -> None:
    """Print a path in the cache from now on by the name that the user gave it."""
    _shown[path] = name


def renamed(text: str) -> str:
    """The text with such paths by their names, those inside others first."""
    for path in sorted(_shown, key=len, reverse=True):
        text = text.replace(path, _shown[path])
    return text


class Plain:
    """A text stream to which all is written as `spelt` has it, with paths as `shown_as` has them.

    A carriage return that a text begins or ends with passes: it is where a bar of another library is drawn anew.
    """

    buffer = None
    """Bytes have no way past `write`."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write the text; the number of its characters."""
        inner = text.strip("\r")
        start = text.index(inner)
        self.stream.write(text[:start] + spelt(renamed(inner)) + text[start + len(inner) :])
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write the lines."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def plain_output() -> Iterator[None]:
    """Nothing that is printed steers the terminal: names, licences and notes may be a stranger's.

    A stream that is closed, which Python has as None, takes all and shows nothing.
    """
    before = sys.stdout, sys.stderr
    with Path(os.devnull).open("w") as nowhere:
        sys.stdout, sys.stderr = (Plain(stream or nowhere) for stream in before)
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before
            _shown.clear()


def unspelt_stderr() -> TextIO:
    """Where our own bars are drawn."""
    return sys.stderr.stream if isinstance(sys.stderr, Plain) else sys.stderr
