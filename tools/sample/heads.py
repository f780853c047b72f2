"""Heads: face, hair, ears, glasses and hats, in head heights about the middle of the head."""

from dataclasses import dataclass

import numpy as np

from tools.sample.bodies import Skeleton
from tools.sample.geometry import Points, Shape, ellipse, rotate, smooth
from tools.sample.materials import Material
from tools.sample.noise import Colour, blend, chance, jitter, pick, uniform

SKINS: tuple[Colour, ...] = (
    (246, 212, 186), (235, 192, 160), (222, 172, 134), (198, 144, 106), (168, 114, 80), (128, 84, 58), (92, 60, 44),
    (68, 46, 36),
)  # fmt: skip
HAIRS: tuple[Colour, ...] = (
    (28, 22, 20), (40, 28, 22), (70, 46, 30), (104, 70, 42), (150, 108, 60), (196, 160, 100), (150, 72, 36),
    (150, 148, 146), (205, 203, 200), (24, 24, 30),
)  # fmt: skip
STYLES = ("short", "short", "long", "long", "bun", "bald", "curly", "cap", "ponytail", "bob", "beanie", "hood")


@dataclass(frozen=True)
class Look:
    """What a head looks like."""

    skin: Colour
    hair: Colour
    style: str
    hat: Colour
    beard: bool
    glasses: str
    """"", "dark" or "clear"."""
    eyes: Colour


@dataclass(frozen=True)
class Piece:
    """A part of the head: outlines in head heights, its surface, and how far its rounding reaches in."""

    shape: Shape
    material: Material
    reach: float


def draw_look(rng: np.random.Generator, hat: Colour) -> Look:
    """A random look; darker skin seldom goes with fair hair."""
    tone = int(rng.integers(len(SKINS)))
    hair = pick(rng, HAIRS[:3] if tone > 3 and chance(rng, 0.85) else HAIRS)
    return Look(
        skin=jitter(rng, SKINS[tone], 7),
        hair=jitter(rng, hair, 8),
        style=pick(rng, STYLES),
        hat=hat,
        beard=chance(rng, 0.16),
        glasses=pick(rng, ("",) * 10 + ("dark", "clear")),
        eyes=pick(rng, ((60, 40, 26), (70, 96, 120), (50, 70, 50))),
    )


def _place(skeleton: Skeleton, points: Points) -> Points:
    """From head coordinates (x right, y down, middle of the head at 0) to the body's."""
    vector = skeleton.head - skeleton.neck
    turn = float(np.degrees(np.arctan2(vector[0] - 0.14 * skeleton.facing, -vector[1])))
    return rotate(points, turn, np.zeros(2)) + skeleton.head


def _oval(skeleton: Skeleton, x: float, y: float, rx: float, ry: float, degrees: float = 0.0) -> Points:
    return _place(skeleton, ellipse(np.array([x, y]), rx, ry, degrees, 16))


def _curve(skeleton: Skeleton, corners: list[tuple[float, float]]) -> Points:
    return _place(skeleton, smooth(np.array(corners, dtype=float), 4))


def _skull(skeleton: Skeleton) -> Points:
    """The head's outline; in profile deeper, with a chin and a nose to the facing side."""
    f = skeleton.facing
    deep = 0.37 + 0.05 * abs(f)
    chin = 0.20 * f
    corners = [
        (0.0, -0.5), (deep * 0.72, -0.40), (deep, -0.12), (deep * 0.95, 0.12), (0.27 + chin * 0.4, 0.36),
        (0.12 + chin, 0.49), (-0.12 + chin, 0.49), (-0.27 + chin * 0.4, 0.36), (-deep * 0.95, 0.12), (-deep, -0.12),
        (-deep * 0.72, -0.40),
    ]  # fmt: skip
    return _curve(skeleton, corners)


def _hair_material(look: Look) -> Material:
    return Material(blend(look.hair, (0, 0, 0), 0.25), blend(look.hair, (255, 240, 220), 0.16), "strands", 0.3, 5)


