"""The pool: what is worth a label, and what is learnt from without one."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path

import msgspec
import numpy as np
import pytest

from curate.dataset import Dataset, open_dataset, read_table
from review.loop import offer as offers
from review.loop.card import write_card
from review.loop.mine import Mining
from review.loop.pool import POOL, accept_above, directions_of, disagreement, nearest_of, one_of_each_kind
from review.loop.run import run_loop
from tests.review.loop.making import FIT, configure, of_split, quiet
from train.config import FitConfig, read_config
from train.fit import fit
from train.monitoring.log import read_log


def test_directions_are_told_from_the_common_mean_and_no_component_outweighs_another() -> None:
    rng = np.random.default_rng(0)
    embeddings = np.float32(100 + rng.normal(size=(400, 6)) * [1000, 1, 1, 1, 1, 1])
    cosines = directions_of(embeddings) @ directions_of(embeddings).T
    assert np.linalg.norm(directions_of(embeddings), axis=1) == pytest.approx(1)
    assert np.abs(cosines[np.triu_indices(400, 1)]).mean() < 0.45, "by the first component alone it would be 1"
    assert directions_of(np.ones((2, 3), np.float32)) @ np.ones((0, 1)) == pytest.approx(0)


def test_the_nearest_is_told_of_any_number() -> None:
    rng = np.random.default_rng(0)
    some, others = rng.normal(size=(1500, 4)), rng.normal(size=(7, 4))
    highest, places = nearest_of(some, others)
    assert highest == pytest.approx((some @ others.T).max(1))
    assert places.tolist() == (some @ others.T).argmax(1).tolist()
    assert nearest_of(some, np.empty((0, 4)))[0].tolist() == [-1] * 1500


def test_what_is_offered_is_worth_much_even_where_all_look_alike() -> None:
    """Of a weak model's embeddings one component is nearly everything; to be spread out may not cost what it is for."""
    rng = np.random.default_rng(0)
    worth, near = rng.uniform(size=300), np.array([1.0, 0]) + rng.normal(size=(300, 2)) * 0.01
    offered = one_of_each_kind(worth, near / np.linalg.norm(near, axis=1, keepdims=True), 50)[:50]
    assert worth[offered].mean() > 0.8


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, [0, 1, 2, 3]), (1, [0, 1, 2, 3]), (2, [0, 2, 1, 3]), (3, [0, 2, 3, 1]), (9, [0, 1, 2, 3])],
)
def test_what_is_offered_is_one_of_each_kind(count: int, expected: list[int]) -> None:
    worth, directions = np.array([0.9, 0.8, 0.5, 0.1]), np.array([[1.0, 0], [1, 0], [0, 1], [-1, 0]])
    assert one_of_each_kind(worth, directions, count) == expected


def test_common_kinds_are_offered_in_parts() -> None:
    rng = np.random.default_rng(0)
    common, rare = rng.normal([1, 0], 0.2, (90, 2)), rng.normal([0, 1], 0.2, (10, 2))
    worth = np.concatenate([rng.uniform(0, 0.5, 90), rng.uniform(0.5, 1, 10)])
    offered = one_of_each_kind(worth, np.concatenate([common, rare]), 10)[:10]
    assert 3 <= sum(place < 90 for place in offered) <= 9
    assert worth[offered][0] == worth.max()


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (["##..", "##.."], 0.0),
        (["##..", "..##"], 1.0),
        (["....", "...."], 0.0),
        (["....", "#..."], 1.0),
        (["##..", "#...", "##.."], 1 - (0.5 + 1 + 0.5) / 3),
    ],
    ids=["alike", "apart", "both empty", "one empty", "the mean of pairs"],
)
def test_disagreement_is_what_pairs_do_not_share(said: list[str], expected: float) -> None:
    masks = np.stack([np.array([[letter == "#" for letter in one]]) for one in said])
    assert disagreement(masks[:, None]) == pytest.approx([expected])


