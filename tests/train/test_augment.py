"""Augmentations: in step, repeatable image by image, and never counting what did not count."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from train.augment import PASTING, STEPS, augment, geometry, pasting
from train.augment.geometry import (
    affine,
    far_or_near,
    mirrored,
    moved,
    part_of_person,
    seed2_variant,
    turned,
    warp,
    windowed,
)
from train.augment.pasting import copied, holding, occluded
from train.augment.scene import Batch, Scene, Step
from train.config import RECIPES

SIDE = 64


def person_at(box: tuple[int, int, int, int]) -> Tensor:
    """A target with one upright rectangle (top, left, bottom, right) of person."""
    target = torch.zeros((SIDE, SIDE), dtype=torch.uint8)
    target[box[0] : box[2], box[1] : box[3]] = 255
    return target


def noisy(seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (3, SIDE, SIDE), dtype=np.uint8))


def alike(image: Tensor, target: Tensor, number: int) -> Batch:
    """The same pair a number of times."""
    return image[None].repeat(number, 1, 1, 1), target[None].repeat(number, 1, 1)


def seeds(number: int, first: int = 0) -> list[tuple[int, ...]]:
    return [(first, place) for place in range(number)]


def scene_of(target: Tensor, first: int = 0, number: int = 16, held: int = 0) -> Scene:
    """The target as its own image: what happens to one must happen to the other. The others are black and empty."""
    images, targets = alike(target[None].repeat(3, 1, 1), target, number)
    return Scene(
        images.float() / 255,
        targets,
        [np.random.default_rng(seed) for seed in seeds(number, first)],
        torch.zeros_like(images, dtype=torch.float32),
        torch.zeros_like(targets),
        held,
    )


IN_STEP_PX = 0.25
"""A target has whole pixels, so that its middle is a little off."""

MOVES = {
    "mirrored": moved(mirrored),
    "turned": moved(turned(30, 0.7)),
    "windowed": moved(windowed(0.3, 1, 0.8)),
    "all": moved(mirrored, windowed(0.5, 1, 0.8), turned(15, 0.5)),
    "crop": moved(mirrored, part_of_person),
    "scale": moved(far_or_near, detail=2),
    "seed2": seed2_variant,
    "copy-paste": copied,
}


def disc_at(top: float, left: float, radius: float) -> tuple[Tensor, Tensor]:
    """A white disc on black, as it is seen (its edge falls off over two pixels) and as it is labelled."""
    at = torch.arange(SIDE) + 0.5
    beyond = ((at[:, None] - top) ** 2 + (at - left) ** 2).sqrt() - radius
    return ((1 - beyond) / 2).clamp(0, 1), (beyond <= 0).to(torch.uint8) * 255


def offset_px(step: Step) -> float:
    """How far a person is seen from where it is labelled after a step: the mean over images of discs here and there."""
    at = torch.arange(SIDE, dtype=torch.float64)
    offsets = []
    for first in range(6):
        rng = np.random.default_rng(first)
        seen, target = disc_at(*rng.uniform(24, 40, 2), rng.uniform(9, 14))
        scene = scene_of(target, first)
        scene = step(replace(scene, images=seen.expand_as(scene.images).clone()))
        for one, own in zip(scene.images[:, 0], scene.targets, strict=True):
            shown, labelled = one * (own != 128), (own == 255).double()
            if labelled.sum() > 30:
                centres = [[(at * each.sum(axis)).sum() / each.sum() for axis in (0, 1)] for each in (shown, labelled)]
                offsets.append(float(np.hypot(*np.subtract(*centres))))
    assert len(offsets) > 50
    return float(np.mean(offsets))


@pytest.mark.parametrize("name", MOVES)
def test_image_and_target_stay_in_step_to_the_pixel(name: str) -> None:
    assert offset_px(MOVES[name]) < IN_STEP_PX


@pytest.mark.parametrize("name", MOVES)
def test_half_a_pixel_out_of_step_would_be_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def shifted(images: Tensor, targets: Tensor, *rest: Any, **more: Any) -> Batch:
        """`warp`, with the image half a pixel further right and further down than the target."""
        images, targets = warp(images, targets, *rest, **more)
        images = (images + images.roll(1, -1)) / 2
        return (images + images.roll(1, -2)) / 2, targets

    for module in (geometry, pasting):
        monkeypatch.setattr(module, "warp", shifted)
    assert offset_px(MOVES[name]) > IN_STEP_PX


def test_a_shift_is_one_to_the_pixel() -> None:
    images, targets = alike(noisy(), person_at((10, 12, 30, 40)), 1)
    one = torch.ones(1)
    moved_images, moved_targets = warp(images / 255, targets, affine(one, one, -7 * 2 / SIDE * one, 5 * 2 / SIDE * one))
    shifted = (moved_images * 255).round().to(torch.uint8)
    assert torch.equal(shifted[0, :, : SIDE - 5, 7:], images[0, :, 5:, : SIDE - 7])
    assert torch.equal(moved_targets[0, : SIDE - 5, 7:], targets[0, 5:, : SIDE - 7])
    assert (moved_targets[0, :, :7] == 128).all()
    assert (moved_targets[0, SIDE - 5 :] == 128).all()


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_repeats_and_leaves_its_inputs_alone(recipe: str) -> None:
    batch, others = alike(noisy(), person_at((10, 10, 50, 30)), 8), alike(noisy(1), person_at((5, 5, 9, 9)), 8)
    kept = [part.clone() for part in (*batch, *others)]
    state = torch.random.get_rng_state()
    one, again = (augment(batch, others, [recipe] * 8, seeds(8)) for _ in range(2))
    assert all(map(torch.equal, one, again))
    assert all(map(torch.equal, (*batch, *others), kept))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert [part.shape for part in one] == [part.shape for part in batch]
    assert one[0].dtype == one[1].dtype == torch.uint8
    assert (recipe == "none") == all(torch.equal(image, batch[0][0]) for image in one[0])


@pytest.mark.parametrize("recipe", RECIPES)
def test_what_becomes_of_an_image_does_not_depend_on_its_batch(recipe: str) -> None:
    images, targets = torch.stack([noisy(seed) for seed in range(4)]), person_at((10, 10, 50, 30)).repeat(4, 1, 1)
    others = images.flip(0), targets
    whole = augment((images, targets), others, [recipe, "dark", recipe, "none"], seeds(4))
    alone = augment((images[2:3], targets[2:3]), (others[0][2:3], targets[2:3]), [recipe], seeds(4)[2:3])
    assert int((whole[0][2].int() - alone[0][0].int()).abs().max()) <= 1
    assert torch.equal(whole[1][2], alone[1][0])
    assert torch.equal(whole[0][3], images[3])


@pytest.mark.parametrize("recipe", RECIPES)
def test_targets_stay_targets_and_nothing_new_counts(recipe: str) -> None:
    target = person_at((20, 20, 60, 40))
    target[:, 30:] = 128
    number = 24
    others = alike(noisy(2), person_at((0, 0, 30, 30)), number)
    _, targets = augment(alike(noisy(), target, number), others, [recipe] * number, seeds(number))
    assert set(targets.unique().tolist()) <= {0, 128, 255}
    ignored = alike(noisy(), torch.full_like(target, 128), number)
    if recipe not in ("copy-paste", "strong"):  # which put an image's people, here none, before another image
        assert (augment(ignored, others, [recipe] * number, seeds(number))[1] == 128).all()


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("value", [0, 128, 255])
def test_uniform_images_and_targets_are_no_trouble(recipe: str, value: int) -> None:
    batch = alike(torch.full((3, SIDE, SIDE), value, dtype=torch.uint8), person_at((0, 0, 0, 0)) + value, 8)
    images, targets = augment(batch, batch, [recipe] * 8, seeds(8))
    assert images.shape == (8, 3, SIDE, SIDE)
    assert set(targets.unique().tolist()) <= {0, 128, 255}


@pytest.mark.parametrize(("step", "held"), [(occluded, 0), (holding, 0), (holding, 128), (holding, 255)])
def test_what_is_pasted_is_labelled_only_where_the_image_changed(step: Step, held: int) -> None:
    target = person_at((5, 5, 60, 60))
    target[:3] = 128
    scene = scene_of(target, number=32, held=held)
    after = step(scene)
    changed, relabelled = (after.images != scene.images).any(1), after.targets != scene.targets
    covered = changed | (scene.images[:, 0] == 0)  # what is pasted is black, as the ground is
    assert relabelled.any()
    assert not (relabelled & ~covered).any()
    assert torch.equal(after.targets[:, :3], scene.targets[:, :3]), "what is not counted stays so"
    assert set(after.targets[relabelled].tolist()) == {held}


def test_an_object_is_held_by_somebody() -> None:
    scene = scene_of(person_at((0, 0, 0, 0)))
    assert torch.equal(holding(scene).images, scene.images)


def test_a_dark_image_is_darker() -> None:
    batch = alike(noisy(), person_at((0, 0, 1, 1)), 10)
    dark = augment(batch, None, ["dark"] * 10, seeds(10))[0].float()
    assert (dark.mean((1, 2, 3)) < 0.7 * batch[0].float().mean()).all()


def test_low_contrast_brings_the_background_to_the_clothes() -> None:
    target = person_at((10, 20, 64, 44))
    image = torch.where(target == 255, 200, 20).repeat(3, 1, 1).to(torch.uint8)
    image[2] //= 2
    others = alike(noisy(4) // 3, torch.zeros_like(target), 16)
    scene = scene_of(target)
    images, targets = augment(alike(image, target, 16), others, ["low-contrast"] * 16, seeds(16))
    for one, own in zip(images.float(), targets, strict=True):
        if (own == 255).any() and (own == 0).any():
            clothes, ground = (one[:, own == value].mean(1) for value in (255, 0))
            assert (clothes - ground).abs().max() < 0.35 * 180, "they were 180 levels apart"
    assert scene.images.shape == images.shape


def test_far_shows_the_whole_person_smaller() -> None:
    targets = moved(far_or_near, detail=2)(scene_of(person_at((2, 2, 62, 62)))).targets
    assert int((targets == 255).sum((1, 2)).min()) < 0.5 * 60 * 60


def test_a_crop_cuts_a_person() -> None:
    targets = MOVES["crop"](scene_of(person_at((20, 20, 44, 44)), number=32)).targets
    edges = torch.cat([targets[:, 0], targets[:, -1], targets[:, :, 0], targets[:, :, -1]], 1)
    assert (targets == 255).any((1, 2)).all()
    assert float((edges == 255).any(1).float().mean()) > 0.7


def test_who_is_cut_by_an_edge_is_still_cut_by_it_when_pasted_elsewhere() -> None:
    targets = copied(scene_of(person_at((30, 20, 64, 40)), number=32)).targets
    assert (targets[:, -1] == 255).any(1).all()
    assert len({int((one == 255).sum()) for one in targets}) > 5, "sizes vary"


def test_copy_paste_leaves_half_of_the_people_where_they_were() -> None:
    """A hard image that is never seen as it is teaches its people, and nothing of what was hard about it."""
    scene = scene_of(person_at((30, 20, 64, 40)), number=400)
    pasted, *_ = STEPS["copy-paste"]
    corner = pasted(replace(scene, other_images=torch.ones_like(scene.images))).images[:, 0, 0, 0]
    assert set(corner.tolist()) == {0, 1}
    assert 0.4 < float(corner.mean()) < 0.6


def test_people_are_put_before_people() -> None:
    scene = scene_of(person_at((30, 20, 64, 30)))
    behind = person_at((0, 40, 64, 64))
    mixed = copied(replace(scene, other_targets=behind.repeat(16, 1, 1)))
    assert (mixed.targets[:, behind == 255] == 255).all()


def test_seed2_has_its_eleven_variants() -> None:
    scene = scene_of(person_at((10, 20, 50, 30)), number=400)
    after = seed2_variant(scene)
    brightness = {round(float(value), 2) for value in after.images.amax((1, 2, 3))}
    assert brightness == {0.2, 0.4, 0.6, 0.8, 1.0}
    assert len({one.numpy().tobytes() for one in after.targets}) == 7, "as it is, four angles, two mirror images"


def test_recipes_and_what_they_need_are_all_there() -> None:
    assert set(STEPS) == set(RECIPES)
    batch, others = alike(noisy(), person_at((10, 10, 50, 30)), 16), alike(noisy(1), person_at((0, 0, 0, 0)), 16)
    for recipe in RECIPES:
        one, other = (augment(batch, mixed, [recipe] * 16, seeds(16))[0] for mixed in (others, None))
        assert torch.equal(one, other) == (recipe not in PASTING)
