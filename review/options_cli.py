"""Options that several commands of `curate review` share."""

from __future__ import annotations

import click
import polars as pl

from curate import schema
from curate.commands.place import FOLDER
from curate.errors import MissingError
from review.runs import Run

HELP = {"help_option_names": ["-h", "--help"], "show_default": True}

dataset_option = click.option(
    "--dataset",
    type=FOLDER,
    metavar="DIR",
    help="The run's dataset, if it does not lie where the run says.",
)
split_option = click.option(
    "--split",
    "splits",
    multiple=True,
    type=click.Choice(schema.LABELLED),
    help="Of these splits; repeatable.  [default: val, and train where it is scored out-of-fold]",
    show_default=False,
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def scores_of(run: Run, splits: tuple[str, ...]) -> pl.DataFrame:
    """A run's scores on some splits; without a split, the honest ones.

    Raises:
        MissingError: There are none.
    """
    scores = run.scores.filter(pl.col("split").is_in(splits) if splits else run.is_honest())
    if not scores.height:
        what = " and ".join(splits or ["val"])
        raise MissingError(f"{run.root}: no image of {what} is scored. Score it with: curate train score {run.root}")
    return scores
