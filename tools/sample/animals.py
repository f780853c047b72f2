"""Dogs, cats, birds and horses with fur, in units of their own height."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tools.sample.canvas import Canvas, Light, paint
from tools.sample.geometry import Points, Shape, capsule, ellipse, limb, smooth
from tools.sample.materials import Material
from tools.sample.noise import Colour, blend, chance, jitter, pick, uniform

COATS: tuple[Colour, ...] = (
    (60, 44, 34), (150, 104, 62), (206, 170, 120), (36, 34, 36), (226, 218, 204), (120, 116, 112), (170, 96, 48),
    (232, 196, 164),
)  # fmt: skip


@dataclass(frozen=True)
class Beast:
    """Outlines of an animal looking right: what lies behind, the body, the details over it."""

    back: Shape
    body: Shape
    dark: Shape


def _p(x: float, y: float) -> Points:
    return np.array([x, y])


def _legs(rng: np.random.Generator, roots: tuple[tuple[float, float], ...], foot: float, thick: float) -> Shape:
    shapes: list[Points] = []
    for x, y in roots:
        knee = _p(x + uniform(rng, -0.07, 0.05), (y + foot) / 2)
        end = _p(x + uniform(rng, -0.05, 0.08), foot)
        shapes += limb([_p(x, y), knee, end], [thick * 1.5, thick, thick * 0.8])
        shapes.append(capsule(end, end + _p(0.06, 0.01), thick * 0.85, thick * 0.7))
    return tuple(shapes)


def _dog(rng: np.random.Generator) -> Beast:
    trunk = smooth(np.array([[-0.5, -0.62], [0.0, -0.66], [0.42, -0.7], [0.52, -0.45], [0.3, -0.3], [-0.1, -0.34],
                             [-0.5, -0.36], [-0.6, -0.5]]), 4)  # fmt: skip
    head, snout = ellipse(_p(0.66, -0.92), 0.19, 0.17), capsule(_p(0.7, -0.88), _p(0.92, -0.84), 0.11, 0.07)
    neck = capsule(_p(0.4, -0.6), _p(0.62, -0.9), 0.19, 0.15)
    tail = capsule(_p(-0.55, -0.58), _p(-0.85, -0.8 - uniform(rng, 0, 0.2)), 0.07, 0.035)
    ear = smooth(np.array([[0.55, -1.04], [0.66, -1.02], [0.62, -0.74], [0.5, -0.72]]), 4)
    face = (ellipse(_p(0.97, -0.87), 0.045, 0.04), ellipse(_p(0.73, -0.97), 0.026, 0.026), ear)
    back = _legs(rng, ((-0.38, -0.4), (0.38, -0.4)), -0.03, 0.06)
    front = _legs(rng, ((-0.46, -0.42), (0.3, -0.42)), 0.0, 0.065)
    return Beast(back, (tail, *front, trunk, neck, head, snout), face)


def _cat(rng: np.random.Generator) -> Beast:
    trunk = smooth(np.array([[0.0, -0.78], [0.2, -0.6], [0.3, -0.2], [0.26, 0.0], [-0.26, 0.0], [-0.3, -0.2],
                             [-0.18, -0.6]]), 4)  # fmt: skip
    head = ellipse(_p(0.05, -0.84), 0.22, 0.19)
    ears = tuple(
        np.array([[x - 0.08, -0.95], [x + 0.08, -0.95], [x + 0.03 * (1 if x > 0 else -1), -1.13]]) for x in (-0.1, 0.19)
    )
    curl = uniform(rng, 0.0, 0.3)
    tail = limb([_p(-0.2, -0.06), _p(-0.45, -0.1), _p(-0.6, -0.3 - curl)], [0.07, 0.06, 0.04])
    paws = (ellipse(_p(-0.08, -0.02), 0.09, 0.05), ellipse(_p(0.14, -0.02), 0.09, 0.05))
    face = (
        ellipse(_p(-0.03, -0.87), 0.03, 0.035),
        ellipse(_p(0.13, -0.87), 0.03, 0.035),
        ellipse(_p(0.05, -0.79), 0.025, 0.018),
    )
    return Beast((), (*tail, trunk, head, *ears, *paws), face)


def _bird(rng: np.random.Generator) -> Beast:
    trunk = smooth(
        np.array([[0.3, -0.62], [0.38, -0.4], [0.1, -0.18], [-0.3, -0.26], [-0.75, -0.1], [-0.5, -0.42], [0.0, -0.66]]),
        4,
    )
    wing = smooth(np.array([[0.12, -0.52], [0.1, -0.32], [-0.55, -0.2], [-0.3, -0.46]]), 4)
    beak = np.array([[0.48, -0.78], [0.48, -0.68], [0.66, -0.7]])
    legs = (capsule(_p(0.0, -0.22), _p(0.03, 0.0), 0.02, 0.018), capsule(_p(0.1, -0.22), _p(0.14, 0.0), 0.02, 0.018))
    return Beast(
        legs, (trunk, ellipse(_p(0.34, -0.74), 0.17, 0.16)), (wing, beak, ellipse(_p(0.4, -0.77), 0.025, 0.025))
    )


def _horse(rng: np.random.Generator) -> Beast:
    trunk = smooth(
        np.array(
            [[-0.55, -0.72], [0.0, -0.68], [0.4, -0.76], [0.5, -0.55], [0.3, -0.42], [-0.2, -0.42], [-0.58, -0.5]]
        ),
        4,
    )
    neck = limb([_p(0.4, -0.62), _p(0.62, -0.98)], [0.18, 0.11])
    head = capsule(_p(0.62, -1.0), _p(0.86, -0.78), 0.11, 0.065)
    ear = np.array([[0.55, -1.05], [0.63, -1.08], [0.6, -1.2]])
    tail = capsule(_p(-0.58, -0.68), _p(-0.72, -0.25), 0.06, 0.05)
    mane = smooth(np.array([[0.28, -0.78], [0.5, -1.08], [0.62, -1.12], [0.5, -0.9], [0.36, -0.68]]), 4)
    back = _legs(rng, ((-0.42, -0.5), (0.38, -0.5)), -0.02, 0.045)
    front = _legs(rng, ((-0.5, -0.5), (0.3, -0.5)), 0.0, 0.05)
    return Beast(back, (*front, trunk, *neck, head, ear), (mane, tail, ellipse(_p(0.68, -0.98), 0.02, 0.02)))


ANIMALS: dict[str, Callable[[np.random.Generator], Beast]] = {"dog": _dog, "cat": _cat, "bird": _bird, "horse": _horse}


def paint_animal(
    canvas: Canvas, rng: np.random.Generator, light: Light, category: str, x: float, y: float, tall: float
) -> None:
    """An animal whose feet stand at (x, y) canvas px, `tall` px high, looking left or right."""
    beast = ANIMALS[category](rng)
    coat = jitter(rng, pick(rng, COATS), 12)
    fur = Material(
        coat, blend(coat, pick(rng, ((255, 250, 240), (20, 16, 14))), 0.5), "fur", uniform(rng, 0.12, 0.4), 8
    )
    shade = Material(blend(coat, (0, 0, 0), 0.3), blend(coat, (0, 0, 0), 0.5), "fur", 0.2, 6)
    dark = Material(blend(coat, (16, 12, 12), 0.72), weave=4)
    flip = np.array([-tall if chance(rng, 0.5) else tall, tall])
    owner = canvas.add_instance(category)
    for shape, surface, reach in ((beast.back, shade, 0.05), (beast.body, fur, 0.12), (beast.dark, dark, 0.02)):
        if shape:
            moved = tuple(outline * flip + np.array([x, y]) for outline in shape)
            paint(canvas, moved, surface, light, rng, owner=owner, unit_px=tall, reach_px=reach * tall)
