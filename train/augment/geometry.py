"""Moves: mirror, turn, cut out, show from afar; one affine resampling for image and target together."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import reduce

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (its usual name)

from curate.masks import IGNORE, PERSON
from train.augment.scene import Batch, Move, Scene, Step, over_pixels, random_pixel
from train.data.sending import constant


def moved(*moves: Move, detail: int = 1) -> Step:
    """One resampling for several moves, the last of which happens to the image first.

    Args:
        moves: Their matrices are multiplied.
        detail: Samples along the side of a pixel, so that what shrinks does not flicker.
    """

    def step(scene: Scene) -> Scene:
        images, targets = warp(
            scene.images, scene.targets, reduce(torch.matmul, [move(scene) for move in moves]), detail
        )
        return replace(scene, images=images, targets=targets)

    return step


def warp(images: Tensor, targets: Tensor, matrices: Tensor, detail: int = 1, outside: int = IGNORE) -> Batch:
    """Images (N, 3, S, S) float32 bilinearly and targets (N, S, S) by their nearest pixels, through (N, 3, 3) matrices.

    Beyond the edge, the image is filled with its mean colour and the target is `outside`.
    """
    number, _, side, _ = images.shape
    fine = F.affine_grid(matrices[:, :2], [number, 1, side * detail, side * detail], align_corners=False)
    seen = F.grid_sample(images, fine, padding_mode="border", align_corners=False)
    seen = torch.where((fine.abs() > 1).any(-1)[:, None], images.mean((2, 3), keepdim=True), seen)
    grid = F.affine_grid(matrices[:, :2], [number, 1, side, side], align_corners=False) if detail > 1 else fine
    nearest = F.grid_sample(targets[:, None].float(), grid, mode="nearest", padding_mode="border", align_corners=False)[
        :, 0
    ].to(torch.uint8)
    nearest = nearest.masked_fill((grid.abs() > 1).any(-1), outside)
    return (F.avg_pool2d(seen, detail) if detail > 1 else seen), nearest


def affine(scale_x: Tensor, scale_y: Tensor, shift_x: Tensor, shift_y: Tensor) -> Tensor:
    """(N, 3, 3) of numbers (N,): x becomes scale_x * x + shift_x, and so y."""
    nothing, one = torch.zeros_like(scale_x), torch.ones_like(scale_x)
    rows = [[scale_x, nothing, shift_x], [nothing, scale_y, shift_y], [nothing, nothing, one]]
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def mirrored(scene: Scene) -> Tensor:
    """Left to right, in half of all cases."""
    sign = 1 - 2 * scene.chance(0.5).float()
    one = torch.ones_like(sign)
    return affine(sign, one, torch.zeros_like(sign), torch.zeros_like(sign))


def turned(degrees: float, probability: float) -> Move:
    """By up to so many degrees either way, in a share of all cases."""

    def move(scene: Scene) -> Tensor:
        angle = scene.uniform(-degrees, degrees) * math.pi / 180
        return rotation(torch.where(scene.chance(probability), angle, 0))

    return move


def rotation(angle: Tensor) -> Tensor:
    """(N, 3, 3) of angles (N,) in radians."""
    matrices = torch.eye(3, device=angle.device).repeat(len(angle), 1, 1)
    matrices[:, 0, 0] = matrices[:, 1, 1] = angle.cos()
    matrices[:, 0, 1], matrices[:, 1, 0] = -angle.sin(), angle.sin()
    return matrices


def windowed(lowest: float, highest: float, probability: float) -> Move:
    """A window of a share of the area between two, with sides 3:4 to 4:3, anywhere inside; in a share of all cases."""

    def move(scene: Scene) -> Tensor:
        height, width = window_sides(scene, lowest, highest)
        chosen = scene.chance(probability)
        height, width = torch.where(chosen, height, 1), torch.where(chosen, width, 1)
        return affine(width, height, scene.uniform(-1, 1) * (1 - width), scene.uniform(-1, 1) * (1 - height))

    return move


def window_sides(scene: Scene, lowest: float, highest: float) -> tuple[Tensor, Tensor]:
    """Height and width (N,) of a window, as shares of the image's side, at most 1."""
    area = scene.uniform(lowest, highest).sqrt()
    stretch = (scene.uniform(-1, 1) * math.log(4 / 3) / 2).exp()
    return (area * stretch).clamp(max=1), (area / stretch).clamp(max=1)


def part_of_person(scene: Scene) -> Tensor:
    """A window of 10 to 40 % of the area around a random pixel of a person, so that the image cuts the person."""
    height, width = window_sides(scene, 0.1, 0.4)
    down, across, anyone = random_pixel(scene, scene.targets == PERSON)
    down, across = (torch.where(anyone, place, scene.uniform(-1, 1)) for place in (down, across))
    down, across = down + scene.uniform(-1, 1) * height, across + scene.uniform(-1, 1) * width
    return affine(width, height, clipped(across, 1 - width), clipped(down, 1 - height))


def clipped(values: Tensor, most: Tensor) -> Tensor:
    """Values (N,) brought between -most and most."""
    return torch.minimum(torch.maximum(values, -most), most)


def far_or_near(scene: Scene) -> Tensor:
    """The whole image at 50 to 90 % of its side somewhere in the frame, or a window of 25 to 60 % of its area."""
    height, width = window_sides(scene, 0.25, 0.6)
    far, times = scene.chance(0.6), 1 / scene.uniform(0.5, 0.9)
    height, width = torch.where(far, times, height), torch.where(far, times, width)
    return affine(width, height, scene.uniform(-1, 1) * (1 - width).abs(), scene.uniform(-1, 1) * (1 - height).abs())


def seed2_variant(scene: Scene) -> Scene:
    """One of eleven: as it is, turned by -60, -30, 30 or 60 degrees, mirrored either way, brightness 0.2 to 0.8."""
    variant = scene.each(lambda rng: int(rng.integers(11))).int()
    angles = constant((0, -60, -30, 30, 60, *[0] * 6), variant.device) * (math.pi / 180)
    across, down = (torch.where(variant == which, -1.0, 1.0) for which in (5, 6))
    still = torch.zeros_like(across)
    images, targets = warp(
        scene.images, scene.targets, affine(across, down, still, still) @ rotation(angles[variant].float())
    )
    factors = constant((*[1.0] * 7, 0.2, 0.4, 0.6, 0.8), variant.device)
    return replace(scene, images=images * over_pixels(factors[variant]), targets=targets)
