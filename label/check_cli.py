"""The command `curate label check`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from curate.checks import SHOWN, one_line
from curate.commands.build import watching
from curate.commands.engine import engine_options
from curate.commands.person import input_options, spec_of
from curate.commands.place import FOLDER, INPUT, LOCAL
from curate.dataset import Header, open_dataset
from curate.errors import MissingError, UsageError
from curate.files import json_bytes
from curate.looking.sheet import sheet_format, write_sheet
from curate.person_model import InputSpec
from curate.revise import check_place
from curate.terminal import counted
from label.check import Opinion, Report, check_labels
from label.check_sheet import check_sheet
from label.findings import ADVICE, MENDABLE, SUSPECT
from label.formats.record import printable
from label.mend import mend
from label.options_cli import label_options, model_at, options_of, split_words
from label.pictures import Export, Gathered, pictures_in, pictures_of


@click.command("check", context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.argument("place", metavar="DATASET|EXPORT", type=INPUT)
@click.option(
    "--model",
    "model_path",
    type=INPUT,
    metavar="RUN|FILE.onnx",
    help="A second opinion: a trained run, or any person model in an ONNX file.",
)
@input_options
@click.option(
    "--min-severity",
    type=click.FloatRange(0, 1),
    default=0.0,
    metavar="X",
    help=f"Least severity of a finding; from {SUSPECT} on the label is likely wrong.",
)
@click.option("--sheet", type=LOCAL, metavar="FILE", help="Contact sheet to write, .png or .jpg.")
@click.option(
    "--fix", metavar="KINDS", help=f"Mend these, of any severity, in a new version of DATASET: {','.join(MENDABLE)}."
)
@click.option("--out", type=FOLDER, metavar="NEW", help="Folder of the new version, with --fix.")
@label_options
@click.option(
    "--images",
    multiple=True,
    type=INPUT,
    metavar="DIR",
    help="EXPORT: folder with its photographs, beside those in it; repeatable.",
)
@click.option("--all", "everything", is_flag=True, help=f"Print every finding, not the first {SHOWN} of each kind.")
@engine_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; it lists every finding.")
@click.option("--force", is_flag=True, help="Replace the dataset at --out.")
def check_command(
    place: Path,
    model_path: Path | None,
    input_size: str | None,
    layout: str | None,
    normalise: str | None,
    min_severity: float,
    sheet: Path | None,
    fix: str | None,
    out: Path | None,
    format_name: str,
    person: str | None,
    ignore: str | None,
    colours: Path | None,
    image_list: Path | None,
    images: tuple[Path, ...],
    everything: bool,
    as_json: bool,
    force: bool,
) -> int:
    """Look for wrong labels in DATASET, or in labels at EXPORT before they come in.

    Each label is looked at by itself, beside the edges of its photograph, beside the others, and with --model beside
    what a model makes of the picture. Exit code 0: nothing found; 1: there are findings.

    \b
    Example:
      curate label check people --min-severity 0.5
    """
    if not place.exists():
        raise MissingError(f"{place}: no such file or folder. Check the path of the labels")
    export = Export(place, format_name, options_of(person, ignore, colours, image_list), images)
    is_dataset = (place / "dataset.json").is_file()
    if is_dataset and export != Export(place):
        told = "--format, --person, --ignore, --colours, --image-list and --images are for exports"
        raise UsageError(f"{place}: is a dataset; {told}. Leave them out")
    kinds = kinds_of(fix, out, place if is_dataset else None)
    if out is not None:
        check_place(open_dataset(place), out, force=force)
    elif force:
        raise UsageError("--force replaces the dataset at --out. Add --fix and --out, or leave it out")
    if sheet is not None:
        sheet_format(sheet, "--sheet")
    opinion = opinion_of(model_path, spec_of(input_size, layout, normalise))
    with watching() as watch, opened_pictures(export, is_dataset=is_dataset) as found:
        report = check_labels(place, found.pictures, found.refusals, opinion, min_severity, watch)
        mended = mend(open_dataset(place), kinds, out, force=force, watch=watch) if kinds and out else None
        tell(report.told_of(found.folder), mended, out, as_json=as_json, everything=everything)
        if sheet is not None and report.findings:
            write_sheet(sheet, check_sheet(report, found.pictures))
    if sheet is not None and not as_json:
        click.echo(f"contact sheet {sheet}" if report.findings else f"no contact sheet: nothing to show in {sheet}")
    return 1 if report.findings else 0


def tell(
    report: Report, mended: tuple[Header | None, list[str]] | None, out: Path | None, *, as_json: bool, everything: bool
) -> None:
    """Print what was found, and what was mended."""
    if report.alone:
        told = f"{report.alone} of {counted(report.pictures, 'picture')}: the photograph is not at hand"
        advice = "only the labels themselves were looked at. Say where photographs lie: --images DIR"
        click.echo(f"note: {told}; {advice}", err=True)
    if as_json:
        click.echo(json_object(report, mended, out))
        return
    click.echo("\n".join(lines_of(report, everything=everything)))
    if mended is not None:
        click.echo(told_mended(mended, out))


def kinds_of(fix: str | None, out: Path | None, dataset: Path | None) -> list[str]:
    """The kinds of findings to mend; UsageError where they cannot be, or it is not said where to."""
    kinds = sorted(set(split_words(fix, "--fix") or ()))
    if unknown := [kind for kind in kinds if kind not in MENDABLE]:
        raise UsageError(f"--fix {unknown[0]}: cannot be mended safely. Those that can: {', '.join(MENDABLE)}")
    if kinds and dataset is None:
        raise UsageError("--fix: mends a dataset, and this is an export. Import it, then mend the new version")
    if bool(kinds) != (out is not None):
        raise UsageError("--fix and --out go together: what to mend, and the folder of the new version")
    return kinds


def opinion_of(path: Path | None, spec: InputSpec) -> Opinion | None:
    """The model that is asked; UsageError where only its input is described."""
    if path is not None:
        return model_at(path, spec).predict
    if spec != InputSpec():
        raise UsageError(
            "--input-size, --layout and --normalise say what a model's input is. Name it: --model FILE.onnx"
        )
    return None


@contextmanager
def opened_pictures(export: Export, *, is_dataset: bool) -> Iterator[Gathered]:
    """What is to be checked, as long as it is."""
    if is_dataset:
        yield Gathered(export.path, pictures_of(open_dataset(export.path)), [])
    else:
        with pictures_in(export) as found:
            yield found


def lines_of(report: Report, *, everything: bool) -> Iterator[str]:
    """The findings, at most SHOWN of each kind unless all are asked for, and what they come to."""
    counts, told = Counter(finding.kind for finding in report.findings), Counter[str]()
    for finding in report.findings:
        told[finding.kind] += 1
        if everything or told[finding.kind] <= SHOWN:
            yield one_line(str(finding))
    if hidden := sum(max(0, count - SHOWN) for count in counts.values() if not everything):
        yield f"... and {hidden:,} more; --all prints them, --json lists them"
    kinds = ", ".join(f"{kind} {counts[kind]:,}" for kind in ADVICE if kind in counts)
    suspects = f"; {counted(len(report.suspects), 'picture')} likely wrong" if report.suspects else ""
    found = f"{counted(len(report.findings), 'finding')} ({kinds}){suspects}" if report.findings else "nothing found"
    yield one_line(f"{report.place}: {counted(report.looked_at, 'label')}, {found}")


def told_mended(mended: tuple[Header | None, list[str]], out: Path | None) -> str:
    """What was mended, in one line."""
    header, names = mended
    if header is None:
        return "nothing to mend: no label has what is to be fixed; nothing was written"
    return f"{out}: version {header.version} of {header.name}, {counted(len(names), 'label')} mended"


def json_object(report: Report, mended: tuple[Header | None, list[str]] | None, out: Path | None) -> str:
    """The report for machines, one object; `mended` and `out` are null where nothing was mended."""
    header, names = mended or (None, None)
    told = {
        "place": printable(str(report.place)),
        "labels": report.looked_at,
        "without_photograph": report.alone,
        "suspects": sorted(report.suspects),
        "counts": dict(Counter(finding.kind for finding in report.findings)),
        "findings": report.findings,
        "mended": names,
        "out": printable(str(out)) if header else None,
        "digest": header.digest if header else None,
    }
    return json_bytes(told).decode()
