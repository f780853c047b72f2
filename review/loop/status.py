"""`curate loop status`: what of a loop is done, running and next, from a look at its files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from curate.files import is_held, is_outdated
from review.loop.ahead import arm_folders
from review.loop.offer import TO_LABEL
from review.loop.run import read_loop
from review.loop.steps import round_folder
from train.config import read_config
from train.monitoring.log import is_finished, read_log

OPEN = ("to do", "begun")


def loop_status(out: Path) -> Iterator[tuple[str, str]]:
    """(step, state) for every step of the loop in order.

    The state is done, begun or to do, or what was decided; that of the first step that is not done begins with
    `running` where a process works on the loop, else with `next`.
    """
    now = "running" if is_held(out) else "next"
    for step, state in _steps(out):
        if state.startswith(OPEN) and now:
            state, now = f"{now}, {state}" if state.startswith("begun") else now, ""
        yield step, state


def _steps(out: Path) -> Iterator[tuple[str, str]]:
    config, results = read_loop(out)
    yield "base", run_state(config.base_of(out))
    for number in range(1, config.rounds + 1):
        folder = round_folder(out, number)
        yield f"round {number}: mined", "done" if (folder / "mined.parquet").is_file() else "to do"
        if (folder / TO_LABEL).is_file():
            yield f"round {number}: to label", str(folder / TO_LABEL)
        for run in arm_folders(folder):
            yield f"round {number}: {run.name}", run_state(run)
        decided = next((result for result in results if result.round == number), None)
        state = "to do" if decided is None else "promoted" if decided.promoted else "not promoted"
        yield f"round {number}: scores and verdict", state
    verdicts = [round_folder(out, result.round) / "verdict.json" for result in results]
    is_whole = len(results) == config.rounds and not any(is_outdated(out / "report.html", one) for one in verdicts)
    yield "report", "done" if is_whole else "to do"


def run_state(run: Path) -> str:
    """How far a run is."""
    if is_finished(run):
        return "done"
    if not (run / "config.json").is_file():
        return "to do"
    return f"begun, {len(read_log(run))} of {read_config(run).epochs} epochs"
