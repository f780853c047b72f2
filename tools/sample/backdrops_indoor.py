"""Backgrounds inside. Each fills a canvas; nothing in them carries a label."""

import numpy as np

from tools.sample.backdrops_outdoor import gradient, mottle
from tools.sample.canvas import Canvas, Light, paint
from tools.sample.geometry import Points, ellipse, rectangle, smooth
from tools.sample.heads import SKINS
from tools.sample.materials import Material
from tools.sample.noise import Colour, blend, chance, jitter, pick, uniform
from tools.sample.wardrobe import draw_dye


def _wall(canvas: Canvas, rng: np.random.Generator, colour: Colour, foot: int) -> None:
    h, w = canvas.size_hw
    canvas.rgb[:foot] = gradient((foot, w), blend(colour, (255, 255, 255), 0.15), blend(colour, (0, 0, 0), 0.12))
    mottle(canvas, rng, 0, foot, 120, 16)
    floor = jitter(rng, pick(rng, ((140, 104, 70), (110, 108, 106), (180, 150, 120), (80, 62, 50))), 16)
    if foot < h:
        canvas.rgb[foot:] = gradient((h - foot, w), blend(floor, (0, 0, 0), 0.25), floor)
        mottle(canvas, rng, foot, h, 30, 26)


def _box(canvas: Canvas, rng: np.random.Generator, light: Light, box: Points, surface: Material) -> None:
    paint(canvas, (box,), surface, light, rng, unit_px=60, reach_px=5)


def room(canvas: Canvas, rng: np.random.Generator, light: Light) -> None:
    """A wall with pictures and a window, a sofa or a cupboard, a floor."""
    h, w = canvas.size_hw
    foot = int(h * uniform(rng, 0.62, 0.85))
    _wall(
        canvas,
        rng,
        jitter(rng, pick(rng, ((206, 196, 178), (150, 166, 170), (196, 160, 130), (110, 116, 130))), 18),
        foot,
    )
    if chance(rng, 0.6):
        _window(canvas, rng, light, uniform(rng, 0, 0.7) * w, 0.1 * h, 0.28 * w, 0.4 * h)
    for _ in range(int(rng.integers(1, 5))):
        _picture(canvas, rng, light, uniform(rng, 0, w), uniform(rng, 0.05, 0.35) * h, uniform(rng, 40, 110))
    if chance(rng, 0.7):
        _sofa(canvas, rng, light, uniform(rng, -0.2, 0.6) * w, foot + 0.05 * h, uniform(rng, 0.4, 0.7) * w)
    if chance(rng, 0.5):
        _cupboard(canvas, rng, light, uniform(rng, 0, 0.8) * w, foot + 4.0, uniform(rng, 0.15, 0.3) * w)
    if chance(rng, 0.4):
        _lamp(canvas, rng, light, uniform(rng, 0.05, 0.95) * w, foot + 8.0, uniform(rng, 0.45, 0.75) * h)


