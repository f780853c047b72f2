"""Things people hold, sit on and stand behind, each with its COCO category name."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tools.sample.canvas import Canvas, Light, paint
from tools.sample.geometry import Points, Shape, capsule, direction, ellipse, rectangle, rotate, smooth
from tools.sample.materials import Material
from tools.sample.noise import Colour, blend, jitter, pick, uniform
from tools.sample.wardrobe import draw_dye

Painted = list[tuple[Shape, Material]]


@dataclass(frozen=True)
class Thing:
    """A held object: what it is, its colours, how it is turned against the forearm, and its size (1 usual)."""

    category: str
    colour: Colour
    second: Colour
    turn: float
    size: float


def _racket(thing: Thing) -> Painted:
    frame, strings = Material(thing.colour, weave=4), Material((214, 214, 200), (150, 150, 140), "checks", 0.09, 3)
    shaft = capsule(np.array([0, -0.35]), np.array([0, 0.8]), 0.06, 0.045)
    return [
        ((shaft, ellipse(np.array([0, 1.36]), 0.48, 0.62)), frame),
        ((ellipse(np.array([0, 1.36]), 0.41, 0.55),), strings),
    ]


def _bat(thing: Thing) -> Painted:
    wood = Material(thing.colour, blend(thing.colour, (0, 0, 0), 0.4), "strands", 0.5, 4)
    shaft = capsule(np.array([0, -0.3]), np.array([0, 0.9]), 0.06, 0.09)
    return [((shaft, capsule(np.array([0, 0.9]), np.array([0, 2.3]), 0.09, 0.16)), wood)]


def _umbrella(thing: Thing) -> Painted:
    stick, cloth = Material((60, 56, 52), weave=3), Material(thing.colour, thing.second, "pinstripes", 1.1, 4, 16)
    dome = [(0.0, 3.2), (0.95, 2.95), (1.75, 2.2), (1.85, 1.85), (1.2, 2.02), (0.6, 1.9), (0.0, 2.02), (-0.6, 1.9)]
    outline = smooth(np.array([*dome, (-1.2, 2.02), (-1.85, 1.85), (-1.75, 2.2), (-0.95, 2.95)]), 4)
    return [((capsule(np.array([0, -0.2]), np.array([0, 3.3]), 0.04, 0.03),), stick), ((outline,), cloth)]


def _handbag(thing: Thing) -> Painted:
    leather = Material(thing.colour, blend(thing.colour, (0, 0, 0), 0.3), "patches", 0.4, 5, 14)
    strap = capsule(np.array([-0.3, 0.7]), np.array([0, 0.0]), 0.05, 0.05)
    other = capsule(np.array([0.3, 0.7]), np.array([0, 0.0]), 0.05, 0.05)
    body = smooth(np.array([[-0.42, 0.6], [0.42, 0.6], [0.55, 1.35], [-0.55, 1.35]]), 5)
    clasp = ellipse(np.array([0, 0.78]), 0.08, 0.06)
    return [((strap, other, body), leather), ((clasp,), Material((210, 180, 90), weave=3))]


def _phone(thing: Thing) -> Painted:
    case = Material((26, 26, 30), weave=3)
    glass = Material(thing.colour, (240, 240, 255), "shade", 0.1, 3)
    return [((rectangle(-0.17, -0.12, 0.17, 0.56),), case), ((rectangle(-0.135, -0.06, 0.135, 0.5),), glass)]


def _ball(thing: Thing) -> Painted:
    hide = Material(thing.colour, thing.second, "patches", 0.3, 5)
    return [((ellipse(np.array([0, 0.36]), 0.42, 0.42),), hide)]


def _book(thing: Thing) -> Painted:
    cover, paper = Material(thing.colour, thing.second, "dots", 0.3, 4), Material((236, 230, 214), weave=4)
    return [((rectangle(-0.38, -0.1, 0.42, 0.95),), paper), ((rectangle(-0.38, -0.1, 0.36, 0.98),), cover)]


def _suitcase(thing: Thing) -> Painted:
    shell = Material(thing.colour, blend(thing.colour, (0, 0, 0), 0.4), "pinstripes", 0.24, 5)
    handle = rectangle(-0.12, -0.04, 0.12, 0.5)
    body = smooth(np.array([[-0.62, 0.4], [0.62, 0.4], [0.64, 2.0], [-0.64, 2.0]]), 6)
    return [((handle,), Material((70, 70, 74), weave=3)), ((body,), shell)]


HELD: dict[str, Callable[[Thing], Painted]] = {
    "tennis racket": _racket,
    "baseball bat": _bat,
    "umbrella": _umbrella,
    "handbag": _handbag,
    "cell phone": _phone,
    "sports ball": _ball,
    "book": _book,
    "suitcase": _suitcase,
}
HANGING = ("handbag", "suitcase")


def draw_thing(rng: np.random.Generator, category: str) -> Thing:
    """A held object of that category."""
    turn = uniform(rng, -35, 35)
    colour = (186, 140, 84) if category == "baseball bat" else draw_dye(rng)
    return Thing(category, jitter(rng, colour, 12), draw_dye(rng), turn, uniform(rng, 0.85, 1.2))


def held_parts(thing: Thing, grip: Points, forearm: float) -> Painted:
    """The object's parts in head heights, its grip in the hand; bags hang, umbrellas stand, the rest is swung."""
    if thing.category in HANGING:
        along = thing.turn * 0.2
    elif thing.category == "umbrella":
        along = 180 + thing.turn * 0.4
    elif thing.category == "cell phone":
        along = 180 + thing.turn
    else:
        along = forearm + thing.turn
    return [
        (tuple(rotate(outline * thing.size, -along, np.zeros(2)) + grip for outline in shape), surface)
        for shape, surface in HELD[thing.category](thing)
    ]


