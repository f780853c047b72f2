"""`curate loop DATASET` and `curate loop status LOOP`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from curate.commands.completion import words_or_path
from curate.commands.engine import engine_options
from curate.commands.place import FOLDER, INPUT
from curate.errors import UsageError
from curate.files import json_bytes
from review.loop.folders import MOST_REPEATS, MOST_ROUNDS
from train.commands.options import fit_options
from train.commands.preset import given_options, with_preset
from train.config import RECIPES

if TYPE_CHECKING:
    from review.loop.round import RoundResult
    from train.monitoring.log import EpochLine

TOOLS = ("cvat", "labelstudio", "labelme", "coco", "png")

MINING_OPTIONS = (
    click.option(
        "--hard-share", type=float, default=0.5, metavar="X", help="The worst of the training images that are hard."
    ),
    click.option("--hard-weight", type=float, default=1.0, metavar="X", help="Times as often a hard image is drawn."),
    click.option(
        "--hard-augment",
        type=click.Choice(["by-kind", "own", *RECIPES]),
        default="copy-paste",
        metavar="by-kind|own|NAME",
        help="How hard images are augmented: by how they fail, as the others, or by an augmentation of fit's.",
    ),
    click.option(
        "--other-augment",
        type=click.Choice(["own", *RECIPES]),
        default="own",
        metavar="own|NAME",
        help="How all other images are augmented: as in the base, or by an augmentation of fit's.",
    ),
    click.option(
        "--suspects",
        type=click.Choice(["leave-out", "halve", "keep"]),
        default="leave-out",
        help="What becomes of training images whose label is in doubt.",
    ),
    click.option(
        "--rare-share",
        type=float,
        default=0.2,
        metavar="X",
        help="Raise slices that do worse than the whole to this share of what is drawn.",
    ),
    click.option(
        "--pool",
        type=click.Choice(["offer", "learn"]),
        default="offer",
        help="What becomes of unlabelled images: offered for labelling, or where the model is sure learnt from too.",
    ),
    click.option(
        "--offer", type=int, default=50, metavar="N", help="Images of the pool that are offered for labelling."
    ),
)
"""Their defaults are those of review.loop.mine.Mining (a test holds the two together)."""


def mining_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """All fields of a Mining as options."""
    for option in reversed(MINING_OPTIONS):
        command = option(command)
    return command


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.argument(
    "what",
    nargs=-1,
    required=True,
    metavar="DATASET | status LOOP",
    type=FOLDER,
    shell_complete=words_or_path("status"),
)
@click.option("--out", type=FOLDER, metavar="LOOP", help="Folder of the loop; an unfinished one goes on.")
@click.option(
    "--rounds",
    type=click.IntRange(1, MOST_ROUNDS),
    metavar="N",
    help="Rounds of mining and retraining.  [default: those of the loop that is there, else 1]",
)
@click.option("--budget", default="4", metavar="N|Nm", help="Epochs (4) or minutes (30m) for each training of an arm.")
@click.option("--from", "start", type=FOLDER, metavar="RUN", help="A finished run to begin with, in place of a base.")
@click.option(
    "--labels",
    type=INPUT,
    metavar="EXPORT",
    help="Labels that people corrected, as a tool exports them, or a later version of DATASET, for the next round.",
)
@click.option(
    "--decisions",
    type=INPUT,
    metavar="FILE",
    help="A reviewer's decisions.jsonl, for the next round; it goes before what is mined.",
)
@click.option(
    "--recipe", type=INPUT, metavar="FILE", help="Options of this command in a TOML file; those given beside it win."
)
@mining_options
@click.option(
    "--to", type=click.Choice(TOOLS), default="cvat", help="The labelling tool that what to label next is written for."
)
@click.option(
    "--ensemble", is_flag=True, help="Score the mean of the base and its fold models too, and guess the pool with it."
)
@click.option(
    "--repeats",
    type=click.IntRange(1, MOST_REPEATS),
    default=1,
    metavar="N",
    help="Train each arm so many times, from other seeds; the gate judges the means, with the chance of a training.",
)
@click.option(
    "--retrain-lr",
    type=float,
    default=0.25,
    metavar="X",
    help="Learning rate of the arms, as a share of the base's.",
)
@engine_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--force", is_flag=True, help="Begin anew where another loop stands.")
@with_preset
@fit_options
def loop(
    what: tuple[Path, ...],
    out: Path | None,
    labels: Path | None,
    decisions: Path | None,
    recipe: Path | None,
    as_json: bool,
    force: bool,
    **options: Any,
) -> None:
    """Retrain on the hard images, and from the same base with the same epochs a control without mining.

    A base model is trained with fit's options; its failures say which images are hard, how often they are drawn and
    how they are augmented, which labels are left out and what should be labelled next. All arms are compared on the
    validation split, which alone decides; then they are scored once on the test split. A killed loop goes on when
    called again.

    \b
    Example:
      curate loop people --out loops/first --from runs/first --budget 1
      curate loop status loops/first
    """
    if len(what) == 2 and str(what[0]) == "status":
        print_status(what[1], as_json=as_json)
        return
    if str(what[0]) == "status" and not what[0].is_dir():
        raise UsageError("LOOP is missing: curate loop status LOOP")
    if len(what) != 1:
        raise UsageError(f"{' '.join(map(str, what))}: expected one DATASET, or: curate loop status LOOP")
    if out is None:
        raise UsageError("--out LOOP is missing: the folder of the loop")
    start_loop(what[0], out, labels, decisions, recipe, options, as_json=as_json, force=force)


# The two options of fit's whose defaults mean something else here.
LOOP_DEFAULTS = {
    "epochs": "Epochs of the base.  [default: the budget]",
    "folds": "Fold models of the base, for honest errors to mine; 0 for none.  [default: the dataset's, else 3]",
}
for _option in loop.params:
    if isinstance(_option, click.Option) and _option.name in LOOP_DEFAULTS:
        _option.default, _option.help = None, LOOP_DEFAULTS[_option.name]


def start_loop(
    folder: Path,
    out: Path,
    labels: Path | None,
    decisions: Path | None,
    recipe: Path | None,
    options: dict[str, Any],
    *,
    as_json: bool,
    force: bool,
) -> None:
    """Run the loop, write its report, print its tables."""
    from curate.dataset import open_dataset
    from curate.decisions import read_decisions
    from review.loop.config import configured
    from review.loop.report import write_report
    from review.loop.run import run_loop

    given = given_options(options)
    dataset = open_dataset(folder)
    verdicts = {key: one.verdict for key, one in read_decisions(decisions).items()} if decisions else {}
    config, notes = configured(dataset, out, options, given, recipe, force=force)
    for told in notes:
        say(f"note: {told}")
    results = run_loop(
        dataset,
        out,
        config,
        say,
        say_epoch,
        finished=lambda: write_report(dataset, out),
        labels=labels,
        verdicts=verdicts,
        force=force,
    )
    if as_json:
        print_json(results)
        return
    for result in results:
        click.echo(round_text(result, len(results)))
    click.echo(f"\n{out / 'report.html'}")


def say(line: str) -> None:
    """One line of progress."""
    click.echo(line, err=True)


def say_epoch(line: EpochLine) -> None:
    """One line for an epoch."""
    fold = f" of fold {line.fold}" if line.fold >= 0 else ""
    iou = "-" if line.val_iou is None else f"{line.val_iou:.3f}"
    say(f"  epoch {line.epoch}{fold}: loss {line.train_loss:.3f}, validation IoU {iou}, {line.seconds:.0f} s")


def round_text(result: RoundResult, rounds: int = 1) -> str:
    """A round's decision and table as text; `rounds` is how many there are to tell of."""
    from review.compare import gain_words, plain_table
    from review.loop.gate import FEW_IMAGES, FEWEST_IN_SLICE

    word = "promoted" if result.promoted else "not promoted"
    often = f", means over {result.repeats} trainings of each arm" if result.repeats > 1 else ""
    lines = [f"\nround {result.round}: {word} on {result.validation_images} validation images{often}"]
    lines += check_lines(result)
    scored = "scored once per round, used for no choice" if rounds > 1 else "scored once"
    lines += ["", f"{result.test_images} test images, {scored}"]
    lines.append(plain_table(result.table, result.gains, result.proposed))
    lines += [FEW_IMAGES] if result.test_images < FEWEST_IN_SLICE else []
    for name, words in EARNED.items():
        if name in result.earned:
            told = ", ".join(f"{one.name} {gain_words(one)}" for one in result.earned[name])
            lines.append(f"{words}: {told}")
    return "\n".join(lines)


