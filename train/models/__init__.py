"""The models by their names, with weights that are downloaded, read from a file, or random."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import segmentation_models_pytorch as smp
import timm
import torch
from huggingface_hub import hf_hub_download
from segmentation_models_pytorch.encoders import encoders
from torch import Tensor, nn

from curate.errors import DownloadError, FormatError, MismatchError, MissingError, UsageError
from curate.terminal import counted
from train.config import FCN_MODELS, TIRAMISU_MODELS, FitConfig, has_named_weights, read_config
from train.models.fcn import FCN, REFINING, STRIDES, convolutional_classifier
from train.models.positions import take_positions, widened
from train.models.tiramisu import SIZES, FCDenseNet
from train.scoring.scored import run_of

TIMM = "tu-"
"""segmentation-models-pytorch calls encoders so that it takes from timm, on which it depends."""

PROBE_SECONDS = 5
"""How long the server of the pretrained weights may take to answer before the download counts as impossible."""


@dataclass(frozen=True)
class Loaded:
    """A trained model, in evaluation mode on the CPU, and how it was trained."""

    model: nn.Module
    config: FitConfig


def build_model(config: FitConfig) -> nn.Module:
    """The model to start training from: (N, 3, size, size) normalised RGB to (N, C, size, size) logits.

    What is not loaded is drawn at random from config.seed; the global generator is left as it was.

    Raises:
        UsageError: An encoder that is unknown, does not go with the model or the size, or has no imagenet weights.
        DownloadError: The imagenet weights cannot be downloaded.
        MissingError, FormatError, MismatchError: The weight file is absent, damaged, or of another architecture.
    """
    if config.weights == "imagenet":
        _check_download(config.encoder)
    model = _random_model(config, "imagenet" if config.weights == "imagenet" else None)
    if config.weights == "imagenet" and config.model in FCN_MODELS:
        _start_from(model, config, _download(config.encoder))
    if not has_named_weights(config.weights):
        _start_from(model, config, Path(config.weights))
    if _timm_name(config.encoder):
        _check_sizes(model, config)
    return model


def _start_from(model: nn.Module, config: FitConfig, path: Path) -> None:
    """Put the weights of a file, of the whole model or of its encoder alone, into a model."""
    tensors = read_weights(path)
    whole = config.model in TIRAMISU_MODELS or any(name.startswith("encoder.") for name in tensors)
    part = model if whole else model.get_submodule("encoder")
    own = part.state_dict()
    finer = {name: own[name] for name in own if name.startswith(REFINING)} if config.model in FCN_MODELS else {}
    _load(part, finer | widened(tensors, own), path, surplus=not whole)
    if config.model in FCN_MODELS and not whole:
        _load(model, {**model.state_dict(), **convolutional_classifier(tensors)}, path, surplus=False)


def load(run: Path) -> Loaded:
    """The best model of the run in folder `run`.

    Raises:
        MissingError: It is no run, or no epoch of it is finished.
        FormatError, MismatchError: Its configuration or weights are damaged, or do not belong together.
    """
    config = read_config(run)
    return Loaded(load_weights(config, run / "best.safetensors"), config)


def load_weights(config: FitConfig, path: Path) -> nn.Module:
    """The model that config describes with the weights in `path`, in evaluation mode on the CPU."""
    model = _random_model(config, None)
    _load(model, read_weights(path), path, surplus=False)
    return model.eval()


def _random_model(config: FitConfig, encoder_weights: str | None) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        if config.model in TIRAMISU_MODELS:
            model: nn.Module = FCDenseNet(*SIZES[config.model], len(config.classes))
        elif config.model in FCN_MODELS:
            model = FCN(STRIDES[config.model], len(config.classes))
        else:
            model = _encoder_and_decoder(config, encoder_weights)
    if config.position_channels:
        take_positions(model)
    # With the channels innermost, a CPU trains about twice as fast.
    return model.to(memory_format=torch.channels_last)


def _encoder_and_decoder(config: FitConfig, encoder_weights: str | None) -> nn.Module:
    _check_encoder(config.encoder)
    timms = _timm_name(config.encoder) is not None
    try:
        return smp.create_model(  # type: ignore[no-any-return]
            config.model,
            encoder_name=config.encoder,
            encoder_weights=(encoder_weights is not None or None) if timms else encoder_weights,
            in_channels=3,
            classes=len(config.classes),
        )
    except (ValueError, KeyError, AttributeError, RuntimeError) as error:
        raise _no_pair(config, error) from error
    except OSError as error:  # huggingface_hub's errors are OSErrors
        raise _no_download(config.encoder, error) from error


def _no_pair(config: FitConfig, error: Exception) -> UsageError:
    return UsageError(
        f"--model {config.model} --encoder {config.encoder}: do not go together ({error}). Choose another"
    )


def _timm_name(encoder: str) -> str | None:
    """What timm calls the encoder `tu-NAME`; None of segmentation-models-pytorch's own."""
    return encoder.removeprefix(TIMM) if encoder.startswith(TIMM) else None


