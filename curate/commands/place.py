"""What a path on the command line can be: one of this machine, or a URL that stands for a copy of what is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from curate.errors import UsageError
from curate.storage.copies import located, source_at
from curate.storage.urls import file_path, is_url


class Place(click.Path):
    """A dataset, run, loop or sweep; of a URL its working copy, which is sent back after the command."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path."""
        if not (isinstance(value, str) and is_url(value)) or (ctx is not None and ctx.resilient_parsing):
            return super().convert(value, param, ctx)
        found = self.find(value, param)
        return str(found) if self.type is str else found

    def find(self, url: str, param: click.Parameter | None) -> Path:
        """The path that a URL stands for."""
        from curate.commands.build import watching

        with watching() as watch:
            return located(url, watch)


class Input(Place):
    """A file or folder of anybody's that is read; of a URL its mirror."""

    def find(self, url: str, param: click.Parameter | None) -> Path:
        """The path that a URL stands for."""
        from curate.commands.build import watching

        with watching() as watch:
            return source_at(url, watch)


class Local(Place):
    """A file or folder of this machine."""

    def find(self, url: str, param: click.Parameter | None) -> Path:
        """The path of a `file://` URL; UsageError of any other."""
        if (path := file_path(url)) is not None:
            return path
        name = f"{param.opts[0]} " if isinstance(param, click.Option) else ""
        raise UsageError(f"{name}{url}: can be a path of this machine alone. Name one")


FOLDER, INPUT, LOCAL = Place(path_type=Path), Input(path_type=Path), Local(path_type=Path)
MODEL = Input(path_type=str)
"""A file or folder, or a word that is neither."""
