"""`curate review`: find failures, look at them in the App, take the reviewer's decisions back."""

from __future__ import annotations

import importlib
import os
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import polars as pl

from curate import schema
from curate.commands.build import watching
from curate.commands.engine import engine_options
from curate.commands.place import FOLDER
from curate.database import database_told, require_database
from curate.dataset import Dataset, open_dataset
from curate.decisions import read_decisions
from curate.errors import CurateError, MachineError, UsageError
from curate.terminal import counted
from review.decisions import decisions_of_marks, write_decisions
from review.dropped import DROPPED, dropped_photographs
from review.embeddings import embeddings_of
from review.failures import bring_up_to_date, find_failures
from review.figures_cli import compare, report, slices
from review.label_check import findings_of
from review.layers import write_layers
from review.options_cli import HELP, dataset_option
from review.runs import Run, open_run, open_with
from review.slices import conditions_of

WORST_IMAGES = 10
TRIAGE = {"augment": "augment (hard image)", "relabel": "relabel (label in doubt)", "ok": "ok"}


@click.group(context_settings=HELP)
def review() -> None:
    """Find failures, open the App, pull decisions.

    \b
    Example:
      curate review open runs/first
    """


review.add_command(slices)
review.add_command(compare)
review.add_command(report)


@review.command(context_settings=HELP)
@click.argument("run", type=FOLDER)
@click.argument("others", nargs=-1, metavar="[OTHER]...", type=FOLDER)
@dataset_option
@engine_options
def failures(run: Path, others: tuple[Path, ...], dataset: Path | None) -> None:
    """Name what is wrong in every scored image and which labels are in doubt.

    OTHER are further runs on the same dataset: what they say of labels they did
    not learn from is heard too. An ONNX model becomes one by `curate train
    score`.

    \b
    Example:
      curate review failures runs/first
    """
    lead, *heard = open_with(run, others, dataset)
    with watching() as watch:
        found = find_failures(lead, heard, watch)
    for note in notes_on(lead):
        click.echo(f"note: {note}", err=True)
    click.echo("\n".join(failure_lines(run, found)))


def notes_on(run: Run) -> Iterator[str]:
    """What makes a run's failures say less than they seem to."""
    if gone := sum(not run.has_prediction(sample_id) for sample_id in run.scores["sample_id"]):
        again = f"to make them again: curate train score {run.root}"
        yield f"{gone} of {run.scores.height} predictions are not there and count as empty; {again}"
    if learnt := run.scores.filter(~run.is_blind()).filter(split="train").height:
        yield (
            f"the model learnt from {counted(learnt, 'label')} that it is asked about, and agrees with many a wrong "
            "one. Trained with --folds, it is asked about labels that it did not see"
        )


def failure_lines(run: Path, found: pl.DataFrame) -> list[str]:
    """The kinds with count and mean severity, the worst images, the labels in doubt, the files written."""
    wrong = found.filter(pl.col("severity") > 0)
    kinds = wrong.group_by("kind").agg(pl.len().alias("images"), pl.col("severity").mean())
    lines = [f"{'kind':<16} {'images':>6}  mean severity"]
    for row in kinds.sort("images", "kind", descending=[True, False]).iter_rows(named=True):
        lines.append(f"{row['kind']:<16} {row['images']:>6}  {row['severity']:.3f}")
    lines += [f"{'nothing wrong':<16} {found.height - wrong.height:>6}", "", "worst images"]
    for row in wrong.sort("severity", "sample_id", descending=[True, False]).head(WORST_IMAGES).iter_rows(named=True):
        lines.append(f"  {row['severity']:.3f}  {row['kind']:<16} {row['triage']:<8} {row['sample_id']}")
    triage = [f"{found.filter(pl.col('triage') == name).height} {meaning}" for name, meaning in TRIAGE.items()]
    doubted = found.filter(triage="relabel").sort("suspicion", "sample_id", descending=[True, False])
    if doubted.height:
        lines += ["", "labels in doubt"]
    for row in doubted.head(WORST_IMAGES).iter_rows(named=True):
        lines.append(f"  {row['suspicion']:.3f}  {row['sample_id']}: {row['reason']}")
    return [
        *lines,
        "",
        f"triage: {', '.join(triage)}",
        f"written: {run / 'failures.parquet'}, {run / 'suspects.parquet'}",
    ]


