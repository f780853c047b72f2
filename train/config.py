"""`config.json`: all that decides what a training run does. Imports no torch."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import msgspec

from curate import schema
from curate.errors import JSON_ERRORS, CurateError, FormatError, MissingError, UsageError
from curate.files import json_bytes
from curate.formats import check_format
from curate.storage.copies import located, url_from
from curate.storage.urls import is_url

ENCODER_MODELS = (
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

FCN_MODELS = ("fcn32s", "fcn16s", "fcn8s")
TIRAMISU_MODELS = ("tiramisu56", "tiramisu67", "tiramisu103")
MODELS = (*ENCODER_MODELS, *FCN_MODELS, *TIRAMISU_MODELS)

POOLING_MODELS = ("deeplabv3", "deeplabv3plus", "upernet")
"""These pool an image to a single pixel and normalise it over the batch, so a batch holds two images at least."""

SCHEDULES = ("one-cycle", "constant", "triangular", "step", "polynomial", "exponential")
SCHEDULES_WITH_MIN, SCHEDULES_WITH_DECAY = ("triangular", "polynomial"), ("step", "exponential")
LOSSES = ("bce-dice", "bce", "focal", "lovasz")
OPTIMIZERS = ("adamw", "adam", "rmsprop", "sgd")
VALIDATIONS = ("auto", "val", "tenth", "fold", "none")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
RECIPES = (
    *("none", "standard", "strong", "seed2"),
    *("dark", "low-contrast", "occlusion", "crop", "held-object", "scale", "blur-noise-jpeg", "copy-paste"),
)
"""Augmentations, by name; train.augment says what each does. Those of the second row are made for a kind of failure."""

CLASSES = ("person", "held", "animal")
"""What a model can tell apart, each in a channel of its own."""

SIZE_STEP_PX = 32
"""Encoders halve an image five times, so its side is a multiple of this."""

MAX_SIZE_PX, MAX_FOLDS, MAX_SEED = 4096, 100, 2**63 - 1

PRETRAINED_LR = 1e-3
"""The usual learning rate of a model that starts from weights; from random ones, models differ tenfold in theirs."""


class FitConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a run is trained.

    Raises:
        UsageError: A value is out of range; the message names the option.
    """

    dataset: str
    """POSIX path of the dataset, relative to the run; or its URL."""
    digest: str
    """The dataset's digest."""
    model: str = "unet"
    encoder: str = "auto"
    """`auto` becomes resnet34, or the only one the model has: vgg16 of an FCN, `none` of a Tiramisu."""
    weights: str = "imagenet"
    """`imagenet`, `none` or a .safetensors file (in `config.json` relative to the run)."""
    classes: tuple[str, ...] = ("person",)
    """What the model tells apart, the person first."""
    position_channels: bool = False
    """Whether the model sees x and y of each pixel beside its colour."""
    size: int = 224
    """Side in px of the square that images are resized to for the model; with `earlier_sizes`, in the last stage."""
    earlier_sizes: tuple[int, ...] = ()
    """Sides in px of the stages before, in order (`--size 128,256`)."""
    epochs: int = 20
    batch_size: int = 16
    earlier_batch_sizes: tuple[int, ...] = ()
    """Images a step of the stages before; empty where all have `batch_size`."""
    micro_batch: int | None = None
    """Most images that a process learns from at once, a batch's gradients being added up; None for all of its own."""
    lr: float | Literal["auto", "usual"] = "usual"
    """The highest learning rate; `auto` until a range test has found one. `usual` becomes `auto` where weights are
    random, else PRETRAINED_LR."""
    lr_from: str = ""
    """How a range test came to `lr`; empty where it was given."""
    lr_min: float | None = None
    lr_decay: float | None = None
    """Factor per fall of the `step` schedule, per epoch of the `exponential` one."""
    cycle_epochs: int | None = None
    """Epochs of one rise and fall of the `triangular` schedule; None for 1."""
    schedule: str = "one-cycle"
    loss: str = "bce-dice"
    optimizer: str = "adamw"
    augment: str = "standard"
    seed: int = 0
    folds: int = 0
    """Number of fold models; 0 for none."""
    validation: str = "auto"
    """What picks the best epoch: `val`, the split; `tenth`, a seeded tenth of train, which is then not learnt from;
    `fold`, of each fold model the fold it does not learn from, and of the model of the whole split `val`, else a tenth;
    `none`, nothing, and the last epoch is kept. `auto` becomes `val`, and of a dataset without such images `tenth`."""
    epoch_images: int | None = None
    """Images drawn in each epoch; None for as many as there are to train on."""
    patience: int | None = None
    """Epochs without a better one after which training stops; None for never."""
    clip_norm: float | None = None
    """Norm that the gradient of all weights together is scaled down to; None for no limit."""
    ema: float | None = None
    """Decay of the moving average of the weights, which is then what is judged and saved; None for no average."""
    freeze_epochs: int = 0
    """Epochs at the start in which the encoder stays as it is."""
    freeze_batch_norm: bool = False
    encoder_lr_scale: float = 1.0
    """Share of the learning rate that the encoder's first layers get."""
    precision: str = "auto"
    deterministic: bool = False
    compile: bool = False
    format: int = schema.FORMAT

    def __post_init__(self) -> None:
        _check_choice("--model", self.model, MODELS)
        _check_choice("--schedule", self.schedule, SCHEDULES)
        _check_choice("--loss", self.loss, LOSSES)
        _check_choice("--optimizer", self.optimizer, OPTIMIZERS)
        _check_choice("--augment", self.augment, RECIPES)
        _check_choice("--validation", self.validation, VALIDATIONS)
        _check_choice("--precision", self.precision, PRECISIONS)
        _check_classes(self.classes)
        if self.lr == "usual":
            msgspec.structs.force_setattr(self, "lr", "auto" if self.weights == "none" else PRETRAINED_LR)
        if not self.encoder:
            raise UsageError("--encoder: is empty, expected a name such as resnet34")
        if self.encoder == "auto":
            msgspec.structs.force_setattr(self, "encoder", _own_encoder(self.model) or "resnet34")
        _check_encoder(self.model, self.encoder)
        if self.weights == "imagenet" and self.model in TIRAMISU_MODELS:
            raise UsageError(
                f"--weights imagenet: there are none of {self.model}. Pass --weights none, or a file of it"
            )
        if not has_named_weights(self.weights) and not self.weights.endswith(".safetensors"):
            raise UsageError(f"--weights {self.weights}: expected imagenet, none or a .safetensors file")
        _check_at_least("--epochs", self.epochs, 1)
        if not 0 <= self.seed <= MAX_SEED:
            raise UsageError(f"--seed {self.seed}: expected a whole number from 0 to {MAX_SEED}")
        if self.folds != 0 and not 2 <= self.folds <= MAX_FOLDS:
            raise UsageError(f"--folds {self.folds}: expected 2 to {MAX_FOLDS}, or 0 for no fold models")
        if self.epoch_images is not None:
            _check_at_least("--epoch-images", self.epoch_images, 1)
        if self.clip_norm is not None:
            _check_above_0("--clip-norm", self.clip_norm, "norm", "1.0")
        if self.ema is not None and not 0 < self.ema < 1:
            raise UsageError(f"--ema {self.ema}: expected a decay between 0 and 1, such as 0.999")
        _check_stages(self)
        _check_rates(self)
        _check_freezing(self)
        _check_patience(self)


