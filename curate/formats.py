"""The number of the format, in every file that heads a folder: dataset.json, config.json, sweep.json, loop.json ..."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from curate import schema
from curate.errors import JSON_ERRORS, CurateError, FormatError, VersionError

Head = TypeVar("Head")


class _Numbered(msgspec.Struct):
    format: int = 1
    """Files from before they had a number are of the first format."""


def check_format(path: Path, content: bytes) -> None:
    """Look at a file's number before anything else of it is read; what else ails it, its reader tells.

    Raises:
        VersionError: It is of a newer format than this program reads.
    """
    try:
        found = msgspec.json.decode(content, type=_Numbered).format
    except JSON_ERRORS:
        return
    if found > schema.FORMAT:
        told = f"has format {found}, this program reads up to {schema.FORMAT}"
        raise VersionError(f"{path}: {told}. Install a newer one: pip install --upgrade silhouette-curate")


def read_head(path: Path, kind: type[Head], advice: str) -> Head:
    """What a file that heads a folder says.

    Args:
        path: The file, which is there.
        kind: The struct that it holds.
        advice: What to do where it is damaged.

    Raises:
        FormatError: It is damaged.
        VersionError: It is of a newer format than this program reads.
    """
    content = path.read_bytes()
    check_format(path, content)
    try:
        return msgspec.json.decode(content, type=kind)
    except (*JSON_ERRORS, CurateError) as error:
        raise FormatError(path, f"is damaged ({error}). {advice}") from error
