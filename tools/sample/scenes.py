"""One scene from its recipe: backdrop, people, animals, things before them, camera."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tools.sample import SUPERSAMPLE, backdrops_indoor, backdrops_outdoor
from tools.sample.animals import ANIMALS, paint_animal
from tools.sample.bodies import draw_build
from tools.sample.canvas import Canvas, Light, paint, shrink
from tools.sample.effects import Camera, backlight, blur_background, draw_camera, expose, light_strength
from tools.sample.figures import Part, Person, Spot, paint_person, person_parts
from tools.sample.framing import draw_frames, fit_spots, silhouette
from tools.sample.geometry import bounds, ellipse
from tools.sample.heads import draw_look
from tools.sample.materials import Material
from tools.sample.noise import Bytes, Colour, chance, jitter, pick, scene_rng, uniform
from tools.sample.objects import HELD, draw_thing, paint_chair, paint_plant, paint_table
from tools.sample.poses import CLOSE_UP, WHOLE_BODY, draw_pose
from tools.sample.wardrobe import draw_dye, draw_outfit

Backdrop = Callable[[Canvas, np.random.Generator, Light], None]

BACKDROPS: tuple[Backdrop, ...] = (
    backdrops_outdoor.field, backdrops_outdoor.beach, backdrops_outdoor.street, backdrops_outdoor.foliage,
    backdrops_outdoor.court, backdrops_outdoor.bokeh, backdrops_outdoor.haze, backdrops_indoor.room,
    backdrops_indoor.room, backdrops_indoor.bricks, backdrops_indoor.shelves, backdrops_indoor.clothes_rack,
    backdrops_indoor.tiles, backdrops_indoor.studio, backdrops_indoor.graffiti,
)  # fmt: skip

SHARES: dict[str, tuple[float, float]] = {
    "fit": (0.25, 0.62), "small": (0.01, 0.15), "large": (0.78, 0.86), "many": (0.15, 0.6), "crowd": (0.2, 0.5),
}  # fmt: skip
"""Share of the picture that people shall fill, by intent."""

MAX_ATTEMPTS = 40


@dataclass(frozen=True)
class Recipe:
    """What a scene is meant to be; everything else follows from its number.

    Attributes:
        scene: number of the scene, the second half of its seed.
        intent: "fit" (one or two people, 0.2 to 0.7 of the picture), "nobody", "many" (three or more), "crowd",
            "small" or "large" (too small or too large a share).
        size_hw: size of the image in px.
        grey: whether the photo is saved without colour.
    """

    scene: int
    intent: str
    size_hw: tuple[int, int]
    grey: bool = False


@dataclass(frozen=True)
class Seen:
    """One visible instance: its category and its coverage (H, W) in canvas px."""

    category: str
    coverage: Bytes
    crowd: bool

    @cached_property
    def mask(self) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """Pixels (H, W) of the image at least half covered."""
        return shrink(self.coverage) >= 128


@dataclass(frozen=True)
class Scene:
    """A finished picture (H, W, 3) and everything in it that has a category."""

    rgb: Bytes
    seen: list[Seen]


def _draw_light(rng: np.random.Generator, camera: Camera) -> Light:
    x = pick(rng, (-1, 1)) * uniform(rng, 0.35, 0.9)
    return Light(x, -uniform(rng, 0.3, 0.8), light_strength(camera, rng))


def _dyes(canvas: Canvas, rng: np.random.Generator, camera: Camera) -> tuple[Colour, ...]:
    """Colours clothes are restricted to: now and then those of the background, in the dark often dark ones."""
    if camera.mood in ("dark", "dim") and chance(rng, 0.5):
        return (26, 26, 30), (40, 34, 32), (34, 40, 52)
    if not chance(rng, 0.24):
        return ()
    h, w = canvas.size_hw
    samples = [canvas.rgb[int(rng.integers(h // 3, h)), int(rng.integers(w))] for _ in range(3)]
    return tuple(jitter(rng, (int(r), int(g), int(b)), 12) for r, g, b in samples)


def _draw_person(rng: np.random.Generator, close: bool, dyes: tuple[Colour, ...]) -> Person:
    outfit = draw_outfit(rng, dyes)
    held = draw_thing(rng, pick(rng, tuple(HELD))) if chance(rng, 0.3) else None
    hat = pick(rng, dyes) if dyes else draw_dye(rng)
    return Person(draw_pose(rng, CLOSE_UP if close else WHOLE_BODY), draw_build(rng), draw_look(rng, hat), outfit, held)


def _count_people(rng: np.random.Generator, intent: str) -> int:
    if intent == "nobody":
        return 0
    if intent == "many":
        return int(rng.integers(3, 7))
    if intent == "large":
        return int(rng.integers(1, 3))
    return 2 if chance(rng, 0.3) else 1


def _ground_shadow(canvas: Canvas, parts: list[Part], spot: Spot, light: Light, rng: np.random.Generator) -> None:
    """A dark patch under the lowest part of a figure."""
    x0, _, x1, y1 = bounds(silhouette(parts))
    k = SUPERSAMPLE
    middle = np.array([spot.x + (x0 + x1) * 0.22 * spot.head_px, spot.y + (y1 - 0.1) * spot.head_px]) * k
    patch = ellipse(middle, (x1 - x0) * 0.45 * spot.head_px * k, 0.28 * spot.head_px * k)
    paint(canvas, (patch,), Material((24, 22, 24), weave=2), light, rng, opacity=110, reach_px=2)


def _paint_people(
    canvas: Canvas, rng: np.random.Generator, light: Light, recipe: Recipe, dyes: tuple[Colour, ...]
) -> None:
    """The counted people, furthest (smallest) first, some on chairs."""
    people = _count_people(rng, recipe.intent)
    if not people:
        return
    share = uniform(rng, *SHARES[recipe.intent])
    largest = 1.1 if recipe.intent == "large" else uniform(rng, 0.24, 0.62)
    close = recipe.intent in ("fit", "large", "crowd") and chance(rng, 0.75)
    persons = [_draw_person(rng, close, dyes) for _ in range(people)]
    figures = [person_parts(person, rng) for person in persons]
    shapes = [silhouette(parts) for parts in figures]
    spots = fit_spots(shapes, draw_frames(rng, people, recipe.intent), share, recipe.size_hw, largest)
    for i in sorted(range(people), key=lambda i: spots[i].head_px):
        _ground_shadow(canvas, figures[i], spots[i], light, rng)
        if persons[i].pose.drop and chance(rng, 0.75):
            unit = spots[i].head_px * SUPERSAMPLE
            paint_chair(canvas, rng, light, spots[i].x * SUPERSAMPLE, spots[i].y * SUPERSAMPLE + 0.35 * unit, unit)
        paint_person(canvas, figures[i], spots[i], light, rng, SUPERSAMPLE)


def _paint_crowd(canvas: Canvas, rng: np.random.Generator, light: Light, size_hw: tuple[int, int]) -> None:
    """Rows of small people who are one region."""
    h, w = size_hw
    crowd = canvas.add_instance("person", crowd=True)
    head = uniform(rng, 0.035, 0.075) * h
    level = uniform(rng, 0.45, 0.75) * h
    for row in range(int(rng.integers(1, 4))):
        x = uniform(rng, -0.1, 0.2) * w
        stop = uniform(rng, 0.75, 1.1) * w
        while x < stop:
            spot = Spot(round(x, 2), round(level + row * 0.8 * head + uniform(rng, 0, 0.5) * head, 2), round(head, 2))
            paint_person(canvas, person_parts(_draw_person(rng, False, ()), rng), spot, light, rng, SUPERSAMPLE, crowd)
            x += uniform(rng, 1.1, 2.4) * head


def _paint_beast(canvas: Canvas, rng: np.random.Generator, light: Light) -> None:
    h, w = canvas.size_hw
    kind = pick(rng, (*ANIMALS, "dog", "cat"))
    tall = uniform(rng, 0.45, 0.8) * h if kind == "horse" else uniform(rng, 0.18, 0.52) * h
    paint_animal(canvas, rng, light, kind, uniform(rng, 0.1, 0.9) * w, uniform(rng, 0.8, 1.04) * h, tall)


def _paint_behind(canvas: Canvas, rng: np.random.Generator, light: Light, recipe: Recipe) -> None:
    """Furniture, plants and animals further away than the people."""
    h, w = canvas.size_hw
    empty = recipe.intent == "nobody"
    if chance(rng, 0.5 if empty else 0.14):
        unit = uniform(rng, 0.08, 0.16) * h
        paint_chair(canvas, rng, light, uniform(rng, 0.1, 0.9) * w, uniform(rng, 0.6, 0.8) * h, unit)
    if chance(rng, 0.4 if empty else 0.16):
        paint_plant(canvas, rng, light, uniform(rng, 0, 1) * w, uniform(rng, 0.75, 1) * h, uniform(rng, 0.3, 0.6) * h)
    for _ in range(int(rng.integers(0, 4)) if empty else int(chance(rng, 0.1))):
        _paint_beast(canvas, rng, light)


def _paint_before(canvas: Canvas, rng: np.random.Generator, light: Light, recipe: Recipe) -> None:
    """What hides people: animals, tables, plants."""
    h, w = canvas.size_hw
    rate = 0.4 if recipe.intent in ("small", "large") else 1.0
    if chance(rng, 0.17 * rate):
        _paint_beast(canvas, rng, light)
    if chance(rng, 0.12 * rate):
        paint_table(canvas, rng, light, uniform(rng, 0.66, 0.84) * h, "dining table")
    if chance(rng, 0.12 * rate):
        paint_plant(canvas, rng, light, uniform(rng, 0, 1) * w, uniform(rng, 0.98, 1.1) * h, uniform(rng, 0.4, 0.7) * h)


def _people_coverage(canvas: Canvas) -> Bytes:
    """Where any person is visible (H, W), crowds included."""
    union = np.zeros(canvas.size_hw, np.uint8)
    for instance in canvas.instances:
        if instance.category == "person":
            union = np.maximum(union, instance.coverage)
    return union


def compose(recipe: Recipe, rng: np.random.Generator) -> Scene:
    """One attempt at a scene."""
    h, w = recipe.size_hw
    camera = draw_camera(rng)
    light = _draw_light(rng, camera)
    canvas = Canvas(np.zeros((h * SUPERSAMPLE, w * SUPERSAMPLE, 3), np.uint8))
    pick(rng, BACKDROPS)(canvas, rng, light)
    canvas.rgb = blur_background(canvas.rgb, camera)
    dyes = _dyes(canvas, rng, camera)
    _paint_behind(canvas, rng, light, recipe)
    if recipe.intent == "crowd":
        _paint_crowd(canvas, rng, light, recipe.size_hw)
    _paint_people(canvas, rng, light, recipe, dyes)
    _paint_before(canvas, rng, light, recipe)
    if camera.mood == "backlight":
        canvas.rgb = backlight(canvas.rgb, _people_coverage(canvas))
    seen = [Seen(i.category, i.coverage, i.crowd) for i in canvas.instances]
    return Scene(expose(shrink(canvas.rgb), camera, rng), [s for s in seen if int(s.mask.sum()) >= 24])


def meets(scene: Scene, intent: str) -> bool:
    """Whether a finished scene is what it was meant to be, with a margin for what labelling loses."""
    people = [s for s in scene.seen if s.category == "person" and not s.crowd]
    crowd = any(s.crowd for s in scene.seen)
    share = 0.0
    if people:
        share = float(np.any([s.mask for s in people], axis=0).mean())
    wanted = {
        "nobody": not people,
        "many": len(people) >= 3,
        "crowd": crowd and 1 <= len(people) <= 2,
        "small": 1 <= len(people) <= 2 and 0.005 < share < 0.185,
        "large": 1 <= len(people) <= 2 and share > 0.73,
        "fit": 1 <= len(people) <= 2 and 0.222 < share < 0.675,
    }
    return wanted[intent] and crowd == (intent == "crowd")


def draw_scene(recipe: Recipe, seed: int) -> Scene:
    """The scene of a recipe: attempts are made, each with its own generator, until one meets the intent."""
    for attempt in range(MAX_ATTEMPTS):
        scene = compose(recipe, scene_rng(seed, recipe.scene, attempt))
        if meets(scene, recipe.intent):
            return scene
    raise RuntimeError(f"scene {recipe.scene} ({recipe.intent}): no attempt of {MAX_ATTEMPTS} met the intent")