def _check_classes(classes: Sequence[str]) -> None:
    for name in classes:
        _check_choice("--classes", name, CLASSES)
    if classes[:1] != ("person",) or len(set(classes)) != len(classes):
        raise UsageError(f"--classes {','.join(classes)}: expected person first, and each once: person,held,animal")


def _check_stages(config: FitConfig) -> None:
    """The sizes and batch sizes of `--size 128,256` and `--batch-size 32,16`."""
    for size in (*config.earlier_sizes, config.size):
        if size % SIZE_STEP_PX or not 0 < size <= MAX_SIZE_PX:
            raise UsageError(f"--size {size}: expected a multiple of {SIZE_STEP_PX} from 32 to {MAX_SIZE_PX} px")
    for batch_size in (*config.earlier_batch_sizes, config.batch_size):
        _check_at_least("--batch-size", batch_size, 2 if config.model in POOLING_MODELS else 1)
    if config.micro_batch is not None:
        _check_at_least("--micro-batch", config.micro_batch, 2 if config.model in POOLING_MODELS else 1)
    count, given = len(config.earlier_sizes) + 1, len(config.earlier_batch_sizes) + 1
    if given not in (1, count):
        raise UsageError(f"--batch-size: {given} numbers for {count} sizes. Pass one for all, or one for each --size")
    if config.epochs < count:
        raise UsageError(f"--size: {count} sizes for {config.epochs} epochs. Pass at least as many --epochs")


