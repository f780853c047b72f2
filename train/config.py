"""`config.json`: all that decides what a training run does. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import msgspec

from curate.errors import CurateError, FormatError, MissingError, UsageError

MODELS = (
    "unet",
    "unetplusplus",
    "manet",
    "linknet",
    "fpn",
    "pspnet",
    "deeplabv3",
    "deeplabv3plus",
    "upernet",
    "segformer",
)
"""The decoders of segmentation-models-pytorch that go with every encoder of its own at every size."""

POOLING_MODELS = ("deeplabv3", "deeplabv3plus", "upernet")
"""These pool an image to a single pixel and normalise it over the batch, so a batch holds two images at least."""

SCHEDULES = ("one-cycle", "constant")
LOSSES = ("bce-dice", "bce", "focal", "lovasz")
OPTIMIZERS = ("adamw", "adam")
RECIPES = ("none", "standard", "dark", "low-contrast", "crop", "occlusion", "scale", "blur-noise-jpeg")
"""Augmentations, by name; train.augment says what each does."""

SIZE_STEP_PX = 32
"""Encoders halve an image five times, so its side is a multiple of this."""

MAX_SIZE_PX, MAX_FOLDS = 4096, 100


class FitConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a run is trained.

    Raises:
        UsageError: A value is out of range; the message names the option.
    """

    dataset: str
    """POSIX path of the dataset, relative to the run."""
    digest: str
    """The dataset's digest."""
    model: str = "unet"
    encoder: str = "resnet34"
    weights: str = "imagenet"
    """`imagenet`, `none` or a .safetensors file (in `config.json` relative to the run)."""
    size: int = 224
    """Side in px of the square that images are resized to for the model."""
    epochs: int = 20
    batch_size: int = 16
    lr: float = 1e-3
    schedule: str = "one-cycle"
    loss: str = "bce-dice"
    optimizer: str = "adamw"
    augment: str = "standard"
    seed: int = 0
    folds: int = 0
    """Number of fold models; 0 for none."""
    epoch_images: int | None = None
    """Images drawn in each epoch; None for as many as there are to train on."""

    def __post_init__(self) -> None:
        _check_choice("--model", self.model, MODELS)
        _check_choice("--schedule", self.schedule, SCHEDULES)
        _check_choice("--loss", self.loss, LOSSES)
        _check_choice("--optimizer", self.optimizer, OPTIMIZERS)
        _check_choice("--augment", self.augment, RECIPES)
        if not self.encoder:
            raise UsageError("--encoder: is empty, expected a name such as resnet34")
        if not has_named_weights(self.weights) and not self.weights.endswith(".safetensors"):
            raise UsageError(f"--weights {self.weights}: expected imagenet, none or a .safetensors file")
        if self.size % SIZE_STEP_PX or not 0 < self.size <= MAX_SIZE_PX:
            raise UsageError(f"--size {self.size}: expected a multiple of {SIZE_STEP_PX} from 32 to {MAX_SIZE_PX} px")
        _check_at_least("--epochs", self.epochs, 1)
        _check_at_least("--batch-size", self.batch_size, 2 if self.model in POOLING_MODELS else 1)
        _check_at_least("--seed", self.seed, 0)
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise UsageError(f"--lr {self.lr}: expected a learning rate above 0, such as 0.001")
        if self.folds != 0 and not 2 <= self.folds <= MAX_FOLDS:
            raise UsageError(f"--folds {self.folds}: expected 2 to {MAX_FOLDS}, or 0 for no fold models")
        if self.epoch_images is not None:
            _check_at_least("--epoch-images", self.epoch_images, 1)


def has_named_weights(weights: str) -> bool:
    """Whether `weights` is a word (`imagenet` or `none`) rather than a file."""
    return weights in ("imagenet", "none")


def _check_choice(option: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise UsageError(f"{option} {value}: expected one of {', '.join(choices)}")


def _check_at_least(option: str, value: int, least: int) -> None:
    if value < least:
        raise UsageError(f"{option} {value}: expected at least {least}")


def read_config(run: Path) -> FitConfig:
    """The configuration of the run in folder `run`.

    Raises:
        MissingError: The folder is no run.
        FormatError: `config.json` is damaged.
    """
    path = run / "config.json"
    if not path.is_file():
        what = "is not a run (no config.json in it)" if run.is_dir() else "no such run"
        raise MissingError(f"{run}: {what}. Train one with: curate train fit DATASET --out {run}")
    try:
        return msgspec.json.decode(path.read_bytes(), type=FitConfig)
    except (msgspec.DecodeError, UnicodeDecodeError, CurateError) as error:
        raise FormatError(path, f"is damaged ({error}). Restore it, or train again with --force") from error


def encode_config(config: FitConfig) -> bytes:
    """The configuration as the bytes of `config.json`."""
    return msgspec.json.format(msgspec.json.encode(config), indent=2) + b"\n"


def first_difference(stored: FitConfig, wanted: FitConfig) -> tuple[str, object, object] | None:
    """The first option that differs, as (option, stored, wanted); the dataset's place is not compared, it may move."""
    for name in FitConfig.__struct_fields__:
        old, new = getattr(stored, name), getattr(wanted, name)
        if name not in ("dataset", "digest") and old != new:
            return "--" + name.replace("_", "-"), old, new
    return None
