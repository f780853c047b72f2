"""`curate loop status`: what of a loop is done, begun and to do, from a look at its files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from review.loop.ahead import arm_folders
from review.loop.round import TO_LABEL, round_folder
from review.loop.run import read_loop
from train.monitoring.log import is_finished, read_log


def loop_status(out: Path) -> Iterator[tuple[str, str]]:
    """(step, state) for every step of the loop in order; the state is done, begun or to do, or what was decided."""
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
        yield f"round {number}: verdict", state
    yield "report", "done" if (out / "report.html").is_file() else "to do"


def run_state(run: Path) -> str:
    """How far a run is."""
    if is_finished(run):
        return "done"
    return f"begun, {len(read_log(run))} epochs" if (run / "config.json").is_file() else "to do"
