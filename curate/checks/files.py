"""Whether the files of a dataset version are those its rows tell of: there, unchanged, and as the rows say."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from curate import masks
from curate.checks import REBUILD, Finding
from curate.choosing.duplicates import signature
from curate.classes import FOLDER as CLASSES
from curate.classes import class_hash, class_path, read_class_mask
from curate.dataset import is_file_name
from curate.engine import map_rows
from curate.errors import CurateError, FormatError, MismatchError
from curate.files import sha256_file
from curate.guesses import MODEL
from curate.guesses import TABLE as PRELABELS
from curate.images import examine_image, read_target
from curate.looking.card import CARD
from curate.masks import Target
from curate.revise import REPLACED
from curate.threads import Tick

NO_LABEL = {"pool": masks.IGNORE, "background": masks.BACKGROUND}
"""Split -> the one value its masks hold, but for those a model guessed."""
TABLES = ("dataset.json", "samples.parquet", "drops.parquet", "edits.parquet", PRELABELS)
FOLDERS = ("images", "masks")
READABLE = {
    "image": "an image of the size in its row",
    "mask": "a mask of 0, 128 and 255",
    "classes": "a mask of 0, 1 and 2",
}
"""What each kind of file should be."""
KNOWN = frozenset({*TABLES, *FOLDERS, CLASSES, CARD, "sheet.png", REPLACED})
"""What belongs at the top of a dataset."""


@dataclass
class Looked:
    """What looking at one sample's files gave.

    Attributes:
        findings: What is wrong.
        signature: Of the photograph, for the search for copies; None where it cannot be read.
        parts, stairs: Of the mask, where they were asked for and it can be read.
    """

    findings: list[Finding] = field(default_factory=list)
    signature: bytes | None = None
    parts: int | None = None
    stairs: float | None = None


def look_at_files(root: Path, rows: Sequence[dict[str, Any]], traits: Iterable[str], tick: Tick) -> list[Looked]:
    """What each row's two files give, in the order of the rows.

    Args:
        root: The dataset's folder.
        rows: Rows of `samples.parquet` whose paths are orderly.
        traits: `parts` and `stairs`, where they are to be measured.
        tick: Told of progress.
    """
    real, wanted = os.path.realpath(root), frozenset(traits)
    return map_rows(lambda part: [look_at(root, real, row, wanted) for row in part], rows, tick)


def look_at(root: Path, real: str, row: dict[str, Any], traits: frozenset[str]) -> Looked:
    """What one row's files give; `real` is the dataset's folder with every link in it followed."""
    looked = Looked()
    size_hw = (row["height"] or 0, row["width"] or 0)
    for column in FOLDERS:
        path, kind = root / row[column.removesuffix("s")], column.removesuffix("s")
        try:
            found = list(check_file(path, real, kind, row[f"{kind}_sha256"]))
            looked.findings += found
            if any(finding.kind != f"{kind} hash" for finding in found):
                continue
            if kind == "image":
                looked.signature = signature(examine_image(path, size_hw)).tobytes()
            else:
                target = read_target(path, size_hw)
                looked.findings += check_target(path, target, row)
                measure(looked, target, traits)
        except (CurateError, OSError) as error:
            looked.findings.append(unreadable(path, kind, error))
    looked.findings += look_at_classes(root, real, row)
    return looked


def look_at_classes(root: Path, real: str, row: dict[str, Any]) -> list[Finding]:
    """What is wrong with the class mask of a row; nothing where it has none."""
    if (name := class_path(row)) is None:
        return []
    path = root / name
    found = list(check_file(path, real, "classes", class_hash(row["tags"])))
    if any(finding.kind != "classes hash" for finding in found):
        return found
    try:
        read_class_mask(path, (row["height"] or 0, row["width"] or 0))
    except (CurateError, OSError) as error:
        found.append(unreadable(path, "classes", error))
    return found


def check_file(path: Path, real: str, kind: str, sha256: str | None) -> Iterator[Finding]:
    """A Finding where no regular file stands at `path` inside the dataset's folder, or one of another hash.

    Of the hash, as many digits count as `sha256` has.
    """
    if not is_inside(path, real):
        found = f"leads out of the dataset, to {os.path.realpath(path)}"
        yield Finding(f"{kind} outside", str(path), found, "a file inside it", "Put a copy of the file there")
    elif not path.exists():
        yield Finding(f"{kind} missing", str(path), "is missing", "the file of the build", REBUILD)
    elif not stat.S_ISREG(path.stat().st_mode):
        yield Finding(f"{kind} no file", str(path), "is no regular file", "the file of the build", REBUILD)
    elif not (digest := sha256_file(path)).startswith(sha256 or "null"):
        found, expected = f"was changed after the build, its hash is {digest[:12]}", f"{(sha256 or 'null')[:12]}"
        yield Finding(f"{kind} hash", str(path), found, expected, REBUILD)


def is_inside(path: Path, real: str) -> bool:
    """Whether a path, with every link followed, lies inside the folder `real`."""
    return os.path.realpath(path).startswith(real.rstrip(os.sep) + os.sep)


def unreadable(path: Path, kind: str, error: CurateError | OSError) -> Finding:
    """The Finding about a file that cannot be read as what it should be."""
    if isinstance(error, MismatchError):
        return Finding(f"{kind} size", str(path), f"is {error.got}", str(error.expected), REBUILD)
    told = error.problem if isinstance(error, FormatError) else str(error).removeprefix(f"{path}: ")
    return Finding(f"{kind} unreadable", str(path), told, READABLE[kind], REBUILD)


def check_target(path: Path, target: Target, row: dict[str, Any]) -> Iterator[Finding]:
    """Findings where a mask is not what its row says: the values of its split, area and edges.

    Beside a person, what is held may be 255 too: the mask then touches all edges of the row, and perhaps more.
    """
    only = NO_LABEL.get(row["split"]) if row["origin"] != MODEL else None
    if only is not None and not (target == only).all():
        found = f"holds {', '.join(map(str, np.unique(target)))} in the split {row['split']}"
        yield Finding("mask value", str(path), found, f"{only} alone", REBUILD)
    area, edges = masks.area_fraction(target), masks.touched_edges(target == masks.PERSON)
    if row["area"] is None or not abs(area - row["area"]) <= 1e-9:
        found = f"its area is {area:.6g}"
        yield Finding("mask area", str(path), found, f"{row['area']} as in samples.parquet", REBUILD)
    stated = row["edges"] or ""
    if edges != stated and not (row["touching"] and set(stated) <= set(edges)):
        found = f"its person touches the edges {edges or 'none'}"
        yield Finding("mask edges", str(path), found, f"{stated or 'none'} as in samples.parquet", REBUILD)


def measure(looked: Looked, target: Target, traits: frozenset[str]) -> None:
    """Measure the mask's traits that were asked for."""
    person = target == masks.PERSON
    looked.parts = masks.count_parts(person) if "parts" in traits else None
    looked.stairs = masks.stairs_px(person) if "stairs" in traits else None


