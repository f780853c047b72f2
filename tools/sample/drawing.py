"""One image of the plan, drawn, labelled and saved as JPEG bytes."""

import io
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from tools.sample.labels import Label, label_seen
from tools.sample.noise import Bytes
from tools.sample.plan import Spec
from tools.sample.scenes import draw_scene

JPEG_QUALITY = 74


@dataclass(frozen=True)
class Drawn:
    """A finished image: its plan, its file's bytes, its true labels."""

    spec: Spec
    jpeg: bytes
    labels: list[Label]

    @property
    def size_hw(self) -> tuple[int, int]:
        return self.spec.recipe.size_hw


def encode(rgb: Bytes, grey: bool, quality: int = JPEG_QUALITY) -> bytes:
    """JPEG bytes of an image (H, W, 3)."""
    image = Image.fromarray(rgb)
    buffer = io.BytesIO()
    (image.convert("L") if grey else image).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def draw(spec: Spec, seed: int) -> Drawn:
    """The image of a plan entry; a function of its arguments alone."""
    cv2.setNumThreads(1)
    scene = draw_scene(spec.recipe, seed)
    rgb = scene.rgb
    if spec.change == "brighter":
        rgb = np.clip(rgb.astype(np.int32) * 276 // 256 + 6, 0, 255).astype(np.uint8)
    jpeg = encode(rgb, spec.recipe.grey, JPEG_QUALITY - 12 if spec.change == "brighter" else JPEG_QUALITY)
    return Drawn(spec, jpeg, [label_seen(seen) for seen in scene.seen])