def _check_encoder(encoder: str) -> None:
    """Raise UsageError where neither segmentation-models-pytorch nor timm has an encoder, and name the closest."""
    name = _timm_name(encoder)
    if encoder in encoders or (name is not None and timm.is_model(name)):
        return
    known, owner = (timm.list_models(), "timm") if name else (encoders, "segmentation-models-pytorch")
    close = [TIMM * bool(name) + one for one in difflib.get_close_matches(name or encoder, known, 3, 0)]
    raise UsageError(f"--encoder {encoder}: {owner} has no such encoder; closest: {', '.join(close)}")


def _check_sizes(model: nn.Module, config: FitConfig) -> None:
    """Raise UsageError where an encoder of timm does not take the sizes that are trained: some take one size alone."""
    model.eval()
    try:
        with torch.inference_mode():
            for side in {config.size, *config.earlier_sizes}:
                model(torch.zeros(1, 3, side, side))
    except (AssertionError, RuntimeError, ValueError) as error:
        raise _no_pair(config, error) from error
    finally:
        model.train()


def _check_download(encoder: str) -> None:
    """Raise at once, not after minutes of retries, where the imagenet weights of an encoder cannot be had."""
    from huggingface_hub import constants, try_to_load_from_cache
    from huggingface_hub.utils import get_session  # type: ignore[attr-defined]  # exported, but not by name

    _check_encoder(encoder)
    settings = imagenet_settings(encoder)
    files = ("model.safetensors",) if _timm_name(encoder) else ("config.json", "model.safetensors")
    held = [try_to_load_from_cache(settings["repo_id"], file, revision=settings["revision"]) for file in files]
    if all(isinstance(path, str) for path in held):
        return
    try:
        get_session().head(constants.ENDPOINT, timeout=PROBE_SECONDS)
    except Exception as error:  # the client, and with it the class of its errors, depends on huggingface_hub's version
        raise _no_download(encoder, error) from error


def imagenet_settings(encoder: str) -> dict[str, Any]:
    """Where segmentation-models-pytorch, or timm of a `tu-` encoder, has the imagenet weights.

    Raises:
        UsageError: It has none of them, or there is no such encoder.
    """
    _check_encoder(encoder)
    settings: dict[str, Any] | None
    if name := _timm_name(encoder):
        found = timm.models.get_pretrained_cfg(name)
        settings = {"repo_id": found.hf_hub_id, "revision": None} if found and found.hf_hub_id else None
    else:
        settings = encoders[encoder]["pretrained_settings"].get("imagenet")
    if settings is None:
        raise UsageError(f"--weights imagenet: encoder {encoder} has none. Pass --weights none, or another --encoder")
    return settings


def _download(encoder: str) -> Path:
    """The file of an encoder's imagenet weights, from where segmentation-models-pytorch has them."""
    settings = imagenet_settings(encoder)
    try:
        return Path(hf_hub_download(settings["repo_id"], "model.safetensors", revision=settings["revision"]))
    except OSError as error:  # huggingface_hub's errors are OSErrors
        raise _no_download(encoder, error) from error


def _no_download(encoder: str, error: Exception) -> DownloadError:
    return DownloadError(
        f"--weights imagenet: the weights of {encoder} cannot be downloaded ({type(error).__name__}). "
        "Pass --weights none to start from random weights, or --weights FILE.safetensors"
    )


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, by name.

    Raises:
        MissingError: No such file.
        FormatError: It is damaged, or something else.
    """
    if not path.is_file():
        raise MissingError(f"{path}: no such weights. {_where_weights_are(path.parent)}")
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise FormatError(path, f"is not a readable .safetensors file ({error}). Restore it, or train again") from error


def _where_weights_are(folder: Path) -> str:
    """What to do where a folder has no weights."""
    run = run_of(folder)
    if run is not None:
        return f"Only scores of {run} are here. Name that run"
    begun = (folder / "config.json").is_file()
    return "A run has them once its first epoch is finished" if begun else "Check the path"


def _load(module: nn.Module, tensors: Mapping[str, Tensor], path: Path, surplus: bool) -> None:
    """Put tensors into a module; `surplus` allows more than it has, as the classifier of a pretrained encoder is."""
    own: Mapping[str, Any] = module.state_dict()
    _check_same(own, tensors, path, surplus)
    nn.Module.load_state_dict(module, {name: tensors[name] for name in own})


def _check_same(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], path: Path, surplus: bool) -> None:
    advice = "It holds another --model or --encoder"
    for name, tensor in own.items():
        if name not in tensors:
            raise MismatchError(path, f"a tensor {name}", "none of that name", advice)
        if tensors[name].shape != tensor.shape:
            raise MismatchError(path, f"{name} of shape {list(tensor.shape)}", f"{list(tensors[name].shape)}", advice)
    more = sorted(tensors.keys() - own.keys())
    if more and not surplus:
        raise MismatchError(path, "no other tensors than the model's", more[0], advice)


def device() -> torch.device:
    """This process's GPU where there is one, else the CPU.

    A GPU has its number with it: threads that are begun later would take the first one for theirs.
    """
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def device_name() -> str:
    """The device in words, for people."""
    if torch.cuda.is_available():
        return f"GPU {torch.cuda.get_device_name()}"
    return f"CPU, {counted(torch.get_num_threads(), 'thread')}"
