"""`curate label`: hand labels in and out."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from curate.checks import SHOWN
from curate.commands.build import watching
from curate.commands.completion import complete_path
from curate.commands.engine import engine_options
from curate.commands.place import FOLDER, INPUT, LOCAL
from curate.dataset import open_dataset
from curate.errors import FormatError, UsageError
from curate.terminal import counted
from curate.threads import unwatched
from label.asked import names_asked
from label.check_cli import check_command
from label.formats import named
from label.formats.record import Refusal, printable
from label.importing import Imported, Request, import_labels
from label.merge import MERGES, POLICIES
from label.options_cli import label_options, options_of
from label.outcome import Question
from label.prelabel_cli import prelabel_command
from label.undo import undo

if TYPE_CHECKING:
    from label.tasks import Sent

SETTINGS = {"help_option_names": ["-h", "--help"], "show_default": True}
TOOLS = ("cvat", "labelstudio", "labelme", "coco", "png")
NOTES_SHOWN = 10
"""Notes are told in full up to this many and then counted; --json holds all of them."""


@click.group(context_settings=SETTINGS)
def label() -> None:
    """Take hand labels in, and send images out to be labelled.

    \b
    Example:
      curate label import people labels --out people-2
    """


@label.command("import", context_settings=SETTINGS)
@click.argument("dataset", type=FOLDER)
@click.argument("path", type=INPUT)
@click.option("--out", type=FOLDER, metavar="NEW", help="Folder of the new dataset version.")
@label_options
@click.option("--on-conflict", type=click.Choice(POLICIES), default="replace", help="How a label meets the old mask.")
@click.option("--author", metavar="NAME", help="Who labelled, for the record of edits.")
@click.option(
    "--add-images",
    is_flag=True,
    help="Labelled photographs that are in no version yet become samples, by the rules and splits of DATASET's build.",
)
@click.option(
    "--images",
    multiple=True,
    type=INPUT,
    metavar="DIR",
    help="Folder with photographs to add, beside those in the export; repeatable.",
)
@click.option(
    "--confirmed", is_flag=True, help="Labels equal to a model's guess were looked at: take them as labels too."
)
@engine_options
@click.option("--dry-run", is_flag=True, help="Say what would come in; write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--force", is_flag=True, help="Replace the dataset at --out.")
def import_command(
    dataset: Path,
    path: Path,
    out: Path | None,
    format_name: str,
    person: str | None,
    ignore: str | None,
    colours: Path | None,
    image_list: Path | None,
    on_conflict: str,
    author: str | None,
    add_images: bool,
    images: tuple[Path, ...],
    confirmed: bool,
    dry_run: bool,
    as_json: bool,
    force: bool,
) -> None:
    """Make a new version of DATASET with the hand labels at PATH: a file, a folder or a zip.

    DATASET stays as it is. What cannot be used is named and left out, the rest comes in.

    \b
    Example:
      curate label import people labels --out people-2
    """
    if out is None and not dry_run:
        raise UsageError("--out NEW is missing: the folder of the new version. To only look: --dry-run")
    options = options_of(person, ignore, colours, image_list)
    request = Request(path, format_name, options, on_conflict, author, add_images, images, confirmed)
    target = None if dry_run else out
    if on_conflict == "ask" and not sys.stdin.isatty():
        raise UsageError("--on-conflict ask: there is no terminal to ask at. Choose another policy")
    with nullcontext(unwatched) if on_conflict == "ask" else watching() as watch:
        imported = import_labels(open_dataset(dataset), target, request, force=force, watch=watch, ask=ask)
    for line in remarks(imported):
        click.echo(printable(line), err=True)
    click.echo(json_object(imported, target) if as_json else summary(imported, dataset, target))
    if imported.status == "nothing":
        count = len(imported.intake.refusals)
        told = f"none of {count} labels could be imported, for the reasons above" if count else "holds no label at all"
        raise FormatError(path, f"{told}; nothing was written")


@label.command("export", context_settings=SETTINGS)
@click.argument("dataset", type=FOLDER)
@click.option("--to", "tool", required=True, type=click.Choice(TOOLS), help="The tool.")
@click.option("--out", required=True, type=LOCAL, metavar="DIR|ZIP", help="Folder, or zip, to write.")
@click.option(
    "--ids",
    metavar="IDS|FILE",
    shell_complete=complete_path,
    help="Which images: sample_ids, comma-separated; a file of them; of decisions.jsonl those to be relabelled.  "
    "[default: those tagged relabel, then the pool]",
)
@click.option(
    "--run",
    type=FOLDER,
    metavar="RUN",
    help="Start from this run's predictions, the most suspected labels first.  [default: the masks that are there]",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(0, 100),
    metavar="PX",
    help="labelme: how far a polygon may be off; 0 is exact.  [default: 1]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--force", is_flag=True, help="Replace the export at --out.")
def export_command(
    dataset: Path,
    tool: str,
    out: Path,
    ids: str | None,
    run: Path | None,
    tolerance: float | None,
    as_json: bool,
    force: bool,
) -> None:
    """Send images of DATASET out to be labelled, with masks to start from. The labels come back by `label import`.

    \b
    Example:
      curate label export people --ids coco-000000052606 --to cvat --out to-cvat.zip
    """
    from label.outlining import TOLERANCE_PX
    from label.tasks import send

    if tolerance is not None and tool != "labelme":
        raise UsageError(f"--tolerance: is for polygons, and {tool} gets every pixel. Leave it out")
    opened = open_dataset(dataset)
    names = None if ids is None else names_asked(ids, opened)
    with watching() as watch:
        sent = send(
            opened, out, tool, names, run, TOLERANCE_PX if tolerance is None else tolerance, force=force, watch=watch
        )
    for problem in sent.left_out.values():
        click.echo(printable(f"left out: {problem}"), err=True)
    if sent.left_out:
        click.echo(f"note: `curate check {dataset}` says what else is missing or damaged", err=True)
    if as_json:
        click.echo(msgspec.json.encode({**vars(sent), "out": str(sent.out)}).decode())
        return
    count = counted(len(sent.names), "image")
    click.echo(f"{out}: {count} for {tool}, {sent.started} with a mask to start from{loss_of(sent)}")


def loss_of(sent: Sent) -> str:
    """What the tool's shapes lose of the masks."""
    if sent.mean_iou is None or sent.least_iou is None:
        return ""
    if sent.least_iou == 1:
        return ", to the pixel"
    return f", at a loss of IoU of {1 - sent.mean_iou:.4f} on average (most {1 - sent.least_iou:.4f})"


