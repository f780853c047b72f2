"""Options that say where the work is done."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import click

from curate.engine import ADDRESS, ENGINE, ENGINES


def engine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--engine` and `--ray-address`; what they say holds for processes that are started, too."""

    def keep(ctx: click.Context, option: click.Parameter, value: str | None) -> None:
        if value:
            os.environ[{"engine": ENGINE, "ray_address": ADDRESS}[str(option.name)]] = value

    # Eager: said before a URL is looked at, wherever it stands on the command line.
    shared: dict[str, Any] = {"callback": keep, "expose_value": False, "is_eager": True}
    engine = click.option(
        "--engine", type=click.Choice(ENGINES), metavar="|".join(ENGINES), envvar=ENGINE, **shared,
        help="Work on this machine's cores, or with Ray on a cluster's.  [default: local]",
    )  # fmt: skip
    address = click.option(
        "--ray-address", metavar="HOST:PORT", envvar=ADDRESS, **shared,
        help="The cluster.  [default: the one this machine belongs to, else this machine]",
    )  # fmt: skip
    return engine(address(command))
