"""Named augmentations of whole batches, on the device that trains.

A batch is images (N, 3, S, S) uint8 RGB and targets (N, S, S) uint8 of train.data.targets. Each image has a seed of
its own, so what becomes of it depends neither on its batch nor on the number of processes. Geometry is one affine
resampling for image and target together. No recipe makes a pixel count that did not count before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from curate.masks import BACKGROUND
from train.augment.colour import darkened, jittered, spoiled, tinted
from train.augment.geometry import far_or_near, mirrored, moved, part_of_person, seed2_variant, turned, windowed
from train.augment.pasting import camouflaged, copied, holding, occluded
from train.augment.scene import Batch, Scene, Step
from train.data.sending import sent


@torch.no_grad()
def augment(
    batch: Batch,
    others: Batch | None,
    recipes: Sequence[str],
    seeds: Sequence[tuple[int, ...]],
    held: int = BACKGROUND,
) -> Batch:
    """The batch after a recipe (one of train.config.RECIPES) for each image; the same seed gives the same image.

    Args:
        batch: What is augmented; it stays as it is.
        others: As many images, which a recipe of PASTING mixes in; None where there is none of these.
        recipes: One for each image.
        seeds: One for each image.
        held: What the objects of `held-object` count as, where people are: BACKGROUND, IGNORE or PERSON.
    """
    images, targets = (part.clone() for part in batch)
    other_images, other_targets = others or batch
    for recipe in dict.fromkeys(recipes):
        if not STEPS[recipe]:
            continue
        numbers = [row for row, own in enumerate(recipes) if own == recipe]
        rows = sent(torch.tensor(numbers), images.device)
        scene = Scene(
            images=batch[0][rows].float() / 255,
            targets=batch[1][rows],
            rngs=[np.random.default_rng(seeds[row]) for row in numbers],
            other_images=other_images[rows].float() / 255,
            other_targets=other_targets[rows],
            held=held,
        )
        for step in STEPS[recipe]:
            scene = step(scene)
        images[rows] = (scene.images * 255).round().clamp(0, 255).to(torch.uint8)
        targets[rows] = scene.targets
    return images, targets


def sometimes(probability: float, step: Step) -> Step:
    """A step that happens to a share of the images."""

    def chosen(scene: Scene) -> Scene:
        happens = [rng.uniform() < probability for rng in scene.rngs]
        if not any(happens):
            return scene
        numbers = [row for row, own in enumerate(happens) if own]
        changed, rows = step(scene.rows(numbers)), sent(torch.tensor(numbers), scene.images.device)
        images, targets = scene.images.clone(), scene.targets.clone()
        images[rows], targets[rows] = changed.images, changed.targets
        return replace(scene, images=images, targets=targets)

    return chosen


usual_move = moved(mirrored, windowed(0.5, 1.0, 0.8), turned(15, 0.5))
usual_colours = jittered(0.7, 1.3)

STEPS: dict[str, tuple[Step, ...]] = {
    "none": (),
    "standard": (usual_move, usual_colours),
    "strong": (
        sometimes(0.25, copied),
        moved(mirrored, windowed(0.3, 1.0, 0.8), turned(30, 0.7)),
        sometimes(0.25, moved(far_or_near, detail=2)),
        sometimes(0.25, occluded),
        jittered(0.5, 1.5),
        tinted,
        sometimes(0.2, darkened),
        sometimes(0.2, spoiled),
    ),
    "seed2": (seed2_variant,),
    "dark": (usual_move, darkened),
    "low-contrast": (camouflaged, usual_move),
    "crop": (moved(mirrored, part_of_person), usual_colours),
    "occlusion": (usual_move, occluded, usual_colours),
    "held-object": (usual_move, holding, usual_colours),
    "scale": (moved(mirrored, far_or_near, detail=2), usual_colours),
    "blur-noise-jpeg": (usual_move, spoiled),
    "copy-paste": (sometimes(0.5, copied), usual_move, usual_colours),
}
PASTING = ("strong", "low-contrast", "occlusion", "held-object", "copy-paste")
"""Recipes that mix another image in."""
