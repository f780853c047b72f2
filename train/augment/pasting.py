"""One image in another: things before people, people before another ground."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from kornia.filters import gaussian_blur2d
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (its usual name)

from curate.masks import BACKGROUND, IGNORE, PERSON
from train.augment.colour import with_contrast, with_saturation
from train.augment.geometry import affine, mirrored, warp
from train.augment.scene import Scene, over_pixels, random_pixel
from train.data.targets import is_ground


def occluded(scene: Scene) -> Scene:
    """One to three ellipses or rectangles in front, filled from another image without its people: they are not person.

    What is not counted stays not counted.
    """
    covered = torch.zeros_like(scene.targets, dtype=torch.bool)
    count = scene.each(lambda rng: int(rng.integers(1, 4)))
    for number in range(3):
        sides = scene.uniform(0.1, 0.4), scene.uniform(0.1, 0.4)
        shape = random_shape(scene, (scene.uniform(-1, 1), scene.uniform(-1, 1)), sides, scene.uniform(-0.5, 0.5))
        covered |= shape & (number < count)[:, None, None]
    return pasted(scene, covered, BACKGROUND)


def holding(scene: Scene) -> Scene:
    """An object on the outline of a person, 15 to 50 % of the person's size, cut from another image.

    It counts as the dataset's own held objects do.
    """
    person = scene.targets == PERSON
    around = -F.max_pool2d(-person[:, None].float(), 3, 1, 1)[:, 0]
    down, across, anyone = random_pixel(scene, person & (around < 1))
    size = person.float().mean((1, 2)).sqrt() * scene.uniform(0.15, 0.5)
    longer = (scene.uniform(-1, 1) * math.log(3)).exp()
    shape = random_shape(scene, (down, across), (size * longer.sqrt(), size / longer.sqrt()), scene.uniform(0, 3.15))
    return pasted(scene, shape & anyone[:, None, None], scene.held)


def random_shape(
    scene: Scene, centre_yx: tuple[Tensor, Tensor], half_yx: tuple[Tensor, Tensor], angle: Tensor
) -> Tensor:
    """Ellipses or rectangles as masks (N, S, S), of places and half sides from -1 to 1, turned by radians (N,)."""
    side = scene.targets.shape[-1]
    at = (2 * torch.arange(side, device=angle.device) + 1) / side - 1
    down = at[None, :, None] - centre_yx[0][:, None, None]
    across = at[None, None, :] - centre_yx[1][:, None, None]
    cos, sin = (each[:, None, None] for each in (angle.cos(), angle.sin()))
    along = (cos * across + sin * down) / half_yx[1][:, None, None]
    beside = (cos * down - sin * across) / half_yx[0][:, None, None]
    round_one = along**2 + beside**2 <= 1
    return torch.where(scene.chance(0.5)[:, None, None], round_one, (along.abs() <= 1) & (beside.abs() <= 1))


def pasted(scene: Scene, shape: Tensor, label: int) -> Scene:
    """Masks (N, S, S) filled from the other images without their people, labelled where pixels count.

    Where the label is BACKGROUND, what is seen keeps the name it has in the other image.
    """
    filling = without_people(scene.other_images, scene.other_targets) * over_pixels(scene.uniform(0.6, 1.4))
    images = torch.where(shape[:, None], filling.clamp(0, 1), scene.images)
    names = scene.other_targets.masked_fill(~is_ground(scene.other_targets), BACKGROUND)
    labels = names if label == BACKGROUND else torch.full_like(names, label)
    targets = torch.where(shape & (scene.targets != IGNORE), labels, scene.targets)
    return replace(scene, images=images, targets=targets)


def without_people(images: Tensor, targets: Tensor) -> Tensor:
    """Images whose people, and what is not counted, are painted over with the mean colour of the rest."""
    ground = is_ground(targets)[:, None]
    return torch.where(ground, images, mean_where(images, ground))


def mean_where(images: Tensor, mask: Tensor) -> Tensor:
    """The mean colour (N, 3, 1, 1) where masks (N, 1, H, W) are set; 0 where none is."""
    return (images * mask).sum((2, 3), keepdim=True) / mask.sum((2, 3), keepdim=True).clamp(min=1)


def deviation_where(images: Tensor, mask: Tensor) -> Tensor:
    """The standard deviation (N, 3, 1, 1) of the colours where masks (N, 1, H, W) are set; 0 where none is."""
    return mean_where((images - mean_where(images, mask)) ** 2, mask).sqrt()


def camouflaged(scene: Scene) -> Scene:
    """Before a ground whose colours are brought to those of the person: clothes and background look alike.

    The ground is the other image where that is an empty scene, else the image's own. Without a person, contrast and
    colour alone are lowered.
    """
    person = (scene.targets == PERSON)[:, None]
    empty = is_ground(scene.other_targets).all(-1).all(-1)[:, None, None]
    ground = torch.where(empty[:, None], scene.other_images, scene.images)
    behind = torch.where(empty, scene.other_targets, scene.targets)
    counted = torch.where(empty[:, None], torch.ones_like(person), ~person)
    theirs, their_range = mean_where(ground, counted), deviation_where(ground, counted)
    clothes, clothes_range = mean_where(scene.images, person), deviation_where(scene.images, person)
    scale = (clothes_range / their_range.clamp(min=0.02)).clamp(max=1.5)
    alike = (ground - theirs) * scale + clothes + over_pixels(scene.uniform(-0.08, 0.08))
    anyone = person.any(-1).any(-1)[:, :, None, None]
    ground = torch.where(anyone, alike.clamp(0, 1), scene.images)
    mixed = before(replace(scene, other_targets=behind), scene.images, scene.targets, ground)
    images = with_contrast(mixed.images, scene.uniform(0.5, 1))
    targets = torch.where(anyone[:, 0], mixed.targets, scene.targets)
    return replace(scene, images=with_saturation(images, scene.uniform(0.5, 1)), targets=targets)


def copied(scene: Scene) -> Scene:
    """People cut out by their masks, put before another image at 60 to 110 % of their size, their edges blended.

    A side of the image that cuts a person goes on cutting it. What does not count at the outline does not count there.
    """
    person = scene.targets == PERSON
    columns, rows = person.any(1), person.any(2)
    across = (columns & columns.flip(1))[:, 0] | (rows & rows.flip(1))[:, 0]
    scale = torch.where(across, 1, 1 / scene.uniform(0.6, 1.1))
    shift_x, shift_y = ((scale - 1) * anchor(scene, touched) for touched in (columns, rows))
    place = affine(scale, scale, shift_x, shift_y) @ mirrored(scene)
    images, targets = warp(scene.images, scene.targets, place, outside=BACKGROUND)
    return before(scene, images, targets, scene.other_images)


def anchor(scene: Scene, touched: Tensor) -> Tensor:
    """Which place along a side stays where it is (N,): the end that people touch (1 first, -1 last), else any between.

    Args:
        scene: Source of randomness.
        touched: Whether people are at each place along the side, (N, S) bool.
    """
    free = scene.uniform(-1, 1)
    return torch.where(touched[:, 0], 1, torch.where(touched[:, -1], -1, free))


def before(scene: Scene, images: Tensor, targets: Tensor, ground: Tensor) -> Scene:
    """The people of images and targets before another ground, edges blended; the other targets lie behind them."""
    person = (targets == PERSON)[:, None].float()
    alpha = gaussian_blur2d(person, (5, 5), (0.8, 0.8))
    counted = torch.where(is_ground(targets), scene.other_targets, targets)
    return replace(scene, images=alpha * images + (1 - alpha) * ground, targets=counted)
