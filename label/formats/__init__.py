"""One module per labelling tool; each says whether a path is its own and reads it into masks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from curate.errors import FormatError, UsageError
from curate.exports import read_marker
from label.formats import coco, cvat, datumaro, labelme, labelstudio, matlab, png, supervisely, via, voc, yolo
from label.formats.reading import check_whole, some_of
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


FORMATS: dict[str, Format] = {
    "png": png,
    "matlab": matlab,
    "voc": voc,
    "labelme": labelme,
    "cvat": cvat,
    "labelstudio": labelstudio,
    "via": via,
    "yolo": yolo,
    "coco": coco,
    "supervisely": supervisely,
    "datumaro": datumaro,
}
TAKING = {"--image-list": ("matlab",), "--colours": ("png", "voc")}
"""The formats that an option is for, where it is not for all."""
OF_MASKS = ("matlab", "voc")
"""Formats whose files are PNG masks too."""


def detect_format(path: Path) -> str:
    """The name of the one format whose files lie at `path`, told from their content.

    Raises:
        FormatError: None of the formats known, or more than one, so that it must be said which is meant; or a JSON file
            that was cut off.
    """
    marker = read_marker(path)
    if marker is not None and marker.export == "label png" and not any(path.glob("masks/*")):
        raise FormatError(
            path, "is an export of curate to which nobody has added a mask yet. Put them into its `masks`"
        )
    found = [name for name, module in FORMATS.items() if module.detect(path)]
    if "png" in found and len(found) > 1 and (set(found) & set(OF_MASKS) or not png.has_masks(path)):
        found.remove("png")
    if not found or found == ["png"]:
        for file in some_of(path, ".json"):
            check_whole(file)
    kinds = kinds_of(path)
    held = named(kinds) or "nothing"
    if len(found) > 1 or (found == ["png"] and ".json" in kinds):
        choice = " or ".join(found)
        raise FormatError(path, f"holds {held}: more than one kind of label. Choose one with --format {choice}")
    if not found:
        told = f"holds {held}, and no label of a format known: {', '.join(FORMATS)}"
        raise FormatError(path, f"{told}. If it is one of these, --format NAME says what is wrong with it")
    return found[0]


def read_labels(path: Path, name: str, options: Options) -> Iterator[HandLabel | Refusal]:
    """The labels at `path`, read as format `name`.

    Raises:
        UsageError: An option is for other formats.
        UsageError, FormatError: As `Format.read`.
    """
    for option, given in (("--image-list", options.image_list), ("--colours", options.colours)):
        if given is not None and name not in TAKING[option]:
            told = f"{option}: is for {' and '.join(TAKING[option])} alone, and these labels are {name}"
            raise UsageError(f"{told}. Leave it out")
    return FORMATS[name].read(path, options)


def kinds_of(path: Path) -> Counter[str]:
    """How many files of each suffix (lower case) lie at `path`."""
    return Counter(file.suffix.lower() for file in files_under(path))


def named(kinds: Counter[str]) -> str:
    """`1 .jpg, 3 .json and 2 .png files`; empty for none."""
    parts = [f"{count} {suffix or 'suffixless'}" for suffix, count in sorted(kinds.items())]
    listed = " and ".join(([", ".join(parts[:-1])] if parts[:-1] else []) + parts[-1:])
    return f"{listed} file{'s' if sum(kinds.values()) != 1 else ''}" if parts else ""
