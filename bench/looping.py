"""What the loop of `curate demo` takes beside its training, and what it earns beside its control."""

from __future__ import annotations

import shutil
from pathlib import Path

from bench.measure import contender, run_fresh
from bench.rows import Row, share

DEMO_S = 360
"""What a demo may take on two cores."""
OVERHEAD = 1.5
"""A loop may take so many times as long as its training: the rest is scoring, mining and telling of it."""


def looping(work: Path) -> list[Row]:
    """One demo, from nothing."""
    folder = work / "demo"
    shutil.rmtree(folder, ignore_errors=True)
    outcome = run_fresh(contender("demo_once", folder))
    wall_s, found = outcome.cost.wall_s, outcome.printed
    earned = found["after"] / found["control"]
    return [
        Row(what="curate demo: base, rounds of two and three arms, report", unit="s", ours=wall_s,
            target=DEMO_S),
        share("  beside the training alone", "s", wall_s, found["trained_s"], OVERHEAD),
        Row(what="  image mean IoU on test, beside the control", unit="", ours=found["after"], theirs=found["control"],
            ratio=earned, target=1, bound="at least"),
    ]  # fmt: skip
