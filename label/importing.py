"""`label import`: read an export, take it in, write the next version of the dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from curate.dataset import Dataset, Header, Source
from curate.errors import CurateError, FormatError, MissingError, UsageError
from curate.files import readable_faults, scratch_folder
from curate.images import IMAGE_SUFFIXES
from curate.revise import check_place, existing_revision, revise
from curate.threads import Watch, unwatched
from label.adding import Addition, add_photographs
from label.archive import unpacked
from label.formats import FORMATS, detect_format, kinds_of, read_labels
from label.formats.record import Options, printable
from label.intake import Intake, edits_of, revised_samples, source_of, take_in, times_of
from label.outcome import Ask, Meeting
from label.photographs import Photographs
from label.rules import build_recipe, retagged


@dataclass(frozen=True)
class Request:
    """What to import and how; the fields are the command's options."""

    path: Path
    format: str = "auto"
    options: Options = field(default_factory=Options)
    on_conflict: str = "replace"
    author: str | None = None
    add_images: bool = False
    images: tuple[Path, ...] = ()
    confirmed: bool = False


@dataclass(frozen=True)
class Imported:
    """What came of it.

    Attributes:
        format: The format the labels were read as.
        intake: Every label's fate.
        dropped: The photographs that were looked at and not added, with the rule of the build that each fails: rows of
            schema.DROPS.
        left_alone: How many files of each other suffix lie beside the labels.
        status: `written`, `there already` (`--out` holds it), `unchanged` (nothing to write), `dry run`, or `nothing`
            (no label could be imported).
        header: The new version's, where there is one.
    """

    format: str
    intake: Intake
    dropped: pl.DataFrame
    left_alone: Counter[str]
    status: str
    header: Header | None


def import_labels(
    parent: Dataset,
    out: Path | None,
    request: Request,
    *,
    force: bool = False,
    watch: Watch = unwatched,
    ask: Ask | None = None,
) -> Imported:
    """Import labels into the next version of `parent`, a new dataset at `out`; None only looks.

    Args:
        parent: The version the labels are for; it stays byte-identical.
        out: The new folder.
        request: What to import and how.
        force: Replace a dataset that is at `out`.
        watch: Told of progress.
        ask: Called for each label that differs from the mask that is there, under the policy `ask`.

    Raises:
        UsageError: Options that do not fit the format, or an `out` inside or around the parent.
        MissingError, FormatError: Nothing is at the path, or nothing of a format known.
        ExistsError: `out` holds something else.
    """
    if out is not None:
        check_place(parent, out, force=force)
    if not request.path.exists():
        raise MissingError(f"{request.path}: no such file or folder. Check the path of the labels")
    if (request.path / "dataset.json").is_file():
        told = f"is a dataset version, and no export of a tool. Its own masks lie in {request.path / 'masks'}"
        raise FormatError(request.path, told)
    check_images(request)
    with spool_for(out) as spool:
        path = unpacked(request.path, spool)
        with told_of(path, request.path):
            name = detect_format(path) if request.format == "auto" else request.format
            labels = read_labels(path, name, request.options)
            photographs = Photographs(path, request.images, FORMATS[name].SUFFIXES, spool)
            meeting = Meeting(
                parent,
                request.on_conflict,
                request.author,
                ask,
                times_of(parent),
                spool,
                photographs,
                request.add_images,
                request.confirmed,
            )
            intake = take_in(labels, meeting, watch)
            source = source_of(request.path, intake)
            samples = retagged(revised_samples(parent.samples, intake), intake.masks, build_recipe(parent.header))
            addition = add_photographs(parent, samples, intake, spool, watch)
        addition = addition.told_of(path, request.path).told_of(spool, request.path)
        intake = intake.told_of(path, request.path).without(addition.dropped["sample_id"])
        recipe = recipe_of(request, name, parent)
        status, header = _write(parent, out, intake, addition, recipe, source, force)
        return Imported(name, intake, addition.dropped, _left_alone(path, name, request), status, header)


def check_images(request: Request) -> None:
    """Raise UsageError or MissingError where folders of photographs are named for nothing, or are none."""
    if request.images and not request.add_images:
        raise UsageError("--images: says where the photographs to add lie. Add --add-images, or leave it out")
    for folder in request.images:
        if not folder.is_dir():
            raise MissingError(f"--images {folder}: is not a folder. Name the folder that holds the photographs")


@contextmanager
def spool_for(out: Path | None) -> Iterator[Path]:
    """An empty folder for what a dataset at `out` is made from, on the same disk where there is one; it goes again."""
    if out is None:
        with TemporaryDirectory(prefix="curate-masks-") as folder:
            yield Path(folder)
    else:
        with readable_faults(out), scratch_folder(out, "masks") as spool:
            yield spool


@contextmanager
def told_of(folder: Path, path: Path) -> Iterator[None]:
    """An error about a zip's unpacked content names the zip."""
    try:
        yield
    except CurateError as error:
        error.args = (str(error).replace(str(folder), str(path)),)
        raise


def _write(
    parent: Dataset,
    out: Path | None,
    intake: Intake,
    addition: Addition,
    recipe: dict[str, Any],
    source: Source,
    force: bool,
) -> tuple[str, Header | None]:
    if not intake.changes and addition.dropped.is_empty():
        return "nothing", None
    if not intake.edited and addition.drops.equals(parent.drops):
        return "unchanged", None
    if out is None:
        return "dry run", None
    if not force and (header := existing_revision(parent, out, addition.samples, addition.drops)):
        return "there already", header
    header = revise(
        parent,
        out,
        samples=addition.samples,
        masks=intake.masks | addition.masks,
        recipe=recipe,
        sources=[source],
        edits=edits_of(intake),
        images=addition.images,
        drops=addition.drops,
        funnel=addition.funnel,
        force=force,
    )
    return "written", header


def recipe_of(request: Request, name: str, parent: Dataset) -> dict[str, Any]:
    """The header's recipe: every option, the format as found, the path as the user gave it, the seed handed down."""
    options = {
        name: printable(str(value)) if isinstance(value, Path) else value
        for name, value in vars(request.options).items()
    }
    return {
        "command": "label import",
        "labels": printable(str(request.path)),
        "format": name,
        **options,
        "on_conflict": request.on_conflict,
        "author": request.author,
        "add_images": request.add_images,
        "images": [printable(str(folder)) for folder in request.images],
        "confirmed": request.confirmed,
        "seed": parent.header.recipe.get("seed", 0),
        "rules": parent.header.built_by,
    }


def _left_alone(path: Path, name: str, request: Request) -> Counter[str]:
    """The files beside the labels that are neither of their format nor photographs that are looked at, by suffix."""
    if not path.is_dir():
        return Counter()
    looked_at = {*FORMATS[name].SUFFIXES, *(IMAGE_SUFFIXES if request.add_images else ())}
    return Counter({kind: count for kind, count in kinds_of(path).items() if kind not in looked_at})