label.add_command(check_command)
label.add_command(prelabel_command)


@label.command("undo", context_settings=SETTINGS)
@click.argument("dataset", type=FOLDER)
@click.option(
    "--ids",
    metavar="IDS|FILE",
    shell_complete=complete_path,
    help="Whose edits: sample_ids, comma-separated, or a file of them, one a line.",
)
@click.option("--out", required=True, type=FOLDER, metavar="NEW", help="Folder of the new version.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--force", is_flag=True, help="Replace the dataset at --out.")
def undo_command(dataset: Path, ids: str | None, out: Path, as_json: bool, force: bool) -> None:
    """Take edits of DATASET back, in a new version; without --ids all that its own import made.

    \b
    Example:
      curate label undo people-2 --out people-3
    """
    opened = open_dataset(dataset)
    header, names = undo(opened, out, None if ids is None else names_asked(ids, opened), force=force)
    if as_json:
        result = {"undone": names, "out": str(out), "version": header.version, "digest": header.digest}
        click.echo(msgspec.json.encode(result | {"parent": header.parent}).decode())
    else:
        click.echo(f"undone     {len(names)}\n{out}: version {header.version} of {header.name}")


def ask(asked: Question) -> str | None:
    """Ask at the terminal how a label meets the mask that is there; None to keep that mask."""
    told = "none" if asked.agreement is None else f"{asked.agreement:.3f}"
    click.echo(f"{asked.label.where}: {asked.sample_id} has a mask already; IoU of the two {told}", err=True)
    for what, file in (("image", asked.image), ("mask there", asked.old), ("mask drawn", asked.new)):
        click.echo(printable(f"  {what:<10} {file}"), err=True)
    answer = click.prompt("What shall stand", type=click.Choice([*MERGES, "keep"]), err=True)
    return None if answer == "keep" else answer


