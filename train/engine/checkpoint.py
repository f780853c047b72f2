"""`last.ckpt`: all that is needed to go on exactly, as safetensors with JSON in its header: opening it runs no code.

Learning rates and random numbers are functions of seed, epoch and step, so weights, their average, optimiser, loss
scale and history are all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import safetensors
import safetensors.torch
import torch
from torch import Tensor
from torch.optim import Optimizer

from curate.errors import JSON_ERRORS, FormatError
from curate.files import write_atomic
from train.engine.learner import Learner
from train.monitoring.log import EpochLine, encode_lines


def save_checkpoint(folder: Path, learner: Learner, history: Sequence[EpochLine]) -> None:
    """Write the state after an epoch: `last.ckpt`, then `best.safetensors` where it is the best, then `log.jsonl`.

    A kill between two of them is mended by `mend_rest`.
    """
    tensors = _under("model", learner.model.state_dict()) | _optimizer_tensors(learner.optimizer)
    if learner.average is not None:
        tensors |= _under("average", learner.average.state_dict())
    metadata = {
        "history": msgspec.json.encode(list(history)).decode(),
        "scaler": msgspec.json.encode(learner.scaler.state_dict()).decode(),  # empty but for fp16
    }
    write_atomic(folder / "last.ckpt", safetensors.torch.save(tensors, metadata))
    mend_rest(folder, learner, history)


def mend_rest(folder: Path, learner: Learner, history: Sequence[EpochLine]) -> None:
    """Write what `save_checkpoint` writes after `last.ckpt`."""
    if history[-1].best:
        write_atomic(folder / "best.safetensors", safetensors.torch.save(_whole(learner.judged.state_dict())))
    write_atomic(folder / "log.jsonl", encode_lines(history))


@dataclass(frozen=True)
class Saved:
    """What `last.ckpt` holds, as it was read: finished epochs, loss scale and tensors by name."""

    path: Path
    history: list[EpochLine]
    scaler: dict[str, Any]
    tensors: dict[str, Tensor]


def read_checkpoint(folder: Path) -> Saved | None:
    """The last saved state of a model, None where nothing is saved.

    Raises:
        FormatError: `last.ckpt` is damaged.
    """
    path = folder / "last.ckpt"
    if not path.is_file():
        return None
    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata = file.metadata()
            return Saved(
                path,
                msgspec.json.decode(metadata["history"], type=list[EpochLine]),
                msgspec.json.decode(metadata.get("scaler", "{}")),
                {name: file.get_tensor(name) for name in file.keys()},  # noqa: SIM118 (it is no mapping)
            )
    except (safetensors.SafetensorError, *JSON_ERRORS, OSError, KeyError, TypeError) as error:
        raise _damaged(path, error) from error


def restore_learner(learner: Learner, saved: Saved) -> None:
    """Put a saved state into a learner.

    Raises:
        FormatError: It is damaged or of another model.
    """
    try:
        learner.model.load_state_dict(_from_under("model", saved.tensors))
        if learner.average is not None:
            learner.average.load_state_dict(_from_under("average", saved.tensors))
        _restore_optimizer(learner.optimizer, saved.tensors)
        if saved.scaler:
            learner.scaler.load_state_dict(saved.scaler)
    except (RuntimeError, KeyError, TypeError) as error:
        raise _damaged(saved.path, error) from error


def _damaged(path: Path, error: Exception) -> FormatError:
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    return FormatError(path, f"cannot be resumed from ({first}). Train again with --force")


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
