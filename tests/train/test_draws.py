"""What an epoch draws: a mined image has its own recipe in half of its draws, any other always the usual one."""

from __future__ import annotations

import numpy as np

from tests.train.making import make_dataset
from train.batches import fill_cache
from train.training import Material, epoch_draws


def test_a_recipe_of_its_own_is_used_in_half_of_the_draws(tmp_path) -> None:  # type: ignore[no-untyped-def]
    dataset = make_dataset(tmp_path / "people", ("train",) * 4)
    cache = fill_cache(dataset, dataset.rows("train"), 32, lambda steps: None)
    recipes = ["dark", "standard", "standard", "standard"]
    weights = np.array([3.0, 1, 1, 1])
    material = Material({32: cache}, np.arange(4), weights, recipes, validation=[], epoch_images=2000)
    draws = epoch_draws(material, "standard", (0, 0, 1))
    own = [draw.recipe for draw in draws if draw.row == 0]
    assert 900 < len(own) < 1100, "half of all draws, by its weight"
    assert 0.45 < own.count("dark") / len(own) < 0.55
    assert {draw.recipe for draw in draws if draw.row != 0} == {"standard"}
    assert draws == epoch_draws(material, "standard", (0, 0, 1))
    assert draws != epoch_draws(material, "standard", (0, 0, 2))
