"""`curate demo`, and how much of its time is training; prints that, and the test scores of its last round, as JSON."""

import sys
from contextlib import redirect_stdout, suppress
from pathlib import Path

import msgspec

from curate.cli import main as run
from review.loop.config import read_config_of_loop
from review.loop.round import finished_round
from review.loop.times import run_times


def main(folder: Path) -> None:
    """Run the demo into a folder."""
    with redirect_stdout(sys.stderr), suppress(SystemExit):
        run(["demo", "--out", str(folder)])
    loop = folder / "loop"
    config = read_config_of_loop(loop)
    last = finished_round(loop, config.rounds)
    assert last is not None
    means = {name: last.table[name].mean_iou for name in ("control", "after")}
    print(msgspec.json.encode({"trained_s": sum(run_times(loop, config).values())} | means).decode())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
