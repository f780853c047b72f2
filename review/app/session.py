"""The App, served on this machine alone."""

from __future__ import annotations

import os
from pathlib import Path

import fiftyone as fo
from fiftyone.core.service import ServiceException
from fiftyone.core.utils import to_slug

from curate.errors import MachineError
from review.app.actions import OPENED_IN
from review.app.plugins import add_plugin


def launch(shown: fo.Dataset, view: str | None, port: int) -> fo.Session:
    """The App on 127.0.0.1 (it has no authentication), on the named saved view or on the whole dataset.

    Raises:
        MachineError: FiftyOne's server does not come up.
    """
    add_plugin()
    os.environ[OPENED_IN] = str(Path.cwd())
    opened = shown.load_saved_view(view) if view else shown.view()
    try:
        return fo.launch_app(opened, address="127.0.0.1", port=port, remote=True)
    except ServiceException as error:
        raise MachineError(
            f"the App did not start on port {port} within a minute. Try again, or another --port"
        ) from error


def address_of(shown: fo.Dataset, view: str | None, port: int) -> str:
    """The App's address, on the named saved view where there is one."""
    query = f"?view={to_slug(view)}" if view else ""
    return f"http://127.0.0.1:{port}/datasets/{shown.name}{query}"
