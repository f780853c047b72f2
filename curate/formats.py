"""The number of the format, in every file that heads a folder: dataset.json, config.json, sweep.json, loop.json ..."""

from __future__ import annotations

from pathlib import Path

import msgspec

from curate import schema
from curate.errors import JSON_ERRORS, VersionError


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
