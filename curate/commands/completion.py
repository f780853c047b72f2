"""What the shell completes: the command `curate completion`, and words and paths where click cannot know them."""

from __future__ import annotations

from collections.abc import Callable

import click
from click.shell_completion import CompletionItem, get_completion_class

Completed = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
"""What click asks for the values of a parameter."""


def words_or_path(*words: str) -> Completed:
    """What completes a value that is one of these words, or a path.

    bash shows either words or paths: words where one begins as what is typed, else paths. One word alone is no offer
    before anything is typed, since it would be put in at once.
    """

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        alike = [CompletionItem(word) for word in words if word.startswith(incomplete)]
        return alike if alike and (incomplete or len(words) > 1) else [CompletionItem(incomplete, type="file")]

    return complete


complete_path = words_or_path()


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that lets a shell complete commands, options, their values and paths.

    \b
    bash: add to ~/.bashrc    eval "$(curate completion bash)"
    zsh:  add to ~/.zshrc     eval "$(curate completion zsh)"
    fish: curate completion fish > ~/.config/fish/completions/curate.fish

    \b
    Example:
      curate completion bash
    """
    script = get_completion_class(shell)
    assert script is not None, "click knows all three"
    click.echo(script(ctx.find_root().command, {}, "curate", "_CURATE_COMPLETE").source(), nl=False)
