"""`round-N/verdict.json` as the first loops wrote it: two arms, and no slices, labels or pool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from review.loop.folders import round_folder
from review.paired import Difference
from train.scoring.metrics import Summary


class FirstDifference(msgspec.Struct, frozen=True):
    """A figure of control and candidate."""

    name: str
    control: float | None
    candidate: float | None
    difference: float | None
    low: float | None
    high: float | None

    def today(self) -> Difference:
        """The same by today's names; no p-value was written."""
        return Difference(self.name, self.control, self.candidate, self.difference, self.low, self.high, None)


class FirstResult(msgspec.Struct, frozen=True):
    """The whole file."""

    round: int
    base: str
    promoted: bool
    reasons: list[str]
    epochs: int
    validation: list[FirstDifference]
    validation_images: int
    test: list[FirstDifference]
    test_images: int
    table: dict[str, Summary]
    mined: dict[str, int]
    out_of_fold: bool

    def today(self) -> dict[str, Any]:
        """The same as the fields of a RoundResult."""
        control, candidate = ((round_folder(Path(), self.round) / arm).as_posix() for arm in ("control", "candidate"))
        return msgspec.structs.asdict(self) | {
            "validation": [one.today() for one in self.validation],
            "test": [one.today() for one in self.test],
            "promotes": candidate if self.promoted else self.base,
            "proposed": "after",
            "slices": [],
            "runs": {"before": self.base, "control": control, "after": candidate},
            "evidence": self.base,
            "earned": {},
            "recipes": {},
        }
