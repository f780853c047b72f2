"""How FiftyOne finds our plugin without losing the user's own."""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path

import fiftyone as fo

from curate.files import cache_folder

OURS_NAME, THEIRS_NAME = "silhouette", "own"
OURS = Path(__file__).resolve().parent / "plugin"
VARIABLE = "FIFTYONE_PLUGINS_DIR"


def add_plugin() -> None:
    """Let this process and the App's server find our plugin beside those in the user's own plugins folder.

    FiftyOne looks into one folder and follows links, so it is given one that links to both.
    """
    theirs = Path(fo.config.plugins_dir) if fo.config.plugins_dir else None
    if theirs is not None and (theirs / OURS_NAME).is_symlink():
        return
    folder = linking_folder(theirs)
    fo.config.plugins_dir = os.environ[VARIABLE] = str(folder)


def linking_folder(theirs: Path | None) -> Path:
    """A folder with links to our plugin and to the user's own folder: in the cache, or apart where that cannot be."""
    name = hashlib.sha256(f"{OURS}\n{theirs}".encode()).hexdigest()[:12]
    folder = cache_folder().resolve() / f"fiftyone-plugins-{name}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        link_into(folder, theirs)
    except OSError:
        folder = Path(tempfile.mkdtemp(prefix="fiftyone-plugins-"))
        link_into(folder, theirs)
    return folder


def link_into(folder: Path, theirs: Path | None) -> None:
    """Make the links where they are not there yet."""
    for link, place in ((OURS_NAME, OURS), (THEIRS_NAME, theirs)):
        if place is not None:
            with suppress(FileExistsError):
                (folder / link).symlink_to(place.resolve(), target_is_directory=True)
