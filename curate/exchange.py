"""Two folders that trade places in one step, so that at no moment one of the names stands for nothing."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
"""From Linux's <fcntl.h> and <linux/fs.h>."""


def exchange(one: Path, other: Path) -> bool:
    """Let two paths of one file system trade what they name, atomically; False where that cannot be done.

    Linux does it (renameat2), on all of its usual file systems; elsewhere nothing happens and the caller renames twice.
    """
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    if rename is None:
        return False
    return bool(rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0)
