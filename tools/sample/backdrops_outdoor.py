"""Backgrounds under the sky. Each fills a canvas; nothing in them carries a label."""

import numpy as np

from tools.sample.canvas import Canvas, Light, paint
from tools.sample.geometry import Points, capsule, ellipse, rectangle
from tools.sample.materials import Material
from tools.sample.noise import Bytes, Colour, blend, clouds, grain, jitter, pick, uniform, value_noise
from tools.sample.objects import leaf


def gradient(size_hw: tuple[int, int], top: Colour, bottom: Colour) -> Bytes:
    """Colours (H, W, 3) running from `top` to `bottom`."""
    h, w = size_hw
    share = (np.arange(h, dtype=np.int32) * 256 // max(h - 1, 1))[:, None, None]
    first, last = np.array(top, np.int32), np.array(bottom, np.int32)
    return np.broadcast_to((first * (256 - share) + last * share) >> 8, (h, w, 3)).astype(np.uint8)


def mottle(canvas: Canvas, rng: np.random.Generator, y0: int, y1: int, cell: int, strength: int) -> None:
    """Roughens the rows y0 to y1 with noise in patches of `cell` px."""
    y0, y1 = max(y0, 0), min(y1, canvas.size_hw[0])
    if y1 - y0 < 2:
        return
    size = (y1 - y0, canvas.size_hw[1])
    relief = (clouds(rng, size, cell).astype(np.int32) - 128) * strength // 100 + grain(rng, size, strength // 6 + 2)
    rows = canvas.rgb[y0:y1].astype(np.int32) + relief[..., None]
    canvas.rgb[y0:y1] = np.clip(rows, 0, 255).astype(np.uint8)


def _sky(canvas: Canvas, rng: np.random.Generator) -> None:
    tops: tuple[Colour, ...] = ((90, 140, 210), (160, 180, 200), (60, 70, 110), (230, 150, 100), (190, 200, 210))
    top = jitter(rng, pick(rng, tops), 20)
    canvas.rgb[:] = gradient(canvas.size_hw, top, blend(top, (250, 240, 225), 0.65))
    veil = np.clip(clouds(rng, canvas.size_hw, 150, 5).astype(np.int32) - 120, 0, 90)[..., None]
    canvas.rgb[:] = (canvas.rgb + (250 - canvas.rgb.astype(np.int32)) * veil // 110).astype(np.uint8)


def _ground(canvas: Canvas, rng: np.random.Generator, y: int, colour: Colour, strength: int) -> None:
    canvas.rgb[y:] = gradient((canvas.size_hw[0] - y, canvas.size_hw[1]), blend(colour, (255, 255, 255), 0.12), colour)
    mottle(canvas, rng, y, canvas.size_hw[0], int(rng.integers(10, 40)), strength)


def _tree(canvas: Canvas, rng: np.random.Generator, light: Light, x: float, y: float, tall: float) -> None:
    bark = Material(jitter(rng, (84, 64, 48), 16), (50, 38, 30), "strands", 0.3, 8)
    trunk = np.array([x, y]), np.array([x + uniform(rng, -6, 6), y - tall * 0.6])
    paint(canvas, (capsule(*trunk, 0.05 * tall, 0.03 * tall),), bark, light, rng, unit_px=tall, reach_px=6)
    green = jitter(rng, pick(rng, ((52, 92, 46), (90, 120, 50), (150, 110, 40), (40, 70, 54))), 16)
    for _ in range(12):
        at = np.array([x + uniform(rng, -0.3, 0.3) * tall, y - tall * uniform(rng, 0.5, 1.0)])
        size = uniform(rng, 0.1, 0.2) * tall
        leaves = Material(jitter(rng, green, 14), blend(green, (220, 230, 150), 0.4), "fur", 0.05, 14)
        paint(canvas, (ellipse(at, size, size * 0.8),), leaves, light, rng, unit_px=tall, reach_px=size * 0.5)


def field(canvas: Canvas, rng: np.random.Generator, light: Light) -> None:
    """Sky, a ridge of hills, trees and grass."""
    h, w = canvas.size_hw
    _sky(canvas, rng)
    horizon = h * uniform(rng, 0.4, 0.65)
    ridge = [np.array([w * i / 8, horizon - h * uniform(rng, 0.0, 0.14)]) for i in range(-1, 10)]
    hills = np.array([*ridge, [w * 1.2, h], [-w * 0.2, h]])
    paint(canvas, (hills,), Material(jitter(rng, (96, 116, 112), 22), weave=6), light, rng, reach_px=4)
    grass: Colour = jitter(rng, pick(rng, ((96, 128, 60), (140, 134, 70), (170, 150, 110), (226, 228, 232))), 18)
    _ground(canvas, rng, int(horizon), grass, 28)
    for _ in range(int(rng.integers(1, 6))):
        _tree(canvas, rng, light, uniform(rng, 0, w), horizon + uniform(rng, 0, 0.12) * h, uniform(rng, 0.25, 0.6) * h)


def beach(canvas: Canvas, rng: np.random.Generator, light: Light) -> None:
    """Sky, sea with wave crests, sand the colour of skin."""
    h, w = canvas.size_hw
    _sky(canvas, rng)
    sea_y, sand_y = int(h * uniform(rng, 0.35, 0.5)), int(h * uniform(rng, 0.58, 0.75))
    sea = jitter(rng, (52, 104, 130), 24)
    canvas.rgb[sea_y:sand_y] = gradient((sand_y - sea_y, w), sea, blend(sea, (210, 230, 230), 0.4))
    crests = value_noise(rng, (sand_y - sea_y, w), (5, 60)).astype(np.int32)
    foam = np.clip((crests - 180) * 3, 0, 90)[..., None]
    canvas.rgb[sea_y:sand_y] = np.clip(canvas.rgb[sea_y:sand_y] + foam, 0, 255).astype(np.uint8)
    _ground(canvas, rng, sand_y, jitter(rng, (216, 184, 146), 14), 30)


def street(canvas: Canvas, rng: np.random.Generator, light: Light) -> None:
    """House fronts with windows over a pavement."""
    h, w = canvas.size_hw
    _sky(canvas, rng)
    foot = int(h * uniform(rng, 0.62, 0.8))
    x = -uniform(rng, 0, 60)
    while x < w:
        wide = uniform(rng, 0.2, 0.42) * w
        _house(canvas, rng, light, rectangle(x, h * uniform(rng, -0.1, 0.25), x + wide, foot + 2.0))
        x += wide
    _ground(canvas, rng, foot, jitter(rng, (120, 118, 116), 22), 34)
    for k in range(int(rng.integers(0, 4))):
        y = foot + (h - foot) * (k + 1) // 5
        canvas.rgb[y : y + 3] = canvas.rgb[y : y + 3] // 4 * 3


def _house(canvas: Canvas, rng: np.random.Generator, light: Light, front: Points) -> None:
    """A front with rows of windows, some of them lit."""
    plaster = jitter(
        rng, pick(rng, ((180, 150, 120), (140, 80, 66), (190, 190, 186), (206, 178, 150), (96, 100, 110))), 20
    )
    paint(canvas, (front,), Material(plaster, weave=7), light, rng, reach_px=3)
    (x0, y0), (x1, y1) = front[0], front[2]
    columns, rows = int(rng.integers(2, 5)), int(rng.integers(3, 7))
    cell_w, cell_h = (x1 - x0) / columns, (y1 - y0) / rows
    glasses: tuple[Colour, ...] = ((44, 52, 64), (80, 96, 110), (240, 214, 150), (30, 32, 38))
    for i in range(columns * rows):
        left, top = x0 + cell_w * (i % columns + 0.25), y0 + cell_h * (i // columns + 0.2)
        pane = rectangle(left, top, left + cell_w * 0.5, top + cell_h * 0.62)
        paint(canvas, (pane,), Material(pick(rng, glasses), (200, 210, 220), "shade", 0.4, 4), light, rng, reach_px=2)


def foliage(canvas: Canvas, rng: np.random.Generator, light: Light) -> None:
    """Leaves upon leaves, no ground."""
    h, w = canvas.size_hw
    green = jitter(rng, pick(rng, ((50, 84, 40), (84, 104, 50), (110, 80, 40), (36, 60, 50))), 14)
    canvas.rgb[:] = gradient((h, w), blend(green, (0, 0, 0), 0.3), blend(green, (0, 0, 0), 0.6))
    mottle(canvas, rng, 0, h, 40, 24)
    size = uniform(rng, 24, 60)
    for _ in range(int(rng.integers(70, 130))):
        colour = jitter(rng, green, 30)
        surface = Material(colour, blend(colour, (230, 235, 160), 0.35), "pinstripes", 0.3, 7)
        root = np.array([uniform(rng, -20, w + 20), uniform(rng, -20, h + 20)])
        blade = leaf(root, uniform(rng, 0, 360), size * uniform(rng, 0.6, 1.6), size * uniform(rng, 0.1, 0.3))
        paint(canvas, (blade,), surface, light, rng, unit_px=30, reach_px=5)


def court(canvas: Canvas, rng: np.random.Generator, light: Light) -> None:
    """A sports ground with lines, a fence and a stand full of dots."""
    h, w = canvas.size_hw
    edge = int(h * uniform(rng, 0.35, 0.55))
    canvas.rgb[:] = gradient((h, w), (70, 76, 90), (96, 100, 104))
    for _ in range(int(rng.integers(60, 220))):
        at = np.array([uniform(rng, 0, w), uniform(rng, 0, edge)])
        paint(
            canvas,
            (ellipse(at, 5, 6, 0, 8),),
            Material(jitter(rng, (150, 130, 120), 90), weave=4),
            light,
            rng,
            reach_px=2,
        )
    base: Colour = jitter(rng, pick(rng, ((60, 110, 80), (170, 92, 60), (60, 90, 140), (196, 160, 110))), 14)
    _ground(canvas, rng, edge, base, 22)
    paint(canvas, (rectangle(0, edge - 26, w, edge),), Material(blend(base, (20, 20, 30), 0.6)), light, rng, reach_px=4)
    for _ in range(3):
        y, slant = uniform(rng, edge, h), uniform(rng, -60, 60)
        line = np.array([[0, y], [w, y + slant], [w, y + slant + 6], [0, y + 6]])
        paint(canvas, (line,), Material((232, 232, 226), weave=6), light, rng, reach_px=1)


def bokeh(canvas: Canvas, rng: np.random.Generator, light: Light) -> None:
    """Night lights far out of focus."""
    h, w = canvas.size_hw
    dusk = jitter(rng, pick(rng, ((24, 26, 40), (40, 30, 34), (20, 34, 34))), 8)
    canvas.rgb[:] = gradient((h, w), dusk, blend(dusk, (90, 70, 60), 0.4))
    mottle(canvas, rng, 0, h, 90, 12)
    for _ in range(int(rng.integers(16, 50))):
        at, size = np.array([uniform(rng, 0, w), uniform(rng, 0, 0.8 * h)]), uniform(rng, 8, 34)
        glow = jitter(rng, pick(rng, ((250, 210, 130), (240, 120, 90), (130, 190, 240), (250, 240, 220))), 20)
        paint(
            canvas,
            (ellipse(at, size, size),),
            Material(glow),
            light,
            rng,
            reach_px=2,
            opacity=int(rng.integers(50, 170)),
        )


def haze(canvas: Canvas, rng: np.random.Generator, light: Light) -> None:
    """Fog: almost one colour, darker shapes far off."""
    h, w = canvas.size_hw
    grey = jitter(rng, (176, 178, 180), 28)
    canvas.rgb[:] = gradient((h, w), grey, blend(grey, (90, 90, 90), 0.3))
    for _ in range(int(rng.integers(3, 9))):
        x, tall = uniform(rng, 0, w), uniform(rng, 0.2, 0.6) * h
        far = Material(blend(grey, (60, 66, 66), uniform(rng, 0.15, 0.45)), weave=4)
        crown = [ellipse(np.array([x + uniform(rng, -0.25, 0.25) * tall, h * 0.72 - tall * uniform(rng, 0.5, 1.0)]),
                         0.2 * tall, 0.17 * tall) for _ in range(7)]  # fmt: skip
        trunk = capsule(np.array([x, h * 0.74]), np.array([x, h * 0.72 - tall * 0.6]), 0.04 * tall, 0.03 * tall)
        paint(canvas, (trunk, *crown), far, light, rng, reach_px=8, opacity=190)
    mottle(canvas, rng, 0, h, 120, 14)
