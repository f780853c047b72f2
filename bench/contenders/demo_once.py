"""`curate demo`, and how much of its time is training; prints that, and the test scores of its last round, as JSON."""

import sys
from contextlib import redirect_stdout
from pathlib import Path

import msgspec

from curate.cli import main as run
from review.loop.config import read_config_of_loop
from review.loop.round import finished_round
from review.loop.times import run_times

ROUNDS = 2
"""Of a whole demo."""


def main(folder: Path) -> None:
    """Run the demo into a folder."""
    try:
        with redirect_stdout(sys.stderr):
            run(["demo", "--out", str(folder)])
    except SystemExit as end:
        if end.code:
            raise
    loop = folder / "loop"
    config = read_config_of_loop(loop)
    last = finished_round(loop, config.rounds)
    assert last is not None
    assert last.round == ROUNDS
    means = {name: last.table[name].mean_iou for name in ("control", "after")}
    print(msgspec.json.encode({"trained_s": sum(run_times(loop, config).values())} | means).decode())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