def check_lines(result: RoundResult) -> list[str]:
    """What the gate asked and the answers, a line each, what failed first; a file of before has the reasons alone."""
    from review.loop.gate import TWO_CHANCES

    lines = []
    if len(result.checks) > 1:
        lines.append(TWO_CHANCES)
    for name, checks in result.checks.items():
        if len(result.checks) > 1:
            lines.append(f"{name}:")
        lines += [f"  {'holds' if check.holds else 'fails'}  {check.words}" for check in checks]
    return lines or [f"  {reason}" for reason in result.reasons]


EARNED: Mapping[str, str] = {
    "labels": "what the new and corrected labels earned (labels - control)",
    "mining": "what the recipe, hard images and their augmentation together, earned beside them (after - labels)",
    "ensemble": "what the mean of the base and its fold models has over the control (ensemble - control)",
}


def print_json(results: list[RoundResult]) -> None:
    """The rounds as one JSON object."""

    sys.stdout.write(json_bytes({"rounds": results}).decode() + "\n")


def print_status(folder: Path, *, as_json: bool) -> None:
    """What is done, running and next, and how long each run has trained."""
    import msgspec

    from review.loop.config import read_config_of_loop
    from review.loop.status import loop_status
    from review.loop.times import run_times
    from train.monitoring.estimate import duration

    steps = list(loop_status(folder))
    times = run_times(folder, read_config_of_loop(folder))
    if as_json:
        shown = {
            step: {"state": state} | ({"seconds": round(times[step], 1)} if step in times else {})
            for step, state in steps
        }
        sys.stdout.write(msgspec.json.encode(shown).decode() + "\n")
        return
    width = max(len(step) for step, _ in steps)
    for step, state in steps:
        click.echo(f"{step:<{width}}  {state}" + (f", {duration(times[step])}" if step in times else ""))
