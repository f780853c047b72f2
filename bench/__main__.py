"""Measure this program beside the tools people use today: `make bench`, or `python -m bench --images 2000` for a look.

Every figure is the median of the stated number of runs, each in a process of its own, the contenders in turns. Exit
code 1 where a run fails or contenders disagree; a missed target is a row that says NO.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.growing import growing
from bench.looping import looping
from bench.measure import BenchError
from bench.parts import building, labelling, opening, scaling, scoring, searching, selecting
from bench.reviewing import FULL as REVIEWED
from bench.reviewing import MANY, browsing, reviewing
from bench.rows import Row, as_json, table
from bench.training import training

FULL = 118_287
"""Images of COCO train2017."""
BUILDS = (1_000, 10_000, 100_000)
MULTIPLES = (1, 2, 5, 10)
ROWS = 100_000
GROWN = (10_000, ROWS)
PARTS = ("select", "scale", "open", "build", "search", "label", "score", "train", "review", "browse", "grow", "loop")


def main() -> None:
    """Measure what the command line names; print the table."""
    given = parse()
    rows: list[Row] = []
    try:
        with work_folder(given.work) as work:
            for name, measure in parts(given, work):
                print(f"measuring: {name} ...", file=sys.stderr, flush=True)
                rows += measure()
    except BenchError as error:
        sys.exit(f"error: {error}")
    finally:
        if rows:
            print(f"medians of {given.runs} runs; {machine_line()}\n\n{table(rows)}")
    if given.images < FULL:
        print(f"\nThe targets are meant for {FULL:,} images; at {given.images:,}, starting up is most of the time.")
    if given.json is not None:
        given.json.write_bytes(as_json(rows, machine() | {"runs": given.runs, "images": given.images}))


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure speed and memory.")
    parser.add_argument(
        "--images", type=int, default=FULL, metavar="N", help="Images of the file.  [default: %(default)s]"
    )
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="Runs of each.  [default: %(default)s]")
    parser.add_argument(
        "--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=f"Some of: {', '.join(PARTS)}."
    )
    parser.add_argument(
        "--multiples", nargs="+", type=int, default=MULTIPLES, metavar="N", help="Lengths of the scaled files."
    )
    parser.add_argument(
        "--work", type=Path, metavar="DIR", help="Keep the generated files there, and use what is there."
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="Also write the figures as JSON.")
    return parser.parse_args()


def parts(given: argparse.Namespace, work: Path) -> Iterator[tuple[str, Callable[[], list[Row]]]]:
    """The parts that are asked for, by name."""
    images, runs = given.images, given.runs
    sizes = [size for size in BUILDS if size <= images] or [max(200, images // 2), max(400, images)]
    rows = min(ROWS, images) if images < FULL else ROWS
    measurements: dict[str, Callable[[], list[Row]]] = {
        "select": lambda: selecting(work, images, runs),
        "scale": lambda: scaling(work, images, runs, given.multiples),
        "open": lambda: opening(work, rows, 2 * runs + 1),
        "build": lambda: building(work, sizes, runs),
        "search": lambda: searching(rows, runs),
        "label": lambda: labelling(work, sorted({min(1_000, images), min(10_000, images)}), runs),
        "score": lambda: scoring(work, min(500, max(20, images // 10)), runs),
        "train": lambda: training(work, images // 10, runs),
        "review": lambda: reviewing(work, min(REVIEWED, images)),
        "browse": lambda: browsing(work, min(MANY, images)),
        "grow": lambda: growing(work, GROWN if images >= FULL else (images, 2 * images)),
        "loop": lambda: looping(work),
    }
    yield from ((name, measurements[name]) for name in PARTS if name in given.only)


@contextmanager
def work_folder(given: Path | None) -> Iterator[Path]:
    """The folder for generated files: the given one, which stays, or one that goes."""
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="curate-bench-") as folder:
        yield Path(folder)


def machine() -> dict[str, object]:
    """What it ran on."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {"cores": os.cpu_count(), "memory_gib": round(memory_gib, 1), "python": platform.python_version()}


def machine_line() -> str:
    """The machine in a few words."""
    found = machine()
    return f"{found['cores']} cores, {found['memory_gib']} GiB, Python {found['python']}"


if __name__ == "__main__":
    main()
