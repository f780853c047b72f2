"""Named augmentations of whole batches, on the device that trains.

A batch is images (N, 3, S, S) uint8 RGB and targets (N, S, S) uint8 of 0, 128, 255. Each image has a seed of its own,
so what becomes of it depends neither on its batch nor on the number of processes. Geometry is one affine resampling for
image and target together. No recipe makes a pixel count that did not count before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
import torch
from kornia.enhance import jpeg_codec_differentiable
from kornia.filters import gaussian_blur2d
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (its usual name)

from curate.masks import BACKGROUND, IGNORE, PERSON

Batch = tuple[Tensor, Tensor]
"""Images (N, 3, S, S) uint8 and targets (N, S, S) uint8."""

GREY_RGB = (0.299, 0.587, 0.114)
"""Shares of the colours in brightness, as in ITU-R BT.601."""


@dataclass(frozen=True)
class Scene:
    """Images on their way through a recipe, the images they may be mixed with, and their sources of randomness."""

    images: Tensor
    """(N, 3, S, S) float32 in [0, 1]."""
    targets: Tensor
    """(N, S, S) uint8."""
    rngs: Sequence[np.random.Generator]
    other_images: Tensor
    other_targets: Tensor
    held: int
    """What a held object counts as: BACKGROUND, IGNORE or PERSON."""

    def each(self, draw: Callable[[np.random.Generator], float]) -> Tensor:
        """A number for each image, drawn from its own generator: (N,) float32."""
        return torch.tensor([draw(rng) for rng in self.rngs], dtype=torch.float32, device=self.images.device)

    def uniform(self, low: float, high: float) -> Tensor:
        """A number between two for each image, (N,)."""
        return self.each(lambda rng: rng.uniform(low, high))

    def chance(self, probability: float) -> Tensor:
        """Whether something happens to each image, (N,) bool."""
        return self.uniform(0, 1) < probability

    def rows(self, rows: Sequence[int]) -> Scene:
        """Some of the images."""
        chosen = list(rows)
        return Scene(
            self.images[chosen],
            self.targets[chosen],
            [self.rngs[row] for row in chosen],
            self.other_images[chosen],
            self.other_targets[chosen],
            self.held,
        )


Step = Callable[[Scene], Scene]
Move = Callable[[Scene], Tensor]
"""Where pixels come from: (N, 3, 3), from a place in the result to one in the image, each from -1 to 1 over a side."""


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
        rows = [row for row, own in enumerate(recipes) if own == recipe]
        scene = Scene(
            images=batch[0][rows].float() / 255,
            targets=batch[1][rows],
            rngs=[np.random.default_rng(seeds[row]) for row in rows],
            other_images=other_images[rows].float() / 255,
            other_targets=other_targets[rows],
            held=held,
        )
        for step in STEPS[recipe]:
            scene = step(scene)
        images[rows] = (scene.images * 255).round().clamp(0, 255).to(torch.uint8)
        targets[rows] = scene.targets
    return images, targets


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


def random_pixel(scene: Scene, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """y and x (N,), from -1 to 1, of a random pixel of each mask (N, S, S), and whether it has any (N,)."""
    side = mask.shape[-1]
    counts = mask.flatten(1).int().cumsum(1, dtype=torch.int32)
    total = counts[:, -1]
    wanted = (scene.uniform(0, 1) * total).int().clamp(max=(total - 1).clamp(min=0)) + 1
    index = torch.searchsorted(counts, wanted[:, None])[:, 0].clamp(max=side * side - 1)
    down, across = ((2 * part + 1) / side - 1 for part in (index // side, index % side))
    return down, across, total > 0


def far_or_near(scene: Scene) -> Tensor:
    """The whole image at 35 to 80 % of its side somewhere in the frame, or a window of 25 to 60 % of its area."""
    height, width = window_sides(scene, 0.25, 0.6)
    far, times = scene.chance(0.6), 1 / scene.uniform(0.35, 0.8)
    height, width = torch.where(far, times, height), torch.where(far, times, width)
    return affine(width, height, scene.uniform(-1, 1) * (1 - width).abs(), scene.uniform(-1, 1) * (1 - height).abs())


def seed2_variant(scene: Scene) -> Scene:
    """One of eleven: as it is, turned by -60, -30, 30 or 60 degrees, mirrored either way, brightness 0.2 to 0.8."""
    variant = scene.each(lambda rng: int(rng.integers(11))).int()
    angles = torch.tensor([0, -60, -30, 30, 60, *[0] * 6], device=variant.device) * (math.pi / 180)
    across, down = (torch.where(variant == which, -1.0, 1.0) for which in (5, 6))
    still = torch.zeros_like(across)
    images, targets = warp(
        scene.images, scene.targets, affine(across, down, still, still) @ rotation(angles[variant].float())
    )
    factors = torch.tensor([*[1.0] * 7, 0.2, 0.4, 0.6, 0.8], device=variant.device)
    return replace(scene, images=images * over_pixels(factors[variant]), targets=targets)


def over_pixels(values: Tensor) -> Tensor:
    """Numbers (N,) as (N, 1, 1, 1), to go with images."""
    return values[:, None, None, None]


def jittered(lowest: float, highest: float) -> Step:
    """Brightness, contrast and saturation by factors between two; in one of ten cases grey."""

    def step(scene: Scene) -> Scene:
        images = (scene.images * over_pixels(scene.uniform(lowest, highest))).clamp(0, 1)
        images = with_contrast(images, scene.uniform(lowest, highest))
        colour = torch.where(scene.chance(0.1), 0, scene.uniform(lowest, highest))
        return replace(scene, images=with_saturation(images, colour))

    return step


def grey(images: Tensor) -> Tensor:
    """The brightness of images (N, 3, H, W) as (N, 1, H, W)."""
    shares = torch.tensor(GREY_RGB, device=images.device)[:, None, None]
    return (images * shares).sum(1, keepdim=True)


def with_contrast(images: Tensor, factors: Tensor) -> Tensor:
    """Images whose distance from their mean brightness is multiplied by factors (N,)."""
    mean = grey(images).mean((2, 3), keepdim=True)
    return (mean + over_pixels(factors) * (images - mean)).clamp(0, 1)


def with_saturation(images: Tensor, factors: Tensor) -> Tensor:
    """Images whose distance from grey is multiplied by factors (N,)."""
    plain = grey(images)
    return (plain + over_pixels(factors) * (images - plain)).clamp(0, 1)


def tinted(scene: Scene) -> Scene:
    """Another light: red and blue by 0.85 to 1.15."""
    factors = torch.stack([scene.uniform(0.85, 1.15), scene.uniform(1, 1), scene.uniform(0.85, 1.15)], 1)
    return replace(scene, images=(scene.images * factors[:, :, None, None]).clamp(0, 1))


def darkened(scene: Scene) -> Scene:
    """A gamma of 1.2 to 2.5, then brightness by 0.25 to 0.8, with the grain of a high ISO."""
    images = scene.images ** over_pixels(scene.uniform(1.2, 2.5)) * over_pixels(scene.uniform(0.25, 0.8))
    return replace(scene, images=with_noise(scene, images, scene.uniform(0, 6)))


def with_noise(scene: Scene, images: Tensor, levels: Tensor) -> Tensor:
    """Images with Gaussian noise of so many grey levels (N,) of 255; each from its own generator."""
    place = images.device
    noise = torch.stack([
        torch.randn(
            images.shape[1:], device=place, generator=torch.Generator(place).manual_seed(int(rng.integers(2**62)))
        )
        for rng in scene.rngs
    ])  # fmt: skip
    return (images + noise * over_pixels(levels) / 255).clamp(0, 1)


def spoiled(scene: Scene) -> Scene:
    """A blur of 0.4 to 2 px, noise of 2 to 15 grey levels, JPEG of quality 15 to 70; each in two of three cases."""
    images, often = scene.images.contiguous(), 2 / 3
    blurred = gaussian_blur2d(images, (9, 9), scene.uniform(0.4, 2.0)[:, None].repeat(1, 2))
    images = torch.where(over_pixels(scene.chance(often)), blurred, images)
    levels = torch.where(scene.chance(often), scene.uniform(2, 15), 0)
    images = with_noise(scene, images, levels)
    packed = jpeg_codec_differentiable(images, scene.uniform(15, 70))
    return replace(scene, images=torch.where(over_pixels(scene.chance(often)), packed, images))


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
    """Masks (N, S, S) filled from the other images without their people, labelled where pixels count."""
    filling = without_people(scene.other_images, scene.other_targets) * over_pixels(scene.uniform(0.6, 1.4))
    images = torch.where(shape[:, None], filling.clamp(0, 1), scene.images)
    changed = shape & (scene.targets != IGNORE) & ((scene.targets == PERSON) | (label != BACKGROUND))
    return replace(scene, images=images, targets=scene.targets.masked_fill(changed, label))


def without_people(images: Tensor, targets: Tensor) -> Tensor:
    """Images whose people, and what is not counted, are painted over with the mean colour of the rest."""
    ground = (targets == BACKGROUND)[:, None]
    return torch.where(ground, images, mean_where(images, ground))


def mean_where(images: Tensor, mask: Tensor) -> Tensor:
    """The mean colour (N, 3, 1, 1) where masks (N, 1, H, W) are set; 0 where none is."""
    return (images * mask).sum((2, 3), keepdim=True) / mask.sum((2, 3), keepdim=True).clamp(min=1)


def deviation_where(images: Tensor, mask: Tensor) -> Tensor:
    """The standard deviation (N, 3, 1, 1) of the colours where masks (N, 1, H, W) are set; 0 where none is."""
    return mean_where((images - mean_where(images, mask)) ** 2, mask).sqrt()


def camouflaged(scene: Scene) -> Scene:
    """Before another image, whose colours are brought to those of the person: clothes and background look alike.

    People in the other image stay people. Without a person, contrast and colour alone are lowered.
    """
    person = (scene.targets == PERSON)[:, None]
    whole = torch.ones_like(person)
    theirs, their_range = mean_where(scene.other_images, whole), deviation_where(scene.other_images, whole)
    clothes, clothes_range = mean_where(scene.images, person), deviation_where(scene.images, person)
    scale = (clothes_range / their_range.clamp(min=0.02)).clamp(max=1.5)
    shift = over_pixels(scene.uniform(-0.08, 0.08))
    ground = ((scene.other_images - theirs) * scale + clothes + shift).clamp(0, 1)
    anyone = person.any(-1).any(-1)[:, :, None, None]
    mixed = before(scene, scene.images, scene.targets, ground)
    images = torch.where(anyone, mixed.images, scene.images)
    targets = torch.where(anyone[:, 0], mixed.targets, scene.targets)
    images = with_contrast(images, scene.uniform(0.5, 1))
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
    counted = torch.where(targets == BACKGROUND, scene.other_targets, targets)
    return replace(scene, images=alpha * images + (1 - alpha) * ground, targets=counted)


def sometimes(probability: float, step: Step) -> Step:
    """A step that happens to a share of the images."""

    def chosen(scene: Scene) -> Scene:
        rows = scene.chance(probability).nonzero()[:, 0].tolist()
        if not rows:
            return scene
        changed = step(scene.rows(rows))
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
    "copy-paste": (copied, usual_move, usual_colours),
}
PASTING = ("strong", "low-contrast", "occlusion", "held-object", "copy-paste")
"""Recipes that mix another image in."""
