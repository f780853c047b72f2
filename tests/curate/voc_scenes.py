"""VOC annotations with boxes and flags, SBD folders, and random damage to any file."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
import scipy.sparse

from curate.foreground import Foreground
from curate.sources import Read
from curate.sources.voc import read_voc
from tests.curate.scenes import SIZE_HW, photo

Values = np.ndarray[Any, np.dtype[np.uint8]]


def an_object(
    name: str = "person",
    box: tuple[int, int, int, int] | None = None,
    difficult: bool = False,
    truncated: bool = False,
    parts: Sequence[str] = (),
    pose: str = "",
) -> str:
    """An `<object>`; its box is left, top, right, bottom in px from 0, the last two exclusive."""
    sides = "" if box is None else f"<xmin>{box[0] + 1}</xmin><ymin>{box[1] + 1}</ymin>"
    sides += "" if box is None else f"<xmax>{box[2]}</xmax><ymax>{box[3]}</ymax>"
    listed = "".join(f"<part><name>{part}</name></part>" for part in parts)
    flags = f"<truncated>{int(truncated)}</truncated><difficult>{int(difficult)}</difficult>"
    flags += f"<pose>{pose}</pose>" * bool(pose)
    return f"<object><name>{name}</name>{flags}{f'<bndbox>{sides}</bndbox>' if sides else ''}{listed}</object>"


def xml_file(path: Path, *objects: str) -> Path:
    """A VOC annotation of these objects."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"<annotation><size/>{''.join(objects)}</annotation>")
    return path


def boundaries(count: int) -> Any:
    """What `Boundaries` holds: cells of sparse logical matrices."""
    cells = np.empty((count, 1), dtype=object)
    for index in range(count):
        cells[index, 0] = scipy.sparse.csc_matrix(np.eye(4, dtype=bool))
    return cells


def sbd_mat(path: Path, name: str, segmentation: Any, compressed: bool = True, **fields: Any) -> Path:
    """A `.mat` file with a structure of SBD's shape."""
    path.parent.mkdir(parents=True, exist_ok=True)
    structure = {"Segmentation": segmentation, "Boundaries": boundaries(3), **fields}
    scipy.io.savemat(path, {name: structure}, do_compression=compressed)
    return path


def sbd_image(root: Path, key: str, classes: Values, objects: Values, class_of: Mapping[int, int]) -> None:
    """A photo of a SBD folder with both of its masks."""
    photo(root / "img" / f"{key}.jpg", classes.shape)  # type: ignore[arg-type]
    sbd_mat(root / "cls" / f"{key}.mat", "GTcls", classes, CategoriesPresent=np.unique(classes[classes > 0]))
    categories = np.array([[class_of[number]] for number in sorted(class_of)], float).reshape(-1, 1)
    sbd_mat(root / "inst" / f"{key}.mat", "GTinst", objects, Categories=categories)


def blank() -> Values:
    """Values of the scenes' size, all 0."""
    return np.zeros(SIZE_HW, np.uint8)


def damaged(content: bytes, chance: random.Random) -> bytes:
    """The bytes with a few of them changed, cut out, doubled or put in, and sometimes the end cut off."""
    data = bytearray(content)
    for _ in range(chance.randint(1, 8)):
        at, much = chance.randrange(len(data) + 1), chance.choice((1, 1, 2, 8, 60))
        match chance.randrange(4):
            case 0:
                data[at : at + much] = chance.randbytes(len(data[at : at + much]))
            case 1:
                del data[at : at + much]
            case 2:
                data[at:at] = data[at : at + much]
            case _:
                data[at:at] = chance.randbytes(much)
    return bytes(data[: chance.randrange(len(data) + 1)] if chance.random() < 0.2 else data)


def classes() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """A person (15) beside a dog (12), a void border (255) and a boat (4) far away."""
    drawn = np.zeros(SIZE_HW, np.uint8)
    drawn[:, 10:20], drawn[:, 20:22], drawn[:, 22:30], drawn[:, 50:] = 15, 255, 12, 4
    return drawn


def read(root: Path, *person: str, **foreground: Any) -> Read:
    """The folder as a source."""
    return read_voc("voc", root, Foreground(person or ("person",), **foreground))


def image_set(root: Path, name: str, content: str | bytes) -> None:
    """An image set of segmentation."""
    path = root / "ImageSets" / "Segmentation" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