def _check_rates(config: FitConfig) -> None:
    """The learning rate, and what belongs to its schedule alone."""
    if not isinstance(config.lr, str):
        _check_above_0("--lr", config.lr, "learning rate", "0.001")
    if config.lr_min is not None:
        _check_goes_with("--lr-min", config.lr_min, config.schedule, SCHEDULES_WITH_MIN)
        _check_above_0("--lr-min", config.lr_min, "learning rate", "0.0001")
        if not isinstance(config.lr, str) and config.lr_min >= config.lr:
            raise UsageError(f"--lr-min {config.lr_min}: expected less than --lr {config.lr}")
    if config.lr_decay is not None:
        _check_goes_with("--lr-decay", config.lr_decay, config.schedule, SCHEDULES_WITH_DECAY)
        if not 0 < config.lr_decay < 1:
            raise UsageError(f"--lr-decay {config.lr_decay}: expected a factor between 0 and 1, such as 0.1")
    if config.cycle_epochs is not None:
        _check_goes_with("--cycle-epochs", config.cycle_epochs, config.schedule, ("triangular",))
        _check_at_least("--cycle-epochs", config.cycle_epochs, 1)
        longest = config.epochs // (len(config.earlier_sizes) + 1)
        if config.cycle_epochs > longest:
            at_most = f"{longest}, the fewest that a --size has" if config.earlier_sizes else f"--epochs {longest}"
            raise UsageError(f"--cycle-epochs {config.cycle_epochs}: expected at most {at_most}")


def _check_freezing(config: FitConfig) -> None:
    _check_at_least("--freeze-epochs", config.freeze_epochs, 0)
    if config.freeze_epochs > config.epochs:
        raise UsageError(f"--freeze-epochs {config.freeze_epochs}: expected at most --epochs {config.epochs}")
    scale = config.encoder_lr_scale
    if not 0 < scale <= 1:
        raise UsageError(f"--encoder-lr-scale {scale}: expected a share above 0, up to 1, such as 0.1")
    if scale < 1 and config.freeze_epochs == config.epochs:
        raise UsageError(
            f"--encoder-lr-scale {scale}: the encoder is frozen in every epoch. Pass fewer --freeze-epochs"
        )


def _check_patience(config: FitConfig) -> None:
    if config.patience is None:
        return
    _check_at_least("--patience", config.patience, 1)
    if config.patience >= config.epochs:
        raise UsageError(f"--patience {config.patience}: would never stop a run of --epochs {config.epochs}")
    if config.earlier_sizes:
        raise UsageError(
            "--patience: a run of several sizes trains each for its share of --epochs. Leave one of them out"
        )


def _own_encoder(model: str) -> str | None:
    """The encoder that is part of a model; None where it takes any."""
    if model in FCN_MODELS:
        return "vgg16"
    return "none" if model in TIRAMISU_MODELS else None


def _check_encoder(model: str, encoder: str) -> None:
    own = _own_encoder(model)
    if own and encoder != own:
        has = "has no encoder" if own == "none" else f"stands on {own}"
        raise UsageError(f"--encoder {encoder}: --model {model} {has}. Leave --encoder out, or choose another --model")


class PeerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was scored in a folder that holds no trained model but a peer's predictions and scores.

    See train.scoring.peers.
    """

    dataset: str
    """POSIX path of the dataset, relative to the folder; or its URL."""
    digest: str
    """The dataset's digest."""
    peer: str
    """`grabcut`, or the name of an ONNX file."""
    settings: dict[str, Any]
    flip: bool
    """Whether each prediction is the mean of an image and its mirror image."""
    format: int = schema.FORMAT


