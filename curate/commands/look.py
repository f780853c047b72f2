"""The commands that look at dataset versions and change nothing: `curate show`, `curate diff`, `curate sheet`."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from curate.commands.build import watching
from curate.commands.place import FOLDER, INPUT, LOCAL
from curate.files import json_bytes
from curate.looking.picks import ORDERS
from curate.schema import SPLITS

if TYPE_CHECKING:
    from curate.terminal import Section


@click.command()
@click.argument("dataset", type=FOLDER)
@click.argument("sample", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show(dataset: Path, sample: str | None, as_json: bool) -> None:
    """Say what a dataset version holds, or all that is known about one image.

    SAMPLE is a sample_id, kept or dropped: why it is in, or which rule dropped it.

    \b
    Example:
      curate show people
      curate show people coco-000000003803
    """
    from curate.dataset import open_dataset
    from curate.looking.explain import explain_sample, story_sections
    from curate.looking.show import describe_dataset
    from curate.looking.show_text import overview_sections

    opened = open_dataset(dataset)
    if sample is None:
        overview = describe_dataset(opened)
        print_json(overview) if as_json else print_sections(overview_sections(overview))
    else:
        story = explain_sample(opened, sample)
        print_json(story) if as_json else print_sections(story_sections(story))


@click.command()
@click.argument("a", type=FOLDER)
@click.argument("b", type=FOLDER)
@click.option("--all", "everything", is_flag=True, help="List every image, not the first ten of each kind.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; it lists every image.")
def diff(a: Path, b: Path, everything: bool, as_json: bool) -> None:
    """Say what makes dataset version B another than A: images in and out, masks, splits, options.

    \b
    Example:
      curate build --min-area 0.25 --max-people 2 --out larger
      curate diff people larger
    """
    from curate.dataset import open_dataset
    from curate.looking.diff import compare, compare_masks
    from curate.looking.diff_text import MOST, difference_json, difference_sections

    one, other = open_dataset(a), open_dataset(b)
    difference = compare(one, other)
    most = None if everything or as_json else MOST
    relabelled = difference.relabelled["sample_id"].to_list()[:most]
    masks = {}
    if relabelled:
        with watching() as watch:
            masks = compare_masks(one, other, relabelled, watch)
    if as_json:
        print_json(difference_json(difference, masks))
    else:
        print_sections(difference_sections(difference, masks, most))


@click.command()
@click.argument("dataset", type=FOLDER)
@click.option(
    "--out",
    type=LOCAL,
    metavar="FILE",
    help="File to write, .png or .jpg.  [default: DATASET/sheet.png, of a choice DATASET-CHOICE.png here]",
)
@click.option(
    "--rows", type=click.IntRange(1, 200), metavar="N", help="Rows of pictures.  [default: 6, shared among headings]"
)
@click.option("--by", metavar="COLUMN", help="Column to pick by: of samples.parquet, with --dropped of drops.parquet.")
@click.option(
    "--order",
    type=click.Choice(ORDERS),
    help="What comes first. worst is the smallest iou or the largest bce; of words, largest is the most frequent.  "
    "[default: worst where that is known, else largest]",
)
@click.option("--join", type=INPUT, metavar="TABLE", help="Table with sample_id that --by is a column of.")
@click.option("--split", "splits", multiple=True, type=click.Choice(SPLITS), help="Split to show; repeatable.")
@click.option("--dropped", metavar="RULE", help="Show what this rule dropped, with the reasons.")
@click.option("--seed", type=int, default=0, metavar="N", help="Seed of the random order.", show_default=True)
def sheet(
    dataset: Path,
    out: Path | None,
    rows: int | None,
    by: str | None,
    order: str | None,
    join: Path | None,
    splits: tuple[str, ...],
    dropped: str | None,
    seed: int,
) -> None:
    """Draw a contact sheet: what was kept with its masks and examples of every drop, or images picked by a column.

    \b
    Example:
      curate sheet people --rows 10 --out people.png
      curate sheet people --by area --order smallest
      curate sheet people --dropped crowd
    """
    from curate.dataset import open_dataset
    from curate.files import readable_faults
    from curate.looking.examples import KEPT_ROWS, chosen_sheet, redraw_sheet
    from curate.looking.picks import Choice, check_choice, chosen_rows
    from curate.looking.sheet import sheet_format, write_sheet

    if out is not None:
        sheet_format(out)  # refused before anything is drawn
    choice = Choice(by, order, seed, splits, dropped, join)
    check_choice(choice)
    opened = open_dataset(dataset)
    if choice == Choice():
        out = out or dataset / "sheet.png"
        page = redraw_sheet(opened, sources_at_hand(opened.header.recipe), rows or KEPT_ROWS)
    else:
        chosen, odd = chosen_rows(opened, choice)
        for note in odd:
            click.echo(f"note: {note}", err=True)
        reads = sources_at_hand(opened.header.recipe) if dropped else []
        out = out or Path(file_name([dataset.resolve().name, *choice.words()]))
        page = chosen_sheet(opened, chosen, choice, reads, rows)
    with readable_faults(out):
        write_sheet(out, page)
    click.echo(out)


def file_name(words: Sequence[str]) -> str:
    """The name of a PNG after what it shows.

    >>> file_name(["people", "val", "iou", "smallest"]), file_name(["a/b", "x y"])
    ('people-val-iou-smallest.png', 'a_b-x_y.png')
    """
    return "-".join(re.sub(r"[^\w.+-]", "_", word) for word in words) + ".png"


def sources_at_hand(options: dict[str, Any]) -> Sequence[Any]:
    """The sources of a built dataset where they still lie where they lay, else none."""
    from curate.errors import CurateError
    from curate.sources.again import MadeOtherwiseError, read_again

    bare = "note: dropped images are shown without their pictures"
    try:
        return read_again(options)
    except MadeOtherwiseError as error:
        click.echo(f"{bare}: {error}; draw the sheet of the version it was made from", err=True)
    except CurateError as error:
        click.echo(f"{bare} ({error})", err=True)
    return []


def print_json(value: Any) -> None:
    """One JSON object to stdout."""

    click.echo(json_bytes(value).decode())


def print_sections(sections: Sequence[Section]) -> None:
    """Sections with an empty line between them; headings are bold on a terminal, and there alone."""
    from curate.terminal import printable

    blocks = ["\n".join([click.style(section.heading, bold=True), *section.lines]) for section in sections]
    click.echo(printable("\n\n".join(blocks), sys.stdout.encoding))
