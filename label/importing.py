"""`label import`: read an export, take it in, write the next version of the dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from curate.dataset import Dataset, Header, Source
from curate.errors import CurateError, MissingError
from curate.files import readable_faults, scratch_folder
from curate.revise import check_place, existing_revision, revise
from curate.threads import Watch, unwatched
from label.archive import unpacked
from label.formats import FORMATS, detect_format, kinds_of, read_labels
from label.formats.record import Options
from label.intake import Ask, Intake, edits_of, revised_samples, source_of, take_in
from label.rules import build_options, build_recipe, retagged


@dataclass(frozen=True)
class Request:
    """What to import and how; the fields are the command's options."""

    path: Path
    format: str = "auto"
    options: Options = field(default_factory=Options)
    on_conflict: str = "replace"
    author: str | None = None


@dataclass(frozen=True)
class Imported:
    """What came of it.

    Attributes:
        format: The format the labels were read as.
        intake: Every label's fate.
        left_alone: How many files of each other suffix lie beside the labels.
        status: `written`, `there already` (`--out` holds it), `unchanged` (nothing to write), `dry run`, or `nothing`
            (no label could be imported).
        header: The new version's, where there is one.
    """

    format: str
    intake: Intake
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
    with unpacked(request.path) as path, spool_for(out) as spool:
        with told_of(path, request.path):
            name = detect_format(path) if request.format == "auto" else request.format
            labels = read_labels(path, name, request.options)
            intake = take_in(parent, labels, request.on_conflict, request.author, spool, ask, watch)
            source = source_of(request.path, intake)
        intake = intake.told_of(path, request.path)
        status, header = _write(parent, out, request, name, intake, source, force)
        return Imported(name, intake, _left_alone(path, name), status, header)


@contextmanager
def spool_for(out: Path | None) -> Iterator[Path]:
    """An empty folder for the masks of a dataset at `out`, on the same disk where there is one; it goes again."""
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
    parent: Dataset, out: Path | None, request: Request, name: str, intake: Intake, source: Source, force: bool
) -> tuple[str, Header | None]:
    if not intake.changes:
        return "nothing", None
    if not intake.edited:
        return "unchanged", None
    if out is None:
        return "dry run", None
    samples = retagged(revised_samples(parent.samples, intake), intake.edited, build_recipe(parent.header))
    if not force and (header := existing_revision(parent, out, samples)):
        return "there already", header
    header = revise(
        parent,
        out,
        samples=samples,
        masks={sample_id: change.mask for sample_id, change in intake.edited.items() if change.mask},
        recipe=recipe_of(request, name, parent),
        sources=[source],
        edits=edits_of(intake),
        force=force,
    )
    return "written", header


def recipe_of(request: Request, name: str, parent: Dataset) -> dict[str, Any]:
    """The header's recipe: every option, the format as found, the path as the user gave it, the seed handed down."""
    options = {name: str(value) if isinstance(value, Path) else value for name, value in vars(request.options).items()}
    return {
        "command": "label import",
        "labels": str(request.path),
        "format": name,
        **options,
        "on_conflict": request.on_conflict,
        "author": request.author,
        "seed": parent.header.recipe.get("seed", 0),
        "rules": build_options(parent.header),
    }


def _left_alone(path: Path, name: str) -> Counter[str]:
    """The files beside the labels that are not of their format, by suffix."""
    if not path.is_dir():
        return Counter()
    return Counter({kind: count for kind, count in kinds_of(path).items() if kind not in FORMATS[name].SUFFIXES})
