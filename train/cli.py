"""`curate train`: its commands stand each in a module of its own."""

from __future__ import annotations

import click

from train.console import SETTINGS
from train.export_cli import export_model
from train.fit_cli import fit, lr_find
from train.predict_cli import predict
from train.score_cli import score


@click.group(context_settings=SETTINGS)
def train() -> None:
    """Train, score, predict and export.

    \b
    Example:
      curate train fit people --out runs/first
    """


for command in (fit, lr_find, score, predict, export_model):
    train.add_command(command)
