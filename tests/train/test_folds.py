"""Which images a model never learns from, and which judge it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import polars as pl
import pytest

from curate.dataset import Dataset
from curate.errors import MissingError, UsageError
from tests.train.making import make_dataset, quick
from train.config import FitConfig
from train.data.folds import (
    assign_folds,
    held_out_tenth,
    settle_validation,
    share_images,
    training_ids,
    validation_notes,
)


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
    everything = training_ids(dataset)
    assert everything == [row["sample_id"] for row in dataset.rows("train", "background")]
    for fold in range(3):
        learnt = share_images(dataset, quick(folds=3, validation="val"))[fold].learn
        held_out = {sample_id for sample_id, own in fold_of.items() if own == fold}
        assert not {group_of[each] for each in learnt} & {group_of[each] for each in held_out}
        assert set(everything) - set(learnt) == {
            each for each in everything if group_of[each] in {group_of[one] for one in held_out}
        }
        assert "drawn-014" in learnt


def settled(dataset: Dataset, **changes: object) -> FitConfig:
    return settle_validation(quick(**changes), dataset)


def test_validation_is_the_split_where_there_is_one(drawn: Dataset) -> None:
    config = settled(drawn, folds=2)
    val = [row["sample_id"] for row in drawn.rows("val")]
    assert config.validation == "val"
    assert [share.judge for share in share_images(drawn, config).values()] == [val] * 3
    assert validation_notes(drawn, config) == []


def test_without_a_split_a_tenth_of_whole_groups_is_held_out_of_every_model(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "people", ("train",) * 39 + ("background", "test"), per_group=2)
    config, group_of = settled(dataset, folds=3), groups_of(dataset)
    assert config.validation == "tenth"
    tenth = held_out_tenth(dataset, 0)
    assert len(tenth) == 4
    assert tenth == held_out_tenth(dataset, 0) != held_out_tenth(dataset, 1)
    fold_of = assign_folds(dataset, 3, 0)
    for fold, share in share_images(dataset, config).items():
        assert share.judge == [sample_id for sample_id in tenth if fold_of[sample_id] != fold]
        assert not {group_of[each] for each in share.learn} & {group_of[each] for each in tenth}
    told = f"{dataset.root}: 4 of its 39 training images are held out to pick the best epoch, and not learnt from"
    assert validation_notes(dataset, config) == [told]


def test_a_group_larger_than_a_tenth_is_passed_over(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "people", ("train",) * 20)
    large = {f"drawn-{number:03}" for number in range(12)}
    samples = dataset.samples.with_columns(
        group=pl.when(pl.col("sample_id").is_in(list(large))).then(pl.lit("clip")).otherwise("group")
    )
    for seed in range(8):
        assert not large & set(held_out_tenth(with_samples(dataset, samples), seed))
    halves = samples.with_columns(group=pl.when(pl.col("group") == "clip").then("group").otherwise(pl.lit("rest")))
    assert len(held_out_tenth(with_samples(dataset, halves), 0)) == 8  # the smaller of two that are both too large


def with_samples(dataset: Dataset, samples: pl.DataFrame) -> Dataset:
    return replace(dataset, scan=samples.lazy())


def test_a_guess_judges_nothing(tmp_path: Path) -> None:
    guessed = pl.col("sample_id").is_in([f"drawn-{number:03}" for number in range(7)])
    origin = pl.when(guessed).then(pl.lit("model")).otherwise("origin")
    dataset = make_dataset(tmp_path / "people", ("train",) * 8, folds=2)
    dataset = with_samples(dataset, dataset.samples.with_columns(origin=origin))
    assert settled(dataset).validation == "none"  # one labelled image is left
    with_val = make_dataset(tmp_path / "with_val", ("train",) * 8 + ("val",), folds=2)
    with_val = with_samples(with_val, with_val.samples.with_columns(origin=origin))
    shares = share_images(with_val, settled(with_val, folds=2, validation="fold"))
    assert [share.judge for share in shares.values()] == [["drawn-008"], [], ["drawn-007"]]


def test_each_fold_model_is_judged_by_its_fold(tmp_path: Path) -> None:
    with_val, without = make_dataset(tmp_path / "with"), make_dataset(tmp_path / "without", ("train",) * 20)
    for dataset in (with_val, without):
        config = settled(dataset, folds=2, validation="fold")
        shares, fold_of = share_images(dataset, config), assign_folds(dataset, 2, 0)
        assert config.validation == "fold"
        for fold in (0, 1):
            assert shares[fold].judge == [each for each, own in fold_of.items() if own == fold]
            assert not set(shares[fold].judge) & set(shares[fold].learn)
        assert any("so out-of-fold figures are a little too good" in told for told in validation_notes(dataset, config))
    assert share_images(with_val, config)[-1].judge == [row["sample_id"] for row in with_val.rows("val")]
    whole = share_images(without, config)[-1]
    assert whole.judge == held_out_tenth(without, 0)
    assert len(whole.learn) == 18


def test_nothing_can_judge(tmp_path: Path) -> None:
    one = make_dataset(tmp_path / "one", ("train",) * 4, per_group=4)
    assert settled(one).validation == "none"
    assert share_images(one, settled(one))[-1].judge == []
    assert validation_notes(one, settled(one)) == [
        f"{one.root}: no image judges an epoch; the last epoch's weights are kept as the best"
    ]
    with pytest.raises(UsageError, match=r"has too few groups .* to hold one out. Pass --validation none"):
        share_images(one, quick(validation="tenth"))
    with pytest.raises(MissingError, match=r"has no validation images. Leave --validation val out"):
        settle_validation(quick(validation="val"), one)


def test_the_split_can_be_left_unused(drawn: Dataset) -> None:
    config = msgspec.structs.replace(settled(drawn), validation="none")
    assert share_images(drawn, config)[-1].judge == []
