"""How the arithmetic of training is done: precision, repeatability, compilation."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from torch import Tensor, nn

from curate.errors import CurateError, MachineError, UsageError
from train.config import FitConfig, as_given

Forward = Callable[[Tensor], Tensor]

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def precision_on(place: torch.device, precision: str) -> str:
    """`fp32`, `bf16` or `fp16`: what `auto` means on a device, else the precision itself.

    `auto` is bf16 where the hardware has it, else fp16 on a GPU and fp32 on a CPU.

    Raises:
        UsageError: fp16 on the CPU, which has no fast arithmetic for it.
    """
    if precision == "fp16" and place.type != "cuda":
        raise UsageError("--precision fp16: needs a GPU, and there is none. Pass --precision auto, bf16 or fp32")
    if precision != "auto":
        return precision
    if place.type != "cuda":
        return "bf16" if cpu_has_bf16() else "fp32"
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


@functools.cache
def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bf16 itself (AVX512-BF16 or AMX), by what Linux says of it."""
    with suppress(OSError):
        words = set(Path("/proc/cpuinfo").read_text().split())
        return bool({"avx512_bf16", "amx_bf16"} & words)
    return False


def autocast(place: torch.device, precision: str = "auto") -> torch.autocast:
    """Mixed precision on a device; where that is fp32, a context that changes nothing."""
    chosen = precision_on(place, precision)
    return torch.autocast(place.type, dtype=DTYPES.get(chosen, torch.bfloat16), enabled=chosen != "fp32")


def make_scaler(place: torch.device, precision: str) -> torch.amp.GradScaler:
    """Scales the loss so that fp16 gradients do not vanish; in other precisions it passes everything through."""
    return torch.amp.GradScaler(place.type, enabled=precision_on(place, precision) == "fp16")


def forward_of(model: nn.Module, config: FitConfig) -> Forward:
    """The model's forward pass, compiled with --compile; the model itself, which is what is saved, stays as it is.

    Shapes are compiled one by one: kernels for any shape would depend on which came first, and so on where a run was
    resumed.
    """
    return torch.compile(model, dynamic=False) if config.compile else model


@contextmanager
def executing(config: FitConfig, place: torch.device) -> Iterator[None]:
    """Training goes on inside: repeatable on a GPU with --deterministic, and with its faults told in one line.

    On the CPU the same run is the same to the bit anyway.
    """
    wanted = config.deterministic and place.type == "cuda"
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = not wanted  # sizes hardly change, so looking for the fastest way pays
    if wanted:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS repeats itself only with such a workspace
        torch.use_deterministic_algorithms(True)
    try:
        yield
    except RuntimeError as error:
        told = _in_one_line(error, config)
        if told is None:
            raise
        raise told from error
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]


def _in_one_line(error: RuntimeError, config: FitConfig) -> CurateError | None:
    """The error as that of the option it comes from; None where it comes from none."""
    text = str(error)
    if isinstance(error, torch.OutOfMemoryError):
        asked = f"--batch-size {as_given(config, 'batch_size')} at --size {as_given(config, 'size')}"
        return UsageError(f"{asked}: does not fit into the GPU's memory. Halve --batch-size, or pass a smaller --size")
    if config.deterministic and "deterministic" in text:
        what = text.split(" does not have")[0]
        return UsageError(
            f"--deterministic: --model {config.model} uses {what}, which cannot be repeated. Leave it out"
        )
    if config.compile and type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        lines = [line for line in text.splitlines() if line.strip()]
        return MachineError(
            f"--compile: torch.compile failed ({lines[0] if lines else type(error).__name__}). Leave it out"
        )
    return None
