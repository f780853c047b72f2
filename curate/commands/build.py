"""The command `curate build`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click

from curate.commands.completion import complete_path, words_or_path
from curate.commands.engine import engine_options
from curate.commands.place import FOLDER
from curate.foreground import HELD
from curate.packaged import shipped_names


class Once(click.Option):
    """An option of one value that is refused where it is given twice; click itself keeps the last in silence."""

    def process_value(self, ctx: click.Context, value: Any) -> Any:
        """The value; None where there is none."""
        from curate.errors import UsageError

        values = super().process_value(ctx, value) or ()
        if len(values) > 1:
            advice = "Join the conditions with `and`" if self.name == "where" else "Leave all but one out"
            told = f"{self.opts[0]}: is given {len(values)} times ({', '.join(map(str, values))})"
            raise UsageError(f"{told}, and takes one value. {advice}")
        return values[0] if values else None


option = partial(click.option, cls=Once, multiple=True)


def source_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say where images come from."""
    options = [
        click.option(
            "--coco", multiple=True, metavar="[NAME=]JSON", shell_complete=complete_path,
            help="COCO instances, person_keypoints or panoptic file; repeatable.",
        ),
        click.option(
            "--images", multiple=True, metavar="DIR", shell_complete=complete_path,
            help="Folder with the photos of --coco; repeatable.",
        ),
        click.option(
            "--voc", multiple=True, metavar="[NAME=]ROOT", shell_complete=complete_path,
            help="PASCAL VOC or SBD folder; repeatable.",
        ),
        click.option(
            "--pairs", multiple=True, nargs=2, metavar="[NAME=]IMAGES MASKS", shell_complete=complete_path,
            help="Folders of images and of masks (PNG or .mat) with the same names; repeatable.",
        ),
        click.option(
            "--pool", multiple=True, metavar="[NAME=]DIR", shell_complete=complete_path,
            help="Folder of photos without masks; repeatable.",
        ),
        click.option(
            "--zoo", multiple=True, metavar="NAME", help="Data set that FiftyOne downloads: coco-2017, voc-2012."
        ),
        option(
            "--from", "from_", metavar="DATASET", shell_complete=complete_path,
            help="Choose among the images of a dataset version.",
        ),
        option(
            "--merge", metavar="DATASET", shell_complete=complete_path,
            help="With --from: join a second dataset to it.",
        ),
    ]  # fmt: skip
    return decorated(command, options)


def rule_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say which images are kept."""
    options = [
        option("--min-area", type=float, metavar="FRACTION", help="Least share people cover.  [default: 0]"),
        option("--max-area", type=float, metavar="FRACTION", help="Largest share people cover.  [default: 1]"),
        option("--min-people", type=int, metavar="N", help="Fewest people.  [default: 1]"),
        option("--max-people", type=int, metavar="N", help="Most people, and no crowd.  [default: any]"),
        option(
            "--min-person-area", type=float, metavar="FRACTION",
            help="Share of the image from which a figure counts as one of the people.  [default: 0]",
        ),
        option("--min-side", type=int, metavar="PX", help="Least length of the shorter side.  [default: any]"),
        option(
            "--intact", type=int, metavar="N",
            help="Heads visible where keypoints tell, and cut by at most N image edges, such as 1.  [default: any]",
        ),
        option(
            "--min-keypoints", type=int, metavar="N",
            help="Fewest visible keypoints of 17, where labelled, such as 5: no hand or foot alone.  [default: any]",
        ),
        option("--max-parts", type=int, metavar="N", help="Most separate parts of the mask.  [default: any]"),
        option(
            "--max-spacing", type=float, metavar="FRACTION",
            help="Largest mean distance of polygon vertices, as a share of the diagonal, such as 0.08.  [default: any]",
        ),
        option(
            "--max-stairs", type=float, metavar="FRACTION",
            help="Largest stairs of a blocky outline, as a share of the diagonal, such as 0.005.  [default: any]",
        ),
        option(
            "--duplicates", type=click.Choice(["keep", "exact", "near"]), metavar="keep|exact|near",
            help="Copies to drop; near ones share a split in any case.  [default: keep]",
        ),
        option("--where", metavar="EXPRESSION", help="Condition over the columns of samples.parquet."),
        click.option(
            "--take", multiple=True, metavar="SOURCE=N",
            help="Most images of a source, or of a kind (coco, voc, pairs, pool), a seeded sample; repeatable.",
        ),
        option("--backgrounds", type=int, metavar="N", help="Empty scenes to keep as negatives.  [default: 0]"),
        option(
            "--decisions", metavar="FILE", shell_complete=complete_path, help="A reviewer's decisions.jsonl."
        ),
    ]  # fmt: skip
    return decorated(command, options)


def mask_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say what counts as foreground."""
    policy = "include|ignore|exclude|class"
    options = [
        option("--person", metavar="NAMES|VALUES", help="Who is a person, comma-separated.  [default: person]"),
        option(
            "--held", type=click.Choice(policy.split("|")), metavar=policy,
            help="Held objects in contact with a person: 255, 128 or 0 in the mask; or 0, and 1 in a mask of classes.  "
            "[default: exclude]",
        ),
        option(
            "--animals", type=click.Choice(policy.split("|")), metavar=policy,
            help="The same for animals; 2 in the mask of classes, wherever they are.  [default: exclude]",
        ),
        option(
            "--held-categories", metavar="NAMES",
            help=f"What --held means.  [default: {len(HELD)} categories of COCO and VOC]",
        ),
        option(
            "--animal-categories", metavar="NAMES", help="What --animals means.  [default: COCO's and VOC's animals]"
        ),
    ]  # fmt: skip
    return decorated(command, options)


