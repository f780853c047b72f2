"""`curate train`: its commands stand each in a module of its own."""

from __future__ import annotations

import click

from train.augment_cli import augment_sheet
from train.console import SETTINGS
from train.fit_cli import fit, lr_find
from train.predict_cli import predict
from train.runs_cli import runs
from train.score_cli import score
from train.sweep_cli import sweep


@click.group(context_settings=SETTINGS)
def train() -> None:
    """Train, score and predict.

    \b
    Example:
      curate train fit people --out runs/first
    """


for command in (fit, lr_find, sweep, runs, score, predict, augment_sheet):
    train.add_command(command)