def _hair_behind(skeleton: Skeleton, look: Look) -> Shape:
    """Hair that hangs behind the neck and shoulders (in front of them when seen from behind)."""
    back = -0.14 * skeleton.facing
    if look.style == "long":
        drop = [
            (0.0, -0.54),
            (0.42, -0.42),
            (0.5, 0.1),
            (0.5, 0.7),
            (0.3, 1.15),
            (-0.3, 1.15),
            (-0.5, 0.7),
            (-0.5, 0.1),
        ]
        return (_curve(skeleton, [*((x + back, y) for x, y in drop), (-0.42 + back, -0.42)]),)
    if look.style == "bob":
        drop = [(0.0, -0.55), (0.44, -0.4), (0.5, 0.1), (0.42, 0.5), (-0.42, 0.5), (-0.5, 0.1), (-0.44, -0.4)]
        return (_curve(skeleton, [(x + back, y) for x, y in drop]),)
    if look.style == "ponytail":
        tail = [(-0.1, -0.4), (0.16, -0.35), (0.22, 0.1), (0.1, 0.75), (-0.08, 0.7), (-0.12, 0.1)]
        return (_curve(skeleton, [(x - 0.42 * skeleton.facing, y) for x, y in tail]),)
    if look.style == "bun":
        return (_oval(skeleton, back * 1.4, -0.58, 0.19, 0.17),)
    return ()


def _cap_of_hair(skeleton: Skeleton, front: float) -> Points:
    """Hair over the skull down to the forehead at height `front`, lower at the back of the head."""
    f = skeleton.facing
    deep = 0.40 + 0.05 * abs(f)
    left, right = 0.02 + 0.26 * max(f, 0), 0.02 + 0.26 * max(-f, 0)
    return _curve(
        skeleton,
        [(0.0, -0.555), (deep * 0.75, -0.45), (deep, -0.16), (deep * 0.97, right), (deep * 0.82, right - 0.02),
         (deep * 0.74 + 0.1 * min(f, 0), -0.14), (0.10 + 0.16 * f, front), (-0.14 + 0.16 * f, front - 0.03),
         (-deep * 0.74 + 0.1 * max(f, 0), -0.14), (-deep * 0.82, left - 0.02), (-deep * 0.97, left), (-deep, -0.16),
         (-deep * 0.75, -0.45)],
    )  # fmt: skip


def _curls(skeleton: Skeleton, rng: np.random.Generator, back: bool) -> Shape:
    """A cloud of round curls around the skull."""
    rings = []
    for k in range(26):
        angle = -200 + 220 * k / 25
        reach = uniform(rng, 0.36, 0.5)
        x, y = reach * np.cos(np.radians(angle)), 0.95 * reach * np.sin(np.radians(angle))
        rings.append(_oval(skeleton, float(x), float(y) - 0.1, 0.13, 0.13))
    crown = _oval(skeleton, 0, -0.05, 0.5, 0.5) if back else _cap_of_hair(skeleton, -0.3)
    return (*rings, crown)


def _hair_over(skeleton: Skeleton, look: Look, rng: np.random.Generator, back: bool) -> Shape:
    if look.style == "bald":
        return ()
    if look.style == "curly":
        return _curls(skeleton, rng, back)
    if not back:
        return (_cap_of_hair(skeleton, uniform(rng, -0.34, -0.2)),)
    low = 0.30 if look.style in ("short", "cap", "beanie") else 0.38
    corners = [(0.0, -0.555), (0.33, -0.45), (0.42, -0.12), (0.38, 0.15), (0.22, low), (-0.22, low)]
    return (_curve(skeleton, [*corners, (-0.38, 0.15), (-0.42, -0.12), (-0.33, -0.45)]),)


def _hat(skeleton: Skeleton, look: Look, back: bool) -> list[Piece]:
    cloth = Material(look.hat, blend(look.hat, (0, 0, 0), 0.4), "knit" if look.style == "beanie" else "twill", 0.12, 7)
    f = skeleton.facing
    dome = [(0.0, -0.60), (0.36, -0.50), (0.46, -0.2), (0.44, -0.13), (-0.44, -0.13), (-0.46, -0.2), (-0.36, -0.50)]
    pieces = [Piece((_curve(skeleton, dome),), cloth, 0.16)]
    if look.style == "cap" and not back:
        brim = [(-0.34 + 0.4 * f, -0.20), (0.34 + 0.4 * f, -0.20), (0.38 + 0.56 * f, -0.09), (-0.38 + 0.56 * f, -0.09)]
        pieces.append(Piece((_curve(skeleton, brim),), cloth, 0.05))
    return pieces


def _hood(skeleton: Skeleton, look: Look, back: bool) -> list[Piece]:
    cloth = Material(look.hat, blend(look.hat, (0, 0, 0), 0.3), "knit", 0.1, 6, 18)
    outer = _curve(
        skeleton, [(0.0, -0.63), (0.42, -0.48), (0.53, 0.0), (0.42, 0.5), (-0.42, 0.5), (-0.53, 0.0), (-0.42, -0.48)]
    )
    return [Piece((outer,), cloth, 0.2)] if back else []