@review.command("open", context_settings=HELP)
@click.argument("paths", nargs=-1, required=True, metavar="RUN|DATASET [RUN2]...", type=FOLDER)
@click.option("--port", default=5151, type=click.IntRange(1, 65535), metavar="N", help="Port of the App on 127.0.0.1.")
@click.option(
    "--no-embeddings", is_flag=True, help="Leave out the map of the images and the search for images like one."
)
@click.option("--no-launch", is_flag=True, help="Bring FiftyOne's dataset up to date and return.")
@dataset_option
def open_(paths: tuple[Path, ...], port: int, no_embeddings: bool, no_launch: bool, dataset: Path | None) -> None:
    """Open the App on the worst images.

    \b
    Example:
      curate review open runs/first --port 5151
    """
    opened, runs = resolve(paths, dataset)
    if not no_launch:
        require_free(port)
    require_database(os.environ)  # before anything is measured
    for run in runs:
        prepare(run)
    with watching() as watch:
        findings, conditions = findings_of(opened, watch), conditions_of(opened, watch)
        embeddings = embeddings_of(runs[0], watch) if runs and not no_embeddings else None
    app = load_app()
    with redirect_stdout(sys.stderr), database_told():  # FiftyOne prints there, from threads of its own too
        shown = app.open_review(runs, opened, conditions, findings, embeddings)
    dropped = dropped_of(app, opened)
    if no_launch:
        click.echo(f"{shown.name}: {len(shown)} images, {len(runs)} runs. See it with: curate review open {paths[0]}")
        return
    view = app.WORST if runs else app.CHECKED if len(shown.load_saved_view(app.CHECKED)) else None
    require_free(port)  # again: what came before can take minutes
    with redirect_stdout(sys.stderr):
        session = app.launch(shown, view, port)
    click.echo(app.address_of(shown, view, port))
    if dropped is not None:
        click.echo(f"What the rules dropped: {app.address_of(dropped, None, port)}", err=True)
    click.echo("Tag images relabel, exclude, hard or ok. Ctrl-C closes the App.", err=True)
    with redirect_stdout(sys.stderr):
        wait_for_interrupt()
        session.close()
    if runs:
        elsewhere = f" --dataset {dataset}" if dataset else ""
        click.echo(f"Take the tags back with: curate review pull {runs[0].root}{elsewhere}", err=True)


@review.command(context_settings=HELP)
@click.argument("run", type=FOLDER)
@dataset_option
def pull(run: Path, dataset: Path | None) -> None:
    """Write the verdicts and notes set in the App to the run's decisions.jsonl.

    \b
    Example:
      curate review open runs/first --no-launch
      curate review pull runs/first
    """
    opened = open_run(run, dataset)
    with database_told():
        marks = load_app().read_marks(opened.dataset)
    path = run / "decisions.jsonl"
    before = read_decisions(path).values() if path.is_file() else []
    decisions, conflicts = decisions_of_marks(marks, opened.name, before)
    write_decisions(path, decisions)
    for sample_id in conflicts:
        found = " and ".join(marks[sample_id].verdicts)
        click.echo(f"warning: {sample_id} is tagged {found}; left out. Leave it one of them", err=True)
    for verdict in schema.VERDICTS:
        click.echo(f"{verdict:<8} {sum(decision.verdict == verdict for decision in decisions):>6}")
    click.echo(f"written: {path}")


def dropped_of(app: ModuleType, dataset: Dataset) -> Any:
    """The FiftyOne dataset of what a version's rules dropped; None where nothing was, or it cannot be found."""
    if not dataset.drops.height:
        return None
    try:
        known = app.has_dropped(dataset)
        found = DROPPED.to_frame() if known else dropped_photographs(dataset)
    except CurateError as error:
        click.echo(f"note: what the rules dropped is not shown ({error})", err=True)
        return None
    if not known and not found.height:
        click.echo("note: what the rules dropped is not shown (none of its photographs is where it was)", err=True)
        return None
    with redirect_stdout(sys.stderr), database_told():
        return app.show_dropped(dataset, found)


def resolve(paths: Sequence[Path], elsewhere: Path | None) -> tuple[Dataset, list[Run]]:
    """The dataset and the runs that the paths name: runs of one dataset, and the dataset itself at most once.

    Raises:
        UsageError: More than one dataset is named.
        CurateError: As `open_run` and `open_dataset`.
    """
    datasets = [path for path in paths if (path / "dataset.json").is_file()]
    runs = [path for path in paths if path not in datasets]
    named = [*datasets, *([elsewhere] if elsewhere else [])]
    if len(named) > 1:
        raise UsageError(f"{' and '.join(map(str, named))} are two datasets; runs of one can be looked at at a time")
    if not runs:
        return open_dataset(named[0]), []
    opened = open_with(runs[0], runs[1:], named[0] if named else None)
    return opened[0].dataset, opened


def prepare(run: Run) -> None:
    """Make what the App shows of a run, where it is missing or older than the run's scores."""
    with watching() as watch:
        bring_up_to_date(run, watch)
        write_layers(run, watch)


def load_app() -> ModuleType:
    """The module review.app, imported only after its database was looked for.

    Raises:
        MachineError: There is no database, or FiftyOne cannot start; the message has the command that mends it.
    """
    os.environ.setdefault("FIFTYONE_DO_NOT_TRACK", "1")
    os.environ.setdefault("FIFTYONE_LOGGING_LEVEL", "ERROR")
    require_database(os.environ)
    try:
        return importlib.import_module("review.app")
    except Exception as error:  # FiftyOne connects while it is imported and raises whatever went wrong
        reason = " ".join(str(error).split()) or type(error).__name__
        raise MachineError(f"FiftyOne cannot start ({reason}). To see what is missing: curate doctor") from error


def require_free(port: int) -> None:
    """Raise MachineError where the port is taken: FiftyOne would take what listens there for its own server."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            reason = f"port {port} on 127.0.0.1 cannot be used ({error.strerror})"
            raise MachineError(f"{reason}. Choose another with --port") from error


def wait_for_interrupt() -> None:
    """Return at Ctrl-C."""
    with suppress(KeyboardInterrupt):
        while True:  # one wait without end is not woken where another thread is handed the signal
            time.sleep(0.5)
