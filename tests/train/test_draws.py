"""What an epoch draws: a mined image has its own recipe in half of its draws, any other always the usual one."""

from __future__ import annotations

import numpy as np
import pytest

from curate.threads import unwatched
from tests.train.making import make_dataset
from train.data.cache import fill_memory
from train.data.material import Material
from train.engine.training import epoch_draws


def test_a_recipe_of_its_own_is_used_in_half_of_the_draws(tmp_path) -> None:  # type: ignore[no-untyped-def]
    dataset = make_dataset(tmp_path / "people", ("train",) * 4)
    cache = fill_memory(dataset, dataset.rows("train"), 32, unwatched)
    recipes = ["dark", "standard", "standard", "standard"]
    weights = np.array([3.0, 1, 1, 1])
    material = Material(
        {32: cache},
        np.arange(4),
        weights,
        recipes,
        validation=[],
        epoch_images=2000,
        scenes=np.array([], np.intp),
        held=0,
    )
    draws = epoch_draws(material, "standard", (0, 0, 1))
    own = [draw.recipe for draw in draws if draw.row == 0]
    assert 900 < len(own) < 1100, "half of all draws, by its weight"
    assert 0.45 < own.count("dark") / len(own) < 0.55
    assert {draw.recipe for draw in draws if draw.row != 0} == {"standard"}
    assert draws == epoch_draws(material, "standard", (0, 0, 1))
    assert draws != epoch_draws(material, "standard", (0, 0, 2))


def test_half_of_the_images_mixed_in_are_empty_scenes_and_none_has_no_weight(tmp_path) -> None:  # type: ignore[no-untyped-def]
    dataset = make_dataset(tmp_path / "people", ("train",) * 4 + ("background",) * 2)
    cache = fill_memory(dataset, dataset.rows("train", "background"), 32, unwatched)
    material = Material(
        {32: cache},
        np.arange(6),
        np.array([1.0, 1, 0, 1, 1, 1]),
        ["copy-paste"] * 6,
        validation=[],
        epoch_images=3000,
        scenes=np.array([4, 5]),
        held=0,
    )
    others = np.bincount([draw.other for draw in epoch_draws(material, "standard", (0, 0, 1))], minlength=6) / 3000
    assert others[2] == 0
    assert others[[4, 5]].sum() == pytest.approx(0.5 + 0.5 * 2 / 5, abs=0.04)
