"""Augmentations: in step, repeatable, and never counting what did not count."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from train.augment import augment, far_or_near, flip, occlude, part_of_person, random_window, window
from train.config import RECIPES

SIDE = 64


def person_at(box: tuple[int, int, int, int]) -> Tensor:
    """A target with one upright rectangle (top, left, bottom, right) of person."""
    target = torch.zeros((SIDE, SIDE), dtype=torch.uint8)
    target[box[0] : box[2], box[1] : box[3]] = 255
    return target


def as_image(target: Tensor) -> Tensor:
    """The target as an image: what happens to one must happen to the other."""
    return target[None].repeat(3, 1, 1)


def noisy(seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (3, SIDE, SIDE), dtype=np.uint8))


@settings(derandomize=True, max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    top=st.integers(0, 40),
    left=st.integers(0, 40),
    step=st.sampled_from([flip, random_window, part_of_person, far_or_near]),
)
def test_image_and_target_stay_in_step(seed: int, top: int, left: int, step: object) -> None:
    target = person_at((top, left, top + 20, left + 14))
    image, moved = step(as_image(target), target, np.random.default_rng(seed))  # type: ignore[operator]
    counted = moved != 128
    seen, labelled = (image[0] > 127) & counted, moved == 255
    # A pixel right on an outline may fall to either side; a shift by one pixel would show along a whole edge.
    assert int((seen ^ labelled).sum()) <= 4 + 0.35 * outline_px(labelled)
    if labelled.any():
        for axis in (0, 1):
            at = torch.arange(SIDE, dtype=torch.float64)
            one, other = (float((at * each.sum(axis)).sum() / each.sum()) for each in (seen, labelled))
            assert abs(one - other) < 0.6


def outline_px(mask: Tensor) -> int:
    return int((mask[1:] ^ mask[:-1]).sum() + (mask[:, 1:] ^ mask[:, :-1]).sum())


def test_a_window_without_scaling_is_a_shift_to_the_pixel() -> None:
    target = person_at((10, 12, 30, 40))
    image, moved = window(noisy(), target, (5, -7, SIDE, SIDE))
    assert torch.equal(image[:, : SIDE - 5, 7:], noisy()[:, 5:, : SIDE - 7])
    assert torch.equal(moved[: SIDE - 5, 7:], target[5:, : SIDE - 7])
    assert (moved[:, :7] == 128).all()
    assert (moved[SIDE - 5 :] == 128).all()


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_repeats_and_leaves_its_inputs_alone(recipe: str) -> None:
    image, target = noisy(), person_at((10, 10, 50, 30))
    kept = image.clone(), target.clone()
    state = torch.random.get_rng_state()
    one = augment(image, target, recipe, np.random.default_rng([1, 2]))
    other = augment(image, target, recipe, np.random.default_rng([1, 2]))
    assert torch.equal(one[0], other[0])
    assert torch.equal(one[1], other[1])
    assert torch.equal(image, kept[0])
    assert torch.equal(target, kept[1])
    assert torch.equal(torch.random.get_rng_state(), state)
    assert one[0].shape == image.shape
    assert one[1].shape == target.shape
    assert one[0].dtype == one[1].dtype == torch.uint8
    different = [augment(image, target, recipe, np.random.default_rng(seed))[0] for seed in range(8)]
    assert (recipe == "none") == all(torch.equal(image, each) for each in different)


@settings(derandomize=True, max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), recipe=st.sampled_from(RECIPES))
def test_targets_stay_targets_and_nothing_new_counts(seed: int, recipe: str) -> None:
    target = person_at((20, 20, 60, 40))
    target[:, 30:] = 128
    ignored_everywhere = torch.full_like(target, 128)
    rng = lambda: np.random.default_rng(seed)  # noqa: E731
    assert set(augment(noisy(), target, recipe, rng())[1].unique().tolist()) <= {0, 128, 255}
    assert (augment(noisy(), ignored_everywhere, recipe, rng())[1] == 128).all()


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("value", [0, 128, 255])
def test_uniform_targets_are_no_trouble(recipe: str, value: int) -> None:
    target = torch.full((SIDE, SIDE), value, dtype=torch.uint8)
    for seed in range(10):
        assert augment(noisy(), target, recipe, np.random.default_rng(seed))[0].shape == (3, SIDE, SIDE)


def test_an_occluder_takes_person_away_only_where_the_image_changed() -> None:
    image, target = noisy(), person_at((5, 5, 60, 60))
    target[:3] = 128
    taken = 0
    for seed in range(20):
        covered, left = occlude(image, target, np.random.default_rng(seed))
        changed = (covered != image).any(0)
        assert not ((left != target) & ~changed).any()
        assert not ((left == 255) & (target != 255)).any()
        assert torch.equal(left == 128, target == 128)
        taken += int((left != target).sum())
    assert taken > 0


def test_a_dark_image_is_darker_and_a_flat_one_flatter() -> None:
    image, target = noisy(), person_at((0, 0, 1, 1))
    for seed in range(10):
        assert (
            augment(image, target, "dark", np.random.default_rng(seed))[0].float().mean() < 0.7 * image.float().mean()
        )
        assert (
            augment(image, target, "low-contrast", np.random.default_rng(seed))[0].float().std()
            < 0.8 * image.float().std()
        )


def test_far_shows_the_whole_person_smaller() -> None:
    target = person_at((2, 2, 62, 62))
    areas = [int((far_or_near(noisy(), target, np.random.default_rng(seed))[1] == 255).sum()) for seed in range(20)]
    assert min(areas) < 0.5 * 60 * 60
