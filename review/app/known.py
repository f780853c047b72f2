"""What our FiftyOne dataset says of itself: where its dataset version and its runs lie, and which run leads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import fiftyone as fo
import msgspec

from curate.errors import UsageError

INFO_KEY = "silhouette"
"""Key in the FiftyOne dataset's `info` that marks it as ours."""


class Known(msgspec.Struct, frozen=True):
    """What stands under INFO_KEY."""

    digest: str
    root: str
    """The dataset version's folder."""
    runs: Mapping[str, str] = {}
    """Prefix of its fields -> a run's folder; all that were ever shown and are still there."""
    dropped: bool = False
    """Whether it shows what the rules dropped, which is not in the dataset."""
    lead: str | None = None
    """The prefix of the run whose failures the views show."""

    @property
    def dataset(self) -> Path:
        """The dataset version's folder."""
        return Path(self.root)

    def run(self, prefix: str) -> Path:
        """A run's folder."""
        return Path(self.runs[prefix])


def known_of(shown: fo.Dataset) -> Known:
    """What a FiftyOne dataset says of itself; UsageError where it is none of ours, or shows what was dropped."""
    told = shown.info.get(INFO_KEY) if shown is not None else None
    if told is None:
        raise UsageError("this dataset is none of Silhouette's. Open one with: curate review open")
    known = msgspec.convert(told, Known)
    if known.dropped:
        raise UsageError("these photographs are not in the dataset. To take them in, build it with other rules")
    return known


def remember(shown: fo.Dataset, known: Known) -> None:
    """Write what a FiftyOne dataset says of itself."""
    shown.info[INFO_KEY] = msgspec.to_builtins(known)
    shown.save()