def paint_chair(canvas: Canvas, rng: np.random.Generator, light: Light, x: float, y: float, unit: float) -> None:
    """A chair whose seat's middle is at (x, y) canvas px; `unit` px is one head height of its sitter."""
    colour = jitter(rng, pick(rng, ((120, 80, 50), (60, 60, 66), (170, 40, 40), (210, 200, 180), (50, 80, 110))), 14)
    wood = Material(colour, blend(colour, (0, 0, 0), 0.35), "strands", 0.6, 5)
    owner = canvas.add_instance("chair")
    back, seat = rectangle(-1.0, -2.0, 1.0, -0.1), rectangle(-1.15, -0.1, 1.15, 0.32)
    legs = [rectangle(-1.1, 0.3, -0.9, 1.9), rectangle(0.9, 0.3, 1.1, 1.9), rectangle(-0.75, 0.3, -0.62, 1.5)]
    shape = tuple(part * unit + np.array([x, y]) for part in (smooth(back, 6), seat, *legs))
    paint(canvas, shape, wood, light, rng, owner=owner, unit_px=unit, reach_px=0.1 * unit)


def paint_table(canvas: Canvas, rng: np.random.Generator, light: Light, y: float, category: str) -> None:
    """A table or desk across the lower picture from height `y` canvas px down, with a few things on it."""
    h, w = canvas.size_hw
    colour = jitter(rng, pick(rng, ((150, 104, 62), (214, 200, 178), (84, 60, 44), (120, 124, 130))), 12)
    wood = Material(colour, blend(colour, (0, 0, 0), 0.3), "strands", 1.0, 5)
    left, right = uniform(rng, -0.2, 0.15) * w, uniform(rng, 0.8, 1.2) * w
    owner = canvas.add_instance(category)
    top = np.array([[left + 0.06 * w, y], [right - 0.06 * w, y], [right, y + 0.12 * h], [left, y + 0.12 * h]])
    paint(canvas, (top,), wood, light, rng, owner=owner, degrees=90, unit_px=60, reach_px=3)
    front = rectangle(left, y + 0.12 * h, right, h + 20.0)
    dark = Material(blend(colour, (0, 0, 0), 0.35), blend(colour, (0, 0, 0), 0.6), "strands", 1.0, 5)
    paint(canvas, (front,), dark, light, rng, owner=owner, unit_px=60, reach_px=8)
    for _ in range(int(rng.integers(1, 4))):
        _paint_cup(canvas, rng, light, uniform(rng, left + 20, right - 20), y + 0.05 * h, 0.09 * h)


def _paint_cup(canvas: Canvas, rng: np.random.Generator, light: Light, x: float, y: float, tall: float) -> None:
    owner = canvas.add_instance("cup")
    body = np.array(
        [[x - 0.3 * tall, y - tall], [x + 0.3 * tall, y - tall], [x + 0.24 * tall, y], [x - 0.24 * tall, y]]
    )
    clay = Material(draw_dye(rng), draw_dye(rng), "hoops", 0.5, 4)
    handle = ellipse(np.array([x + 0.34 * tall, y - 0.55 * tall]), 0.16 * tall, 0.22 * tall)
    paint(canvas, (body, handle), clay, light, rng, owner=owner, unit_px=tall, reach_px=0.2 * tall)


def leaf(root: Points, degrees: float, length: float, width: float) -> Points:
    """A pointed leaf from `root`."""
    along = direction(degrees)
    aside = np.array([along[1], -along[0]])
    return smooth(
        np.array([root, root + along * length * 0.45 + aside * width, root + along * length,
                  root + along * length * 0.45 - aside * width]), 4,
    )  # fmt: skip


def paint_plant(canvas: Canvas, rng: np.random.Generator, light: Light, x: float, y: float, tall: float) -> None:
    """A potted plant whose pot stands on (x, y) canvas px."""
    owner = canvas.add_instance("potted plant")
    pot = np.array([[x - 0.16 * tall, y - 0.28 * tall], [x + 0.16 * tall, y - 0.28 * tall],
                    [x + 0.11 * tall, y], [x - 0.11 * tall, y]])  # fmt: skip
    paint(
        canvas, (pot,), Material(jitter(rng, (168, 92, 60), 24), weave=6), light, rng, owner=owner, reach_px=0.08 * tall
    )
    green = jitter(rng, (60, 110, 50), 26)
    for _ in range(int(rng.integers(9, 17))):
        colour = jitter(rng, green, 22)
        surface = Material(colour, blend(colour, (230, 240, 160), 0.3), "pinstripes", 0.2, 6)
        root = np.array([x + uniform(rng, -0.08, 0.08) * tall, y - 0.28 * tall])
        blade = leaf(root, 180 + uniform(rng, -75, 75), uniform(rng, 0.35, 0.75) * tall, uniform(rng, 0.04, 0.1) * tall)
        paint(canvas, (blade,), surface, light, rng, owner=owner, unit_px=0.4 * tall, reach_px=0.03 * tall)
