"""What HTML reports share: the template engine, pictures of errors, the funnel, curves. Every page is one file."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from curate.dataset import Dataset
from curate.looking.card import plain
from curate.looking.funnel import shown_steps
from review.overlays import data_uri, error_overlay
from review.runs import read_prediction
from train.monitoring.log import EpochLine

SIDE_PX = 320
"""The longer side of a picture on a page."""


@dataclass(frozen=True)
class Picture:
    """One captioned picture."""

    title: str
    uri: str


@dataclass(frozen=True)
class Curve:
    """A training drawn from an epoch on."""

    label: str
    lines: Sequence[EpochLine]
    colour: str
    begin: int = 0
    opacity: float = 1.0


def page(template: str, **values: object) -> bytes:
    """A page made of a template in `templates/`; a value that it lacks is an error, and all values are escaped.

    Those in Markdown go through `plain`, since HTML is not all that Markdown reads.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).resolve().parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["unbroken"] = lambda text: str(text).replace(", ", ",\u00a0")
    environment.filters["plain"] = lambda text: Markup(plain(text))
    return environment.get_template(template).render(**values).encode()


def picture(dataset: Dataset, sample: dict[str, Any], run: Path, title: str) -> Picture:
    """A sample as a run sees it, its errors coloured."""
    image, target = dataset.image(sample), dataset.target(sample)
    predicted = read_prediction(run, sample["sample_id"], (sample["height"], sample["width"])) >= 128
    return Picture(title, data_uri(error_overlay(image, target, predicted, _width_px(image))))


def photograph(dataset: Dataset, sample: dict[str, Any], title: str) -> Picture:
    """A sample's photograph alone."""
    image = dataset.image(sample)
    width_px = _width_px(image)
    size_wh = (width_px, max(1, round(image.shape[0] * width_px / image.shape[1])))
    return Picture(title, data_uri(np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA), np.uint8)))


def _width_px(image: NDArray[np.uint8]) -> int:
    """How wide a picture of an image is, so that its longer side is SIDE_PX at most."""
    width_px: int = round(SIDE_PX * image.shape[1] / image.shape[0])
    return max(1, min(SIDE_PX, width_px))


def iou_words(iou: float | None) -> str:
    """An IoU for a caption."""
    return "IoU -" if iou is None else f"IoU {iou:.3f}"


def funnel_rows(dataset: Dataset) -> list[tuple[str, int, float]]:
    """(label, images remaining, share of all looked at) for each step of the funnel, as `curate build` prints it."""
    steps = shown_steps(dataset.header.funnel)
    looked_at = max((step.remaining for step in steps), default=0)
    return [(step.label, step.remaining, step.remaining / looked_at if looked_at else 0.0) for step in steps]


def curves_svg(curves: Sequence[Curve]) -> str:
    """Loss and validation IoU of trainings by epoch, as the `data:` URI of an SVG."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "silhouette"  # else the ids in two equal files differ
    import matplotlib.pyplot as plt

    figure, (losses, ious) = plt.subplots(1, 2, figsize=(11, 3.4), layout="constrained")
    for curve in curves:
        epochs = [curve.begin + number for number in range(1, len(curve.lines) + 1)]
        dot = "o" if len(epochs) == 1 else ""  # of one epoch there is no line to draw
        look = {"color": curve.colour, "marker": dot, "alpha": curve.opacity}
        losses.plot(epochs, [line.train_loss for line in curve.lines], ":", **look)
        losses.plot(epochs, [line.val_loss for line in curve.lines], **look)
        ious.plot(epochs, [line.val_iou for line in curve.lines], label=curve.label, **look)
    losses.set(xlabel="epoch", title="loss (dotted: training, solid: validation)")
    ious.set(xlabel="epoch", title="validation IoU")
    ious.legend(frameon=False)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    plt.close(figure)
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue().encode()).decode("ascii")
