"""`curate export`: a dataset version for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from curate.commands.build import watching
from curate.commands.place import FOLDER, LOCAL

if TYPE_CHECKING:
    from curate.dataset import Dataset
    from curate.exports import Exported

OPEN_WITH = {"coco": "annotations/instances_*.json", "voc": "ImageSets/Segmentation/*.txt"}
"""Where other tools start reading, by format."""


@click.command()
@click.argument("dataset", type=FOLDER)
@click.option("--format", "format_name", type=click.Choice(["coco", "voc"]), required=True, help="What to write.")
@click.option("--out", type=LOCAL, metavar="DIR", required=True, help="Folder to write.")
@click.option("--split", multiple=True, metavar="NAME", help="Split to write; repeatable.  [default: all]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--force", is_flag=True, help="Replace the export at --out.")
def export(dataset: Path, format_name: str, out: Path, split: tuple[str, ...], as_json: bool, force: bool) -> None:
    """Write a dataset version as COCO JSON or as a PASCAL VOC folder, for other tools.

    Masks come back bit for bit. The people of an image are one region, with their number; docs/formats.md says how.

    \b
    Example:
      curate export people --format coco --out people-coco
      curate export people --format voc --split train --out people-voc
    """
    from curate.dataset import open_dataset
    from curate.exports.coco import export_coco
    from curate.exports.voc import export_voc
    from curate.looking.funnel import print_json, say_notes

    write = {"coco": export_coco, "voc": export_voc}[format_name]
    opened = open_dataset(dataset)
    with watching() as watch:
        exported = write(opened, out, split, force=force, watch=watch)
    say_notes(exported.notes)
    if as_json:
        print_json(as_object(exported, opened))
    else:
        click.echo(summary(exported))


def as_object(exported: Exported, dataset: Dataset) -> dict[str, object]:
    """The result for machines."""
    from curate.looking.funnel import sum_up

    return {
        "out": str(exported.out),
        "format": exported.format,
        "digest": dataset.header.digest,
        "images": exported.images,
        "notes": sum_up(exported.notes),
    }


def summary(exported: Exported) -> str:
    """The result for people."""
    splits = ", ".join(f"{count} {split}" for split, count in exported.images.items())
    return f"{splits}\n{exported.out} ({exported.format}), start at {exported.out / OPEN_WITH[exported.format]}"
