"""How long the runs of a loop have trained, from their logs."""

from __future__ import annotations

from pathlib import Path

from review.loop.config import LoopConfig
from review.loop.folders import arm_folders, round_folders
from review.loop.given import has_labels
from train.monitoring.log import read_log


def run_times(out: Path, config: LoopConfig) -> dict[str, float]:
    """Seconds that each run has trained, by its step in `loop_status`, in order; without those that have not begun.

    A base counts with its fold models, and one of `--from` with the time that it once took.
    """
    arms = [
        (f"round {number}: {run.name}", run)
        for number, folder in enumerate(round_folders(out, config.rounds), start=1)
        for run in arm_folders(folder, config.repeats, labels=has_labels(folder))
    ]
    times = {step: trained_seconds(run) for step, run in [("base", config.base_of(out)), *arms]}
    return {step: seconds for step, seconds in times.items() if seconds}


def trained_seconds(run: Path) -> float:
    """Seconds that all epochs of a run took, those of its fold models included."""
    return sum(line.seconds for folder in (run, *run.glob("fold-*")) for line in read_log(folder))
