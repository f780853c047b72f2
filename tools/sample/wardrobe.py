"""Clothes: what a person wears, and the outlines of each garment on a skeleton."""

import colorsys
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tools.sample.bodies import Build, Skeleton, arm_outline, leg_outline, trunk_outline
from tools.sample.geometry import Points, Shape, across, capsule, ellipse
from tools.sample.materials import Material
from tools.sample.noise import Colour, blend, chance, pick, uniform

TOPS = ("tshirt", "tshirt", "long", "long", "tank", "coat", "dress", "shirt")
BOTTOMS = ("trousers", "trousers", "trousers", "shorts", "skirt", "long skirt")
TOP_PATTERNS = ("plain", "plain", "plain", "plain", "hoops", "checks", "dots", "knit", "pinstripes", "patches", "shade")
DENIM: tuple[Colour, ...] = ((52, 72, 112), (78, 100, 138), (36, 44, 66), (60, 58, 60), (120, 104, 80), (34, 32, 36))


@dataclass(frozen=True)
class Outfit:
    """What is worn above and below, and the surfaces."""

    top: str
    bottom: str
    top_cloth: Material
    bottom_cloth: Material
    shoes: Material
    sleeve: float
    """Length of the sleeve in bones of the arm, 2 reaches the wrist."""


def draw_dye(rng: np.random.Generator) -> Colour:
    """A colour cloth is dyed in: often muted, now and then loud, black or white."""
    if chance(rng, 0.24):
        return pick(rng, ((28, 28, 32), (240, 238, 232), (120, 120, 124), (44, 48, 60), (196, 188, 174)))
    r, g, b = colorsys.hsv_to_rgb(float(rng.random()), uniform(rng, 0.2, 0.85), uniform(rng, 0.25, 0.95))
    return round(r * 255), round(g * 255), round(b * 255)


def _cloth(rng: np.random.Generator, dye: Colour, patterns: Sequence[str]) -> Material:
    second = blend(dye, (255, 255, 255), 0.6) if sum(dye) < 380 else blend(dye, draw_dye(rng), 0.75)
    pattern = pick(rng, patterns)
    period = uniform(rng, 0.5, 0.9) if pattern == "patches" else uniform(rng, 0.14, 0.42)
    return Material(dye, second, pattern, period, weave=int(rng.integers(4, 9)), folds=int(rng.integers(6, 22)))


def draw_outfit(rng: np.random.Generator, dyes: Sequence[Colour] = ()) -> Outfit:
    """Random clothes; `dyes` restricts the colours (clothes close to the background)."""
    top = pick(rng, TOPS)
    upper = pick(rng, dyes) if dyes else draw_dye(rng)
    lower = pick(rng, dyes) if dyes else (pick(rng, DENIM) if chance(rng, 0.6) else draw_dye(rng))
    sleeves = {"tank": 0.0, "tshirt": uniform(rng, 0.55, 0.85), "dress": pick(rng, (0.0, 0.5, 1.9))}
    return Outfit(
        top=top,
        bottom="none" if top == "dress" else pick(rng, BOTTOMS),
        top_cloth=_cloth(rng, upper, TOP_PATTERNS),
        bottom_cloth=_cloth(rng, lower, ("plain", "twill", "twill", "plain", "checks")),
        shoes=Material(pick(rng, ((30, 28, 28), (220, 220, 220), (110, 70, 44), (150, 40, 44))), weave=5),
        sleeve=sleeves.get(top, uniform(rng, 1.75, 1.97)),
    )


def sleeve_shape(skeleton: Skeleton, build: Build, outfit: Outfit, which: int) -> Shape:
    """One sleeve; empty where the arm is bare."""
    if outfit.sleeve <= 0:
        return ()
    grow = 0.10 if outfit.top == "coat" else 0.05
    return arm_outline(skeleton, build, which, grow, outfit.sleeve)


def leg_shape(skeleton: Skeleton, build: Build, outfit: Outfit, which: int) -> Shape:
    """One trouser leg; empty under skirts and dresses."""
    if outfit.bottom == "trousers":
        return leg_outline(skeleton, build, which, 0.05, 1.95)
    if outfit.bottom == "shorts":
        return leg_outline(skeleton, build, which, 0.07, 0.85)
    return ()


