"""Finding photographs by the file name an annotation gives, under the folders the user named."""

from __future__ import annotations

import filecmp
import os
import stat
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from curate.errors import MissingError
from curate.images import IMAGE_SUFFIXES


def usual_folders(annotation: Path) -> list[Path]:
    """Where the images of a COCO file usually lie.

    For `X/annotations/instances_val2017.json`: `X/val2017`, `X/images/val2017`, `X/images`, `X`, `X/annotations`.
    """
    above = annotation.parent.parent if annotation.parent.name == "annotations" else annotation.parent
    split = annotation.stem.rpartition("_")[2]
    return [above / split, above / "images" / split, above / "images", above, annotation.parent]


class ImageFinder:
    """Finds image files under root folders.

    Args:
        roots: Folders, looked up in this order.
        walked: Folders walked, once, when the look-ups found nothing: those the user named.
        prefer: A folder name that settles which of two files of one name is meant (`val2017`).
    """

    def __init__(self, roots: Sequence[Path], walked: Sequence[Path] = (), prefer: str = "") -> None:
        self.roots, self.walked, self.prefer = [*walked, *roots], walked, prefer
        self._inside = Inside(self.roots)
        self._by_name: dict[str, list[Path]] | None = None

    def find(self, file_name: str) -> Path:
        """The file an annotation calls `file_name`.

        Raises:
            MissingError: None of the roots holds it, or several folders hold different files of this name.
        """
        relative = PurePosixPath(file_name.replace("\\", "/"))
        inside = not relative.is_absolute() and ".." not in relative.parts
        for root in self.roots:
            for candidate in (root / relative, root / self.prefer / relative) if inside else ():
                if exists(candidate):
                    return self._inside.check(candidate)
        return self._inside.check(self._find_below(relative.name, file_name))

    def _find_below(self, name: str, asked: str) -> Path:
        if self._by_name is None:
            self._by_name = index_images(self.walked)
        found = self._by_name.get(name, [])
        preferred = [path for path in found if path.parent.name == self.prefer] or found
        if not preferred:
            looked = ", ".join(map(str, self.walked or self.roots))
            raise MissingError(f"{asked}: not found under {looked}. Name its folder with --images")
        if len(preferred) > 1:
            raise MissingError(f"{asked}: could be {preferred[0]} or {preferred[1]}. Name one folder with --images")
        return preferred[0]


def rival_of(path: Path, roots: Sequence[Path]) -> Path | None:
    """Another photograph of a found one's name under a further root; None where there is none of other bytes."""
    own = next((root for root in roots if path.is_relative_to(root)), None)
    if own is None:
        return None
    others = [root / name for root in roots if root != own for name in (path.relative_to(own), path.name)]
    return next((other for other in others if differ(path, other)), None)


def differ(path: Path, other: Path) -> bool:
    """Whether a second file stands there, of other bytes, that can be read."""
    try:
        return other.is_file() and not filecmp.cmp(path, other, shallow=False)
    except (OSError, ValueError):
        return False


class Inside:
    """Tells whether the files of a source lie inside the folders the user named, wherever links lead.

    A folder from a stranger may hold links to any file of this machine, and what is linked would be taken into a
    dataset and sent around with it. Where a folder really lies is looked up once, so that a file costs one look.
    """

    def __init__(self, roots: Sequence[Path]) -> None:
        self._roots = list(roots)
        self._real_roots = tuple(os.path.realpath(root).rstrip(os.sep) + os.sep for root in roots)
        self._real_folders: dict[str, str] = {}

    def check(self, path: Path) -> Path:
        """The path itself, where the file it leads to lies inside one of the roots.

        Raises:
            MissingError: A link leads out of the roots.
        """
        folder, separator, name = str(path).rpartition(os.sep)
        folder += separator
        if folder not in self._real_folders:
            self._real_folders[folder] = os.path.realpath(folder)
        real = f"{self._real_folders[folder]}{os.sep}{name}"
        if name in ("", "..") or is_link(real):
            real = os.path.realpath(path)
        if real.startswith(self._real_roots):
            return path
        raise MissingError(
            f"{path}: is a link that leads out of {self._roots[0]}, to {real}. Copy the file, or name its folder"
        )


def is_link(path: str) -> bool:
    """Whether a link stands there."""
    try:
        return stat.S_ISLNK(os.lstat(path).st_mode)
    except (OSError, ValueError):
        return False


def exists(path: Path) -> bool:
    """Whether something stands there; a name no file system can hold does not."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def index_images(roots: Sequence[Path]) -> dict[str, list[Path]]:
    """Every image file below the roots by its file name, each file once, sorted."""
    paths = {
        Path(folder, name)
        for root in roots
        for folder, _, names in os.walk(root)
        for name in names
        if Path(name).suffix.lower() in IMAGE_SUFFIXES
    }
    by_name: dict[str, list[Path]] = {}
    for path in sorted(paths):
        by_name.setdefault(path.name, []).append(path)
    return by_name
