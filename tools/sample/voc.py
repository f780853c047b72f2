"""The VOC half of the sample: palette masks with a void border, XML boxes, image sets."""

import io
from collections.abc import Sequence
from xml.sax.saxutils import escape

import cv2
import numpy as np
from PIL import Image

from tools.sample.drawing import Drawn
from tools.sample.labels import Label, Mask, box_of
from tools.sample.noise import Bytes

VOID = 255
CLASSES = {
    "bird": (3, "bird"), "cat": (8, "cat"), "chair": (9, "chair"), "dining table": (11, "diningtable"),
    "dog": (12, "dog"), "horse": (13, "horse"), "person": (15, "person"), "potted plant": (16, "pottedplant"),
}  # fmt: skip
"""VOC index and name by COCO name; other categories are background to VOC."""

DIFFICULT_SHARE = 0.004
"""People and things that fill less of the picture are marked difficult."""


def palette() -> list[int]:
    """VOC's colour map, 256 x RGB: the bits of the index dealt out to the channels."""
    colours = []
    for index in range(256):
        rgb = [0, 0, 0]
        for bit in range(8):
            for channel in range(3):
                rgb[channel] |= (index >> (3 * bit + channel) & 1) << (7 - bit)
        colours += rgb
    return colours


def objects(labels: Sequence[Label]) -> list[Label]:
    """The labels VOC has a class for."""
    return [label for label in labels if label.category in CLASSES and not label.crowd and label.mask.any()]


def _border(mask: Mask) -> Mask:
    """The two px along the outline, one inside and one outside; none along the edge of the picture."""
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    kernel = np.ones((3, 3), np.uint8)
    return (cv2.dilate(padded, kernel) > cv2.erode(padded, kernel))[1:-1, 1:-1]


def index_masks(labels: Sequence[Label], size_hw: tuple[int, int]) -> tuple[Bytes, Bytes]:
    """Class index and object number (H, W), 0 background, 255 void; crowds are void."""
    classes, numbers = np.zeros(size_hw, np.uint8), np.zeros(size_hw, np.uint8)
    kept = objects(labels)
    for number, label in enumerate(kept, 1):
        classes[label.mask], numbers[label.mask] = CLASSES[label.category][0], number
    void = np.any([np.zeros(size_hw, bool), *(_border(label.mask) for label in kept)], axis=0)
    for label in labels:
        if label.crowd:
            void |= label.mask
    classes[void], numbers[void] = VOID, VOID
    return classes, numbers


def encode_mask(indices: Bytes) -> bytes:
    """PNG bytes with VOC's palette."""
    image = Image.fromarray(indices, mode="P")
    image.putpalette(palette())
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _object_xml(label: Label) -> str:
    h, w = label.mask.shape
    x, y, wide, tall = box_of(label.mask)
    cut = x == 0 or y == 0 or x + wide == w or y + tall == h
    difficult = int(label.mask.sum()) < DIFFICULT_SHARE * h * w
    return (
        f"\t<object>\n\t\t<name>{CLASSES[label.category][1]}</name>\n\t\t<pose>Unspecified</pose>\n"
        f"\t\t<truncated>{int(cut)}</truncated>\n\t\t<difficult>{int(difficult)}</difficult>\n\t\t<bndbox>\n"
        f"\t\t\t<xmin>{x + 1}</xmin>\n\t\t\t<ymin>{y + 1}</ymin>\n\t\t\t<xmax>{x + wide}</xmax>\n"
        f"\t\t\t<ymax>{y + tall}</ymax>\n\t\t</bndbox>\n\t</object>\n"
    )


def annotation_xml(drawn: Drawn, segmented: bool) -> str:
    """The XML of one photo; boxes are 1-based and inclusive, as VOC has them."""
    h, w = drawn.size_hw
    return (
        f"<annotation>\n\t<folder>VOC2012</folder>\n\t<filename>{escape(drawn.spec.key)}.jpg</filename>\n"
        "\t<source>\n\t\t<database>Silhouette embedded sample</database>\n\t\t<annotation>drawn</annotation>\n"
        "\t\t<image>drawn</image>\n\t</source>\n"
        f"\t<size>\n\t\t<width>{w}</width>\n\t\t<height>{h}</height>\n\t\t<depth>3</depth>\n\t</size>\n"
        f"\t<segmented>{int(segmented)}</segmented>\n"
        f"{''.join(_object_xml(label) for label in objects(drawn.labels))}</annotation>\n"
    )
