"""Joints and outlines of a body, in head heights, the pelvis at (0, 0) and y downwards."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tools.sample.geometry import Points, Shape, across, between, capsule, direction, ellipse, limb, smooth
from tools.sample.noise import pick, uniform
from tools.sample.poses import Limb, Pose

UPPER_ARM, FOREARM, THIGH, SHIN, TORSO, NECK = 1.4, 1.15, 1.85, 1.75, 2.55, 0.1

# Half-widths of the trunk from crotch (t < 0) over waist to the base of the neck (t = 1).
TRUNK = (
    (-0.10, 0.40),
    (0.0, 0.66),
    (0.12, 0.64),
    (0.38, 0.50),
    (0.62, 0.62),
    (0.80, 0.76),
    (0.91, 0.80),
    (0.97, 0.66),
    (1.0, 0.42),
)


@dataclass(frozen=True)
class Build:
    """Proportions of one person; 1 is average."""

    shoulders: float
    hips: float
    girth: float
    legs: float


@dataclass(frozen=True)
class Skeleton:
    """Joints (2,), the pairs as (left of the picture, right of the picture)."""

    pelvis: Points
    neck: Points
    head: Points
    up: Points
    side: Points
    shoulders: tuple[Points, Points]
    elbows: tuple[Points, Points]
    wrists: tuple[Points, Points]
    hips: tuple[Points, Points]
    knees: tuple[Points, Points]
    ankles: tuple[Points, Points]
    facing: float
    """sin of the yaw: -1 looks to the left of the picture, 1 to the right."""
    breadth: float
    """How wide the trunk looks from here, 1 from the front, about 0.55 from the side."""


BUILDS = (
    Build(1.08, 0.92, 1.0, 1.0),
    Build(0.92, 1.05, 0.92, 1.0),
    Build(1.12, 1.10, 1.3, 0.97),
    Build(0.98, 0.95, 0.85, 1.05),
    Build(0.80, 0.78, 0.85, 0.72),
)


def draw_build(rng: np.random.Generator) -> Build:
    """One of the builds (the last is a child's), a little varied."""
    base = pick(rng, BUILDS)
    wide, tall = uniform(rng, 0.94, 1.06), uniform(rng, 0.95, 1.04)
    return Build(base.shoulders * wide, base.hips * wide, base.girth * wide, base.legs * tall)


def _follow(start: Points, bones: Limb, lengths: tuple[float, float]) -> tuple[Points, Points]:
    middle = start + lengths[0] * bones.upper_seen * direction(bones.upper)
    return middle, middle + lengths[1] * bones.lower_seen * direction(bones.lower)


def _both(
    starts: tuple[Points, Points], bones: tuple[Limb, Limb], lengths: tuple[float, float]
) -> tuple[tuple[Points, Points], tuple[Points, Points]]:
    left, right = (_follow(s, b, lengths) for s, b in zip(starts, bones, strict=True))
    return (left[0], right[0]), (left[1], right[1])


def pose_skeleton(pose: Pose, build: Build) -> Skeleton:
    """The joints of a body in a pose."""
    pelvis = np.zeros(2)
    up = direction(180 - pose.lean)
    side = -across(up)
    breadth = max(abs(math.cos(math.radians(pose.yaw))), 0.5) if abs(pose.yaw) < 89 else 0.5
    trunk = TORSO * (0.88 + 0.12 * build.legs)
    neck = pelvis + up * trunk
    shoulder, hip = 0.67 * build.shoulders * breadth, 0.36 * build.hips * breadth
    level = pelvis + up * trunk * 0.9
    shoulders = (level - side * shoulder, level + side * shoulder)
    hips = (pelvis - side * hip, pelvis + side * hip)
    arm = build.legs * 0.5 + 0.5
    elbows, wrists = _both(shoulders, pose.arms, (UPPER_ARM * arm, FOREARM * arm))
    knees, ankles = _both(hips, pose.legs, (THIGH * build.legs, SHIN * build.legs))
    facing = math.sin(math.radians(pose.yaw))
    nod = direction(180 - pose.lean * 0.4 - pose.head_tilt)
    head = neck + up * NECK + nod * 0.5 + np.array([0.14 * facing, 0.0])
    return Skeleton(
        pelvis, neck, head, up, side, shoulders, elbows, wrists, hips, knees, ankles, facing, breadth
    )  # fmt: skip


def _trunk_half_width(t: float, build: Build) -> float:
    """Interpolated from TRUNK; wider at the hips or the shoulders as the build says."""
    ts, widths = [row[0] for row in TRUNK], [row[1] for row in TRUNK]
    share = min(max(t, 0.0), 1.0)
    scale = build.hips * (1 - share) + build.shoulders * share
    belly = 1 + (build.girth - 1) * 1.2 * max(0.0, 1 - abs(share - 0.4) * 2.5)
    return float(np.interp(t, ts, widths)) * scale * belly


def trunk_outline(
    skeleton: Skeleton, build: Build, bottom: float, top: float, grow: float = 0.0, flare: float = 0.0
) -> Points:
    """The trunk between two heights, smooth.

    Args:
        bottom: height of the lower end, 0 at the pelvis and 1 at the base of the neck.
        top: height of the upper end.
        grow: cloth around the body, in head heights.
        flare: how much wider the lower end is.
    """
    length = float(np.linalg.norm(skeleton.neck - skeleton.pelvis))
    levels = [bottom + (top - bottom) * i / 8 for i in range(9)]
    left, right = [], []
    for i, t in enumerate(levels):
        half = _trunk_half_width(t, build) * skeleton.breadth + grow + flare * max(0.0, 1 - i / 4)
        bend = 0.10 * skeleton.facing * math.sin(math.pi * min(max(t, 0), 1)) * (1 - skeleton.breadth)
        centre = skeleton.pelvis + skeleton.up * t * length + skeleton.side * bend
        left.append(centre - skeleton.side * half)
        right.append(centre + skeleton.side * half)
    return smooth(np.array(left + right[::-1]), 3)


def arm_outline(skeleton: Skeleton, build: Build, which: int, grow: float = 0.0, to: float = 2.0) -> Shape:
    """An arm from the shoulder, `to` bones long (0.5 ends half way to the elbow, 2 at the wrist)."""
    shoulder, elbow, wrist = skeleton.shoulders[which], skeleton.elbows[which], skeleton.wrists[which]
    thick = 0.6 + 0.4 * build.girth
    points, radii = [shoulder, between(shoulder, elbow, 0.45), elbow], [0.19, 0.2, 0.165]
    points += [between(elbow, wrist, 0.3), wrist]
    radii += [0.165, 0.105]
    return _cut_limb(points, [r * thick + grow for r in radii], to)


def leg_outline(skeleton: Skeleton, build: Build, which: int, grow: float = 0.0, to: float = 2.0) -> Shape:
    """A leg from the hip, `to` bones long, its calf fuller than its shin."""
    hip, knee, ankle = skeleton.hips[which], skeleton.knees[which], skeleton.ankles[which]
    thick = 0.5 + 0.5 * build.girth
    points, radii = [hip, between(hip, knee, 0.5), knee], [0.40, 0.34, 0.235]
    points += [between(knee, ankle, 0.32), ankle]
    radii += [0.245, 0.14]
    return _cut_limb(points, [r * thick + grow for r in radii], to)


def _cut_limb(points: Sequence[Points], radii: Sequence[float], to: float) -> Shape:
    """The first `to` bones of a limb given by five stations, two pieces a bone."""
    pieces = to * 2
    whole = min(int(pieces), 4)
    kept, sizes = list(points[: whole + 1]), list(radii[: whole + 1])
    rest = pieces - whole
    if rest > 0 and whole < 4:
        kept.append(between(points[whole], points[whole + 1], rest))
        sizes.append(radii[whole] + (radii[whole + 1] - radii[whole]) * rest)
    return limb(kept, sizes)


def hand_outline(skeleton: Skeleton, which: int, rng: np.random.Generator, closed: bool) -> Shape:
    """A hand in line with the forearm: a palm, four fingers and a thumb, or a fist."""
    wrist = skeleton.wrists[which]
    reach = wrist - skeleton.elbows[which]
    along = reach / max(float(np.linalg.norm(reach)), 1e-6)
    sideways = across(along) * (1 if which else -1)
    palm = capsule(wrist + along * 0.05, wrist + along * 0.27, 0.115, 0.155)
    thumb_root = wrist + along * 0.16 + sideways * 0.12
    if closed:
        return palm, capsule(wrist + along * 0.2, wrist + along * 0.3, 0.165, 0.15)
    spread = uniform(rng, 0.0, 0.5)
    thumb = capsule(thumb_root, thumb_root + along * 0.16 + sideways * (0.1 + 0.1 * spread), 0.05, 0.042)
    fingers = []
    for k in (-1.5, -0.5, 0.5, 1.5):
        root = wrist + along * 0.34 + sideways * 0.082 * k
        tip = root + along * (0.27 - 0.035 * abs(k)) + sideways * 0.13 * k * spread
        fingers.append(capsule(root, tip, 0.046, 0.038, 5))
    return (palm, thumb, *fingers)


def foot_outline(skeleton: Skeleton, which: int) -> Shape:
    """A shoe below the ankle: seen from the front short, from the side long."""
    ankle, knee = skeleton.ankles[which], skeleton.knees[which]
    shin = (ankle - knee) / max(float(np.linalg.norm(ankle - knee)), 1e-6)
    outward = (1 if which else -1) * 0.16 * skeleton.breadth
    toe = np.array([skeleton.facing * 0.72 + outward, 0.16 + 0.06 * skeleton.breadth])
    flat = toe - shin * 0.15 + np.array([0.0, 0.05])
    heel = ankle + shin * 0.06
    return ellipse(heel, 0.19, 0.18), capsule(heel + np.array([0.0, 0.06]), ankle + flat, 0.155, 0.125)