def test_guesses_are_believed_as_far_as_the_model_was_right() -> None:
    sure = [0.99 - number / 100 for number in range(40)]
    assert accept_above(sure, [0.95] * 20 + [0.5] * 20) == pytest.approx(sure[21]), "(20 x 0.95 + 2 x 0.5) / 22 > 0.9"
    assert accept_above(sure, [0.5] * 40) is None
    assert accept_above(sure, [1.0] * 5 + [0.0] * 35) is None, "of so few nothing is told"
    assert accept_above([], []) is None


def test_the_pool_is_searched_and_offered(pooled: Dataset, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "loop"
    config = configure(pooled, out, start=run, to="png", mining=Mining(offer=3))
    (result,) = run_loop(pooled, out, config, quiet)
    found = read_table(out / "round-1/pool.parquet", POOL)
    pool = of_split(pooled, "pool")
    assert sorted(found["sample_id"]) == sorted(pool)
    assert found["worth"][0] == found["worth"].max()
    assert found["worth"][3:].is_sorted(descending=True)
    assert set(found["like"]) <= set(of_split(pooled, "train"))
    assert all(0 <= value <= 1 and math.isfinite(value) for value in found["disagreement"])
    with zipfile.ZipFile(out / "round-1/to-label.zip") as archive:
        images = {Path(name).stem for name in archive.namelist() if name.startswith("images/")}
    assert images & set(pool) == set(found["sample_id"][:3])
    assert len(images) == result.offered == 3 + result.mined["suspected"]


def test_a_reviewers_word_on_the_pool_counts(pooled: Dataset, run: Path, tmp_path: Path) -> None:
    """And one on an image that is not learnt from steers nothing: least of all one of the test split."""
    gone, asked, hard, *_ = of_split(pooled, "pool")
    told = dict.fromkeys([hard, "nobody", *of_split(pooled, "test"), *of_split(pooled, "val")], "hard")
    out = tmp_path / "loop"
    config = configure(pooled, out, start=run, to="png", mining=Mining(offer=5))
    run_loop(pooled, out, config, quiet, verdicts=told | {gone: "exclude", asked: "relabel"})
    found = read_table(out / "round-1/pool.parquet", POOL)
    assert set(found["like"]) <= set(of_split(pooled, "train"))
    with zipfile.ZipFile(out / "round-1/to-label.zip") as archive:
        images = {Path(name).stem for name in archive.namelist() if name.startswith("images/")}
    assert {asked, hard} <= images
    assert images & set(of_split(pooled, "pool")) == {*of_split(pooled, "pool")} - {gone}


def test_what_the_model_is_sure_of_is_learnt_from(
    pooled: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = FIT | {"model": "unet", "folds": 0}  # which sees somebody sooner
    run = fit(pooled, tmp_path / "run", FitConfig(dataset="", digest="", **options))
    monkeypatch.setattr(offers, "accept_above", lambda confidences, ious: 0.0)  # so small a model is right in nothing
    out = tmp_path / "loop"
    config, said = configure(pooled, out, start=run, mining=Mining(pool="learn")), list[str]()
    (result,) = run_loop(pooled, out, config, said.append)
    assert any("has no fold models, so that what fails is told by a model that has learnt it" in line for line in said)
    learnt = open_dataset(out / "round-1/guessed")
    assert learnt.header.parent == pooled.header.digest
    assert result.guessed == len(of_split(learnt, "train")) - 12 > 0
    control, candidate = (read_config(out / "round-1" / arm) for arm in ("control", "candidate"))
    assert (control.digest, candidate.digest) == (pooled.header.digest, learnt.header.digest)
    write_card(pooled, out, msgspec.structs.replace(result, promoted=True, promotes="round-1/candidate"), config.mining)
    card = (out / "round-1/candidate/MODEL_CARD.md").read_text()
    assert f"Nobody labelled {result.guessed} of the training images: they were learnt under guesses" in card
    assert f"{len(of_split(learnt, 'train'))} train" in card
    images = [[line.images for line in read_log(out / "round-1" / arm)] for arm in ("control", "candidate")]
    assert images[0] == images[1] == [12], "both arms draw as many"
