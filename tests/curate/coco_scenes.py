"""COCO files of few images, read as one source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from curate.foreground import Foreground
from curate.sources import Read
from curate.sources.coco import read_coco
from tests.curate.scenes import SIZE_HW, coco_file, image

HEIGHT, WIDTH = SIZE_HW
PIXELS = HEIGHT * WIDTH


def read(path: Path, *more: Path, person: tuple[str, ...] = ("person",)) -> Read:
    """The file or files as one source."""
    [source] = read_coco({"coco": [path, *more]}, [], Foreground(tuple(person)))
    return source


def one(tmp_path: Path, *annotations: dict[str, Any], **record: Any) -> Read:
    """A source of one image with these annotations."""
    return read(coco_file(tmp_path / "a.json", [image(1, **record)], list(annotations)))
