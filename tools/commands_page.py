"""Writes docs/commands.md from the help of the commands: `python -m tools.commands_page`. A test compares them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from curate.cli import cli

PAGE = Path(__file__).resolve().parent.parent / "docs" / "commands.md"


def walk(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command below a group, with the words that call it, in the group's order."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from walk(command, (*path, name))


def help_text(words: tuple[str, ...], command: click.Command) -> str:
    """What `curate <words> --help` prints at 100 columns."""
    parent: click.Context | None = None
    for word in ("curate", *words[:-1]):
        parent = click.Context(click.Group(word), info_name=word, parent=parent, help_option_names=["-h", "--help"])
    context = click.Context(command, info_name=words[-1], parent=parent, max_content_width=100, terminal_width=100)
    context.show_default = True
    return "\n".join(line.rstrip() for line in command.get_help(context).splitlines())


def page() -> str:
    """The whole page."""
    parts = ["# Commands\n\nMade from the program's own help by `python -m tools.commands_page`."]
    for words, command in walk(cli):
        if not isinstance(command, click.Group):
            parts.append(f"## `curate {' '.join(words)}`\n\n```\n{help_text(words, command)}\n```")
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
