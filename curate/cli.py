"""The program `curate`. Commands load lazily: `curate --help` imports neither torch nor FiftyOne."""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem

from curate import __version__
from curate.errors import CurateError
from curate.files import explain_oserror
from curate.terminal import plain_output

LONGEST_LINE = 2000
"""Characters of an error."""

COMMANDS = {
    "build": ("curate.commands.build:build", "Choose images from COCO, VOC and pairs; write a dataset version."),
    "check": ("curate.commands.check:check", "Verify a dataset version: header, tables, files, rules."),
    "show": ("curate.commands.look:show", "Say what a dataset version holds, or all that is known about one image."),
    "diff": ("curate.commands.look:diff", "Say what makes one dataset version another than a second."),
    "sheet": ("curate.commands.look:sheet", "Draw a contact sheet of a dataset version."),
    "export": ("curate.commands.export:export", "Write a dataset version for other tools: COCO JSON or a VOC folder."),
    "label": ("label.cli:label", "Take hand labels in."),
    "train": ("train.cli:train", "Train, score, predict and export."),
    "review": ("review.cli:review", "Find failures, open the App, pull decisions."),
    "loop": ("review.loop.cli:loop", "Retrain on what is hard, with a control."),
    "demo": ("review.demo:demo", "Run the whole loop on the embedded sample."),
    "doctor": ("curate.commands.doctor:doctor", "Say whether this machine has all it needs, and mend it."),
    "completion": ("curate.commands.completion:completion", "Print the script that lets bash, zsh or fish complete."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for; `--help` needs only the lines above."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        end_waits_when_interrupted()
        module, attribute = COMMANDS[name][0].split(":")
        return getattr(importlib.import_module(module), attribute)  # type: ignore[no-any-return]

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Commands, told by the lines above, and options; click itself would import every command for that."""
        alike = [CompletionItem(name, help=line) for name, (_, line) in COMMANDS.items() if name.startswith(incomplete)]
        return alike + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(__version__, prog_name="curate")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def cli(ctx: click.Context, debug: bool) -> None:
    """Silhouette: the data-centric toolkit for person segmentation.

    \b
    Example:
      curate build --min-area 0.2 --max-people 2 --out people
    """
    from curate.storage.copies import copies_taken

    ctx.with_resource(copies_taken())


@cli.result_callback()
def send_copies_back(result: object, debug: bool) -> object:
    """Send what the command has changed in folders that it was given by URL; the command's result."""
    from curate.commands.build import watching
    from curate.storage.copies import send_back

    with watching() as watch:
        for told in send_back(watch):
            click.echo(told, err=True)
    return result


def end_waits_when_interrupted() -> None:
    """Ctrl-C ends a wait for a thread.

    When polars is imported, it has the system go on with the call that SIGINT came in; Python then hears of Ctrl-C only
    when the wait is over.
    """
    with suppress(ModuleNotFoundError):  # `curate doctor` says so
        import polars  # noqa: F401

        signal.siginterrupt(signal.SIGINT, True)


class Terminated(KeyboardInterrupt):
    """SIGTERM: the program ends as it does at Ctrl-C, so that what was begun is cleared away."""


def code_of(stop: BaseException) -> int:
    """The exit code of a program that was asked to end: 143 by SIGTERM, 130 by Ctrl-C."""
    return 143 if isinstance(stop, Terminated) else 130


USUAL = {signal.SIGTERM: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}
"""What Python does about the signals that ask to end."""


@contextmanager
def ends_noticed() -> Iterator[list[KeyboardInterrupt]]:
    """SIGTERM raises Terminated as Ctrl-C raises KeyboardInterrupt, and what was raised is in the list given.

    A library may lose it: `torch.tensor` makes a ValueError of it. Where somebody else takes care of a signal already,
    that stays so.
    """
    raised, before = list[KeyboardInterrupt](), dict[signal.Signals, Any]()

    def end(number: int, frame: object) -> None:
        raised.append(Terminated() if number == signal.SIGTERM else KeyboardInterrupt())
        raise raised[-1]

    with suppress(ValueError):  # not the main thread, which alone is told of signals
        for number, usual in USUAL.items():
            if signal.getsignal(number) is usual:
                before[number] = signal.signal(number, end)
    try:
        yield raised
    finally:
        for number, usual in before.items():
            signal.signal(number, usual)


def main(arguments: list[str] | None = None) -> None:
    """Run the program and exit: 0 done, 1 a data problem, 2 usage, 130 interrupted, 143 terminated."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments or bool(os.environ.get("CURATE_DEBUG"))
    # A shell that completes reads bytes: names of options and choices, none from a stranger.
    with nullcontext() if "_CURATE_COMPLETE" in os.environ else plain_output():
        run(arguments, debug)


def run(arguments: list[str], debug: bool) -> None:
    """Run the program and exit, as `main`; with `debug` errors are raised as they are."""
    raised = list[KeyboardInterrupt]()
    try:
        with ends_noticed() as raised:
            code = cli.main(arguments, prog_name="curate", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except (click.Abort, KeyboardInterrupt) as stop:
        end_by(stop.__cause__ or stop)  # click makes an Abort of it
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except click.ClickException as error:
        if debug:
            raise
        error.show()
        sys.exit(error.exit_code)
    except CurateError as error:
        if debug:
            raise
        fail(str(error), error.exit_code)
    except ModuleNotFoundError as error:
        if debug:
            raise
        fail(f"this needs {error.name}, which is not installed here. `curate doctor` says how to install it", 1)
    except OSError as error:
        if debug:
            raise
        where = "stdout" if error.errno == errno.ENOSPC else "the system"  # who writes a file names it
        fail(str(explain_oserror(error, where)), 1)
    except Exception as error:  # a fault of ours: one line for the user, the traceback with --debug
        if debug:
            raise
        if raised:
            end_by(raised[-1])
        fail(f"internal error: {type(error).__name__}: {error}. Run again with `curate --debug ...` and report it", 1)


def end_by(stop: BaseException) -> NoReturn:
    """Print that the program was asked to end, and exit."""
    code = code_of(stop)
    fail("terminated" if code == 143 else "interrupted", code)


def fail(message: str, code: int) -> NoReturn:
    """Print one line to stderr and exit; what is quoted from a file may be of any length, and is cut."""
    told = " ".join(message.split())
    if len(told) > LONGEST_LINE:
        told = f"{told[: LONGEST_LINE // 2]} ... {told[-LONGEST_LINE // 2 :]}"
    print(f"error: {told}", file=sys.stderr)
    sys.exit(code)
