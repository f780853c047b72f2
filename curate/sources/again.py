"""The sources of a dataset version, read again where they still lie where they lay at the build."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curate.choosing.recipe import make_recipe
from curate.dataset import open_dataset
from curate.errors import MissingError
from curate.sources import Read
from curate.sources.reading import read_sources
from curate.sources.version import read_versions
from curate.storage.copies import with_paths


class MadeOtherwiseError(MissingError):
    """A version was not built from sources, but made of another version."""


def read_again(options: Mapping[str, Any]) -> list[Read]:
    """The sources that a version was built from; nothing is downloaded.

    Args:
        options: The recipe in its header.

    Raises:
        MadeOtherwiseError: The version was made by another command than `build`.
        CurateError: A source is not where it was, or cannot be read.
    """
    if "command" in options:
        raise MadeOtherwiseError(f"this version was made by `curate {options['command']}`")
    recipe = make_recipe({name: _at_hand(value) for name, value in options.items()})
    if recipe.from_:
        return list(read_versions(open_dataset(Path(recipe.from_)), recipe.merge))
    return read_sources(recipe, download=False)


def _at_hand(value: Any) -> Any:
    """An option with the paths at which the cache holds what its URLs name."""
    if isinstance(value, list):
        return [_at_hand(one) for one in value]
    return with_paths(value) if isinstance(value, str) else value