def _eyes(skeleton: Skeleton, look: Look) -> list[Piece]:
    f = skeleton.facing
    white, iris = Material((232, 228, 222), weave=2), Material(look.eyes, weave=2)
    brow = Material(blend(look.hair, look.skin, 0.25), weave=4)
    pieces = []
    for x in (-0.16, 0.16):
        at = x * (1 - 0.35 * abs(f)) + 0.24 * f
        if abs(at) > 0.36:
            continue
        pieces.append(Piece((_oval(skeleton, at, -0.03, 0.066, 0.034),), white, 0.01))
        pieces.append(Piece((_oval(skeleton, at + 0.02 * f, -0.03, 0.032, 0.034),), iris, 0.01))
        pieces.append(Piece((_oval(skeleton, at, -0.12, 0.085, 0.018, 6 if x > 0 else -6),), brow, 0.01))
    return pieces


def _glasses(skeleton: Skeleton, look: Look) -> list[Piece]:
    rim, glass = Material((30, 28, 32), weave=2), Material(blend(look.skin, (255, 255, 255), 0.25), weave=3)
    f = skeleton.facing
    middles = [x * (1 - 0.3 * abs(f)) + 0.24 * f for x in (-0.17, 0.17)]
    lenses = tuple(_oval(skeleton, x, -0.03, 0.12, 0.085) for x in middles)
    pieces = [Piece((*lenses, _oval(skeleton, 0.24 * f, -0.05, 0.34, 0.016)), rim, 0.02)]
    if look.glasses == "clear":
        clear = tuple(_oval(skeleton, x, -0.03, 0.1, 0.066) for x in middles)
        pieces += [Piece(clear, glass, 0.02), *_eyes(skeleton, look)]
    return pieces


def _face(skeleton: Skeleton, look: Look, rng: np.random.Generator) -> list[Piece]:
    f = skeleton.facing
    dark, pink = blend(look.skin, (70, 20, 10), 0.3), blend(look.skin, (190, 60, 60), 0.4)
    middle = 0.27 * f
    nose = [
        (middle - 0.03, -0.06),
        (middle + 0.03, -0.06),
        (middle + 0.07, 0.13),
        (middle, 0.17),
        (middle - 0.07, 0.13),
    ]
    smile = uniform(rng, 0.012, 0.05)
    pieces = [
        *_eyes(skeleton, look),
        Piece((_curve(skeleton, nose),), Material(blend(look.skin, dark, 0.35), weave=4), 0.04),
        Piece(
            (_oval(skeleton, middle, 0.27, 0.12 * (1 - 0.4 * abs(f)), 0.015 + 0.7 * smile),),
            Material(pink, weave=3),
            0.03,
        ),
    ]
    if look.beard:
        jaw = [(0.33 + middle * 0.4, 0.08), (0.28 + middle * 0.5, 0.38), (middle, 0.52), (-0.28 + middle * 0.5, 0.38),
               (-0.33 + middle * 0.4, 0.08), (-0.16 + middle, 0.22), (middle, 0.20), (0.16 + middle, 0.22)]  # fmt: skip
        pieces.insert(0, Piece((_curve(skeleton, jaw),), _hair_material(look), 0.05))
    return [*pieces, *(_glasses(skeleton, look) if look.glasses else [])]


def head_pieces(
    skeleton: Skeleton, look: Look, rng: np.random.Generator, back: bool
) -> tuple[list[Piece], list[Piece]]:
    """What is painted before the trunk, and what after it, in order."""
    skin, hair = Material(look.skin, weave=4), _hair_material(look)
    ears = tuple(_oval(skeleton, x, 0.02, 0.06, 0.1) for x in (-0.4, 0.4) if abs(x - 0.5 * skeleton.facing) < 0.75)
    behind = [Piece(shape, hair, 0.2) for shape in [_hair_behind(skeleton, look)] if shape]
    over = [Piece(ears, skin, 0.04), Piece((_skull(skeleton),), skin, 0.2)]
    if not back:
        over += _face(skeleton, look, rng)
    over += [Piece(shape, hair, 0.16) for shape in [_hair_over(skeleton, look, rng, back)] if shape]
    if look.style in ("cap", "beanie"):
        over += _hat(skeleton, look, back)
    if look.style == "hood":
        hood = Material(look.hat, blend(look.hat, (0, 0, 0), 0.3), "knit", 0.1, 6, 18)
        shell = [(0.0, -0.64), (0.42, -0.50), (0.54, 0.0), (0.5, 0.6), (-0.5, 0.6), (-0.54, 0.0), (-0.42, -0.50)]
        behind.append(Piece((_curve(skeleton, shell),), hood, 0.2))
        over += _hood(skeleton, look, back)
    if back:
        return [], over + behind
    return behind, over
