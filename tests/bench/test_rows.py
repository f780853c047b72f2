"""Ratios and targets."""

from __future__ import annotations

import doctest
import json

import pytest

from bench import generate, rows
from bench.rows import Row, as_json, faster, share


@pytest.mark.parametrize("module", [rows, generate], ids=["rows", "generate"])
def test_examples_in_docstrings(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("row", "ratio", "reached"),
    [
        pytest.param(faster("", 3.0, 30.0, 10), 10.0, True, id="exactly as fast as promised"),
        pytest.param(faster("", 4.0, 30.0, 10), 7.5, False, id="too slow"),
        pytest.param(faster("", 4.0, 30.0, None), 7.5, None, id="nothing promised"),
        pytest.param(share("", "MiB", 100.0, 400.0, 1 / 3), 0.25, True, id="little memory"),
        pytest.param(share("", "MiB", 200.0, 400.0, 1 / 3), 0.5, False, id="much memory"),
        pytest.param(Row(what="", unit="s", ours=0.2, target=0.3), None, True, id="alone, below"),
        pytest.param(Row(what="", unit="s", ours=0.4, target=0.3), None, False, id="alone, above"),
    ],
)
def test_a_row_knows_whether_its_target_is_reached(row: Row, ratio: float | None, reached: bool | None) -> None:
    assert (row.ratio, row.reached) == (ratio, reached)


def test_json_holds_every_figure() -> None:
    written = json.loads(as_json([faster("select", 2.0, 30.0, 10)], {"cores": 2}))
    assert written["machine"] == {"cores": 2}
    assert written["rows"] == [
        {
            "what": "select",
            "unit": "s",
            "ours": 2.0,
            "theirs": 30.0,
            "ratio": 15.0,
            "target": 10.0,
            "bound": "at least",
            "reached": True,
        }
    ]
