"""What the benchmark of suspects plants, and how it counts what is found."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from bench.suspects import KINDS, SHARE, figures, known_faults, planted, spoil, table, with_blob
from curate.dataset import Dataset, open_dataset
from curate.masks import PERSON
from tests.sample import sample_people


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return sample_people(tmp_path_factory.mktemp("suspects") / "people")


def test_a_twentieth_is_spoiled_in_every_way_and_no_known_fault_once_more(people: Dataset) -> None:
    found = list(planted(people, 0, known_faults(people)))
    rows = {row["sample_id"]: row for row in people.rows("train")}
    assert len({sample_id for sample_id, _, _ in found}) == len(found)
    assert len(found) == round(SHARE * (len(rows) - len(known_faults(people).keys() & rows.keys())))
    counts = Counter(kind for _, kind, _ in found)
    assert set(counts) == set(KINDS)
    assert max(counts.values()) - min(counts.values()) <= 1
    for sample_id, _, mask in found:
        assert sample_id not in known_faults(people)
        assert (mask != (people.target(rows[sample_id]) == PERSON)).any()


def test_the_spoiled_version_differs_in_those_masks_alone(people: Dataset, tmp_path: Path) -> None:
    spoiled = spoil(people, tmp_path / "set", 0, known_faults(people))
    before, after = (dict(one.samples.select("sample_id", "mask_sha256").iter_rows()) for one in (people, spoiled))
    assert {one for one in before if before[one] != after[one]} == {
        one for one, _, _ in planted(people, 0, known_faults(people))
    }
    assert (
        spoil(people, tmp_path / "set", 0, known_faults(people)).header.digest
        == open_dataset(tmp_path / "set").header.digest
    )


def test_a_blob_stands_on_the_background() -> None:
    person = np.zeros((60, 80), bool)
    person[10:50, 30:50] = True
    found = with_blob(person, np.random.default_rng(0))
    assert found is not None
    assert (found & person).sum() == person.sum()
    assert 0 < (found & ~person).sum() <= 0.12 * person.sum()
    assert with_blob(np.ones((60, 80), bool), np.random.default_rng(0)) is None


def test_figures_are_shares_found_and_average_precision() -> None:
    ranked = [f"{number}" for number in range(20)]
    assert figures(ranked, {"0", "3"}) == pytest.approx((0.5, 0.5, (1 + 2 / 4) / 2))
    assert figures(ranked, {"0", "1"}) == pytest.approx((0.5, 1.0, 1.0))


def test_the_table_tells_means_lowest_and_each_kind() -> None:
    ranked = [f"{number}" for number in range(20)]
    own = dict.fromkeys(("one run", "two runs", "one run, ONNX", "two runs, ONNX"), ranked)
    lines = list(table([own | {"loss": ranked[::-1]}] * 2, [{"0": "hole"}, {"19": "drop"}]))
    assert "| loss | 0.500 (0.000) | 0.500 (0.000) | 0.525 (0.050) |" in lines
    assert "| hole | 1 | 1 | 1 | 1 | 1 |" in lines
    assert "| drop | 1 | 0 | 0 | 0 | 0 |" in lines
