"""What a row costs in a small dataset and in a large one: `python -m bench.growing --rows 10000 100000 --work DIR`.

Each command once for each number of rows, in a process of its own: seconds a row, and MiB of memory at its peak,
together with the processes it forks. Both are compared with those of the smallest dataset, starting up taken off.
"""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench.measure import BenchError, Cost, contender, curate, run_fresh
from bench.rows import Row

START_ROWS = 200
"""Rows of the dataset whose cost is that of starting up."""
START_UP = 3
"""Where the smallest dataset takes less than so many times what starting up takes, its rows cannot be told apart."""
FLAT = 1.1
"""A row may cost so many times what it costs in the smallest dataset."""
MOST_MIB = 4096


def costs(work: Path, rows: int, *, reviewed: bool) -> dict[str, Cost]:
    """What each command takes for so many rows, in the order of a dataset's life; without a run, if not `reviewed`."""
    os.environ["CURATE_CACHE"] = str(work / "cache")
    folder = work / f"grown-{rows}"
    shutil.rmtree(folder, ignore_errors=True)
    run_fresh(contender("growing_inputs", "sources", folder, rows))
    built, split, run = folder / "people", folder / "again", folder / "run"
    coco: list[str | Path] = ["--coco", folder / "people.json", "--images", folder / "photos"]
    found = {"build from annotations": measured("build", *coco, "--folds", "2", "--out", built)}
    found["check"] = measured("check", built)
    found["split again"] = measured("build", "--from", built, "--seed", "1", "--out", split)
    found["diff"] = measured("diff", built, split, "--json")
    if not reviewed:
        shutil.rmtree(folder)
        return found
    run_fresh(contender("growing_inputs", "run", built, run))
    found["failures"] = measured("review", "failures", run)
    found["slices"] = measured("review", "slices", run)
    found["mine"] = run_fresh(contender("mine_once", run), watched=True).cost
    found["report"] = measured("review", "report", run)
    shutil.rmtree(folder)
    return found


def measured(*words: str | Path) -> Cost:
    """What a command of curate takes, memory with that of the processes it forks."""
    return run_fresh(["sh", "-c", '"$@" > /dev/null', "sh", *map(str, curate(*words))], watched=True).cost


def growing(work: Path, sizes: Sequence[int]) -> list[Row]:
    """What a row costs in the largest of some datasets, beside what it costs in the smallest; without a run."""
    least, most = min(sizes), max(sizes)
    if least <= START_ROWS:
        raise BenchError(f"{least} rows: expected more than {START_ROWS}, whose cost is that of starting up")
    found = {rows: costs(work, rows, reviewed=False) for rows in (START_ROWS, *sizes)}
    rows = []
    for command in found[least]:
        small, large = (a_row(found, command, size) for size in (least, most))
        for unit, ours, theirs in zip(("ms", "KiB"), large, small, strict=True):
            what = (
                f"{command}: what each of {most:,} rows takes, beside one of {least:,}" if unit == "ms" else "  memory"
            )
            told = theirs > 0 and found[least][command].wall_s > START_UP * found[START_ROWS][command].wall_s
            ratio, target = (over(ours, theirs), FLAT) if told else (None, None)
            rows.append(Row(what=what, unit=unit, ours=ours, theirs=theirs, ratio=ratio, target=target))
    return rows


def a_row(found: Mapping[int, Mapping[str, Cost]], command: str, rows: int) -> tuple[float, float]:
    """Milliseconds and KiB that each row beyond the first START_ROWS takes."""
    cost, begun = found[rows][command], found[START_ROWS][command]
    further = rows - START_ROWS
    return 1e3 * (cost.wall_s - begun.wall_s) / further, 1024 * (cost.peak_mib - begun.peak_mib) / further


def over(own: float, least: float) -> float:
    """How many times what a row takes in the smallest dataset; 1 where that is nothing."""
    return own / least if least > 0 else 1.0


def table(found: Mapping[int, Mapping[str, Cost]]) -> Iterator[str]:
    """A row for each command and number of rows."""
    smallest, *_ = sizes = sorted(found)[1:]
    yield "| command | rows | s | ms a row | against the smallest | MiB | KiB a row | against the smallest |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for command in found[START_ROWS]:
        first = a_row(found, command, smallest)
        for rows in sizes:
            cost, own = found[rows][command], a_row(found, command, rows)
            time, memory = map(over, own, first)
            told = [f"{cost.wall_s:.1f}", f"{own[0]:.3f}", f"{time:.2f}{mark(time)}"]
            told += [
                f"{cost.peak_mib:.0f}{mark(cost.peak_mib / MOST_MIB)}",
                f"{own[1]:.2f}",
                f"{memory:.2f}{mark(memory)}",
            ]
            yield f"| {command if rows == smallest else ''} | {rows:,} | {' | '.join(told)} |"


def mark(ratio: float) -> str:
    """An exclamation mark where a ratio is beyond what is allowed."""
    return " !" if ratio > FLAT else ""


def main() -> None:
    """Measure each number of rows and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.growing", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], metavar="N")
    parser.add_argument(
        "--work", type=Path, required=True, metavar="DIR", help="Folder for the datasets; 12 GB a million."
    )
    told = "Leave out the commands about a scored run, which take 10 minutes for each number of rows."
    parser.add_argument("--no-run", action="store_true", help=told)
    given = parser.parse_args()
    work: Path = given.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    sizes: Sequence[int] = sorted({START_ROWS, *given.rows})
    print("\n".join(table({rows: costs(work, rows, reviewed=not given.no_run) for rows in sizes})))


if __name__ == "__main__":
    main()