def split_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say how images are split."""
    options = [
        option(
            "--split", metavar="A/B/C",
            help="Ratios 70/20/10 of train, val and test, or numbers of images 1700/300.  [default: 70/20/10]",
        ),
        option(
            "--test-from", metavar="DATASET", shell_complete=complete_path,
            help="Keep the test split of an earlier dataset as it is.",
        ),
        option(
            "--group-by", metavar="COLUMN", help="Never split images with one value apart, such as of one folder."
        ),
        option("--folds", type=int, metavar="K", help="Folds of the training split.  [default: none]"),
        option("--seed", type=int, metavar="N", help="Seed of splits, folds and samples.  [default: 0]"),
    ]  # fmt: skip
    return decorated(command, options)


def decorated(command: Callable[..., None], options: Sequence[Any]) -> Callable[..., None]:
    """The command with these options, in this order."""
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@source_options
@option(
    "--recipe",
    metavar="NAME|FILE",
    shell_complete=words_or_path(*shipped_names("recipes")),
    help="Shipped recipe, TOML or dataset.json; options go on top.",
)
@rule_options
@mask_options
@split_options
@engine_options
@option("--out", type=FOLDER, metavar="DATASET", help="Folder to write.  [default: datasets/built/<recipe>]")
@click.option("--dry-run", is_flag=True, help="Print the funnel, write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the table.")
@click.option("--force", is_flag=True, help="Replace what stands at --out.")
def build(out: Path | None, dry_run: bool, as_json: bool, force: bool, **options: Any) -> None:
    """Choose images from COCO, VOC and pairs; write a dataset version.

    Without a source, what lies under datasets/ in the usual layouts is used, else the embedded sample.

    \b
    Example:
      curate build --min-area 0.2 --max-area 0.7 --max-people 2 --out people
    """
    from curate.choosing.build import check_out, write_dataset
    from curate.choosing.choose import preview
    from curate.choosing.selection import select
    from curate.looking.funnel import report_built, report_selection, say_notes, unreadable_notes
    from curate.sources.names import split_take
    from curate.sources.reading import with_usual_sources

    named, recipe = options["recipe"], recipe_of(options)
    insisted = [split_take(text)[0] for text in options["take"]]
    out = out or Path("datasets", "built", recipe.name)
    say_usual_sources(recipe)
    with relative_paths_told(named):
        recipe = with_usual_sources(recipe)
    if not dry_run:
        check_out(out, recipe, force=force)
    with watching() as watch, relative_paths_told(named):
        selection = select(recipe, watch, exact_drops=not dry_run, insisted=insisted)
        selection = preview(selection, watch) if dry_run else selection
    if dry_run or selection.kept.is_empty():
        say_notes([*selection.notes, *unreadable_notes(selection.drops)])
        report_selection(selection, as_json=as_json)
    if dry_run:
        click.echo(
            "nothing written; missing or unreadable photos, duplicates and leaks are found by the build itself",
            err=True,
        )
        return
    with watching() as watch:
        built = write_dataset(selection, out, force=force, watch=watch)
    say_notes([*built.notes, *unreadable_notes(built.drops)])
    say_changed(named, built)
    report_built(built, as_json=as_json)


@contextmanager
def relative_paths_told(named: str | None) -> Iterator[None]:
    """What is missing under a relative path that a recipe names is told with where such paths are looked up."""
    from curate.choosing.recipe import load_recipe
    from curate.errors import MissingError

    try:
        yield
    except MissingError as error:
        places = str(load_recipe(named)) if named is not None else ""
        where, _, _ = str(error).removeprefix("--images ").partition(": ")
        if where.startswith("/") or where not in places:
            raise
        looked = f"The recipe's relative paths are looked up from the current folder, {Path.cwd()}"
        raise MissingError(f"{error}. {looked}. Run it from where they lead") from error


def say_changed(named: str | None, built: Any) -> None:
    """Tell where a dataset is built again by its own recipe and comes out as another one."""
    from curate.choosing.recipe import find_recipe
    from curate.dataset import read_header

    path = find_recipe(named) if named is not None else Path()
    if path.name != "dataset.json":
        return
    header = read_header(path.parent)
    if header.recipe == built.header.recipe and header.digest != built.header.digest:
        click.echo(f"note: {path} has the digest {header.digest[:12]}: its sources are not what they were", err=True)


def recipe_of(options: dict[str, Any]) -> Any:
    """The recipe from the command line on top of `--recipe`."""
    from curate.choosing.recipe import load_recipe, make_recipe, put_on_top
    from curate.sources.names import split_take, split_words

    named = options.pop("recipe")
    given = {key: value for key, value in options.items() if value not in (None, ())}
    for field in ("person", "held_categories", "animal_categories"):
        if field in given:
            given[field] = split_words(given[field], f"--{field.replace('_', '-')}")
    if "take" in given:
        given["take"] = dict(split_take(text) for text in given["take"])
    base = load_recipe(named) if named else {}
    make_recipe(base, f"recipe {named}")  # its own mistakes are told as its own
    return make_recipe(put_on_top(base, given), "options")


def say_usual_sources(recipe: Any) -> None:
    """Tell which sources are used where none is named."""
    from curate.sources.reading import describe_usual_sources

    if not recipe.sources() and recipe.from_ is None:
        click.echo(describe_usual_sources(), err=True)


@contextmanager
def watching() -> Iterator[Any]:
    """A Watch: where stderr is a terminal, a progress bar for each stage that takes over two seconds."""
    if not sys.stderr.isatty():
        from curate.threads import unwatched

        yield unwatched
        return
    from curate.progress import bars

    with bars() as watch:
        yield watch
