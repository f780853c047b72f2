"""How long the runs of a loop have trained, from their logs."""

from __future__ import annotations

from pathlib import Path

from review.loop.config import LoopConfig
from review.loop.folders import arm_folders, round_folders
from review.loop.given import has_labels
from train.monitoring.log import read_log


def runs_of(out: Path, config: LoopConfig) -> dict[str, Path]:
    """The base and every arm of a loop, by their steps in `loop_status`, in order."""
    arms = [
        (f"round {number}: {run.name}", run)
        for number, folder in enumerate(round_folders(out, config.rounds), start=1)
        for run in arm_folders(folder, config.repeats, labels=has_labels(folder))
    ]
    return {"base": config.base_of(out), **dict(arms)}


def run_times(out: Path, config: LoopConfig) -> dict[str, float]:
    """Seconds that each run of `runs_of` has trained, without those that have not begun.

    A base counts with its fold models, and one of `--from` with the time that it once took.
    """
    times = {step: trained_seconds(run) for step, run in runs_of(out, config).items()}
    return {step: seconds for step, seconds in times.items() if seconds}


def best_epoch(run: Path) -> str:
    """Which of a run's epochs its weights are of, in words."""
    lines = read_log(run)
    best = max((line.epoch for line in lines if line.best), default=0)
    return f"{best} of {len(lines)}" if best else ""


def trained_seconds(run: Path) -> float:
    """Seconds that all epochs of a run took, those of its fold models included."""
    return sum(line.seconds for folder in (run, *run.glob("fold-*")) for line in read_log(folder))