def has_named_weights(weights: str) -> bool:
    """Whether `weights` is a word (`imagenet` or `none`) rather than a file."""
    return weights in ("imagenet", "none")


def relative(path: Path, folder: Path) -> str:
    """A path as it stands in the `config.json` of a folder: POSIX, relative to it; of what is in a bucket its URL."""
    return url_from(path, folder) or Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()


def placed(text: str, folder: Path) -> Path:
    """The path that stands as `relative` has it in a folder; of a URL the working copy, brought up to date.

    Raises:
        CurateError: As `curate.storage.copies.located`.
    """
    return located(text) if is_url(text) else folder / text


def _check_choice(option: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise UsageError(f"{option} {value}: expected one of {', '.join(choices)}")


def _check_at_least(option: str, value: int, least: int) -> None:
    if value < least:
        raise UsageError(f"{option} {value}: expected at least {least}")


def _check_above_0(option: str, value: float, what: str, example: str) -> None:
    if not (math.isfinite(value) and value > 0):
        raise UsageError(f"{option} {value}: expected a {what} above 0, such as {example}")


def _check_goes_with(option: str, value: float, schedule: str, schedules: Sequence[str]) -> None:
    if schedule not in schedules:
        raise UsageError(f"{option} {value}: goes with --schedule {' or '.join(schedules)}, not with {schedule}")


def read_config(run: Path) -> FitConfig:
    """The configuration of the run in folder `run`.

    Raises:
        MissingError: The folder is no run.
        UsageError: It holds the scores of a peer.
        FormatError: `config.json` is damaged.
        VersionError: It is of a newer format.
    """
    path = run / "config.json"
    if not path.is_file():
        if (run / "dataset.json").is_file():
            raise MissingError(
                f"{run}: is a dataset, not a run. Name a run; to train one: curate train fit {run} --out runs/first"
            )
        what = "is not a run (no config.json in it)" if run.is_dir() else "no such run"
        raise MissingError(f"{run}: {what}. Train one with: curate train fit DATASET --out {run}")
    content = path.read_bytes()
    check_format(path, content)
    with suppress(*JSON_ERRORS):
        peer = msgspec.json.decode(content, type=PeerConfig).peer
        raise UsageError(
            f"{run}: holds the scores of {peer}, no trained model. "
            f"To score it: curate train score {peer} DATASET --out {run}"
        )
    try:
        return msgspec.json.decode(content, type=FitConfig)
    except (*JSON_ERRORS, CurateError) as error:
        raise FormatError(path, f"is damaged ({error}). Restore it, or train again with --force") from error


def encode_config(config: FitConfig | PeerConfig) -> bytes:
    """The configuration as the bytes of `config.json`."""
    return json_bytes(config) + b"\n"


_STAGES_OF = {"size": "earlier_sizes", "batch_size": "earlier_batch_sizes"}
"""Fields that one option sets together: `--size 128,256`."""


def first_difference(stored: FitConfig, wanted: FitConfig) -> tuple[str, object, object] | None:
    """The first option that differs, as (option, stored, wanted).

    The dataset's place is not compared, it may move, nor is a learning rate that a range test found, where `auto` is
    wanted again.
    """
    alike = {"format", "dataset", "digest", "lr_from", *_STAGES_OF.values()}
    if stored.validation == "auto":  # of a run made before there was a choice
        alike |= {"validation"}
    if stored.lr_from and wanted.lr == "auto":
        alike |= {"lr"} | ({"lr_min"} if wanted.lr_min is None else set())
    for name in FitConfig.__struct_fields__:
        old, new = as_given(stored, name), as_given(wanted, name)
        if name not in alike and old != new:
            return "--" + name.replace("_", "-"), old, new
    return None


def as_given(config: FitConfig, name: str) -> object:
    """The value of a field as the option would be written: sizes of several stages together."""
    earlier = getattr(config, _STAGES_OF[name]) if name in _STAGES_OF else ()
    last: object = ",".join(config.classes) if name == "classes" else getattr(config, name)
    return ",".join(map(str, (*earlier, last))) if earlier else last
