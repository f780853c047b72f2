"""Light, colour, and what bad photographs are made of; targets stay as they are."""

from __future__ import annotations

from dataclasses import replace

import torch
from kornia.enhance import jpeg_codec_differentiable
from kornia.filters import gaussian_blur2d
from torch import Tensor

from train.augment.scene import Scene, Step, over_pixels
from train.data.sending import constant

GREY_RGB = (0.299, 0.587, 0.114)
"""Shares of the colours in brightness, as in ITU-R BT.601."""


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
    shares = constant(GREY_RGB, images.device)[:, None, None]
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