def remarks(imported: Imported) -> Iterator[str]:
    """What goes to stderr: each label left out, the first notes, what was not looked at."""
    yield from left_out(imported.intake.refusals)
    yield from (f"dropped: {row['sample_id']}: {row['rule']}: {row['detail']}" for row in imported.dropped.to_dicts())
    notes = imported.intake.notes
    yield from (f"note: {note}" for note in notes[:NOTES_SHOWN])
    if len(notes) > NOTES_SHOWN:
        yield f"note: and {len(notes) - NOTES_SHOWN} more of the kind; --json lists all"
    if imported.left_alone:
        yield f"note: {named(imported.left_alone)} beside the labels not read"


def left_out(refusals: Sequence[Refusal]) -> Iterator[str]:
    """A line for each label left out, but at most SHOWN for one reason; those of which only the number is told, last.

    Reasons are one where they differ in numbers, or in what the label's file is called.
    """
    held: dict[str, list[Refusal]] = {}
    for refusal in refusals:
        alike = held.setdefault(reason_of(refusal), [])
        alike.append(refusal)
        if len(alike) <= SHOWN:
            yield f"left out: {refusal.message}"
    for alike in held.values():
        if len(alike) > SHOWN:
            more, first = len(alike) - SHOWN, printable(str(alike[0].file))
            yield f"left out: and {more} more for the same reason as {first}; --json lists all"


def reason_of(refusal: Refusal) -> str:
    """What a message says after the place, without numbers and the file's own name.

    >>> reason_of(Refusal(Path("a/img_7.png"), "a/img_7.png: no sample is called img_7, nor holds its image"))
    'no sample is called , nor holds its image'
    """
    _, _, reason = refusal.message.removeprefix(printable(str(refusal.file))).partition(": ")
    return re.sub(r"\d+", "", reason.replace(printable(refusal.file.stem), ""))


def summary(imported: Imported, dataset: Path, out: Path | None) -> str:
    """The result for people."""
    intake, header, shown = imported.intake, imported.header, printable(str(out))
    edited, added = len(intake.edited), len(intake.added)
    lines = [f"imported   {edited}", f"unchanged  {len(intake.changes) - edited}", f"left out   {len(intake.refusals)}"]
    if added or len(imported.dropped):
        lines[1:1] = [f"  added    {added}", f"dropped    {len(imported.dropped)}"]
    if intake.median_iou is not None:
        lines.append(f"median IoU of old and new masks {intake.median_iou:.3f}")
    if header is not None and imported.status == "written":
        lines.append(f"{shown}: version {header.version} of {header.name}, {header.counts['images']} images")
    ends = {
        "there already": f"{shown}: holds this import already; nothing was written",
        "unchanged": f"nothing changes: every label equals the mask that is there; go on with {dataset}",
        "dry run": "dry run: nothing was written",
    }
    return "\n".join([*lines, *([ends[imported.status]] if imported.status in ends else [])])


def json_object(imported: Imported, out: Path | None) -> str:
    """The result for machines, one object; `out`, `version`, `digest` and `parent` are null where nothing is there."""
    intake, header = imported.intake, imported.header
    result: dict[str, Any] = {
        "status": imported.status,
        "format": imported.format,
        "imported": sorted(intake.edited),
        "added": sorted(intake.added),
        "dropped": imported.dropped.to_dicts(),
        "unchanged": sorted(set(intake.changes) - set(intake.edited)),
        "left_out": [{"file": printable(str(refusal.file)), "reason": refusal.message} for refusal in intake.refusals],
        "notes": list(map(printable, intake.notes)),
        "median_iou": intake.median_iou,
        "out": printable(str(out)) if header else None,
        "version": header.version if header else None,
        "digest": header.digest if header else None,
        "parent": header.parent if header else None,
    }
    return msgspec.json.encode(result).decode()
