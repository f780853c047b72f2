"""`curate loop DATASET` and `curate loop status LOOP`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from curate.commands import FOLDER
from curate.errors import UsageError
from train.commands.options import fit_options
from train.commands.preset import with_preset

if TYPE_CHECKING:
    from review.loop import RoundResult
    from train.monitoring.log import EpochLine


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.argument("what", nargs=-1, required=True, metavar="DATASET | status LOOP", type=FOLDER)
@click.option("--out", type=FOLDER, metavar="LOOP", help="Folder of the loop; an unfinished one goes on.")
@click.option("--rounds", type=click.IntRange(1, 100), default=1, metavar="N", help="Rounds of mining and retraining.")
@click.option(
    "--budget", default="4", metavar="N|Nm", help="Epochs (4) or minutes (30m) for each of the two arms of a round."
)
@click.option(
    "--decisions", type=FOLDER, metavar="FILE", help="A reviewer's decisions.jsonl; it goes before what is mined."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--force", is_flag=True, help="Begin anew where another loop stands.")
@with_preset
@fit_options
def loop(
    what: tuple[Path, ...],
    out: Path | None,
    rounds: int,
    budget: str,
    decisions: Path | None,
    as_json: bool,
    force: bool,
    **fit: Any,
) -> None:
    """Retrain on the hard images, and from the same base with the same epochs a control without mining.

    A base model is trained with fit's options; its failures say which images are drawn more often, how they are
    augmented and which labels are left out. Both arms are compared on the validation split, which alone decides;
    then before, control and after are scored once on the test split. A killed loop goes on when called again.

    \b
    Example:
      curate loop people --out loops/first --encoder mobilenet_v2 --weights none --size 96 --epochs 2 --budget 1
      curate loop status loops/first
    """
    if len(what) == 2 and str(what[0]) == "status":
        print_status(what[1], as_json=as_json)
        return
    if len(what) != 1:
        raise UsageError(f"{' '.join(map(str, what))}: expected one DATASET, or: curate loop status LOOP")
    if out is None:
        raise UsageError("--out LOOP is missing: the folder of the loop")
    start_loop(what[0], out, rounds, budget, decisions, as_json=as_json, force=force, fit=fit)


# The two options of fit's whose defaults mean something else here.
LOOP_DEFAULTS = {
    "epochs": "Epochs of the base.  [default: the budget]",
    "folds": "Fold models of the base, for honest errors to mine; 0 for none.  [default: the dataset's, else 3]",
}
for _option in loop.params:
    if isinstance(_option, click.Option) and _option.name in LOOP_DEFAULTS:
        _option.default, _option.help = None, LOOP_DEFAULTS[_option.name]


def start_loop(
    folder: Path, out: Path, rounds: int, budget: str, decisions: Path | None, *, as_json: bool, force: bool, fit: Any
) -> None:
    """Run the loop, write its report, print its tables."""
    from curate.dataset import open_dataset
    from curate.decisions import read_decisions
    from review.loop import loop_config, run_loop
    from review.loop_report import write_report

    dataset = open_dataset(folder)
    verdicts = {key: one.verdict for key, one in read_decisions(decisions).items()} if decisions else {}
    unknown = sorted(verdicts.keys() - set(dataset.samples.filter(dataset.samples["split"] == "train")["sample_id"]))
    if unknown:
        say(
            f"note: {len(unknown)} decisions are about images outside the training split and change nothing here; "
            f"the first: {unknown[0]}"
        )
    config = loop_config(dataset, out, fit, rounds=rounds, budget=budget, verdicts=verdicts)
    results = run_loop(dataset, out, config, say, say_epoch, force=force)
    report = write_report(dataset, out)
    if as_json:
        print_json(results)
        return
    for result in results:
        click.echo(round_text(result))
    click.echo(f"\n{report}")


def say(line: str) -> None:
    """One line of progress."""
    click.echo(line, err=True)


def say_epoch(line: EpochLine) -> None:
    """One line for an epoch."""
    fold = f" of fold {line.fold}" if line.fold >= 0 else ""
    iou = "-" if line.val_iou is None else f"{line.val_iou:.3f}"
    say(f"  epoch {line.epoch}{fold}: loss {line.train_loss:.3f}, validation IoU {iou}, {line.seconds:.0f} s")


def round_text(result: RoundResult) -> str:
    """A round's decision and table as text."""
    from review.compare import plain_table

    word = "promoted" if result.promoted else "not promoted"
    decision = f"round {result.round}: {word} on {result.validation_images} validation images: "
    table = plain_table(result.table, result.test)
    return f"\n{decision}{'; '.join(result.reasons)}\n\n{result.test_images} test images, scored once\n{table}"


def print_json(results: list[RoundResult]) -> None:
    """The rounds as one JSON object."""
    import msgspec

    sys.stdout.write(msgspec.json.format(msgspec.json.encode({"rounds": results}), indent=2).decode() + "\n")


def print_status(folder: Path, *, as_json: bool) -> None:
    """What is done, running and next."""
    import msgspec

    from review.loop import loop_status

    steps = list(loop_status(folder))
    if as_json:
        sys.stdout.write(msgspec.json.encode(dict(steps)).decode() + "\n")
        return
    width = max(len(step) for step, _ in steps)
    for step, state in steps:
        click.echo(f"{step:<{width}}  {state}")