def _hem(skeleton: Skeleton, build: Build, reach: float, flare: float) -> Points:
    """A skirt's outline from the waist over the knees, `reach` thighs long, its hem waved."""
    along = [k - h for k, h in zip(skeleton.knees, skeleton.hips, strict=True)]
    low = [h + v * reach for h, v in zip(skeleton.hips, along, strict=True)]
    width = across(skeleton.up)
    half = 0.52 * build.hips * skeleton.breadth + 0.07
    top = skeleton.pelvis + skeleton.up * 0.62
    spread = [low[0] + width * flare, low[1] - width * flare]
    if float((spread[1] - spread[0]) @ -width) < 0:
        spread.reverse()
    hem = [
        spread[0] + (spread[1] - spread[0]) * i / 12 - skeleton.up * (0.16 + 0.035 * math.sin(1.3 * i))
        for i in range(13)
    ]
    hips = [skeleton.pelvis - width * (half + 0.17), skeleton.pelvis + width * (half + 0.17)]
    return np.array([top + width * half, hips[1], *hem, hips[0], top - width * half])


def skirt_shape(skeleton: Skeleton, build: Build, outfit: Outfit) -> Shape:
    """The skirt of a skirt, dress or coat; empty for trousers and shorts."""
    if outfit.bottom == "skirt":
        return (_hem(skeleton, build, 0.75, 0.45),)
    if outfit.bottom == "long skirt":
        return (_hem(skeleton, build, 1.35, 0.4),)
    if outfit.top == "dress":
        return (_hem(skeleton, build, 0.95, 0.5),)
    return (_hem(skeleton, build, 0.6, 0.36),) if outfit.top == "coat" else ()


def hip_shape(skeleton: Skeleton, build: Build) -> Shape:
    """The seat of trousers and shorts, or what is bare under them."""
    return (trunk_outline(skeleton, build, -0.14, 0.26, 0.0),)


def top_shape(skeleton: Skeleton, build: Build, outfit: Outfit, rng: np.random.Generator) -> Shape:
    """Trunk of the upper garment with its hem somewhere around the hips."""
    hem = {"dress": 0.1, "coat": -0.08, "tank": 0.05}.get(outfit.top, uniform(rng, -0.06, 0.12))
    grow = 0.12 if outfit.top == "coat" else 0.045
    flare = 0.0 if outfit.top in ("dress", "tank") else uniform(rng, 0.0, 0.09)
    return (trunk_outline(skeleton, build, hem, 0.985, grow, flare),)


def trimmings(skeleton: Skeleton, build: Build, outfit: Outfit) -> list[tuple[Shape, Material]]:
    """Belt, buttons and the front edge of shirts and coats, seen from the front."""
    length = float(np.linalg.norm(skeleton.neck - skeleton.pelvis))
    middle = skeleton.side * 0.12 * skeleton.facing
    dark = Material(blend(outfit.top_cloth.colour, (0, 0, 0), 0.45), weave=4)
    if outfit.top not in ("shirt", "coat"):
        return []
    low = skeleton.pelvis + skeleton.up * 0.12 + middle
    high = skeleton.neck - skeleton.up * 0.12 + middle
    buttons = tuple(ellipse(low + skeleton.up * length * 0.17 * k, 0.045, 0.045, 0.0, 8) for k in range(5))
    pale = Material(blend(outfit.top_cloth.colour, (255, 255, 255), 0.6), weave=2)
    collar = tuple(capsule(high, high + skeleton.side * 0.24 * s + skeleton.up * 0.2, 0.05, 0.09) for s in (-1, 1))
    return [((capsule(low, high, 0.022, 0.022),), dark), (buttons, pale), (collar, outfit.top_cloth)]


def neckline(skeleton: Skeleton, outfit: Outfit) -> Shape:
    """The bare wedge below the neck, seen from the front."""
    deep = {"tank": 0.34, "dress": 0.3, "tshirt": 0.16, "shirt": 0.24}.get(outfit.top, 0.12)
    middle = skeleton.neck - skeleton.up * (deep * 0.3) + skeleton.side * 0.08 * skeleton.facing
    return (ellipse(middle, 0.25 * skeleton.breadth + 0.04, deep, 0.0, 16),)
