"""A whole person as an ordered list of parts, and the painting of it at a place in the picture."""

from dataclasses import dataclass

import numpy as np

from tools.sample.bodies import Build, Skeleton, arm_outline, foot_outline, hand_outline, leg_outline, pose_skeleton
from tools.sample.canvas import Canvas, Instance, Light, paint
from tools.sample.geometry import Points, Shape, capsule, degrees_of, rotate
from tools.sample.heads import Look, head_pieces
from tools.sample.materials import Material
from tools.sample.objects import Thing, held_parts
from tools.sample.poses import Pose
from tools.sample.wardrobe import (
    Outfit,
    hip_shape,
    leg_shape,
    neckline,
    skirt_shape,
    sleeve_shape,
    top_shape,
    trimmings,
)


@dataclass(frozen=True)
class Part:
    """Outlines in head heights from the pelvis; `owner` is "person" or the category of a held object."""

    shape: Shape
    material: Material
    degrees: float = 0.0
    reach: float = 0.15
    owner: str = "person"
    shadow: bool = False


@dataclass(frozen=True)
class Person:
    """Everything that decides how a person is drawn, but not where."""

    pose: Pose
    build: Build
    look: Look
    outfit: Outfit
    held: Thing | None = None


@dataclass(frozen=True)
class Spot:
    """Where a figure goes: its pelvis in image px, its head height in image px."""

    x: float
    y: float
    head_px: float


def _arm_parts(person: Person, skeleton: Skeleton, which: int, rng: np.random.Generator) -> list[Part]:
    """Bare arm, sleeve, what the hand holds, and the hand over it."""
    skin = Material(person.look.skin, weave=4)
    upper = degrees_of(skeleton.elbows[which] - skeleton.shoulders[which])
    held = person.held if which == 1 and person.held is not None else None
    parts = [Part(arm_outline(skeleton, person.build, which), skin, upper, 0.10, shadow=True)]
    hand = Part(hand_outline(skeleton, which, rng, held is not None), skin, upper, 0.05, shadow=True)
    sleeve = sleeve_shape(skeleton, person.build, person.outfit, which)
    if held is None:
        parts.append(hand)
    if sleeve:
        parts.append(Part(sleeve, person.outfit.top_cloth, upper, 0.13, shadow=True))
    if held is not None:
        along = skeleton.wrists[which] - skeleton.elbows[which]
        grip = skeleton.wrists[which] + along / max(float(np.linalg.norm(along)), 1e-6) * 0.24
        parts += [Part(shape, cloth, owner=held.category) for shape, cloth in held_parts(held, grip, degrees_of(along))]
        parts.append(hand)
    return parts


def _leg_parts(person: Person, skeleton: Skeleton, which: int) -> list[Part]:
    thigh = degrees_of(skeleton.knees[which] - skeleton.hips[which])
    skin = Material(person.look.skin, weave=4)
    parts = [
        Part(leg_outline(skeleton, person.build, which), skin, thigh, 0.16),
        Part(foot_outline(skeleton, which), person.outfit.shoes, 0, 0.07),
    ]
    cloth = leg_shape(skeleton, person.build, person.outfit, which)
    return [*parts, Part(cloth, person.outfit.bottom_cloth, thigh, 0.18, shadow=True)] if cloth else parts


def _trunk_parts(person: Person, skeleton: Skeleton, rng: np.random.Generator) -> list[Part]:
    outfit, build = person.outfit, person.build
    upright = degrees_of(-skeleton.up)
    skin = Material(person.look.skin, weave=4)
    bare = outfit.bottom == "none"
    parts = [Part(hip_shape(skeleton, build), skin if bare else outfit.bottom_cloth, upright, 0.25)]
    skirt = skirt_shape(skeleton, build, outfit)
    if skirt and outfit.bottom in ("skirt", "long skirt"):
        parts.append(Part(skirt, outfit.bottom_cloth, upright, 0.25, shadow=True))
    neck = capsule(skeleton.neck - skeleton.up * 0.1, skeleton.head + skeleton.up * 0.05, 0.26, 0.21)
    parts.append(Part(top_shape(skeleton, build, outfit, rng), outfit.top_cloth, upright, 0.3, shadow=True))
    if skirt and outfit.top in ("dress", "coat"):
        parts.append(Part(skirt, outfit.top_cloth, upright, 0.25))
    parts.append(Part((neck,), skin, upright, 0.1))
    if not person.pose.back:
        parts.append(Part(neckline(skeleton, outfit), skin, upright, 0.08))
        parts += [Part(s, cloth, upright, 0.03, shadow=True) for s, cloth in trimmings(skeleton, build, outfit)]
    return parts


def person_parts(person: Person, rng: np.random.Generator) -> list[Part]:
    """All parts, furthest first."""
    skeleton = pose_skeleton(person.pose, person.build)
    behind, over = head_pieces(skeleton, person.look, rng, person.pose.back)
    arms = [_arm_parts(person, skeleton, which, rng) for which in (0, 1)]
    fronts = [bones.front != person.pose.back or which == 1 for which, bones in enumerate(person.pose.arms)]
    parts = [Part(piece.shape, piece.material, 0, piece.reach) for piece in behind]
    parts += [part for arm, front in zip(arms, fronts, strict=True) if not front for part in arm]
    parts += _leg_parts(person, skeleton, 0) + _leg_parts(person, skeleton, 1)
    parts += _trunk_parts(person, skeleton, rng)
    parts += [Part(piece.shape, piece.material, 0, piece.reach) for piece in over if piece.shape]
    parts += [part for arm, front in zip(arms, fronts, strict=True) if front for part in arm]
    return [_turned(part, person.pose.turned) for part in parts] if person.pose.turned else parts


def _turned(part: Part, degrees: float) -> Part:
    shape = tuple(rotate(outline, degrees, np.zeros(2)) for outline in part.shape)
    return Part(shape, part.material, part.degrees - degrees, part.reach, part.owner, part.shadow)


def placed(shape: Shape, spot: Spot, scale: float) -> Shape:
    """Outlines in px, `scale` px to an image px."""
    corner: Points = np.array([spot.x, spot.y]) * scale
    return tuple(outline * (spot.head_px * scale) + corner for outline in shape)


def paint_person(
    canvas: Canvas,
    parts: list[Part],
    spot: Spot,
    light: Light,
    rng: np.random.Generator,
    scale: float,
    crowd: Instance | None = None,
) -> None:
    """Paints a person and what they hold; the parts of a crowd all go to the one `crowd` instance."""
    unit = spot.head_px * scale
    owners: dict[str, Instance] = {"person": crowd or canvas.add_instance("person")}
    for part in parts:
        if part.owner not in owners:
            owners[part.owner] = canvas.add_instance(part.owner)
        paint(
            canvas, placed(part.shape, spot, scale), part.material, light, rng,
            owner=owners[part.owner], degrees=part.degrees, unit_px=unit, reach_px=part.reach * unit,
            shadow=part.shadow and unit > 16,
        )  # fmt: skip
