"""One module per labelling tool; each says whether a path is its own and reads it into masks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from curate.errors import FormatError, MissingError
from label.formats import labelme, png
from label.formats.record import HandLabel, Options, Refusal, files_under


class Format(Protocol):
    """What a module of this package has."""

    @property
    def SUFFIXES(self) -> tuple[str, ...]:  # noqa: N802
        """Of its label files, lower case."""

    def detect(self, path: Path) -> bool:
        """Whether labels of this format lie at `path`, told from their content."""

    def read(self, path: Path, options: Options) -> Iterator[HandLabel | Refusal]:
        """The labels at `path`.

        Raises:
            UsageError: An option is not what this format can select by.
            FormatError: There is no file of this format.
        """


FORMATS: dict[str, Format] = {"png": png, "labelme": labelme}
KNOWN = "PNG masks (png), LabelMe JSON (labelme)"


def detect_format(path: Path) -> str:
    """The name of the one format whose files lie at `path`, told from their content.

    Raises:
        MissingError: Nothing is there.
        FormatError: None of the formats known, or more than one, so that it must be said which is meant.
    """
    if not path.exists():
        raise MissingError(f"{path}: no such file or folder. Check the path of the labels")
    found = [name for name, module in FORMATS.items() if module.detect(path)]
    kinds = kinds_of(path)
    if len(found) > 1 or (found == ["png"] and ".json" in kinds):
        raise FormatError(
            path, f"holds {named(kinds)}: more than one kind of label. Choose one with --format {' or '.join(FORMATS)}"
        )
    if not found:
        raise FormatError(path, f"holds {named(kinds) or 'nothing'}, and no label of a format known: {KNOWN}")
    return found[0]


def read_labels(path: Path, name: str, options: Options) -> Iterator[HandLabel | Refusal]:
    """The labels at `path`, read as format `name`.

    Raises:
        MissingError: Nothing is there.
        UsageError, FormatError: As `Format.read`.
    """
    if not path.exists():
        raise MissingError(f"{path}: no such file or folder. Check the path of the labels")
    return FORMATS[name].read(path, options)


def kinds_of(path: Path) -> Counter[str]:
    """How many files of each suffix (lower case) lie at `path`."""
    return Counter(file.suffix.lower() for file in files_under(path))


def named(kinds: Counter[str]) -> str:
    """`1 .jpg, 3 .json and 2 .png files`; empty for none."""
    parts = [f"{count} {suffix or 'suffixless'}" for suffix, count in sorted(kinds.items())]
    listed = " and ".join(([", ".join(parts[:-1])] if parts[:-1] else []) + parts[-1:])
    return f"{listed} file{'s' if sum(kinds.values()) != 1 else ''}" if parts else ""
