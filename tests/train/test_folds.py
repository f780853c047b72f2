"""Which images a fold model never sees."""

from __future__ import annotations

from pathlib import Path

import pytest

from curate.dataset import Dataset
from curate.errors import UsageError
from tests.train.making import make_dataset
from train.folds import assign_folds, training_ids


def groups_of(dataset: Dataset) -> dict[str, str]:
    return dict(dataset.samples.select("sample_id", "group").iter_rows())


def test_own_folds_are_whole_groups_that_cover_the_training_split(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "people", ("train",) * 24 + ("val",) * 2, per_group=3)
    fold_of = assign_folds(dataset, 4, seed=0)
    group_of = groups_of(dataset)
    assert fold_of.keys() == {row["sample_id"] for row in dataset.rows("train")}
    assert set(fold_of.values()) == set(range(4))
    assert all(
        fold_of[one] == fold_of[other] for one in fold_of for other in fold_of if group_of[one] == group_of[other]
    )
    assert fold_of == assign_folds(dataset, 4, seed=0) != assign_folds(dataset, 4, seed=1)


def test_the_datasets_folds_go_first(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "people", folds=3)
    assert assign_folds(dataset, 3, seed=7) == {row["sample_id"]: row["fold"] for row in dataset.rows("train")}
    with pytest.raises(UsageError, match=r"--folds 2: \S+ was built with 3 folds. Pass --folds 3"):
        assign_folds(dataset, 2, seed=7)


def test_no_folds(drawn: Dataset) -> None:
    assert assign_folds(drawn, 0, 0) == {}


def test_more_folds_than_groups(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "people", ("train",) * 4, per_group=2)
    with pytest.raises(UsageError, match=r"--folds 3"):
        assign_folds(dataset, 3, 0)


def test_a_fold_model_never_sees_its_fold_nor_the_groups_in_it(tmp_path: Path) -> None:
    splits = ("train", "background") * 6 + ("val", "test", "background")
    dataset = make_dataset(tmp_path / "people", splits, per_group=2)
    fold_of, group_of = assign_folds(dataset, 3, 0), groups_of(dataset)
    everything = training_ids(dataset, fold_of, -1)
    assert everything == [row["sample_id"] for row in dataset.rows("train", "background")]
    for fold in range(3):
        learnt = training_ids(dataset, fold_of, fold)
        held_out = {sample_id for sample_id, own in fold_of.items() if own == fold}
        assert not {group_of[each] for each in learnt} & {group_of[each] for each in held_out}
        assert set(everything) - set(learnt) == {
            each for each in everything if group_of[each] in {group_of[one] for one in held_out}
        }
        assert "drawn-014" in learnt
