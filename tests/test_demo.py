"""The demo as a stranger runs it: in minutes, with a table and a report at the end, and twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from curate import schema
from curate.checks.version import verify
from curate.dataset import open_dataset, read_table
from tests.conftest import REPOSITORY

pytestmark = pytest.mark.long
MINUTES = 6


def run_demo(folder: Path) -> tuple[str, float]:
    """What the demo prints, and the seconds it took."""
    code = "from curate.cli import main; main(['demo', '--out', 'demo'])"
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    start = time.monotonic()
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return result.stdout, time.monotonic() - start


@pytest.fixture(scope="module")
def demonstrated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, float]:
    """The demo's folder, what it printed, and its seconds."""
    folder = tmp_path_factory.mktemp("demo")
    return folder / "demo", *run_demo(folder)


def test_the_demo_ends_in_minutes_with_a_table_and_a_report(demonstrated: tuple[Path, str, float]) -> None:
    folder, printed, seconds = demonstrated
    assert seconds < 60 * MINUTES
    for line in ("image mean IoU", "worst tenth IoU", "before  control  labels  after", "demo/loop/report.html"):
        assert line in printed
    assert (folder / "loop" / "report.html").stat().st_size > 100_000


def test_the_demo_can_be_run_twice(demonstrated: tuple[Path, str, float]) -> None:
    folder, printed, seconds = demonstrated
    again, seconds_again = run_demo(folder.parent)
    table = printed[printed.index("test images, scored once") :]
    assert table in again
    assert seconds_again < seconds / 3


def test_what_it_leaves_is_sound(demonstrated: tuple[Path, str, float]) -> None:
    versions = [open_dataset(demonstrated[0] / name) for name in ("people", "people-2")]
    assert [list(verify(version)) for version in versions] == [[], []]
    assert versions[1].header.parent == versions[0].header.digest


def test_planted_label_errors_are_suspected_first(demonstrated: tuple[Path, str, float], sample: Path) -> None:
    suspects = read_table(demonstrated[0] / "loop/round-2/judged/evidence/suspects.parquet", schema.SUSPECTS)
    stems = {Path(row["file"]).stem for row in json.loads((sample / "planted.json").read_bytes())}
    planted = suspects.with_row_index("rank").filter(pl.col("sample_id").str.split("-").list.last().is_in(stems))
    first_tenth = planted.filter(pl.col("rank") < suspects.height / 10).height
    print(f"{first_tenth} of {planted.height} planted label errors in the first tenth of {suspects.height} suspects")
    assert first_tenth >= planted.height / 2, "five times what chance would find"
