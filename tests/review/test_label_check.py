"""The label check's findings of a dataset version, as the App shows them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from curate.dataset import Dataset
from review import label_check
from review.label_check import findings_of
from tests.review.making import Drawn, as_target, body, make_dataset, photograph

PERSON = body(50, (480, 640))
SPECKLED = PERSON.copy()
SPECKLED[5:8, 600:603] = True

SCENES = [
    Drawn("a-right", as_target(PERSON), None, photograph(PERSON, 1)),
    Drawn("b-full", as_target(np.ones_like(PERSON)), None, photograph(PERSON, 2)),
    Drawn("c-speck", as_target(SPECKLED), None, photograph(PERSON, 3)),
]


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return make_dataset(tmp_path / "people", SCENES)


def test_findings_have_their_place_and_the_worst_comes_first(dataset: Dataset) -> None:
    found = findings_of(dataset)
    assert found.row(0, named=True) | {"found": ""} == {
        "sample_id": "b-full",
        "kind": "full",
        "severity": 1.0,
        "found": "",
        "advice": "Draw the person's outline",
        "bbox_xywh": None,
    }
    [speck] = [row for row in found.iter_rows(named=True) if row["kind"] == "specks"]
    assert (speck["sample_id"], speck["bbox_xywh"]) == ("c-speck", [600, 5, 3, 3])
    assert found["severity"].is_sorted(descending=True)


def test_labels_are_checked_once(dataset: Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "cache"))
    found = findings_of(dataset)
    monkeypatch.setattr(label_check, "check_labels", None)
    assert findings_of(dataset).equals(found)
