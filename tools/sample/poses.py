"""How a body stands: angles of its bones, drawn at random from families of poses.

Angles are in degrees on the picture, 0 hanging straight down and positive towards the right of the picture, so
that `outward(20)` gives the pair (left limb, right limb) both 20 degrees away from the body.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from tools.sample.noise import chance, pick, uniform


@dataclass(frozen=True)
class Limb:
    """Two bones, upper and lower: their angles, and how much of each length the view leaves (1 = all)."""

    upper: float
    lower: float
    upper_seen: float = 1.0
    lower_seen: float = 1.0
    front: bool = True
    """Whether an arm is drawn over the torso."""


@dataclass(frozen=True)
class Pose:
    """A whole pose. `yaw` is where the body faces: 0 to the camera, +-90 to the right or left of the picture."""

    arms: tuple[Limb, Limb]
    legs: tuple[Limb, Limb]
    lean: float = 0.0
    yaw: float = 0.0
    head_tilt: float = 0.0
    back: bool = False
    turned: float = 0.0
    """Degrees by which the whole figure is turned on the picture; 90 lies down."""
    drop: bool = False
    """True where the pelvis is low (sitting, crouching), so that a seat fits under it."""


Maker = Callable[[np.random.Generator], Pose]


def _mirrored(upper: float, lower: float, **more: float) -> tuple[Limb, Limb]:
    return Limb(-upper, -lower, **more), Limb(upper, lower, **more)  # type: ignore[arg-type]


def _hanging_arm(rng: np.random.Generator, side: int) -> Limb:
    upper = uniform(rng, 5, 24)
    return Limb(side * upper, side * (upper + uniform(rng, -22, 12)))


def _loose_arms(rng: np.random.Generator) -> tuple[Limb, Limb]:
    return _hanging_arm(rng, -1), _hanging_arm(rng, 1)


def _straight_legs(rng: np.random.Generator) -> tuple[Limb, Limb]:
    a, b = uniform(rng, 1, 11), uniform(rng, 1, 11)
    return Limb(-a, -a + uniform(rng, -3, 6)), Limb(b, b - uniform(rng, -3, 6))


def standing(rng: np.random.Generator) -> Pose:
    return Pose(_loose_arms(rng), _straight_legs(rng), lean=uniform(rng, -4, 4), yaw=uniform(rng, -40, 40))


def walking(rng: np.random.Generator) -> Pose:
    facing = pick(rng, (-1, 1))
    stride, swing = uniform(rng, 14, 32), uniform(rng, 10, 38)
    legs = (Limb(facing * stride, facing * (stride - 6)), Limb(-facing * stride * 0.7, -facing * (stride + 16)))
    arms = (
        Limb(-facing * swing, -facing * (swing - uniform(rng, 10, 40)), front=False),
        Limb(facing * swing, facing * (swing + uniform(rng, 15, 50))),
    )
    return Pose(arms, legs, lean=-facing * uniform(rng, 0, 7), yaw=facing * uniform(rng, 50, 85))


def running(rng: np.random.Generator) -> Pose:
    facing = pick(rng, (-1, 1))
    legs = (
        Limb(facing * uniform(rng, 40, 75), facing * uniform(rng, -25, 20)),
        Limb(-facing * uniform(rng, 15, 35), -facing * uniform(rng, 60, 100)),
    )
    arms = (
        Limb(-facing * uniform(rng, 35, 60), facing * uniform(rng, 10, 50), front=False),
        Limb(facing * uniform(rng, 20, 45), facing * uniform(rng, 100, 140)),
    )
    return Pose(arms, legs, lean=-facing * uniform(rng, 8, 18), yaw=facing * uniform(rng, 55, 85))


def arms_raised(rng: np.random.Generator) -> Pose:
    upper = uniform(rng, 125, 168)
    arms = (
        Limb(-upper, -upper - uniform(rng, -15, 35), front=chance(rng, 0.5)),
        Limb(upper + uniform(rng, -12, 8), upper + uniform(rng, -15, 35)),
    )
    return Pose(arms, _mirrored(uniform(rng, 3, 16), uniform(rng, 0, 12)), lean=uniform(rng, -6, 6))


def akimbo(rng: np.random.Generator) -> Pose:
    arms = _mirrored(uniform(rng, 40, 56), -uniform(rng, 32, 52))
    return Pose(arms, _straight_legs(rng), lean=uniform(rng, -5, 5), back=chance(rng, 0.25))


def one_akimbo(rng: np.random.Generator) -> Pose:
    arms = (Limb(-uniform(rng, 40, 55), uniform(rng, 34, 50)), _hanging_arm(rng, 1))
    return Pose(arms, _straight_legs(rng), lean=uniform(rng, -6, 6), yaw=uniform(rng, -25, 25))


def waving(rng: np.random.Generator) -> Pose:
    arms = (_hanging_arm(rng, -1), Limb(uniform(rng, 70, 120), uniform(rng, 150, 200)))
    return Pose(arms, _straight_legs(rng), lean=uniform(rng, -6, 3), yaw=uniform(rng, -25, 25))


def crossed_arms(rng: np.random.Generator) -> Pose:
    arms = (Limb(-uniform(rng, 8, 18), uniform(rng, 92, 108)), Limb(uniform(rng, 8, 18), -uniform(rng, 80, 98)))
    return Pose(arms, _straight_legs(rng), yaw=uniform(rng, -15, 15))


def hands_to_face(rng: np.random.Generator) -> Pose:
    arms = (_hanging_arm(rng, -1), Limb(uniform(rng, 25, 50), -uniform(rng, 150, 168), 0.9, 0.95))
    return Pose(arms, _straight_legs(rng), yaw=uniform(rng, -30, 30), head_tilt=uniform(rng, -8, 8))


def carrying(rng: np.random.Generator) -> Pose:
    arms = (_hanging_arm(rng, -1), Limb(uniform(rng, 8, 25), uniform(rng, 55, 110), 1.0, 0.8))
    return Pose(arms, _straight_legs(rng), yaw=uniform(rng, -20, 45))


def swinging(rng: np.random.Generator) -> Pose:
    side = pick(rng, (-1, 1))
    both = Limb(side * uniform(rng, 55, 80), side * uniform(rng, 100, 140), 0.85)
    other = Limb(side * uniform(rng, 30, 50), side * uniform(rng, 95, 125), 0.95)
    legs = (Limb(-uniform(rng, 15, 32), -uniform(rng, 0, 15)), Limb(uniform(rng, 12, 30), uniform(rng, -5, 12)))
    arms = (other, both) if side > 0 else (both, other)
    return Pose(arms, legs, lean=-side * uniform(rng, 0, 12), yaw=-side * uniform(rng, 10, 40))


def sitting_front(rng: np.random.Generator) -> Pose:
    spread = uniform(rng, 12, 38)
    legs = _mirrored(spread, uniform(rng, -8, 6), upper_seen=uniform(rng, 0.3, 0.5))
    arms = _mirrored(uniform(rng, 10, 22), -uniform(rng, 5, 30), lower_seen=0.8)
    return Pose(arms, legs, lean=uniform(rng, -5, 5), yaw=uniform(rng, -20, 20), drop=True)


def sitting_side(rng: np.random.Generator) -> Pose:
    facing = pick(rng, (-1, 1))
    legs = (
        Limb(facing * uniform(rng, 72, 92), facing * uniform(rng, -15, 15)),
        Limb(facing * uniform(rng, 65, 85), facing * uniform(rng, -10, 25)),
    )
    arms = (
        Limb(facing * uniform(rng, 5, 30), facing * uniform(rng, 50, 90), front=False),
        Limb(facing * uniform(rng, 0, 35), facing * uniform(rng, 45, 95)),
    )
    return Pose(arms, legs, lean=-facing * uniform(rng, -8, 14), yaw=facing * uniform(rng, 60, 85), drop=True)


def crouching(rng: np.random.Generator) -> Pose:
    facing = pick(rng, (-1, 1))
    legs = (
        Limb(facing * uniform(rng, 95, 118), -facing * uniform(rng, 15, 45)),
        Limb(facing * uniform(rng, 70, 100), -facing * uniform(rng, 30, 60)),
    )
    arms = (
        Limb(facing * uniform(rng, 20, 50), facing * uniform(rng, 40, 90), front=False),
        Limb(facing * uniform(rng, 10, 45), facing * uniform(rng, 20, 80)),
    )
    return Pose(arms, legs, lean=-facing * uniform(rng, 12, 32), yaw=facing * uniform(rng, 45, 80), drop=True)


def dancing(rng: np.random.Generator) -> Pose:
    arms = (
        Limb(-uniform(rng, 30, 150), -uniform(rng, 40, 200)),
        Limb(uniform(rng, 30, 150), uniform(rng, 0, 200), front=chance(rng, 0.7)),
    )
    legs = (Limb(-uniform(rng, 5, 45), -uniform(rng, -30, 30)), Limb(uniform(rng, 5, 50), uniform(rng, -40, 25)))
    return Pose(arms, legs, lean=uniform(rng, -16, 16), yaw=uniform(rng, -50, 50), head_tilt=uniform(rng, -14, 14))


def lying(rng: np.random.Generator) -> Pose:
    pose = pick(rng, (standing, crossed_arms, dancing))(rng)
    return replace(pose, turned=pick(rng, (-1, 1)) * uniform(rng, 72, 96))


def selfie(rng: np.random.Generator) -> Pose:
    arms = (_hanging_arm(rng, -1), Limb(uniform(rng, 48, 82), uniform(rng, 70, 115), 0.9, 1.0))
    return Pose(arms, _straight_legs(rng), lean=uniform(rng, -10, 4), yaw=uniform(rng, -20, 20), head_tilt=6)


WHOLE_BODY: tuple[Maker, ...] = (
    standing, walking, running, arms_raised, akimbo, one_akimbo, waving, crossed_arms, carrying,
    swinging, sitting_front, sitting_side, crouching, dancing, lying, hands_to_face,
)  # fmt: skip
CLOSE_UP: tuple[Maker, ...] = (
    standing, standing, akimbo, one_akimbo, waving, crossed_arms, hands_to_face, carrying, selfie,
    arms_raised, sitting_front, sitting_side, dancing, swinging,
)  # fmt: skip


def draw_pose(rng: np.random.Generator, families: tuple[Maker, ...]) -> Pose:
    """A pose of one of the families, one in seven seen from behind."""
    pose = pick(rng, families)(rng)
    turned_away = pose.back or (abs(pose.yaw) < 45 and chance(rng, 0.14))
    return replace(pose, back=turned_away, head_tilt=pose.head_tilt + uniform(rng, -7, 7))
