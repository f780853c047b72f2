"""The command `curate check`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from curate.commands.build import watching
from curate.commands.engine import engine_options
from curate.commands.place import FOLDER
from curate.files import json_bytes

if TYPE_CHECKING:
    from curate.checks.version import Report


@click.command()
@click.argument("dataset", type=FOLDER)
@engine_options
@click.option("--all", "everything", is_flag=True, help="Print every finding, not the first 20 of each kind.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; it lists every finding.")
def check(dataset: Path, everything: bool, as_json: bool) -> int:
    """Verify a dataset version: every hash, mask, row and rule.

    Header and tables agree, every file is there and unchanged, images decode, masks hold 0, 128 and 255 and are what
    their rows say, no group is split apart, and every rule of the recipe still holds. Nothing is written. Prints one
    line per finding. Exit code 0: sound; 1: there are findings.

    \b
    Example:
      curate check people
    """
    from curate.checks.version import check_dataset

    with watching() as watch:
        report = check_dataset(dataset, watch)
    if as_json:
        print_json(report)
    else:
        print_lines(report, everything=everything)
    return 1 if report.findings else 0


def print_lines(report: Report, *, everything: bool) -> None:
    """The findings, and a line that sums them up; remarks go to stderr."""
    from curate.checks import SHOWN, lines_of, one_line
    from curate.terminal import counted

    for remark in report.remarks:
        click.echo(f"note: {one_line(remark)}", err=True)
    for line in lines_of(report.findings, None if everything else SHOWN):
        click.echo(line)
    what = counted(len(report.findings), "finding") if report.findings else "sound"
    held = f", {counted(report.samples.height, 'image')}" if report.samples is not None else ""
    digest = f", digest {report.header.digest[:12]}" if report.header is not None else ""
    click.echo(one_line(f"{report.root}: {what}{held}{digest}"))


def print_json(report: Report) -> None:
    """The report as one JSON object."""

    from curate.checks import kinds_of

    told = {
        "dataset": str(report.root),
        "sound": not report.findings,
        "images": report.samples.height if report.samples is not None else None,
        "digest": report.header.digest if report.header is not None else None,
        "counts": kinds_of(report.findings),
        "findings": report.findings,
        "notes": report.remarks,
    }
    click.echo(json_bytes(told).decode())
