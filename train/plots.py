"""The curves of a training run, and of a range test, as pictures."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from train.log import EpochLine

if TYPE_CHECKING:
    from train.lr_find import RangeTest

TRAINING, VALIDATION = "#888888", "#0b6e99"


def curves_png(lines: Sequence[EpochLine]) -> bytes:
    """Loss, IoU and Dice against the epoch, training and validation, as a PNG of about 1200x400 px."""
    figure = Figure(figsize=(12, 4), dpi=100)
    FigureCanvasAgg(figure)
    figure.subplots_adjust(left=0.04, right=0.99, bottom=0.12, top=0.92, wspace=0.12)
    for axes, name in zip(figure.subplots(1, 3), ("loss", "iou", "dice"), strict=True):
        for split, colour in (("train", TRAINING), ("val", VALIDATION)):
            points = [(line.epoch, getattr(line, f"{split}_{name}")) for line in lines]
            known = [(epoch, value) for epoch, value in points if value is not None]
            label = {"train": "training (augmented)", "val": "validation"}[split]
            axes.plot(*zip(*known, strict=True) if known else ([], []), ".-", color=colour, label=label)
        axes.set(title={"loss": "Loss", "iou": "IoU", "dice": "Dice"}[name], xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylim(0, 1 if name != "loss" else None)
        axes.grid(alpha=0.3)
    best = [line.epoch for line in lines if line.best]
    for axes in figure.axes if best else []:
        axes.axvline(best[-1], color=VALIDATION, alpha=0.3, linestyle="--", label="best")
    figure.axes[0].legend()
    return _png(figure)


def range_test_png(found: RangeTest) -> bytes:
    """Loss against the learning rate, with the two points a range test looks for, as a PNG of about 800x500 px."""
    figure = Figure(figsize=(8, 5), dpi=100)
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot(found.rates, found.losses, ".", color=TRAINING, label="loss of each batch")
    axes.plot(found.rates, found.smoothed, "-", color=VALIDATION, label="mean of those around it")
    marks = {"begins to fall": found.lr_min, "lowest": found.lowest_at, "suggested": found.lr}
    for (name, rate), style in zip(marks.items(), (":", ":", "-"), strict=True):
        axes.axvline(rate, color=VALIDATION, linestyle=style, alpha=0.5)
        axes.text(rate, 0.98, f" {name} {rate:.2g}", rotation=90, va="top", transform=axes.get_xaxis_transform())
    axes.set(xscale="log", xlabel="learning rate", ylabel="loss", title="Learning-rate range test")
    axes.set_ylim(0.9 * min(found.smoothed), 1.5 * found.smoothed[0])
    axes.legend(loc="lower left")
    axes.grid(alpha=0.3)
    return _png(figure)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
