"""What the camera and the light do to a finished drawing. Integer arithmetic on uint8 images throughout."""

from dataclasses import dataclass

import numpy as np

from tools.sample.materials import as_image
from tools.sample.noise import Bytes, Ints, chance, clouds, grain, pick, soften, uniform

MOODS = ("day", "day", "day", "day", "dark", "dim", "flat", "warm", "cold", "backlight", "harsh")


@dataclass(frozen=True)
class Camera:
    """One exposure."""

    mood: str
    vignette: int
    """Light lost in the corners, in 1/256."""
    noise: int
    """Standard deviation of the sensor noise in grey levels."""
    blur: int
    """Half width of a blur over the whole picture in px; 0 is sharp."""
    depth: int
    """Half width of the background's blur in canvas px; 0 is sharp."""


def draw_camera(rng: np.random.Generator, mood: str | None = None) -> Camera:
    """A random exposure; dark ones are noisier."""
    mood = mood or pick(rng, MOODS)
    noise = int(rng.integers(5, 9)) if mood in ("dark", "dim") else int(rng.integers(1, 5))
    return Camera(
        mood=mood,
        vignette=int(rng.integers(0, 110)),
        noise=noise,
        blur=1 if chance(rng, 0.12) else 0,
        depth=int(rng.integers(2, 9)) if chance(rng, 0.55) else 0,
    )


def blur_background(rgb: Bytes, camera: Camera) -> Bytes:
    """The background out of focus, as far as the camera's depth says."""
    if not camera.depth:
        return rgb
    return soften(soften(rgb, camera.depth), camera.depth)


def _tone(rgb: Ints, mood: str) -> Ints:
    """Brightness, contrast and cast of a mood."""
    gains: dict[str, tuple[int, int, int]] = {
        "dark": (90, 92, 106), "dim": (134, 126, 116), "warm": (276, 250, 206), "cold": (222, 246, 276),
        "harsh": (290, 290, 286), "flat": (150, 152, 156),
    }  # fmt: skip
    lifts = {"flat": 74, "dark": 5, "dim": 4, "harsh": -16}
    gain = np.array(gains.get(mood, (256, 256, 256)), np.int32)
    return ((rgb * gain) >> 8) + lifts.get(mood, 0)


def backlight(rgb: Bytes, people: Bytes) -> Bytes:
    """People against the light: they lose it, what is behind them gains, their rim glows.

    Args:
        rgb: (H, W, 3).
        people: (H, W), 255 where a person is visible.
    """
    alpha = people.astype(np.int32)[..., None]
    inner = soften(people, 4).astype(np.int32)[..., None]
    pixels = rgb.astype(np.int32)
    dark, bright = pixels * 96 >> 8, np.minimum(pixels * 300 // 256 + 36, 255)
    rim = np.clip(alpha - inner, 0, 255) * 200 >> 8
    return as_image((dark * alpha + bright * (255 - alpha)) // 255 + rim)


def _vignette(size_hw: tuple[int, int], strength: int) -> Ints:
    """Brightness (H, W, 1) in 1/256, falling with the squared distance from the middle."""
    h, w = size_hw
    y, x = np.arange(h, dtype=np.int64) * 2 - h, np.arange(w, dtype=np.int64) * 2 - w
    far = (x[None, :] ** 2 + y[:, None] ** 2) * 256 // (h * h + w * w)
    return (256 - (far * strength >> 8)).astype(np.int32)[..., None]


def expose(rgb: Bytes, camera: Camera, rng: np.random.Generator) -> Bytes:
    """The picture as the camera saves it: tone, uneven light, vignette, blur and noise."""
    size_hw = (rgb.shape[0], rgb.shape[1])
    pixels = _tone(rgb.astype(np.int32), camera.mood)
    uneven = (clouds(rng, size_hw, 128, 2).astype(np.int32) - 128)[..., None]
    pixels = pixels * _vignette(size_hw, camera.vignette) * (512 + uneven) >> 17
    image = as_image(pixels)
    if camera.blur:
        image = soften(image, camera.blur)
    luma = grain(rng, size_hw, camera.noise)[..., None]
    chroma = np.stack([grain(rng, size_hw, max(camera.noise // 3, 1)) for _ in range(3)], axis=-1)
    return as_image(image.astype(np.int32) + luma + chroma)


def light_strength(camera: Camera, rng: np.random.Generator) -> int:
    """How hard the light models bodies under this exposure."""
    low, high = {"harsh": (110, 150), "flat": (24, 50), "dark": (70, 130)}.get(camera.mood, (55, 105))
    return round(uniform(rng, low, high))
