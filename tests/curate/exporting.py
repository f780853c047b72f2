"""A small dataset with every kind of row an export has to do with."""

from __future__ import annotations

from pathlib import Path

from curate.dataset import Dataset
from tests.drawing import target
from tests.label.making import Photo, make_dataset

PEOPLE = target("..##..\n..##oo\n.###oo\n......")
BORDER = target("oooo\no##o\no##o")
WHOLE = target("###\n###")
NOBODY = target("....\n....")
UNKNOWN = target("oooo\noooo\noooo")


def small_dataset(out: Path) -> Dataset:
    """A crowd beside two people, a void border, a person that fills the image, nobody, and a photo without a label."""
    return make_dataset(
        out,
        {
            "coco-1": Photo(
                PEOPLE, changes={"people": 2, "tags": ["crowd", "hard"], "licence": "CC BY 4.0", "fold": 1}
            ),
            "coco-2": Photo(WHOLE, changes={"people": 1, "licence": "https://example.org/l", "weight": 2.5}),
            "empty-1": Photo(NOBODY, changes={"split": "background"}),
            "own-1": Photo(UNKNOWN, changes={"split": "pool", "origin": "none"}),
            "voc-1": Photo(BORDER, source="voc", changes={"split": "val", "tags": ["truncated"]}),
        },
    )


def tree(root: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
