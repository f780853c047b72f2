"""The options of training, which fit, lr-find, sweep and loop share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from curate.commands.completion import words_or_path
from curate.commands.place import MODEL
from train.config import (
    LOSSES,
    MODELS,
    OPTIMIZERS,
    PRECISIONS,
    RECIPES,
    SCHEDULES,
    VALIDATIONS,
)


def _one_a_stage(ctx: click.Context, param: click.Parameter, value: str) -> int:
    """The last of the numbers in `128,256,512`; those before it go to the command as `earlier_sizes` and so on."""
    try:
        *earlier, last = [int(word) for word in value.split(",")]
    except ValueError as error:
        raise click.BadParameter(f"{value}: expected a whole number, or several with commas between them") from error
    if ctx.get_parameter_source(str(param.name)) is not click.core.ParameterSource.DEFAULT:
        ctx.params[f"earlier_{param.name}s"] = tuple(earlier)
    return last


def _learning_rate(ctx: click.Context, param: click.Parameter, value: str) -> float | str:
    try:
        return value if value in ("auto", "usual") else float(value)
    except ValueError as error:
        raise click.BadParameter(f"{value}: expected auto, usual or a number, such as 0.001") from error


def _words(ctx: click.Context, param: click.Parameter, value: str) -> tuple[str, ...]:
    return tuple(value.split(","))


FIT_OPTIONS = (
    click.option(
        "--model",
        type=click.Choice(MODELS),
        default="unet",
        help="Decoder over --encoder; fcn* stand on VGG16, tiramisu* are whole.",
    ),
    click.option(
        "--encoder",
        metavar="NAME",
        default="auto",
        help="Encoder of segmentation-models-pytorch, or tu-NAME of timm; auto: resnet34, or the model's own.",
    ),
    click.option(
        "--weights",
        type=MODEL,
        metavar="imagenet|none|FILE",
        default="imagenet",
        shell_complete=words_or_path("imagenet", "none"),
        help="Weights to start from.",
    ),
    click.option(
        "--classes",
        metavar="person[,held][,animal]",
        callback=_words,
        default="person",
        help="What the model tells apart; scores are the person's. Needs a dataset built with --held class.",
    ),
    click.option("--position-channels", is_flag=True, help="Show the model x and y of each pixel too."),
    click.option(
        "--size",
        metavar="PX[,PX...]",
        callback=_one_a_stage,
        default="224",
        help="Side of the square that images are resized to; several share the epochs, each starting from the last.",
    ),
    click.option("--epochs", metavar="N", type=int, default=20, help="Passes over the training images."),
    click.option(
        "--batch-size",
        metavar="IMAGES[,...]",
        callback=_one_a_stage,
        default="16",
        help="Images per step; one number for each --size, or one for all.",
    ),
    click.option(
        "--micro-batch",
        type=int,
        metavar="N",
        help="Most images a process learns from at once; of a larger batch the gradients are added up.  [default: all]",
    ),
    click.option(
        "--lr",
        metavar="X|auto|usual",
        callback=_learning_rate,
        default="usual",
        help="Highest learning rate; auto looks for one first, as lr-find does; usual: auto with --weights none, "
        "else 0.001.",
    ),
    click.option("--schedule", type=click.Choice(SCHEDULES), default="one-cycle", help="Course of the learning rate."),
    click.option(
        "--lr-min",
        metavar="X",
        type=float,
        default=None,
        help="Lowest learning rate, of triangular (default: a 20th of --lr) and polynomial (default: 0).",
    ),
    click.option(
        "--lr-decay",
        metavar="X",
        type=float,
        default=None,
        help="Factor per fall of step (default: 0.1), per epoch of exponential (default: 0.995).",
    ),
    click.option(
        "--cycle-epochs",
        metavar="N",
        type=int,
        default=None,
        help="Epochs of one triangle of triangular.  [default: 1]",
    ),
    click.option("--loss", type=click.Choice(LOSSES), default="bce-dice", help="Loss over the counted pixels."),
    click.option("--optimizer", type=click.Choice(OPTIMIZERS), default="adamw", help="Optimiser."),
    click.option("--augment", type=click.Choice(RECIPES), default="standard", help="Augmentation."),
    click.option("--seed", metavar="N", type=int, default=0, help="Seed of everything random."),
    click.option("--folds", metavar="K", type=int, default=0, help="Fold models for out-of-fold scores; 0 for none."),
    click.option(
        "--validation",
        type=click.Choice(VALIDATIONS),
        default="auto",
        help="What picks the best epoch; auto: the split val, else a tenth of train that is held out.",
    ),
    click.option("--epoch-images", metavar="N", type=int, default=None, help="Images per epoch.  [default: all once]"),
    click.option(
        "--patience",
        metavar="N",
        type=int,
        default=None,
        help="Stop after N epochs without a better one.  [default: never]",
    ),
    click.option(
        "--clip-norm",
        metavar="X",
        type=float,
        default=None,
        help="Scale gradients down to this norm.  [default: no limit]",
    ),
    click.option(
        "--ema",
        metavar="DECAY",
        type=float,
        default=None,
        help="Judge and save a moving average of the weights, such as 0.999.  [default: the weights themselves]",
    ),
    click.option("--freeze-epochs", metavar="N", type=int, default=0, help="Epochs that leave the encoder as it is."),
    click.option("--freeze-batch-norm", is_flag=True, help="Keep the statistics of batch norms as they are."),
    click.option(
        "--encoder-lr-scale",
        metavar="X",
        type=float,
        default=1.0,
        help="Share of the learning rate for the encoder's first layers; it rises to 1 with depth.",
    ),
    click.option(
        "--precision",
        type=click.Choice(PRECISIONS),
        default="auto",
        help="Arithmetic; auto is bf16 where the hardware has it, else fp16 on a GPU, fp32 on a CPU.",
    ),
    click.option(
        "--deterministic", is_flag=True, help="Repeat runs to the bit on a GPU, as the CPU does anyway; slower."
    ),
    click.option(
        "--compile", is_flag=True, help="Compile the model first (torch.compile); pays in long runs on a GPU."
    ),
)


def fit_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """All options of a FitConfig but the dataset; the command receives them as its fields."""
    for option in reversed(FIT_OPTIONS):
        command = option(command)
    return command
