"""`curate train score`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec.structs import asdict

from curate import schema
from curate.commands.completion import words_or_path
from curate.commands.engine import engine_options
from curate.commands.person import input_options, spec_of
from curate.commands.place import FOLDER, MODEL
from curate.errors import UsageError
from curate.person_model import InputSpec
from train.commands.console import SETTINGS, note, progress
from train.commands.predict import refine_option
from train.config import read_config
from train.scoring.scored import Manner, read_manner, read_origin

if TYPE_CHECKING:
    import polars as pl

    from curate.dataset import Dataset


@click.command(context_settings=SETTINGS)
@click.argument("model", type=MODEL, metavar="RUN|FILE.onnx|grabcut", shell_complete=words_or_path("grabcut"))
@click.argument("dataset", type=FOLDER, required=False)
@click.option(
    "--split",
    "splits",
    type=click.Choice(schema.SCORED),
    multiple=True,
    help="Split to score; repeatable.  [default: train, val, test; with --ensemble val and test]",
)
@click.option("--ensemble", is_flag=True, help="Predict the mean of a run's model and its fold models.")
@click.option(
    "--other-version",
    is_flag=True,
    help="DATASET is another version than RUN learnt from, such as one with mended labels: score against its labels.",
)
@click.option("--flip", is_flag=True, help="Predict the mean of each image and its mirror image.")
@refine_option
@input_options
@click.option("--out", metavar="RUN", type=FOLDER, help="Folder for predictions and scores.  [default: RUN]")
@engine_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, split -> figures.")
def score(
    model: str,
    dataset: Path | None,
    splits: tuple[str, ...],
    ensemble: bool,
    other_version: bool,
    flip: bool,
    refine: str | None,
    input_size: str | None,
    layout: str | None,
    normalise: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Predict and score a dataset at native size, with a run or with what it is held against.

    Of a run, DATASET is needed only where it has moved since. A person model in an ONNX file and GrabCut, which learns
    from nothing, need DATASET and --out.

    \b
    Example:
      curate train score runs/first --split val --split test
      curate train score grabcut people --split test --out runs/grabcut
    """
    chosen = splits or (("val", "test") if ensemble else schema.LABELLED)
    spec = spec_of(input_size, layout, normalise)
    from train.inference.refine import split_names

    refinements = split_names(refine)
    from train.scoring.figures import groups_of, summary_json, summary_table
    from train.scoring.peers import is_peer

    if is_peer(model):
        if ensemble or other_version:
            option = "--ensemble" if ensemble else "--other-version"
            raise UsageError(f"{option}: is for runs, and {model} is none. Leave it out")
        scores, opened = _score_peer(model, spec, dataset, chosen, out, flip, refinements)
    else:
        manner = Manner(flip, refinements, ensemble)
        scores, opened = _score_run(Path(model), spec, dataset, chosen, out, manner, other_version=other_version)
    scores, groups = scores.filter(scores["split"].is_in(chosen)), groups_of(opened)
    click.echo(summary_json(scores, groups) if as_json else summary_table(scores, groups), nl=as_json)


def _score_run(
    run: Path,
    spec: InputSpec,
    place: Path | None,
    splits: tuple[str, ...],
    out: Path | None,
    manner: Manner,
    *,
    other_version: bool,
) -> tuple[pl.DataFrame, Dataset]:
    config = read_config(run)
    from curate.dataset import open_dataset
    from train.models import device_name
    from train.scoring.peers import refuse_spec
    from train.scoring.score import dataset_of
    from train.scoring.score import score as score_run

    refuse_spec(run, spec)
    opened, into = open_dataset(place) if place else dataset_of(run, config), out or run
    before = read_manner(into)
    if read_origin(into) and before != manner:
        note(f"{into}: was scored with {before}; what is scored now replaces that. Pass --out RUN to keep both")
    note(f"scoring on {device_name()}")
    with progress() as (watch, _):
        scores = score_run(run, opened, splits, out, watch, other_version=other_version, **asdict(manner))
    if "train" in splits and not config.folds:
        note("the train split is scored in-sample, by a model that learnt from it; fit with --folds for honest scores")
    return scores, opened


def _score_peer(
    word: str,
    spec: InputSpec,
    place: Path | None,
    splits: tuple[str, ...],
    out: Path | None,
    flip: bool,
    refinements: tuple[str, ...],
) -> tuple[pl.DataFrame, Dataset]:
    if place is None or out is None:
        missing = "DATASET is missing: what to score it on" if place is None else "--out RUN is missing: its folder"
        raise UsageError(
            f"{word}: {missing}. For example: curate train score {word} people --out runs/{Path(word).stem}"
        )
    from curate.dataset import open_dataset
    from train.scoring.peers import open_peer, score_peer

    opened, peer = open_dataset(place), open_peer(word, spec)
    with progress() as (watch, _):
        return score_peer(peer, opened, out, splits, flip=flip, refinements=refinements, watch=watch), opened
