"""Where the photograph of a label lies: at the tool's own place, elsewhere in the export, or in a folder named."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from curate.errors import FormatError
from curate.files import readable_faults, sha256_file
from curate.images import IMAGE_SUFFIXES
from curate.sources.lookup import Inside
from label.formats.record import HandLabel, files_under
from label.match import NUMBER, base, origins_of, without_suffix

DRAWN = "Segmentation"
"""How VOC's folders of masks begin, in which pictures are no photographs."""
MAGIC = {b"\xff\xd8\xff": ".jpg", b"\x89PNG": ".png", b"RIFF": ".webp", b"BM": ".bmp", b"GIF8": ".gif"}
"""What the bytes of an embedded image begin with."""


class Place(NamedTuple):
    """A file, and its path in the folder it was found in, POSIX."""

    file: Path
    name: str


class Photo(NamedTuple):
    """A photograph: its file, what it is called, a POSIX path, and the digest of its bytes."""

    file: Path
    name: str
    sha256: str


@dataclass(frozen=True)
class Photographs:
    """The photographs of an export's labels.

    Attributes:
        export: The export, a folder or a file.
        folders: Folders beside it that the user named.
        masks: Suffixes (lower case) of the export's own labels: such a file of it is no photograph.
        spool: Where embedded images are written.
    """

    export: Path
    folders: Sequence[Path]
    masks: Collection[str]
    spool: Path

    def of(self, label: HandLabel, number: int) -> Photo | None:
        """The photograph of a label, the export's `number`th; None where there is none.

        Raises:
            FormatError: Several may be meant.
            MissingError, MachineError: It is a link that leads out of its folder, or cannot be read.
        """
        place = self._own(label, number) or self._elsewhere(label)
        if place is None:
            return None
        with readable_faults(place.file):
            return Photo(*place, sha256_file(place.file))

    def _own(self, label: HandLabel, number: int) -> Place | None:
        """The photograph that the tool put beside or into the label."""
        found = label.image()
        if found is None:
            return None
        if isinstance(found, bytes):
            suffix = next((suffix for magic, suffix in MAGIC.items() if found.startswith(magic)), ".img")
            file = self.spool / f"{number}{suffix}"
            file.write_bytes(found)
            return Place(file, base(label.names[0]))
        Inside([Path(os.path.commonpath([label.file, found]))]).check(found)
        inside = self.export.is_dir() and found.is_relative_to(self.export)
        return Place(found, (found.relative_to(self.export) if inside else Path(found.name)).as_posix())

    def _elsewhere(self, label: HandLabel) -> Place | None:
        """The one photograph that a label can mean by its names, taken in turn, or by its number."""
        if label.ends_in is not None:
            meant = [one for one in self._all if ends_in(one.name) == label.ends_in]
        else:
            names = [*label.names, *(origin for name in label.names for origin in origins_of(name))]
            meant = next((found for name in names if (found := self._called(name))), [])
        if len(meant) > 1:
            problem = f"its photograph may be {meant[0].file} or {meant[1].file}. Leave one out"
            raise FormatError(label.file, problem, label.place)
        for place in meant:
            Inside(self._roots).check(place.file)
        return meant[0] if meant else None

    def _called(self, name: str) -> list[Place]:
        """The photographs of a name: of this suffix where there are any, and in the folders most like its own."""
        same_stem = self._by_stem.get(without_suffix(base(name)), [])
        found = [one for one in same_stem if one.file.name == base(name)] or same_stem
        likeness = [common_end(folders_of(name), folders_of(one.name)) for one in found]
        return [one for one, alike in zip(found, likeness, strict=True) if alike == max(likeness)]

    @property
    def _roots(self) -> list[Path]:
        return [self._home, *self.folders]

    @property
    def _home(self) -> Path:
        return self.export if self.export.is_dir() else self.export.parent

    @cached_property
    def _all(self) -> list[Place]:
        """The photographs of all folders, each once: the folders may lie in each other."""
        found: dict[Path, Place] = {}
        for root in self._roots:
            there = root.resolve()
            for file in self._files(root):
                if file.suffix.lower() in IMAGE_SUFFIXES and not (root == self._home and self._is_mask(file)):
                    name = file.relative_to(root)
                    found.setdefault(there / name, Place(file, name.as_posix()))
        return list(found.values())

    def _files(self, root: Path) -> list[Path]:
        """All files below a folder, but only those beside a label that was named by itself."""
        beside = root == self._home != self.export and root not in self.folders
        return sorted(filter(Path.is_file, root.iterdir())) if beside else files_under(root)

    def _is_mask(self, file: Path) -> bool:
        folders = file.relative_to(self._home).parts[:-1]
        return file.suffix.lower() in self.masks or any(folder.startswith(DRAWN) for folder in folders)

    @cached_property
    def _by_stem(self) -> dict[str, list[Place]]:
        by_stem = defaultdict(list)
        for one in self._all:
            by_stem[without_suffix(one.file.name)].append(one)
        return by_stem


def ends_in(name: str) -> int | None:
    """The number a file's name ends in, None where it ends in none.

    >>> ends_in("photos/image_007.jpg"), ends_in("a.jpg")
    (7, None)
    """
    number = NUMBER.search(without_suffix(name))
    return int(number[0]) if number else None


def folders_of(name: str) -> list[str]:
    """The folders of a POSIX path.

    >>> folders_of("../photos/a/1.jpg")
    ['photos', 'a']
    """
    return [part for part in name.split("/")[:-1] if part not in ("", ".", "..")]


def common_end(one: Sequence[str], other: Sequence[str]) -> int:
    """How many folders two paths have in common, counted from the last.

    >>> common_end(["a", "train"], ["images", "train"])
    1
    """
    pairs = zip(reversed(one), reversed(other), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
