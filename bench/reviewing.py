"""What a review of many images costs: failures, slices, the report, and opening and searching the App's dataset."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

from bench.database import start_database
from bench.measure import ROOT, BenchError, contender, curate, run_fresh
from bench.rows import Row

FAILURES_PER_S, REPORT_S, REPORT_MB, AGAIN_S = 150, 120, 25, 30
"""Of 10,000 images of 640x480 px: failures a second, seconds and size of a report, seconds to open them again."""
FULL = 10_000
PAGE_S, MANY_AGAIN_S = 2, 30
"""Of 100,000 samples in the App's database: the slowest page that a reviewer asks for, and to open them again."""
MANY = 100_000


def reviewing(work: Path, images: int) -> list[Row]:
    """Each command once, on drawn people and a fair model's predictions."""
    folder = work / f"review-{images}"
    if not (folder / "run/scores.parquet").exists():
        shutil.rmtree(folder, ignore_errors=True)
        run_fresh(contender("score_inputs", folder, images))
        run_fresh(contender("review_inputs", folder))
    (folder / "database").mkdir(exist_ok=True)
    start_database(folder / "database")
    os.environ["CURATE_CACHE"] = str(folder / "cache")
    for place in (folder / "cache", folder / "run/overlays"):
        shutil.rmtree(place, ignore_errors=True)
    for made in ("failures.parquet", "suspects.parquet", "report.html"):
        (folder / "run" / made).unlink(missing_ok=True)
    run, whole = folder / "run", images >= FULL
    first_s, failures_s = (seconds("review", "failures", run) for _ in range(2))
    slices_s = seconds("review", "slices", run)
    report_s = seconds("review", "report", run)
    opened_s, again_s = (seconds("review", "open", run, "--no-launch") for _ in range(2))
    size = (run / "report.html").stat().st_size / 1e6
    of = f"{images:,} images of 640x480"
    return [
        Row(what=f"failures of {of}, labels checked for the first time", unit="s", ours=first_s),
        Row(
            what="  labels known: images per second",
            unit="1/s",
            ours=images / failures_s,
            target=FAILURES_PER_S,
            bound="at least",
        ),
        Row(what=f"slices of {of}, measured for the first time", unit="s", ours=slices_s),
        Row(what=f"report of {of}, failures and slices known", unit="s", ours=report_s),
        Row(
            what="  with failures and slices",
            unit="s",
            ours=failures_s + slices_s + report_s,
            target=REPORT_S if whole else None,
        ),
        Row(what="  its size", unit="MB", ours=size, target=REPORT_MB),
        Row(what=f"App's dataset of {of}: the first time", unit="s", ours=opened_s),
        Row(what="  again", unit="s", ours=again_s, target=AGAIN_S if whole else None),
    ]


def browsing(work: Path, samples: int) -> list[Row]:
    """The App's dataset of many samples: made, opened again, and sorted and filtered through all saved views."""
    folder = work / f"browse-{samples}"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "database").mkdir(parents=True)
    start_database(folder / "database")
    took = run_fresh(contender("app_of_many", folder, samples)).printed
    made_s, again_s = took.pop("made"), took.pop("opened again")
    slowest = max(took, key=took.__getitem__)
    of, whole = f"{samples:,} samples", samples >= MANY
    return [
        Row(what=f"App's dataset of {of}: the first time", unit="s", ours=made_s),
        Row(what="  again", unit="s", ours=again_s, target=MANY_AGAIN_S if whole else None),
        Row(what=f"  the slowest of {len(took)} pages ({slowest})", unit="s", ours=took[slowest], target=PAGE_S),
    ]


def seconds(*words: str | Path) -> float:
    """What a command of curate takes on the clock, the start of Python included; BenchError where it fails."""
    begun = time.perf_counter()
    done = subprocess.run(curate(*words), cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"curate {words[0]} {words[1]}: {done.stderr.strip().splitlines()[-1]}")
    return time.perf_counter() - begun