def _window(
    canvas: Canvas, rng: np.random.Generator, light: Light, x: float, y: float, wide: float, tall: float
) -> None:
    outside = Material((200, 220, 240), (120, 150, 110), "shade", tall / 480, 5)
    _box(canvas, rng, light, rectangle(x - 8, y - 8, x + wide + 8, y + tall + 8), Material((226, 222, 214), weave=4))
    for i in range(4):
        left, top = x + wide / 2 * (i % 2) + 4, y + tall / 2 * (i // 2) + 4
        _box(canvas, rng, light, rectangle(left, top, left + wide / 2 - 8, top + tall / 2 - 8), outside)


def _picture(canvas: Canvas, rng: np.random.Generator, light: Light, x: float, y: float, size: float) -> None:
    """A framed picture; its paint may be the colour of skin."""
    inner = pick(rng, SKINS) if chance(rng, 0.3) else draw_dye(rng)
    _box(canvas, rng, light, rectangle(x, y, x + size, y + size * 1.2), Material(draw_dye(rng), weave=4))
    art = Material(inner, draw_dye(rng), pick(rng, ("patches", "dots", "shade")), 0.5, 5)
    _box(canvas, rng, light, rectangle(x + 8, y + 8, x + size - 8, y + size * 1.2 - 8), art)


def _sofa(canvas: Canvas, rng: np.random.Generator, light: Light, x: float, y: float, wide: float) -> None:
    cloth = Material(draw_dye(rng), draw_dye(rng), pick(rng, ("plain", "knit", "patches")), 0.4, 7, 16)
    tall = wide * 0.3
    for part in (
        rectangle(x, y - tall * 1.5, x + wide, y), rectangle(x, y - tall * 0.7, x + wide, y + tall * 0.3),
        rectangle(x - wide * 0.07, y - tall, x + wide * 0.07, y + tall * 0.3),
        rectangle(x + wide * 0.93, y - tall, x + wide * 1.07, y + tall * 0.3),
    ):  # fmt: skip
        paint(canvas, (smooth(part, 6),), cloth, light, rng, unit_px=60, reach_px=12)


def _cupboard(canvas: Canvas, rng: np.random.Generator, light: Light, x: float, y: float, wide: float) -> None:
    colour = jitter(rng, (130, 90, 56), 40)
    wood = Material(colour, blend(colour, (0, 0, 0), 0.35), "strands", 0.8, 5)
    tall = wide * uniform(rng, 1.0, 2.2)
    _box(canvas, rng, light, rectangle(x, y - tall, x + wide, y), wood)
    for k in range(3):
        top = y - tall + tall * k / 3 + 5
        _box(canvas, rng, light, rectangle(x + 6, top, x + wide - 6, top + tall / 3 - 8), wood)


def _lamp(canvas: Canvas, rng: np.random.Generator, light: Light, x: float, y: float, tall: float) -> None:
    _box(canvas, rng, light, rectangle(x - 3, y - tall, x + 3, y), Material((60, 56, 54), weave=3))
    _box(canvas, rng, light, ellipse(np.array([x, y]), 26, 6), Material((60, 56, 54), weave=3))
    shade = np.array(
        [[x - 22, y - tall - 30], [x + 22, y - tall - 30], [x + 40, y - tall + 26], [x - 40, y - tall + 26]]
    )
    _box(canvas, rng, light, shade, Material((250, 226, 170), weave=4))


def bricks(canvas: Canvas, rng: np.random.Generator, light: Light) -> None:
    """A brick wall over a pavement, each brick of its own colour."""
    h, w = canvas.size_hw
    foot = int(h * uniform(rng, 0.78, 1.0))
    clay = jitter(rng, pick(rng, ((150, 84, 62), (176, 130, 100), (120, 116, 112), (206, 200, 192))), 16)
    canvas.rgb[:] = np.array(blend(clay, (190, 186, 178), 0.6), np.uint8)
    tall = int(rng.integers(14, 30))
    wide = tall * 3
    for row in range(foot // tall + 1):
        for column in range(-1, w // wide + 1):
            x0, y0 = column * wide + (row % 2) * wide // 2, row * tall
            y1 = min(y0 + tall - 3, foot)
            canvas.rgb[y0:y1, max(x0, 0) : max(x0 + wide - 3, 0)] = np.array(jitter(rng, clay, 18), np.uint8)
    mottle(canvas, rng, 0, foot, 40, 34)
    if foot < h:
        canvas.rgb[foot:] = np.array(jitter(rng, (116, 114, 112), 16), np.uint8)
        mottle(canvas, rng, foot, h, 20, 30)


def shelves(canvas: Canvas, rng: np.random.Generator, light: Light) -> None:
    """Boards full of books, boxes and jars in every colour."""
    h, w = canvas.size_hw
    canvas.rgb[:] = gradient((h, w), (70, 56, 46), (44, 36, 32))
    pitch = h / int(rng.integers(3, 6))
    for row in range(int(h / pitch) + 1):
        foot, x = (row + 1) * pitch - 8, 0.0
        while x < w:
            wide, tall = uniform(rng, 0.08, 0.4) * pitch, uniform(rng, 0.45, 0.9) * pitch
            spine = Material(draw_dye(rng), draw_dye(rng), pick(rng, ("plain", "hoops", "dots", "plain")), 0.4, 5)
            body = rectangle(x, foot - tall, x + wide - 2, foot)
            _box(canvas, rng, light, smooth(body, 5) if chance(rng, 0.15) else body, spine)
            x += wide
        board = rectangle(-4, foot, w + 4.0, foot + 8)
        _box(canvas, rng, light, board, Material((150, 112, 74), (110, 80, 50), "strands", 0.8, 5))


def clothes_rack(canvas: Canvas, rng: np.random.Generator, light: Light) -> None:
    """Empty coats and shirts on hangers: clothes without people in them."""
    h, w = canvas.size_hw
    _wall(canvas, rng, jitter(rng, (190, 180, 170), 30), int(h * 0.86))
    rail = h * uniform(rng, 0.08, 0.2)
    _box(canvas, rng, light, rectangle(0, rail - 4, w, rail + 4), Material((110, 110, 116), weave=4))
    x = uniform(rng, -20, 30)
    while x < w:
        wide, tall = uniform(rng, 80, 150), h * uniform(rng, 0.35, 0.62)
        corners = [
            [0.5, 0.02],
            [0.85, 0.1],
            [1.02, 0.55],
            [0.86, 0.58],
            [0.84, 1.0],
            [0.16, 1.0],
            [0.14, 0.58],
            [-0.02, 0.55],
            [0.15, 0.1],
        ]
        garment = np.array(corners) * np.array([wide, tall]) + np.array([x, rail + 6])
        pattern = pick(rng, ("plain", "hoops", "checks", "knit", "plain"))
        cloth = Material(draw_dye(rng), draw_dye(rng), pattern, uniform(rng, 0.15, 0.5), 6, 30)
        paint(canvas, (smooth(garment, 3),), cloth, light, rng, unit_px=60, reach_px=12)
        x += wide * uniform(rng, 0.55, 1.0)


def tiles(canvas: Canvas, rng: np.random.Generator, light: Light) -> None:
    """A tiled kitchen wall with a worktop, pots and jars."""
    h, w = canvas.size_hw
    pale = jitter(rng, pick(rng, ((226, 226, 220), (150, 190, 190), (230, 206, 180))), 14)
    canvas.rgb[:] = np.array(blend(pale, (90, 90, 90), 0.4), np.uint8)
    side = int(rng.integers(30, 56))
    for y in range(0, h, side):
        for x in range(0, w, side):
            canvas.rgb[y : y + side - 3, x : x + side - 3] = np.array(jitter(rng, pale, 7), np.uint8)
    mottle(canvas, rng, 0, h, 100, 18)
    top = h * uniform(rng, 0.6, 0.8)
    _box(
        canvas,
        rng,
        light,
        rectangle(0, top, w, h + 9.0),
        Material(jitter(rng, (120, 86, 60), 40), (60, 40, 30), "strands", 1.0),
    )
    for _ in range(int(rng.integers(3, 8))):
        left, size = uniform(rng, 0, w), uniform(rng, 24, 70)
        pot = smooth(rectangle(left, top - size, left + size * uniform(rng, 0.5, 1.2), top + 6), 5)
        _box(
            canvas,
            rng,
            light,
            pot,
            Material(draw_dye(rng), draw_dye(rng), pick(rng, ("plain", "hoops", "shade")), 0.5, 4),
        )


def studio(canvas: Canvas, rng: np.random.Generator, light: Light) -> None:
    """A plain paper background with a soft pool of light."""
    h, w = canvas.size_hw
    colour = draw_dye(rng)
    canvas.rgb[:] = gradient((h, w), blend(colour, (255, 255, 255), 0.2), blend(colour, (0, 0, 0), 0.25))
    mottle(canvas, rng, 0, h, 200, 26)


def graffiti(canvas: Canvas, rng: np.random.Generator, light: Light) -> None:
    """Loud rounded shapes, some the colour of skin and the size of limbs."""
    h, w = canvas.size_hw
    canvas.rgb[:] = np.array(draw_dye(rng), np.uint8)
    for _ in range(int(rng.integers(20, 50))):
        colour = pick(rng, SKINS) if chance(rng, 0.25) else draw_dye(rng)
        corners = np.array([[uniform(rng, -0.2, 0.2) * w, uniform(rng, -0.25, 0.25) * h] for _ in range(5)])
        shape = smooth(corners + np.array([uniform(rng, 0, w), uniform(rng, 0, h)]), 4)
        paint(
            canvas,
            (shape,),
            Material(colour, draw_dye(rng), pick(rng, ("plain", "patches", "shade")), 0.4, 8),
            light,
            rng,
            unit_px=60,
        )
    mottle(canvas, rng, 0, h, 50, 24)
