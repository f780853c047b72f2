"""`curate train`: its commands stand each in a module of its own."""

from __future__ import annotations

import click

from curate.errors import UsageError
from train.commands.augment_sheet import augment_sheet
from train.commands.console import SETTINGS, is_silent, is_started_together
from train.commands.export import export_model
from train.commands.fit import fit, lr_find
from train.commands.predict import predict
from train.commands.runs import runs
from train.commands.score import score
from train.commands.sweep import sweep


@click.group(context_settings=SETTINGS)
@click.pass_context
def train(ctx: click.Context) -> None:
    """Train, score, predict and export.

    \b
    Example:
      curate train fit people --out runs/first
    """
    if is_started_together() and ctx.invoked_subcommand != "fit":
        if is_silent():
            ctx.exit(2)
        raise UsageError(f"torchrun: several processes train together with fit alone, not {ctx.invoked_subcommand}")


for command in (fit, lr_find, sweep, runs, score, predict, export_model, augment_sheet):
    train.add_command(command)
