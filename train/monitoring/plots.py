"""The curves of a training run, and of a range test, as pictures."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from train.monitoring.log import EpochLine
from train.monitoring.steps import StepLine

if TYPE_CHECKING:
    from train.engine.lr_find import RangeTest

TRAINING, VALIDATION = "#888888", "#0b6e99"


def curves_png(lines: Sequence[EpochLine], steps: Sequence[StepLine]) -> bytes:
    """Loss, IoU and Dice against the epoch, training and validation, and the learning rate against the step.

    A PNG of 1200x720 px. The loss of the steps lies faintly behind that of the epochs.
    """
    figure = Figure(figsize=(12, 7.2), dpi=100)
    FigureCanvasAgg(figure)
    figure.subplots_adjust(left=0.05, right=0.985, bottom=0.075, top=0.95, wspace=0.13, hspace=0.3)
    loss, iou, dice, rate = figure.subplots(2, 2).flat
    loss.plot(epochs_of(steps), [step.loss for step in steps], "-", color=TRAINING, alpha=0.35, linewidth=0.8)
    for axes, name, title in ((loss, "loss", "Loss"), (iou, "iou", "IoU"), (dice, "dice", "Dice")):
        _plot_epochs(axes, lines, name)
        axes.set(title=title, xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylim(0, 1 if name != "loss" else _loss_limit(lines, steps))
    rate.step([step.step for step in steps], [step.lr for step in steps], where="post", color=VALIDATION)
    rate.set(title="Learning rate", xlabel="step")
    rate.xaxis.set_major_locator(MaxNLocator(integer=True))
    rate.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
    rate.set_ylim(0, None)
    for axes in figure.axes:
        axes.grid(alpha=0.3)
    loss.legend()
    return _png(figure)


def _plot_epochs(axes: Axes, lines: Sequence[EpochLine], name: str) -> None:
    """One figure of training and validation, and where the best epoch was."""
    for split, colour, label in (("train", TRAINING, "training (augmented)"), ("val", VALIDATION, "validation")):
        points = [(line.epoch, getattr(line, f"{split}_{name}")) for line in lines]
        known = [(epoch, value) for epoch, value in points if value is not None]
        axes.plot(*zip(*known, strict=True) if known else ([], []), ".-", color=colour, label=label)
    best = [line.epoch for line in lines if line.best]
    if best:
        axes.axvline(best[-1], color=VALIDATION, alpha=0.3, linestyle="--", label="best")


def epochs_of(steps: Sequence[StepLine]) -> list[float]:
    """Where steps lie between the epochs: the last of epoch 3 at 3.

    >>> epochs_of([StepLine(5, 1, 0.0, 0.0), StepLine(10, 1, 0.0, 0.0), StepLine(20, 2, 0.0, 0.0)])
    [0.5, 1.0, 2.0]
    """
    ends = {step.epoch: step.step for step in steps}
    begins = dict(zip(ends, [0, *ends.values()], strict=False))
    return [
        step.epoch - 1 + (step.step - begins[step.epoch]) / (ends[step.epoch] - begins[step.epoch]) for step in steps
    ]


def _loss_limit(lines: Sequence[EpochLine], steps: Sequence[StepLine]) -> float | None:
    """The upper end of the axis of losses: the largest of an epoch, and of nearly all steps.

    A single step may not press all others flat.
    """
    epochs = [value for line in lines for value in (line.train_loss, line.val_loss) if value is not None]
    ordered = sorted(step.loss for step in steps)
    most = max([*epochs, *ordered[: round(0.99 * len(ordered))][-1:]], default=0.0)
    return 1.05 * most or None


def range_test_png(found: RangeTest) -> bytes:
    """Loss against the learning rate, with the two points a range test looks for, as a PNG of about 800x500 px."""
    figure = Figure(figsize=(8, 5), dpi=100)
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot(found.rates, found.losses, ".", color=TRAINING, label="loss of each batch")
    axes.plot(found.rates, found.smoothed, "-", color=VALIDATION, label="mean of those around it")
    marks = {"begins to fall": found.falls_at, "stays low up to": found.held_to, "suggested": found.lr}
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
