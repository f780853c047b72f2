"""The picture being drawn, and which part of it each instance still shows.

Painting puts an outline over everything before it: the colours are mixed in by coverage, the painted instance
gains that coverage and every other instance loses it. So the label is the drawing, occlusion included.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from tools.sample import SUPERSAMPLE
from tools.sample.geometry import Points, bounds
from tools.sample.materials import Box, Material, as_image, render
from tools.sample.noise import Bytes, Ints, soften


@dataclass(frozen=True)
class Light:
    """Where the light comes from (unit vector x, y on the picture), and how hard it is (0 flat to 160 harsh)."""

    x: float
    y: float
    strength: int


@dataclass
class Instance:
    """One labelled thing: its category, its coverage (H, W) in canvas px, 255 where wholly visible."""

    category: str
    coverage: Bytes
    crowd: bool = False


@dataclass
class Canvas:
    """Colours (H, W, 3) in canvas px and the instances drawn so far."""

    rgb: Bytes
    instances: list[Instance] = field(default_factory=list)

    @property
    def size_hw(self) -> tuple[int, int]:
        return self.rgb.shape[0], self.rgb.shape[1]

    def add_instance(self, category: str, crowd: bool = False) -> Instance:
        """A new instance that covers nothing yet."""
        self.instances.append(Instance(category, np.zeros(self.size_hw, np.uint8), crowd))
        return self.instances[-1]


def clip_box(shape: Sequence[Points], size_hw: tuple[int, int], margin: int = 2) -> Box | None:
    """The whole pixels around the outlines inside the canvas, or None where nothing is inside."""
    x0, y0, x1, y1 = bounds(shape)
    left, top = max(int(x0) - margin, 0), max(int(y0) - margin, 0)
    right, bottom = min(int(x1) + margin + 1, size_hw[1]), min(int(y1) + margin + 1, size_hw[0])
    return (left, top, right, bottom) if right - left > 1 and bottom - top > 1 else None


def fill(shape: Sequence[Points], box: Box) -> Bytes:
    """Coverage (h, w) of the union of the outlines within the box, antialiased."""
    mask = np.zeros((box[3] - box[1], box[2] - box[0]), np.uint8)
    for outline in shape:
        fixed = np.round((outline - (box[0], box[1])) * 16).astype(np.int32)
        cv2.fillPoly(mask, [fixed], 255, lineType=cv2.LINE_AA, shift=4)
    return mask


def _shifted(field_: Bytes, dx: int, dy: int) -> Ints:
    """The field moved by (dx, dy) px, its edge repeated."""
    pad = max(abs(dx), abs(dy), 1)
    padded = cv2.copyMakeBorder(field_, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    h, w = field_.shape
    return padded[pad - dy : pad - dy + h, pad - dx : pad - dx + w].astype(np.int32)


def round_shading(coverage: Bytes, light: Light, reach: int) -> Ints:
    """Brightness (h, w) that makes a flat outline look round; 256 leaves a colour unchanged."""
    soft = soften(soften(coverage, reach), reach)
    dx, dy = round(light.x * reach), round(light.y * reach)
    slope = _shifted(soft, dx, dy) - _shifted(soft, -dx, -dy)
    return 268 + (slope * light.strength >> 8) + ((soft.astype(np.int32) - 255) * 56 >> 8)


def _cast_shadow(canvas: Canvas, owner: Instance, box: Box, coverage: Bytes, light: Light, reach: int) -> None:
    """Darkens what the owner already shows beside the new part, as an arm does on a chest."""
    x0, y0, x1, y1 = box
    veil = _shifted(soften(coverage, reach), -round(light.x * reach), -round(light.y * reach) + reach // 2)
    veil = veil * owner.coverage[y0:y1, x0:x1].astype(np.int32) * 120 >> 16
    patch = canvas.rgb[y0:y1, x0:x1].astype(np.int32)
    canvas.rgb[y0:y1, x0:x1] = as_image(patch * (256 - veil[..., None]) >> 8)


def _compose(canvas: Canvas, box: Box, coverage: Bytes, colours: Ints, owner: Instance | None) -> None:
    x0, y0, x1, y1 = box
    alpha = coverage.astype(np.int32)
    patch = canvas.rgb[y0:y1, x0:x1].astype(np.int32)
    mixed = patch * (255 - alpha[..., None]) + np.clip(colours, 0, 255) * alpha[..., None]
    canvas.rgb[y0:y1, x0:x1] = ((mixed + 127) // 255).astype(np.uint8)
    for instance in canvas.instances:
        shown = instance.coverage[y0:y1, x0:x1].astype(np.int32)
        left = shown * (255 - alpha) // 255
        instance.coverage[y0:y1, x0:x1] = (left + alpha if instance is owner else left).astype(np.uint8)


def paint(
    canvas: Canvas,
    shape: Sequence[Points],
    material: Material,
    light: Light,
    rng: np.random.Generator,
    *,
    owner: Instance | None = None,
    degrees: float = 0.0,
    unit_px: float = 40.0,
    reach_px: float = 6.0,
    opacity: int = 255,
    shadow: bool = False,
) -> None:
    """Draws one part: its outlines in canvas px, filled with a material and lit as a round body.

    Args:
        owner: the instance that gains the coverage; None for things without a label.
        degrees: direction of the part, which its pattern follows.
        unit_px: what the material's period is counted in.
        reach_px: how far the rounding reaches in from the edge.
        opacity: 255 covers; less lets what is below shine through.
        shadow: whether the part throws a shadow on what its owner already shows.
    """
    reach = max(round(reach_px), 1)
    box = clip_box(shape, canvas.size_hw, margin=2 + (2 * reach if shadow else 0))
    if box is None:
        return
    coverage = fill(shape, box)
    if shadow and owner is not None:
        _cast_shadow(canvas, owner, box, coverage, light, reach)
    x0, y0, _, _ = (round(value) for value in bounds(shape))
    colours = render(material, box, origin_xy=(x0, y0), degrees=degrees, unit_px=unit_px, rng=rng)
    lit = colours * round_shading(coverage, light, reach)[..., None] >> 8
    if opacity < 255:
        coverage = (coverage.astype(np.int32) * opacity // 255).astype(np.uint8)
    _compose(canvas, box, coverage, lit, owner)


def shrink(field_: Bytes) -> Bytes:
    """Mean over blocks of SUPERSAMPLE x SUPERSAMPLE px, rounded; (H, W) or (H, W, C)."""
    k = SUPERSAMPLE
    total = np.full_like(field_[::k, ::k], k * k // 2, dtype=np.int32)
    for i in range(k * k):
        total += field_[i // k :: k, i % k :: k]
    return (total // (k * k)).astype(np.uint8)
