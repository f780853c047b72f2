"""Named augmentations. Randomness comes in as a generator; image and target go through the same geometry.

An image is (3, H, W) uint8 RGB, a target (H, W) uint8 of 0, 128, 255, both of one size, which is also the size of what
comes back. No recipe makes a pixel count that did not count before.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from curate.masks import BACKGROUND, IGNORE, PERSON

Pair = tuple[Tensor, Tensor]
Step = Callable[[Tensor, Tensor, np.random.Generator], Pair]


def augment(image: Tensor, target: Tensor, recipe: str, rng: np.random.Generator) -> Pair:
    """The pair after one recipe (one of train.config.RECIPES); the same generator state gives the same pair.

    `none` changes nothing, `standard` flips, crops and jitters colour. The others flip, and make more of what a kind
    of failure is made of: `dark`, `low-contrast`, `crop` (part of a person), `occlusion` (something in front), `scale`
    (far and near), `blur-noise-jpeg` (a bad photograph).
    """
    for step in _STEPS[recipe]:
        image, target = step(image, target, rng)
    return image, target


def flip(image: Tensor, target: Tensor, rng: np.random.Generator) -> Pair:
    """Mirrored left to right, in half of all cases."""
    return (image.flip(-1), target.flip(-1)) if rng.random() < 0.5 else (image, target)


def window(image: Tensor, target: Tensor, box_yxhw: tuple[int, int, int, int]) -> Pair:
    """A window of the pair, resized to the full size: the image bilinearly, the target by its nearest pixels.

    Where the window reaches over the edge, the image is filled with its mean colour and the target is not counted.
    """
    top, left, height, width = box_yxhw
    size_hw = [image.shape[-2], image.shape[-1]]
    below, right = top + height - size_hw[0], left + width - size_hw[1]
    margin = [max(0, -left), max(0, -top), max(0, right), max(0, below)]  # left, top, right, bottom
    if any(margin):
        mean = image.float().mean((1, 2)).round().tolist()
        image, target = tv.pad(image, margin, fill=mean), tv.pad(target[None], margin, fill=IGNORE)[0]
        top, left = max(0, top), max(0, left)
    place = (top, left, height, width, size_hw)
    nearest = InterpolationMode.NEAREST_EXACT  # plain NEAREST is half a pixel off
    return tv.resized_crop(image, *place, antialias=True), tv.resized_crop(target[None], *place, interpolation=nearest)[
        0
    ]


def random_window(image: Tensor, target: Tensor, rng: np.random.Generator) -> Pair:
    """A window of 50 to 100 % of the area with sides 3:4 to 4:3, in four of five cases."""
    if rng.random() < 0.2:
        return image, target
    return window(image, target, _window_inside(image, rng.uniform(0.5, 1.0), rng))


def part_of_person(image: Tensor, target: Tensor, rng: np.random.Generator) -> Pair:
    """A window of 10 to 40 % of the area around a random pixel of a person, so that the image cuts the person."""
    rows, columns = torch.nonzero(target == PERSON, as_tuple=True)
    _, _, height, width = _window_inside(image, rng.uniform(0.1, 0.4), rng)
    if not len(rows):
        return random_window(image, target, rng)
    chosen = int(rng.integers(len(rows)))
    top = _clip(int(rows[chosen]) - int(rng.integers(height)), image.shape[-2] - height)
    left = _clip(int(columns[chosen]) - int(rng.integers(width)), image.shape[-1] - width)
    return window(image, target, (top, left, height, width))


def far_or_near(image: Tensor, target: Tensor, rng: np.random.Generator) -> Pair:
    """The whole image at 35 to 80 % of its side somewhere in the frame, or a window of 25 to 60 % of its area."""
    if rng.random() < 0.4:
        return window(image, target, _window_inside(image, rng.uniform(0.25, 0.6), rng))
    share = rng.uniform(0.35, 0.8)
    height, width = (round(side / share) for side in image.shape[-2:])
    top = -int(rng.integers(height - image.shape[-2] + 1))
    left = -int(rng.integers(width - image.shape[-1] + 1))
    return window(image, target, (top, left, height, width))


def _window_inside(image: Tensor, share: float, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """A random (top, left, height, width) inside the image with a share of its area and sides 3:4 to 4:3."""
    full_height, full_width = image.shape[-2:]
    stretch = float(np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))) ** 0.5
    height = _clip(round(full_height * share**0.5 * stretch), full_height, 1)
    width = _clip(round(full_width * share**0.5 / stretch), full_width, 1)
    top, left = int(rng.integers(full_height - height + 1)), int(rng.integers(full_width - width + 1))
    return top, left, height, width


def _clip(value: int, highest: int, lowest: int = 0) -> int:
    return max(lowest, min(value, highest))


def colour_jitter(image: Tensor, target: Tensor, rng: np.random.Generator) -> Pair:
    """Brightness, contrast and saturation by 0.7 to 1.3; in one of ten cases grey."""
    image = tv.adjust_brightness(image, rng.uniform(0.7, 1.3))
    image = tv.adjust_contrast(image, rng.uniform(0.7, 1.3))
    return tv.adjust_saturation(image, 0.0 if rng.random() < 0.1 else rng.uniform(0.7, 1.3)), target


def darken(image: Tensor, target: Tensor, rng: np.random.Generator) -> Pair:
    """A gamma of 1.2 to 2.5, then brightness by 0.25 to 0.8, with the grain of a high ISO."""
    image = tv.adjust_gamma(image, rng.uniform(1.2, 2.5))
    return add_noise(tv.adjust_brightness(image, rng.uniform(0.25, 0.8)), rng.uniform(0, 6), rng), target


def flatten(image: Tensor, target: Tensor, rng: np.random.Generator) -> Pair:
    """Contrast by 0.25 to 0.7, saturation by 0.3 to 0.9."""
    image = tv.adjust_contrast(image, rng.uniform(0.25, 0.7))
    return tv.adjust_saturation(image, rng.uniform(0.3, 0.9)), target


def occlude(image: Tensor, target: Tensor, rng: np.random.Generator) -> Pair:
    """One to three ellipses or rectangles in front, filled from elsewhere in the image: they are not person.

    What is not counted stays not counted.
    """
    image, target = image.clone(), target.clone()
    for _ in range(int(rng.integers(1, 4))):
        cover, filling = _cover(image.shape[-2:], rng), _filling(image, target, rng)
        image[:, cover] = filling[:, cover]
        target[cover & (target == PERSON)] = BACKGROUND
    return image, target


def _cover(size_hw: torch.Size, rng: np.random.Generator) -> Tensor:
    """A random ellipse or upright rectangle, each half-axis 5 to 20 % of the side, as a mask (H, W)."""
    rows, columns = (torch.arange(side, dtype=torch.float32) for side in size_hw)
    down = ((rows - rng.uniform(0, size_hw[0])) / (rng.uniform(0.05, 0.2) * size_hw[0]))[:, None]
    across = ((columns - rng.uniform(0, size_hw[1])) / (rng.uniform(0.05, 0.2) * size_hw[1]))[None, :]
    if rng.random() < 0.5:
        return down**2 + across**2 <= 1
    return (down.abs() <= 1) & (across.abs() <= 1)


def _filling(image: Tensor, target: Tensor, rng: np.random.Generator) -> Tensor:
    """What an occluder looks like: the image shifted about, its people painted over with a colour of its background."""
    background = image[:, target == BACKGROUND]
    colour = background[:, int(rng.integers(background.shape[1]))] if background.numel() else image.new_full((3,), 128)
    without_people = torch.where(target == BACKGROUND, image, colour[:, None, None])
    shifts = tuple(int(rng.integers(side)) for side in image.shape[-2:])
    filling: Tensor = tv.adjust_brightness(without_people.roll(shifts, (-2, -1)), rng.uniform(0.6, 1.4))
    return filling


def spoil(image: Tensor, target: Tensor, rng: np.random.Generator) -> Pair:
    """A blur of 0.4 to 2 px, noise of 2 to 15 grey levels, JPEG of quality 15 to 70; each in two of three cases."""
    blur, noise, compress = rng.random(3) < 2 / 3
    if blur:
        image = tv.gaussian_blur(image, [9, 9], [rng.uniform(0.4, 2.0)] * 2)
    if noise:
        image = add_noise(image, rng.uniform(2, 15), rng)
    if compress:
        image = compress_jpeg(image, int(rng.integers(15, 71)))
    return image, target


def compress_jpeg(image: Tensor, quality: int) -> Tensor:
    """The image after a trip through a JPEG in memory."""
    buffer = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()).save(buffer, "JPEG", quality=quality)
    with Image.open(buffer, formats=["JPEG"]) as spoilt:
        return torch.from_numpy(np.array(spoilt)).permute(2, 0, 1)


def add_noise(image: Tensor, deviation: float, rng: np.random.Generator) -> Tensor:
    """The image with Gaussian noise, its standard deviation in grey levels."""
    noise = torch.from_numpy(rng.standard_normal(tuple(image.shape), dtype=np.float32))
    noisy: Tensor = (image + deviation * noise).round().clamp(0, 255).to(torch.uint8)
    return noisy


_STEPS: dict[str, tuple[Step, ...]] = {
    "none": (),
    "standard": (flip, random_window, colour_jitter),
    "dark": (flip, random_window, darken),
    "low-contrast": (flip, random_window, flatten),
    "crop": (flip, part_of_person, colour_jitter),
    "occlusion": (flip, random_window, occlude, colour_jitter),
    "scale": (flip, far_or_near, colour_jitter),
    "blur-noise-jpeg": (flip, random_window, spoil),
}
