"""`last.ckpt`: all that is needed to go on exactly, as safetensors with JSON in its header: opening it runs no code.

Learning rates and random numbers are functions of seed, epoch and step, so weights, their average, optimiser, loss
scale and history are all.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import safetensors
import safetensors.torch
import torch
from torch import Tensor
from torch.optim import Optimizer

from curate.errors import FormatError
from curate.files import write_atomic
from train.learner import Learner
from train.log import EpochLine, encode_log


def save_checkpoint(folder: Path, learner: Learner, history: Sequence[EpochLine]) -> None:
    """Write the state after an epoch: `last.ckpt`, then `best.safetensors` where it is the best, then `log.jsonl`.

    A kill between two of them is mended by `load_checkpoint`.
    """
    tensors = _under("model", learner.model.state_dict()) | _optimizer_tensors(learner.optimizer)
    if learner.average is not None:
        tensors |= _under("average", learner.average.state_dict())
    metadata = {
        "history": msgspec.json.encode(list(history)).decode(),
        "scaler": msgspec.json.encode(learner.scaler.state_dict()).decode(),  # empty but for fp16
    }
    write_atomic(folder / "last.ckpt", safetensors.torch.save(tensors, metadata))
    _write_rest(folder, learner, history)


def _write_rest(folder: Path, learner: Learner, history: Sequence[EpochLine]) -> None:
    if history[-1].best:
        write_atomic(folder / "best.safetensors", safetensors.torch.save(_whole(learner.judged.state_dict())))
    write_atomic(folder / "log.jsonl", encode_log(history))


def load_checkpoint(folder: Path, learner: Learner) -> list[EpochLine]:
    """Put the last saved state into a learner; returns the finished epochs, none where nothing is saved.

    Raises:
        FormatError: `last.ckpt` is damaged or of another model.
    """
    path = folder / "last.ckpt"
    if not path.is_file():
        return []
    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata = file.metadata()
            history = msgspec.json.decode(metadata["history"], type=list[EpochLine])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
        learner.model.load_state_dict(_from_under("model", tensors))
        if learner.average is not None:
            learner.average.load_state_dict(_from_under("average", tensors))
        _restore_optimizer(learner.optimizer, tensors)
        scaler = msgspec.json.decode(metadata.get("scaler", "{}"))
        if scaler:
            learner.scaler.load_state_dict(scaler)
    except (safetensors.SafetensorError, msgspec.DecodeError, OSError, RuntimeError, KeyError, TypeError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FormatError(path, f"cannot be resumed from ({first}). Train again with --force") from error
    _write_rest(folder, learner, history)
    return history


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in _whole(tensors).items()}


def _from_under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    start = prefix + "."
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


def _whole(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors as safetensors takes them: on the CPU and in row-major order."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    state = optimizer.state_dict()["state"]
    return _whole({f"optimizer.{index}.{name}": value for index, own in state.items() for name, value in own.items()})


def _restore_optimizer(optimizer: Optimizer, tensors: dict[str, Tensor]) -> None:
    """Step counts and moments, in the memory order of the weights; its settings come from the configuration."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _from_under("optimizer", tensors).items():
        index, key = name.split(".", 1)
        ordered = tensor.to(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor
        state.setdefault(int(index), {})[key] = ordered
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