def check_replaced(root: Path, edits: pl.DataFrame) -> Iterator[Finding]:
    """A Finding for every edit whose mask before it is not kept as it was, so that it cannot be taken back.

    Of an image that was added, there is none; nor was one kept when edits could not be taken back yet.
    """
    kept = edits.drop_nulls(["old_mask_sha256", "old_row"]).filter(is_file_name())
    for name, sha256 in kept.select("sample_id", "old_mask_sha256").iter_rows():
        path = root / REPLACED / f"{name}.png"
        if not is_inside(path, os.path.realpath(root)) or not path.is_file() or sha256_file(path) != sha256:
            found, advice = "is not the mask of before the edit", "Copy it from the version before"
            yield Finding("replaced mask", str(path), found, f"the hash {(sha256 or 'null')[:12]}", advice)


def check_orphans(root: Path, listed: frozenset[str]) -> Iterator[Finding]:
    """A Finding for everything in the folders of samples that no row tells of; `listed` are the rows' paths."""
    advice = "Remove it, or build again with --force"
    real = os.path.realpath(root)
    for folder in (*FOLDERS, CLASSES):
        if not (root / folder).is_dir() or not is_inside(root / folder, real):
            continue
        for name in sorted(entry.name for entry in os.scandir(root / folder)):
            if f"{folder}/{name}" not in listed:
                yield Finding("orphan", str(root / folder / name), "stands in no row", "only files of samples", advice)


def strangers(root: Path) -> list[str]:
    """A remark for everything at the top of the dataset that does not belong there, and for what killed builds left."""
    names = sorted(entry.name for entry in os.scandir(root) if entry.name not in KNOWN)
    found = [f"{root / name}: is no part of a dataset and was not looked at" for name in names]
    place = root.resolve()
    for name in (f".{place.name}.partial", f".{place.name}.old", f".{place.name}.masks"):
        if os.path.lexists(place.with_name(name)):
            told = "was left by a killed build, or is being written now; the next build clears it away"
            found.append(f"{root.parent / name if root.name else place.with_name(name)}: {told}")
    return found
